// SPDX-License-Identifier: Apache-2.0
// Rows of messages, and taking messages into folders and out of them. Private to the store; on a store thread that has the
// strand.
#ifndef POPIMAP_MESSAGE_ROW_H
#define POPIMAP_MESSAGE_ROW_H

#include "body.h"
#include "folder_row.h"

// A list of uids that grows; given to the caller's arena at the end.
struct uid_buf {
	uint32_t *p;
	size_t n, size;
};
void uid_buf_add(struct uid_buf *uids, uint32_t uid);
void uid_buf_sort(struct uid_buf *uids); // ascending, each once
void uid_buf_fini(struct uid_buf *uids);
// also fini
enum err_code uid_buf_give(struct uid_buf *uids, struct arena *arena, struct uid_list *list_out, struct err *err) ERR_CHECKED;

struct message_row {
	uint32_t folder, uid;
	uint64_t modseq, flags, bytes;
	int64_t body, saved_ms;
	struct date received;
};

// The number of a message in the tables that have it for a key.
int64_t message_row_id(uint32_t folder, uint32_t uid);

// Of uids, which ascend: rows[i].uid is 0 where there is no such message. Uids that lie close to each other are read in one pass
// over the table, which is many times cheaper than looking each up.
enum err_code message_rows_read(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n, struct message_row *rows,
	struct err *err) ERR_CHECKED;

// The same with uid, flags and MODSEQ alone.
enum err_code message_rows_read_flags(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n,
	struct message_row *rows, struct err *err) ERR_CHECKED;

// One among the messages, without its flags and MODSEQ, which are left 0; and among the expunged ones (trash), with them.
// found_out: false: not there.
enum err_code message_row_find(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out, bool *found_out,
	struct err *err) ERR_CHECKED;
enum err_code message_row_find_expunged(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out,
	bool *found_out, struct err *err) ERR_CHECKED;

// Adds a message to a folder at the uid that delta has reached; row's folder, uid, modseq and saved_ms are filled in. ERR_LIMIT
// when the folder's uids are used up. The folder's row is written by the caller, with folder_row_apply.
enum err_code message_row_add(struct strand *strand, const struct folder_row *folder, struct folder_delta *delta,
	struct message_row *row, struct err *err) ERR_CHECKED;

// Into the trash, with tombstones: those of uids, which ascend, that are there and have one of these flags (0: whatever they
// have). Their uids are put behind what `gone` has. The folder's row is written by the caller, with folder_row_apply.
enum err_code message_rows_expunge(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n, uint64_t flags,
	struct folder_delta *delta, struct uid_buf *gone, struct err *err) ERR_CHECKED;

// Ends what lies in the trash since until_ms or longer, n messages at most: the bodies lose their references.
enum err_code message_trash_end(struct strand *strand, int64_t until_ms, size_t n, size_t *n_out, struct err *err) ERR_CHECKED;

// Tombstones, with this job's change_seq: of a message, of a folder (uid 0); and those of a folder are forgotten.
enum err_code message_tombstone_add(struct strand *strand, uint32_t folder, uint32_t uid, struct err *err) ERR_CHECKED;
enum err_code message_tombstones_drop(struct strand *strand, uint32_t folder, struct err *err) ERR_CHECKED;

// The uids of a folder, all or those with one of these flags, put behind what the list has.
enum err_code message_row_uids(struct strand *strand, uint32_t folder, uint64_t flags, struct uid_buf *uids,
	struct err *err) ERR_CHECKED;

// Moves messages to another folder, with flags and keywords: RENAME of INBOX.
enum err_code message_move_all(struct strand *strand, uint32_t from, uint32_t to, const uint32_t *uids, size_t n,
	struct err *err) ERR_CHECKED;

#endif
