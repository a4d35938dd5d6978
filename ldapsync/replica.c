// SPDX-License-Identifier: Apache-2.0
// Following a directory on LDAP servers.
//
// The thread: pick a server, connect and bind (CONNECT), ask for its contextCSN and the realms of domains (VERIFY), begin the persistent
// search with the stored cookie, take messages until the search or the connection ends. Nothing is committed in REFRESH before refreshDone;
// in PERSIST whatever waits is one transaction, committed when nothing more is there to be read. A server that owes us an answer and says
// nothing for ldap_timeout_s is left.
//
// Crash story: every commit leaves data and cookie of one moment (apply.c); a start goes on from there, on whichever server dominates it.
// What is held or half applied was rolled back and comes again.
#include "replica.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "apply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "base/thread.h"
#include "heartbeat.h"
#include "ldap_link.h"
#include "ldapsync_metrics.h"
#include "schema/attr.h"
#include "sync_step.h"

enum {
	BACKOFF_MIN_MS = 250,
	BACKOFF_MAX_MS = 8000,
	BRAKED_RETRY_MS = 60000,
	BATCH_MS = 50,         // changes that keep coming are committed after so long
	CONFIRMS_PER_FRESH = 6, // a confirmation is written so often in fresh_s at most
	HEARTBEATS_PER_FRESH = 3,
	NEVER_HOUR = 24,
};

struct replica {
	pthread_t thread;
	struct settings_snapshot *snapshot; // owned reference
	const struct settings *settings;    // of it
	struct images images;
	struct watchdog *watchdog;
	int wake_fd; // eventfd

	// of the thread
	struct apply *apply;
	struct ldap_link *link;   // NULL: none
	const char *uri;          // borrowed from the settings
	size_t server;            // which of them
	struct arena *arena;      // filter, scope
	const char *filter;
	const char **attributes;  // NULL ends them
	struct guid scope;
	struct sync_cookie stored; // as of the last commit
	struct sync_step step;
	struct heartbeat heartbeat;
	bool complete, full, taking_older; // a whole refresh is stored; this search sent no cookie; a release lets an older directory in
	size_t lagging;           // servers in a row that lacked changes of ours
	int64_t confirmed_ms;     // wall clock, of the shadow
	int64_t confirm_written_ms;
	int64_t heard_ms, batch_ms, refresh_began_ms;
	int64_t next_reconcile_ms; // wall clock
	unsigned fails;           // in a row
	bool has_released;
	struct image_counters released;

	pthread_mutex_t mutex; // guards the rest
	struct replica_set set;
	bool stopping, release, reconcile;
	struct replica_status status;
	struct image_counters held_counters;
};

// How one connection ended.
enum outcome {
	ENDED_FAILED,  // this server is of no use now
	ENDED_RELOAD,  // connect again, without a cookie
	ENDED_AGAIN,   // connect again
	ENDED_BRAKED,
	ENDED_STOPPED,
};

static const char *const state_names[] = {
	[REPLICA_INIT] = "INIT",
	[REPLICA_CONNECT] = "CONNECT",
	[REPLICA_VERIFY] = "VERIFY",
	[REPLICA_REFRESH] = "REFRESH",
	[REPLICA_PERSIST] = "PERSIST",
	[REPLICA_BACKOFF] = "BACKOFF",
	[REPLICA_BRAKED] = "BRAKED",
	[REPLICA_STALE] = "STALE",
	[REPLICA_EMPTY] = "EMPTY",
};

// Bits of the states that may follow.
static const unsigned successors[] = {
	[REPLICA_INIT] = 1u << REPLICA_CONNECT,
	[REPLICA_CONNECT] = 1u << REPLICA_VERIFY | 1u << REPLICA_BACKOFF,
	[REPLICA_VERIFY] = 1u << REPLICA_REFRESH | 1u << REPLICA_BACKOFF,
	[REPLICA_REFRESH] = 1u << REPLICA_PERSIST | 1u << REPLICA_BRAKED | 1u << REPLICA_BACKOFF | 1u << REPLICA_CONNECT,
	[REPLICA_PERSIST] = 1u << REPLICA_BRAKED | 1u << REPLICA_BACKOFF | 1u << REPLICA_CONNECT,
	[REPLICA_BACKOFF] = 1u << REPLICA_CONNECT,
	[REPLICA_BRAKED] = 1u << REPLICA_CONNECT,
};

const char *replica_state_name(enum replica_state state)
{
	return state_names[state];
}

// --- Status ---

