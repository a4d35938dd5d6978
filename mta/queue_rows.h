// SPDX-License-Identifier: Apache-2.0
// Pages of the queue's rows, as the scheduler, the deliveries and the commands need them. All but queue_rows_body() are functions
// for cluster_log_read(): they run on the writer thread between two transactions; results are copies.
#ifndef MTA_QUEUE_ROWS_H
#define MTA_QUEUE_ROWS_H

#include "base/arena.h"
#include "item.h"
#include "queue_core.h"

// Waiting recipients of one destination that are due at until_ms (wall clock), the oldest first. Rows that are damaged are passed
// over: they must not be tried, their result would not find them again.
enum { QUEUE_PAGE_DAMAGED_MAX = 16 };

struct queue_page {
	struct str destination; // in
	int64_t until_ms;       // in
	size_t limit;           // in
	struct item *items;     // out; the caller's
	size_t n;               // out
	uint64_t damaged[QUEUE_PAGE_DAMAGED_MAX]; // out: hashes of the keys of rows that were passed over
	size_t damaged_n;       // out: of these at most so many
	struct err damage;      // out: what is wrong with the last of them
	int64_t next_due_ms;    // out: of the first one that the page does not have; INT64_MAX: none
	struct err err;         // out; code ERR_OK: all went well
};
void queue_rows_page(struct db *db, void *page);

// A row, for who counts rows: of a statement whose first two columns are its key.
uint64_t queue_rows_hash(sqlite3_stmt *stmt);

// The recipient in a row of QUEUE_ITEM_COLUMNS; strings are the statement's.
struct record_recipient queue_rows_recipient(sqlite3_stmt *stmt);

// One more address that a copy is for.
struct queue_also {
	struct queue_also *next;
	uint32_t number;
	struct record_also r;
};

// The open recipients of a message, in the order of their numbers, but for those that a list or a large group led to: what was
// expanded in the queue stays expanded. Rows that are damaged are passed over.
struct queue_copies {
	struct guid guid;        // in
	bool held;               // in: also those that are held
	struct arena *arena;     // in
	struct item *items;      // out; the caller's
	struct queue_also *also; // out: in the arena, in the order of the copies' numbers; some may be of copies that are closed
	struct err err;          // out; code ERR_OK: all went well
};
void queue_rows_copies(struct db *db, void *copies);

// What waits, by destination.
struct queue_destinations {
	void (*each)(void *arg, struct str destination, int64_t next_try_ms);
	void *arg;
	struct err err;
};
void queue_rows_destinations(struct db *db, void *destinations);

// Is the database itself sound, beneath its rows? Reads it whole: for cluster_log_snapshot(), not between transactions. err is a
// struct err; ERR_CORRUPT: text is SQLite's first complaint.
void queue_rows_check(struct db *db, void *err);

// The body of a message that is not in memory: from its row, or from its file, whole up to body_bytes_max. In out. ERR_NOTFOUND:
// the message is gone; ERR_LIMIT: larger. For bodies in files read pieces with queue_rows_body_file(). May wait.
enum err_code queue_rows_body(struct queue *queue, const struct item_message *message, struct buf *out,
	struct err *err) ERR_CHECKED;

// Up to n bytes from a body in a file, from offset on; appended to out. On a worker. May wait.
enum err_code queue_rows_body_file(struct queue *queue, const struct item_message *message, uint64_t offset, size_t n,
	struct buf *out, struct err *err) ERR_CHECKED;

#endif
