// SPDX-License-Identifier: Apache-2.0
// posthouse status, reload, metrics: what every daemon answers.
#include <stdio.h>
#include <string.h>

#include "ctl.h"

static void print_status(const struct ctl *ctl, enum daemons_id daemon, const json_t *answer, const struct err *err)
{
	const char *name = daemons_name(daemon), *trouble = json_string_value(json_object_get(answer, "trouble"));
	if (ctl->json)
		ctl_print_json(answer != NULL
			? json_pack("{s:s, s:b, s:O, s:O, s:O, s:O*}", "daemon", name, "serves", 1, "pid", json_object_get(answer, "pid"), "uptime_s",
				json_object_get(answer, "uptime_s"), "version", json_object_get(answer, "version"), "trouble",
				json_object_get(answer, "trouble"))
			: json_pack("{s:s, s:b, s:s}", "daemon", name, "serves", 0, "error", err->text));
	else if (answer != NULL)
		printf("%s: serves, pid %lld, for %lld s, version %s%s%s\n", name, (long long)json_integer_value(json_object_get(answer, "pid")),
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
		if (json_object_get(answer, "trouble"))
			code = CTL_TEMPORARY;
		print_status(ctl, daemon, answer, &err);
		json_decref(answer);
	}
	return code;
}

int cmd_reload(struct ctl *ctl)
{
	if (!ctl_tables_are_good(ctl) || ctl_settings(ctl) == NULL)
		return CTL_NO;
	int code = CTL_YES;
	for (enum daemons_id daemon = 0; daemon < DAEMONS_N; daemon++) {
		struct err err = {ERR_OK, ""};
		if (ctl_ask(ctl, daemon, "reload", NULL, NULL, NULL, NULL, &err))
			code = ctl_fail(&err);
	}
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