static void enter(struct replica *replica, enum replica_state state)
{
	pthread_mutex_lock(&replica->mutex);
	must(successors[replica->status.state] & 1u << state);
	replica->status.state = state;
	if (state == REPLICA_CONNECT)
		snprintf(replica->status.provider, sizeof replica->status.provider, "%s", replica->uri);
	if (state == REPLICA_PERSIST)
		replica->status.trouble[0] = '\0';
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_connected, state == REPLICA_REFRESH || state == REPLICA_PERSIST);
}

static void set_trouble(struct replica *replica, const char *text)
{
	pthread_mutex_lock(&replica->mutex);
	snprintf(replica->status.trouble, sizeof replica->status.trouble, "%s", text);
	pthread_mutex_unlock(&replica->mutex);
}

static void set_lag(struct replica *replica)
{
	bool served = replica->link && !replica->step.refreshing && replica->heartbeat.answer_of_ms;
	int64_t lag_ms = served ? heartbeat_lag_ms(&replica->heartbeat, clock_mono_ms()) :
				  replica->confirmed_ms ? clock_wall_ms() - replica->confirmed_ms : 0;
	pthread_mutex_lock(&replica->mutex);
	replica->status.lag_ms = lag_ms > 0 ? lag_ms : 0;
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_lag_ms, lag_ms > 0 ? lag_ms : 0);
}

// What is committed, for the status.
static void read_state(struct replica *replica)
{
	struct image_state state;
	struct err err;
	if (image_state(replica->images.shadow, &state, &err) != ERR_OK)
		return;
	const struct complaints *complaints = apply_complaints(replica->apply);
	replica->complete = state.complete;
	pthread_mutex_lock(&replica->mutex);
	replica->status.version = state.version;
	replica->status.entries = state.entries;
	replica->status.refused = complaints->refused;
	replica->status.conflicts = complaints->conflicts;
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_entries, (int64_t)state.entries);
	metric_set(&metric_ldapsync_version, (int64_t)state.version);
	metric_set(&metric_ldapsync_refused, (int64_t)complaints->refused);
	metric_set(&metric_ldapsync_conflicts, (int64_t)complaints->conflicts);
}

// The states of a machine without a server are shown as what they mean for readers.
void replica_status(struct replica *replica, struct replica_status *status_out)
{
	pthread_mutex_lock(&replica->mutex);
	*status_out = replica->status;
	pthread_mutex_unlock(&replica->mutex);
	bool served = status_out->state == REPLICA_REFRESH || status_out->state == REPLICA_PERSIST;
	if (status_out->held.n)
		status_out->state = REPLICA_BRAKED;
	else if (!served && status_out->version == 0)
		status_out->state = REPLICA_EMPTY;
	else if (!served && status_out->lag_ms > replica->settings->fresh_s * 1000)
		status_out->state = REPLICA_STALE;
}

static bool is_stopping(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	bool stopping = replica->stopping;
	pthread_mutex_unlock(&replica->mutex);
	return stopping;
}

static struct replica_set set_now(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	struct replica_set set = replica->set;
	pthread_mutex_unlock(&replica->mutex);
	return set;
}

// --- Databases ---

// A database that failed is made anew when it is damaged; all else may be better the next time.
static enum outcome database_failed(struct replica *replica, const struct err *err)
{
	log_error(NULL, "cannot write to the shadow", log_err(err));
	set_trouble(replica, err->text);
	apply_abort(replica->apply);
	if (images_are_damaged(err->code)) {
		images_remake(&replica->images);
		replica->stored = (struct sync_cookie){0};
		replica->confirmed_ms = 0;
		read_state(replica);
	}
	return ENDED_FAILED;
}

static void confirm(struct replica *replica, int64_t asked_mono_ms, bool at_once)
{
	struct err err;
	int64_t now_ms = clock_mono_ms();
	int64_t confirmed_ms = clock_wall_ms() - (now_ms - asked_mono_ms);
	if (!replica->complete || replica->step.refreshing)
		return;
	replica->confirmed_ms = confirmed_ms;
	if (!at_once && now_ms - replica->confirm_written_ms < replica->settings->fresh_s * 1000 / CONFIRMS_PER_FRESH)
		return;
	if (apply_has_begun(replica->apply))
		return; // the commit writes it
	replica->confirm_written_ms = now_ms;
	if (apply_confirm(replica->apply, true, confirmed_ms, &err))
		log_error(NULL, "cannot write to the shadow", log_err(&err));
}

static void unconfirm(struct replica *replica)
{
	struct err err;
	if (replica->complete && apply_confirm(replica->apply, false, replica->confirmed_ms, &err))
		log_error(NULL, "cannot write to the shadow", log_err(&err));
}

// --- Commits ---

