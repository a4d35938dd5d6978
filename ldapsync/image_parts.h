// SPDX-License-Identifier: Apache-2.0
// What the files of the image share: the open database, its statements, and which file does what with it.
//
//     image.c            open and close; transactions; the state row; the WAL folded in
//     image_rows.c       entries: put, kept, dropped, swept
//     image_keys.c       the rows that find them; those of a first load in order; what an entry lost and nobody else has
//     image_sort.c       that order
//     image_polled.c     what a server that is polled had
//     image_conflicts.c  keys that several entries claim
#ifndef LDAPSYNC_IMAGE_PARTS_H
#define LDAPSYNC_IMAGE_PARTS_H

#include "image.h"
#include "image_sort.h"
#include "ldapsync/directory.h"

enum {
	IMAGE_GET_STATE, IMAGE_SET_STATE, IMAGE_CONFIRM,
	IMAGE_IS_EMPTY, IMAGE_FIND, IMAGE_INSERT, IMAGE_UPDATE, IMAGE_DELETE, IMAGE_ALL,
	IMAGE_ADD_KEY, IMAGE_ADD_KEYS, IMAGE_DROP_KEY, IMAGE_HAS_KEY, IMAGE_COUNT_KEYS,
	IMAGE_KEYS_IN_ORDER, IMAGE_CLAIMANTS,
	IMAGE_POLLED, IMAGE_SET_POLLED, IMAGE_DROP_POLLED, IMAGE_CLEAR_POLLED,
	IMAGE_STATEMENTS
};
enum { IMAGE_ADD_KEYS_ROWS = 32, IMAGE_DOUBLES_BYTES_MAX = 64 << 10 };

struct image {
	struct db *db;
	struct buf text;       // what image_state lends out
	uint8_t *seen;         // owned; a bit for each row id
	size_t seen_bytes;
	bool is_first;         // this transaction fills an empty table
	char *folder;          // owned
	struct image_sort *sort; // owned; keys that wait to be written. NULL: none
	bool had_waiting;      // some were written before the others came
	bool knows_doubles;    // the table is as it was filled, and has the keys of doubles several times, no others
	struct buf doubles;    // in the form of keys.h
	struct balance balance; // of this transaction
	struct guid secret;     // for its hashes
	enum image_begin how;
	uint64_t keys[BALANCE_KINDS]; // of each kind that is looked up by, as far as known
	bool known[BALANCE_KINDS];
	struct image_counters counters;
	uint64_t version;      // before the transaction
	int64_t truncate_ms;   // the WAL is not cut before; monotonic
};

// --- image_keys.c ---

// The rows of an entry's keys: from what they were (nothing: it is new) to what they are (nothing: it goes).
enum err_code image_change_keys(struct image *image, struct str old_keys, struct str keys, int64_t id,
	struct err *err) ERR_CHECKED;

// For the balance of this transaction.
void image_note(struct image *image, enum balance_kind kind, struct str key, bool gained);

// Before anything that is put in IMAGE_LOAD.
enum err_code image_count_keys_before(struct image *image, struct err *err) ERR_CHECKED;
// Writes what waits, and counts the keys that are gone.
enum err_code image_settle_keys(struct image *image, struct err *err) ERR_CHECKED;
// The counts as of this commit.
void image_carry_counts_on(struct image *image);
// The transaction is over: what it kept in memory goes.
void image_forget_keys(struct image *image);

#endif
