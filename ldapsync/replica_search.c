// SPDX-License-Identifier: Apache-2.0
// One connection to one server: is it up to date, the search, and what there is to do between two messages.
#include "replica_parts.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "nightly.h"

enum {
	BATCH_MS = 50, // changes that keep coming are committed after so long
	HEARTBEATS_PER_FRESH = 3,
	BEHINDS_PER_FRESH = 6, // so much of fresh_s a search may be silent while its server is ahead
	NEVER_HOUR = 24,
	DAY_MS = 24 * 60 * 60 * 1000,
};

// --- One connection ---

bool replica_is_asked_to_reconcile(struct replica *replica)
{
	bool due = nightly_is_due(replica->next_reconcile_ms, clock_wall_ms());
	pthread_mutex_lock(&replica->mutex);
	bool asked = replica->reconcile;
	replica->reconcile = false;
	pthread_mutex_unlock(&replica->mutex);
	return due || asked;
}

void replica_plan_reconcile(struct replica *replica)
{
	static const struct guid none;
	struct guid name = guid_derive(&none, replica->settings->hostname, STR("reconcile")); // not all nodes at once
	int hour = (int)replica->settings->ldap_reconcile_hour;
	replica->next_reconcile_ms = hour == NEVER_HOUR ? 0 : nightly_next_ms(clock_wall_ms(), hour, name.b[0] % 60);
}

// A day on at most: what is planned for later is taken for the plan of a clock that was ahead (nightly_is_due).
void replica_plan_reconcile_at(struct replica *replica, int64_t wall_ms)
{
	wall_ms = clock_earlier(wall_ms, clock_wall_ms() + DAY_MS);
	if (replica->next_reconcile_ms == 0 || wall_ms < replica->next_reconcile_ms)
		replica->next_reconcile_ms = wall_ms;
}

void replica_was_away(struct replica *replica)
{
	int64_t away_ms = replica->settings->ldap_reconcile_away_s * 1000;
	if (away_ms && replica->stored.opaque_n)
		replica_plan_reconcile_at(replica, clock_wall_ms() + away_ms);
}

static int64_t heartbeat_ms(const struct replica *replica)
{
	return clock_earlier(replica->settings->ldap_heartbeat_ms, replica->settings->fresh_s * 1000 / HEARTBEATS_PER_FRESH);
}

// Between two messages, when none waits. False: the connection ends.
// slapd (2.5) says nothing to a search when an entry goes that it does not find, and its contextCSN moves: until something else
// changes we would be behind, and after fresh_s nobody unknown for good. A new search with our cookie is told where it stands
// (I8).
static bool is_told_nothing(const struct replica *replica, int64_t now_ms)
{
	const int64_t behind_ms = replica->heartbeat.behind_ms;
	return !replica->step.refreshing && replica_tells_csns(replica) && behind_ms && replica->told_ms < behind_ms &&
	       now_ms - behind_ms > replica->settings->fresh_s * 1000 / BEHINDS_PER_FRESH;
}

