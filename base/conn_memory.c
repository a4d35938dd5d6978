// SPDX-License-Identifier: Apache-2.0
// A connection over memory: the peer is a script. No scheduler, no clock, the same every time; for unit tests and fuzzers.
#include "conn_private.h"

#include <stdlib.h>

#include "base/must.h"

struct memory {
	struct conn_memory script; // its strings and arrays borrowed from the test
	size_t at;                 // of input
	size_t next_split, next_message;
	size_t waited_at; // input goes on from this offset although a message was due there: somebody has waited
};

static bool is_message_due(const struct memory *m)
{
	return m->next_message < m->script.messages_n && m->script.messages[m->next_message] <= m->at;
}

// The end of the piece that holds the byte at `at`: what one read can return. A message ends a piece too.
static size_t piece_end(struct memory *m)
{
	const struct conn_memory *s = &m->script;
	size_t end = s->input.n;
	if (s->splits_n == CONN_MEMORY_BYTEWISE)
		return m->at + (m->at < end);
	while (s->splits && m->next_split < s->splits_n && s->splits[m->next_split] <= m->at)
		m->next_split++;
	if (s->splits && m->next_split < s->splits_n && s->splits[m->next_split] < end)
		end = s->splits[m->next_split];
	for (size_t i = m->next_message; i < s->messages_n; i++)
		if (s->messages[i] > m->at && s->messages[i] < end)
			end = s->messages[i];
	return end;
}

static ptrdiff_t memory_read(void *self, char *p, size_t n, struct err *err)
{
	struct memory *m = self;
	(void)err;
	if (is_message_due(m) && m->waited_at != m->at)
		return CONN_IO_WANT_READ;
	size_t left = piece_end(m) - m->at;
	if (left == 0)
		return m->script.end == ERR_TIMEOUT || m->script.end == ERR_CANCELLED ? CONN_IO_WANT_READ : CONN_IO_END;
	if (left < n)
		n = left;
	memcpy(p, m->script.input.p + m->at, n);
	m->at += n;
	return (ptrdiff_t)n;
}

static ptrdiff_t memory_write(void *self, const char *p, size_t n, struct err *err)
{
	struct memory *m = self;
	if (m->script.output && !buf_add(m->script.output, str_of(p, n))) {
		err_set(err, ERR_LIMIT, "the script's output is full");
		return CONN_IO_FAILED;
	}
	return (ptrdiff_t)n;
}

static unsigned memory_wait(void *self, unsigned events, int64_t deadline_ms)
{
	struct memory *m = self;
	const struct conn_memory *s = &m->script;
	(void)deadline_ms;
	if ((events & FIBER_MESSAGE) && is_message_due(m)) {
		m->next_message++;
		return FIBER_MESSAGE;
	}
	if (m->at < s->input.n && (events & FIBER_READABLE)) {
		m->waited_at = m->at;
		return FIBER_READABLE;
	}
	return s->end == ERR_CANCELLED ? FIBER_CANCELLED : FIBER_TIMEOUT;
}

static void memory_close(void *self, int64_t linger_ms)
{
	(void)linger_ms;
	free(self);
}

const struct conn_io conn_memory_io = {memory_read, memory_write, memory_wait, memory_close, NULL};

const char *conn_memory_peer_spki(const void *self)
{
	const struct memory *m = self;
	return m->script.peer_spki ? m->script.peer_spki : "";
}

struct conn *conn_of_memory(const struct conn_memory *memory)
{
	struct memory *m = calloc(1, sizeof *m);
	must(m != NULL);
	m->script = *memory;
	m->waited_at = SIZE_MAX;
	return conn_of_io(&conn_memory_io, m, &memory->peer, &memory->local);
}