static void held(struct replica *replica, const struct err *err)
{
	struct image_counters counters;
	struct brake_held held = apply_held(replica->apply, &counters);
	replica->has_released = false;
	unconfirm(replica);
	pthread_mutex_lock(&replica->mutex);
	bool is_news = replica->status.held.n != held.n || replica->status.held.what != held.what;
	replica->status.held = held;
	replica->status.holds++;
	replica->held_counters = counters;
	pthread_mutex_unlock(&replica->mutex);
	set_trouble(replica, err->text);
	metric_add(&metric_ldapsync_holds, 1);
	metric_set(&metric_ldapsync_held, (int64_t)held.n);
	if (is_news)
		log_error(NULL, "the directory's changes are held by the brake; the last good view serves, and nobody is unknown for good",
			log_c("server", replica->uri), log_c("what", held.what), log_u64("gone", held.n), log_u64("of", held.of), log_err(err));
}

static void not_held(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	replica->status.held = (struct brake_held){0};
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_held, 0);
	replica->has_released = false;
}

static enum apply_result commit(struct replica *replica, bool refresh, struct err *err)
{
	struct replica_set set = set_now(replica);
	struct apply_commit how = {.refresh = refresh, .purge = refresh && replica->step.purge, .cookie = &replica->step.cookie,
		.confirmed_ms = replica->confirmed_ms, .limits = set.brake, .brake_window_ms = set.brake_window_ms,
		.released = replica->has_released ? &replica->released : NULL};
	enum apply_result result = apply_commit(replica->apply, &how, err);
	replica->batch_ms = 0;
	if (result != APPLY_DONE)
		return result;
	replica->stored = replica->step.cookie;
	if (refresh)
		not_held(replica);
	read_state(replica);
	return result;
}

static enum outcome not_committed(struct replica *replica, enum apply_result result, const struct err *err)
{
	if (result != APPLY_HELD)
		return database_failed(replica, err);
	held(replica, err);
	return ENDED_BRAKED;
}

static bool finish_refresh(struct replica *replica, enum outcome *outcome_out, struct err *err)
{
	// Equal to what the last answer said, so confirmed as of its question.
	if (csns_dominate(&replica->step.cookie.csns, &replica->heartbeat.theirs))
		replica->confirmed_ms = clock_wall_ms() - (clock_mono_ms() - replica->heartbeat.answer_of_ms);
	// It had all changes: what is put right now should not have been wrong.
	bool had_all = replica->full && replica->complete && guid_eq(&replica->stored.scope, &replica->step.cookie.scope) &&
		       csns_eq(&replica->stored.csns, &replica->step.cookie.csns);
	enum apply_result result = commit(replica, true, err);
	if (result != APPLY_DONE) {
		*outcome_out = not_committed(replica, result, err);
		return false;
	}
	const struct image_counters *c = apply_counters(replica->apply);
	bool drifted = had_all && (c->added || c->changed || c->deleted);
	pthread_mutex_lock(&replica->mutex);
	replica->status.refreshes++;
	replica->status.full_refreshes += replica->full;
	replica->status.added = c->added;
	replica->status.changed = c->changed;
	replica->status.deleted = c->deleted;
	replica->status.lagging = false;
	pthread_mutex_unlock(&replica->mutex);
	(void)heartbeat_advanced(&replica->heartbeat, &replica->stored.csns);
	replica->fails = 0;
	replica->lagging = 0;
	replica->taking_older = false;
	replica->confirm_written_ms = clock_mono_ms();
	metric_add(replica->full ? &metric_ldapsync_loads : &metric_ldapsync_resumes, 1);
	metric_add(&metric_ldapsync_drift, drifted ? c->added + c->changed + c->deleted : 0);
	enter(replica, REPLICA_PERSIST);
	log_info(NULL, "directory refreshed", log_c("server", replica->uri), log_bool("from_cookie", !replica->full),
		log_u64("entries", c->entries + c->added - c->deleted), log_u64("added", c->added), log_u64("changed", c->changed),
		log_u64("deleted", c->deleted), log_u64("moved", c->moved), log_u64("refused", apply_complaints(replica->apply)->refused),
		log_u64("conflicts", apply_complaints(replica->apply)->conflicts), log_i64("ms", clock_mono_ms() - replica->refresh_began_ms));
	if (drifted)
		log_warning(NULL, "the copy differed from the directory although it had all changes; it is equal again", log_c("server", replica->uri),
			log_u64("entries", c->added + c->changed + c->deleted));
	return true;
}

// --- Messages ---

