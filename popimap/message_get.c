// SPDX-License-Identifier: Apache-2.0
// Reading messages: FETCH, slices of bodies, SEARCH. Nothing here writes, but for caches that had to be built anew.
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "mail/cache.h"
#include "mail/header.h"
#include "mailbox_private.h"

static void fill(struct message *message, const struct message_row *row)
{
	message->flags = row->flags;
	message->modseq = row->modseq;
	message->bytes = row->bytes;
	message->received = row->received;
	message->saved_ms = row->saved_ms;
}

// A message that was expunged not long ago (rule 14).
static enum err_code find_expunged(struct strand *strand, uint32_t folder, uint32_t uid, struct message *message,
	struct message_row *row, struct err *err)
{
	enum err_code code = message_row_find_expunged(strand, folder, uid, row, &message->found, err);
	message->expunged = message->found;
	if (code == ERR_OK && message->found)
		fill(message, row);
	return code;
}

enum { ROWS_AHEAD = 64 }; // read at once; a slice of bodies often ends after some sixty

// --- FETCH ---

struct fetch_job {
	struct job job;
	uint32_t folder;
	const uint32_t *uids;
	size_t n;
	unsigned what;
	struct arena *arena;
	struct message *messages;
	size_t n_out;
	struct buf scratch; // what is copied to the arena once it is whole
	struct message_row *rows; // of the next messages
};

static enum err_code give(struct fetch_job *fetch, struct str *out)
{
	*out = arena_dup(fetch->arena, buf_str(&fetch->scratch));
	return out->p || fetch->scratch.n == 0 ? ERR_OK
					       : err_set(fetch->job.err, ERR_LIMIT, "no room for %zu bytes", fetch->scratch.n);
}

static enum err_code fetch_text(struct fetch_job *fetch, struct strand *strand, const struct body *body, struct message *message)
{
	uint64_t n = message->bytes;
	if (fetch->what & FETCH_TEXT && body->bytes > STORE_INLINE_BYTES_MAX)
		return ERR_OK; // too large: text stays {NULL, 0}
	if (n > STORE_INLINE_BYTES_MAX + STORE_PREFIX_BYTES_MAX)
		n = STORE_INLINE_BYTES_MAX;
	buf_clear(&fetch->scratch);
	enum err_code code = body_read(strand, body, 0, n, &fetch->scratch, fetch->job.err);
	if (code == ERR_OK && !(fetch->what & FETCH_TEXT)) {
		size_t header_bytes = header_body_start(buf_str(&fetch->scratch));
		if (header_bytes == n && n < message->bytes)
			return ERR_OK; // it goes on beyond what was read: text stays {NULL, 0}
		buf_truncate(&fetch->scratch, header_bytes);
	}
	return code ? code : give(fetch, &message->text);
}

static enum err_code fetch_one(struct fetch_job *fetch, struct strand *strand, size_t i)
{
	struct message *message = &fetch->messages[i];
	struct message_row row = fetch->rows[i % ROWS_AHEAD];
	struct body body;
	enum err_code code = ERR_OK;
	*message = (struct message){.uid = fetch->uids[i], .found = row.uid != 0};
	if (message->found)
		fill(message, &row);
	else
		code = find_expunged(strand, fetch->folder, fetch->uids[i], message, &row, fetch->job.err);
	if (code || !message->found || !(fetch->what & ~(unsigned)FETCH_FLAGS))
		return code;
	code = body_find(strand, row.body, &body, fetch->job.err);
	message->emailid = body.guid;
	message->thread = body.thread;
	if (code == ERR_OK && fetch->what & FETCH_CACHE) {
		buf_clear(&fetch->scratch);
		code = body_cache(strand, &body, &fetch->scratch, fetch->job.err);
		if (code == ERR_OK)
			code = give(fetch, &message->cache);
	}
	if (code == ERR_OK && fetch->what & (FETCH_HEADER | FETCH_TEXT))
		code = fetch_text(fetch, strand, &body, message);
	return code;
}

// Reads rows ahead when those that were read are used up.
static enum err_code read_ahead(struct strand *strand, uint32_t folder, unsigned what, const uint32_t *uids, size_t n, size_t at,
	struct message_row *rows, struct err *err)
{
	size_t some = n - at < ROWS_AHEAD ? n - at : ROWS_AHEAD;
	if (at % ROWS_AHEAD)
		return ERR_OK;
	return what == FETCH_FLAGS ? message_rows_read_flags(strand, folder, uids + at, some, rows, err) :
				     message_rows_read(strand, folder, uids + at, some, rows, err);
}

static enum job_step fetch_run(struct job *job, struct strand *strand)
{
	struct fetch_job *fetch = (struct fetch_job *)job;
	size_t most = fetch->what & FETCH_TEXT ? FETCH_TEXTS_MAX : FETCH_MESSAGES_MAX, max = fetch->n < most ? fetch->n : most,
	       bytes = 0;
	enum err_code code = ERR_OK;
	fetch->messages = arena_array(fetch->arena, max, sizeof *fetch->messages);
	if (fetch->messages == NULL)
		return job_fail(job, ERR_LIMIT, "no room for %zu messages", max);
	buf_init(&fetch->scratch, CACHE_BYTES_MAX);
	fetch->rows = calloc(ROWS_AHEAD, sizeof *fetch->rows);
	must(fetch->rows != NULL);
	while (fetch->n_out < max && bytes < FETCH_BYTES_MAX) {
		const struct message *message = &fetch->messages[fetch->n_out];
		code = read_ahead(strand, fetch->folder, fetch->what, fetch->uids, max, fetch->n_out, fetch->rows, job->err);
		if (code == ERR_OK)
			code = fetch_one(fetch, strand, fetch->n_out);
		if (code)
			break;
		bytes += message->cache.n + message->text.n;
		fetch->n_out++;
	}
	free(fetch->rows);
	buf_fini(&fetch->scratch);
	if (code == ERR_LIMIT && fetch->n_out) // the arena is full: the caller asks again with an empty one
		code = ERR_OK;
	return job_end(job, code);
}

