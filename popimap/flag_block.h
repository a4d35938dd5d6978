// SPDX-License-Identifier: Apache-2.0
// Flags and MODSEQ of up to FLAG_BLOCK_UIDS messages as the bytes of one row: the codec of flags.data (schema/FORMATS.md section
// 6). Private to the store.
//
//     struct flag_cursor cursor = flag_block_begin(data, flag_block_first(uid));
//     while (flag_block_next(&cursor, &message))
//             flag_block_add(&again, &message);
//     if (cursor.damaged) ...
//
// Why blocks: what becomes of one message becomes of its neighbours as a rule. A row each costs SQLite some thousand instructions
// a change, and an index over MODSEQ as much again; here 5,000 messages are forty rows, and what changed since a number is found
// by reading those whose highest MODSEQ is above it.
//
// The bytes of a message can be put behind those of the others without reading them: that is how a delivery adds one. Nothing
// here blocks.
#ifndef POPIMAP_FLAG_BLOCK_H
#define POPIMAP_FLAG_BLOCK_H

#include "base/buf.h"
#include "mailbox.h"

enum {
	FLAG_BLOCK_UIDS = 128,                            // from a multiple of it on
	FLAG_BLOCK_ENTRY_BYTES_MAX = 19,                  // uid 1, modseq and flags 9 each; common is 4
	FLAG_BLOCK_BYTES_MAX = FLAG_BLOCK_UIDS * FLAG_BLOCK_ENTRY_BYTES_MAX, // fits on a page of SQLite
};

// The first uid of the block of a message.
static inline uint32_t flag_block_first(uint32_t uid)
{
	return uid / FLAG_BLOCK_UIDS * FLAG_BLOCK_UIDS;
}

struct flag_cursor {
	struct str rest; // borrowed
	uint32_t first;  // uid of the block
	int next;        // what comes has at least this distance to it
	bool damaged;    // at the end: not bytes of flag_block_add
};
struct flag_cursor flag_block_begin(struct str data, uint32_t first);
bool flag_block_next(struct flag_cursor *cursor, struct folder_change *message_out);

// Messages ascend; flags and MODSEQ are below 2^63. False: the buffer is full.
bool flag_block_add(struct buf *data, const struct folder_change *message);

#endif
