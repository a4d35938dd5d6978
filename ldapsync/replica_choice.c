// SPDX-License-Identifier: Apache-2.0
// Whom to follow: a server that lacks changes is not loaded from (I4), unless what it lacks never was; and from another server
// back to the one that comes first in ldap_uri.
//
// Change numbers from the future: a server whose clock was wrong gives them out, its own contextCSN keeps them, and so does our
// cookie. While the directory has them nothing is wrong for us but that they say nothing of how new it is, so they are said
// aloud. When they were removed from the directory (loaded anew with right clocks), every server lacks a change that we hold, and
// would for years. Then, and only when each server lacks nothing but such numbers, they are forgotten, and the whole directory is
// read and compared, under the brake, from a server that has all that any of them has shown. A server that lags lacks others too,
// or is behind one that does not.
//
// Replicas that were removed: 389-ds forgets one that was taken out of the topology (cleanAllRUV), and its last change, which we
// hold, is lacked by every server from then on. Where it happens while we listen it is forgotten here, too; after a day in which
// no server knows the replica it is so as above. A server that has never heard of a replica lags, and others know that one, or it
// is younger than a day.
#include "replica_parts.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ldapsync_metrics.h"

enum {
	FUTURE_MS = 5 * 60 * 1000,        // clocks differ
	FAILBACKS_PER_LAG = 5,            // a domain controller is asked for its cursors only once we have left the other
	REMOVED_MS = 24 * 60 * 60 * 1000, // a replica that is new is known to all others long before
};

static void keep_plausible(struct csns *csns)
{
	csns_keep_until(csns, clock_wall_ms() + FUTURE_MS);
}

// --- Numbers from the future ---

// One of csns that `kept` has not.
static struct str missing(const struct csns *csns, const struct csns *kept)
{
	size_t i = 0;
	while (i < kept->n && str_eq(csns_origin(csns, i), csns_origin(kept, i)))
		i++;
	return csns_at(csns, i);
}

void replica_note_future(struct replica *replica, const struct csns *theirs)
{
	struct csns kept = *theirs;
	char text[CSN_BYTES_MAX + 1] = "";
	keep_plausible(&kept);
	if (kept.n < theirs->n)
		(void)!str_to_c(missing(theirs, &kept), text, sizeof text);
	pthread_mutex_lock(&replica->mutex);
	bool is_news = strcmp(text, replica->status.future_csn) != 0;
	memcpy(replica->status.future_csn, text, sizeof text);
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_future, text[0] != '\0');
	if (is_news && text[0])
		log_error(NULL,
			"a change number of the directory lies in the future: is the clock of a directory server wrong, or ours? "
			"Changes made by that server may not reach others, nor be seen to be missing, until that time",
			log_c("server", replica->uri), log_c("csn", text));
}

// --- Servers that lag ---

// Remembers that this server lacks changes; true when all of them do.
static bool all_lag(struct replica *replica, enum lags how)
{
	size_t n = replica->settings->ldap_uri.n, lagging = 0, in_future = 0;
	replica->lags[replica->server] = how;
	for (size_t i = 0; i < n; i++) {
		lagging += replica->lags[i] != LAGS_NOT;
		in_future += replica->lags[i] == LAGS_FUTURE;
	}
	pthread_mutex_lock(&replica->mutex);
	replica->status.lagging = lagging == n;
	pthread_mutex_unlock(&replica->mutex);
	return in_future == n;
}

void replica_lags(struct replica *replica)
{
	replica->lagged_ms = clock_mono_exact_ms();
	(void)all_lag(replica, LAGS);
}

void replica_forget_lags(struct replica *replica)
{
	memset(replica->lags, 0, replica->settings->ldap_uri.n * sizeof *replica->lags);
	replica->shown.n = 0;
}

bool replica_forgets_future(struct replica *replica, const struct csns *theirs)
{
	struct csns held = *theirs;
	keep_plausible(&held);
	bool fits = csns_merge(&replica->shown, &held);
	held = replica->stored.csns;
	keep_plausible(&held);
	if (held.form == CSN_RUV)
		csns_keep_known(&held, theirs, clock_wall_ms() - REMOVED_MS);
	bool only_future = held.n < replica->stored.csns.n && csns_dominate(theirs, &held);
	if (!all_lag(replica, only_future ? LAGS_FUTURE : LAGS) || !fits || !csns_dominate(theirs, &replica->shown))
		return false;
	log_warning(NULL, "no directory server has a change number any more that is from the future, or of a replica that was "
			"removed: it is forgotten, and the whole directory is read and compared",
		log_c("server", replica->uri), log_str("csn", missing(&replica->stored.csns, &held)));
	replica->stored.csns = held;
	replica->stored.usable = false;
	replica_forget_lags(replica);
	return true;
}

// Only where it knew them a heartbeat ago, and the database is of the same generation, whose origin comes first.
void replica_forget_replicas(struct replica *replica, const struct csns *theirs)
{
	struct csns *held = &replica->step.cookie.csns, before = *held;
	const struct csns *knew = &replica->heartbeat.theirs;
	if (knew->n == 0 || theirs->n == 0 || !str_eq(csns_at(knew, 0), csns_at(theirs, 0)))
		return;
	csns_keep_known(held, theirs, INT64_MAX);
	csns_keep_known(&replica->heartbeat.theirs, theirs, INT64_MAX);
	csns_keep_known(&replica->heartbeat.held_then, theirs, INT64_MAX);
	if (held->n < before.n)
		log_warning(NULL, "a replica is no longer known to the directory server: what was changed there last is asked "
			"for no more",
			log_c("server", replica->uri), log_str("csn", missing(&before, held)));
}

// --- Back to the first one ---

bool replica_goes_back(struct replica *replica)
{
	static const struct csns none; // numbers of domain controllers: its cursors are asked for when we are there (poll_lag.c)
	bool counts = replica->stored.csns.form == CSN_USN;
	int64_t pause_ms = counts && replica->lagged_ms ? FAILBACKS_PER_LAG * replica->settings->ldap_failback_s * 1000 : 0;
	size_t server;
	bool follows = !replica->step.refreshing && replica->batch_ms == 0 && (replica->polling || replica->stored.csns.n > 0);
	failback_watch(replica->failback, follows ? replica->server : 0);
	if (!follows || clock_mono_exact_ms() - replica->lagged_ms < pause_ms ||
		!failback_find(replica->failback, replica->server, counts ? &none : &replica->stored.csns, &server))
		return false;
	log_info(NULL, "a directory server that is preferred is back", log_c("server", replica->settings->ldap_uri.v[server].p),
		log_c("instead_of", replica->uri));
	replica->server = server;
	return true;
}
