// SPDX-License-Identifier: Apache-2.0
// The client's side of SMTP, as small as a queue of ours needs it: one recipient a message, no pipelining.
#include "handover.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "mail/smtp_data.h"
#include "schema/local_socket.h"

enum { COMMAND_BYTES_MAX = 4096, REPLY_SHOWN_BYTES = 300, QUIT_LINGER_MS = 500 };

struct handover {
	struct conn *conn; // owned
	struct handover_config config;
	struct reply_reader reader;
	bool utf8;         // SMTPUTF8 was offered
	bool key;          // XPHKEY
	bool starttls;
	bool broken;
	bool doubt;        // the message is out
	struct str said;   // borrowed from reader
};

static enum err_code read_reply(struct handover *h, struct reply *reply_out, struct err *err)
{
	conn_set_idle_ms(h->conn, h->config.reply_ms);
	for (;;) {
		struct str line;
		enum conn_eol eol;
		enum err_code code = conn_read_line(h->conn, REPLY_LINE_BYTES_MAX, &line, &eol, err);
		if (code) {
			h->broken = true;
			return code;
		}
		switch (reply_reader_line(&h->reader, line)) {
		case REPLY_READ_MORE:
			break;
		case REPLY_READ_DONE:
			*reply_out = reply_reader_reply(&h->reader);
			h->broken = h->broken || reply_out->code == 421;
			return ERR_OK;
		case REPLY_READ_BAD:
			h->broken = true;
			return err_set(err, ERR_PROTOCOL, "not a reply: %.*s", STR_FMT(str_upto(line, REPLY_SHOWN_BYTES)));
		}
	}
}

// Sends what the caller has written and its line end; the reply.
static enum err_code ask(struct handover *h, struct reply *reply_out, struct err *err)
{
	conn_write(h->conn, STR("\r\n"));
	enum err_code code = conn_flush(h->conn, err);
	h->broken = h->broken || code;
	return code ? code : read_reply(h, reply_out, err);
}

static enum err_code said(const struct reply *reply, enum err_code code, const char *to, struct err *err)
{
	return err_set(err, code, "%s: %d %.*s %.*s", to, reply->code, STR_FMT(reply->enhanced),
		STR_FMT(str_upto(reply->text, REPLY_SHOWN_BYTES)));
}

static enum err_code hello(struct handover *h, struct err *err)
{
	struct reply reply;
	conn_printf(h->conn, "EHLO %.*s", STR_FMT(h->config.hostname));
	enum err_code code = ask(h, &reply, err);
	if (code == ERR_OK && !reply_is_positive(&reply))
		code = said(&reply, ERR_BUSY, "EHLO", err);
	if (code == ERR_OK) {
		h->utf8 = reply_has_keyword(reply, STR("SMTPUTF8"), NULL);
		h->key = reply_has_keyword(reply, STR("XPHKEY"), NULL);
		h->starttls = reply_has_keyword(reply, STR("STARTTLS"), NULL);
	}
	return code;
}

static enum err_code start_tls(struct handover *h, struct err *err)
{
	struct reply reply;
	conn_write(h->conn, STR("STARTTLS"));
	enum err_code code = ask(h, &reply, err);
	if (code == ERR_OK && reply.code != 220)
		code = said(&reply, ERR_BUSY, "STARTTLS", err);
	if (code == ERR_OK)
		code = conn_tls_connect(h->conn, h->config.tls, h->config.host, err);
	return code ? code : hello(h, err);
}

enum err_code handover_over(struct conn **conn, const struct handover_config *config, struct handover **handover_out,
	struct err *err)
{
	struct reply reply;
	struct handover *h = calloc(1, sizeof *h);
	must(h != NULL);
	*h = (struct handover){.conn = *conn, .config = *config};
	*conn = NULL;
	reply_reader_init(&h->reader);
	enum err_code code = read_reply(h, &reply, err);
	if (code == ERR_OK && reply.code != 220)
		code = said(&reply, ERR_BUSY, "greeting", err);
	if (code == ERR_OK)
		code = hello(h, err);
	if (code == ERR_OK && h->starttls && config->tls)
		code = start_tls(h, err);
	if (code == ERR_OK) {
		*handover_out = h;
		return ERR_OK;
	}
	h->broken = true;
	handover_close(&h);
	return code;
}

static enum err_code connect_local(const struct handover_config *config, struct conn **conn_out, struct err *err)
{
	struct conn *conn;
	enum err_code code = conn_connect_unix(config->local, clock_after_ms(config->connect_ms), &conn, err);
	if (code)
		return code;
	if (local_socket_is_ours(conn)) {
		*conn_out = conn;
		return ERR_OK;
	}
	conn_close(&conn, 0);
	return err_set(err, ERR_DENIED, "%.*s is not ours", STR_FMT(config->local));
}

enum err_code handover_open(const struct handover_config *config, struct handover **handover_out, struct err *err)
{
	struct conn *conn;
	enum err_code code = config->local.n ? connect_local(config, &conn, err) :
		conn_connect_host(config->resolver, config->host, config->port, clock_after_ms(config->connect_ms), &conn, err);
	return code ? code : handover_over(&conn, config, handover_out, err);
}

void handover_close(struct handover **handover)
{
	struct handover *h = *handover;
	*handover = NULL;
	if (h == NULL)
		return;
	if (!h->broken)
		conn_write(h->conn, STR("QUIT\r\n"));
	conn_close(&h->conn, h->broken ? 0 : QUIT_LINGER_MS);
	reply_reader_fini(&h->reader);
	free(h);
}

