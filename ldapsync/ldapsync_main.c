// SPDX-License-Identifier: Apache-2.0
// posthouse-ldapsync: the only one that opens the directory's source, and the only writer of shadow.db and credentials.db. All
// others read those files and go on when this daemon is stopped, killed or was never started again after a reboot.
//
// One thread follows the LDIF file (follow.c) or an LDAP server (replica.c), one scheduler answers the control socket. Nothing
// listens on the network.
#include <stdlib.h>

#include "base/clock.h"
#include "base/control.h"
#include "base/daemon.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "base/runtime.h"
#include "entries.h"
#include "follow.h"
#include "held.h"
#include "ldap_link.h"
#include "ldapsync_metrics.h"
#include "replica.h"
#include "schema/daemons.h"
#include "verify.h"

enum { RELEASE_POLL_MS = 20 };

enum { MISSING_CLASSES_SHOWN_MAX = 16 };

struct ldapsync {
	struct runtime *runtime;
	struct follow *follow;   // of shadow_ldif, or
	struct replica *replica; // of ldap_uri
	struct entries *entries; // of ldap_uri
	struct verify *verify;
	struct classes *classes; // owned
	struct daemon *daemon;
	struct profile *profile; // owned; what attributes of the source mean
};

// {"state", "provider", "lag_ms", "entries", "held_deletes", "version", …}: the contract of `posthouse directory status --json`.
static void add_missing(void *context, struct str name, uint64_t n, struct str dn)
{
	json_t *list = context;
	if (json_array_size(list) < MISSING_CLASSES_SHOWN_MAX)
		json_array_append_new(list,
			json_pack("{s:s%, s:I, s:s%}", "class", name.p, name.n, "entries", (json_int_t)n, "entry", dn.p, dn.n));
}

static json_t *missing_classes(struct ldapsync *ldapsync)
{
	json_t *list = json_array();
	classes_missing(ldapsync->classes, add_missing, list);
	return list;
}

static void answer_follow_status(struct control_request *request, struct ldapsync *ldapsync)
{
	struct follow *follow = ldapsync->follow;
	struct follow_status status;
	follow_status(follow, &status);
	control_ok(request,
		json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o*}", "state",
			follow_state_name(status.state), "provider", "ldif", "lag_ms", 0, "entries", (json_int_t)status.entries,
			"held_deletes", (json_int_t)status.held.n, "version", (json_int_t)status.version, "loads",
			(json_int_t)status.loads, "failures", (json_int_t)status.failures, "refused",
			(json_int_t)status.last.complaints.refused, "conflicts", (json_int_t)status.last.complaints.conflicts,
			"trouble", status.trouble, "missing_classes", missing_classes(ldapsync), "held",
			held_json(&status.held, clock_wall_ms())));
}

static struct replica_status *replica_status_now(struct replica *replica)
{
	struct replica_status *status = malloc(sizeof *status); // too large for a fiber's stack
	must(status != NULL);
	replica_status(replica, status);
	return status;
}

static void answer_status(struct control_request *request, void *arg)
{
	struct ldapsync *ldapsync = arg;
	if (ldapsync->follow) {
		answer_follow_status(request, ldapsync);
		return;
	}
	struct replica_status *status = replica_status_now(ldapsync->replica);
	control_ok(request,
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:o*}", "state",
			replica_state_name(status->state), "provider", status->provider, "driver", status->driver, "lag_ms",
			(json_int_t)status->lag_ms, "entries", (json_int_t)status->entries, "held_deletes",
			(json_int_t)status->held.n, "version", (json_int_t)status->version, "loads",
			(json_int_t)status->full_refreshes, "resumes", (json_int_t)(status->refreshes - status->full_refreshes),
			"failures", (json_int_t)status->failures, "refused", (json_int_t)status->refused, "conflicts",
			(json_int_t)status->conflicts, "spared", (json_int_t)status->spared, "future_csn",
			status->future_csn, "trouble", status->trouble, "missing_classes",
			missing_classes(ldapsync), "held", held_json(&status->held, clock_wall_ms())));
	free(status);
}

static void add_trouble(struct buf *text, const char *state, const char *why)
{
	buf_printf(text, "the directory is %s%s%s; `posthouse directory status` says more", state, *why ? ": " : "", why);
}

