// SPDX-License-Identifier: Apache-2.0
// Connections over real sockets: two fibers talk, plain and under TLS, whole and byte by byte, in time and too late.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/listen.h"
#include "base/must.h"
#include "base/sched.h"
#include "base/worker.h"
#include "conn_private.h"
#include "tls_private.h"

// --- Certificates, made anew for each run ---

struct pair {
	char cert[64], key[64];
};

static char folder[] = "/tmp/conn-test-XXXXXX";
static struct pair uni_ec, uni_rsa, other_ec, client_ec;

static void write_pem(struct pair *pair, const char *name, X509 *cert, EVP_PKEY *key)
{
	snprintf(pair->cert, sizeof pair->cert, "%s/%s.pem", folder, name);
	snprintf(pair->key, sizeof pair->key, "%s/%s.key", folder, name);
	FILE *file = fopen(pair->cert, "we");
	must(file && PEM_write_X509(file, cert) == 1 && fclose(file) == 0);
	file = fopen(pair->key, "we");
	must(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
}

// A certificate signed by itself; takes key.
static void make_pair(struct pair *pair, const char *name, EVP_PKEY *key, const char *names)
{
	static long serial = 1;
	X509 *cert = X509_new();
	must(key && cert && X509_set_version(cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++));
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_NAME *subject = X509_get_subject_name(cert);
	must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1);
	must(X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1);
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	must(san && X509_add_ext(cert, san, -1) == 1 && X509_sign(cert, key, EVP_sha256()) > 0);
	write_pem(pair, name, cert, key);
	X509_EXTENSION_free(san);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int make_certificates(void **state)
{
	(void)state;
	must(mkdtemp(folder) != NULL);
	make_pair(&uni_ec, "uni-ec", EVP_EC_gen("P-256"), "DNS:mx.uni.example,DNS:mail.uni.example");
	make_pair(&uni_rsa, "uni-rsa", EVP_RSA_gen(2048), "DNS:mail.uni.example,DNS:mx.uni.example");
	make_pair(&other_ec, "other-ec", EVP_EC_gen("P-256"), "DNS:*.other.example");
	make_pair(&client_ec, "client-ec", EVP_EC_gen("P-256"), "DNS:node7.uni.example");
	return 0;
}

static int remove_certificates(void **state)
{
	(void)state;
	struct pair *all[] = {&uni_ec, &uni_rsa, &other_ec, &client_ec};
	for (size_t i = 0; i < 4; i++) {
		unlink(all[i]->cert);
		unlink(all[i]->key);
	}
	return rmdir(folder);
}

static struct tls_files files_of(const struct pair *pair)
{
	return (struct tls_files){pair->cert, pair->key};
}

static struct tls_server *uni_server_of(enum tls_version min)
{
	struct tls_files files[] = {files_of(&uni_ec), files_of(&uni_rsa), files_of(&other_ec)};
	const struct tls_server_config config = {.files = files, .n = 3, .min = min};
	struct tls_server *server;
	struct err err = {0};
	assert_int_equal(tls_server_new(&config, &server, &err), ERR_OK);
	return server;
}

static struct tls_server *uni_server(void)
{
	return uni_server_of(TLS_VERSION_1_2);
}

static struct tls_client *new_client(enum tls_verify verify, const struct pair *trusted)
{
	struct tls_client *client;
	struct tls_client_config config = {.verify = verify, .ca_path = trusted ? trusted->cert : NULL};
	assert_int_equal(tls_client_new(&config, &client, NULL), ERR_OK);
	return client;
}

// --- Two fibers and what is between them ---

struct talk {
	void (*serve)(struct conn *conn, struct talk *talk);
	void (*ask)(struct conn *conn, struct talk *talk);
	bool bytewise;
	int server_fd, client_fd, relay_fds[2];
	struct tls_server *server;
	struct tls_client *client;
	const char *host;
	struct fiber *serving;
	int64_t deadline_ms;
	enum err_code code;
	struct err err;
	struct conn_tls tls;
	size_t n;
	int ended;
};

static void serving(void *arg)
{
	struct talk *talk = arg;
	struct conn *conn;
	must(conn_of_fd(talk->server_fd, &conn, NULL) == ERR_OK);
	conn_set_idle_ms(conn, 20000);
	talk->serve(conn, talk);
	talk->ended++;
}

static void asking(void *arg)
{
	struct talk *talk = arg;
	struct conn *conn;
	must(conn_of_fd(talk->client_fd, &conn, NULL) == ERR_OK);
	conn_set_idle_ms(conn, 20000);
	talk->ask(conn, talk);
	talk->ended++;
}

// Passes every byte on alone, in both directions.
static void relaying(void *arg)
{
	struct talk *talk = arg;
	struct conn *a, *b;
	must(conn_of_fd(talk->relay_fds[0], &a, NULL) == ERR_OK && conn_of_fd(talk->relay_fds[1], &b, NULL) == ERR_OK);
	for (bool open = true; open;) {
		unsigned ready = conn_wait_either(a, b, clock_after_ms(20000));
		must((ready & ~3u) == 0);
		for (int i = 0; i < 2; i++) {
			struct str byte;
			if (!(ready & (i ? 2u : 1u)))
				continue;
			open = open && conn_read_some(i ? b : a, 1, &byte, NULL) == ERR_OK;
			if (open)
				open = conn_write(i ? a : b, byte) == ERR_OK && conn_flush(i ? a : b, NULL) == ERR_OK;
		}
	}
	conn_close(&a, 1);
	conn_close(&b, 1);
}

static void start_talk(void *arg)
{
	struct talk *talk = arg;
	talk->serving = fiber_spawn(serving, talk, "server");
	must(talk->serving && fiber_spawn(asking, talk, "client"));
	if (talk->bytewise)
		must(fiber_spawn(relaying, talk, "relay") != NULL);
}

static void pair_of_sockets(int *a, int *b)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*a = fds[0];
	*b = fds[1];
}

