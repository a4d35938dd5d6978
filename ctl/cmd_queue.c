// SPDX-License-Identifier: Apache-2.0
// posthouse queue list, hold, release, delete, retry, stats, replay: what waits in the queue of this node, and what is to become
// of it.
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "ldapsync/directory.h"
#include "mail/domain.h"

// --- list ---

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

static long long number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
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
	printf(">, %lld bytes, received %s, by way of ", (long long)json_integer_value(json_object_get(item, "size_bytes")),
		text_of(item, "received"));
	print_safe(text_of(item, "destination"));
	printf("\n");
}

// "1 message", "2 messages"
#define COUNT_FMT "%lld %s"
#define COUNT(n, one, many) (n), (n) == 1 ? (one) : (many)

static void print_recipient(const json_t *recipient)
{
	long long tries = number_of(recipient, "tries");
	size_t i;
	const json_t *also;
	printf("    <");
	print_safe(text_of(recipient, "address"));
	if (*text_of(recipient, "original") || json_array_size(json_object_get(recipient, "also"))) {
		printf(">, came for <");
		print_safe(text_of(recipient, *text_of(recipient, "original") ? "original" : "address"));
	}
	json_array_foreach(json_object_get(recipient, "also"), i, also) {
		printf("> and <");
		print_safe(json_string_value(also));
	}
	printf(">  %s, " COUNT_FMT ", next %s, to ", text_of(recipient, "state"), COUNT(tries, "try", "tries"),
		text_of(recipient, "next_try"));
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

struct listing {
	struct ctl *ctl;
	size_t n; // out
};

static void print_item(const json_t *item, void *arg)
{
	struct listing *listing = arg;
	struct ctl *ctl = listing->ctl;
	size_t i;
	const json_t *recipient;
	listing->n++;
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
	json_array_foreach(json_object_get(item, "recipients"), i, recipient)
		print_recipient(recipient);
}

// A word that JSON cannot say would be left out of the question, which then means more mail than was asked for.
static bool is_sayable(const char *name, const char *value)
{
	json_t *said = value ? json_string(value) : json_null();
	if (said == NULL)
		fprintf(stderr, "posthouse: the value of %s is not UTF-8; write it in a terminal, or a file, of that character set\n",
			name);
	json_decref(said);
	return said != NULL;
}

// False: what is not was said.
static bool all_is_sayable(const struct ctl *ctl)
{
	static const char *const options[] = {"--to", "--from", "--recipient", "--why"};
	bool good = true;
	for (size_t i = 0; good && i < sizeof options / sizeof *options; i++)
		good = is_sayable(options[i], ctl_option(ctl, options[i]));
	for (size_t i = 0; good && i < ctl->n_args; i++)
		good = is_sayable("an argument", ctl->args[i]);
	return good;
}

static void add_addresses(struct ctl *ctl, json_t *args)
{
	static const char *const names[] = {"to", "from"}, *const options[] = {"--to", "--from"};
	for (size_t i = 0; i < 2; i++)
		if (ctl_option(ctl, options[i]))
			json_object_set_new(args, names[i], json_string(ctl_option(ctl, options[i])));
}

static bool is_state(const char *word)
{
	return strcmp(word, "held") == 0 || strcmp(word, "waiting") == 0 || strcmp(word, "trying") == 0 ||
	       strcmp(word, "damaged") == 0;
}

int cmd_queue_list(struct ctl *ctl)
{
	struct err err;
	struct listing listing = {.ctl = ctl};
	if (!all_is_sayable(ctl))
		return CTL_USAGE;
	json_t *args = json_object(), *result = NULL;
	bool by_id = ctl->n_args && !is_state(ctl->args[0]);
	if (ctl->n_args)
		json_object_set_new(args, by_id ? "id" : "state", json_string(ctl->args[0]));
	bool by_address = ctl_option(ctl, "--to") || ctl_option(ctl, "--from");
	add_addresses(ctl, args);
	if (ctl_ask(ctl, DAEMONS_MTA, "queue.list", args, print_item, &listing, &result, &err))
		return ctl_fail(&err);
	json_decref(result);
	if (by_address && listing.n == 0)
		return CTL_NO;
	if (by_id && listing.n == 0) {
		(void)err_set(&err, ERR_NOTFOUND, "%s: no such message", ctl->args[0]);
		return ctl_fail(&err);
	}
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

static void print_act(const json_t *result)
{
	long long unanswered = number_of(result, "later") + number_of(result, "nobody"),
		  withdrawn = number_of(result, "withdrawn");
	long long messages = number_of(result, "messages"), recipients = number_of(result, "recipients");
	printf(COUNT_FMT ", " COUNT_FMT "\n", COUNT(messages, "message", "messages"),
		COUNT(recipients, "recipient", "recipients"));
	if (json_object_get(result, "changed"))
		printf(COUNT_FMT " withdrawn, %lld added\n", COUNT(withdrawn, "copy was", "copies were"),
			number_of(result, "changed") - withdrawn);
	if (unanswered) {
		printf(COUNT_FMT ": ", COUNT(unanswered, "address is left as it is", "addresses are left as they are"));
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
	struct listing listing = {.ctl = ctl};
	enum err_code code = ctl_ask(ctl, DAEMONS_MTA, "queue.list", json_pack("{s:s}", "state", "damaged"), print_item, &listing,
		&result, err);
	json_decref(result);
	return code;
}

static int act(struct ctl *ctl, const char *command)
{
	struct err err;
	if (!all_is_sayable(ctl))
		return CTL_USAGE;
	json_t *ids = json_array(), *args, *result = NULL;
	const char *why = ctl_option(ctl, "--why"), *address = ctl_option(ctl, "--recipient");
	bool all = ctl_option(ctl, "--all"), damaged = ctl_option(ctl, "--damaged"), again = ctl_option(ctl, "--again");
	for (size_t i = 0; i < ctl->n_args; i++)
		json_array_append_new(ids, json_string(ctl->args[i]));
	if (address && !again) {
		json_decref(ids);
		return ctl_wrong(ctl, "--recipient", "stands with --again");
	}
	args = json_pack("{s:o,s:b,s:o}", "ids", ids, "all", all, "who", who());
	if (damaged)
		json_object_set_new(args, "damaged", json_true());
	if (again)
		json_object_set_new(args, "again", json_true());
	if (address)
		json_object_set_new(args, "address", json_string(address));
	add_addresses(ctl, args);
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

int cmd_queue_hold(struct ctl *ctl)
{
	return act(ctl, "queue.hold");
}

int cmd_queue_release(struct ctl *ctl)
{
	return act(ctl, "queue.release");
}

int cmd_queue_delete(struct ctl *ctl)
{
	return act(ctl, "queue.delete");
}

int cmd_queue_retry(struct ctl *ctl)
{
	return act(ctl, "queue.retry");
}

// --- stats ---

int cmd_queue_stats(struct ctl *ctl)
{
	struct err err;
	json_t *result = NULL;
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

// The moment from which on; false when an option is no good, and that was said.
static bool take_since(struct ctl *ctl, json_t *args)
{
	const char *since = ctl_option(ctl, "--since"), *hours = ctl_option(ctl, "--hours");
	json_int_t since_ms;
	if (since && hours) {
		ctl_wrong(ctl, "--hours", "stands without --since");
		return false;
	}
	if (since && !parse_since(since, &since_ms)) {
		ctl_wrong(ctl, "--since", "is not understood; a TIME is written 2026-11-21T19:00:00Z");
		return false;
	}
	if (hours && !parse_hours(hours, &since_ms)) {
		ctl_wrong(ctl, "--hours", "is not understood; N is 1 to 8760");
		return false;
	}
	if (since || hours)
		json_object_set_new(args, "since_ms", json_integer(since_ms));
	return true;
}

// Nobody's name is most likely misspelt; a host that the directory has no more may have mail here all the same.
static bool is_host(struct ctl *ctl, const char *host)
{
	const struct settings *settings = ctl_settings(ctl);
	struct directory_match match;
	struct domain name;
	bool known = str_eq_nocase(str_of_c(host), settings->hostname);
	for (size_t i = 0; i < settings->serves.n; i++)
		known = known || str_eq_nocase(str_of_c(host), settings->serves.v[i]);
	if (known || domain_parse(ctl->arena, str_of_c(host), DOMAIN_UTF8, &name) != DOMAIN_OK)
		return known;
	struct directory *directory =
		directory_open(settings_data_path(settings, ctl->arena, "shadow/shadow.db").p, settings->fresh_s);
	// of a shadow that cannot say: yes
	known = directory_find(directory, DIRECTORY_HOST, name.key, ctl->arena, &match) != DIRECTORY_NONE;
	directory_close(&directory);
	return known;
}

int cmd_queue_replay(struct ctl *ctl)
{
	struct err err;
	const char *host = ctl_option(ctl, "--host"), *mailbox = ctl_option(ctl, "--mailbox");
	json_t *result = NULL, *args = json_pack("{s:s, s:s*}", "host", host, "mailbox", mailbox);
	if (args == NULL || !take_since(ctl, args)) {
		json_decref(args);
		return CTL_USAGE;
	}
	if (ctl_ask(ctl, DAEMONS_MTA, "queue.replay", args, NULL, NULL, &result, &err))
		return ctl_fail(&err);
	long long messages = number_of(result, "messages"), recipients = number_of(result, "recipients");
	long long unreadable = number_of(result, "unreadable");
	if (messages == 0 && unreadable == 0 && !is_host(ctl, host)) {
		json_decref(result);
		(void)err_set(&err, ERR_NOTFOUND,
			"--host %s: neither the directory nor what was delivered from here knows this mailbox host", host);
		return ctl_fail(&err);
	}
	if (ctl->json)
		ctl_print_json(result ? json_incref(result) : json_object());
	else
		printf(COUNT_FMT ", " COUNT_FMT " entered again; " COUNT_FMT " could not be read\n",
			COUNT(messages, "message", "messages"), COUNT(recipients, "recipient", "recipients"),
			COUNT(unreadable, "message", "messages"));
	json_decref(result);
	return CTL_YES;
}