static bool look_around(struct replica *replica, enum outcome *outcome_out, struct err *err)
{
	int64_t now_ms = clock_mono_exact_ms();
	if (replica_is_stopping(replica)) {
		*outcome_out = ENDED_STOPPED;
		return false;
	}
	*outcome_out = ENDED_AGAIN;
	if (replica_heal(replica))
		return false;
	if (!replica->step.refreshing && apply_realms_changed(replica->apply))
		return false; // names to log in by follow from the realms of domains: all entries are taken in again
	if (!replica->step.refreshing && replica_is_asked_to_reconcile(replica)) {
		replica_plan_reconcile(replica);
		*outcome_out = ENDED_RELOAD;
		return false;
	}
	if (replica_goes_back(replica) || is_told_nothing(replica, now_ms))
		return false;
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
	replica_set_lag(replica);
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

// A refresh that does not end: told slowly, or the same again and again.
static bool is_endless(const struct replica *replica, struct err *err)
{
	if (!replica->step.refreshing)
		return false;
	if (replica->heard_ms - replica->refresh_began_ms > replica->settings->ldap_refresh_s * 1000)
		err_set(err, ERR_TIMEOUT, "it has not told the directory within ldap_refresh_s (%lld s)",
			(long long)replica->settings->ldap_refresh_s);
	else if (sync_step_is_endless(&replica->step, replica->entries_before))
		err_set(err, ERR_LIMIT, "it tells more entries than there can be: %llu",
			(unsigned long long)replica->step.mentions);
	else
		return false;
	return true;
}

// The persistent search, to its end.
static enum outcome follow_search(struct replica *replica, struct err *err)
{
	enum outcome outcome = ENDED_FAILED;
	for (;;) {
		struct ldap_link_message message;
		enum ldap_link_next next = ldap_link_next(replica->link, &message, err);
		if (is_endless(replica, err))
			return ENDED_FAILED;
		if (next != LDAP_LINK_NOTHING) {
			if (!replica_take(replica, next, &message, &outcome, err))
				return outcome;
			if (replica->batch_ms && clock_mono_exact_ms() - replica->batch_ms > BATCH_MS &&
				!replica_commit_batch(replica, &outcome, err))
				return outcome;
			continue;
		}
		if (!replica_commit_batch(replica, &outcome, err) || !look_around(replica, &outcome, err))
			return outcome;
		images_checkpoint(&replica->images);
		wait_for_message(replica);
	}
}

static bool survey(void *context, const struct raw_entry *entry)
{
	intake_survey(context, entry);
	return true;
}

// The scope of what is asked for and how it is taken in: a cookie is good for one scope only.
static struct guid scope_of(struct replica *replica)
{
	struct intake *intake = apply_intake(replica->apply);
	struct guid scope = intake_realms_hash(intake);
	scope = guid_derive(&scope, replica->settings->ldap_base, str_of_c(replica->search.filter));
	for (size_t i = 0; replica->search.attributes[i]; i++)
		scope = guid_derive(&scope, str_of_c(replica->search.attributes[i]), STR("attribute"));
	if (!profile_is_native(replica->images.profile))
		scope = guid_derive(&scope, guid_bytes(&replica->images.profile->hash), STR("profile"));
	char version[16];
	snprintf(version, sizeof version, "%d", INTAKE_VERSION);
	return guid_derive(&scope, str_of_c(version), STR("intake"));
}

static bool take_database(void *context, const struct raw_entry *entry)
{
	struct guid *scope = context;
	for (size_t i = 0; i < entry->n_values; i++)
		*scope = guid_derive(scope, entry->values[i].value, STR("database"));
	return true;
}

static enum err_code add_values(struct replica *replica, const char *base, const char *attribute, struct err *err)
{
	const char *const attributes[] = {attribute, NULL};
	const struct ldap_link_search search = {
		.base = base, .filter = "(objectClass=*)", .base_only = true, .attributes = attributes};
	enum err_code code = ldap_link_search(replica->link, &search, take_database, &replica->scope, err);
	return code == ERR_NOTFOUND ? ERR_OK : code; // the search for all says what is not there
}

// The cookie of 389-ds says of which server and search it is, and not of which database: one that was made anew, or loaded from a
// file with the ids that it had, takes it, says that nothing has changed, and everybody who is new would be unknown for good (I7,
// I8). So it is good for the database whose base entry has this id, and until that server starts again, which it has to after an
// import while it is down: its dataversion is the time of its start. A start therefore costs a whole load.
static enum err_code add_database(struct replica *replica, struct err *err)
{
	enum err_code code = add_values(replica, replica->settings->ldap_base.p, "nsUniqueId", err);
	if (code)
		return err_wrap(err, "read ldap_base");
	code = add_values(replica, "", "dataversion", err);
	return code ? err_wrap(err, "read the root DSE") : ERR_OK;
}

static enum err_code survey_realms(struct replica *replica, struct err *err)
{
	apply_forget_realms(replica->apply);
	struct ldap_link_search search = {.base = replica->settings->ldap_base.p, .filter = replica->realms_search.filter,
		.attributes = replica->realms_search.attributes};
	replica_poll_fit(replica, &search);
	enum err_code code = ldap_link_search(replica->link, &search, survey, apply_intake(replica->apply), err);
	if (code)
		return err_wrap(err, "read the realms of domains below ldap_base, %s", search.base);
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
	replica->begun = csns;
	replica_note_future(replica, &csns);
	bool takes_older = replica->taking_older;
	if (takes_older) {
		replica->stored.csns.n = 0;
		replica->stored.usable = false;
	}
	bool counts = replica->polling && replica->stored.csns.form == CSN_USN; // then poll_lag.c asks
	switch (counts ? SYNC_SERVER_GOOD : sync_step_check_server(&replica->stored, &csns)) {
	case SYNC_SERVER_GOOD:
		break;
	case SYNC_SERVER_LAGS:
		if (replica_forgets_future(replica, &csns))
			break;
		return err_set(err, ERR_BUSY,
			"it lacks changes that we hold; were all servers set back, `posthouse directory release` takes it as it "
			"is");
	case SYNC_SERVER_MUTE:
		replica_lags(replica);
		return err_set(err, ERR_DENIED,
			"it does not show us how far it is (contextCSN, nsds50ruv), and what we hold came with that: may %s read it? If "
			"this directory is to take the place of the other, `posthouse directory release` takes it as it is",
			replica->settings->ldap_bind_dn.n ? replica->settings->ldap_bind_dn.p : "anybody");
	}
	heartbeat_sent(&replica->heartbeat, &replica->stored.csns, replica->heartbeat.sent_ms);
	(void)heartbeat_answered(&replica->heartbeat, &csns, &replica->stored.csns, clock_mono_exact_ms());
	code = survey_realms(replica, err);
	bool is_openldap = csns.n && csns.form == CSN_OPENLDAP;
	return code || replica->polling || is_openldap ? code : add_database(replica, err);
}

// Another server than before, and neither shows how far it is.
static void spare_unmentioned(struct replica *replica)
{
	int64_t lag_ms = replica->settings->ldap_lag_s * 1000;
	struct str before = str_of_c(replica->stored.uri);
	bool is_another = replica->complete && before.n && !str_eq(before, str_of_c(replica->uri));
	if (!is_another || replica->taking_older || replica->stored.csns.n || lag_ms == 0)
		return;
	replica->spare_until_ms = clock_wall_ms() + lag_ms;
	replica_plan_reconcile_at(replica, replica->spare_until_ms);
	log_warning(NULL, "the server does not show whether it lags behind the one before it: for ldap_lag_s nobody goes whom it "
		"does not have", log_c("server", replica->uri));
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
	spare_unmentioned(replica);
	sync_step_begin(&replica->step, &replica->stored, &replica->scope, str_of_c(replica->uri), !replica->full);
	replica->refresh_began_ms = replica->heard_ms = clock_mono_exact_ms();
	replica->last_dn[0] = '\0';
	replica->entries_before = replica_entries(replica);
	enum err_code code = ldap_link_sync(replica->link, replica->settings->ldap_base.p, replica->search.filter,
		replica->search.attributes, buf_str(&request), err);
	buf_fini(&cookie);
	buf_fini(&request);
	return code;
}

static enum outcome serve(struct replica *replica, bool reload, struct err *err)
{
	replica_enter(replica, REPLICA_CONNECT);
	if (ldap_link_open(replica->settings, replica->uri, replica->watchdog, &replica->link, err))
		return ENDED_FAILED;
	enum err_code code = replica_poll_choose(replica, err);
	replica_enter(replica, REPLICA_VERIFY);
	if (code || verify(replica, err))
		return ENDED_FAILED;
	if (replica->polling)
		return replica_poll(replica, reload, err);
	replica_enter(replica, REPLICA_REFRESH);
	if (begin_search(replica, reload, err))
		return ENDED_FAILED;
	log_info(NULL, "directory server is followed", log_c("server", replica->uri), log_c("driver", "syncrepl"),
		log_bool("from_cookie", !replica->full));
	enum outcome outcome = follow_search(replica, err);
	return outcome == ENDED_FAILED && replica_poll_instead(replica) ? ENDED_AGAIN : outcome;
}

// A 389-ds that answers with a failure has taken its database away, to load it from a file. Then its log of changes says nothing
// of who came and went, so the cookie is of no more use (I7).
enum outcome replica_serve(struct replica *replica, bool reload, struct err *err)
{
	enum outcome outcome = serve(replica, reload, err);
	if (replica->stored.opaque_n && replica->link && ldap_link_refused_csns(replica->link))
		replica->stored.usable = false;
	return outcome;
}
