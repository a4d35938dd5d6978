// SPDX-License-Identifier: Apache-2.0
// Messages of the persistent search, into the images. Nothing is committed in REFRESH before refreshDone; in PERSIST whatever
// waits is one transaction.
#include "replica_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "ldapsync_metrics.h"

enum { CONFIRMS_PER_FRESH = 6 }; // a confirmation is written so often in fresh_s at most

// --- Databases ---

// What readers have serves on until all was read once more. The CSNs stay: a server that lacks what we had is no better for it
// (I4).
static void make_anew(struct replica *replica, const char *why)
{
	if (!replica->images.beside)
		log_error(NULL,
			"the shadow is damaged; it is made anew beside the old one, which serves as far as it can be read",
			log_c("error", why));
	apply_abort(replica->apply);
	images_remake(&replica->images);
	replica_poll_forget(replica);
	replica->stored.usable = false;
	replica->stored.polled[0] = '\0';
	replica->confirmed_ms = 0;
	replica_read_state(replica);
}

// A database that failed is made anew when it is damaged; all else may be better the next time.
enum outcome replica_database_failed(struct replica *replica, const struct err *err)
{
	log_error(NULL, "cannot write to the shadow", log_err(err));
	replica_set_trouble(replica, err->text);
	apply_abort(replica->apply);
	if (images_are_damaged(err->code))
		make_anew(replica, err->text);
	return ENDED_FAILED;
}

bool replica_heal(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	bool damaged = replica->damaged;
	replica->damaged = false;
	pthread_mutex_unlock(&replica->mutex);
	if (!replica->images.beside && damaged)
		make_anew(replica, "found by a look at all of it");
	else if (!images_are_in_place(&replica->images))
		make_anew(replica, "a file of it was removed, replaced or cut");
	else
		return false;
	return true;
}

void replica_confirm(struct replica *replica, int64_t asked_mono_ms)
{
	struct err err;
	int64_t now_ms = clock_mono_ms();
	int64_t confirmed_ms = clock_wall_ms() - (now_ms - asked_mono_ms);
	if (!replica->complete || replica->step.refreshing)
		return;
	replica->confirmed_ms = confirmed_ms;
	if (now_ms - replica->confirm_written_ms < replica->settings->fresh_s * 1000 / CONFIRMS_PER_FRESH)
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
	struct brake_held held = *apply_held(replica->apply);
	replica->has_released = false;
	unconfirm(replica);
	pthread_mutex_lock(&replica->mutex);
	bool is_news = replica->status.held.n != held.n || replica->status.held.what != held.what;
	held.since_ms = replica->status.held.n ? replica->status.held.since_ms : clock_wall_ms();
	replica->status.held = held;
	replica->status.holds++;
	pthread_mutex_unlock(&replica->mutex);
	replica_set_trouble(replica, err->text);
	metric_add(&metric_ldapsync_holds, 1);
	metric_set(&metric_ldapsync_held, (int64_t)held.n);
	if (is_news)
		log_error(NULL,
			"the directory's changes are held by the brake; the last good view serves, and nobody is unknown for "
			"good",
			log_c("server", replica->uri), log_c("what", held.what), log_u64("gone", held.n), log_u64("of", held.of),
			log_err(err));
}

static void not_held(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	replica->status.held = (struct brake_held){0};
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_held, 0);
	replica->has_released = false;
}

enum apply_result replica_commit(struct replica *replica, bool refresh, struct err *err)
{
	struct replica_set set = replica_set_now(replica);
	struct apply_commit how = {.refresh = refresh, .purge = refresh && replica->step.purge, .cookie = &replica->step.cookie,
		.confirmed_ms = replica->confirmed_ms, .limits = set.brake, .brake_window_ms = set.brake_window_ms,
		.released = replica->has_released ? &replica->released : NULL};
	enum apply_result result = apply_commit(replica->apply, &how, err);
	replica->batch_ms = 0;
	if (result == APPLY_HELD)
		replica->held_refresh = refresh;
	if (result != APPLY_DONE)
		return result;
	replica->stored = replica->step.cookie;
	if (refresh) {
		images_take_place(&replica->images);
		not_held(replica);
	}
	replica_read_state(replica);
	return result;
}

enum outcome replica_not_committed(struct replica *replica, enum apply_result result, const struct err *err)
{
	if (result != APPLY_HELD)
		return replica_database_failed(replica, err);
	held(replica, err);
	return ENDED_BRAKED;
}

void replica_refreshed(struct replica *replica, bool had_all)
{
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
	replica->fails = 0;
	replica_forget_lags(replica);
	replica->taking_older = false;
	replica->confirm_written_ms = clock_mono_ms();
	if (!replica->full)
		replica_was_away(replica);
	metric_add(replica->full ? &metric_ldapsync_loads : &metric_ldapsync_resumes, 1);
	metric_add(&metric_ldapsync_drift, drifted ? c->added + c->changed + c->deleted : 0);
	replica_enter(replica, REPLICA_PERSIST);
	log_info(NULL, "directory refreshed", log_c("server", replica->uri), log_bool("from_cookie", !replica->full),
		log_u64("entries", c->entries + c->added - c->deleted), log_u64("added", c->added),
		log_u64("changed", c->changed), log_u64("deleted", c->deleted), log_u64("moved", c->moved),
		log_u64("refused", apply_complaints(replica->apply)->refused),
		log_u64("conflicts", apply_complaints(replica->apply)->conflicts),
		log_i64("ms", clock_mono_ms() - replica->refresh_began_ms));
	if (drifted)
		log_warning(NULL, "the copy differed from the directory although it had all changes; it is equal again",
			log_c("server", replica->uri), log_u64("entries", c->added + c->changed + c->deleted));
}