// For `posthouse status`: what only an operator ends, as the log says it at level error. Not a server that is left for the next
// one.
static void trouble(void *arg, struct buf *text)
{
	struct ldapsync *ldapsync = arg;
	if (ldapsync->follow) {
		struct follow_status *status = calloc(1, sizeof *status);
		must(status != NULL);
		follow_status(ldapsync->follow, status);
		if (status->state == FOLLOW_EMPTY || status->state == FOLLOW_STALE || status->state == FOLLOW_BRAKED)
			add_trouble(text, follow_state_name(status->state), status->trouble);
		free(status);
		return;
	}
	struct replica_status *status = replica_status_now(ldapsync->replica);
	if (status->state == REPLICA_EMPTY || status->state == REPLICA_STALE || status->state == REPLICA_BRAKED)
		add_trouble(text, replica_state_name(status->state), status->trouble);
	else if (status->future_csn[0])
		buf_printf(text,
			"the directory has a change number from the future, %s: correct the clock of its server, or ours",
			status->future_csn);
	free(status);
}

static void answer_follow_release(struct control_request *request, struct follow *follow)
{
	struct follow_status status;
	do {
		if (fiber_sleep_ms(RELEASE_POLL_MS) & FIBER_CANCELLED)
			return;
		follow_status(follow, &status);
	} while (status.state == FOLLOW_REFRESH);
	if (status.state == FOLLOW_PERSIST)
		control_ok(request, json_pack("{s:I, s:I, s:I}", "version", (json_int_t)status.version, "entries",
					    (json_int_t)status.entries, "deleted", (json_int_t)status.last.counters.deleted));
	else
		control_fail(request, ERR_BUSY, "%s", status.trouble);
}

// What the next refresh comes to; before: the status when it was asked for.
static void answer_refresh(struct control_request *request, struct replica *replica, const struct replica_status *before)
{
	struct replica_status *status = NULL;
	do {
		free(status);
		if (fiber_sleep_ms(RELEASE_POLL_MS) & FIBER_CANCELLED)
			return;
		status = replica_status_now(replica);
	} while (
		status->refreshes == before->refreshes && status->holds == before->holds && status->failures == before->failures);
	if (status->refreshes > before->refreshes)
		control_ok(request, json_pack("{s:I, s:I, s:I, s:I, s:I}", "version", (json_int_t)status->version, "entries",
					    (json_int_t)status->entries, "added", (json_int_t)status->added, "changed",
					    (json_int_t)status->changed, "deleted", (json_int_t)status->deleted));
	else
		control_fail(request, ERR_BUSY, "%s", status->trouble);
	free(status);
}

// directory.release: lets go what the brake holds and says how that ended.
static void release_held(struct control_request *request, void *arg)
{
	struct ldapsync *ldapsync = arg;
	struct err *err = calloc(1, sizeof *err);
	must(err != NULL);
	struct replica_status *before = ldapsync->replica ? replica_status_now(ldapsync->replica) : NULL;
	enum err_code code = ldapsync->follow ? follow_release(ldapsync->follow, err) : replica_release(ldapsync->replica, err);
	if (code)
		control_fail(request, code, "%s", err->text);
	free(err);
	if (code == ERR_OK) {
		log_warning(NULL, "an administrator releases what the brake held");
		if (ldapsync->follow)
			answer_follow_release(request, ldapsync->follow);
		else
			answer_refresh(request, ldapsync->replica, before);
	}
	free(before);
}

// directory.reconcile: the whole directory is read and compared once more.
static void reconcile(struct control_request *request, void *arg)
{
	struct ldapsync *ldapsync = arg;
	if (ldapsync->follow) {
		control_fail(request, ERR_UNSUPPORTED,
			"the directory is a file, and is compared as a whole each time it is read");
		return;
	}
	struct replica_status *before = replica_status_now(ldapsync->replica);
	replica_reconcile(ldapsync->replica);
	answer_refresh(request, ldapsync->replica, before);
	free(before);
}

// directory.entries: single entries as the server has them now.
static void answer_entries(struct control_request *request, void *arg)
{
	struct ldapsync *ldapsync = arg;
	if (ldapsync->follow) {
		control_fail(request, ERR_UNSUPPORTED, "the directory is a file");
		return;
	}
	struct replica_status *status = replica_status_now(ldapsync->replica);
	struct settings_snapshot *snapshot = daemon_settings(ldapsync->daemon);
	entries_answer(ldapsync->entries, snapshot, status->provider, runtime_workers(ldapsync->runtime), request);
	settings_unref(&snapshot);
	free(status);
}

static struct brake_limits brake_of(const struct settings *settings)
{
	return (struct brake_limits){
		.percent = (uint64_t)settings->shadow_brake_percent, .at_least = (uint64_t)settings->shadow_brake_min};
}

