// SPDX-License-Identifier: Apache-2.0
// A buffered connection: what is the same over a socket, TLS and memory.
//
// Input: one buffer. Lines and chunks are borrowed from it; they are consumed when they are handed out, and stay where they are
// until the next read moves or frees the buffer. It starts at 4 KiB, doubles while reads fill it, and is given back whenever the
// connection waits with nothing in it: most connections wait most of the time.
// Output: one buffer, sent when over 16 KiB and on flush.
// Failures: the end of input and a broken connection are remembered; a timeout and a cancel are not, so that last words can be
// said.
#include "conn_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "fiber_private.h"

enum {
	INPUT_BYTES_MIN = 4 << 10,
	INPUT_BYTES_READ = 16 << 10, // the buffer grows to this under load
	OUTPUT_BYTES_MAX = CONN_OUTPUT_BYTES * 2,
	OUTPUT_BYTES_MIN = 1000, // some replies, or an envelope, without growing
	COPY_BYTES = 1 << 10,        // conn_write_through copies up to this
	IDLE_MS_DEFAULT = 300000,
};

struct conn *conn_of_io(const struct conn_io *io, void *self, const struct netaddr *peer, const struct netaddr *local)
{
	struct conn *conn = calloc(1, sizeof *conn);
	must(conn != NULL);
	conn->io = io;
	conn->self = self;
	conn->fd = -1;
	conn->deadline_ms = CLOCK_NEVER;
	conn->idle_ms = IDLE_MS_DEFAULT;
	conn->peer = *peer;
	conn->local = *local;
	buf_init(&conn->out, OUTPUT_BYTES_MAX);
	return conn;
}

void conn_idle(struct conn *conn)
{
	if (conn->in_at == conn->in_n) {
		free(conn->in);
		conn->in = NULL;
		conn->in_size = conn->in_at = conn->in_n = conn->scanned = 0;
	}
	if (conn->out.n == 0)
		buf_release(&conn->out);
}

// --- Failing ---

static void remember(struct conn *conn, enum err_code code, const struct err *err)
{
	if (conn->failure)
		return;
	conn->failure = malloc(sizeof *conn->failure);
	must(conn->failure != NULL);
	if (err)
		*conn->failure = *err;
	else
		err_set(conn->failure, code, "%s", err_text(code));
}

enum err_code conn_failed_read(struct conn *conn, enum err_code code, const struct err *err)
{
	remember(conn, code, err);
	return conn->read_failed = code;
}

enum err_code conn_failed_write(struct conn *conn, enum err_code code, const struct err *err)
{
	remember(conn, code, err);
	return conn->read_failed = conn->write_failed = code;
}

static enum err_code tell(const struct conn *conn, enum err_code code, struct err *err)
{
	if (code && err) {
		*err = *conn->failure;
		err->code = code;
	}
	return code;
}

static enum err_code of_wait(unsigned got, struct err *err)
{
	if (got & FIBER_CANCELLED)
		return err_set(err, ERR_CANCELLED, "%s", err_text(ERR_CANCELLED));
	if (got & FIBER_TIMEOUT)
		return err_set(err, ERR_TIMEOUT, "the peer was silent for too long");
	return ERR_OK;
}

enum err_code conn_await(struct conn *conn, unsigned event, struct err *err)
{
	int64_t deadline_ms = clock_earlier(conn->deadline_ms, clock_after_ms(conn->idle_ms));
	return of_wait(conn->io->wait(conn->self, event, deadline_ms), err);
}

// --- Reading ---

static size_t available(const struct conn *conn)
{
	return conn->in_n - conn->in_at;
}