static void run(void (*fn)(void *arg), void *arg)
{
	struct sched *sched;
	must(sched_new(&(struct sched_config){0}, &sched, NULL) == ERR_OK);
	must(sched_spawn(sched, fn, arg, "first"));
	assert_int_equal(sched_run(sched), 0);
	sched_free(&sched);
}

static void run_talk(struct talk *talk)
{
	if (talk->bytewise) {
		pair_of_sockets(&talk->server_fd, &talk->relay_fds[0]);
		pair_of_sockets(&talk->client_fd, &talk->relay_fds[1]);
	} else {
		pair_of_sockets(&talk->server_fd, &talk->client_fd);
	}
	talk->ended = 0;
	run(start_talk, talk);
	assert_int_equal(talk->ended, 2);
}

static void must_line(struct conn *conn, struct str want)
{
	struct str line;
	enum conn_eol eol;
	must(conn_read_line(conn, 1000, &line, &eol, NULL) == ERR_OK && eol == CONN_CRLF && str_eq(line, want));
}

// --- Plain talk ---

static void echo_lines(struct conn *conn, struct talk *talk)
{
	struct str line;
	enum conn_eol eol;
	for (;;) {
		if (!conn_has_input(conn) && conn_flush(conn, NULL))
			break;
		talk->code = conn_read_line(conn, 1000, &line, &eol, NULL);
		if (talk->code)
			break;
		conn_printf(conn, "%.*s\r\n", STR_FMT(line));
	}
	conn_close(&conn, 1000);
}

static void asks_lines(struct conn *conn, struct talk *talk)
{
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 5; i++) // pipelined
			conn_printf(conn, "line %d\r\n", i);
		must(conn_flush(conn, NULL) == ERR_OK);
		for (int i = 0; i < 5; i++) {
			char want[16];
			snprintf(want, sizeof want, "line %d", i);
			must_line(conn, str_of_c(want));
		}
	}
	talk->n = conn_bytes_in(conn);
	conn_close(&conn, 1000);
}

static void lines_go_back_and_forth(void **state)
{
	(void)state;
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct talk talk = {.serve = echo_lines, .ask = asks_lines, .bytewise = bytewise};
		run_talk(&talk);
		assert_int_equal(talk.code, ERR_CLOSED);
		assert_int_equal(talk.n, 10 * 5 * 8);
	}
}

