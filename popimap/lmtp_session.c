// SPDX-License-Identifier: Apache-2.0
// An LMTP session from greeting to goodbye: reads a line, checks its row of the table, calls the handler.
//
// A peer that goes away or is silent too long leaves nothing behind: nothing was promised. A stop lets the command that runs finish, DATA
// with its replies included.
#include "lmtp_session.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "popimap_metrics.h"

enum {
	COMMAND_BYTES_MAX = 4096, // MAIL and RCPT with keys
	RECIPIENT_BYTES = 4096,   // of memory, for the longest address with its key
	TRANSACTION_BYTES = 64 << 10,
	FRONT_END_BYTES = 128 << 10, // Received, Authentication-Results and the like
	LINGER_MS = 2000,
};

static const unsigned successors[] = {
	[LMTP_CONNECTED] = LMTP_STATE_BIT(LMTP_CONNECTED) | LMTP_STATE_BIT(LMTP_READY) | LMTP_STATE_BIT(LMTP_ENDED),
	[LMTP_READY] =
		LMTP_STATE_BIT(LMTP_CONNECTED) | LMTP_STATE_BIT(LMTP_READY) | LMTP_STATE_BIT(LMTP_IN_MAIL) | LMTP_STATE_BIT(LMTP_ENDED),
	[LMTP_IN_MAIL] = LMTP_STATE_BIT(LMTP_READY) | LMTP_STATE_BIT(LMTP_IN_RCPT) | LMTP_STATE_BIT(LMTP_ENDED),
	[LMTP_IN_RCPT] = LMTP_STATE_BIT(LMTP_READY) | LMTP_STATE_BIT(LMTP_IN_RCPT) | LMTP_STATE_BIT(LMTP_ENDED),
	[LMTP_ENDED] = LMTP_STATE_BIT(LMTP_ENDED),
};

void lmtp_enter(struct lmtp_session *s, enum lmtp_state state)
{
	must(successors[s->state] & LMTP_STATE_BIT(state));
	s->state = state;
}

void lmtp_reset(struct lmtp_session *s)
{
	arena_reset(s->txn.arena);
	s->txn = (struct lmtp_transaction){.arena = s->txn.arena};
	if (s->state == LMTP_IN_MAIL || s->state == LMTP_IN_RCPT)
		lmtp_enter(s, LMTP_READY);
}

uint64_t lmtp_bytes_max(const struct settings *settings)
{
	return (uint64_t)settings->message_size_max + FRONT_END_BYTES;
}

void lmtp_say(struct lmtp_session *s, struct reply reply)
{
	struct buf wire;
	buf_init(&wire, 8 << 10);
	must(reply_format(reply, &wire)); // texts here are short literals
	conn_write(s->conn, buf_str(&wire));
	buf_fini(&wire);
	if (reply.code >= 400) {
		metric_add(&metric_popimap_lmtp_refused, 1);
		log_debug(&s->log, "command refused", log_u64("code", (uint64_t)reply.code), log_str("text", reply.text));
	}
	if (reply.code == 421)
		lmtp_enter(s, LMTP_ENDED);
}

void lmtp_say_id(struct lmtp_session *s, enum reply_id id)
{
	lmtp_say(s, reply_of(id));
}

static bool is_trusted(const struct lmtp_session *s)
{
	return s->peer_kind == LMTP_NODE || settings_networks_have(&s->settings->lmtp_networks, conn_peer(s->conn));
}

// What the row demands; false when the reply was given here.
static bool may_run(struct lmtp_session *s, const struct lmtp_command_row *row, struct str argument)
{
	if (!(row->states & LMTP_STATE_BIT(s->state)))
		lmtp_say_id(s, REPLY_BAD_SEQUENCE);
	else if ((row->flags & LMTP_NO_ARGUMENT) && argument.n)
		lmtp_say_id(s, REPLY_SYNTAX);
	else if ((row->flags & LMTP_TRUSTED) && !is_trusted(s))
		lmtp_say(s, s->peer_kind == LMTP_UNSURE ? reply_of(REPLY_DEFERRED) :
							  reply_with(REPLY_TLS_REQUIRED, STR("STARTTLS with the certificate of a node is required")));
	else
		return true;
	return false;
}

