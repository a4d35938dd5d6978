// SPDX-License-Identifier: Apache-2.0
// What a session that has selected a folder knows of it: the first look, what changed since, and who wakes it.
#include <stdlib.h>

#include "base/must.h"
#include "mailbox_private.h"
#include "message_flags.h"

// --- SELECT ---

struct select_job {
	struct job job;
	struct str name;
	enum folder_mode mode;
	struct arena *arena;
	struct folder_view view;
};

enum { LISTING_UIDS_MAX = 1 << 20 };

struct listing {
	struct uid_buf uids;
	uint32_t first_unseen;
};

static void list_one(void *arg, const struct folder_change *message)
{
	struct listing *listing = arg;
	uid_buf_add(&listing->uids, message->uid);
	if (listing->first_unseen == 0 && !(message->flags & FLAG_SEEN))
		listing->first_unseen = message->uid;
}

static enum err_code read_uids(struct strand *strand, const struct folder_row *row, struct arena *arena, struct folder_view *view,
	struct err *err)
{
	// Room for what the folder's row says there is, within reason; the list grows by itself.
	struct listing listing = {.uids.size = row->messages < LISTING_UIDS_MAX ? row->messages + 1 : LISTING_UIDS_MAX};
	listing.uids.p = malloc(listing.uids.size * sizeof *listing.uids.p);
	must(listing.uids.p != NULL);
	enum err_code code = message_flags_each(strand, row->id, 0, 0, list_one, &listing, err);
	if (code == ERR_OK)
		code = uid_buf_give(&listing.uids, arena, &view->uids, err);
	uid_buf_fini(&listing.uids);
	view->first_unseen = listing.first_unseen;
	return code;
}

// From which uid on messages are \Recent to this session; a read-write session takes them away from all others (rule 13).
static uint32_t recent_from(struct strand *strand, const struct folder_row *row, bool take)
{
	uint32_t from = mail_db_recent(strand, row->id, row->recent_uid);
	if (from >= row->uidnext)
		return 0;
	if (take)
		mail_db_take_recent(strand, row->id, row->uidnext);
	return from;
}

static uint32_t count_from(const struct uid_list *uids, uint32_t from)
{
	size_t i = uids->n;
	while (from && i > 0 && uids->p[i - 1] >= from)
		i--;
	return from ? (uint32_t)(uids->n - i) : 0;
}

static enum job_step select_run(struct job *job, struct strand *strand)
{
	struct select_job *select = (struct select_job *)job;
	struct folder_view *view = &select->view;
	struct folder_row row;
	enum err_code code = folder_row_selectable(strand, select->name, &row, job->err);
	if (code == ERR_OK)
		code = folder_keywords_read(strand, row.id, select->arena, &view->keywords, job->err);
	if (code == ERR_OK)
		code = read_uids(strand, &row, select->arena, view, job->err);
	if (code)
		return job_end(job, code);
	view->recent_from = recent_from(strand, &row, select->mode == FOLDER_READ_WRITE);
	view->info = (struct folder_info){
		.id = row.id,
		.name = {.path = arena_dup(select->arena, select->name)},
		.guid = row.guid,
		.uidvalidity = row.uidvalidity,
		.uidnext = row.uidnext,
		.modseq = row.modseq,
		.messages = (uint32_t)view->uids.n,
		.unseen = row.unseen,
		.deleted = row.deleted,
		.recent = count_from(&view->uids, view->recent_from),
		.bytes = row.bytes,
		.use = row.use,
		.selectable = true,
	};
	return JOB_DONE;
}

enum err_code folder_select(struct mailbox *mailbox, const struct mailbox_name *name, enum folder_mode mode, struct arena *arena,
	struct folder_view *view_out, struct err *err)
{
	struct select_job *select = arena_alloc(arena, sizeof *select); // with its keywords too large for a fiber's stack
	if (select == NULL)
		return err_set(err, ERR_LIMIT, "no room for one more command");
	*select = (struct select_job){.name = name->path, .mode = mode, .arena = arena};
	enum err_code code = mailbox_run(mailbox, &select->job, JOB_READ, select_run, err);
	if (code == ERR_OK)
		*view_out = select->view;
	return code;
}

// --- Changes ---

struct changes_job {
	struct job job;
	uint32_t folder;
	const struct folder_seen *seen;
	struct arena *arena;
	struct folder_changes changes;
};

struct change_buf {
	struct folder_change *p;
	size_t n, size;
};

static void change_add(void *arg, const struct folder_change *message)
{
	struct change_buf *rows = arg;
	if (rows->n == rows->size) {
		rows->size = rows->size ? 2 * rows->size : 64;
		rows->p = reallocarray(rows->p, rows->size, sizeof *rows->p);
		must(rows->p != NULL);
	}
	rows->p[rows->n++] = *message;
}