enum { MUCH_BYTES = 3 << 20 };

static void sends_much(struct conn *conn, struct talk *talk)
{
	char *chunk = malloc(100000);
	memset(chunk, 's', 100000);
	for (size_t left = MUCH_BYTES; left;) {
		size_t n = left < 100000 ? left : 100000;
		must(conn_write_through(conn, str_of(chunk, n)) == ERR_OK);
		must(conn->out.size <= 2 * CONN_OUTPUT_BYTES); // a slow reader costs no memory
		left -= n;
	}
	free(chunk);
	must(conn_bytes_out(conn) == MUCH_BYTES);
	conn_close(&conn, 5000);
	talk->n++;
}

static void reads_much_late(struct conn *conn, struct talk *talk)
{
	struct str chunk;
	size_t n = 0;
	must(fiber_sleep_ms(5) == FIBER_TIMEOUT);
	while (conn_read_some(conn, SIZE_MAX, &chunk, NULL) == ERR_OK)
		n += chunk.n;
	must(n == MUCH_BYTES && conn->in_size <= 32 << 10);
	conn_close(&conn, 1000);
	talk->n++;
}

static void a_slow_reader_holds_the_writer_back(void **state)
{
	(void)state;
	struct talk talk = {.serve = sends_much, .ask = reads_much_late};
	run_talk(&talk);
	assert_int_equal(talk.n, 2);
}

// --- Time and cancelling ---

static void waits_in_vain(struct conn *conn, struct talk *talk)
{
	struct str line;
	enum conn_eol eol;
	conn_set_idle_ms(conn, 10);
	must(conn_read_line(conn, 100, &line, &eol, &talk->err) == ERR_TIMEOUT);
	must(talk->err.code == ERR_TIMEOUT && talk->err.text[0]);
	conn_set_idle_ms(conn, 100000);
	conn_set_deadline_ms(conn, clock_after_ms(10));
	must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_TIMEOUT);
	conn_set_deadline_ms(conn, CLOCK_NEVER);
	conn_write(conn, STR("250 go on\r\n"));
	must(conn_flush(conn, NULL) == ERR_OK);
	// A byte now and then keeps the idle time from passing, but not the deadline (THREATS slow).
	conn_set_idle_ms(conn, 1000);
	conn_set_deadline_ms(conn, clock_after_ms(30));
	must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_TIMEOUT);
	// The line that was too long goes on being too long after a timeout.
	conn_set_deadline_ms(conn, CLOCK_NEVER);
	conn_set_idle_ms(conn, 100000);
	conn_write(conn, STR("250 go on\r\n"));
	must(conn_flush(conn, NULL) == ERR_OK);
	must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_LIMIT);
	must_line(conn, STR("NOOP"));
	conn_write(conn, STR("421 too slow\r\n"));
	conn_close(&conn, 1000);
	talk->n++;
}

static void drips(struct conn *conn, struct talk *talk)
{
	char many[2000];
	memset(many, 'M', sizeof many);
	must_line(conn, STR("250 go on"));
	conn_write(conn, str_of(many, sizeof many));
	while (conn_wait(conn, FIBER_READABLE, clock_after_ms(5)) == FIBER_TIMEOUT) {
		conn_write(conn, STR("M"));
		must(conn_flush(conn, NULL) == ERR_OK);
	}
	must_line(conn, STR("250 go on"));
	conn_write(conn, STR("RCPT\r\nNOOP\r\n"));
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("421 too slow"));
	conn_close(&conn, 0);
	talk->n++;
}

static void silence_and_slowness_time_out(void **state)
{
	(void)state;
	struct talk talk = {.serve = waits_in_vain, .ask = drips};
	run_talk(&talk);
	assert_int_equal(talk.n, 2);
}

enum { IN_READ, IN_WRITE, IN_WAIT, IN_HANDSHAKE, IN_KINDS };

