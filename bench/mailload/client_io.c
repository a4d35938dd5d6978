// SPDX-License-Identifier: Apache-2.0
// Sockets, buffers and TLS of a client. Certificates are not verified: the servers under load have made their own.
#include "client_io.h"

#include "stats.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static SSL_CTX *tls_context;
static size_t in_capacity;

void client_die(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fputs("mailload: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

void client_io_setup(size_t in_bytes)
{
	in_capacity = in_bytes;
	tls_context = SSL_CTX_new(TLS_client_method());
	if (!tls_context)
		client_die("no TLS");
	SSL_CTX_set_verify(tls_context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF); // each handshake is a full one
}

void client_resolve(const char *host_port, struct sockaddr_storage *out)
{
	char host[256];
	const char *colon = strrchr(host_port, ':');
	if (!colon || (size_t)(colon - host_port) >= sizeof host)
		client_die("not host:port: %s", host_port);
	memcpy(host, host_port, (size_t)(colon - host_port));
	host[colon - host_port] = 0;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int rc = getaddrinfo(host, colon + 1, &hints, &found);
	if (rc)
		client_die("%s: %s", host_port, gai_strerror(rc));
	memset(out, 0, sizeof *out);
	memcpy(out, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
}

static socklen_t address_bytes(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool client_io_connect(struct client *c)
{
	c->fd = socket(c->to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		client_die("socket: %s", strerror(errno));
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (!c->in && !(c->in = malloc(in_capacity)))
		client_die("out of memory");
	c->in_bytes = c->in_pos = c->out_bytes = c->out_pos = 0;
	c->tls_up = c->tls_wants_write = c->broken = false;
	return !connect(c->fd, (const struct sockaddr *)c->to, address_bytes(c->to)) || errno == EINPROGRESS;
}

void client_io_close(struct client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	close(c->fd);
	c->fd = -1;
	c->armed = 0;
}

void client_send(struct client *c, const void *p, size_t n)
{
	if (c->out_bytes + n > c->out_capacity) {
		c->out_capacity = (c->out_bytes + n) * 2;
		c->out = realloc(c->out, c->out_capacity);
		if (!c->out)
			client_die("out of memory");
	}
	memcpy(c->out + c->out_bytes, p, n);
	c->out_bytes += n;
}

void client_say(struct client *c, const char *format, ...)
{
	char line[2048];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line)
		client_die("command too long");
	client_send(c, line, (size_t)n);
}

bool client_tls_up(struct client *c)
{
	if (!c->ssl) {
		c->ssl = SSL_new(tls_context);
		if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
			client_die("out of memory for TLS");
		SSL_set_connect_state(c->ssl);
	}
	if (c->tls_up)
		return true;
	ERR_clear_error();
	int rc = SSL_do_handshake(c->ssl);
	int error = SSL_get_error(c->ssl, rc);
	c->tls_up = rc == 1;
	c->tls_wants_write = error == SSL_ERROR_WANT_WRITE;
	c->broken |= error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
	return c->tls_up;
}

static bool tls_waits(struct client *c, int rc)
{
	int error = SSL_get_error(c->ssl, rc);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

bool client_io_flush(struct client *c)
{
	while (c->out_pos < c->out_bytes) {
		size_t n = c->out_bytes - c->out_pos;
		if (c->tls_up) {
			ERR_clear_error();
			int rc = SSL_write(c->ssl, c->out + c->out_pos, (int)(n < 1 << 20 ? n : 1 << 20));
			if (rc <= 0)
				return tls_waits(c, rc);
			c->out_pos += (size_t)rc;
		} else {
			ssize_t rc = send(c->fd, c->out + c->out_pos, n, MSG_NOSIGNAL);
			if (rc < 0)
				return errno == EAGAIN || errno == EINTR;
			c->out_pos += (size_t)rc;
		}
	}
	c->out_pos = c->out_bytes = 0;
	return true;
}

int client_io_fill(struct client *c)
{
	if (c->in_pos) {
		memmove(c->in, c->in + c->in_pos, c->in_bytes - c->in_pos);
		c->in_bytes -= c->in_pos;
		c->in_pos = 0;
	}
	size_t room = in_capacity - c->in_bytes;
	if (!room)
		return -1;
	ssize_t n;
	if (c->tls_up) {
		ERR_clear_error();
		n = SSL_read(c->ssl, c->in + c->in_bytes, (int)room);
		if (n <= 0)
			return tls_waits(c, (int)n) ? 0 : -1;
	} else {
		n = recv(c->fd, c->in + c->in_bytes, room, 0);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
	}
	c->in_bytes += (size_t)n;
	return 1;
}

bool client_line(struct client *c)
{
	size_t n;
	const char *p = client_input(c, &n), *newline = memchr(p, '\n', n);
	if (!newline)
		return false;
	c->head_bytes = (size_t)(newline - p) + 1;
	size_t keep = c->head_bytes < sizeof c->head ? c->head_bytes : sizeof c->head - 1;
	memcpy(c->head, p, keep);
	c->head[keep] = 0;
	client_took(c, c->head_bytes);
	return true;
}