static void dispatch(struct lmtp_session *s, struct str line)
{
	struct smtp_command command;
	enum smtp_result result = smtp_command_parse(line, &command);
	const struct lmtp_command_row *row = result == SMTP_OK ? lmtp_command_find(command.verb) : NULL;
	if (result != SMTP_OK) {
		lmtp_say_id(s, smtp_reply(result));
	} else if (row == NULL) {
		lmtp_say_id(s, REPLY_UNKNOWN_COMMAND);
	} else if ((row->flags & LMTP_SYNCHRONISES) && conn_has_input(s->conn)) {
		log_warning(&s->log, "input before our reply: session ended");
		lmtp_say_id(s, REPLY_EARLY_TALKER);
		lmtp_enter(s, LMTP_ENDED);
	} else if (may_run(s, row, command.argument)) {
		row->run(s, command.argument);
		return;
	}
	s->errors++;
}

// The next command line; false when the session is over. A line that is too long was answered: line_out is then empty.
static bool next_line(struct lmtp_session *s, struct str *line_out)
{
	enum conn_eol eol = CONN_CRLF;
	enum err_code code = ERR_OK;
	if (!conn_has_input(s->conn)) {
		code = conn_flush(s->conn, &s->err);
		conn_idle(s->conn);
	}
	if (code == ERR_OK)
		code = conn_read_line(s->conn, COMMAND_BYTES_MAX, line_out, &eol, &s->err);
	switch (code) {
	case ERR_OK:
		break;
	case ERR_LIMIT:
		lmtp_say_id(s, REPLY_LINE_TOO_LONG);
		s->errors++;
		*line_out = STR_NONE;
		return true;
	case ERR_TIMEOUT:
		lmtp_say_id(s, REPLY_TIMEOUT);
		return false;
	case ERR_CANCELLED:
		lmtp_say_id(s, REPLY_CLOSING);
		return false;
	default: // the connection is gone
		return false;
	}
	if (eol == CONN_BARE_LF && s->settings->smtp_bare_newline == SETTINGS_BARE_NEWLINE_REJECT) {
		lmtp_say(s, (struct reply){.code = 521, .enhanced = STR("5.5.2"), .text = STR("bare <LF> received, lines must end with <CR><LF>")});
		return false;
	}
	return true;
}

static void run(struct lmtp_session *s)
{
	struct str line;
	conn_printf(s->conn, "220 %.*s LMTP Posthouse\r\n", STR_FMT(s->settings->hostname));
	while (s->state != LMTP_ENDED && next_line(s, &line)) {
		fiber_shield_enter();
		if (line.p)
			dispatch(s, line);
		fiber_shield_leave();
		if (s->state != LMTP_ENDED && (int64_t)s->errors >= s->settings->smtp_errors_max)
			lmtp_say_id(s, REPLY_TOO_MANY_ERRORS);
	}
}

void lmtp_serve(struct conn *conn, void *arg)
{
	struct lmtp_service *service = arg;
	struct lmtp_session *s = calloc(1, sizeof *s);
	must(s != NULL);
	s->conn = conn;
	s->service = service;
	s->snapshot = service->popimap->settings_get(service->popimap->arg);
	s->settings = settings_of(s->snapshot);
	s->txn.arena = arena_new(TRANSACTION_BYTES + (size_t)s->settings->recipients_max * RECIPIENT_BYTES);
	popimap_session_name(s->id);
	netaddr_text(conn_peer(conn), s->peer);
	s->log_peer = (struct log_context){.name = "peer", .value = str_of_c(s->peer)};
	s->log = (struct log_context){.parent = &s->log_peer, .name = "session", .value = str_of_c(s->id)};
	conn_set_idle_ms(conn, s->settings->lmtp_idle_s * 1000);
	metric_add(&metric_popimap_lmtp_sessions, 1);
	metric_add(&metric_popimap_lmtp_sessions_open, 1);

	run(s);

	metric_add(&metric_popimap_lmtp_sessions_open, -1);
	conn_close(&s->conn, LINGER_MS);
	arena_free(&s->txn.arena);
	settings_unref(&s->snapshot);
	free(s);
}
