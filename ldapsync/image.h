// SPDX-License-Identifier: Apache-2.0
// One file of the directory's image, shadow.db or credentials.db, from the writer's side. The only code that writes either.
//
//     image_open(path, &ddl_shadow, &image, err)
//     image_begin(image, IMAGE_LOAD, err);
//     image_put(image, &uuid, keys, data, &outcome, err);               // for every entry of a full load
//     image_settle(image, true, &counters, err);                        // what was not put goes
//     image_commit(image, &state, err);                                 // or image_abort; version + 1 if anything changed
//
// and for what a server tells, some entries or all of them:
//
//     image_begin(image, IMAGE_CHANGE, err);
//     image_put(...); image_keep(image, &uuid, err); image_drop(image, &uuid, err);
//     image_settle(image, purge, &counters, err);
//     image_commit(image, &state, err);
//
// A transaction is whole or nothing (I1) and idempotent, keyed by uuid (I9): an entry that is stored as it is costs a look-up and
// no write. Killed at any point, readers see the old image. -wal and -shm stay when the file is closed, group-writable, so that
// readers need no writer. Blocks on the disk; one thread.
#ifndef LDAPSYNC_IMAGE_H
#define LDAPSYNC_IMAGE_H

#include "balance.h"
#include "base/buf.h"
#include "base/db.h"
#include "base/guid.h"

struct image;

enum { IMAGE_COOKIE_BYTES_MAX = 4096 };

struct image_state {
	uint64_t version;     // set by image_commit
	bool complete;
	bool source_ok;       // the last parse succeeded; nothing is held
	struct str source;    // "ldif", "ldap"
	struct str cookie;    // which source this is
	int64_t confirmed_ms; // wall clock
	uint64_t entries;     // set by image_commit
};

// Keys of one kind: how many there were, and how many of them no entry has any more.
struct image_gone {
	uint64_t before, gone;
};

struct image_counters {
	uint64_t entries;                                   // before
	uint64_t added, changed, deleted, unchanged, moved; // entries; moved: another mailHost
	// entries that had a password of whatever kind and have none; in credentials.db
	uint64_t disarmed;
	struct image_gone recipients, domains, hosts;       // by their addresses and names
	struct image_gone mailboxes, logins;                // by their ids and names
	bool is_first;                                      // there was nothing before
};

// Makes the file when it is missing (0640, -wal and -shm 0660; the folder is given).
enum err_code image_open(const char *path, const struct db_schema *schema, struct image **image_out, struct err *err) ERR_CHECKED;
void image_close(struct image **image);

// What is committed; strings borrow from the image until the next call. A new file: all zero.
enum err_code image_state(struct image *image, struct image_state *state_out, struct err *err) ERR_CHECKED;

enum image_begin {
	IMAGE_LOAD,   // from a file: a uuid comes once; keys are counted before
	IMAGE_CHANGE, // from a server: what comes later counts; keys are counted only when some are lost
};
enum err_code image_begin(struct image *image, enum image_begin how, struct err *err) ERR_CHECKED;
bool image_has_begun(const struct image *image);

// IMAGE_LOAD: a uuid that was put in this transaction already changes nothing, IMAGE_DUPLICATE.
enum image_put { IMAGE_STORED, IMAGE_DUPLICATE };
enum err_code image_put(struct image *image, const struct guid *uuid, struct str keys, struct str data, enum image_put *put_out,
	struct err *err) ERR_CHECKED;

// An entry stays as it is. One that is not there is no failure: it is not ours.
enum err_code image_keep(struct image *image, const struct guid *uuid, struct err *err) ERR_CHECKED;

// An entry goes, if it is there.
enum err_code image_drop(struct image *image, const struct guid *uuid, struct err *err) ERR_CHECKED;

// What image_settle would purge now: entries that were neither put nor kept. each must leave the image alone.
typedef void image_unseen_fn(void *context, const struct guid *uuid);
enum err_code image_unseen_each(struct image *image, image_unseen_fn *each, void *context, struct err *err) ERR_CHECKED;

// The entry's data as it is in this transaction, appended; nothing when it is not there.
enum err_code image_get(struct image *image, const struct guid *uuid, struct buf *data, struct err *err) ERR_CHECKED;

// With purge deletes what was neither put nor kept; says what the transaction comes to. After a failure the transaction is gone,
// otherwise it is still open.
enum err_code image_settle(struct image *image, bool purge, struct image_counters *counters_out, struct err *err) ERR_CHECKED;

// What came and went in the transaction that was settled last, until the next begins. A first one has nothing to lose: empty.
const struct balance *image_balance(const struct image *image);

// Writes state and commits. After a failure the transaction is gone.
enum err_code image_commit(struct image *image, const struct image_state *state, struct err *err) ERR_CHECKED;
void image_abort(struct image *image);

// Folds the WAL into the file when it has grown, outside a transaction: for when nothing else is to be done. Takes as long as the
// disk needs for what was committed, and waits hardly at all for readers: while one holds a snapshot, what came after it stays in
// the WAL.
void image_checkpoint(struct image *image);

// Everything that is committed is in the file itself, and its log is empty: before the file gets another name. Nobody may read
// it.
enum err_code image_fold(struct image *image, struct err *err) ERR_CHECKED;

// Keys that several entries claim (I11), inside or outside a transaction: calls each for every one.
typedef void image_conflict_fn(void *context, int kind, struct str key, struct str dns);
enum err_code image_conflicts(struct image *image, image_conflict_fn *each, void *context, struct err *err) ERR_CHECKED;

// The same for the keys of one entry, in the form of keys.h.
enum err_code image_conflicts_of(struct image *image, struct str keys, image_conflict_fn *each, void *context,
	struct err *err) ERR_CHECKED;

// What a server that is polled had (poll_table.h), committed with the data it gave: an id and a digest of each entry. A digest of
// 0 takes it away. In a transaction, but for image_polled_each, which goes in the order of the ids.
typedef bool image_polled_fn(void *context, const struct guid *uuid, uint64_t digest); // false: no more
enum err_code image_polled_set(struct image *image, const struct guid *uuid, uint64_t digest, struct err *err) ERR_CHECKED;
enum err_code image_polled_clear(struct image *image, struct err *err) ERR_CHECKED;
enum err_code image_polled_each(struct image *image, image_polled_fn *each, void *context, struct err *err) ERR_CHECKED;

// Changes source_ok and confirmed_ms alone, in a transaction of its own.
enum err_code image_confirm(struct image *image, bool source_ok, int64_t confirmed_ms, struct err *err) ERR_CHECKED;

#endif
