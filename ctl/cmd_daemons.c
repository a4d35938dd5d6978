// SPDX-License-Identifier: Apache-2.0
// posthouse status, reload, metrics: what every daemon answers.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "ctl.h"
#include "ldapsync/directory.h"
#include "mail/domain.h"

enum { TROUBLE_BYTES_MAX = 16 << 10, RELOAD_WAIT_MS = 10000, RELOAD_POLL_MS = 20 };

// False also where it cannot be known.
static bool is_no_host(struct directory *directory, struct str name, struct arena *arena)
{
	struct domain domain;
	struct directory_match match;
	return domain_parse(arena, name, DOMAIN_UTF8, &domain) != DOMAIN_OK ||
	       directory_find(directory, DIRECTORY_HOST, domain.key, arena, &match) == DIRECTORY_NONE;
}

// Adds to what popimap says: a slip in `serves` makes this node nobody's mailbox host, and nothing else would say so. Without the
// setting the node may be meant to hold no mailboxes; a directory without hosts, or one that was never complete, cannot tell.
static void add_trouble_of_serves(struct ctl *ctl, json_t *answer)
{
	const struct settings *settings = ctl_settings(ctl);
	const char *other = json_string_value(json_object_get(answer, "trouble"));
	struct directory *directory =
		directory_open(settings_data_path(settings, ctl->arena, "shadow/shadow.db").p, settings->fresh_s);
	bool none = settings->serves.n > 0 && directory_status(directory).complete &&
		directory_next_key(directory, DIRECTORY_HOST, STR_NONE, ctl->arena).p;
	struct buf text;
	buf_init(&text, TROUBLE_BYTES_MAX);
	buf_printf(&text, "%s%sno host of the directory is one of serves:", other ? other : "", other ? "; " : "");
	for (size_t i = 0; none && i < settings->serves.n; i++) {
		buf_add_c(&text, i ? ", " : " ");
		log_escape(&text, settings->serves.v[i]);
		none = is_no_host(directory, settings->serves.v[i], ctl->arena);
	}
	buf_add_c(&text, "; nobody with a mailHost of the directory has a mailbox on this node");
	if (none)
		json_object_set_new(answer, "trouble", json_stringn(text.p, text.n));
	buf_fini(&text);
	directory_close(&directory);
}

static void print_status(const struct ctl *ctl, enum daemons_id daemon, const json_t *answer, const struct err *err)
{
	const char *name = daemons_name(daemon), *trouble = json_string_value(json_object_get(answer, "trouble"));
	if (ctl->json)
		ctl_print_json(answer != NULL
				       ? json_pack("{s:s, s:b, s:O, s:O, s:O, s:O*}", "daemon", name, "serves", 1, "pid",
						 json_object_get(answer, "pid"), "uptime_s", json_object_get(answer, "uptime_s"),
						 "version", json_object_get(answer, "version"), "trouble",
						 json_object_get(answer, "trouble"))
				       : json_pack("{s:s, s:b, s:s}", "daemon", name, "serves", 0, "error", err->text));
	else if (answer != NULL)
		printf("%s: serves, pid %lld, for %lld s, version %s%s%s\n", name,
			(long long)json_integer_value(json_object_get(answer, "pid")),
			(long long)json_integer_value(json_object_get(answer, "uptime_s")),
			json_string_value(json_object_get(answer, "version")), trouble ? "; but " : "", trouble ? trouble : "");
	else
		printf("%s: %s\n", name, err->text);
}

int cmd_status(struct ctl *ctl)
{
	int code = CTL_YES;
	for (enum daemons_id daemon = 0; daemon < DAEMONS_N; daemon++) {
		struct err err = {ERR_OK, ""};
		json_t *answer = NULL;
		if (ctl_ask(ctl, daemon, "ping", NULL, NULL, NULL, &answer, &err))
			code = err.code == ERR_DENIED ? CTL_DENIED : CTL_TEMPORARY;
		else if (daemon == DAEMONS_POPIMAP)
			add_trouble_of_serves(ctl, answer);
		if (json_object_get(answer, "trouble"))
			code = CTL_TEMPORARY;
		print_status(ctl, daemon, answer, &err);
		json_decref(answer);
	}
	return code;
}

// --- reload ---

// What a daemon says of its settings; NULL when it does not say.
static json_t *settings_of_daemon(struct ctl *ctl, enum daemons_id daemon)
{
	json_t *answer = NULL;
	struct err err;
	return ctl_ask(ctl, daemon, "settings", NULL, NULL, NULL, &answer, &err) ? NULL : answer;
}