static enum err_code each_uuid(struct replica *replica, struct str uuids, enum err_code (*each)(struct apply *, const struct guid *, struct err *),
	struct err *err)
{
	struct guid uuid;
	enum err_code code = ERR_OK;
	while (code == ERR_OK && sync_uuid_next(&uuids, &uuid))
		code = each(replica->apply, &uuid, err);
	return code;
}

// Does what a step says. False: *outcome_out says how the connection ends, and err why.
static bool act(struct replica *replica, enum sync_do what, struct ldap_link_message *message, const struct sync_state *state,
	const struct sync_info *info, enum outcome *outcome_out, struct err *err)
{
	enum err_code code = ERR_OK;
	switch (what) {
	case SYNC_NOTHING:
		return true;
	case SYNC_PUT:
		message->entry.uuid = &state->uuid;
		code = apply_put(replica->apply, &message->entry, err);
		break;
	case SYNC_KEEP:
		code = apply_keep(replica->apply, &state->uuid, err);
		break;
	case SYNC_DROP:
		code = apply_drop(replica->apply, &state->uuid, err);
		break;
	case SYNC_KEEP_ALL:
		code = each_uuid(replica, info->uuids, apply_keep, err);
		break;
	case SYNC_DROP_ALL:
		code = each_uuid(replica, info->uuids, apply_drop, err);
		break;
	case SYNC_FINISH:
		return finish_refresh(replica, outcome_out, err);
	case SYNC_COMMIT:
		if (replica->batch_ms == 0)
			replica->batch_ms = clock_mono_exact_ms();
		return true;
	case SYNC_RELOAD:
		*outcome_out = ENDED_RELOAD;
		return false;
	case SYNC_FAIL:
		*outcome_out = ENDED_FAILED;
		return false;
	}
	if (code) {
		*outcome_out = database_failed(replica, err);
		return false;
	}
	if (!replica->step.refreshing) {
		metric_add(&metric_ldapsync_changes, 1);
		if (replica->batch_ms == 0)
			replica->batch_ms = clock_mono_exact_ms();
	}
	return true;
}

static bool take_entry(struct replica *replica, struct ldap_link_message *message, enum outcome *outcome_out, struct err *err)
{
	struct sync_state state;
	*outcome_out = ENDED_FAILED;
	if (!sync_state_parse(message->control, &state)) {
		err_set(err, ERR_PROTOCOL, "a sync state control that does not parse");
		return false;
	}
	enum sync_do what = sync_step_state(&replica->step, &state);
	if (what == SYNC_FAIL)
		err_set(err, ERR_PROTOCOL, "%s", replica->step.trouble);
	return act(replica, what, message, &state, NULL, outcome_out, err);
}

static bool take_info(struct replica *replica, struct ldap_link_message *message, enum outcome *outcome_out, struct err *err)
{
	struct sync_info info;
	*outcome_out = ENDED_FAILED;
	if (!sync_info_parse(message->control, &info)) {
		err_set(err, ERR_PROTOCOL, "a sync info message that does not parse");
		return false;
	}
	enum sync_do what = sync_step_info(&replica->step, &info);
	if (what == SYNC_FAIL)
		err_set(err, ERR_PROTOCOL, "%s", replica->step.trouble);
	return act(replica, what, message, NULL, &info, outcome_out, err);
}

static bool take_csns(struct replica *replica, const struct csns *csns, enum outcome *outcome_out, struct err *err)
{
	*outcome_out = ENDED_FAILED;
	switch (heartbeat_answered(&replica->heartbeat, csns, &replica->step.cookie.csns, clock_mono_ms())) {
	case HEARTBEAT_EQUAL:
		confirm(replica, replica->heartbeat.answer_of_ms, false);
		return true;
	case HEARTBEAT_BEHIND:
		return true;
	case HEARTBEAT_BACK:
		err_set(err, ERR_PROTOCOL, "it no longer has changes that it gave us");
		return false;
	case HEARTBEAT_MUTE:
		err_set(err, ERR_DENIED, "it does not show us contextCSN any more");
		return false;
	}
	unreachable("heartbeat_answer");
}

static bool take(struct replica *replica, enum ldap_link_next next, struct ldap_link_message *message, enum outcome *outcome_out, struct err *err)
{
	replica->heard_ms = clock_mono_exact_ms();
	switch (next) {
	case LDAP_LINK_NOTHING:
		return true;
	case LDAP_LINK_ENTRY:
		return take_entry(replica, message, outcome_out, err);
	case LDAP_LINK_INFO:
		return take_info(replica, message, outcome_out, err);
	case LDAP_LINK_CSNS:
		return take_csns(replica, message->csns, outcome_out, err);
	case LDAP_LINK_END:
		*outcome_out = sync_step_end(&replica->step, message->result) == SYNC_RELOAD ? ENDED_RELOAD : ENDED_FAILED;
		return false;
	case LDAP_LINK_BROKEN:
		*outcome_out = ENDED_FAILED;
		return false;
	}
	unreachable("ldap_link_next");
}