static void is_cancelled_somewhere(struct conn *conn, struct talk *talk)
{
	struct str line;
	enum conn_eol eol;
	char *big;
	switch (talk->n) {
	case IN_READ:
		must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_CANCELLED);
		must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_CANCELLED);
		conn_write(conn, STR("421 bye\r\n"));
		break;
	case IN_WRITE:
		big = calloc(1, 4 << 20);
		must(conn_write_through(conn, str_of(big, 4 << 20)) == ERR_CANCELLED);
		must(conn_write(conn, STR("250 torn\r\n")) == ERR_CANCELLED); // nothing may follow half a body
		free(big);
		break;
	case IN_WAIT:
		must(conn_wait(conn, FIBER_READABLE | FIBER_MESSAGE, CLOCK_NEVER) == FIBER_CANCELLED);
		conn_write(conn, STR("* BYE\r\n"));
		break;
	case IN_HANDSHAKE:
		must(conn_tls_accept(conn, talk->server, NULL, &talk->err) == ERR_CANCELLED);
		break;
	}
	conn_close(&conn, 100);
}

static void cancels_the_other(struct conn *conn, struct talk *talk)
{
	struct str chunk;
	must(fiber_sleep_ms(5) == FIBER_TIMEOUT);
	fiber_cancel(talk->serving);
	if (talk->n == IN_READ)
		must_line(conn, STR("421 bye"));
	if (talk->n == IN_WAIT)
		must_line(conn, STR("* BYE"));
	while (conn_read_some(conn, 100000, &chunk, NULL) == ERR_OK)
		;
	conn_close(&conn, 0);
}

static void a_cancel_ends_every_wait_and_last_words_are_said(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	for (size_t kind = 0; kind < IN_KINDS; kind++) {
		struct talk talk = {.serve = is_cancelled_somewhere, .ask = cancels_the_other, .server = server, .n = kind};
		run_talk(&talk);
	}
	tls_server_drop(&server);
}

// An IDLE: waits for the peer and for messages, and holds no buffers meanwhile.
static void idles(struct conn *conn, struct talk *talk)
{
	must_line(conn, STR("IDLE"));
	must(conn_wait(conn, FIBER_READABLE | FIBER_MESSAGE, clock_after_ms(20000)) == FIBER_MESSAGE);
	must(conn->in == NULL && conn->out.p == NULL);
	conn_printf(conn, "* 1 EXISTS\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must(conn_wait(conn, FIBER_READABLE | FIBER_MESSAGE, clock_after_ms(20000)) == FIBER_READABLE);
	must_line(conn, STR("DONE"));
	must(conn_wait(conn, FIBER_READABLE, clock_after_ms(1)) == FIBER_TIMEOUT);
	conn_close(&conn, 0);
	talk->n++;
}

static void sends_a_message(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "IDLE\r\n");
	must(conn_flush(conn, NULL) == ERR_OK && fiber_sleep_ms(5) == FIBER_TIMEOUT);
	fiber_wake(talk->serving);
	must_line(conn, STR("* 1 EXISTS"));
	conn_printf(conn, "DONE\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	struct str chunk;
	must(conn_read_some(conn, 1, &chunk, NULL) == ERR_CLOSED);
	conn_close(&conn, 0);
}

static void an_idle_connection_hears_messages_and_its_peer(void **state)
{
	(void)state;
	struct talk talk = {.serve = idles, .ask = sends_a_message};
	run_talk(&talk);
	assert_int_equal(talk.n, 1);
}

// --- TLS ---

static void serves_starttls(struct conn *conn, struct talk *talk)
{
	must_line(conn, STR("STARTTLS"));
	conn_printf(conn, "220 go ahead\r\n");
	talk->code = conn_tls_accept(conn, talk->server, &talk->n, &talk->err);
	if (talk->code) {
		conn_close(&conn, 100);
		return;
	}
	must(conn_tls(conn) != NULL && conn_tls(conn)->peer_spki[0] == '\0');
	echo_lines(conn, talk);
}

static void asks_over_tls(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "STARTTLS\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("220 go ahead"));
	must(conn_tls_connect(conn, talk->client, str_of_c(talk->host), &talk->err) == ERR_OK);
	talk->tls = *conn_tls(conn);
	asks_lines(conn, talk);
}

static void tls_talk_is_the_same_talk(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_HOST, &uni_ec);
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct talk talk = {.serve = serves_starttls, .ask = asks_over_tls, .server = server, .client = client,
				    .host = "mx.uni.example", .bytewise = bytewise};
		run_talk(&talk);
		assert_int_equal(talk.code, ERR_CLOSED); // close_notify is an end, not a failure
		assert_string_equal(talk.tls.version, "TLSv1.3");
		assert_string_equal(talk.tls.cipher, "TLS_AES_128_GCM_SHA256"); // the client's first is another, and the server's word counts
		assert_true(talk.tls.verified && !talk.tls.resumed && talk.tls.bits >= 128);
		assert_string_equal(talk.tls.server_name, "mx.uni.example");
		assert_int_equal(strlen(talk.tls.peer_fingerprint), 64);
		assert_int_equal(strlen(talk.tls.peer_spki), 64);
		assert_string_not_equal(talk.tls.peer_spki, talk.tls.peer_fingerprint);
		assert_int_equal(talk.n, 10 * 5 * 8 + 14);
	}
	tls_client_drop(&client);
	tls_server_drop(&server);
}

