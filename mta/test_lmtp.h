// SPDX-License-Identifier: Apache-2.0
// For the tests of the queue: an LMTP server (or SMTP, for who says EHLO) on loopback that takes messages, or does not.
//
//     lmtp_init(&l); lmtp_open(&l);         // l.port
//     lmtp_serve(&l, runtime);              // until the runtime ends; opens when it is not open
//     lmtp_fini(&l);
//
// no@ does not exist, later@ is put off, full@ is refused after the message; everybody else takes it.
#ifndef MTA_TEST_LMTP_H
#define MTA_TEST_LMTP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/conn.h"
#include "base/listen.h"
#include "base/must.h"
#include "base/runtime.h"
#include "schema/record.h"

enum { PEER_MESSAGES_MAX = 5000 };

// What the LMTP server saw, and how it is to behave.
struct lmtp {
	pthread_mutex_t mutex;
	uint16_t port;
	int fd;
	_Atomic size_t delivered, connections, transactions;
	char (*key)[100];                 // guid and recipient of each delivery; PEER_MESSAGES_MAX
	_Atomic int drops;                // so many connections end after the final dot, unanswered
	_Atomic bool down;                // no greeting
	_Atomic bool smtp;                // the client said EHLO
	// Told before each 250 when set, with the message as it was sent.
	void (*taken)(void *arg, struct str guid, struct str recipient, struct str text);
	void *arg;
};

static inline void lmtp_note(struct lmtp *l, struct str guid, struct str recipient, struct str text)
{
	if (l->taken)
		l->taken(l->arg, guid, recipient, text);
	pthread_mutex_lock(&l->mutex);
	if (l->delivered < PEER_MESSAGES_MAX)
		snprintf(l->key[l->delivered], sizeof *l->key, "%.*s %.*s", STR_FMT(guid), STR_FMT(recipient));
	l->delivered++;
	pthread_mutex_unlock(&l->mutex);
}

static inline const char *lmtp_rcpt_reply(struct str line)
{
	if (str_find(line, STR("<no@")) >= 0)
		return "550 5.1.1 no such user\r\n";
	if (str_find(line, STR("<later@")) >= 0)
		return "451 4.2.0 later\r\n";
	return "250 2.1.5 ok\r\n";
}

// One transaction's end: the body is read up to its dot and answered for each recipient.
static inline bool lmtp_take_body(struct lmtp *l, struct conn *conn, struct str guid, char (*to)[80], size_t n)
{
	struct str line;
	enum conn_eol eol;
	struct err err;
	struct buf text;
	buf_init(&text, 16 << 20);
	bool ended = false, whole;
	while (!ended && conn_read_line(conn, 65536, &line, &eol, &err) == ERR_OK) {
		ended = str_eq(line, STR("."));
		if (!ended && l->taken)
			must(buf_add(&text, str_from(line, str_starts(line, STR(".")))) && buf_add(&text, STR("\r\n")));
	}
	whole = ended && !(atomic_load(&l->drops) > 0 && atomic_fetch_sub(&l->drops, 1) > 0);
	if (!whole) {
		buf_fini(&text);
		return false;
	}
	if (atomic_load(&l->smtp)) { // one answer for all
		for (size_t i = 0; i < n; i++)
			lmtp_note(l, guid, str_of_c(to[i]), buf_str(&text));
		n = 0;
		conn_printf(conn, "250 2.0.0 queued\r\n");
	}
	for (size_t i = 0; i < n; i++) {
		bool refused = str_starts(str_of_c(to[i]), STR("full@"));
		if (!refused)
			lmtp_note(l, guid, str_of_c(to[i]), buf_str(&text));
		conn_printf(conn, refused ? "452 4.2.2 full\r\n" : "250 2.0.0 delivered\r\n");
	}
	buf_fini(&text);
	return true;
}

static inline void lmtp_session(struct conn *conn, void *arg)
{
	struct lmtp *l = arg;
	char guid[64] = "", to[20][80];
	size_t n = 0;
	struct str line;
	enum conn_eol eol;
	struct err err;
	atomic_fetch_add(&l->connections, 1);
	if (atomic_load(&l->down)) {
		conn_close(&conn, 0);
		return;
	}
	conn_printf(conn, "220 lmtp.test ready\r\n");
	while ((conn_has_input(conn) || conn_flush(conn, &err) == ERR_OK) &&
		conn_read_line(conn, 4096, &line, &eol, &err) == ERR_OK) {
		if (str_starts_nocase(line, STR("EHLO"))) {
			atomic_store(&l->smtp, true);
			conn_printf(conn, "250-relay.test\r\n250 PIPELINING\r\n");
		} else if (str_starts_nocase(line, STR("LHLO"))) {
			conn_printf(conn, "250-lmtp.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE "
					  "100000000\r\n250 XPHKEY\r\n");
		} else if (str_starts_nocase(line, STR("MAIL"))) {
			ptrdiff_t at = str_find(line, STR("XPHKEY="));
			atomic_fetch_add(&l->transactions, 1);
			str_to_c(at < 0 ? STR("none") : str_upto(str_from(line, (size_t)at + 7), 32), guid, sizeof guid);
			n = 0;
			conn_printf(conn, "250 2.1.0 ok\r\n");
		} else if (str_starts_nocase(line, STR("RCPT"))) {
			const char *reply = lmtp_rcpt_reply(line);
			ptrdiff_t at = str_index(line, '<'), end = str_index(line, '>');
			if (reply[0] == '2' && n < 20)
				str_to_c(str_from(str_upto(line, (size_t)end), (size_t)at + 1), to[n++], sizeof to[0]);
			conn_printf(conn, "%s", reply);
		} else if (str_eq_nocase(line, STR("DATA"))) {
			conn_printf(conn, n ? "354 go\r\n" : "503 5.5.1 no recipients\r\n");
			if (n && (conn_flush(conn, &err) || !lmtp_take_body(l, conn, str_of_c(guid), to, n)))
				break;
		} else if (str_eq_nocase(line, STR("QUIT"))) {
			break;
		} else {
			conn_printf(conn, "250 2.0.0 ok\r\n");
		}
	}
	conn_close(&conn, 0);
}

static inline void lmtp_init(struct lmtp *l)
{
	must(pthread_mutex_init(&l->mutex, NULL) == 0);
	l->key = calloc(PEER_MESSAGES_MAX, sizeof *l->key);
	must(l->key != NULL);
}

static inline void lmtp_fini(struct lmtp *l)
{
	free(l->key);
	if (l->fd)
		close(l->fd);
}

static inline void lmtp_open(struct lmtp *l)
{
	struct netaddr any, local;
	must(netaddr_parse(STR("127.0.0.1"), 0, &any));
	must(listen_open(&any, 100, &l->fd, &local, NULL) == ERR_OK);
	l->port = local.port;
}

static inline void lmtp_serve(struct lmtp *l, struct runtime *runtime)
{
	static struct listen_service service = {.name = "lmtp", .serve = lmtp_session};
	service.arg = l;
	if (l->port == 0)
		lmtp_open(l);
	must(runtime_listen(runtime, &service, l->fd, NULL) == ERR_OK);
}

// A recipient whose mailbox is at that server.
static struct record_recipient to_mailbox(struct str address)
{
	return (struct record_recipient){.target = RECORD_TO_MAILBOX,
		.address = address,
		.key = address,
		.destination = STR("mail1"),
		.mailbox_id = STR("00112233445566778899aabbccddeeff")};
}

#endif