// What waits in PERSIST becomes visible. False: the connection ends.
static bool commit_batch(struct replica *replica, enum outcome *outcome_out, struct err *err)
{
	if (replica->step.refreshing || replica->batch_ms == 0)
		return true;
	if (heartbeat_advanced(&replica->heartbeat, &replica->step.cookie.csns))
		replica->confirmed_ms = clock_wall_ms() - (clock_mono_ms() - replica->heartbeat.answer_of_ms);
	enum apply_result result = commit(replica, false, err);
	if (result == APPLY_DONE)
		return true;
	*outcome_out = not_committed(replica, result, err);
	return false;
}

// --- One connection ---

static bool is_asked_to_reconcile(struct replica *replica)
{
	int64_t wall_ms = clock_wall_ms();
	bool due = replica->next_reconcile_ms && wall_ms >= replica->next_reconcile_ms;
	pthread_mutex_lock(&replica->mutex);
	bool asked = replica->reconcile;
	replica->reconcile = false;
	pthread_mutex_unlock(&replica->mutex);
	return due || asked;
}

static void plan_reconcile(struct replica *replica)
{
	static const struct guid none;
	struct guid name = guid_derive(&none, replica->settings->hostname, STR("reconcile")); // not all nodes at once
	int hour = (int)replica->settings->ldap_reconcile_hour;
	replica->next_reconcile_ms = hour == NEVER_HOUR ? 0 : replica_next_reconcile_ms(clock_wall_ms(), hour, name.b[0] % 60);
}

int64_t replica_next_reconcile_ms(int64_t wall_ms, int hour, int minute)
{
	time_t now = (time_t)(wall_ms / 1000);
	struct tm tm;
	localtime_r(&now, &tm);
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	struct tm tomorrow = tm;
	tomorrow.tm_mday++;
	time_t at = mktime(&tm);
	return (int64_t)(at > now ? at : mktime(&tomorrow)) * 1000;
}

static int64_t heartbeat_ms(const struct replica *replica)
{
	return clock_earlier(replica->settings->ldap_heartbeat_ms, replica->settings->fresh_s * 1000 / HEARTBEATS_PER_FRESH);
}

// Between two messages, when none waits. False: the connection ends.
static bool look_around(struct replica *replica, enum outcome *outcome_out, struct err *err)
{
	int64_t now_ms = clock_mono_exact_ms();
	if (is_stopping(replica)) {
		*outcome_out = ENDED_STOPPED;
		return false;
	}
	*outcome_out = ENDED_AGAIN;
	if (!replica->step.refreshing && apply_realms_changed(replica->apply))
		return false; // names to log in by follow from the realms of domains: all entries are taken in again
	if (!replica->step.refreshing && is_asked_to_reconcile(replica)) {
		plan_reconcile(replica);
		*outcome_out = ENDED_RELOAD;
		return false;
	}
	*outcome_out = ENDED_FAILED;
	if (replica->heartbeat.waits && now_ms - replica->heartbeat.sent_ms > replica->settings->ldap_timeout_s * 1000 &&
		now_ms - replica->heard_ms > replica->settings->ldap_timeout_s * 1000) {
		err_set(err, ERR_TIMEOUT, "no answer to a heartbeat for %lld s", (long long)replica->settings->ldap_timeout_s);
		return false;
	}
	if (!replica->heartbeat.waits && now_ms - replica->heartbeat.sent_ms >= heartbeat_ms(replica)) {
		heartbeat_sent(&replica->heartbeat, &replica->step.cookie.csns, now_ms);
		if (ldap_link_ask_csns(replica->link, err))
			return false;
	}
	set_lag(replica);
	return true;
}

static void wait_for_message(struct replica *replica)
{
	struct pollfd fds[] = {{.fd = ldap_link_fd(replica->link), .events = POLLIN}, {.fd = replica->wake_fd, .events = POLLIN}};
	int64_t next_ms = replica->heartbeat.waits ? replica->settings->ldap_timeout_s * 1000 :
						     replica->heartbeat.sent_ms + heartbeat_ms(replica) - clock_mono_exact_ms();
	uint64_t count;
	if (poll(fds, 2, next_ms > 0 ? (int)next_ms + 1 : 0) > 0 && fds[1].revents)
		(void)!read(replica->wake_fd, &count, sizeof count);
}

