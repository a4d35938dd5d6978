// SPDX-License-Identifier: Apache-2.0
// posthouse queue list, hold, release, delete, retry, stats, replay: what waits in the queue of this node, and what is to become of it.
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

// --- list ---

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

// What came from outside goes to a terminal: controls become "?".
static void print_safe(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void print_damaged(const json_t *item)
{
	printf("%s of guid %s, number %lld: from <", text_of(item, "row"), text_of(item, "guid"),
		(long long)json_integer_value(json_object_get(item, "number")));
	print_safe(text_of(item, "sender"));
	printf("> to <");
	print_safe(text_of(item, "address"));
	printf(">, %lld bytes, received %s, by way of ", (long long)json_integer_value(json_object_get(item, "size_bytes")), text_of(item, "received"));
	print_safe(text_of(item, "destination"));
	printf("\n");
}

static void print_item(const json_t *item, void *arg)
{
	struct ctl *ctl = arg;
	size_t i;
	const json_t *recipient;
	if (ctl->json) {
		ctl_print_json(json_deep_copy(item));
		return;
	}
	if (json_is_true(json_object_get(item, "damaged"))) {
		print_damaged(item);
		return;
	}
	printf("%s  %s  %lld bytes  <", text_of(item, "queue_id"), text_of(item, "received"),
		(long long)json_integer_value(json_object_get(item, "size_bytes")));
	print_safe(text_of(item, "sender"));
	printf(">\n");
	json_array_foreach(json_object_get(item, "recipients"), i, recipient) {
		printf("    <");
		print_safe(text_of(recipient, "address"));
		printf(">  %s, %lld tries, next %s, to ", text_of(recipient, "state"),
			(long long)json_integer_value(json_object_get(recipient, "tries")), text_of(recipient, "next_try"));
		print_safe(text_of(recipient, "destination"));
		printf("\n");
		if (*text_of(recipient, "destination_now") || *text_of(recipient, "reply_now")) {
			printf("        its next try: ");
			print_safe(text_of(recipient, "destination_now"));
			print_safe(text_of(recipient, "reply_now"));
			printf("\n");
		}
		if (*text_of(recipient, "last_reply")) {
			printf("        ");
			print_safe(text_of(recipient, "last_reply"));
			printf("\n");
		}
	}
}

static bool is_state(const char *word)
{
	return strcmp(word, "held") == 0 || strcmp(word, "waiting") == 0 || strcmp(word, "trying") == 0 || strcmp(word, "damaged") == 0;
}

int cmd_queue_list(struct ctl *ctl, int argc, char **argv)
{
	struct err err;
	json_t *args = json_object(), *result = NULL;
	if (argc > 2) {
		json_decref(args);
		return ctl_usage(ctl);
	}
	if (argc == 2)
		json_object_set_new(args, is_state(argv[1]) ? "state" : "id", json_string(argv[1]));
	if (ctl_settings(ctl) == NULL) {
		json_decref(args);
		return CTL_NO;
	}
	if (ctl_ask(ctl, DAEMONS_MTA, "queue.list", args, print_item, ctl, &result, &err))
		return ctl_fail(&err);
	json_decref(result);
	return CTL_YES;
}

// --- Acts ---

// For the record: the name of whoever gives the command.
static json_t *who(void)
{
	const char *name = getenv("SUDO_USER");
	const struct passwd *user = name && *name ? NULL : getpwuid(getuid());
	return json_sprintf("%s", name && *name ? name : user ? user->pw_name : "somebody");
}

static long long number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static void print_act(const json_t *result)
{
	long long unanswered = number_of(result, "later") + number_of(result, "nobody");
	printf("%lld messages, %lld recipients\n", number_of(result, "messages"), number_of(result, "recipients"));
	if (json_object_get(result, "changed"))
		printf("%lld copies were withdrawn or added\n", number_of(result, "changed"));
	if (unanswered) {
		printf("%lld addresses are left as they are: ", unanswered);
		print_safe(text_of(result, "reply"));
		printf("\n");
	}
}

// What `queue delete --damaged` is about to remove, for people.
static enum err_code print_what_goes(struct ctl *ctl, struct err *err)
{
	json_t *result = NULL;
	if (ctl->json)
		return ERR_OK;
	enum err_code code = ctl_ask(ctl, DAEMONS_MTA, "queue.list", json_pack("{s:s}", "state", "damaged"), print_item, ctl, &result, err);
	json_decref(result);
	return code;
}

static int act(struct ctl *ctl, int argc, char **argv, const char *command, bool takes_why)
{
	struct err err;
	json_t *ids = json_array(), *args, *result = NULL;
	const char *why = NULL;
	const char *address = NULL;
	bool all = false, damaged = false, again = false, good = true, retries = strcmp(command, "queue.retry") == 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--all") == 0)
			all = true;
		else if (strcmp(command, "queue.delete") == 0 && strcmp(argv[i], "--damaged") == 0)
			damaged = true;
		else if (retries && strcmp(argv[i], "--again") == 0)
			again = true;
		else if (retries && strcmp(argv[i], "--recipient") == 0 && i + 1 < argc)
			address = argv[++i];
		else if (takes_why && strcmp(argv[i], "--why") == 0 && i + 1 < argc)
			why = argv[++i];
		else if (argv[i][0] == '-')
			good = false;
		else
			json_array_append_new(ids, json_string(argv[i]));
	}
	if (!good || (address && !again) || all + damaged + (json_array_size(ids) > 0) != 1) {
		json_decref(ids);
		return ctl_usage(ctl);
	}
	if (ctl_settings(ctl) == NULL) {
		json_decref(ids);
		return CTL_NO;
	}
	args = json_pack("{s:o,s:b,s:o}", "ids", ids, "all", all, "who", who());
	if (damaged)
		json_object_set_new(args, "damaged", json_true());
	if (again)
		json_object_set_new(args, "again", json_true());
	if (address)
		json_object_set_new(args, "address", json_string(address));
	if (why)
		json_object_set_new(args, "why", json_string(why));
	if (damaged && print_what_goes(ctl, &err)) {
		json_decref(args);
		return ctl_fail(&err);
	}
	if (ctl_ask(ctl, DAEMONS_MTA, command, args, NULL, NULL, &result, &err))
		return ctl_fail(&err);
	if (ctl->json)
		ctl_print_json(result ? json_incref(result) : json_object());
	else if (result)
		print_act(result);
	json_decref(result);
	return CTL_YES;
}