// Room for at least one more byte, in a buffer of at least bytes_min.
static void make_room(struct conn *conn, size_t bytes_min)
{
	if (conn->in_at) {
		memmove(conn->in, conn->in + conn->in_at, available(conn));
		conn->in_n -= conn->in_at;
		conn->in_at = 0;
	}
	size_t size = conn->in_size ? conn->in_size : INPUT_BYTES_MIN;
	while (size < bytes_min || size <= conn->in_n)
		size *= 2;
	if (size > conn->in_size) {
		conn->in = realloc(conn->in, size);
		must(conn->in != NULL);
		conn->in_size = size;
	}
}

// One attempt to read, without waiting. Bytes read, or CONN_IO_*; END and FAILED are remembered.
static ptrdiff_t try_fill(struct conn *conn, size_t bytes_min)
{
	struct err err;
	make_room(conn, bytes_min);
	size_t room = conn->in_size - conn->in_n;
	ptrdiff_t n = conn->io->read(conn->self, conn->in + conn->in_n, room, &err);
	if (n == CONN_IO_FAILED)
		conn_failed_read(conn, err.code, &err);
	if (n == CONN_IO_END)
		conn_failed_read(conn, ERR_CLOSED, NULL);
	if (n <= 0)
		return n;
	conn->in_n += (size_t)n;
	conn->bytes_in += (uint64_t)n;
	if ((size_t)n == room && conn->in_size < INPUT_BYTES_READ) {
		conn->in_size *= 2;
		conn->in = realloc(conn->in, conn->in_size);
		must(conn->in != NULL);
	}
	return n;
}

// At least one more byte of input, in a buffer of at least bytes_min. May wait.
static enum err_code fill(struct conn *conn, size_t bytes_min, struct err *err)
{
	for (;;) {
		if (conn->read_failed)
			return tell(conn, conn->read_failed, err);
		if (conn->lost)
			return err_set(err, ERR_CLOSED, "a line without an end");
		if (fiber_wait_is_cancelled())
			return of_wait(FIBER_CANCELLED, err);
		ptrdiff_t n = try_fill(conn, bytes_min);
		if (n > 0) {
			fiber_spent((size_t)n, 0);
			return ERR_OK;
		}
		if (n == CONN_IO_WANT_READ || n == CONN_IO_WANT_WRITE) {
			conn_idle(conn);
			enum err_code code = conn_await(conn, n == CONN_IO_WANT_READ ? FIBER_READABLE : FIBER_WRITABLE, err);
			if (code)
				return code;
		}
	}
}

static void consume(struct conn *conn, size_t n)
{
	must(n <= available(conn));
	conn->in_at += n;
	conn->scanned = 0;
}

// Position of the next LF after in_at, or -1; what was searched before is not searched again.
static ptrdiff_t find_lf(struct conn *conn)
{
	struct str input = str_of(conn->in + conn->in_at, available(conn));
	ptrdiff_t at = str_index(str_from(input, conn->scanned), '\n');
	if (at < 0) {
		conn->scanned = input.n;
		return -1;
	}
	return at + (ptrdiff_t)conn->scanned;
}

static enum err_code too_long(struct conn *conn, struct err *err)
{
	conn->swallowing = false;
	fiber_spent(0, 1);
	return err_set(err, ERR_LIMIT, "the line is too long");
}

// Throws away the rest of a line that was too long. It may take many calls: a timeout in the middle goes on where it was.
static enum err_code swallow(struct conn *conn, struct err *err)
{
	for (;;) {
		ptrdiff_t at = conn->in ? find_lf(conn) : -1;
		if (at >= 0) {
			consume(conn, (size_t)at + 1);
			return too_long(conn, err);
		}
		conn->swallowed += available(conn);
		consume(conn, available(conn));
		if (conn->swallowed > CONN_SWALLOW_BYTES_MAX) {
			conn->lost = true;
			return too_long(conn, err);
		}
		enum err_code code = fill(conn, 0, err);
		if (code)
			return code;
	}
}

