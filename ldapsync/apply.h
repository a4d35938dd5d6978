// SPDX-License-Identifier: Apache-2.0
// What a server tells of entries, into both images: a refresh as one transaction, changes as small ones.
//
//     struct apply *apply = apply_new(&images, "ldap://…");
//     apply_put(apply, &entry, &err); apply_keep(apply, &uuid, &err); apply_drop(apply, &uuid, &err);   // the first begins it
//     switch (apply_commit(apply, &commit, &err)) {
//     case APPLY_DONE:   apply_counters(apply) ...
//     case APPLY_HELD:   the brake: rolled back; apply_held(apply) ...
//     case APPLY_FAILED: rolled back
//     }
//
// Credentials commit first, then the shadow, each with the cookie: after a crash between the two the older cookie counts, and
// what comes again changes nothing twice (I2, I9). Blocks on the disk; one thread.
#ifndef LDAPSYNC_APPLY_H
#define LDAPSYNC_APPLY_H

#include "brake.h"
#include "complaints.h"
#include "images.h"
#include "intake.h"
#include "sync_cookie.h"

struct apply;

// images and source (for the log) are borrowed.
struct apply *apply_new(struct images *images, const char *source);
void apply_free(struct apply **apply);

// The intake, for the survey of realms.
struct intake *apply_intake(struct apply *apply);

// One that is nothing of ours (any more), or is refused, goes.
// entry->uuid is set.
enum err_code apply_put(struct apply *apply, const struct raw_entry *entry, struct err *err) ERR_CHECKED;
enum err_code apply_keep(struct apply *apply, const struct guid *uuid, struct err *err) ERR_CHECKED;
enum err_code apply_drop(struct apply *apply, const struct guid *uuid, struct err *err) ERR_CHECKED;
// What a purge would take away now, of the shadow.
enum err_code apply_unseen_each(struct apply *apply, image_unseen_fn *each, void *context, struct err *err) ERR_CHECKED;
bool apply_has_begun(const struct apply *apply);
void apply_abort(struct apply *apply);

// Has an entry said something else of realms than the survey? Stays true until apply_forget_realms.
bool apply_realms_changed(const struct apply *apply);
void apply_forget_realms(struct apply *apply);

// Would what was put until now have keys that other entries have too? Also true when more was put than can be asked for.
enum err_code apply_has_rivals(struct apply *apply, bool *rivals_out, struct err *err) ERR_CHECKED;

// image_polled_* of the shadow; the first two begin the transaction, too.
enum err_code apply_polled_set(struct apply *apply, const struct guid *uuid, uint64_t digest, struct err *err) ERR_CHECKED;
enum err_code apply_polled_clear(struct apply *apply, struct err *err) ERR_CHECKED;

struct apply_commit {
	bool refresh; // whole: what was put and kept is all there is, if purge says so
	bool purge;
	const struct sync_cookie *cookie;
	int64_t confirmed_ms;
	struct brake_limits limits;
	int64_t brake_window_ms;
	const struct image_counters *released; // what an administrator has let through; NULL: nothing
};
enum apply_result { APPLY_DONE, APPLY_HELD, APPLY_FAILED };
enum apply_result apply_commit(struct apply *apply, const struct apply_commit *commit, struct err *err);

// Of the last commit.
const struct image_counters *apply_counters(const struct apply *apply);
// Of APPLY_HELD; since_ms is not set.
const struct brake_held *apply_held(const struct apply *apply);
// Values that were refused by the last refresh and since. Conflicts: the keys that have several owners as of the last commit;
// beyond some two thousand those of the last refresh, and what came since.
const struct complaints *apply_complaints(const struct apply *apply);

// What is stored: the older cookie of the two, empty when it is another source's or damaged.
enum err_code apply_read_cookie(struct apply *apply, struct sync_cookie *cookie_out, struct err *err) ERR_CHECKED;

// The shadow is confirmed, or nobody is unknown for good until the next commit.
enum err_code apply_confirm(struct apply *apply, bool source_ok, int64_t confirmed_ms, struct err *err) ERR_CHECKED;

#endif
