// SPDX-License-Identifier: Apache-2.0
// TLS over a connection's socket.
//
// OpenSSL reads and writes through a BIO of ours over conn_fd, so that readiness is kept in one place. Its error queue belongs to
// the thread, not to the SSL, and several fibers share a thread: the queue is emptied before each call and read right after it.
// One fiber owns an SSL; nothing is entered twice, because no callback waits.
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/must.h"
#include "conn_fd.h"
#include "tls_private.h"

struct conn_ssl {
	struct conn_fd *fd; // owned
	SSL *ssl;           // owned
	struct tls_server *server; // owned reference, or NULL
	struct tls_client *client; // owned reference, or NULL
	struct err failure;        // of the socket, seen by the BIO
};

// --- The BIO ---

static BIO_METHOD *bio_method; // for the life of the process
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

// What a conn_fd call returned, in the BIO's terms.
static int bio_result(BIO *bio, struct conn_ssl *self, ptrdiff_t n)
{
	BIO_clear_retry_flags(bio);
	if (n == CONN_IO_WANT_READ)
		BIO_set_retry_read(bio);
	if (n == CONN_IO_WANT_WRITE)
		BIO_set_retry_write(bio);
	if (n == CONN_IO_END)
		self->failure.code = ERR_CLOSED;
	return n >= 0 ? (int)n : -1;
}

static int bio_read(BIO *bio, char *p, int n)
{
	struct conn_ssl *self = BIO_get_data(bio);
	return bio_result(bio, self, conn_fd_read(self->fd, p, (size_t)n, &self->failure));
}

static int bio_write(BIO *bio, const char *p, int n)
{
	struct conn_ssl *self = BIO_get_data(bio);
	return bio_result(bio, self, conn_fd_write(self->fd, p, (size_t)n, &self->failure));
}

static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
	struct conn_ssl *self = BIO_get_data(bio);
	(void)number, (void)arg;
	if (command == BIO_CTRL_EOF)
		return self->failure.code == ERR_CLOSED; // OpenSSL asks, to tell an end from an error
	return command == BIO_CTRL_FLUSH;
}

static void make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "posthouse connection");
	must(bio_method != NULL && BIO_meth_set_read(bio_method, bio_read) && BIO_meth_set_write(bio_method, bio_write) &&
	     BIO_meth_set_ctrl(bio_method, bio_ctrl));
}

static void set_bio(struct conn_ssl *self)
{
	must(pthread_once(&bio_once, make_bio_method) == 0);
	BIO *bio = BIO_new(bio_method);
	must(bio != NULL);
	BIO_set_data(bio, self);
	BIO_set_init(bio, 1);
	SSL_set_bio(self->ssl, bio, bio);
}

// --- The I/O of a connection ---

// What OpenSSL does to empty its queue is dear, and there is nothing in it nearly always.
static void forget_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

