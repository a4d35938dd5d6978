// SPDX-License-Identifier: Apache-2.0
// A connection's socket: non-blocking, edge-triggered, on a fiber.
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "conn_fd.h"

enum { LAST_WORDS_BYTES = 14 << 10 }; // what leaves at once, whatever the peer has taken before (RFC 6928)

bool conn_fd_is_drained(const struct conn_fd *self)
{
	return fiber_io_is_drained(self->io, FIBER_READABLE);
}

// A read that returns less than was asked for has emptied the socket, unless its end or an error is there to be read next: so the
// read that would only say EAGAIN is spared.
ptrdiff_t conn_fd_read(struct conn_fd *self, char *p, size_t n, struct err *err)
{
	ssize_t got;
	if (conn_fd_is_drained(self))
		return CONN_IO_WANT_READ;
	do
		got = recv(self->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		if ((size_t)got < n && !fiber_io_hung_up(self->io))
			fiber_io_drained(self->io, FIBER_READABLE);
		return got;
	}
	if (got == 0)
		return CONN_IO_END;
	if (errno == EAGAIN) {
		fiber_io_drained(self->io, FIBER_READABLE);
		return CONN_IO_WANT_READ;
	}
	err_errno(err, "read from the peer");
	return CONN_IO_FAILED;
}

ptrdiff_t conn_fd_write(struct conn_fd *self, const char *p, size_t n, struct err *err)
{
	ssize_t sent;
	do
		sent = send(self->fd, p, n, self->ending ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent > 0)
		return sent;
	if (sent < 0 && errno != EAGAIN) {
		err_errno(err, "write to the peer");
		return CONN_IO_FAILED;
	}
	fiber_io_drained(self->io, FIBER_WRITABLE);
	return CONN_IO_WANT_WRITE;
}

unsigned conn_fd_wait(struct conn_fd *self, unsigned events, int64_t deadline_ms)
{
	return fiber_wait(self->io, events, deadline_ms);
}

// Has the peer nearly all that was written? What it sends after all, such as its close_notify, is answered with a reset, which
// takes along whatever is still to go.
static bool has_nearly_all(const struct conn_fd *self)
{
	int waiting;
	return ioctl(self->fd, SIOCOUTQ, &waiting) == 0 && waiting <= LAST_WORDS_BYTES;
}

// With unread input in its buffer the kernel answers close(2) with a reset, which can overtake our last words: read until the
// peer has them and closes.
static void linger(struct conn_fd *self, int64_t deadline_ms)
{
	char discarded[2048];
	struct err err;
	if (shutdown(self->fd, SHUT_WR) != 0 || (self->agreed && conn_fd_is_drained(self) && has_nearly_all(self)))
		return;
	while (clock_mono_ms() < deadline_ms) {
		ptrdiff_t n = conn_fd_read(self, discarded, sizeof discarded, &err);
		if (n == CONN_IO_END || n == CONN_IO_FAILED)
			return;
		if (n > 0)
			fiber_spent((size_t)n, 0);
		else if (conn_fd_wait(self, FIBER_READABLE | FIBER_UNCANCELLABLE, deadline_ms) & FIBER_TIMEOUT)
			return;
	}
}

// Last words, close_notify and FIN then leave in one segment: that of linger()'s shutdown.
void conn_fd_end(struct conn_fd *self, bool agreed)
{
	self->ending = true;
	self->agreed = agreed;
}

void conn_fd_close(struct conn_fd *self, int64_t linger_ms)
{
	if (linger_ms > 0)
		linger(self, clock_after_ms(linger_ms));
	fiber_io_close(&self->io);
	close(self->fd);
	free(self);
}

static ptrdiff_t io_read(void *self, char *p, size_t n, struct err *err)
{
	return conn_fd_read(self, p, n, err);
}

static ptrdiff_t io_write(void *self, const char *p, size_t n, struct err *err)
{
	return conn_fd_write(self, p, n, err);
}

static unsigned io_wait(void *self, unsigned events, int64_t deadline_ms)
{
	return conn_fd_wait(self, events, deadline_ms);
}

static void io_end(void *self, bool agreed)
{
	conn_fd_end(self, agreed);
}

static void io_close(void *self, int64_t linger_ms)
{
	conn_fd_close(self, linger_ms);
}

const struct conn_io conn_fd_io = {io_read, io_write, io_wait, io_close, io_end};

struct conn_fd *conn_fd_open(int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL), one = 1;
	struct fiber_io *io = NULL;
	if (flags >= 0 && ((flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0))
		io = fiber_io_open(fd);
	if (io == NULL) {
		err_errno(err, "watch a socket");
		close(fd);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); // we buffer ourselves; a Unix socket just refuses
	struct conn_fd *self = malloc(sizeof *self);
	must(self != NULL);
	*self = (struct conn_fd){.fd = fd, .io = io};
	return self;
}

struct conn *conn_over_fd(struct conn_fd *self)
{
	struct sockaddr_storage sa;
	struct netaddr peer = {.family = NETADDR_NONE}, local = {.family = NETADDR_NONE};
	socklen_t bytes = sizeof sa;
	if (getpeername(self->fd, (struct sockaddr *)&sa, &bytes) == 0)
		peer = netaddr_of_sockaddr((struct sockaddr *)&sa, bytes);
	bytes = sizeof sa;
	if (getsockname(self->fd, (struct sockaddr *)&sa, &bytes) == 0)
		local = netaddr_of_sockaddr((struct sockaddr *)&sa, bytes);
	struct conn *conn = conn_of_io(&conn_fd_io, self, &peer, &local);
	conn->fd = self->fd;
	conn->fd_io = self->io;
	return conn;
}

bool conn_peer_user(const struct conn *conn, uid_t *uid_out)
{
	struct ucred who;
	int domain;
	socklen_t bytes = sizeof domain, who_bytes = sizeof who;
	if (conn->fd < 0 || getsockopt(conn->fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) < 0 || domain != AF_UNIX)
		return false; // other families answer too, with nobody's ids
	if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &who, &who_bytes) < 0)
		return false;
	*uid_out = who.uid;
	return true;
}

enum err_code conn_of_fd(int fd, struct conn **conn_out, struct err *err)
{
	struct conn_fd *self = conn_fd_open(fd, err);
	if (self == NULL)
		return ERR_NOMEM;
	*conn_out = conn_over_fd(self);
	return ERR_OK;
}