static void much_over_tls_server(struct conn *conn, struct talk *talk)
{
	must(conn_tls_accept(conn, talk->server, NULL, NULL) == ERR_OK);
	sends_much(conn, talk);
}

static void much_over_tls_client(struct conn *conn, struct talk *talk)
{
	must(conn_tls_connect(conn, talk->client, STR("192.0.2.1"), NULL) == ERR_OK);
	must(conn_tls(conn)->server_name[0] == '\0');
	reads_much_late(conn, talk);
}

static void megabytes_go_over_tls(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	struct talk talk = {.serve = much_over_tls_server, .ask = much_over_tls_client, .server = server, .client = client};
	run_talk(&talk);
	assert_int_equal(talk.n, 2);
	tls_client_drop(&client);
	tls_server_drop(&server);
}

// THREATS stls-inject: the command behind STARTTLS in the same segment.
static void injects(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "STARTTLS\r\nMAIL FROM:<evil@example>\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("220 go ahead"));
	must(conn_tls_connect(conn, talk->client, STR("mx.uni.example"), NULL) == ERR_OK);
	conn_printf(conn, "NOOP\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("NOOP")); // and not MAIL
	conn_close(&conn, 100);
}

static void injected_commands_never_run(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	struct talk talk = {.serve = serves_starttls, .ask = injects, .server = server, .client = client};
	run_talk(&talk);
	assert_int_equal(talk.n, 26);
	tls_client_drop(&client);
	tls_server_drop(&server);
}

static void talks_no_tls(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "STARTTLS\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("220 go ahead"));
	if (talk->n == 0)
		conn_printf(conn, "EHLO what is this\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	conn_close(&conn, 100);
}

static void garbage_and_silence_fail_the_handshake(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct talk talk = {.serve = serves_starttls, .ask = talks_no_tls, .server = server};
	run_talk(&talk);
	assert_int_equal(talk.code, ERR_TLS);
	assert_true(str_starts(str_of_c(talk.err.text), STR("TLS handshake: ")));
	talk.n = 1;
	run_talk(&talk);
	assert_int_equal(talk.code, ERR_CLOSED);
	tls_server_drop(&server);
}

static void accepts_and_echoes(struct conn *conn, struct talk *talk)
{
	struct err err;
	if (conn_tls_accept(conn, talk->server, NULL, &err) == ERR_OK)
		echo_lines(conn, talk);
	else
		conn_close(&conn, 100);
}

// As who does the server show itself to this host name?
static void looks_at_the_server(struct conn *conn, struct talk *talk)
{
	talk->code = ERR_OK;
	enum err_code code = conn_tls_connect(conn, talk->client, str_of_c(talk->host), &talk->err);
	if (code == ERR_OK)
		talk->tls = *conn_tls(conn);
	conn_close(&conn, 100);
	talk->n = code;
}

static void look(struct talk *talk, const char *host)
{
	talk->host = host;
	talk->tls = (struct conn_tls){0};
	run_talk(talk);
}

static void a_wrong_name_or_issuer_is_refused(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct talk talk = {.serve = accepts_and_echoes, .ask = looks_at_the_server, .server = server};
	talk.client = new_client(TLS_VERIFY_HOST, &uni_ec);
	look(&talk, "mail.uni.example");
	assert_int_equal(talk.n, ERR_OK);
	look(&talk, "mail.elsewhere.example");
	assert_int_equal(talk.n, ERR_TLS);
	assert_non_null(strstr(talk.err.text, "ostname mismatch"));
	tls_client_drop(&talk.client);
	talk.client = new_client(TLS_VERIFY_HOST, &other_ec);
	look(&talk, "mail.uni.example");
	assert_int_equal(talk.n, ERR_TLS);
	assert_non_null(strstr(talk.err.text, "certificate"));
	tls_client_drop(&talk.client);
	tls_server_drop(&server);
}

// A client that speaks nothing newer than TLS 1.2.
static struct tls_client *old_client(void)
{
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	SSL *ssl = tls_client_ssl(client);
	must(SSL_CTX_set_max_proto_version(SSL_get_SSL_CTX(ssl), TLS1_2_VERSION) == 1);
	SSL_free(ssl);
	return client;
}

static void versions_below_the_least_are_refused(void **state)
{
	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		struct tls_server *server = uni_server_of(strict ? TLS_VERSION_1_3 : TLS_VERSION_1_2);
		struct tls_client *old = old_client();
		struct talk talk = {.serve = accepts_and_echoes, .ask = looks_at_the_server, .server = server, .client = old};
		look(&talk, "mx.uni.example");
		assert_int_equal(talk.n, strict ? ERR_TLS : ERR_OK);
		talk.client = new_client(TLS_VERIFY_NONE, NULL);
		look(&talk, "mx.uni.example");
		assert_string_equal(talk.tls.version, "TLSv1.3");
		tls_client_drop(&talk.client);
		tls_client_drop(&old);
		tls_server_drop(&server);
	}
}

static void sni_chooses_the_identity(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	struct talk talk = {.serve = accepts_and_echoes, .ask = looks_at_the_server, .server = server, .client = client};
	char uni[65], other[65];
	look(&talk, "mx.uni.example");
	memcpy(uni, talk.tls.peer_spki, sizeof uni);
	look(&talk, "IMAP.Other.Example");
	memcpy(other, talk.tls.peer_spki, sizeof other);
	assert_string_not_equal(uni, other);
	const char *default_hosts[] = {"", "192.0.2.1", "unknown.example", "a.b.other.example", "other.example"};
	for (size_t i = 1; i < sizeof default_hosts / sizeof *default_hosts; i++) {
		look(&talk, default_hosts[i]);
		assert_int_equal(talk.n, ERR_OK);
		assert_string_equal(talk.tls.peer_spki, uni);
	}
	tls_client_drop(&client);
	tls_server_drop(&server);
}

static void shows_a_certificate(struct conn *conn, struct talk *talk)
{
	must(conn_tls_connect(conn, talk->client, STR("mx.uni.example"), NULL) == ERR_OK);
	conn_printf(conn, "x\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("x"));
	conn_close(&conn, 100);
}

static void asks_who_it_is(struct conn *conn, struct talk *talk)
{
	must(conn_tls_accept(conn, talk->server, NULL, NULL) == ERR_OK);
	talk->tls = *conn_tls(conn);
	echo_lines(conn, talk);
}

static void a_server_may_ask_for_a_certificate(void **state)
{
	(void)state;
	struct tls_files files = files_of(&uni_ec);
	const struct tls_server_config asking = {.files = &files, .n = 1, .asks = true};
	struct tls_client_config config = {.certificate = files_of(&client_ec)};
	struct talk talk = {.serve = asks_who_it_is, .ask = shows_a_certificate};
	assert_int_equal(tls_server_new(&asking, &talk.server, NULL), ERR_OK);
	assert_int_equal(tls_client_new(&config, &talk.client, NULL), ERR_OK);
	run_talk(&talk);
	assert_int_equal(strlen(talk.tls.peer_spki), 64);
	assert_false(talk.tls.verified);
	tls_client_drop(&talk.client);
	talk.client = new_client(TLS_VERIFY_NONE, NULL); // without one it is served too
	run_talk(&talk);
	assert_string_equal(talk.tls.peer_spki, "");
	tls_client_drop(&talk.client);
	tls_server_drop(&talk.server);
}

// --- Contexts ---

static void shake_in_memory(SSL *a, SSL *b)
{
	BIO *bio_a, *bio_b;
	must(BIO_new_bio_pair(&bio_a, 0, &bio_b, 0) == 1);
	SSL_set_bio(a, bio_a, bio_a);
	SSL_set_bio(b, bio_b, bio_b);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(b);
		SSL_do_handshake(a);
	}
	must(SSL_is_init_finished(a) && SSL_is_init_finished(b));
}

// A handshake between two SSLs in memory, with the session of an earlier one; then a byte, so that the ticket arrives.
static bool resumes(struct tls_server *server, struct tls_client *client, SSL_SESSION **session)
{
	SSL *a = tls_server_ssl(server), *b = tls_client_ssl(client);
	char byte;
	if (*session)
		must(SSL_set_session(b, *session) == 1);
	shake_in_memory(a, b);
	must(SSL_write(a, "x", 1) == 1 && SSL_read(b, &byte, 1) == 1);
	bool reused = SSL_session_reused(b) == 1;
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(b);
	SSL_shutdown(b);
	SSL_free(a);
	SSL_free(b);
	return reused;
}

// What kind of key the server shows to a client that takes these kinds, in the client's order.
static int key_shown(struct tls_server *server, struct tls_client *client, const char *sigalgs)
{
	SSL *a = tls_server_ssl(server), *b = tls_client_ssl(client);
	char list[64];
	must(str_to_c(str_of_c(sigalgs), list, sizeof list) && SSL_set1_sigalgs_list(b, list) == 1);
	shake_in_memory(a, b);
	int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_get0_peer_certificate(b)));
	SSL_free(a);
	SSL_free(b);
	return kind;
}

