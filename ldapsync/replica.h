// SPDX-License-Identifier: Apache-2.0
// The thread that keeps shadow and credentials equal to a directory on LDAP servers: one persistent search (RFC 4533) on one of
// them, or, where that is not offered, questions again and again.
//
//     replica_start(&config, &replica, err);
//     replica_set(replica, &set);              // settings were read again
//     replica_release(replica, err);           // an administrator lets go what the brake holds, or takes an older directory
//     replica_reconcile(replica);              // everything once more, compared
//     replica_status(replica, &status);
//     replica_stop(&replica);
//
// From a server that is not the first of ldap_uri it goes back to an earlier one when that answers again for ldap_failback_s.
//
//     INIT → CONNECT → VERIFY → REFRESH → PERSIST        any failure → BACKOFF → CONNECT with the next server
//                                  └────────┴→ BRAKED → CONNECT, once a minute or when released
//
// VERIFY: a server that lacks changes which we hold is not loaded from (I4). REFRESH: one transaction (I1). PERSIST: small ones;
// every heartbeat that finds us equal to the server confirms the shadow (I8). EMPTY and STALE are shown instead of the states in
// which no server serves us while nothing was ever complete, or nothing was confirmed for fresh_s. The last good view serves in
// all of them.
//
// The thread alone uses both databases; all else may be called from any thread and does not wait, apart from replica_stop, which
// waits for the transaction at hand.
#ifndef LDAPSYNC_REPLICA_H
#define LDAPSYNC_REPLICA_H

#include "brake.h"
#include "csn.h"
#include "images.h"
#include "schema/settings.h"

struct replica;

// What may be set again while it runs.
struct replica_set {
	struct brake_limits brake;
	int64_t brake_window_ms;
};

struct replica_config {
	struct images_config images;
	struct settings_snapshot *settings;         // a reference is taken; ldap_*, fresh_s and hostname are read
	struct replica_set set;
};

// Makes the databases if they are missing, as follow_start does.
enum err_code replica_start(const struct replica_config *config, struct replica **replica_out, struct err *err) ERR_CHECKED;
void replica_stop(struct replica **replica);

void replica_set(struct replica *replica, const struct replica_set *set);

// What the brake holds may go, up to what replica_status says of it; what went beyond is held again. Where all servers lack
// changes that we hold (restored from a backup), the next server is taken as it is. ERR_NOTFOUND when neither is the case.
// Returns at once.
enum err_code replica_release(struct replica *replica, struct err *err) ERR_CHECKED;

// Returns at once; replica_status(…).refreshes tells when it is done.
void replica_reconcile(struct replica *replica);

// The databases were found to be damaged (verify.h): they are made anew (images.h). Returns at once.
void replica_damaged(struct replica *replica);

enum replica_state {
	REPLICA_INIT,
	REPLICA_CONNECT,
	REPLICA_VERIFY,
	REPLICA_REFRESH,
	REPLICA_PERSIST,
	REPLICA_BACKOFF,
	REPLICA_BRAKED,
	REPLICA_STALE,
	REPLICA_EMPTY,
};
const char *replica_state_name(enum replica_state state);

struct replica_status {
	enum replica_state state;
	char provider[1024]; // the server that is or was asked last
	const char *driver;  // "syncrepl" or "poll": how; "" before one was chosen
	// since when that server has something that we lack; without one and when polling, since the shadow was confirmed
	int64_t lag_ms;
	uint64_t version, entries;
	struct brake_held held; // n is 0: nothing
	char future_csn[CSN_BYTES_MAX + 1]; // a change number of the directory that lies in the future; ""
	uint64_t spared;        // entries that this server does not have, kept because it does not show whether it lags
	bool lagging;           // every server lacks changes that we hold, or does not show whether
	uint64_t refreshes, full_refreshes, failures, holds; // since the start
	uint64_t added, changed, deleted;                    // by the last refresh
	uint64_t refused, conflicts;
	char trouble[ERR_TEXT_BYTES];                 // why there is no PERSIST; "" otherwise
};
void replica_status(struct replica *replica, struct replica_status *status_out);

#endif