static struct follow_set follow_set_of(const struct settings *settings)
{
	return (struct follow_set){
		.ldif_path = settings->shadow_ldif, .check_ms = settings->shadow_check_ms, .brake = brake_of(settings)};
}

static struct replica_set replica_set_of(const struct settings *settings)
{
	return (struct replica_set){.brake = brake_of(settings), .brake_window_ms = settings->shadow_brake_window_s * 1000};
}

static void found_damage(void *arg, const struct err *err)
{
	struct ldapsync *ldapsync = arg;
	log_warning(NULL, "damage in the shadow", log_err(err));
	if (ldapsync->follow)
		follow_damaged(ldapsync->follow);
	else
		replica_damaged(ldapsync->replica);
}

static enum err_code start_source(struct ldapsync *ldapsync, struct settings_snapshot *snapshot, struct err *err)
{
	const struct settings *settings = settings_of(snapshot);
	struct arena *arena = arena_new(16384);
	enum err_code code;
	ldapsync->classes = classes_new();
	ldapsync->profile = profile_new(settings->ldap_profile, &settings->ldap_map);
	struct images_config images = {.shadow_path = settings_data_path(settings, arena, "shadow/shadow.db").p,
		.credentials_path = settings_data_path(settings, arena, "credentials/credentials.db").p,
		.without_secrets = !settings_checks_passwords(settings), .profile = ldapsync->profile};
	if (settings->ldap_uri.n) {
		struct replica_config config = {
			.images = images, .settings = snapshot, .set = replica_set_of(settings)};
		code = replica_start(&config, &ldapsync->replica, err);
		if (code == ERR_OK)
			code = entries_new(ldapsync->profile, &ldapsync->entries, err);
	} else {
		struct follow_config config = {.images = images, .set = follow_set_of(settings)};
		code = follow_start(&config, &ldapsync->follow, err);
	}
	struct verify_config verify = {.shadow_path = images.shadow_path, .credentials_path = images.credentials_path,
		.every_ms = settings->shadow_verify_s * 1000, .damaged = found_damage, .arg = ldapsync,
		.classes = ldapsync->classes};
	if (code == ERR_OK)
		code = verify_start(&verify, &ldapsync->verify, err);
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
	ldapsync->daemon = daemon;
	static const struct runtime_config config = {.name = "ldapsync", .schedulers = 1, .workers = 1};
	metrics_register(ldapsync_metrics);
	ldap_link_prepare(settings_of(snapshot));
	enum err_code code = runtime_new(&config, &ldapsync->runtime, err);
	if (code == ERR_OK)
		code = start_source(ldapsync, snapshot, err);
	settings_unref(&snapshot);
	if (code)
		return code;
	metrics_on_render(collect, ldapsync);
	static struct control_command commands[] = {{"directory.status", answer_status, NULL},
		{"directory.release", release_held, NULL}, {"directory.reconcile", reconcile, NULL},
		{"directory.entries", answer_entries, NULL}, {NULL, NULL, NULL}};
	commands[0].arg = commands[1].arg = commands[2].arg = commands[3].arg = ldapsync;
	struct control *control = daemon_serve_control(daemon, runtime_sched(ldapsync->runtime, 0));
	if (control) {
		control_on_trouble(control, trouble, ldapsync);
		control_register(control, commands);
	}
	return ERR_OK;
}

static void ldapsync_reload(struct daemon *daemon)
{
	struct ldapsync *ldapsync = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	const struct follow_set of_file = follow_set_of(settings_of(snapshot));
	const struct replica_set of_servers = replica_set_of(settings_of(snapshot));
	if (ldapsync->follow)
		follow_set(ldapsync->follow, &of_file);
	else
		replica_set(ldapsync->replica, &of_servers);
	verify_set(ldapsync->verify, settings_of(snapshot)->shadow_verify_s * 1000);
	settings_unref(&snapshot);
}

static void ldapsync_stop(struct daemon *daemon)
{
	struct ldapsync *ldapsync = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	entries_end_waits(ldapsync->entries);
	if (ldapsync->runtime)
		runtime_stop(ldapsync->runtime, settings_of(snapshot)->stop_deadline_s * 1000);
	settings_unref(&snapshot);
	verify_stop(&ldapsync->verify);
	follow_stop(&ldapsync->follow);
	replica_stop(&ldapsync->replica);
	entries_free(&ldapsync->entries);
	profile_free(&ldapsync->profile);
	if (ldapsync->runtime)
		runtime_free(&ldapsync->runtime);
	classes_free(&ldapsync->classes); // nobody asks for the status any more
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
