// SPDX-License-Identifier: Apache-2.0
// The thread that keeps shadow and credentials equal to an LDIF file: loads it at the start and again whenever it changes.
//
//     follow_start(&config, &follow, err);
//     follow_set(follow, &set);                      // settings were read again: look at once, also at a file that failed
//     follow_release(follow, err);                   // an administrator lets the file through that the brake holds
//     follow_status(follow, &status);
//     follow_stop(&follow);
//
// A change is noticed by inotify on the file's folder, and by looking every check_ms (a folder on NFS tells nothing). A file that
// is still being written is left alone until it has rested for check_ms, for a rename nothing is waited for. The thread alone
// uses both databases; the rest may be called from any thread and does not wait for a load, apart from follow_stop.
#ifndef LDAPSYNC_FOLLOW_H
#define LDAPSYNC_FOLLOW_H

#include "load.h"

struct follow;

// What may be set again while it runs.
struct follow_set {
	struct str ldif_path; // empty: nothing to follow
	int64_t check_ms;
	struct brake_limits brake;
};

struct follow_config {
	struct images_config images;
	struct follow_set set;
};

// Makes the databases if they are missing. Damaged ones are made anew (images.h), also those that are removed while it runs.
enum err_code follow_start(const struct follow_config *config, struct follow **follow_out, struct err *err) ERR_CHECKED;
void follow_stop(struct follow **follow);

void follow_set(struct follow *follow, const struct follow_set *set);

// Loads the file that is held, and no other: one that has replaced it meanwhile is judged by itself. ERR_NOTFOUND when nothing is
// held. Returns before the load; follow_status tells how it ended.
enum err_code follow_release(struct follow *follow, struct err *err) ERR_CHECKED;

// The databases were found to be damaged (verify.h): they are made anew. Returns at once.
void follow_damaged(struct follow *follow);

enum follow_state {
	FOLLOW_EMPTY,   // nothing was ever loaded
	FOLLOW_REFRESH, // loading now
	FOLLOW_PERSIST, // equal to the file
	FOLLOW_STALE,   // the file is missing or does not parse: the last good view serves
	// the file would take too much away: the last good view serves until an administrator releases it, or another file comes
	FOLLOW_BRAKED,
};
const char *follow_state_name(enum follow_state state);

struct follow_status {
	enum follow_state state;
	uint64_t version, entries;
	struct load_report last; // of the last load that succeeded
	struct brake_held held;  // of FOLLOW_BRAKED; else all zero
	uint64_t loads, failures;
	char trouble[ERR_TEXT_BYTES]; // why it is stale; "" otherwise
};
void follow_status(struct follow *follow, struct follow_status *status_out);

#endif
