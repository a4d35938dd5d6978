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
	// While it runs. New flags are (flags & keep) | set.
	uint64_t keep, set;
	struct folder_delta delta;
	struct folder_change *now;
	struct uid_buf modified, covered;
};

static void set_rule(struct flag_job *flag, uint64_t bits)
{
	switch (flag->request->change) {
	case FLAG_ADD:
		flag->keep = ~UINT64_C(0);
		flag->set = bits;
		return;
	case FLAG_REMOVE:
		flag->keep = ~bits;
		flag->set = 0;
		return;
	case FLAG_REPLACE:
		flag->keep = FLAG_UNENDED;
		flag->set = bits;
		return;
	}
	unreachable("enum flag_change");
}

// What becomes of one message. Returns whether its flags change.
static bool flag_one(struct flag_job *flag, struct strand *strand, const struct message_row *row)
{
	if (row->modseq > flag->request->unchanged_since) {
		uid_buf_add(&flag->modified, row->uid);
		return false;
	}
	uint64_t after = (row->flags & flag->keep) | flag->set, modseq = row->modseq;
	if (after != row->flags) {
		modseq = flag->result.modseq = strand_seq(strand);
		if (flag->request->known_modseq && row->modseq > flag->request->known_modseq)
			uid_buf_add(&flag->covered, row->uid);
		folder_delta_count(&flag->delta, -1, row->flags, row->bytes);
		folder_delta_count(&flag->delta, 1, after, row->bytes);
	}
	flag->now[flag->result.n++] = (struct folder_change){.uid = row->uid, .flags = after, .modseq = modseq};
	return after != row->flags;
}

// All messages from the first to the last uid: they are looked at one by one and written by one statement, which repeats the rule.
static enum err_code flag_range(struct flag_job *flag, struct strand *strand, uint32_t first, uint32_t last)
{
	sqlite3_stmt *range = db_stmt(strand->db, SQL_MSG_RANGE);
	db_bind_i64(range, 1, flag->folder);
	db_bind_i64(range, 2, first);
	db_bind_i64(range, 3, last);
	bool changes = false;
	enum db_step step;
	while ((step = db_step(strand->db, range, flag->job.err)) == DB_ROW) {
		struct message_row row;
		message_row_read(range, &row);
		changes |= flag_one(flag, strand, &row);
	}
	enum err_code code = mailbox_all_rows(range, step, flag->job.err);
	if (code || !changes)
		return code;
	uint64_t since = flag->request->unchanged_since;
	sqlite3_stmt *update = db_stmt(strand->db, SQL_MSG_FLAGS);
	db_bind_i64(update, 1, flag->folder);
	db_bind_i64(update, 2, first);
	db_bind_i64(update, 3, last);
	db_bind_i64(update, 4, (int64_t)flag->keep);
	db_bind_i64(update, 5, (int64_t)flag->set);
	db_bind_i64(update, 6, (int64_t)strand_seq(strand));
	db_bind_i64(update, 7, since > INT64_MAX ? INT64_MAX : (int64_t)since);
	return db_run(strand->db, update, flag->job.err);
}

// How many of the uids, from the first on, leave no uid out.
static size_t run_of(const uint32_t *uids, size_t n)
{
	size_t i = 1;
	while (i < n && uids[i] == uids[i - 1] + 1)
		i++;
	return i;
}

static enum job_step flag_run(struct job *job, struct strand *strand)
{
	struct flag_job *flag = (struct flag_job *)job;
	const struct flag_request *request = flag->request;
	struct folder_row row;
	uint64_t bits = 0;
	flag->now = arena_array(flag->arena, flag->n, sizeof *flag->now);
	if (flag->now == NULL)
		return job_fail(job, ERR_LIMIT, "%zu messages are too many for one command", flag->n);
	enum err_code code = folder_row_by_id(strand, flag->folder, &row, job->err);
	if (code == ERR_OK)
		code = folder_keyword_bits(strand, flag->folder, &request->flags, request->change != FLAG_REMOVE, &bits, job->err);
	set_rule(flag, bits);
	for (size_t i = 0, n; i < flag->n && code == ERR_OK; i += n) {
		n = run_of(flag->uids + i, flag->n - i);
		code = flag_range(flag, strand, flag->uids[i], flag->uids[i + n - 1]);
	}
	if (code == ERR_OK && strand->job_seq) // also when only a keyword is new
		code = folder_row_apply(strand, flag->folder, &flag->delta, job->err);
	if (code == ERR_OK)
		code = folder_keywords_read(strand, flag->folder, flag->arena, &flag->result.keywords, job->err);
	if (code == ERR_OK)
		code = uid_buf_give(&flag->modified, flag->arena, &flag->result.modified, job->err);
	if (code == ERR_OK)
		code = uid_buf_give(&flag->covered, flag->arena, &flag->result.covered, job->err);
	uid_buf_fini(&flag->modified);
	uid_buf_fini(&flag->covered);
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