static void ecdsa_is_preferred_and_rsa_is_there_for_others(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	assert_int_equal(key_shown(server, client, "ECDSA+SHA256:RSA-PSS+SHA256"), EVP_PKEY_EC);
	assert_int_equal(key_shown(server, client, "RSA-PSS+SHA256:ECDSA+SHA256"), EVP_PKEY_EC);
	assert_int_equal(key_shown(server, client, "RSA-PSS+SHA256"), EVP_PKEY_RSA);
	tls_client_drop(&client);
	tls_server_drop(&server);
}

// THREATS replay: a ticket is good on the node that gave it, and nowhere else.
static void tickets_are_for_the_process_that_gave_them(void **state)
{
	(void)state;
	struct tls_server *here = uni_server(), *there = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	SSL_SESSION *session = NULL;
	assert_false(resumes(here, client, &session));
	assert_true(resumes(here, client, &session));
	assert_false(resumes(there, client, &session));
	SSL_SESSION_free(session);
	tls_client_drop(&client);
	tls_server_drop(&here);
	tls_server_drop(&there);
}

static void bad_files_say_which_and_change_nothing(void **state)
{
	(void)state;
	struct tls_slot slot = TLS_SLOT_INIT;
	struct tls_server *server = uni_server(), *kept = tls_server_ref(server);
	struct err err = {0};
	tls_slot_set(&slot, &server);
	assert_null(server);
	const struct tls_files bad[] = {
		{"/nonexistent.pem", uni_ec.key}, {uni_ec.cert, "/nonexistent.key"}, {uni_ec.key, uni_ec.key},
		{uni_ec.cert, other_ec.key},      {uni_ec.cert, uni_ec.cert},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_not_equal(tls_server_new(&(struct tls_server_config){.files = &bad[i], .n = 1}, &server, &err), ERR_OK);
		assert_true(strstr(err.text, bad[i].cert_path) || strstr(err.text, bad[i].key_path));
	}
	const struct tls_files twice[] = {files_of(&uni_ec), files_of(&uni_ec)};
	assert_int_equal(tls_server_new(&(struct tls_server_config){.files = twice, .n = 2}, &server, &err), ERR_INVALID);
	assert_int_equal(tls_server_new(&(struct tls_server_config){.n = 0}, &server, &err), ERR_INVALID);
	struct tls_server *mine = tls_slot_get(&slot);
	assert_ptr_equal(mine, kept);
	int64_t left_ms = tls_server_expires_wall_ms(mine) - clock_wall_ms();
	assert_in_range(left_ms, 86400000 - 600000, 86400000);
	tls_server_drop(&mine);
	tls_server_drop(&kept);
	tls_slot_set(&slot, &server); // NULL: none any more
	assert_null(tls_slot_get(&slot));
}