static json_int_t reloads_of(const json_t *answer)
{
	return json_integer_value(json_object_get(answer, "reloads"));
}

// Waits until it has read them; RELOAD_WAIT_MS at most, for one that reads thousands of certificates. NULL: it does not say.
static json_t *after_reload(struct ctl *ctl, enum daemons_id daemon, json_int_t before)
{
	for (int64_t end_ms = clock_mono_exact_ms() + RELOAD_WAIT_MS; clock_mono_exact_ms() < end_ms;) {
		json_t *answer = settings_of_daemon(ctl, daemon);
		if (answer == NULL || reloads_of(answer) > before)
			return answer;
		json_decref(answer);
		const struct timespec pause = {.tv_nsec = RELOAD_POLL_MS * 1000000};
		nanosleep(&pause, NULL);
	}
	return NULL;
}

// {"errors": [{"daemon", "error"}], "restart": {setting: [daemon, …]}}
static int add_reload(struct ctl *ctl, enum daemons_id daemon, json_t *errors, json_t *restart)
{
	struct err err = {ERR_OK, ""};
	json_t *before = settings_of_daemon(ctl, daemon), *after, *each;
	size_t i;
	if (ctl_ask(ctl, daemon, "reload", NULL, NULL, NULL, NULL, &err)) {
		json_decref(before);
		return ctl_fail(&err);
	}
	after = before ? after_reload(ctl, daemon, reloads_of(before)) : NULL;
	json_array_foreach(json_object_get(after, "errors"), i, each)
		json_array_append_new(errors, json_pack("{s:s, s:O}", "daemon", daemons_name(daemon), "error", each));
	json_array_foreach(json_object_get(after, "restart"), i, each) {
		json_t *daemons = json_object_get(restart, json_string_value(each));
		if (daemons == NULL) {
			daemons = json_array();
			json_object_set_new(restart, json_string_value(each), daemons);
		}
		json_array_append_new(daemons, json_string(daemons_name(daemon)));
	}
	json_decref(before);
	json_decref(after);
	return CTL_YES;
}

static void print_reload(json_t *errors, json_t *restart)
{
	size_t i, k;
	json_t *each, *daemons, *daemon;
	const char *name;
	json_array_foreach(errors, i, each)
		fprintf(stderr, "posthouse: %s: %s\n", json_string_value(json_object_get(each, "daemon")),
			json_string_value(json_object_get(each, "error")));
	json_object_foreach(restart, name, daemons) {
		printf("%s: takes effect at the next start of", name);
		json_array_foreach(daemons, k, daemon)
			printf("%s %s", k ? "," : "", json_string_value(daemon));
		printf("\n");
	}
}

int cmd_reload(struct ctl *ctl)
{
	if (!ctl_tables_are_good(ctl) || ctl_settings(ctl) == NULL)
		return ctl_settings_wrong(ctl);
	int code = CTL_YES;
	json_t *errors = json_array(), *restart = json_object();
	for (enum daemons_id daemon = 0; daemon < DAEMONS_N; daemon++) {
		int one = add_reload(ctl, daemon, errors, restart);
		code = one ? one : code;
	}
	if (code == CTL_YES && json_array_size(errors))
		code = CTL_NO;
	if (ctl->json) {
		ctl_print_json(json_pack("{s:o, s:o}", "errors", errors, "restart", restart));
		return code;
	}
	print_reload(errors, restart);
	json_decref(errors);
	json_decref(restart);
	return code;
}

int cmd_metrics(struct ctl *ctl)
{
	const char *wanted = ctl->n_args ? ctl->args[0] : NULL;
	bool known = wanted == NULL;
	for (enum daemons_id daemon = 0; daemon < DAEMONS_N; daemon++)
		known = known || strcmp(wanted, daemons_name(daemon)) == 0;
	if (!known)
		return ctl_usage(ctl);
	int code = CTL_YES;
	for (enum daemons_id daemon = 0; daemon < DAEMONS_N; daemon++) {
		if (wanted != NULL && strcmp(wanted, daemons_name(daemon)) != 0)
			continue;
		struct err err = {ERR_OK, ""};
		json_t *answer = NULL;
		if (ctl_ask(ctl, daemon, ctl->json ? "stats" : "metrics", NULL, NULL, NULL, &answer, &err))
			code = ctl_fail(&err);
		else if (ctl->json)
			ctl_print_json(json_pack("{s:s, s:O}", "daemon", daemons_name(daemon), "metrics", answer));
		else
			printf("%s", json_string_value(json_object_get(answer, "text")));
		json_decref(answer);
	}
	return code;
}
