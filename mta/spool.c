// SPDX-License-Identifier: Apache-2.0
// A body on its way in: memory up to what rides in the record, then a file that a worker writes.
//
// Happy path: append fills the buffer; over the inline limit a worker makes spool/<guid> and from then on writes every full
// buffer; finish writes the rest, syncs the file, then its directory, and only then may an ENTER name it.
// Failure: ENOSPC refuses this message; a sync that fails with EIO ends the process, for the page cache cannot be trusted any
// more.
// Crash: a file without a row is swept at start (queue.c).
// A body whose name is derived from another's (spool_open_as) may have been begun before: what is there is no message's yet, and
// is written anew. Its file is not unlinked when it is dropped, for the next try may have made it again before the keeper comes
// to it.
// Called on the fiber of the session; the worker job has the spool to itself while the fiber waits.
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/runtime.h"
#include "queue_core.h"

enum { CHUNK_BYTES = 256 << 10 };

struct spool {
	struct queue *queue;
	struct guid guid;
	uint64_t bytes;
	struct buf buf; // all of it, or what the file does not have yet
	int fd;         // -1: no file
	uint64_t file_bytes;
	EVP_MD_CTX *digest;
	char last[2];   // octets of it
	bool derived;
	bool failed;
};

static enum err_code open_named(struct queue *queue, const struct guid *guid, bool derived, struct spool **spool_out,
	struct err *err)
{
	enum err_code code = queue_accepts(queue, err);
	if (code)
		return code;
	struct spool *s = calloc(1, sizeof *s);
	must(s != NULL);
	s->queue = queue;
	s->guid = *guid;
	s->derived = derived;
	s->fd = -1;
	s->digest = EVP_MD_CTX_new();
	must(s->digest != NULL && EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) == 1);
	buf_init(&s->buf, queue->inline_bytes_max > CHUNK_BYTES ? queue->inline_bytes_max : CHUNK_BYTES);
	*spool_out = s;
	return ERR_OK;
}

enum err_code spool_open(struct queue *queue, struct spool **spool_out, struct err *err)
{
	struct guid guid = guid_new();
	return open_named(queue, &guid, false, spool_out, err);
}

enum err_code spool_open_as(struct queue *queue, const struct guid *guid, struct spool **spool_out, struct err *err)
{
	return open_named(queue, guid, true, spool_out, err);
}

struct guid spool_guid(const struct spool *spool)
{
	return spool->guid;
}

uint64_t spool_bytes(const struct spool *spool)
{
	return spool->bytes;
}

struct write_job {
	struct spool *spool;
	bool last;
	enum err_code code;
	struct err err;
};

static void run_write(void *arg)
{
	struct write_job *job = arg;
	struct spool *s = job->spool;
	char name[GUID_TEXT_BYTES];
	enum err_code code = ERR_OK;
	if (s->fd < 0 && s->derived)
		code = file_remove(s->queue->spool_dir, guid_text(&s->guid, name), &job->err);
	if (s->fd < 0 && code == ERR_OK)
		code = file_create(s->queue->spool_dir, guid_text(&s->guid, name), &s->fd, &job->err);
	if (code == ERR_OK)
		code = file_write_at(s->fd, buf_str(&s->buf), (off_t)s->file_bytes, &job->err);
	if (code == ERR_OK && job->last)
		code = file_sync(s->fd, &job->err);
	if (code == ERR_OK && job->last)
		code = file_dir_sync(s->queue->spool_dir, &job->err);
	job->code = code;
}

static enum err_code write_out(struct spool *s, bool last, struct err *err)
{
	struct write_job job = {.spool = s, .last = last};
	struct worker_pool *workers = s->queue->config.runtime ? runtime_workers(s->queue->config.runtime) : NULL;
	enum err_code code = ERR_OK;
	if (workers)
		code = worker_run(workers, run_write, &job, err);
	else
		run_write(&job); // plain threads of tests
	if (code == ERR_OK && job.code) {
		if (job.code == ERR_IO) {
			log_error(NULL, "queue: cannot write a body", log_err(&job.err));
			s->queue->config.died(&job.err);
			abort();
		}
		code = err_set(err, job.code, "%s", job.err.text);
	}
	if (code == ERR_OK) {
		s->file_bytes += s->buf.n;
		buf_clear(&s->buf);
	}
	s->failed = code != ERR_OK;
	return code;
}

static void keep_last(struct spool *s, struct str bytes)
{
	if (bytes.n > 0)
		s->last[0] = bytes.n > 1 ? bytes.p[bytes.n - 2] : s->last[1];
	if (bytes.n > 0)
		s->last[1] = bytes.p[bytes.n - 1];
}

enum err_code spool_append(struct spool *s, struct str bytes, struct err *err)
{
	must(!s->failed);
	must(EVP_DigestUpdate(s->digest, bytes.p, bytes.n) == 1);
	s->bytes += bytes.n;
	keep_last(s, bytes);
	size_t limit = s->fd < 0 && s->file_bytes == 0 ? s->queue->inline_bytes_max : CHUNK_BYTES;
	while (bytes.n > 0) {
		if (s->buf.n + bytes.n <= limit) {
			must(buf_add(&s->buf, bytes));
			return ERR_OK;
		}
		struct str part = str_upto(bytes, s->buf.max - s->buf.n);
		must(buf_add(&s->buf, part));
		bytes = str_from(bytes, part.n);
		if (s->buf.n < CHUNK_BYTES && bytes.n == 0)
			return ERR_OK;
		enum err_code code = write_out(s, false, err);
		if (code)
			return code;
		limit = CHUNK_BYTES;
	}
	return ERR_OK;
}

static void free_spool(struct spool **spool)
{
	struct spool *s = *spool;
	if (s->fd >= 0)
		file_close(s->fd);
	EVP_MD_CTX_free(s->digest);
	buf_fini(&s->buf);
	free(s);
	*spool = NULL;
}

void spool_drop(struct spool **spool)
{
	struct spool *s = *spool;
	if (s == NULL)
		return;
	if (s->fd >= 0 && !s->derived)
		keeper_unlink(s->queue->keeper, &s->guid);
	free_spool(spool);
}

enum err_code spool_finish(struct spool **spool, struct spool_contents *out, struct err *err)
{
	struct spool *s = *spool;
	bool file = s->fd >= 0 || s->bytes > s->queue->inline_bytes_max;
	enum err_code code = s->failed ? err_set(err, ERR_IO, "the body could not be stored") : ERR_OK;
	if (code == ERR_OK && file)
		code = write_out(s, true, err);
	if (code) {
		spool_drop(spool);
		return code;
	}
	*out = (struct spool_contents){.guid = s->guid, .bytes = s->bytes, .file = file, .body = s->buf,
		.open_end = s->bytes > 0 && !str_eq(str_of(s->last, sizeof s->last), STR("\r\n"))};
	must(EVP_DigestFinal_ex(s->digest, out->digest, NULL) == 1);
	buf_init(&s->buf, 1); // its memory is the contents' now
	free_spool(spool);
	return ERR_OK;
}