// The persistent search, to its end.
static enum outcome follow_search(struct replica *replica, struct err *err)
{
	enum outcome outcome = ENDED_FAILED;
	for (;;) {
		struct ldap_link_message message;
		enum ldap_link_next next = ldap_link_next(replica->link, &message, err);
		if (next != LDAP_LINK_NOTHING) {
			if (!take(replica, next, &message, &outcome, err))
				return outcome;
			if (replica->batch_ms && clock_mono_exact_ms() - replica->batch_ms > BATCH_MS && !commit_batch(replica, &outcome, err))
				return outcome;
			continue;
		}
		if (!commit_batch(replica, &outcome, err) || !look_around(replica, &outcome, err))
			return outcome;
		wait_for_message(replica);
	}
}

static void survey(void *context, const struct raw_entry *entry)
{
	intake_survey(context, entry);
}

// The scope of what is asked for and how it is taken in: a cookie is good for one scope only.
static struct guid scope_of(struct replica *replica)
{
	struct intake *intake = apply_intake(replica->apply);
	struct guid scope = intake_realms_hash(intake);
	scope = guid_derive(&scope, replica->settings->ldap_base, str_of_c(replica->filter));
	for (size_t i = 0; replica->attributes[i]; i++)
		scope = guid_derive(&scope, str_of_c(replica->attributes[i]), STR("attribute"));
	char version[16];
	snprintf(version, sizeof version, "%d", INTAKE_VERSION);
	return guid_derive(&scope, str_of_c(version), STR("intake"));
}

static enum err_code survey_realms(struct replica *replica, struct err *err)
{
	static const char *const attributes[] = {"objectClass", "associatedDomain", "phAuthRealm", NULL};
	apply_forget_realms(replica->apply);
	enum err_code code = ldap_link_each(replica->link, replica->settings->ldap_base.p, "(&(objectClass=phMailDomain)(phAuthRealm=*))", attributes,
		survey, apply_intake(replica->apply), err);
	if (code)
		return err_wrap(err, "read the realms of domains");
	intake_surveyed(apply_intake(replica->apply));
	replica->scope = scope_of(replica);
	return ERR_OK;
}

// I4, and what the first heartbeat would say.
static enum err_code verify(struct replica *replica, struct err *err)
{
	struct csns csns;
	heartbeat_begin(&replica->heartbeat);
	heartbeat_sent(&replica->heartbeat, &replica->stored.csns, clock_mono_exact_ms());
	enum err_code code = ldap_link_csns(replica->link, replica->settings->ldap_base, &csns, err);
	if (code)
		return code;
	bool takes_older = replica->taking_older;
	if (takes_older) {
		replica->stored.csns.n = 0;
		replica->stored.usable = false;
	}
	switch (sync_step_check_server(&replica->stored, &csns)) {
	case SYNC_SERVER_GOOD:
		break;
	case SYNC_SERVER_LAGS:
		replica->lagging++;
		pthread_mutex_lock(&replica->mutex);
		replica->status.lagging = replica->lagging >= replica->settings->ldap_uri.n;
		pthread_mutex_unlock(&replica->mutex);
		return err_set(err, ERR_BUSY, "it lacks changes that we hold; were all servers set back, `posthouse directory release` takes it as it is");
	case SYNC_SERVER_MUTE:
		return err_set(err, ERR_DENIED, "it does not show us contextCSN: may %s read it?",
			replica->settings->ldap_bind_dn.n ? replica->settings->ldap_bind_dn.p : "anybody");
	}
	heartbeat_sent(&replica->heartbeat, &replica->stored.csns, replica->heartbeat.sent_ms);
	(void)heartbeat_answered(&replica->heartbeat, &csns, &replica->stored.csns, clock_mono_exact_ms());
	return survey_realms(replica, err);
}

static enum err_code begin_search(struct replica *replica, bool reload, struct err *err)
{
	struct buf cookie, request;
	buf_init(&cookie, IMAGE_COOKIE_BYTES_MAX);
	buf_init(&request, IMAGE_COOKIE_BYTES_MAX + 64);
	if (!reload)
		sync_cookie_request(&replica->stored, &replica->scope, str_of_c(replica->uri), &cookie);
	must(sync_request_add(&request, buf_str(&cookie), false));
	replica->full = cookie.n == 0;
	sync_step_begin(&replica->step, &replica->stored, &replica->scope, str_of_c(replica->uri), !replica->full);
	replica->refresh_began_ms = replica->heard_ms = clock_mono_exact_ms();
	enum err_code code = ldap_link_sync(replica->link, replica->settings->ldap_base.p, replica->filter, replica->attributes, buf_str(&request), err);
	buf_fini(&cookie);
	buf_fini(&request);
	return code;
}