// Do changes come with their numbers? Those of a 389-ds do not: its vector is asked for.
bool replica_tells_csns(const struct replica *replica)
{
	return replica->begun.form == CSN_OPENLDAP;
}

static void count_spared(void *context, const struct guid *uuid)
{
	size_t *n = context;
	(void)uuid;
	(*n)++;
}

// Who is not mentioned stays for a while after a change between servers that do not show how far they are: no longer than
// ldap_lag_s from now on, whatever a clock that was ahead has said before. Then all is compared, even if it was meanwhile.
static bool spare_some(struct replica *replica, struct err *err)
{
	size_t n = 0;
	int64_t now_ms = clock_wall_ms();
	int64_t latest_ms = now_ms + replica->settings->ldap_lag_s * 1000;
	replica->spare_until_ms = clock_earlier(replica->spare_until_ms, latest_ms);
	bool spares = replica->step.purge && now_ms < replica->spare_until_ms;
	if (spares)
		replica_plan_reconcile_at(replica, replica->spare_until_ms);
	if (spares && apply_unseen_each(replica->apply, count_spared, &n, err))
		return false;
	if (spares)
		replica->step.purge = false;
	replica_set_spared(replica, n);
	return true;
}

static bool finish_refresh(struct replica *replica, enum outcome *outcome_out, struct err *err)
{
	if (!spare_some(replica, err)) {
		*outcome_out = replica_database_failed(replica, err);
		return false;
	}
	if (!replica_tells_csns(replica))
		(void)csns_merge(&replica->step.cookie.csns, &replica->begun); // had before it began to tell
	// Equal to what the last answer said, so confirmed as of its question.
	if (csns_dominate(&replica->step.cookie.csns, &replica->heartbeat.theirs))
		replica->confirmed_ms = clock_wall_ms() - (clock_mono_ms() - replica->heartbeat.answer_of_ms);
	// It had all changes: what is put right now should not have been wrong.
	bool had_all = replica->full && replica->complete && guid_eq(&replica->stored.scope, &replica->step.cookie.scope) &&
		       csns_eq(&replica->stored.csns, &replica->step.cookie.csns);
	enum apply_result result = replica_commit(replica, true, err);
	if (result != APPLY_DONE) {
		*outcome_out = replica_not_committed(replica, result, err);
		return false;
	}
	(void)heartbeat_advanced(&replica->heartbeat, &replica->stored.csns);
	replica_refreshed(replica, had_all);
	return true;
}

// --- Messages ---

static enum err_code each_uuid(struct replica *replica, struct str uuids,
	enum err_code (*each)(struct apply *, const struct guid *, struct err *), struct err *err)
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
		*outcome_out = replica_database_failed(replica, err);
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
	struct str dn = str_upto(message->entry.dn, sizeof replica->last_dn - 1);
	if (!str_to_c(dn, replica->last_dn, sizeof replica->last_dn))
		replica->last_dn[0] = '\0';
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
	int64_t before_ms = replica->heartbeat.answer_of_ms;
	*outcome_out = ENDED_FAILED;
	replica_note_future(replica, csns);
	if (!replica_tells_csns(replica)) {
		replica_forget_replicas(replica, csns);
		if (!replica->step.refreshing)
			heartbeat_settled(&replica->heartbeat, &replica->step.cookie.csns);
	}
	switch (heartbeat_answered(&replica->heartbeat, csns, &replica->step.cookie.csns, clock_mono_ms())) {
	case HEARTBEAT_EQUAL:
		replica_confirm(replica, replica->heartbeat.answer_of_ms);
		return true;
	case HEARTBEAT_BEHIND:
		if (!replica_tells_csns(replica))
			replica_confirm(replica, before_ms);
		return true;
	case HEARTBEAT_BACK:
		err_set(err, ERR_PROTOCOL, "it no longer has changes that it gave us");
		return false;
	case HEARTBEAT_MUTE:
		err_set(err, ERR_DENIED, "it does not show us how far it is any more");
		return false;
	}
	unreachable("heartbeat_answer");
}

bool replica_take(struct replica *replica, enum ldap_link_next next, struct ldap_link_message *message, enum outcome *outcome_out,
	struct err *err)
{
	replica->heard_ms = clock_mono_exact_ms();
	if (next != LDAP_LINK_CSNS)
		replica->told_ms = replica->heard_ms;
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
		if (err->code == ERR_LIMIT && replica->last_dn[0])
			err_wrap(err, "after %s", replica->last_dn);
		return false;
	}
	unreachable("ldap_link_next");
}

// What has come is in the vector of the server by now. It is committed with the data, so that no server that lacks it is loaded
// from, and where it cannot be read, the data is not.
static bool ask_csns(struct replica *replica, struct err *err)
{
	struct csns csns;
	if (replica_tells_csns(replica))
		return true;
	if (ldap_link_csns(replica->link, replica->settings->ldap_base, &csns, err))
		return false;
	(void)csns_merge(&replica->step.cookie.csns, &csns);
	return true;
}

// What waits in PERSIST becomes visible. False: the connection ends.
bool replica_commit_batch(struct replica *replica, enum outcome *outcome_out, struct err *err)
{
	if (replica->step.refreshing || replica->batch_ms == 0)
		return true;
	*outcome_out = ENDED_FAILED;
	if (!ask_csns(replica, err))
		return false;
	if (heartbeat_advanced(&replica->heartbeat, &replica->step.cookie.csns))
		replica->confirmed_ms = clock_wall_ms() - (clock_mono_ms() - replica->heartbeat.answer_of_ms);
	enum apply_result result = replica_commit(replica, false, err);
	if (result == APPLY_DONE) {
		images_checkpoint(&replica->images); // where changes never pause, too
		return true;
	}
	*outcome_out = replica_not_committed(replica, result, err);
	return false;
}