// --- A message ---

// A queue that wants no message at all, whatever is in it: none of them is lost for that.
static void check_welcome(struct handover *h, enum err_code code, const struct reply *reply)
{
	h->broken = h->broken || (code == ERR_OK && !reply_is_positive(reply));
}

static enum handover_outcome outcome_of(struct handover *h, enum err_code code, const struct reply *reply, const char *to,
	struct err *err)
{
	if (code)
		return HANDOVER_BROKEN;
	said(reply, ERR_BUSY, to, err);
	if (h->broken)
		return HANDOVER_BROKEN;
	return reply_is_permanent(reply) ? HANDOVER_REFUSED : HANDOVER_LATER;
}

// A front-end elsewhere that does not let this node relay says so at RCPT and means the node, not the recipient: that can be
// mended (relay_networks), and the message waits. With a status it is 5.7.x; Exim and others say 550 without one, for this and
// for somebody whom they do not know: a reply to nobody waits for a day then. Ours lets us always.
static enum handover_outcome outcome_of_rcpt(struct handover *h, enum err_code code, const struct reply *reply, struct err *err)
{
	enum handover_outcome outcome = outcome_of(h, code, reply, "RCPT", err);
	bool policy = outcome == HANDOVER_REFUSED &&
	              (reply->enhanced.n == 0 || str_starts(reply->enhanced, STR("5.7."))); // RFC 3463 section 3.8
	return policy && h->config.local.n == 0 ? HANDOVER_LATER : outcome;
}

// The envelope is given up.
static enum handover_outcome reset(struct handover *h, enum handover_outcome outcome)
{
	struct reply reply;
	struct err ignored;
	if (outcome == HANDOVER_BROKEN)
		return outcome;
	conn_write(h->conn, STR("RSET"));
	if (ask(h, &reply, &ignored) == ERR_OK && !reply_is_positive(&reply))
		h->broken = true;
	return outcome;
}

static bool write_envelope(struct handover *h, const struct outbox_data *data, struct buf *mail, struct buf *rcpt)
{
	unsigned parameters = (data->mail.smtputf8 && h->utf8 ? SMTP_PARAM_UTF8 : 0u) | (h->key ? SMTP_PARAM_KEY : 0u);
	return smtp_mail_format(&data->mail, parameters, mail) && smtp_rcpt_format(&data->rcpt, parameters, rcpt);
}

// The whole of it: bounded by OUTBOX_DATA_BYTES_MAX.
static enum err_code write_message(struct handover *h, struct str message, struct err *err)
{
	struct buf out;
	struct smtp_data_encoder encoder;
	buf_init(&out, 3 * message.n + 16);
	smtp_data_encoder_init(&encoder, 0);
	must(smtp_data_encode(&encoder, message, &out) && smtp_data_encode_end(&encoder, &out));
	conn_write(h->conn, buf_str(&out));
	buf_fini(&out);
	enum err_code code = conn_flush(h->conn, err);
	h->broken = h->broken || code;
	return code;
}

static enum handover_outcome send_data(struct handover *h, struct str message, struct err *err)
{
	struct reply reply = {0};
	conn_write(h->conn, STR("DATA"));
	enum err_code code = ask(h, &reply, err);
	if (code || reply.code != 354)
		return reset(h, outcome_of(h, code, &reply, "DATA", err));
	h->doubt = true;
	code = write_message(h, message, err);
	if (code == ERR_OK)
		code = read_reply(h, &reply, err);
	h->doubt = code != ERR_OK;
	h->said = reply.text;
	return code == ERR_OK && reply_is_positive(&reply) ? HANDOVER_TAKEN : outcome_of(h, code, &reply, "end of data", err);
}

static enum handover_outcome send_rcpt(struct handover *h, struct str message, struct str rcpt, struct err *err)
{
	struct reply reply = {0};
	conn_printf(h->conn, "RCPT %.*s", STR_FMT(rcpt));
	enum err_code code = ask(h, &reply, err);
	return code == ERR_OK && reply_is_positive(&reply) ? send_data(h, message, err)
							   : reset(h, outcome_of_rcpt(h, code, &reply, err));
}

bool handover_in_doubt(const struct handover *h)
{
	return h->doubt;
}

struct str handover_said(const struct handover *h)
{
	return h->said;
}

enum handover_outcome handover_send(struct handover *h, const struct outbox_data *data, struct err *err)
{
	struct reply reply = {0};
	struct buf mail, rcpt;
	enum handover_outcome outcome = HANDOVER_REFUSED;
	h->said = STR_NONE;
	h->doubt = false;
	if (h->broken) {
		err_set(err, ERR_CLOSED, "the connection is broken");
		return HANDOVER_BROKEN;
	}
	buf_init(&mail, COMMAND_BYTES_MAX);
	buf_init(&rcpt, COMMAND_BYTES_MAX);
	if (!write_envelope(h, data, &mail, &rcpt)) {
		err_set(err, ERR_UNSUPPORTED, "an address needs SMTPUTF8, which the queue does not offer");
	} else {
		conn_printf(h->conn, "MAIL %.*s", STR_FMT(buf_str(&mail)));
		enum err_code code = ask(h, &reply, err);
		check_welcome(h, code, &reply);
		outcome = code == ERR_OK && reply_is_positive(&reply) ? send_rcpt(h, data->message, buf_str(&rcpt), err)
								      : reset(h, outcome_of(h, code, &reply, "MAIL", err));
	}
	buf_fini(&mail);
	buf_fini(&rcpt);
	return outcome;
}