// Why an SSL call returned <= 0.
static ptrdiff_t result(struct conn_ssl *self, int returned, const char *what, struct err *err)
{
	switch (SSL_get_error(self->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		return CONN_IO_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return CONN_IO_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return CONN_IO_END;
	case SSL_ERROR_SYSCALL:
		if (self->failure.code) {
			if (self->failure.code == ERR_CLOSED)
				err_set(err, ERR_CLOSED, "%s: %s", what, err_text(ERR_CLOSED));
			else
				*err = self->failure;
			ERR_clear_error();
			return CONN_IO_FAILED;
		}
		break;
	default:
		break;
	}
	tls_failed(err, "%s", what);
	return CONN_IO_FAILED;
}

static ptrdiff_t ssl_read(void *arg, char *p, size_t n, struct err *err)
{
	struct conn_ssl *self = arg;
	size_t got = 0;
	if (conn_fd_is_drained(self->fd) && !SSL_has_pending(self->ssl) && !SSL_want_write(self->ssl))
		return CONN_IO_WANT_READ; // what OpenSSL would find out at some length
	do { // all that is decrypted already
		forget_errors();
		size_t some;
		int returned = SSL_read_ex(self->ssl, p + got, n - got, &some);
		if (returned <= 0)
			return got ? (ptrdiff_t)got : result(self, returned, "TLS read", err);
		got += some;
	} while (got < n && SSL_pending(self->ssl) > 0);
	return (ptrdiff_t)got;
}

static ptrdiff_t ssl_write(void *arg, const char *p, size_t n, struct err *err)
{
	struct conn_ssl *self = arg;
	size_t sent;
	forget_errors();
	int returned = SSL_write_ex(self->ssl, p, n, &sent);
	if (returned > 0)
		return (ptrdiff_t)sent;
	ptrdiff_t why = result(self, returned, "TLS write", err);
	if (why != CONN_IO_END)
		return why;
	err_set(err, ERR_CLOSED, "TLS write: %s", err_text(ERR_CLOSED));
	return CONN_IO_FAILED;
}

static unsigned ssl_wait(void *arg, unsigned events, int64_t deadline_ms)
{
	struct conn_ssl *self = arg;
	return conn_fd_wait(self->fd, events, deadline_ms);
}

static void ssl_end(void *arg, bool agreed)
{
	struct conn_ssl *self = arg;
	conn_fd_end(self->fd, agreed);
}

static void ssl_free(struct conn_ssl *self)
{
	SSL_free(self->ssl);
	tls_server_drop(&self->server);
	tls_client_drop(&self->client);
	free(self);
}

static void ssl_close(void *arg, int64_t linger_ms)
{
	struct conn_ssl *self = arg;
	if (linger_ms > 0) {
		forget_errors();
		SSL_shutdown(self->ssl); // close_notify, if the socket takes it now
		forget_errors();
	}
	struct conn_fd *fd = self->fd;
	ssl_free(self);
	conn_fd_close(fd, linger_ms);
}

static const struct conn_io conn_ssl_io = {ssl_read, ssl_write, ssl_wait, ssl_close, ssl_end};

// --- What was agreed ---

// For the log: whose certificate it was that counts for nothing.
static void add_stranger(struct conn_tls *tls, X509 *cert, long verdict)
{
	tls->stranger = tls_peer_names(cert);
	tls->stranger_trouble = X509_verify_cert_error_string(verdict);
}

// names: those of a good certificate are wanted.
static struct conn_tls *describe(SSL *ssl, bool verifies, bool names)
{
	struct conn_tls *tls = calloc(1, sizeof *tls);
	must(tls != NULL);
	forget_errors();
	str_to_c(str_of_c(SSL_get_version(ssl)), tls->version, sizeof tls->version);
	str_to_c(str_of_c(SSL_get_cipher_name(ssl)), tls->cipher, sizeof tls->cipher);
	str_to_c(str_of_c(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)), tls->server_name, sizeof tls->server_name);
	tls->bits = SSL_get_cipher_bits(ssl, NULL);
	tls->resumed = SSL_session_reused(ssl) == 1;
	X509 *cert = SSL_get0_peer_certificate(ssl);
	if (cert)
		tls_peer_digests(cert, tls->peer_fingerprint, tls->peer_spki);
	bool good = cert && SSL_get_verify_result(ssl) == X509_V_OK;
	tls->verified = verifies && good;
	if (names && good && X509_cmp_current_time(X509_get0_notAfter(cert)) > 0) // a ticket may outlive it
		tls->peer = tls_peer_names(cert);
	else if (names && cert)
		add_stranger(tls, cert, good ? X509_V_ERR_CERT_HAS_EXPIRED : SSL_get_verify_result(ssl));
	forget_errors();
	return tls;
}

// --- Handshakes ---

// The reason that a certificate was refused says more than "certificate verify failed".
static enum err_code handshake_failed(struct conn_ssl *self, bool verifies, struct err *err)
{
	long verdict = SSL_get_verify_result(self->ssl);
	if (verifies && verdict != X509_V_OK)
		return err_set(err, ERR_TLS, "TLS handshake: %s", X509_verify_cert_error_string(verdict));
	return err->code;
}