int cmd_queue_hold(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "queue.hold", true);
}

int cmd_queue_release(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "queue.release", false);
}

int cmd_queue_delete(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "queue.delete", true);
}

int cmd_queue_retry(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "queue.retry", false);
}

// --- stats ---

int cmd_queue_stats(struct ctl *ctl, int argc, char **argv)
{
	struct err err;
	json_t *result = NULL;
	(void)argv;
	if (argc != 1)
		return ctl_usage(ctl);
	if (ctl_settings(ctl) == NULL)
		return CTL_NO;
	if (ctl_ask(ctl, DAEMONS_MTA, "queue.stats", NULL, NULL, NULL, &result, &err))
		return ctl_fail(&err);
	bool balanced = json_is_true(json_object_get(result, "balanced"));
	if (ctl->json) {
		ctl_print_json(json_incref(result));
	} else {
		const char *name;
		json_t *value;
		json_object_foreach(json_object_get(result, "ledger"), name, value)
			printf("%-14s %lld\n", name, (long long)json_integer_value(value));
		printf("the ledger %s\n", balanced ? "adds up" : "does not add up: mail was lost or counted twice");
	}
	json_decref(result);
	return balanced ? CTL_YES : CTL_NO;
}

// --- replay ---

enum { HOURS_MAX = 24 * 365 };

static bool parse_since(const char *text, json_int_t *ms_out)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (end == NULL || *end)
		return false;
	*ms_out = (json_int_t)timegm(&tm) * 1000;
	return true;
}

static bool parse_hours(const char *text, json_int_t *ms_out)
{
	char *end;
	long hours = strtol(text, &end, 10);
	if (end == text || *end || hours <= 0 || hours > HOURS_MAX)
		return false;
	*ms_out = ((json_int_t)time(NULL) - (json_int_t)hours * 3600) * 1000;
	return true;
}

static json_t *replay_args(int argc, char **argv)
{
	json_t *args = json_object();
	bool good = true;
	json_int_t since_ms;
	for (int i = 1; i < argc && good; i += 2) {
		good = i + 1 < argc;
		if (good && strcmp(argv[i], "--host") == 0)
			json_object_set_new(args, "host", json_string(argv[i + 1]));
		else if (good && strcmp(argv[i], "--mailbox") == 0)
			json_object_set_new(args, "mailbox", json_string(argv[i + 1]));
		else if (good && ((strcmp(argv[i], "--since") == 0 && parse_since(argv[i + 1], &since_ms)) ||
					 (strcmp(argv[i], "--hours") == 0 && parse_hours(argv[i + 1], &since_ms))))
			json_object_set_new(args, "since_ms", json_integer(since_ms));
		else
			good = false;
		if (!good && i + 1 < argc)
			fprintf(stderr, "posthouse: %s %s: is not understood; a TIME is written 2026-11-21T19:00:00Z, N is 1 to %d\n", argv[i], argv[i + 1], HOURS_MAX);
	}
	if (good && json_object_get(args, "host"))
		return args;
	json_decref(args);
	return NULL;
}

int cmd_queue_replay(struct ctl *ctl, int argc, char **argv)
{
	struct err err;
	json_t *result = NULL, *args = replay_args(argc, argv);
	if (args == NULL)
		return ctl_usage(ctl);
	if (ctl_settings(ctl) == NULL) {
		json_decref(args);
		return CTL_NO;
	}
	if (ctl_ask(ctl, DAEMONS_MTA, "queue.replay", args, NULL, NULL, &result, &err))
		return ctl_fail(&err);
	if (ctl->json)
		ctl_print_json(result ? json_incref(result) : json_object());
	else
		printf("%lld messages, %lld recipients entered again; %lld messages could not be read\n",
			(long long)json_integer_value(json_object_get(result, "messages")),
			(long long)json_integer_value(json_object_get(result, "recipients")),
			(long long)json_integer_value(json_object_get(result, "unreadable")));
	json_decref(result);
	return CTL_YES;
}
