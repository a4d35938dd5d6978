// SPDX-License-Identifier: Apache-2.0
// Rows of messages, and taking messages into folders and out of them. Private to the store; on a store thread that has the strand.
#ifndef POPIMAP_MESSAGE_ROW_H
#define POPIMAP_MESSAGE_ROW_H

#include "body.h"
#include "folder_row.h"

struct message_row {
	uint32_t folder, uid;
	uint64_t modseq, flags, bytes;
	int64_t body, saved_ms;
	struct date received;
};

// From a statement over MAIL_MSG_COLUMNS.
void message_row_read(sqlite3_stmt *stmt, struct message_row *row_out);

// Among the messages, and among the expunged ones (trash). found_out: false: not there.
enum err_code message_row_find(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out, bool *found_out,
	struct err *err) ERR_CHECKED;
enum err_code message_row_find_expunged(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out, bool *found_out,
	struct err *err) ERR_CHECKED;

// Adds a message to a folder at the uid that delta has reached; row's folder, uid, modseq and saved_ms are filled in. ERR_LIMIT when the
// folder's uids are used up. The folder's row is written by the caller, with folder_row_apply.
enum err_code message_row_add(struct strand *strand, const struct folder_row *folder, struct folder_delta *delta, struct message_row *row,
	struct err *err) ERR_CHECKED;

// Into the trash, with a tombstone.
enum err_code message_row_expunge(struct strand *strand, const struct message_row *row, struct folder_delta *delta, struct err *err)
	ERR_CHECKED;

// Moves messages to another folder, with flags and keywords: RENAME of INBOX.
enum err_code message_move_all(struct strand *strand, uint32_t from, uint32_t to, const uint32_t *uids, size_t n, struct err *err) ERR_CHECKED;

// A list of uids that grows; given to the caller's arena at the end.
struct uid_buf {
	uint32_t *p;
	size_t n, size;
};
void uid_buf_add(struct uid_buf *uids, uint32_t uid);
void uid_buf_sort(struct uid_buf *uids); // ascending, each once
void uid_buf_fini(struct uid_buf *uids);
enum err_code uid_buf_give(struct uid_buf *uids, struct arena *arena, struct uid_list *list_out, struct err *err) ERR_CHECKED; // also fini

#endif