// Rows below seen.uidnext were known, the others have arrived.
static enum err_code give_changed(struct changes_job *changes, const struct change_buf *rows)
{
	struct folder_change *all = arena_array(changes->arena, rows->n, sizeof *all);
	if (all == NULL)
		return err_set(changes->job.err, ERR_LIMIT, "%zu changes are too many for one command", rows->n);
	if (rows->n)
		memcpy(all, rows->p, rows->n * sizeof *all);
	size_t known = 0;
	while (known < rows->n && all[known].uid < changes->seen->uidnext)
		known++;
	changes->changes.changed = all;
	changes->changes.changed_n = known;
	changes->changes.arrived = all + known;
	changes->changes.arrived_n = rows->n - known;
	return ERR_OK;
}

struct expunged_read {
	uint32_t folder, below;
	struct uid_buf uids;
};

static bool read_tombstone(void *arg, struct str key, struct str value)
{
	struct expunged_read *read = arg;
	(void)value;
	struct mail_reader reader = mail_read_key(key, MAIL_ROW_EXPUNGED);
	mail_read_u64(&reader);
	uint32_t folder = mail_read_u32(&reader), uid = mail_read_u32(&reader);
	if (!reader.damaged && folder == read->folder && uid < read->below)
		uid_buf_add(&read->uids, uid);
	return true;
}

static enum err_code read_expunged(struct changes_job *changes, struct strand *strand)
{
	struct expunged_read read = {.folder = changes->folder, .below = changes->seen->uidnext};
	struct mail_key from = mail_key(MAIL_ROW_EXPUNGED), end = mail_key_behind(MAIL_ROW_EXPUNGED);
	mail_key_u64(&from, changes->seen->modseq + 1);
	enum err_code code =
		mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), read_tombstone, &read, changes->job.err);
	uid_buf_sort(&read.uids);
	if (code == ERR_OK)
		code = uid_buf_give(&read.uids, changes->arena, &changes->changes.expunged, changes->job.err);
	uid_buf_fini(&read.uids);
	return code;
}

static enum job_step changes_run(struct job *job, struct strand *strand)
{
	struct changes_job *changes = (struct changes_job *)job;
	const struct folder_seen *seen = changes->seen;
	struct folder_row row;
	enum err_code code = folder_row_by_id(strand, changes->folder, &row, job->err);
	if (code == ERR_NOTFOUND || (code == ERR_OK && (!row.selectable || row.uidvalidity != seen->uidvalidity))) {
		changes->changes.gone = true;
		return job_end(job, ERR_OK);
	}
	struct change_buf rows = {0};
	if (code == ERR_OK && row.modseq > seen->modseq) {
		code = message_flags_each(strand, row.id, row.flags_modseq > seen->modseq ? 0 : seen->uidnext, seen->modseq,
			change_add, &rows, job->err);
		if (code == ERR_OK)
			code = give_changed(changes, &rows);
		if (code == ERR_OK)
			code = read_expunged(changes, strand);
	}
	free(rows.p);
	if (code == ERR_OK)
		code = folder_keywords_read(strand, row.id, changes->arena, &changes->changes.keywords, job->err);
	changes->changes.modseq = row.modseq;
	changes->changes.uidnext = row.uidnext;
	if (code == ERR_OK && row.uidnext > seen->uidnext)
		changes->changes.recent_from = recent_from(strand, &row, seen->take_recent);
	return job_end(job, code);
}

enum err_code folder_changes(struct mailbox *mailbox, uint32_t folder, const struct folder_seen *seen, struct arena *arena,
	struct folder_changes *changes_out, struct err *err)
{
	struct changes_job *changes = arena_alloc(arena, sizeof *changes);
	if (changes == NULL)
		return err_set(err, ERR_LIMIT, "no room for one more command");
	*changes = (struct changes_job){.folder = folder, .seen = seen, .arena = arena};
	enum err_code code = mailbox_run(mailbox, &changes->job, JOB_READ, changes_run, err);
	if (code == ERR_OK)
		*changes_out = changes->changes;
	return code;
}

// --- Watching ---

struct watch *watch_new(struct mailbox *mailbox, uint32_t folder)
{
	struct strand *strand = mailbox->strand;
	struct watch *watch = calloc(1, sizeof *watch);
	must(watch != NULL);
	watch->strand = strand;
	watch->folder = folder;
	watch->fiber = fiber_ref_self();
	pthread_mutex_lock(&strand->store->mutex);
	watch->next = strand->watches;
	if (watch->next)
		watch->next->prev = watch;
	strand->watches = watch;
	pthread_mutex_unlock(&strand->store->mutex);
	return watch;
}

void watch_free(struct watch **watch_taken)
{
	struct watch *watch = *watch_taken;
	*watch_taken = NULL;
	if (watch == NULL)
		return;
	struct strand *strand = watch->strand;
	pthread_mutex_lock(&strand->store->mutex);
	*(watch->prev ? &watch->prev->next : &strand->watches) = watch->next;
	if (watch->next)
		watch->next->prev = watch->prev;
	pthread_mutex_unlock(&strand->store->mutex);
	free(watch);
}

bool watch_changed(struct watch *watch)
{
	return atomic_exchange_explicit(&watch->changed, false, memory_order_acq_rel);
}