enum err_code message_fetch(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, unsigned what,
	struct arena *arena, struct message **messages_out, size_t *n_out, struct err *err)
{
	struct fetch_job fetch = {.folder = folder, .uids = uids, .n = n, .what = what, .arena = arena};
	enum err_code code = mailbox_run(mailbox, &fetch.job, JOB_READ, fetch_run, err);
	if (code == ERR_OK) {
		*messages_out = fetch.messages;
		*n_out = fetch.n_out;
	}
	return code;
}

// --- Slices ---

struct read_job {
	struct job job;
	uint32_t folder, uid;
	uint64_t at;
	size_t n;
	struct buf *out;
};

static enum job_step read_run(struct job *job, struct strand *strand)
{
	struct read_job *read = (struct read_job *)job;
	struct message_row row;
	struct body body;
	bool found;
	enum err_code code = message_row_find(strand, read->folder, read->uid, &row, &found, job->err);
	if (code == ERR_OK && !found)
		code = message_row_find_expunged(strand, read->folder, read->uid, &row, &found, job->err);
	if (code == ERR_OK && !found)
		return job_fail(job, ERR_NOTFOUND, "no such message");
	if (code == ERR_OK)
		code = body_find(strand, row.body, &body, job->err);
	if (code || read->at >= row.bytes)
		return job_end(job, code);
	uint64_t left = row.bytes - read->at;
	return job_end(job, body_read(strand, &body, read->at, read->n < left ? read->n : (size_t)left, read->out, job->err));
}

enum err_code message_read(struct mailbox *mailbox, uint32_t folder, uint32_t uid, uint64_t at, size_t n, struct buf *out,
	struct err *err)
{
	must(n <= MESSAGE_READ_BYTES_MAX);
	struct read_job read = {.folder = folder, .uid = uid, .at = at, .n = n, .out = out};
	return mailbox_run(mailbox, &read.job, JOB_READ, read_run, err);
}

// --- SEARCH ---

enum { SCAN_SLICE_MS = 5, SCAN_SLICE_MESSAGES = 1000 };

struct scan_job {
	struct job job;
	uint32_t folder;
	const uint32_t *uids;
	size_t n, at;
	unsigned what;
	message_match *match;
	void *arg;
	struct uid_buf matched;
};

static enum err_code scan_one(struct scan_job *scan, struct strand *strand, const struct message_row *row)
{
	struct message message = {.uid = row->uid, .found = row->uid != 0};
	struct body body;
	struct err *err = scan->job.err;
	enum err_code code = ERR_OK;
	if (!message.found)
		return ERR_OK;
	fill(&message, row);
	struct body_view view = {0};
	struct buf cache;
	buf_init(&cache, CACHE_BYTES_MAX);
	if (scan->what)
		code = body_find(strand, row->body, &body, err);
	if (code == ERR_OK && scan->what) {
		message.emailid = body.guid;
		message.thread = body.thread;
	}
	if (code == ERR_OK && scan->what & FETCH_CACHE)
		code = body_cache(strand, &body, &cache, err);
	if (code == ERR_OK && scan->what & (FETCH_HEADER | FETCH_TEXT))
		code = body_view_open(strand, &body, &view, err);
	if (code == ERR_OK) {
		message.cache = buf_str(&cache);
		message.text = scan->what & FETCH_TEXT ? view.text : str_upto(view.text, header_body_start(view.text));
		if (scan->match(scan->arg, &message))
			uid_buf_add(&scan->matched, row->uid);
	}
	body_view_close(&view);
	buf_fini(&cache);
	return code;
}

static enum err_code scan_slice(struct scan_job *scan, struct strand *strand, struct message_row *rows)
{
	const uint32_t *uids = scan->uids + scan->at;
	size_t left = scan->n - scan->at, max = left < SCAN_SLICE_MESSAGES ? left : SCAN_SLICE_MESSAGES;
	int64_t until_ms = clock_mono_exact_ms() + SCAN_SLICE_MS;
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < max && code == ERR_OK; i++) {
		code = read_ahead(strand, scan->folder, scan->what, uids, max, i, rows, scan->job.err);
		if (code == ERR_OK)
			code = scan_one(scan, strand, &rows[i % ROWS_AHEAD]);
		scan->at++;
		if (clock_mono_exact_ms() >= until_ms)
			break;
	}
	return code;
}

static enum job_step scan_run(struct job *job, struct strand *strand)
{
	struct scan_job *scan = (struct scan_job *)job;
	struct message_row *rows = calloc(ROWS_AHEAD, sizeof *rows);
	must(rows != NULL);
	enum err_code code = scan_slice(scan, strand, rows);
	free(rows);
	if (code)
		return job_end(job, code);
	return scan->at < scan->n ? JOB_AGAIN : JOB_DONE;
}

enum err_code message_scan(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, unsigned what,
	message_match *match, void *arg, struct arena *arena, struct uid_list *matched_out, struct err *err)
{
	struct scan_job scan = {.folder = folder, .uids = uids, .n = n, .what = what, .match = match, .arg = arg};
	enum err_code code = mailbox_run(mailbox, &scan.job, JOB_READ, scan_run, err);
	if (code == ERR_OK)
		code = uid_buf_give(&scan.matched, arena, matched_out, err);
	uid_buf_fini(&scan.matched);
	return code;
}