enum err_code conn_read_line(struct conn *conn, size_t bytes_max, struct str *line_out, enum conn_eol *eol_out, struct err *err)
{
	must(bytes_max > 0 && bytes_max <= CONN_LINE_BYTES_MAX);
	if (fiber_wait_is_cancelled())
		return of_wait(FIBER_CANCELLED, err);
	if (conn->swallowing)
		return swallow(conn, err);
	ptrdiff_t at;
	while ((at = conn->in ? find_lf(conn) : -1) < 0 && available(conn) < bytes_max + 2) {
		enum err_code code = fill(conn, bytes_max < INPUT_BYTES_MIN ? 0 : bytes_max + 2, err);
		if (code)
			return code;
	}
	struct str line = str_of(conn->in + conn->in_at, at < 0 ? available(conn) : (size_t)at);
	bool crlf = at > 0 && line.p[at - 1] == '\r';
	line.n -= crlf;
	if (at < 0 || line.n > bytes_max) {
		conn->swallowing = true;
		conn->swallowed = 0;
		return swallow(conn, err);
	}
	consume(conn, (size_t)at + 1);
	fiber_spent(0, 1);
	*line_out = line;
	*eol_out = crlf ? CONN_CRLF : CONN_BARE_LF;
	return ERR_OK;
}

enum err_code conn_next_line(struct conn *conn, size_t bytes_max, struct str *line_out, enum conn_eol *eol_out, struct err *err)
{
	if (!conn_has_input(conn)) {
		enum err_code code = conn_flush(conn, err);
		if (code)
			return code;
		conn_idle(conn);
	}
	return conn_read_line(conn, bytes_max, line_out, eol_out, err);
}

enum err_code conn_peek(struct conn *conn, struct str *chunk_out, struct err *err)
{
	if (available(conn) == 0) {
		enum err_code code = fill(conn, INPUT_BYTES_READ, err); // who takes bytes as they come takes many
		if (code)
			return code;
	}
	*chunk_out = str_of(conn->in + conn->in_at, available(conn));
	return ERR_OK;
}

void conn_consume(struct conn *conn, size_t n)
{
	consume(conn, n);
}

enum err_code conn_read_some(struct conn *conn, size_t n, struct str *chunk_out, struct err *err)
{
	must(n > 0);
	enum err_code code = conn_peek(conn, chunk_out, err);
	if (code)
		return code;
	*chunk_out = str_upto(*chunk_out, n);
	consume(conn, chunk_out->n);
	return ERR_OK;
}

enum err_code conn_read_exact(struct conn *conn, size_t n, struct buf *out, struct err *err)
{
	if (out->overflow || n > out->max - out->n)
		return err_set(err, ERR_LIMIT, "%zu bytes do not fit", n);
	while (n) {
		struct str chunk;
		enum err_code code = conn_read_some(conn, n, &chunk, err);
		if (code)
			return code;
		must(buf_add(out, chunk));
		n -= chunk.n;
	}
	return ERR_OK;
}

bool conn_has_input(const struct conn *conn)
{
	return available(conn) > 0;
}

size_t conn_discard_input(struct conn *conn)
{
	size_t n = available(conn);
	conn->in_at = conn->in_n = conn->scanned = 0;
	conn->swallowing = false;
	return n;
}

// --- Writing ---

// Sends s whole, within the deadlines. sent_out is set on failure too.
static enum err_code send_all(struct conn *conn, struct str s, size_t *sent_out, struct err *err)
{
	size_t sent = 0;
	enum err_code code = ERR_OK;
	while (sent < s.n && code == ERR_OK) {
		struct err failure;
		ptrdiff_t n = conn->io->write(conn->self, s.p + sent, s.n - sent, &failure);
		if (n > 0) {
			sent += (size_t)n;
			conn->bytes_out += (uint64_t)n;
			fiber_spent((size_t)n, 0);
		} else if (n == CONN_IO_FAILED) {
			conn_failed_write(conn, failure.code, &failure);
			code = tell(conn, conn->write_failed, err);
		} else {
			code = conn_await(conn, n == CONN_IO_WANT_READ ? FIBER_READABLE : FIBER_WRITABLE, err);
		}
	}
	*sent_out = sent;
	return code;
}

