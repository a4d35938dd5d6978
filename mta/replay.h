// SPDX-License-Identifier: Apache-2.0
// What was delivered to mailboxes of ours, kept for replay_hours: a mailbox host that was restored from a backup is given it
// again.
//
//     if (replay_wants(replay, message))
//             entry = replay_entry_new(message, to, n, body, fd);        // the body is at hand: it has just been sent
//     ... the RESULT is committed ...
//     replay_add(replay, &entry);
//
//     struct replay_cursor *cursor = replay_cursor_new(replay, since_ms);        // on a worker
//     while (replay_cursor_next(cursor, arena, &found, err) == ERR_OK) ... replay_cursor_body(cursor, &found, at, n, &buf, err)
//
// Folder queue/replay/, files <unix hour>-<part>.seg of records (mta/replay_segment.h), appended by one thread, "queue-replay".
// One record a transaction with a mailbox host. It is a help, not a promise: nothing waits for it, a message that it cannot take
// (memory, disk) is counted and skipped, and it gives way first when the disk gets short. Synced once a second: a power cut loses
// that much, a crash of the process what it had not written yet.
#ifndef MTA_REPLAY_H
#define MTA_REPLAY_H

#include "item.h"

struct replay;

struct replay_limits {
	int64_t hours;          // 0: off, what there is is removed
	uint64_t bytes;         // of all segments; 0: off
	uint64_t reserve_bytes; // twice this stays free on the disk, or the oldest segments go
};

// dir is the queue's directory, used for the call. Blocks.
enum err_code replay_open(int dir, const struct replay_limits *limits, struct replay **replay_out, struct err *err) ERR_CHECKED;
void replay_set_limits(struct replay *replay, const struct replay_limits *limits); // any thread
void replay_close(struct replay **replay); // writes what waits; blocks; NULL is fine

// --- Keeping; any thread, nothing here blocks ---

// Is it on, and is this message none that a replay entered?
bool replay_wants(const struct replay *replay, const struct item_message *message);

struct replay_entry;

// to: recipients that mailboxes took, copied. body: all of it, copied unless it is message->body; or empty, with fd a descriptor
// of the body's file, taken (-1: none). NULL, fd closed, counted, when the envelope is too long or the body is not whole.
struct replay_entry *replay_entry_new(struct item_message *message, const struct record_recipient *to, size_t n, struct str body,
	int fd);
void replay_entry_free(struct replay_entry **entry); // NULL is fine
void replay_add(struct replay *replay, struct replay_entry **entry); // takes it; NULL is fine

struct replay_stats {
	uint64_t bytes, segments;
	int64_t oldest_s; // begin of the oldest hour, seconds since 1970; 0: nothing is kept
};
void replay_stats(struct replay *replay, struct replay_stats *stats_out);

// --- Reading; all block: on workers. The replay must outlive its cursors ---

struct replay_cursor;
struct replay_found {
	int64_t delivered_ms;
	struct record_enter envelope; // in the arena
	uint64_t body_at;
};

// Over what was kept until now and delivered at since_ms or later, the oldest first.
struct replay_cursor *replay_cursor_new(struct replay *replay, int64_t since_ms);
void replay_cursor_free(struct replay_cursor **cursor);

// The arena is reset. ERR_NOTFOUND: no more. What cannot be read any more (torn, purged) ends its segment, with a line in the
// log.
enum err_code replay_cursor_next(struct replay_cursor *cursor, struct arena *arena, struct replay_found *found_out,
	struct err *err) ERR_CHECKED;

// Appends n bytes of the body of what was found last, from offset on.
enum err_code replay_cursor_body(struct replay_cursor *cursor, const struct replay_found *found, uint64_t offset, size_t n,
	struct buf *out, struct err *err) ERR_CHECKED;

#endif
