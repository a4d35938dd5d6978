// SPDX-License-Identifier: Apache-2.0
// What a session changes: flags, expunges. Each is one job that writes: all or nothing, MODSEQ in commit order.
#include "base/must.h"
#include "mailbox_private.h"

// --- Flags ---

struct flag_job {
	struct job job;
	uint32_t folder;
	const uint32_t *uids;
	size_t n;
	const struct flag_request *request;
	struct arena *arena;
	struct flag_result result;
	// While it runs.
	uint64_t bits;
	struct folder_delta delta;
	struct folder_change *now;
	struct uid_buf modified;
};

static uint64_t flags_after(enum flag_change change, uint64_t before, uint64_t bits)
{
	switch (change) {
	case FLAG_ADD:
		return before | bits;
	case FLAG_REMOVE:
		return before & ~bits;
	case FLAG_REPLACE:
		return bits | (before & FLAG_UNENDED);
	}
	unreachable("enum flag_change");
}

static enum err_code flag_one(struct flag_job *flag, struct strand *strand, uint32_t uid)
{
	struct message_row row;
	bool found;
	enum err_code code = message_row_find(strand, flag->folder, uid, &row, &found, flag->job.err);
	if (code || !found)
		return code;
	if (row.modseq > flag->request->unchanged_since) {
		uid_buf_add(&flag->modified, uid);
		return ERR_OK;
	}
	uint64_t after = flags_after(flag->request->change, row.flags, flag->bits);
	if (after != row.flags) {
		row.modseq = flag->result.modseq = strand_seq(strand);
		sqlite3_stmt *update = db_stmt(strand->db, SQL_MSG_FLAGS);
		db_bind_i64(update, 1, flag->folder);
		db_bind_i64(update, 2, uid);
		db_bind_i64(update, 3, (int64_t)after);
		db_bind_i64(update, 4, (int64_t)row.modseq);
		code = db_run(strand->db, update, flag->job.err);
		folder_delta_count(&flag->delta, -1, row.flags, row.bytes);
		folder_delta_count(&flag->delta, 1, after, row.bytes);
	}
	flag->now[flag->result.n++] = (struct folder_change){.uid = uid, .flags = after, .modseq = row.modseq};
	return code;
}

static enum job_step flag_run(struct job *job, struct strand *strand)
{
	struct flag_job *flag = (struct flag_job *)job;
	const struct flag_request *request = flag->request;
	struct folder_row row;
	flag->now = arena_array(flag->arena, flag->n, sizeof *flag->now);
	if (flag->now == NULL)
		return job_fail(job, ERR_LIMIT, "%zu messages are too many for one command", flag->n);
	enum err_code code = folder_row_by_id(strand, flag->folder, &row, job->err);
	if (code == ERR_OK)
		code = folder_keyword_bits(strand, flag->folder, &request->flags, request->change != FLAG_REMOVE, &flag->bits, job->err);
	for (size_t i = 0; i < flag->n && code == ERR_OK; i++)
		code = flag_one(flag, strand, flag->uids[i]);
	if (code == ERR_OK && strand->job_seq) // also when only a keyword is new
		code = folder_row_apply(strand, flag->folder, &flag->delta, job->err);
	if (code == ERR_OK)
		code = folder_keywords_read(strand, flag->folder, flag->arena, &flag->result.keywords, job->err);
	if (code == ERR_OK)
		code = uid_buf_give(&flag->modified, flag->arena, &flag->result.modified, job->err);
	uid_buf_fini(&flag->modified);
	flag->result.now = flag->now;
	return job_end(job, code);
}

enum err_code message_flag(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, const struct flag_request *request,
	struct arena *arena, struct flag_result *result_out, struct err *err)
{
	struct flag_job *flag = arena_alloc(arena, sizeof *flag); // with its keywords too large for a fiber's stack
	if (flag == NULL)
		return err_set(err, ERR_LIMIT, "no room for one more command");
	*flag = (struct flag_job){.folder = folder, .uids = uids, .n = n, .request = request, .arena = arena};
	enum err_code code = mailbox_run(mailbox, &flag->job, JOB_WRITE, flag_run, err);
	if (code == ERR_OK)
		*result_out = flag->result;
	return code;
}

// --- Expunging ---

struct expunge_job {
	struct job job;
	uint32_t folder;
	const uint32_t *uids; // NULL: all
	size_t n;
	bool whatever; // also without \Deleted
	struct arena *arena;
	struct uid_list gone;
};

static enum err_code deleted_uids(struct expunge_job *expunge, struct strand *strand, struct uid_buf *uids)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_MSG_DELETED);
	db_bind_i64(stmt, 1, expunge->folder);
	enum db_step step;
	while ((step = db_step(strand->db, stmt, expunge->job.err)) == DB_ROW)
		uid_buf_add(uids, (uint32_t)db_col_i64(stmt, 0));
	return mailbox_all_rows(stmt, step, expunge->job.err);
}

static enum err_code expunge_all(struct expunge_job *expunge, struct strand *strand, const uint32_t *uids, size_t n, struct uid_buf *gone)
{
	struct folder_delta delta = {0};
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < n && code == ERR_OK; i++) {
		struct message_row row;
		bool found;
		code = message_row_find(strand, expunge->folder, uids[i], &row, &found, expunge->job.err);
		if (code || !found || !(expunge->whatever || row.flags & FLAG_DELETED))
			continue;
		code = message_row_expunge(strand, &row, &delta, expunge->job.err);
		uid_buf_add(gone, uids[i]);
	}
	if (code == ERR_OK && gone->n)
		code = folder_row_apply(strand, expunge->folder, &delta, expunge->job.err);
	return code;
}

static enum job_step expunge_run(struct job *job, struct strand *strand)
{
	struct expunge_job *expunge = (struct expunge_job *)job;
	struct uid_buf deleted = {0}, gone = {0};
	struct folder_row row;
	enum err_code code = folder_row_by_id(strand, expunge->folder, &row, job->err);
	if (code == ERR_OK && expunge->uids == NULL)
		code = deleted_uids(expunge, strand, &deleted);
	if (code == ERR_OK)
		code = expunge->uids ? expunge_all(expunge, strand, expunge->uids, expunge->n, &gone) :
				       expunge_all(expunge, strand, deleted.p, deleted.n, &gone);
	if (code == ERR_OK)
		code = uid_buf_give(&gone, expunge->arena, &expunge->gone, job->err);
	uid_buf_fini(&deleted);
	uid_buf_fini(&gone);
	return job_end(job, code);
}

static enum err_code expunge(struct mailbox *mailbox, struct expunge_job job, struct uid_list *gone_out, struct err *err)
{
	enum err_code code = mailbox_run(mailbox, &job.job, JOB_WRITE, expunge_run, err);
	if (code == ERR_OK)
		*gone_out = job.gone;
	return code;
}

enum err_code message_expunge(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, struct arena *arena,
	struct uid_list *gone_out, struct err *err)
{
	return expunge(mailbox, (struct expunge_job){.folder = folder, .uids = uids, .n = n, .arena = arena}, gone_out, err);
}

enum err_code message_remove(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, struct arena *arena,
	struct uid_list *gone_out, struct err *err)
{
	must(uids != NULL || n == 0);
	static const uint32_t nothing;
	return expunge(mailbox, (struct expunge_job){.folder = folder, .uids = uids ? uids : &nothing, .n = n, .whatever = true, .arena = arena},
		gone_out, err);
}
