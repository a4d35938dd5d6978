// SPDX-License-Identifier: Apache-2.0
// What the files of the replica share: the thread's state, and which file does what with it.
//
//     replica.c          start and stop, the servers in turn, what other threads ask for
//     replica_state.c    the states and which may follow which; what is shown of them
//     replica_search.c   one connection: verify, search, heartbeats, the nightly comparison
//     replica_choice.c   a server that lacks changes; numbers from the future; back to the first server
//     replica_take.c     one message: into the images, and when they are committed
//     replica_poll.c     one connection to a server that is polled instead
#ifndef LDAPSYNC_REPLICA_PARTS_H
#define LDAPSYNC_REPLICA_PARTS_H

#include <pthread.h>

#include "apply.h"
#include "base/arena.h"
#include "failback.h"
#include "heartbeat.h"
#include "ldap_link.h"
#include "profile_search.h"
#include "replica.h"
#include "sync_step.h"

// What a server lacked when it was asked last.
enum lags { LAGS_NOT, LAGS, LAGS_FUTURE }; // LAGS_FUTURE: nothing but changes from the future

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
	struct profile_search search, realms_search; // what is asked for; the filter may be the setting's
	struct guid scope;
	struct sync_cookie stored; // as of the last commit
	struct sync_step step;
	struct heartbeat heartbeat;
	int64_t spare_until_ms;    // syncrepl: nobody goes before for what this server does not mention; wall clock
	struct csns begun;         // what the server had when this connection began
	struct poll *poll;         // owned; what is known of the server that is polled; NULL: none was
	bool polling;              // this connection polls
	// a whole refresh is stored; this search sent no cookie; a release lets an older directory in
	bool complete, full, taking_older;
	enum lags *lags;          // of each server since the last refresh
	int64_t lagged_ms;        // when a server was last refused for that; monotonic; 0: none was
	struct csns shown;        // what those that lack something have, from no future
	struct failback *failback; // NULL: none
	uint64_t entries_before;  // the refresh
	char last_dn[128];        // of the last entry that came, maybe cut
	int64_t confirmed_ms;     // wall clock, of the shadow
	int64_t confirm_written_ms;
	int64_t heard_ms, batch_ms, refresh_began_ms;
	int64_t told_ms;          // when the search said something last
	int64_t next_reconcile_ms; // wall clock
	unsigned fails;           // in a row
	unsigned agains;          // connections in a row that were begun again soon
	bool held_refresh;        // what is held is all that is to come, as of that refresh
	bool has_released;
	struct image_counters released;

	pthread_mutex_t mutex; // guards the rest
	struct replica_set set;
	bool stopping, release, reconcile, damaged;
	struct replica_status status;
};

// How one connection ended.
enum outcome {
	ENDED_FAILED,  // this server is of no use now
	ENDED_RELOAD,  // connect again, without a cookie
	ENDED_AGAIN,   // connect again
	ENDED_BRAKED,
	ENDED_STOPPED,
};

// --- replica_state.c ---
void replica_enter(struct replica *replica, enum replica_state state); // must be a successor of the state that it is in
void replica_set_trouble(struct replica *replica, const char *text);
void replica_set_lag(struct replica *replica);
void replica_set_spared(struct replica *replica, size_t n); // entries that the server does not have, and may not have yet
void replica_read_state(struct replica *replica); // what is committed, for the status
uint64_t replica_entries(struct replica *replica); // as committed
bool replica_is_stopping(struct replica *replica);
struct replica_set replica_set_now(struct replica *replica);

// --- replica_search.c ---
// from the server at replica->uri, until that ends
enum outcome replica_serve(struct replica *replica, bool reload, struct err *err);
void replica_plan_reconcile(struct replica *replica);
// and went on from a cookie: 389-ds says nothing of what left the filter meanwhile (I12)
void replica_plan_reconcile_at(struct replica *replica, int64_t wall_ms); // or before
void replica_was_away(struct replica *replica);
bool replica_is_asked_to_reconcile(struct replica *replica);

// --- replica_choice.c ---
void replica_note_future(struct replica *replica, const struct csns *theirs); // says aloud what of them lies there
void replica_lags(struct replica *replica);        // this server lacks what we hold, or does not show whether
// this server lacks changes; true: those never were
bool replica_forgets_future(struct replica *replica, const struct csns *theirs);
void replica_forget_lags(struct replica *replica); // a refresh is whole
void replica_forget_replicas(struct replica *replica, const struct csns *theirs); // that the server knew and knows no more
bool replica_goes_back(struct replica *replica);   // true: to replica->server, which is another now

// --- replica_take.c ---
bool replica_heal(struct replica *replica); // damaged files are made anew; true: they were, and a whole refresh is needed
// false: *outcome_out says how the connection ends, and err why ---
bool replica_take(struct replica *replica, enum ldap_link_next next, struct ldap_link_message *message, enum outcome *outcome_out,
	struct err *err);
// what waits in PERSIST becomes visible
bool replica_commit_batch(struct replica *replica, enum outcome *outcome_out, struct err *err);

enum apply_result replica_commit(struct replica *replica, bool refresh, struct err *err); // with step.cookie; as step.purge says
enum outcome replica_not_committed(struct replica *replica, enum apply_result result, const struct err *err);
enum outcome replica_database_failed(struct replica *replica, const struct err *err);
// a refresh is committed; had_all: it should have changed nothing
void replica_refreshed(struct replica *replica, bool had_all);
bool replica_tells_csns(const struct replica *replica); // do changes of this server come with their numbers?
void replica_confirm(struct replica *replica, int64_t asked_mono_ms);      // nothing has changed since then

// --- replica_poll.c ---
// sets polling, as ldap_driver and the server have it
enum err_code replica_poll_choose(struct replica *replica, struct err *err);
// with what a polled server offers for all searches
void replica_poll_fit(const struct replica *replica, struct ldap_link_search *search);
// The search of RFC 4533 has ended: was it refused by a server that ldap_driver = auto may poll instead, from its next connection
// on?
bool replica_poll_instead(struct replica *replica);
enum outcome replica_poll(struct replica *replica, bool reload, struct err *err);
void replica_poll_forget(struct replica *replica); // what was known to be in the shadow may not be there
void replica_poll_free(struct replica *replica);

#endif
