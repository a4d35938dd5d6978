// SPDX-License-Identifier: Apache-2.0
// A folder's row, and changing it together with all that follows from that. Private to the store; on a store thread that has the
// strand.
#ifndef POPIMAP_FOLDER_ROW_H
#define POPIMAP_FOLDER_ROW_H

#include "mail_db.h"
#include "mail_row.h"
#include "mailbox.h"

struct folder_row {
	uint32_t id, uidvalidity, uidnext, recent_uid, messages, unseen, deleted;
	uint64_t modseq, flags_modseq, bytes;
	struct guid guid;
	enum folder_use use;
	bool selectable;
};

// Of a row of the table `row` (mail_row.h); the name borrows from the value. False: damaged.
bool folder_row_read(struct str key, struct str value, struct folder_row *row_out, struct str *name_out, struct err *err);

// All folders, in no order of names. take must not use rows itself (mail_row.h); an error ends it.
typedef enum err_code folder_row_take(void *arg, const struct folder_row *row, struct str name, struct err *err);
enum err_code folder_rows_each(struct strand *strand, folder_row_take *take, void *arg, struct err *err) ERR_CHECKED;

// ERR_NOTFOUND when there is none.
enum err_code folder_row_by_name(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err) ERR_CHECKED;
enum err_code folder_row_by_id(struct strand *strand, uint32_t id, struct folder_row *row_out, struct err *err) ERR_CHECKED;

// The same, with \Noselect as not found.
enum err_code folder_row_selectable(struct strand *strand, struct str name, struct folder_row *row_out,
	struct err *err) ERR_CHECKED;

enum err_code folder_row_has_children(struct strand *strand, struct str name, bool *has_out, struct err *err) ERR_CHECKED;

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

// \Recent: uids below uid were given to somebody. Nothing when the folder is gone.
enum err_code folder_row_recent(struct strand *strand, uint32_t id, uint32_t uid, struct err *err) ERR_CHECKED;

// Writes a row that was read before, with this job's change_seq for its modseq; name and keywords stay.
enum err_code folder_row_write(struct strand *strand, const struct folder_row *row, struct err *err) ERR_CHECKED;

// ERR_EXISTS when the name is taken.
enum err_code folder_row_rename(struct strand *strand, uint32_t id, struct str name, struct err *err) ERR_CHECKED;
enum err_code folder_row_drop(struct strand *strand, uint32_t id, struct str name, struct err *err) ERR_CHECKED;

// A UIDVALIDITY that no folder of this mailbox ever had.
uint32_t folder_new_uidvalidity(struct strand *strand);

// A new folder's row. The name is free and its parent exists.
enum err_code folder_row_add(struct strand *strand, struct str name, enum folder_use use, uint32_t *id_out,
	struct err *err) ERR_CHECKED;

// What is in the image of a new mailbox: the rows of a folder and of its name. And what becomes each mailbox's own of it.
struct folder_image {
	struct mail_key key, name;
	struct buf value, id; // buf_fini() them
};
void folder_row_first(uint32_t id, struct str name, enum folder_use use, struct folder_image *image);

struct folder_begin {
	struct guid guid;
	uint32_t uidvalidity;
	int64_t made_ms;
};
enum err_code folder_row_begin(struct strand *strand, uint32_t id, const struct folder_begin *begin, struct err *err) ERR_CHECKED;

// The row of a subscription, of a folder or of a name alone.
enum { FOLDER_SUBSCRIPTION_BYTES = 1 + 8 };
struct mail_key folder_subscription_key(struct str name);
void folder_subscription_put(struct buf *value, bool subscribed, uint64_t modseq);

// Keywords: of a folder, names in the arena; and the bits of names, made when they are new. ERR_LIMIT when no bit is left. When
// flags are to be removed, unknown names are no bits and nothing is made.
enum err_code folder_keywords_read(struct strand *strand, uint32_t folder, struct arena *arena,
	struct folder_keywords *keywords_out, struct err *err) ERR_CHECKED;
enum err_code folder_keyword_bits(struct strand *strand, uint32_t folder, const struct flag_names *names, bool make,
	uint64_t *flags_out, struct err *err) ERR_CHECKED;

#endif