enum err_code conn_flush(struct conn *conn, struct err *err)
{
	if (conn->write_failed)
		return tell(conn, conn->write_failed, err);
	if (conn->out.n == 0)
		return ERR_OK;
	size_t sent;
	enum err_code code = send_all(conn, buf_str(&conn->out), &sent, err);
	buf_drop(&conn->out, sent);
	return code;
}

// Sends s after what is buffered, uncopied. What a timeout or cancel leaves of it is lost, so the stream is torn: no more output.
static enum err_code write_direct(struct conn *conn, struct str s, struct err *err)
{
	size_t sent;
	enum err_code code = conn_flush(conn, err);
	if (code == ERR_OK)
		code = send_all(conn, s, &sent, err);
	if (code && !conn->write_failed)
		conn_failed_write(conn, code, err);
	return code;
}

enum err_code conn_write(struct conn *conn, struct str s)
{
	struct err err;
	if (conn->write_failed)
		return conn->write_failed;
	if (conn->out.n + s.n > OUTPUT_BYTES_MAX)
		return write_direct(conn, s, &err);
	if (conn->out.size == 0)
		must(buf_reserve(&conn->out, OUTPUT_BYTES_MIN) != NULL);
	must(buf_add(&conn->out, s));
	return conn->out.n > CONN_OUTPUT_BYTES ? conn_flush(conn, &err) : ERR_OK;
}

enum err_code conn_printf(struct conn *conn, const char *format, ...)
{
	char few[512], *text = few;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(few, sizeof few, format, args);
	va_end(args);
	must(n >= 0);
	if ((size_t)n >= sizeof few) {
		text = malloc((size_t)n + 1);
		must(text != NULL);
		va_start(args, format);
		vsnprintf(text, (size_t)n + 1, format, args);
		va_end(args);
	}
	enum err_code code = conn_write(conn, str_of(text, (size_t)n));
	if (text != few)
		free(text);
	return code;
}

enum err_code conn_write_through(struct conn *conn, struct str s)
{
	struct err err;
	if (s.n <= COPY_BYTES)
		return conn_write(conn, s);
	return conn->write_failed ? conn->write_failed : write_direct(conn, s, &err);
}

// --- Waiting ---

// Is there input, the end, or a failure to be read? Asks the system, does not wait. Else *want_out says what to wait for.
static bool is_readable(struct conn *conn, unsigned *want_out)
{
	if (available(conn) || conn->read_failed)
		return true;
	ptrdiff_t n = try_fill(conn, 0);
	if (n != CONN_IO_WANT_READ && n != CONN_IO_WANT_WRITE)
		return true;
	*want_out = n == CONN_IO_WANT_READ ? FIBER_READABLE : FIBER_WRITABLE;
	return false;
}

enum err_code conn_flush_before_wait(struct conn *conn, struct err *err)
{
	unsigned want;
	uint64_t before = conn->bytes_in;
	if (conn->out.n == 0)
		return ERR_OK;
	if (!is_readable(conn, &want))
		return conn_flush(conn, err);
	fiber_spent((size_t)(conn->bytes_in - before), 0);
	return ERR_OK;
}

unsigned conn_wait(struct conn *conn, unsigned events, int64_t deadline_ms)
{
	must((events & ~(unsigned)(FIBER_READABLE | FIBER_MESSAGE)) == 0);
	for (;;) {
		unsigned want = 0;
		if (fiber_wait_is_cancelled())
			return FIBER_CANCELLED;
		if ((events & FIBER_READABLE) && is_readable(conn, &want))
			return FIBER_READABLE;
		conn_idle(conn);
		unsigned got = conn->io->wait(conn->self, want | (events & FIBER_MESSAGE), deadline_ms);
		got &= ~(unsigned)(FIBER_READABLE | FIBER_WRITABLE); // to be seen by reading: under TLS it may be no data at all
		if (got)
			return got;
	}
}