// --- Connecting ---

struct outgoing {
	struct netaddr addr;
	struct worker_pool *pool;
	int ended;
};

static void connects(void *arg)
{
	struct outgoing *out = arg;
	struct conn *conn = NULL;
	struct err err = {0};
	must(conn_connect(&out->addr, NULL, clock_after_ms(10000), &conn, &err) == ERR_OK);
	must(netaddr_same_host(conn_peer(conn), &out->addr) && conn_peer(conn)->port == out->addr.port);
	must(netaddr_is_loopback(conn_local(conn)));
	conn_close(&conn, 0);
	must(conn_connect_host(out->pool, STR("127.0.0.1"), out->addr.port, clock_after_ms(10000), &conn, &err) == ERR_OK);
	conn_close(&conn, 0);
	must(conn_connect_host(out->pool, STR("localhost"), out->addr.port, clock_after_ms(10000), &conn, &err) == ERR_OK);
	conn_close(&conn, 0);
	struct netaddr closed = out->addr;
	closed.port = 1;
	must(conn_connect(&closed, NULL, clock_after_ms(10000), &conn, &err) == ERR_CONNECT && conn == NULL);
	must(strstr(err.text, "127.0.0.1:1: connect: ") != NULL);
	must(conn_connect_unix(STR("/nonexistent/socket"), clock_after_ms(10000), &conn, &err) == ERR_CONNECT);
	struct netaddr bind_to = {.family = NETADDR_IPV4, .ip = {127, 0, 0, 3}};
	must(conn_connect(&out->addr, &bind_to, clock_after_ms(10000), &conn, &err) == ERR_OK);
	must(conn_local(conn)->ip[3] == 3);
	conn_close(&conn, 0);
	out->ended++;
}

