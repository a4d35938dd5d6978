// SPDX-License-Identifier: Apache-2.0
// The table `row` of mail.db: what is small or seldom asked for, each a value under a key of bytes. Private to the store.
//
// A table of its own costs every opening some 20,000 instructions, and every statement on it as many again; here a few
// statements do for all of them. A key begins with its kind, so that rows of a kind lie together, and numbers in it have their
// highest byte first, so that they are in their order. FORMATS.md section 6 says what each key and value holds.
//
//     struct mail_key key = mail_key(MAIL_ROW_THREAD);
//     mail_key_u64(&key, hash);
//     code = mail_row_get(strand, &key, &value, &found, err);
//     struct mail_reader reader = {.rest = buf_str(&value)};
//     thread = mail_read_u64(&reader);
//     if (reader.damaged) ...
#ifndef POPIMAP_MAIL_ROW_H
#define POPIMAP_MAIL_ROW_H

#include "mail_db.h"

// The first byte of a key. The owner and the folders are first and next to each other: an opening reads them in one go.
enum mail_row_kind {
	MAIL_ROW_OWNER = 'A',
	MAIL_ROW_FOLDER = 'B',    // id u32
	MAIL_ROW_BIG = 'b',       // guid
	MAIL_ROW_DELIVERED = 'd', // root guid; then, unless detail and list are empty, a digest of all three
	MAIL_ROW_EXPUNGED = 'e',  // modseq u64, folder u32, uid u32
	MAIL_ROW_NAME = 'n',      // name of a folder
	MAIL_ROW_SENDS = 'o',     // kind, 0, correspondent
	MAIL_ROW_WAITS = 'q',     // the same
	MAIL_ROW_SUBSCRIPTION = 's', // name
	MAIL_ROW_THREAD = 't',    // hash u64
	MAIL_ROW_TRASH = 'x',     // folder u32, uid u32
};

enum {
	MAIL_KEY_BYTES_MAX = 1100, // a name, or a kind of outbox and a correspondent
};

// A key in its owner's storage. More than MAIL_KEY_BYTES_MAX bytes are a bug.
struct mail_key {
	size_t n;
	char p[MAIL_KEY_BYTES_MAX + 1]; // behind the key is a zero: with it, it is the least of the keys above
};
struct mail_key mail_key(enum mail_row_kind kind);
void mail_key_add(struct mail_key *key, struct str bytes);
void mail_key_u32(struct mail_key *key, uint32_t value);
void mail_key_u64(struct mail_key *key, uint64_t value);
static inline struct str mail_key_str(const struct mail_key *key)
{
	return str_of(key->p, key->n);
}

// The whole kind, for a range.
struct mail_key mail_key_behind(enum mail_row_kind kind);

// Appends the value to `value`. A row that is not there is no error.
enum err_code mail_row_get(struct strand *strand, const struct mail_key *key, struct buf *value, bool *found_out,
	struct err *err) ERR_CHECKED;
enum err_code mail_row_set(struct strand *strand, const struct mail_key *key, struct str value, struct err *err) ERR_CHECKED;
enum err_code mail_row_drop(struct strand *strand, const struct mail_key *key, struct err *err) ERR_CHECKED;

// Calls take for the rows with from <= key < end, ascending, until it returns false. It must not use rows itself.
typedef bool mail_row_take(void *arg, struct str key, struct str value);
enum err_code mail_rows_each(struct strand *strand, struct str from, struct str end, mail_row_take *take, void *arg,
	struct err *err) ERR_CHECKED;
enum err_code mail_rows_count(struct strand *strand, enum mail_row_kind kind, uint64_t *n_out, struct err *err) ERR_CHECKED;

// Of a kind whose values begin with a time in ms, u64: up to n rows of until_ms and before; and dropping those before.
enum err_code mail_rows_old(struct strand *strand, enum mail_row_kind kind, int64_t until_ms, size_t n, mail_row_take *take,
	void *arg, struct err *err) ERR_CHECKED;
enum err_code mail_rows_forget(struct strand *strand, enum mail_row_kind kind, int64_t before_ms, struct err *err) ERR_CHECKED;

// --- Values ---

void mail_put_u8(struct buf *value, uint8_t n);
void mail_put_u32(struct buf *value, uint32_t n);
void mail_put_u64(struct buf *value, uint64_t n);
void mail_put_str(struct buf *value, struct str bytes); // its length, u16, before it
void mail_put_guid(struct buf *value, const struct guid *guid);

// Reads what was put. What is not there is zero, and the row damaged.
struct mail_reader {
	struct str rest;
	bool damaged;
};
uint8_t mail_read_u8(struct mail_reader *reader);
uint32_t mail_read_u32(struct mail_reader *reader);
uint64_t mail_read_u64(struct mail_reader *reader);
struct str mail_read_str(struct mail_reader *reader);
struct guid mail_read_guid(struct mail_reader *reader);

// Skips the kind; damaged where the key has another.
struct mail_reader mail_read_key(struct str key, enum mail_row_kind kind);

// ERR_CORRUPT unless all of the row was read.
enum err_code mail_read_end(const struct mail_reader *reader, const char *what, struct err *err) ERR_CHECKED;

#endif
