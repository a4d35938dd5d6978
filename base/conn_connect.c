// SPDX-License-Identifier: Apache-2.0
// The way out: resolving names on a worker, connecting to addresses one after the other.
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/worker.h"
#include "conn_fd.h"

enum { ADDRS_MAX = 8 };

// --- Connecting ---

static enum err_code await_connected(struct conn_fd *self, int64_t deadline_ms, struct err *err)
{
	int failure = 0;
	socklen_t bytes = sizeof failure;
	unsigned got = conn_fd_wait(self, FIBER_WRITABLE, deadline_ms);
	if (got & FIBER_CANCELLED)
		return err_set(err, ERR_CANCELLED, "%s", err_text(ERR_CANCELLED));
	if (got & FIBER_TIMEOUT)
		return err_set(err, ERR_TIMEOUT, "no answer in time");
	must(getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) == 0);
	if (failure == 0)
		return ERR_OK;
	errno = failure;
	return err_errno(err, "connect");
}

// Takes fd. ERR_CONNECT for whatever the network says; ERR_TIMEOUT and ERR_CANCELLED as such.
static enum err_code connect_fd(int fd, const struct sockaddr *sa, size_t sa_bytes, int64_t deadline_ms, struct conn **conn_out,
				struct err *err)
{
	struct conn_fd *self = conn_fd_open(fd, err);
	if (self == NULL)
		return ERR_NOMEM;
	enum err_code code = ERR_OK;
	if (connect(fd, sa, (socklen_t)sa_bytes) != 0) {
		fiber_io_drained(self->io, FIBER_WRITABLE); // a socket without a peer counted as ready
		code = errno == EINPROGRESS ? await_connected(self, deadline_ms, err) : err_errno(err, "connect");
	}
	if (code) {
		conn_fd_close(self, 0);
		if (code == ERR_TIMEOUT || code == ERR_CANCELLED)
			return code;
		return err ? (err->code = ERR_CONNECT) : ERR_CONNECT;
	}
	*conn_out = conn_over_fd(self);
	return ERR_OK;
}

enum err_code conn_connect(const struct netaddr *addr, const struct netaddr *bind_addr, int64_t deadline_ms,
			   struct conn **conn_out, struct err *err)
{
	char sa[NETADDR_SOCKADDR_BYTES], bind_sa[NETADDR_SOCKADDR_BYTES], text[NETADDR_TEXT_BYTES];
	size_t sa_bytes = netaddr_to_sockaddr(addr, sa);
	must(sa_bytes > 0);
	int fd = socket(addr->family == NETADDR_IPV6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "make a socket");
	if (bind_addr && bind(fd, (struct sockaddr *)bind_sa, (socklen_t)netaddr_to_sockaddr(bind_addr, bind_sa)) != 0) {
		err_errno(err, "bind to %s", netaddr_text(bind_addr, text));
		close(fd);
		return err ? (err->code = ERR_CONNECT) : ERR_CONNECT;
	}
	struct err failure;
	enum err_code code = connect_fd(fd, (struct sockaddr *)sa, sa_bytes, deadline_ms, conn_out, &failure);
	if (code && err) {
		*err = failure;
		err_wrap(err, "%s", netaddr_text_port(addr, text));
	}
	return code;
}

enum err_code conn_connect_unix(struct str path, int64_t deadline_ms, struct conn **conn_out, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!str_to_c(path, sa.sun_path, sizeof sa.sun_path))
		return err_set(err, ERR_INVALID, "the path of a socket has less than %zu bytes", sizeof sa.sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "make a socket");
	struct err failure;
	enum err_code code = connect_fd(fd, (struct sockaddr *)&sa, sizeof sa, deadline_ms, conn_out, &failure);
	if (code && err) {
		*err = failure;
		err_wrap(err, "%s", sa.sun_path);
	}
	return code;
}

// --- Resolving ---

struct lookup {
	char host[256], port[8];
	struct addrinfo *found; // owned
	int failure;
};

static void look_up(void *arg)
{
	struct lookup *lookup = arg;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	lookup->failure = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
}

static enum err_code lookup_failed(const struct lookup *lookup, struct err *err)
{
	switch (lookup->failure) {
	case EAI_NONAME:
	case EAI_NODATA:
		return err_set(err, ERR_NOTFOUND, "%s: no such host", lookup->host);
	default:
		return err_set(err, ERR_IO, "%s: %s", lookup->host, gai_strerror(lookup->failure));
	}
}

enum err_code conn_resolve(struct worker_pool *resolver, struct str host, uint16_t port, struct netaddr *addrs_out, size_t n,
			   size_t *count_out, struct err *err)
{
	must(n > 0);
	if (netaddr_parse(host, port, &addrs_out[0])) {
		addrs_out[0].port = port;
		*count_out = 1;
		return ERR_OK;
	}
	struct lookup *lookup = calloc(1, sizeof *lookup);
	must(lookup != NULL && resolver != NULL);
	enum err_code code = ERR_OK;
	struct buf number;
	buf_init(&number, sizeof lookup->port);
	buf_add_u64(&number, port);
	must(str_to_c(buf_str(&number), lookup->port, sizeof lookup->port));
	buf_fini(&number);
	if (!str_to_c(host, lookup->host, sizeof lookup->host))
		code = err_set(err, ERR_INVALID, "not a host name");
	if (code == ERR_OK)
		code = worker_run(resolver, look_up, lookup, err);
	if (code == ERR_OK && lookup->failure)
		code = lookup_failed(lookup, err);
	size_t count = 0;
	for (const struct addrinfo *a = lookup->found; a && code == ERR_OK && count < n; a = a->ai_next)
		addrs_out[count++] = netaddr_of_sockaddr(a->ai_addr, a->ai_addrlen);
	if (lookup->found)
		freeaddrinfo(lookup->found);
	free(lookup);
	if (code == ERR_OK)
		*count_out = count;
	return code;
}

// Each address gets its share of the time that is left, so that a dead first one does not cost the others theirs.
enum err_code conn_connect_host(struct worker_pool *resolver, struct str host, uint16_t port, int64_t deadline_ms,
				struct conn **conn_out, struct err *err)
{
	struct netaddr addrs[ADDRS_MAX];
	size_t n;
	enum err_code code = conn_resolve(resolver, host, port, addrs, ADDRS_MAX, &n, err);
	if (code)
		return code;
	for (size_t i = 0; i < n; i++) {
		int64_t until_ms = deadline_ms;
		if (deadline_ms != CLOCK_NEVER)
			until_ms = clock_after_ms((deadline_ms - clock_mono_ms()) / (int64_t)(n - i));
		code = conn_connect(&addrs[i], NULL, until_ms, conn_out, err);
		if (code == ERR_OK || code == ERR_CANCELLED)
			break;
	}
	return code;
}
