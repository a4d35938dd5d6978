// SPDX-License-Identifier: Apache-2.0
// What a session changes: flags, expunges. Each is one job that writes: all or nothing, MODSEQ in commit order.
#include "base/must.h"
#include "mailbox_private.h"
#include "message_flags.h"

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
	struct strand *strand;
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

// What becomes of one message.
static enum flag_fate flag_one(void *arg, struct folder_change *message)
{
	struct flag_job *flag = arg;
	if (message->modseq > flag->request->unchanged_since) {
		uid_buf_add(&flag->modified, message->uid);
		return FLAG_KEPT;
	}
	uint64_t before = message->flags;
	message->flags = (before & flag->keep) | flag->set;
	bool changes = message->flags != before;
	if (changes) {
		if (flag->request->known_modseq && message->modseq > flag->request->known_modseq)
			uid_buf_add(&flag->covered, message->uid);
		message->modseq = flag->result.modseq = strand_seq(flag->strand);
		folder_delta_count(&flag->delta, -1, before, 0);
		folder_delta_count(&flag->delta, 1, message->flags, 0);
		flag->delta.flags = true;
	}
	flag->now[flag->result.n++] = *message;
	return changes ? FLAG_CHANGED : FLAG_KEPT;
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
		code = folder_keyword_bits(strand, flag->folder, &request->flags, request->change != FLAG_REMOVE, &bits,
			job->err);
	set_rule(flag, bits);
	flag->strand = strand;
	if (code == ERR_OK)
		code = message_flags_change(strand, flag->folder, flag->uids, flag->n, flag_one, flag, job->err);
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
	flag->result.alone = row.modseq <= request->known_modseq;
	return job_end(job, code);
}

enum err_code message_flag(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n,
	const struct flag_request *request, struct arena *arena, struct flag_result *result_out, struct err *err)
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

static enum err_code expunge_all(struct expunge_job *expunge, struct strand *strand, const uint32_t *uids, size_t n,
	struct uid_buf *gone)
{
	struct folder_delta delta = {0};
	enum err_code code = message_rows_expunge(
		strand, expunge->folder, uids, n, expunge->whatever ? 0 : FLAG_DELETED, &delta, gone, expunge->job.err);
	return code || gone->n == 0 ? code : folder_row_apply(strand, expunge->folder, &delta, expunge->job.err);
}

static enum job_step expunge_run(struct job *job, struct strand *strand)
{
	struct expunge_job *expunge = (struct expunge_job *)job;
	struct uid_buf deleted = {0}, gone = {0};
	struct folder_row row;
	enum err_code code = folder_row_by_id(strand, expunge->folder, &row, job->err);
	if (code == ERR_OK && expunge->uids == NULL)
		code = message_row_uids(strand, expunge->folder, FLAG_DELETED, &deleted, job->err);
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
	return expunge(mailbox,
		(struct expunge_job){.folder = folder, .uids = uids ? uids : &nothing, .n = n, .whatever = true, .arena = arena},
		gone_out, err);
}
