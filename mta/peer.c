// SPDX-License-Identifier: Apache-2.0
// A connection to an SMTP or LMTP server: from its greeting to QUIT. Transactions are in peer_send.c.
#include "peer_core.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/tls.h"

enum { QUIT_LINGER_MS = 500 };

struct peer *peer_new(struct conn **conn, const struct peer_config *config)
{
	struct peer *peer = calloc(1, sizeof *peer);
	must(peer != NULL);
	peer->conn = *conn;
	*conn = NULL;
	peer->config = *config;
	reply_reader_init(&peer->reader);
	return peer;
}

enum err_code peer_read_reply(struct peer *peer, int64_t wait_ms, struct reply *reply_out, struct err *err)
{
	conn_set_idle_ms(peer->conn, wait_ms);
	for (;;) {
		struct str line;
		enum conn_eol eol;
		enum err_code code = conn_read_line(peer->conn, REPLY_LINE_BYTES_MAX, &line, &eol, err);
		if (code == ERR_LIMIT)
			code = err_set(err, ERR_PROTOCOL, "a reply with a line over %d bytes", REPLY_LINE_BYTES_MAX);
		if (code) {
			peer->broken = true;
			return code;
		}
		switch (reply_reader_line(&peer->reader, line)) {
		case REPLY_READ_MORE:
			break;
		case REPLY_READ_DONE:
			*reply_out = reply_reader_reply(&peer->reader);
			if (reply_out->code == 421)
				peer->closing = true;
			return ERR_OK;
		case REPLY_READ_BAD:
			peer->broken = true;
			return err_set(err, ERR_PROTOCOL, "not a reply: %.*s", STR_FMT(str_upto(line, 200)));
		}
	}
}

enum err_code peer_command(struct peer *peer, struct str command, struct reply *reply_out, struct err *err)
{
	conn_write(peer->conn, command);
	conn_write(peer->conn, STR("\r\n"));
	enum err_code code = conn_flush(peer->conn, err);
	if (code)
		peer->broken = true;
	return code ? code : peer_read_reply(peer, peer->config.reply_ms, reply_out, err);
}

static enum err_code unwelcome(struct peer *peer, const char *what, struct reply reply, struct err *err)
{
	peer->broken = true;
	return err_set(err, reply.code >= 400 ? ERR_BUSY : ERR_PROTOCOL, "%s: %d %.*s", what, reply.code,
		STR_FMT(str_upto(reply.text, 300)));
}

static void note_extensions(struct peer *peer, struct reply reply)
{
	struct str size;
	uint64_t bytes;
	peer->extensions = 0;
	peer->size_max = 0;
	static const struct {
		struct str keyword;
		unsigned bit;
	} known[] = {{STR("PIPELINING"), PEER_PIPELINING}, {STR("8BITMIME"), PEER_8BITMIME}, {STR("SMTPUTF8"), PEER_UTF8},
		{STR("DSN"), PEER_DSN}, {STR("STARTTLS"), PEER_STARTTLS}, {STR("XPHKEY"), PEER_KEY}, {STR("SIZE"), PEER_SIZE},
		{STR("CHUNKING"), PEER_CHUNKING}};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (reply_has_keyword(reply, known[i].keyword, NULL))
			peer->extensions |= known[i].bit;
	if (reply_has_keyword(reply, STR("SIZE"), &size) && str_to_u64(str_trim(size), INT64_MAX, &bytes))
		peer->size_max = bytes;
}

// EHLO; HELO where that is not known (RFC 5321 section 3.2); LHLO for LMTP.
static enum err_code hello(struct peer *peer, struct err *err)
{
	static const char *const verbs[] = {"EHLO", "HELO", "LHLO"};
	for (int i = peer->config.lmtp ? 2 : 0;; i++) {
		char line[300];
		struct reply reply;
		snprintf(line, sizeof line, "%s %.*s", verbs[i], STR_FMT(str_upto(peer->config.hostname, 255)));
		enum err_code code = peer_command(peer, str_of_c(line), &reply, err);
		if (code)
			return code;
		if (reply_is_positive(&reply)) {
			note_extensions(peer, reply);
			return ERR_OK;
		}
		if (i != 0 || !reply_is_permanent(&reply) || peer->config.tls >= PEER_TLS_MUST)
			return unwelcome(peer, verbs[i], reply, err);
	}
}

static bool is_pinned(const struct peer *peer)
{
	const struct conn_tls *tls = conn_tls(peer->conn);
	struct str spki = str_of_c(tls->peer_spki), algorithm, digest;
	for (size_t i = 0; i < peer->config.pins_n; i++)
		if (str_cut(peer->config.pins[i], ':', &algorithm, &digest) && str_eq_nocase(algorithm, STR("sha256")) &&
			spki.n == 64 && str_eq_nocase(digest, spki))
			return true;
	return false;
}

static enum err_code start_tls(struct peer *peer, struct err *err)
{
	struct reply reply;
	peer->tls_failed = true; // until it has not
	if (!(peer->extensions & PEER_STARTTLS)) {
		peer->broken = true;
		return err_set(err, ERR_TLS, "it does not offer STARTTLS");
	}
	enum err_code code = peer_command(peer, STR("STARTTLS"), &reply, err);
	if (code == ERR_OK && reply.code != 220)
		code = unwelcome(peer, "STARTTLS", reply, err);
	if (code == ERR_OK)
		code = conn_tls_connect(peer->conn, peer->config.client, peer->config.host, err);
	if (code == ERR_OK && peer->config.tls == PEER_TLS_PINNED && !is_pinned(peer))
		code = err_set(err, ERR_TLS, "its key is none of the pins in the directory");
	if (code) {
		peer->broken = true;
		return code;
	}
	peer->tls_failed = false;
	return hello(peer, err); // what was said before is forgotten (RFC 3207 section 4.2)
}

enum err_code peer_greet(struct peer *peer, struct err *err)
{
	struct reply reply;
	enum err_code code = peer_read_reply(peer, peer->config.reply_ms, &reply, err);
	if (code == ERR_OK && reply.code != 220)
		code = unwelcome(peer, "greeting", reply, err);
	if (code == ERR_OK)
		code = hello(peer, err);
	if (code)
		return code;
	switch (peer->config.tls) {
	case PEER_TLS_NONE:
		return ERR_OK;
	case PEER_TLS_MAY:
		return peer->extensions & PEER_STARTTLS ? start_tls(peer, err) : ERR_OK;
	case PEER_TLS_MUST:
	case PEER_TLS_PINNED:
		return start_tls(peer, err);
	}
	unreachable("policy of TLS");
}

bool peer_tls_failed(const struct peer *peer)
{
	return peer->tls_failed;
}

bool peer_has_dsn(const struct peer *peer)
{
	return peer->extensions & PEER_DSN;
}

bool peer_has_key(const struct peer *peer)
{
	return peer->extensions & PEER_KEY;
}

bool peer_is_usable(const struct peer *peer)
{
	return !peer->broken && !peer->closing;
}

void peer_quit(struct peer **peer_in)
{
	struct peer *peer = *peer_in;
	if (peer == NULL)
		return;
	if (!peer->broken)
		conn_write(peer->conn, STR("QUIT\r\n"));
	conn_close(&peer->conn, peer->broken ? 0 : QUIT_LINGER_MS);
	reply_reader_fini(&peer->reader);
	free(peer);
	*peer_in = NULL;
}
