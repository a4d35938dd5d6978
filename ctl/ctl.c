// SPDX-License-Identifier: Apache-2.0
// What the commands share: the table, settings, answers, asking daemons.
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/control.h"
#include "base/must.h"

enum {
	ANY = UINT8_MAX,
	ANSWER_MS = 10000, // a daemon that serves answers within milliseconds, one that replays a large queue at its start later
};

const struct ctl_row ctl_rows[] = {
#define COMMAND(name_, run_, arguments_, least_, most_, needs_, prose_) \
	{.name = name_, .run = run_, .arguments = arguments_, .least = least_, .most = most_, .needs = CTL_NEEDS_##needs_, \
		.prose = prose_},
#define OPTION(name_, value_, how_, prose_) {.name = name_, .arguments = value_, .how = CTL_##how_, .prose = prose_},
#include "commands.def"
#undef COMMAND
#undef OPTION
};
const size_t ctl_rows_n = sizeof ctl_rows / sizeof *ctl_rows;

bool ctl_may_read(const char *path)
{
	if (access(path, R_OK) == 0 || errno != EACCES)
		return true;
	fprintf(stderr, "posthouse: %s: %s\n", path, strerror(EACCES));
	return false;
}

int ctl_without_settings(const struct ctl *ctl)
{
	return access(ctl->path, R_OK) && errno == EACCES ? CTL_DENIED : CTL_USAGE;
}

int ctl_settings_wrong(const struct ctl *ctl)
{
	return access(ctl->path, F_OK) && errno == ENOENT ? CTL_USAGE : CTL_NO;
}

const struct settings *ctl_settings(struct ctl *ctl)
{
	if (ctl->snapshot == NULL) {
		struct settings_report report;
		settings_report_init(&report);
		if (ctl_may_read(ctl->path) && settings_load(&settings_table, ctl->path, &report, &ctl->snapshot))
			fputs(buf_c(&report.lines), stderr);
		settings_report_fini(&report);
	}
	return ctl->snapshot != NULL ? settings_of(ctl->snapshot) : NULL;
}

int ctl_exit_of(enum err_code code)
{
	if (code == ERR_OK)
		return CTL_YES;
	if (code == ERR_DENIED)
		return CTL_DENIED;
	if (code == ERR_INVALID)
		return CTL_USAGE;
	return err_is_temporary(code) ? CTL_TEMPORARY : CTL_NO;
}

int ctl_file_fail(const struct err *err)
{
	int code = ctl_fail(err);
	return code == CTL_DENIED ? CTL_DENIED : CTL_USAGE;
}

int ctl_fail(const struct err *err)
{
	fprintf(stderr, "posthouse: %s\n", err->text);
	return ctl_exit_of(err->code);
}

void ctl_print_json(json_t *object)
{
	must(object != NULL);
	char *text = json_dumps(object, JSON_COMPACT);
	must(text != NULL);
	puts(text);
	free(text);
	json_decref(object);
}

enum err_code ctl_ask(struct ctl *ctl, enum daemons_id daemon, const char *command, json_t *args,
	void (*item)(const json_t *item, void *arg), void *arg, json_t **result_out, struct err *err)
{
	const struct settings *settings = ctl_settings(ctl);
	must(settings != NULL);
	struct control_client *client;
	enum err_code code = control_open(daemons_control_path(settings, ctl->arena, daemon).p, &client, err);
	if (code) {
		json_decref(args);
		// That it does not run says nothing about the question: 75, cannot know.
		return code == ERR_NOTFOUND || code == ERR_CONNECT
			? err_set(err, ERR_CONNECT, "posthouse-%s does not run (%s)", daemons_name(daemon),
				daemons_control_path(settings, ctl->arena, daemon).p)
			: code;
	}
	code = control_ping(client, ANSWER_MS, err);
	if (code == ERR_OK)
		code = control_ask(client, command, args, item, arg, result_out, err);
	else
		json_decref(args);
	if (code == ERR_TIMEOUT)
		err_set(err, code, "posthouse-%s does not answer (%s): it is starting, stopped or hangs", daemons_name(daemon),
			daemons_control_path(settings, ctl->arena, daemon).p);
	control_close(&client);
	return code;
}
