// SPDX-License-Identifier: Apache-2.0
// What is known of a server that is polled, in the shadow: the ids and digests of its entries, and in the cookie where questions
// go on from. Both are committed with the data that they are about (I2), so whichever commit a crash leaves, the three fit
// together.
//
// What does not is not believed, and costs a whole load and no entry (I7): another server, base, filter, profile or attribute of
// change; another source or driver that has written since, because its cookies say nothing of polls; a file that is damaged, made
// anew or older than the other; a number of ids other than what the cookie says.
#include "base/clock.h"
#include "base/log.h"
#include "poll_parts.h"

static bool add_known(void *context, const struct guid *uuid, uint64_t digest)
{
	struct poll_table *known = context;
	return digest != POLL_GONE && poll_table_add(known, uuid, digest);
}

static bool read_known(struct replica *replica, size_t wanted)
{
	struct poll *poll = replica->poll;
	struct err err;
	if (image_polled_each(replica->images.shadow, add_known, &poll->known, &err)) {
		log_warning(NULL, "what was known of the server cannot be read: all of it is loaded",
			log_c("server", replica->uri), log_err(&err));
		return false;
	}
	poll_table_sort(&poll->known);
	return poll->known.n == wanted;
}

void poll_restore(struct replica *replica)
{
	struct poll *poll = replica->poll;
	size_t n;
	if (poll->was_restored)
		return;
	poll->was_restored = true;
	if (!poll_step_restore(&poll->step, str_of_c(replica->stored.polled), clock_mono_exact_ms(), clock_wall_ms(), &n))
		return;
	poll->is_stored = read_known(replica, n);
	if (poll->is_stored)
		return;
	poll_table_clear(&poll->known);
	poll_step_forget(&poll->step);
}

// --- Writing ---

static enum err_code set(struct question *question, const struct guid *uuid, uint64_t digest)
{
	return apply_polled_set(question->replica->apply, uuid, digest, question->err);
}

static enum err_code write_all(struct question *question)
{
	const struct poll_table *known = &question->poll->known;
	enum err_code code = apply_polled_clear(question->replica->apply, question->err);
	for (size_t i = 0; code == ERR_OK && i < known->n; i++)
		code = set(question, &known->v[i].uuid, known->v[i].digest);
	return code;
}

// Those of `ids`, as they are known now.
static enum err_code write_some(struct question *question, const struct poll_table *ids)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0; code == ERR_OK && i < ids->n; i++)
		code = set(question, &ids->v[i].uuid, poll_table_find(&question->poll->known, &ids->v[i].uuid));
	return code;
}

// Both are sorted.
static enum err_code write_difference(struct question *question, const struct poll_table *before)
{
	const struct poll_table *known = &question->poll->known;
	enum err_code code = ERR_OK;
	for (size_t i = 0, j = 0; code == ERR_OK && (i < before->n || j < known->n);) {
		int order = i == before->n  ? 1
			    : j == known->n ? -1
					    : memcmp(before->v[i].uuid.b, known->v[j].uuid.b, sizeof known->v[j].uuid.b);
		if (order < 0)
			code = set(question, &before->v[i++].uuid, POLL_GONE);
		else if (order > 0 || before->v[i].digest != known->v[j].digest)
			code = set(question, &known->v[j].uuid, known->v[j].digest);
		i += order == 0;
		j += order >= 0;
	}
	return code;
}

bool poll_write(struct question *question, const struct poll_table *before)
{
	struct replica *replica = question->replica;
	struct poll *poll = question->poll;
	struct buf text;
	enum err_code code;
	if (!poll->is_stored)
		code = write_all(question);
	else if (question->what != POLL_CHANGES)
		code = write_difference(question, before);
	else
		code = write_some(question, &poll->changes) ? question->err->code : write_some(question, &poll->now);
	buf_init(&text, SYNC_POLLED_BYTES - 1);
	poll_step_store(&poll->step, poll->known.n, &text);
	if (text.overflow || !str_to_c(buf_str(&text), replica->step.cookie.polled, sizeof replica->step.cookie.polled))
		replica->step.cookie.polled[0] = '\0'; // then the next process loads everything
	buf_fini(&text);
	return code == ERR_OK;
}
