// SPDX-License-Identifier: Apache-2.0
// The bytes of messages: storing, counting, reading them. Private to the store; on a store thread that has the strand.
//
// A body is a row that never changes but for its count: lines of this recipient (prefix), then the message, in the row or in
// big/<guid>. Crash story of big/: the link is made and its directory synced before the commit that names it, so a row always has
// its file; a file without a row (the commit failed, or the process died before it) is removed by body_sweep.
#ifndef POPIMAP_BODY_H
#define POPIMAP_BODY_H

#include "incoming.h"
#include "mail_db.h"

// Adds a body with one reference, its cache and its thread; bytes_out is prefix and body.
struct body_new {
	int64_t id;
	struct guid guid;
	uint64_t bytes;
	bool big; // a file was linked: body_undo removes it when the job is undone, but not when its rows may come back
};
enum err_code body_add(struct strand *strand, const struct incoming *incoming, struct str prefix, struct body_new *body_out,
	struct err *err) ERR_CHECKED;
void body_undo(struct strand *strand, const struct body_new *body);

// n more, or fewer, references; at none the row goes. Its file is left to body_sweep, after the commit.
enum err_code body_count(struct strand *strand, int64_t id, int n, struct err *err) ERR_CHECKED;

struct body {
	int64_t id;
	struct guid guid;
	uint64_t thread;
	uint64_t prefix_bytes, bytes; // bytes: without the prefix
	bool big;
};
enum err_code body_find(struct strand *strand, int64_t id, struct body *body_out, struct err *err) ERR_CHECKED;

// Bytes [at, at + n) of prefix and body, appended to out; the range is inside.
enum err_code body_read(struct strand *strand, const struct body *body, uint64_t at, size_t n, struct buf *out,
	struct err *err) ERR_CHECKED;

// The whole message in one piece of memory: a copy, or for a file a mapping behind a page that ends with the prefix.
struct body_view {
	struct str text;
	char *heap;
	void *map;
	size_t map_bytes;
};
enum err_code body_view_open(struct strand *strand, const struct body *body, struct body_view *view_out,
	struct err *err) ERR_CHECKED;
void body_view_close(struct body_view *view);

// The cache of a body, appended to out: as stored, or built (and stored) when it is missing or of another version.
enum err_code body_cache(struct strand *strand, const struct body *body, struct buf *out, struct err *err) ERR_CHECKED;

// Removes files that no row names. Not inside a transaction that has written: what counts is what was committed.
enum err_code body_sweep(struct strand *strand, struct err *err) ERR_CHECKED;

#endif
