// SPDX-License-Identifier: Apache-2.0
// For the tests of connections: certificates made anew for each run, and two fibers that talk over a pair of sockets, in plain or
// under TLS.
#ifndef BASE_TEST_CONN_H
#define BASE_TEST_CONN_H
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

static inline void write_pem(struct pair *pair, const char *name, X509 *cert, EVP_PKEY *key)
{
	snprintf(pair->cert, sizeof pair->cert, "%s/%s.pem", folder, name);
	snprintf(pair->key, sizeof pair->key, "%s/%s.key", folder, name);
	FILE *file = fopen(pair->cert, "we");
	must(file && PEM_write_X509(file, cert) == 1 && fclose(file) == 0);
	file = fopen(pair->key, "we");
	must(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
}

// A certificate signed by itself; takes key.
static inline void make_pair(struct pair *pair, const char *name, EVP_PKEY *key, const char *names)
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

static inline int make_certificates(void **state)
{
	(void)state;
	must(mkdtemp(folder) != NULL);
	make_pair(&uni_ec, "uni-ec", EVP_EC_gen("P-256"), "DNS:mx.uni.example,DNS:mail.uni.example");
	make_pair(&uni_rsa, "uni-rsa", EVP_RSA_gen(2048), "DNS:mail.uni.example,DNS:mx.uni.example");
	make_pair(&other_ec, "other-ec", EVP_EC_gen("P-256"), "DNS:*.other.example");
	make_pair(&client_ec, "client-ec", EVP_EC_gen("P-256"), "DNS:node7.uni.example");
	return 0;
}

static inline int remove_certificates(void **state)
{
	(void)state;
	struct pair *all[] = {&uni_ec, &uni_rsa, &other_ec, &client_ec};
	for (size_t i = 0; i < 4; i++) {
		unlink(all[i]->cert);
		unlink(all[i]->key);
	}
	return rmdir(folder);
}

static inline struct tls_files files_of(const struct pair *pair)
{
	return (struct tls_files){pair->cert, pair->key};
}

static inline struct tls_server *uni_server_of(enum tls_version min, bool tickets)
{
	struct tls_files files[] = {files_of(&uni_ec), files_of(&uni_rsa), files_of(&other_ec)};
	const struct tls_server_config config = {.files = files, .n = 3, .min = min, .tickets = tickets};
	struct tls_server *server;
	struct err err = {0};
	assert_int_equal(tls_server_new(&config, &server, &err), ERR_OK);
	return server;
}

static inline struct tls_server *uni_server(void)
{
	return uni_server_of(TLS_VERSION_1_2, true);
}

static inline struct tls_client *new_client(enum tls_verify verify, const struct pair *trusted)
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

static inline void serving(void *arg)
{
	struct talk *talk = arg;
	struct conn *conn;
	must(conn_of_fd(talk->server_fd, &conn, NULL) == ERR_OK);
	conn_set_idle_ms(conn, 20000);
	talk->serve(conn, talk);
	talk->ended++;
}

static inline void asking(void *arg)
{
	struct talk *talk = arg;
	struct conn *conn;
	must(conn_of_fd(talk->client_fd, &conn, NULL) == ERR_OK);
	conn_set_idle_ms(conn, 20000);
	talk->ask(conn, talk);
	talk->ended++;
}

// Passes every byte on alone, in both directions.
static inline void relaying(void *arg)
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

static inline void start_talk(void *arg)
{
	struct talk *talk = arg;
	talk->serving = fiber_spawn(serving, talk, "server");
	must(talk->serving && fiber_spawn(asking, talk, "client"));
	if (talk->bytewise)
		must(fiber_spawn(relaying, talk, "relay") != NULL);
}

static inline void pair_of_sockets(int *a, int *b)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*a = fds[0];
	*b = fds[1];
}

static inline void run(void (*fn)(void *arg), void *arg)
{
	struct sched *sched;
	must(sched_new(&(struct sched_config){0}, &sched, NULL) == ERR_OK);
	must(sched_spawn(sched, fn, arg, "first"));
	assert_int_equal(sched_run(sched), 0);
	sched_free(&sched);
}

static inline void run_talk(struct talk *talk)
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

static inline void must_line(struct conn *conn, struct str want)
{
	struct str line;
	enum conn_eol eol;
	must(conn_read_line(conn, 1000, &line, &eol, NULL) == ERR_OK && eol == CONN_CRLF && str_eq(line, want));
}

// --- What is said ---

static inline void echo_lines(struct conn *conn, struct talk *talk)
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

static inline void asks_lines(struct conn *conn, struct talk *talk)
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

enum { MUCH_BYTES = 3 << 20 };

static inline void sends_much(struct conn *conn, struct talk *talk)
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

static inline void reads_much_late(struct conn *conn, struct talk *talk)
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

#endif
