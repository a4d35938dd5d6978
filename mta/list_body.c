// SPDX-License-Identifier: Apache-2.0
// The body of a list's message: shared, or made anew with another header.
//
// Happy path: the header is at the start, which is read in one piece; the fixed one goes into a spool, then the rest as it is,
// piece by piece.
// Failure: the file of a body that could not be completed stays under its name, which no row has: the next try, or the sweep at
// start, sees to it.
// Crash story: the file is complete and synced before the EXPAND that names it is proposed (expand.c).
#include "list_body.h"

#include "base/file.h"
#include "base/must.h"
#include "base/runtime.h"
#include "mail/lmtp.h"
#include "queue_rows.h"

enum {
	START_BYTES = 256 << 10, // a header of 1,000 recipients with their names fits
	PIECE_BYTES = 256 << 10,
	BODY_BYTES_MAX = 1 << 20, // of one that is not in a file
};

enum err_code list_body_start(struct queue *queue, const struct item_message *m, struct buf *start_out, struct err *err)
{
	bool file = m->flags & RECORD_FLAG_SPOOL;
	buf_init(start_out, file ? START_BYTES : BODY_BYTES_MAX);
	enum err_code code = file ? queue_rows_body_file(queue, m, 0, START_BYTES, start_out, err)
				  : queue_rows_body(queue, m, start_out, err);
	if (code)
		buf_fini(start_out);
	return code;
}

static enum err_code append_rest(struct queue *queue, const struct item_message *m, uint64_t from, struct spool *spool,
	struct err *err)
{
	struct buf piece;
	enum err_code code = ERR_OK;
	buf_init(&piece, PIECE_BYTES);
	while (from < m->body_bytes && code == ERR_OK) {
		buf_clear(&piece);
		code = queue_rows_body_file(queue, m, from, PIECE_BYTES, &piece, err);
		from += piece.n;
		if (code == ERR_OK)
			code = spool_append(spool, buf_str(&piece), err);
	}
	buf_fini(&piece);
	return code;
}

enum err_code list_body_make(struct queue *queue, const struct item_message *m, const struct list_header *header,
	struct str start, const struct guid *child, struct spool_contents *contents_out, struct err *err)
{
	_Static_assert(2 * (int)LIST_HEADER_ADDED_BYTES_MAX <= (int)LMTP_LIST_BYTES_MAX, "a copy goes to another list once");
	struct spool *spool;
	struct buf fixed;
	enum err_code code = spool_open_as(queue, child, &spool, err);
	if (code)
		return code;
	buf_init(&fixed, start.n + LIST_HEADER_ADDED_BYTES_MAX);
	size_t rest = list_header_fix(header, start, start.n == m->body_bytes, m->flags & RECORD_FLAG_UTF8, &fixed);
	must(!fixed.overflow);
	code = spool_append(spool, buf_str(&fixed), err);
	buf_fini(&fixed);
	if (code == ERR_OK)
		code = spool_append(spool, str_from(start, rest), err);
	if (code == ERR_OK)
		code = append_rest(queue, m, start.n, spool, err);
	if (code == ERR_OK)
		return spool_finish(&spool, contents_out, err);
	spool_drop(&spool);
	return code;
}

struct link_job {
	struct queue *queue;
	const struct guid *from, *to;
	enum err_code code;
	struct err *err;
};

static void link_body(void *arg)
{
	struct link_job *job = arg;
	char from[GUID_TEXT_BYTES], to[GUID_TEXT_BYTES];
	int dir = job->queue->spool_dir;
	// Of a try before, which may have made it with another header.
	job->code = file_remove(dir, guid_text(job->to, to), job->err);
	if (job->code == ERR_OK)
		job->code = file_link(dir, guid_text(job->from, from), dir, str_of_c(to), job->err);
	if (job->code == ERR_OK)
		job->code = file_dir_sync(dir, job->err);
}

enum err_code list_body_share(struct queue *queue, const struct item_message *m, const struct guid *child,
	struct spool_contents *contents_out, struct err *err)
{
	struct spool_contents c = {.guid = *child, .bytes = m->body_bytes, .file = m->flags & RECORD_FLAG_SPOOL,
		.open_end = m->flags & RECORD_FLAG_OPEN_END};
	memcpy(c.digest, m->digest, sizeof c.digest);
	enum err_code code;
	if (c.file) {
		struct link_job job = {.queue = queue, .from = &m->guid, .to = child, .err = err};
		code = worker_run(runtime_workers(queue->config.runtime), link_body, &job, err);
		code = code ? code : job.code;
	} else {
		buf_init(&c.body, BODY_BYTES_MAX);
		code = queue_rows_body(queue, m, &c.body, err);
	}
	if (code)
		buf_fini(&c.body);
	else
		*contents_out = c;
	return code;
}