static enum outcome serve_from(struct replica *replica, bool reload, struct err *err)
{
	enter(replica, REPLICA_CONNECT);
	if (ldap_link_open(replica->settings, replica->uri, replica->watchdog, &replica->link, err))
		return ENDED_FAILED;
	enter(replica, REPLICA_VERIFY);
	if (verify(replica, err))
		return ENDED_FAILED;
	enter(replica, REPLICA_REFRESH);
	if (begin_search(replica, reload, err))
		return ENDED_FAILED;
	log_info(NULL, "directory server is followed", log_c("server", replica->uri), log_bool("from_cookie", !replica->full));
	return follow_search(replica, err);
}

// --- All of them ---

// Waits; true when something was asked for meanwhile.
static bool rest(struct replica *replica, int64_t ms)
{
	struct pollfd fd = {.fd = replica->wake_fd, .events = POLLIN};
	uint64_t count;
	set_lag(replica);
	if (poll(&fd, 1, (int)ms) <= 0)
		return false;
	(void)!read(replica->wake_fd, &count, sizeof count);
	return true;
}

// An administrator's release, if there is one.
static void take_release(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	bool release = replica->release;
	replica->release = false;
	if (release && replica->status.held.n) {
		replica->released = replica->held_counters;
		replica->has_released = true;
	} else if (release) {
		replica->taking_older = true;
	}
	pthread_mutex_unlock(&replica->mutex);
}

static void stay_braked(struct replica *replica)
{
	int64_t until_ms = clock_mono_exact_ms() + BRAKED_RETRY_MS, now_ms;
	enter(replica, REPLICA_BRAKED);
	while (!is_stopping(replica) && (now_ms = clock_mono_exact_ms()) < until_ms) {
		take_release(replica);
		if (replica->has_released)
			return;
		rest(replica, clock_earlier(until_ms - now_ms, 1000)); // each second, for the lag
	}
}

// One try is enough to know that a server is down; all of them are tried before we wait.
static void back_off(struct replica *replica, const struct err *err)
{
	bool all = replica->fails % replica->settings->ldap_uri.n == replica->settings->ldap_uri.n - 1;
	unsigned rounds = replica->fails / (unsigned)replica->settings->ldap_uri.n;
	int64_t wait_ms = BACKOFF_MIN_MS;
	enter(replica, REPLICA_BACKOFF);
	set_trouble(replica, err->text);
	pthread_mutex_lock(&replica->mutex);
	replica->status.failures++;
	pthread_mutex_unlock(&replica->mutex);
	metric_add(&metric_ldapsync_failures, 1);
	if (rounds == 0 || (rounds & (rounds - 1)) == 0) // each time that the wait has doubled
		log_warning(NULL, "directory server is left; the last good view serves", log_c("server", replica->uri), log_err(err));
	replica->fails++;
	replica->server = (replica->server + 1) % replica->settings->ldap_uri.n;
	for (unsigned i = 0; i < rounds && wait_ms < BACKOFF_MAX_MS; i++)
		wait_ms *= 2;
	int64_t until_ms = clock_mono_exact_ms() + (all ? wait_ms - random_below((uint32_t)wait_ms / 4) : 0), now_ms;
	while (!is_stopping(replica) && (now_ms = clock_mono_exact_ms()) < until_ms)
		rest(replica, clock_earlier(until_ms - now_ms, 1000));
}

static void *replica_thread(void *arg)
{
	struct replica *replica = arg;
	bool reload = false;
	plan_reconcile(replica);
	while (!is_stopping(replica)) {
		struct err err = {0};
		take_release(replica);
		replica->uri = replica->settings->ldap_uri.v[replica->server].p;
		enum outcome outcome = serve_from(replica, reload, &err);
		apply_abort(replica->apply);
		replica->batch_ms = 0;
		ldap_link_close(&replica->link);
		bool was_reload = reload;
		reload = false;
		if (is_stopping(replica))
			break;
		switch (outcome) {
		case ENDED_FAILED:
			reload = was_reload && replica->step.refreshing; // what was asked for is still to be done
			back_off(replica, &err);
			break;
		case ENDED_RELOAD:
			reload = true;
			if (replica->step.refreshing && replica->full) // it refuses a search without a cookie
				back_off(replica, &err);
			break;
		case ENDED_AGAIN:
			break;
		case ENDED_BRAKED:
			stay_braked(replica);
			break;
		case ENDED_STOPPED:
			break;
		}
	}
	return NULL;
}

