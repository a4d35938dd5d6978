// SPDX-License-Identifier: Apache-2.0
// Does a server that is polled lag behind the one that was polled before it (I4)? Asked before anything of it is believed.
//
// A server with a contextCSN or an update vector was looked at before (replica_search.c). Domain controllers count by themselves;
// what we hold of one is its invocation and the latest number, and another one's cursors say whether it has that. Of all others
// the entry that was changed last is the witness, where changes have times: whoever lacks it, or has it older, is behind, for
// ldap_lag_s; after that it is taken for deleted. Replication in order is taken for granted here, so of several masters one may
// be behind unseen.
//
// Where nothing tells, nobody goes for ldap_lag_s whom the new server does not have: it may not have them yet (POLL_ELSEWHERE).
// What it has itself counts at once, be it older.
#include "ad_cursors.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "poll_parts.h"

enum lag { LAG_UNTOLD, LAG_NONE, LAG_SEEN };

// --- Domain controllers ---

struct cursors {
	struct csns theirs;
	const struct csns *ours;
	bool shown;
};

static bool take_cursors(void *context, const struct raw_entry *entry)
{
	struct cursors *cursors = context;
	for (size_t i = 0; i < entry->n_values; i++)
		cursors->shown |= ad_cursors_pick(&cursors->theirs, cursors->ours, entry->values[i].value);
	return true;
}

static enum lag ask_cursors(struct replica *replica)
{
	static const char *const attributes[] = {"replUpToDateVector", "msDS-NCReplCursors", NULL};
	const struct poll_server *server = &replica->poll->server;
	const struct ldap_link_search search = {
		.base = server->naming_context, .filter = "(objectClass=*)", .base_only = true, .attributes = attributes};
	struct cursors cursors = {.ours = &replica->stored.csns};
	struct err ignored;
	if (cursors.ours->n == 0 || cursors.ours->form != CSN_USN)
		return LAG_UNTOLD;
	(void)poll_server_usn(server, INT64_MAX, &cursors.theirs); // what it has counted itself it has
	if (csns_dominate(&cursors.theirs, cursors.ours))
		return LAG_NONE;
	if (server->naming_context[0] == '\0' ||
		ldap_link_search(replica->link, &search, take_cursors, &cursors, &ignored) || !cursors.shown)
		return LAG_UNTOLD;
	return csns_dominate(&cursors.theirs, cursors.ours) ? LAG_NONE : LAG_SEEN;
}

// --- Others ---

struct witness {
	const struct poll *poll;
	bool found;
};

static bool take_witness(void *context, const struct raw_entry *entry)
{
	struct witness *witness = context;
	const struct poll_server *server = &witness->poll->server;
	const struct poll_step *step = &witness->poll->step;
	struct guid uuid;
	int64_t mark;
	witness->found |= poll_server_id(server, entry, &uuid) && guid_eq(&uuid, &step->witness) &&
			  poll_server_mark(server, entry, &mark) && mark >= step->witness_mark;
	return true;
}

static enum lag ask_witness(struct replica *replica)
{
	struct poll *poll = replica->poll;
	const struct poll_step *step = &poll->step;
	struct witness witness = {.poll = poll};
	struct buf filter;
	struct err ignored;
	bool has_time = poll->server.marks == POLL_MARKS_CSN || poll->server.marks == POLL_MARKS_TIME;
	if (!has_time || step->marks != poll->server.marks || !step->has_witness ||
		poll_table_find(&poll->known, &step->witness) < POLL_DIGEST_MIN)
		return LAG_UNTOLD;
	buf_init(&filter, POLL_FILTER_BYTES_MAX);
	bool asked = poll_server_id_filter(&poll->server, &step->witness, &filter);
	if (asked) {
		struct ldap_link_search search = {
			.base = replica->settings->ldap_base.p, .filter = buf_c(&filter), .attributes = poll->id_and_mark};
		replica_poll_fit(replica, &search);
		asked = ldap_link_search(replica->link, &search, take_witness, &witness, &ignored) == ERR_OK;
	}
	buf_fini(&filter);
	return !asked ? LAG_UNTOLD : witness.found ? LAG_NONE : LAG_SEEN;
}

// A witness that was deleted would be lacking for ever.
static enum lag judge_witness(struct replica *replica)
{
	struct poll *poll = replica->poll;
	int64_t now_ms = clock_mono_exact_ms();
	enum lag lag = ask_witness(replica);
	if (lag != LAG_SEEN)
		return lag;
	if (poll->lags_since_ms == 0)
		poll->lags_since_ms = now_ms;
	return now_ms - poll->lags_since_ms < replica->settings->ldap_lag_s * 1000 ? LAG_SEEN : LAG_UNTOLD;
}

// --- Which holds ---

static enum lag judge(struct replica *replica)
{
	enum lag lag = ask_cursors(replica);
	if (replica->taking_older || !poll_step_is_another(&replica->poll->step, &replica->poll->server))
		return lag == LAG_SEEN ? LAG_SEEN : LAG_NONE;
	if (lag == LAG_UNTOLD && replica->stored.csns.n && replica->heartbeat.theirs.n)
		return LAG_NONE; // it dominates what we hold
	return lag == LAG_UNTOLD ? judge_witness(replica) : lag;
}

static void spare_all(struct replica *replica)
{
	int64_t lag_ms = replica->settings->ldap_lag_s * 1000;
	replica->poll->step.spare_until_wall_ms = clock_wall_ms() + lag_ms;
	if (lag_ms)
		log_warning(NULL, "the server does not show whether it lags behind the one before it: for ldap_lag_s nobody goes "
			"whom it does not have", log_c("server", replica->uri));
}

bool poll_check_lag(struct replica *replica, struct err *err)
{
	struct poll *poll = replica->poll;
	poll->step.spare_until_wall_ms = poll->step.held_spare_until_wall_ms;
	switch (judge(replica)) {
	case LAG_NONE:
		return true;
	case LAG_UNTOLD:
		spare_all(replica);
		return true;
	case LAG_SEEN:
		replica_lags(replica);
		err_set(err, ERR_BUSY,
			"it lacks changes that we hold; were all servers set back, `posthouse directory release` takes it as it is");
		return false;
	}
	unreachable("lag");
}

bool poll_is_sparing(struct replica *replica)
{
	return poll_step_is_sparing(&replica->poll->step, clock_wall_ms(), replica->settings->ldap_lag_s * 1000);
}
