// SPDX-License-Identifier: Apache-2.0
// What each message of one persistent search means (RFC 4533, 3.4): a step machine without I/O. The caller does what a step says.
//
//     sync_step_begin(&step, &stored, sent_cookie);
//     switch (sync_step_state(&step, &state)) { case SYNC_PUT: ... case SYNC_KEEP: ... }      // an entry
//     switch (sync_step_info(&step, &info)) { ... case SYNC_FINISH: ... }                     // an info message
//     switch (sync_step_end(&step, result)) { case SYNC_RELOAD: ... case SYNC_FAIL: ... }     // the search is over
//
//     REFRESH ──refreshDone──► PERSIST          both end with the search
//
// Rules: what was not mentioned goes if and only if no cookie was sent or refreshPresent came, and only at refreshDone (I5):
// step.purge then. step.cookie is what may be stored in the transaction of the data it came with: CSNs are merged per SID and
// never go back (I3); a refresh that ends without a cookie leaves data without one, and the next search loads everything (I7).
// step.protocol says why SYNC_FAIL.
#ifndef LDAPSYNC_SYNC_STEP_H
#define LDAPSYNC_SYNC_STEP_H

#include "sync_cookie.h"
#include "sync_wire.h"

struct sync_step {
	bool refreshing;
	bool purge;                // of SYNC_FINISH: what was neither put nor kept goes
	bool got_cookie;           // in this search
	struct sync_cookie cookie; // as of the last message; stored with its data
	uint64_t mentions;         // entries, and UUIDs of sets, in this refresh
	const char *trouble;       // of SYNC_FAIL; a literal
	int result;                // of the search once it has ended (RFC 4511, 4.1.9)
};

enum sync_do {
	SYNC_NOTHING,
	SYNC_PUT,      // the entry as it is now
	SYNC_KEEP,     // the entry with this UUID is there and as it was
	SYNC_DROP,     // it is gone
	SYNC_KEEP_ALL, // the same for each UUID of the set
	SYNC_DROP_ALL,
	SYNC_FINISH,   // the refresh is whole: purge if so said, brake, commit with the cookie
	SYNC_COMMIT,   // only the cookie changed
	SYNC_RELOAD,   // the server cannot go on from the cookie: drop it, keep the content, search again (I7)
	SYNC_FAIL,     // leave this server; roll back what is not committed
};

// stored: what the images have; its CSNs are what is merged into. scope and uri: of this search.
void sync_step_begin(struct sync_step *step, const struct sync_cookie *stored, const struct guid *scope, struct str uri,
	bool sent_cookie);

enum sync_do sync_step_state(struct sync_step *step, const struct sync_state *state);
enum sync_do sync_step_info(struct sync_step *step, const struct sync_info *info);

// The search result: a persistent search ends with trouble only. has_entries: this search has brought something that is not
// committed.
enum sync_do sync_step_end(struct sync_step *step, int result_code);

// Has a refresh mentioned more than a directory can have that had so many entries when it began? One that never ends mentions the
// same ones again and again, or fills the disk.
bool sync_step_is_endless(const struct sync_step *step, uint64_t entries);

// May we load from a server that says it has these CSNs? (I4) SYNC_SERVER_MUTE: it shows none although what we hold came with
// some.
enum sync_server { SYNC_SERVER_GOOD, SYNC_SERVER_LAGS, SYNC_SERVER_MUTE };
enum sync_server sync_step_check_server(const struct sync_cookie *stored, const struct csns *server);

#endif