static enum err_code shake_hands(struct conn *conn, struct conn_ssl *self, bool verifies, struct err *err)
{
	for (;;) {
		forget_errors();
		int returned = SSL_do_handshake(self->ssl);
		if (returned == 1)
			return ERR_OK;
		ptrdiff_t why = result(self, returned, "TLS handshake", err);
		if (why == CONN_IO_END)
			return err_set(err, ERR_CLOSED, "TLS handshake: %s", err_text(ERR_CLOSED));
		if (why == CONN_IO_FAILED)
			return handshake_failed(self, verifies, err);
		enum err_code code = conn_await(conn, why == CONN_IO_WANT_READ ? FIBER_READABLE : FIBER_WRITABLE, err);
		if (code)
			return code;
	}
}

// Takes self. During the handshake the connection stays one over the socket, so that a failure leaves it whole enough to be
// closed.
static enum err_code begin(struct conn *conn, struct conn_ssl *self, bool verifies, struct err *err)
{
	struct err failure;
	set_bio(self);
	fiber_spent(FIBER_TURN_BYTES / 2, 0); // a handshake costs about a millisecond: not many in one turn
	enum err_code code = shake_hands(conn, self, verifies, &failure);
	if (code) {
		forget_errors();
		ssl_free(self);
		conn_failed_write(conn, code, &failure);
		if (err)
			*err = failure;
		return code;
	}
	conn->tls = describe(self->ssl, verifies, self->server && tls_server_trusts(self->server));
	conn->io = &conn_ssl_io;
	conn->self = self;
	return ERR_OK;
}

static struct conn_ssl *new_ssl(struct conn *conn)
{
	must(conn->io == &conn_fd_io && conn->tls == NULL);
	struct conn_ssl *self = calloc(1, sizeof *self);
	must(self != NULL);
	self->fd = conn->self;
	return self;
}

// A script has no TLS: it goes on as if there were.
static enum err_code begin_memory(struct conn *conn)
{
	conn->tls = calloc(1, sizeof *conn->tls);
	must(conn->tls != NULL);
	memcpy(conn->tls->version, "memory", sizeof "memory");
	snprintf(conn->tls->peer_spki, sizeof conn->tls->peer_spki, "%s", conn_memory_peer_spki(conn->self));
	return ERR_OK;
}

enum err_code conn_tls_accept(struct conn *conn, struct tls_server *server, size_t *discarded_out, struct err *err)
{
	enum err_code code = conn_flush(conn, err);
	if (code)
		return code;
	size_t discarded = conn_discard_input(conn);
	if (conn->io == &conn_memory_io) {
		code = begin_memory(conn);
	} else {
		struct conn_ssl *self = new_ssl(conn);
		self->server = tls_server_ref(server);
		self->ssl = tls_server_ssl(server);
		code = begin(conn, self, false, err);
	}
	if (code == ERR_OK && discarded_out)
		*discarded_out = discarded;
	return code;
}

// SNI names hosts, not addresses (RFC 6066 section 3).
static enum err_code name_host(SSL *ssl, struct str host, bool verifies, struct err *err)
{
	char name[256];
	struct netaddr addr;
	forget_errors();
	if (!str_to_c(host, name, sizeof name))
		return err_set(err, ERR_INVALID, "not a host name");
	bool is_address = netaddr_parse(host, 0, &addr);
	if (!is_address && SSL_set_tlsext_host_name(ssl, name) != 1)
		return tls_failed(err, "name the host %s", name);
	if (!verifies)
		return ERR_OK;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	int set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) : SSL_set1_host(ssl, name);
	return set == 1 ? ERR_OK : tls_failed(err, "check the name %s", name);
}

enum err_code conn_tls_connect(struct conn *conn, struct tls_client *client, struct str host, struct err *err)
{
	enum err_code code = conn_flush(conn, err);
	if (code)
		return code;
	conn_discard_input(conn);
	if (conn->io == &conn_memory_io)
		return begin_memory(conn);
	struct conn_ssl *self = new_ssl(conn);
	self->client = tls_client_ref(client);
	self->ssl = tls_client_ssl(client);
	code = name_host(self->ssl, host, tls_client_verifies(client), err);
	if (code) {
		ssl_free(self);
		return code;
	}
	return begin(conn, self, tls_client_verifies(client), err);
}