unsigned conn_wait_either(struct conn *a, struct conn *b, int64_t deadline_ms)
{
	must(a->fd_io && b->fd_io);
	for (;;) {
		unsigned want_a = 0, want_b = 0;
		unsigned ready = (is_readable(a, &want_a) ? 1u : 0) | (is_readable(b, &want_b) ? 2u : 0);
		if (fiber_wait_is_cancelled())
			return FIBER_CANCELLED;
		if (ready)
			return ready;
		conn_idle(a);
		conn_idle(b);
		struct fiber_want wants[] = {{.io = a->fd_io, .events = want_a}, {.io = b->fd_io, .events = want_b}};
		unsigned got = fiber_wait_many(wants, 2, 0, deadline_ms);
		if (got & (FIBER_TIMEOUT | FIBER_CANCELLED))
			return got;
	}
}

void conn_set_deadline_ms(struct conn *conn, int64_t deadline_ms)
{
	conn->deadline_ms = deadline_ms;
}

void conn_set_idle_ms(struct conn *conn, int64_t idle_ms)
{
	conn->idle_ms = idle_ms;
}

// --- Properties ---

const struct conn_tls *conn_tls(const struct conn *conn)
{
	return conn->tls;
}

const struct netaddr *conn_peer(const struct conn *conn)
{
	return &conn->peer;
}

const struct netaddr *conn_local(const struct conn *conn)
{
	return &conn->local;
}

uint64_t conn_bytes_in(const struct conn *conn)
{
	return conn->bytes_in;
}

uint64_t conn_bytes_out(const struct conn *conn)
{
	return conn->bytes_out;
}

int conn_fd(const struct conn *conn)
{
	return conn->fd;
}

// --- The end ---

void conn_peer_is_done(struct conn *conn)
{
	conn->peer_is_done = true;
}

// Last words are sent even though the fiber is cancelled; once cancelled hard only what the kernel takes at once.
static void send_last_words(struct conn *conn, int64_t deadline_ms)
{
	struct err err;
	while (conn->out.n && !conn->write_failed) {
		ptrdiff_t n = conn->io->write(conn->self, conn->out.p, conn->out.n, &err);
		if (n > 0) {
			conn->bytes_out += (uint64_t)n;
			buf_drop(&conn->out, (size_t)n);
			continue;
		}
		if (n == CONN_IO_FAILED)
			break;
		unsigned event = n == CONN_IO_WANT_READ ? FIBER_READABLE : FIBER_WRITABLE;
		if (conn->io->wait(conn->self, event | FIBER_UNCANCELLABLE, deadline_ms) & FIBER_TIMEOUT)
			break;
	}
}

void conn_close(struct conn **conn_taken, int64_t linger_ms)
{
	struct conn *conn = *conn_taken;
	*conn_taken = NULL;
	if (conn == NULL)
		return;
	int64_t wait_ms = fiber_is_cancelled_hard() ? 0 : linger_ms;
	int64_t deadline_ms = clock_after_ms(wait_ms);
	if (conn->io->end && wait_ms > 0 && !conn->read_failed && !conn->write_failed)
		conn->io->end(conn->self, conn->peer_is_done && !conn_has_input(conn));
	if (linger_ms > 0)
		send_last_words(conn, deadline_ms);
	bool ended = conn->read_failed || conn->write_failed || wait_ms <= 0;
	int64_t left_ms = deadline_ms - clock_mono_ms();
	conn->io->close(conn->self, ended ? 0 : left_ms);
	buf_fini(&conn->out);
	free(conn->in);
	free(conn->failure);
	if (conn->tls) {
		free(conn->tls->peer);
		free(conn->tls->stranger);
	}
	free(conn->tls);
	free(conn);
}
