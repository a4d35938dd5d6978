// SPDX-License-Identifier: Apache-2.0
// A message on its way in: memory first, beyond 64 KiB a file in incoming/, written by store threads.
//
// The file has the message's bytes and nothing else. Mailboxes take it by a hard link into their big/, after it was synced here;
// its own name goes when the caller is done. What a crash leaves behind is swept when the store opens.
#include "incoming.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/must.h"
#include "mailbox.h"
#include "strand.h"

struct incoming_job {
	struct job job;
	struct incoming *incoming;
};

struct incoming *incoming_new(struct store *store, uint64_t bytes_max)
{
	struct incoming *incoming = calloc(1, sizeof *incoming);
	must(incoming != NULL);
	*incoming = (struct incoming){.store = store, .bytes_max = bytes_max, .fd = -1};
	buf_init(&incoming->memory, STORE_INLINE_BYTES_MAX + INCOMING_CHUNK_BYTES);
	return incoming;
}

static enum err_code run(struct incoming *incoming, enum job_step (*fn)(struct job *, struct strand *), struct err *err)
{
	if (incoming->strand == NULL) {
		incoming->guid = guid_new();
		incoming->strand = strand_get(incoming->store, &incoming->guid);
	}
	struct incoming_job job = {.job = {.kind = JOB_PLAIN, .run = fn, .err = err}, .incoming = incoming};
	return strand_run(incoming->strand, &job.job);
}

// Creates the file if need be and writes what is in memory.
static enum job_step write_run(struct job *job, struct strand *strand)
{
	struct incoming *incoming = ((struct incoming_job *)job)->incoming;
	enum err_code code = ERR_OK;
	if (incoming->fd < 0) {
		char name[GUID_TEXT_BYTES];
		code = file_create(strand->store->incoming_fd, guid_text(&incoming->guid, name), &incoming->fd, job->err);
	}
	if (code == ERR_OK)
		code = file_write_at(incoming->fd, buf_str(&incoming->memory), (off_t)incoming->written, job->err);
	if (code == ERR_OK) {
		incoming->written += incoming->memory.n;
		buf_clear(&incoming->memory);
	}
	return job_end(job, code);
}

// The last of it, synced; from then on the file is read.
static enum job_step seal_run(struct job *job, struct strand *strand)
{
	struct incoming *incoming = ((struct incoming_job *)job)->incoming;
	char name[GUID_TEXT_BYTES];
	write_run(job, strand);
	if (job->code || (job->code = file_sync(incoming->fd, job->err)) != ERR_OK)
		return JOB_DONE;
	int fd;
	off_t bytes;
	job->code = file_open(strand->store->incoming_fd, guid_text(&incoming->guid, name), &fd, &bytes, job->err);
	if (job->code)
		return JOB_DONE;
	file_close(incoming->fd);
	incoming->fd = fd;
	return JOB_DONE;
}

static enum job_step remove_run(struct job *job, struct strand *strand)
{
	struct incoming *incoming = ((struct incoming_job *)job)->incoming;
	char name[GUID_TEXT_BYTES];
	if (incoming->fd < 0)
		return JOB_DONE;
	file_close(incoming->fd);
	return job_end(job, file_remove(strand->store->incoming_fd, guid_text(&incoming->guid, name), job->err));
}

enum err_code incoming_add(struct incoming *incoming, struct str bytes, struct err *err)
{
	must(!incoming->sealed);
	if (incoming->failure)
		return err_set(err, incoming->failure, "an earlier part of the message was not stored");
	if (bytes.n > incoming->bytes_max - incoming->bytes) {
		return err_set(err, incoming->failure = ERR_LIMIT, "message of more than %llu bytes",
			(unsigned long long)incoming->bytes_max);
	}
	incoming->bytes += bytes.n;
	if (bytes.n)
		incoming->last = bytes.p[bytes.n - 1];
	while (bytes.n) {
		struct str part = str_upto(bytes, INCOMING_CHUNK_BYTES);
		bytes = str_from(bytes, part.n);
		size_t limit = incoming->bytes <= STORE_INLINE_BYTES_MAX ? STORE_INLINE_BYTES_MAX : INCOMING_CHUNK_BYTES;
		if (incoming->memory.n + part.n > limit) {
			enum err_code code = run(incoming, write_run, err);
			if (code)
				return incoming->failure = code;
		}
		must(buf_add(&incoming->memory, part));
	}
	return ERR_OK;
}

uint64_t incoming_bytes(const struct incoming *incoming)
{
	return incoming->bytes;
}

uint64_t incoming_flags(const struct incoming *incoming)
{
	return incoming->bytes && incoming->last != '\n' ? FLAG_UNENDED : 0;
}

enum err_code incoming_seal(struct incoming *incoming, struct err *err)
{
	if (incoming->failure)
		return err_set(err, incoming->failure, "the message was not stored");
	if (incoming->sealed)
		return ERR_OK;
	// In memory until now although over the inline limit: the rest of a chunk.
	enum err_code code = incoming->bytes > STORE_INLINE_BYTES_MAX ? run(incoming, seal_run, err) : ERR_OK;
	incoming->sealed = code == ERR_OK;
	incoming->failure = code;
	return code;
}

void incoming_free(struct incoming **incoming_taken)
{
	struct incoming *incoming = *incoming_taken;
	*incoming_taken = NULL;
	if (incoming == NULL)
		return;
	if (incoming->strand) {
		incoming->failure = run(incoming, remove_run, NULL); // what stays is swept at the next start
		strand_drop(incoming->strand);
	}
	buf_fini(&incoming->memory);
	free(incoming);
}
