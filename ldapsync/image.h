// SPDX-License-Identifier: Apache-2.0
// One file of the directory's image, shadow.db or credentials.db, from the writer's side. The only code that writes either.
//
//     image_open(path, &ddl_shadow, &image, err)
//     image_begin(image, err);
//     image_put(image, &uuid, keys, data, &outcome, err);               // for every entry of a full load
//     image_sweep(image, &counters, err);                               // what was not put goes
//     image_commit(image, &state, err);                                 // or image_abort; version + 1 if anything changed
//
// A load is one transaction (I1) and idempotent, keyed by uuid (I9): an entry that is stored as it is costs a look-up and no write. Killed
// at any point, readers see the old image. -wal and -shm stay when the file is closed, group-writable, so that readers need no writer.
// Blocks on the disk; one thread.
#ifndef LDAPSYNC_IMAGE_H
#define LDAPSYNC_IMAGE_H

#include "base/buf.h"
#include "base/db.h"
#include "base/guid.h"

struct image;

enum { IMAGE_COOKIE_BYTES_MAX = 4096 };

struct image_state {
	uint64_t version;     // set by image_commit
	bool complete;
	bool source_ok;       // the last parse succeeded
	struct str source;    // "ldif"
	struct str cookie;    // which source this is
	int64_t confirmed_ms; // wall clock
	uint64_t entries;     // set by image_commit
};

// Keys of one kind: how many there were, and how many of them no entry has any more.
struct image_gone {
	uint64_t before, gone;
};

struct image_counters {
	uint64_t added, changed, deleted, unchanged, moved; // entries; moved: another mailHost
	uint64_t disarmed;                                  // entries that had a password of whatever kind and have none; in credentials.db
	struct image_gone recipients, domains, hosts;       // by their addresses and names
	struct image_gone mailboxes, logins;                // by their ids and names
};

// Makes the file when it is missing (0640, -wal and -shm 0660; the folder is given).
enum err_code image_open(const char *path, const struct db_schema *schema, struct image **image_out, struct err *err) ERR_CHECKED;
void image_close(struct image **image);

// What is committed; strings borrow from the image until the next call. A new file: all zero.
enum err_code image_state(struct image *image, struct image_state *state_out, struct err *err) ERR_CHECKED;

enum err_code image_begin(struct image *image, struct err *err) ERR_CHECKED;

// A uuid that was put in this transaction already changes nothing: IMAGE_DUPLICATE.
enum image_put { IMAGE_STORED, IMAGE_DUPLICATE };
enum err_code image_put(struct image *image, const struct guid *uuid, struct str keys, struct str data, enum image_put *put_out,
	struct err *err) ERR_CHECKED;

// Deletes what was not put and says what the load comes to. After a failure the transaction is gone, otherwise it is still open.
enum err_code image_sweep(struct image *image, struct image_counters *counters_out, struct err *err) ERR_CHECKED;

// Writes state, commits and checkpoints. After a failure the transaction is gone.
enum err_code image_commit(struct image *image, const struct image_state *state, struct err *err) ERR_CHECKED;
void image_abort(struct image *image);

// Keys that several entries claim (I11), inside or outside a transaction: calls each for every one.
enum err_code image_conflicts(struct image *image, void (*each)(void *context, int kind, struct str key, struct str dns), void *context,
	struct err *err) ERR_CHECKED;

// Changes source_ok and confirmed_ms alone, in a transaction of its own.
enum err_code image_confirm(struct image *image, bool source_ok, int64_t confirmed_ms, struct err *err) ERR_CHECKED;

#endif
