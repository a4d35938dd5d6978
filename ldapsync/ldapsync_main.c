// SPDX-License-Identifier: Apache-2.0
// posthouse-ldapsync: the only one that opens the directory's source, and the only writer of shadow.db and credentials.db. All others
// read those files and go on when this daemon is stopped, killed or was never started again after a reboot.
//
// One thread follows the LDIF file (follow.c), one scheduler answers the control socket. Nothing listens on the network.
#include <stdlib.h>

#include "base/control.h"
#include "base/daemon.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "base/runtime.h"
#include "follow.h"
#include "ldapsync_metrics.h"
#include "schema/daemons.h"

enum { ACCEPT_POLL_MS = 20 };

struct ldapsync {
	struct runtime *runtime;
	struct follow *follow;
};

// {"state", "provider", "lag_ms", "entries", "held_deletes", "version", …}: the contract of `posthouse directory status --json`.
static void answer_status(struct control_request *request, void *arg)
{
	struct ldapsync *ldapsync = arg;
	struct follow_status status;
	follow_status(ldapsync->follow, &status);
	control_ok(request, json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "state", follow_state_name(status.state),
				    "provider", "ldif", "lag_ms", 0, "entries", (json_int_t)status.entries, "held_deletes",
				    (json_int_t)status.held.n, "version", (json_int_t)status.version, "loads", (json_int_t)status.loads,
				    "failures", (json_int_t)status.failures, "refused", (json_int_t)status.last.complaints.refused, "conflicts",
				    (json_int_t)status.last.complaints.conflicts, "trouble", status.trouble));
}

// directory.release: loads what the brake holds and says how that ended.
static void release_held(struct control_request *request, void *arg)
{
	struct ldapsync *ldapsync = arg;
	struct follow_status status;
	struct err *err = calloc(1, sizeof *err);
	must(err != NULL);
	enum err_code code = follow_release(ldapsync->follow, err);
	if (code) {
		control_fail(request, code, "%s", err->text);
		free(err);
		return;
	}
	free(err);
	log_warning(NULL, "an administrator releases what the brake held");
	do {
		if (fiber_sleep_ms(ACCEPT_POLL_MS) & FIBER_CANCELLED)
			return;
		follow_status(ldapsync->follow, &status);
	} while (status.state == FOLLOW_REFRESH);
	if (status.state == FOLLOW_PERSIST)
		control_ok(request, json_pack("{s:I, s:I, s:I}", "version", (json_int_t)status.version, "entries", (json_int_t)status.entries,
			"deleted", (json_int_t)status.last.counters.deleted));
	else
		control_fail(request, ERR_BUSY, "%s", status.trouble);
}

static struct follow_set follow_set_of(const struct settings *settings)
{
	return (struct follow_set){.ldif_path = settings->shadow_ldif, .check_ms = settings->shadow_check_ms,
		.brake = {.percent = (uint64_t)settings->shadow_brake_percent, .at_least = (uint64_t)settings->shadow_brake_min}};
}

static enum err_code start_follow(struct ldapsync *ldapsync, const struct settings *settings, struct err *err)
{
	struct arena *arena = arena_new(16384);
	struct follow_config config = {
		.shadow_path = settings_data_path(settings, arena, "shadow/shadow.db").p,
		.credentials_path = settings_data_path(settings, arena, "credentials/credentials.db").p,
		.set = follow_set_of(settings),
	};
	enum err_code code = follow_start(&config, &ldapsync->follow, err);
	arena_free(&arena);
	return code;
}

static void collect(void *arg)
{
	runtime_collect(((struct ldapsync *)arg)->runtime);
}

static enum err_code ldapsync_post_jail(struct daemon *daemon, struct err *err)
{
	struct ldapsync *ldapsync = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	static const struct runtime_config config = {.name = "ldapsync", .schedulers = 1, .workers = 1};
	metrics_register(ldapsync_metrics);
	enum err_code code = runtime_new(&config, &ldapsync->runtime, err);
	if (code == ERR_OK)
		code = start_follow(ldapsync, settings_of(snapshot), err);
	settings_unref(&snapshot);
	if (code)
		return code;
	metrics_on_render(collect, ldapsync);
	static struct control_command commands[] = {
		{"directory.status", answer_status, NULL}, {"directory.release", release_held, NULL}, {NULL, NULL, NULL}};
	commands[0].arg = commands[1].arg = ldapsync;
	struct control *control = daemon_serve_control(daemon, runtime_sched(ldapsync->runtime, 0));
	if (control)
		control_register(control, commands);
	return ERR_OK;
}

static void ldapsync_reload(struct daemon *daemon)
{
	struct ldapsync *ldapsync = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	const struct follow_set set = follow_set_of(settings_of(snapshot));
	follow_set(ldapsync->follow, &set);
	settings_unref(&snapshot);
}

static void ldapsync_stop(struct daemon *daemon)
{
	struct ldapsync *ldapsync = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	if (ldapsync->runtime)
		runtime_stop(ldapsync->runtime, settings_of(snapshot)->stop_deadline_s * 1000);
	settings_unref(&snapshot);
	follow_stop(&ldapsync->follow);
	if (ldapsync->runtime)
		runtime_free(&ldapsync->runtime);
}

int main(int argc, char **argv)
{
	static struct ldapsync ldapsync;
	static const struct daemon_spec spec = {
		.name = "ldapsync",
		.settings = &settings_table,
		.options = daemons_ldapsync_options,
		.post_jail = ldapsync_post_jail,
		.reload = ldapsync_reload,
		.stop = ldapsync_stop,
	};
	return daemon_main(&spec, &ldapsync, argc, argv);
}
