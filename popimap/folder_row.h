// SPDX-License-Identifier: Apache-2.0
// A folder's row, and changing it together with all that follows from that. Private to the store; on a store thread that has the
// strand.
#ifndef POPIMAP_FOLDER_ROW_H
#define POPIMAP_FOLDER_ROW_H

#include "mail_db.h"
#include "mailbox.h"

struct folder_row {
	uint32_t id, uidvalidity, uidnext, recent_uid, messages, unseen, deleted;
	uint64_t modseq, flags_modseq, bytes;
	struct guid guid;
	enum folder_use use;
	bool selectable;
};

// From a statement over MAIL_FOLDER_COLUMNS; its column 1 is the name.
void folder_row_read(sqlite3_stmt *stmt, struct folder_row *row_out);

// ERR_NOTFOUND when there is none.
enum err_code folder_row_by_name(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err) ERR_CHECKED;
enum err_code folder_row_by_id(struct strand *strand, uint32_t id, struct folder_row *row_out, struct err *err) ERR_CHECKED;

// The same, with \Noselect as not found.
enum err_code folder_row_selectable(struct strand *strand, struct str name, struct folder_row *row_out,
	struct err *err) ERR_CHECKED;

// The same for who only adds messages: id, uidvalidity and uidnext. The statement is half as dear to prepare, and a delivery to a
// closed mailbox prepares all it needs.
enum err_code folder_row_target(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err) ERR_CHECKED;

// What a job does to a folder's messages, summed up.
struct folder_delta {
	uint32_t uids; // given out
	int64_t messages, unseen, deleted, bytes;
	bool flags; // of a message that was there before
};

// Adds n (1 or -1) messages with these flags.
void folder_delta_count(struct folder_delta *delta, int n, uint64_t flags, uint64_t bytes);

// Writes the delta and this job's change_seq into the row, and has watchers told.
enum err_code folder_row_apply(struct strand *strand, uint32_t id, const struct folder_delta *delta, struct err *err) ERR_CHECKED;

// A UIDVALIDITY that no folder of this mailbox ever had.
uint32_t folder_new_uidvalidity(struct strand *strand);

// A new folder's row. The name is free and its parent exists.
enum err_code folder_row_add(struct strand *strand, struct str name, enum folder_use use, uint32_t *id_out,
	struct err *err) ERR_CHECKED;

// Keywords: of a folder, names in the arena; and the bits of names, made when they are new. ERR_LIMIT when no bit is left. When
// flags are to be removed, unknown names are no bits and nothing is made.
enum err_code folder_keywords_read(struct strand *strand, uint32_t folder, struct arena *arena,
	struct folder_keywords *keywords_out, struct err *err) ERR_CHECKED;
enum err_code folder_keyword_bits(struct strand *strand, uint32_t folder, const struct flag_names *names, bool make,
	uint64_t *flags_out, struct err *err) ERR_CHECKED;

#endif