static void connecting_works_or_says_why(void **state)
{
	(void)state;
	struct outgoing out = {0};
	int fd;
	assert_true(netaddr_parse(STR("127.0.0.1"), 0, &out.addr));
	assert_int_equal(listen_open(&out.addr, 16, &fd, &out.addr, NULL), ERR_OK);
	assert_int_equal(worker_pool_new("resolve", 1, 4, &out.pool, NULL), ERR_OK);
	run(connects, &out);
	assert_int_equal(out.ended, 1);
	worker_pool_free(&out.pool);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_go_back_and_forth),
		cmocka_unit_test(a_slow_reader_holds_the_writer_back),
		cmocka_unit_test(silence_and_slowness_time_out),
		cmocka_unit_test(a_cancel_ends_every_wait_and_last_words_are_said),
		cmocka_unit_test(an_idle_connection_hears_messages_and_its_peer),
		cmocka_unit_test(tls_talk_is_the_same_talk),
		cmocka_unit_test(megabytes_go_over_tls),
		cmocka_unit_test(injected_commands_never_run),
		cmocka_unit_test(garbage_and_silence_fail_the_handshake),
		cmocka_unit_test(a_wrong_name_or_issuer_is_refused),
		cmocka_unit_test(sni_chooses_the_identity),
		cmocka_unit_test(versions_below_the_least_are_refused),
		cmocka_unit_test(a_server_may_ask_for_a_certificate),
		cmocka_unit_test(ecdsa_is_preferred_and_rsa_is_there_for_others),
		cmocka_unit_test(tickets_are_for_the_process_that_gave_them),
		cmocka_unit_test(bad_files_say_which_and_change_nothing),
		cmocka_unit_test(connecting_works_or_says_why),
	};
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