// --- Start and stop ---

static void wake(struct replica *replica)
{
	uint64_t one = 1;
	(void)!write(replica->wake_fd, &one, sizeof one); // full means awake
}

void replica_set(struct replica *replica, const struct replica_set *set)
{
	pthread_mutex_lock(&replica->mutex);
	replica->set = *set;
	pthread_mutex_unlock(&replica->mutex);
	wake(replica);
}

enum err_code replica_release(struct replica *replica, struct err *err)
{
	pthread_mutex_lock(&replica->mutex);
	bool is_held = replica->status.held.n > 0 || replica->status.lagging;
	replica->release = is_held;
	pthread_mutex_unlock(&replica->mutex);
	if (!is_held)
		return err_set(err, ERR_NOTFOUND, "no version of the directory is held");
	wake(replica);
	return ERR_OK;
}

void replica_reconcile(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	replica->reconcile = true;
	pthread_mutex_unlock(&replica->mutex);
	wake(replica);
}

// What we read of an entry, and the filter for those that may have some of it.
static void make_search(struct replica *replica)
{
	size_t n = 0, room = ATTR_NUMBER_MAX + 2;
	replica->attributes = arena_must(replica->arena, room * sizeof *replica->attributes);
	replica->attributes[n++] = "objectClass";
	for (unsigned number = 1; number <= ATTR_NUMBER_MAX; number++)
		if (attr_by_number(number))
			replica->attributes[n++] = attr_by_number(number)->name;
	replica->attributes[n] = NULL;
	replica->filter = replica->settings->ldap_filter.n ? replica->settings->ldap_filter.p :
#define CLASS_FILTER(id, bit, name) "(objectClass=" name ")"
							     "(|" ATTR_CLASSES(CLASS_FILTER) "(mail=*)(member=*))";
#undef CLASS_FILTER
}

// Another source's shadow serves until the first refresh is whole, and nobody is unknown for good by it.
static enum err_code read_stored(struct replica *replica, struct err *err)
{
	struct image_state state;
	enum err_code code = apply_read_cookie(replica->apply, &replica->stored, err);
	if (code == ERR_OK)
		code = image_state(replica->images.shadow, &state, err);
	if (code)
		return code;
	read_state(replica);
	bool is_ours = str_eq(state.source, STR("ldap"));
	replica->confirmed_ms = state.complete && is_ours ? state.confirmed_ms : 0;
	return state.complete && !is_ours && state.source_ok ? apply_confirm(replica->apply, false, state.confirmed_ms, err) : ERR_OK;
}

static void let_go(struct replica **replica_in)
{
	struct replica *replica = *replica_in;
	apply_free(&replica->apply);
	images_close(&replica->images);
	watchdog_stop(&replica->watchdog);
	if (replica->wake_fd >= 0)
		close(replica->wake_fd);
	pthread_mutex_destroy(&replica->mutex);
	arena_free(&replica->arena);
	settings_unref(&replica->snapshot);
	free(replica);
	*replica_in = NULL;
}

static enum err_code start(struct replica *replica, const struct replica_config *config, struct err *err)
{
	if (replica->wake_fd < 0)
		return err_errno(err, "eventfd");
	enum err_code code = images_open(&replica->images, config->shadow_path, config->credentials_path, err);
	if (code)
		return code;
	replica->apply = apply_new(&replica->images, "ldap");
	make_search(replica);
	code = read_stored(replica, err);
	if (code == ERR_OK)
		code = watchdog_start(&replica->watchdog, err);
	return code ? code : thread_start(&replica->thread, "ldap", replica_thread, replica, err);
}

enum err_code replica_start(const struct replica_config *config, struct replica **replica_out, struct err *err)
{
	struct replica *replica = calloc(1, sizeof *replica);
	must(replica != NULL && pthread_mutex_init(&replica->mutex, NULL) == 0);
	replica->snapshot = settings_ref(config->settings);
	replica->settings = settings_of(replica->snapshot);
	must(replica->settings->ldap_uri.n > 0);
	replica->set = config->set;
	replica->arena = arena_new(1 << 16);
	replica->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	enum err_code code = start(replica, config, err);
	if (code)
		let_go(&replica);
	else
		*replica_out = replica;
	return code;
}

void replica_stop(struct replica **replica)
{
	if (*replica == NULL)
		return;
	pthread_mutex_lock(&(*replica)->mutex);
	(*replica)->stopping = true;
	pthread_mutex_unlock(&(*replica)->mutex);
	watchdog_end_waits((*replica)->watchdog);
	wake(*replica);
	pthread_join((*replica)->thread, NULL);
	let_go(replica);
}
