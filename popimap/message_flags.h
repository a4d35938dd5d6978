// SPDX-License-Identifier: Apache-2.0
// What of a message changes: flags and MODSEQ, in blocks (flag_block.h). A message is in its folder's blocks as long as it is in
// msg. Private to the store; on a store thread that has the strand. Lists of uids ascend.
#ifndef POPIMAP_MESSAGE_FLAGS_H
#define POPIMAP_MESSAGE_FLAGS_H

#include "flag_block.h"
#include "strand.h"

// Adds a message, whose uid is higher than all before it in this folder.
enum err_code message_flags_add(struct strand *strand, uint32_t folder, const struct folder_change *message,
	struct err *err) ERR_CHECKED;

// Those of uids that are there, ascending: *n_out of them in `out`, which has room for n.
enum err_code message_flags_read(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n,
	struct folder_change *out, size_t *n_out, struct err *err) ERR_CHECKED;

// Calls each(arg, message) for the messages of a folder from uid `from` on that changed after `since`, ascending. each uses no
// database.
typedef void message_flags_take(void *arg, const struct folder_change *message);
enum err_code message_flags_each(struct strand *strand, uint32_t folder, uint32_t from, uint64_t since, message_flags_take *each,
	void *arg, struct err *err) ERR_CHECKED;

// Calls fate(arg, message) for those of uids that are there, ascending; it says what becomes of each, and writes flags and modseq
// anew where they change. Only blocks with a change are written. fate uses no database.
enum flag_fate { FLAG_KEPT, FLAG_CHANGED, FLAG_GONE };
typedef enum flag_fate message_flags_fate(void *arg, struct folder_change *message);
enum err_code message_flags_change(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n,
	message_flags_fate *fate, void *arg, struct err *err) ERR_CHECKED;

#endif
