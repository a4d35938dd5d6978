// SPDX-License-Identifier: Apache-2.0
// An SMTP session from greeting to goodbye: reads a line, checks its row of the table, calls the handler.
//
// Runs on a fiber of its own, started by the listener (base/listen.h); smtp_server_serve() is its whole life. What can go wrong:
// - the peer goes away or is silent too long: the transaction is forgotten, nothing was promised;
// - we are told to stop: the command that runs is finished (the fiber is shielded meanwhile), then 421;
// - too many errors, or a session older than smtp_session_s: 421;
// - input where the client should have waited for our reply (RFC 2920 section 3.1), before the greeting or behind EHLO and DATA: what
//   comes then may have been put there by somebody else (request smuggling), so the session ends and none of it is run.
#include "smtp_session.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "base/random.h"
#include "smtp_metrics.h"

enum {
	COMMAND_BYTES_MAX = 2048,        // RFC 5321 section 4.5.3.1.4 asks for 512, ESMTP parameters add to it
	NAME_BYTES_MAX = 4096,           // arenas of helo and of login
	LINGER_MS = 2000,                // for our last words
};

// From row to column: may a session go from this state to that one?
static const unsigned successors[] = {
	[SMTP_CONNECTED] = SMTP_STATE_BIT(SMTP_CONNECTED) | SMTP_STATE_BIT(SMTP_READY) | SMTP_STATE_BIT(SMTP_ENDED),
	[SMTP_READY] = SMTP_STATE_BIT(SMTP_CONNECTED) | SMTP_STATE_BIT(SMTP_READY) | SMTP_STATE_BIT(SMTP_IN_MAIL) |
		SMTP_STATE_BIT(SMTP_ENDED),
	[SMTP_IN_MAIL] = SMTP_STATE_BIT(SMTP_READY) | SMTP_STATE_BIT(SMTP_IN_RCPT) | SMTP_STATE_BIT(SMTP_ENDED),
	[SMTP_IN_RCPT] = SMTP_STATE_BIT(SMTP_READY) | SMTP_STATE_BIT(SMTP_IN_RCPT) | SMTP_STATE_BIT(SMTP_ENDED),
	[SMTP_ENDED] = SMTP_STATE_BIT(SMTP_ENDED),
};

void smtp_enter(struct smtp_session *s, enum smtp_state state)
{
	must(successors[s->state] & SMTP_STATE_BIT(state));
	s->state = state;
}

void smtp_reset(struct smtp_session *s)
{
	arena_reset(s->txn.arena);
	s->txn = (struct smtp_transaction){.arena = s->txn.arena};
	if (s->state == SMTP_IN_MAIL || s->state == SMTP_IN_RCPT)
		smtp_enter(s, SMTP_READY);
}

bool smtp_is_submission(const struct smtp_session *s)
{
	return s->service->submission;
}

static bool is_trusted(const struct smtp_session *s)
{
	return settings_networks_have(&s->settings->trusted_networks, conn_peer(s->conn));
}

bool smtp_may_plaintext(const struct smtp_session *s)
{
	return conn_tls(s->conn) != NULL ||
		(s->settings->auth_plaintext == SETTINGS_AUTH_PLAINTEXT_TRUSTED && is_trusted(s));
}

static void count_reply(struct smtp_session *s, const struct reply *reply)
{
	if (reply->code < 400)
		return;
	s->errors++;
	metric_add(reply->code < 500 ? &metric_mta_smtp_replies_4xx : &metric_mta_smtp_replies_5xx, 1);
	log_debug(&s->log_session, "command refused", log_u64("code", (uint64_t)reply->code), log_str("text", reply->text));
}

void smtp_say(struct smtp_session *s, struct reply reply)
{
	struct buf wire;
	buf_init(&wire, 8 << 10);
	count_reply(s, &reply);
	if (!reply_format(reply, &wire)) { // a text from the router or the queue that is too long: the codes are what matters
		buf_clear(&wire);
		reply.text = STR("(the explanation is too long for a reply)");
		reply_format(reply, &wire);
	}
	conn_write(s->conn, buf_str(&wire));
	buf_fini(&wire);
	if (reply.code == 421)
		smtp_enter(s, SMTP_ENDED);
}

void smtp_say_id(struct smtp_session *s, enum reply_id id)
{
	smtp_say(s, reply_of(id));
}

// What the row demands; false when the reply was given here.
static bool may_run(struct smtp_session *s, const struct smtp_command_row *row, struct str argument)
{
	bool submission = smtp_is_submission(s);
	if ((row->flags & SMTP_ONLY_SUBMISSION) && !submission)
		smtp_say_id(s, REPLY_NOT_IMPLEMENTED);
	else if ((row->flags & SMTP_NEEDS_TLS) && submission && !smtp_may_plaintext(s))
		smtp_say_id(s, REPLY_TLS_REQUIRED);
	else if ((row->flags & SMTP_NEEDS_LOGIN) && submission && s->login.n == 0)
		smtp_say_id(s, REPLY_AUTH_REQUIRED);
	else if (!(row->states & SMTP_STATE_BIT(s->state)))
		smtp_say_id(s, REPLY_BAD_SEQUENCE);
	else if ((row->flags & SMTP_NO_ARGUMENT) && argument.n)
		smtp_say_id(s, REPLY_SYNTAX);
	else
		return true;
	return false;
}

static void end_for_early_input(struct smtp_session *s)
{
	metric_add(&metric_mta_smtp_early, 1);
	log_warning(&s->log_session, "input before our reply: session ended");
	smtp_say_id(s, REPLY_EARLY_TALKER);
	smtp_enter(s, SMTP_ENDED);
}

static void dispatch(struct smtp_session *s, struct str line)
{
	struct smtp_command command;
	enum smtp_result result = smtp_command_parse(line, &command);
	if (result != SMTP_OK) {
		smtp_say_id(s, smtp_reply(result));
		return;
	}
	const struct smtp_command_row *row = smtp_command_find(command.verb);
	if (row == NULL) {
		metric_add(&metric_mta_smtp_unknown, 1);
		smtp_say_id(s, REPLY_UNKNOWN_COMMAND);
		return;
	}
	metric_add(row->metric, 1);
	if ((row->flags & SMTP_SYNCHRONISES) && conn_has_input(s->conn)) {
		end_for_early_input(s);
		return;
	}
	if (may_run(s, row, command.argument))
		row->run(s, command.argument);
}

// The next command line. False when the session is over; what could still be said was said.
static bool next_line(struct smtp_session *s, struct str *line_out)
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
		smtp_say_id(s, REPLY_LINE_TOO_LONG);
		*line_out = STR_NONE;
		return true;
	case ERR_TIMEOUT:
		smtp_say_id(s, REPLY_TIMEOUT);
		return false;
	case ERR_CANCELLED:
		smtp_say_id(s, REPLY_CLOSING);
		return false;
	default: // the connection is gone
		return false;
	}
	if (eol == CONN_BARE_LF && s->settings->smtp_bare_newline == SETTINGS_BARE_NEWLINE_REJECT) {
		// What ends a line differently for us and for the server before us can hide a command in it.
		smtp_say(s, (struct reply){.code = 521, .enhanced = STR("5.5.2"), .text = STR("bare <LF> received, lines must end with <CR><LF>")});
		return false;
	}
	return true;
}

// RFC 5321 section 3.1. A client that speaks first is no mail server (THREATS early-pipe).
static bool greet(struct smtp_session *s)
{
	if (s->service->tls_at_start) {
		struct tls_server *tls = tls_slot_get(&s->server->tls);
		enum err_code code = tls ? conn_tls_accept(s->conn, tls, NULL, &s->err) : err_set(&s->err, ERR_TLS, "no tls_certificate is set");
		tls_server_drop(&tls);
		if (code) {
			log_info(&s->log_session, "TLS handshake failed", log_err(&s->err));
			return false;
		}
	} else if (!smtp_is_submission(s)) {
		conn_wait(s->conn, FIBER_READABLE, clock_after_ms(s->settings->smtp_greet_pause_ms));
		if (conn_has_input(s->conn)) {
			end_for_early_input(s);
			return false;
		}
	}
	conn_printf(s->conn, "220 %.*s ESMTP Posthouse\r\n", STR_FMT(s->settings->hostname));
	return true;
}

static bool may_go_on(struct smtp_session *s)
{
	if (s->state == SMTP_ENDED)
		return false;
	if ((int64_t)s->errors >= s->settings->smtp_errors_max)
		smtp_say_id(s, REPLY_TOO_MANY_ERRORS);
	else if (clock_mono_ms() >= s->ends_ms)
		smtp_say_id(s, REPLY_TIMEOUT);
	return s->state != SMTP_ENDED;
}

static void run(struct smtp_session *s)
{
	struct str line;
	if (!greet(s))
		return;
	while (may_go_on(s) && next_line(s, &line)) {
		fiber_shield_enter();
		if (line.p)
			dispatch(s, line);
		fiber_shield_leave();
	}
}

static void name_session(struct smtp_session *s)
{
	uint8_t random[4];
	random_bytes(random, sizeof random);
	snprintf(s->id, sizeof s->id, "%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
	netaddr_text(conn_peer(s->conn), s->peer);
	s->log_peer = (struct log_context){.parent = NULL, .name = "peer", .value = str_of_c(s->peer)};
	s->log_session = (struct log_context){.parent = &s->log_peer, .name = "session", .value = str_of_c(s->id)};
}

void smtp_server_serve(struct conn *conn, void *arg)
{
	const struct smtp_service *service = arg;
	struct smtp_session *s = calloc(1, sizeof *s); // not on the stack: an idle session keeps its stack page small
	must(s != NULL);
	s->conn = conn;
	s->service = service;
	s->server = service->server;
	s->snapshot = s->server->settings_get(s->server->arg);
	s->settings = settings_of(s->snapshot);
	s->helo_arena = arena_new(NAME_BYTES_MAX);
	s->login_arena = arena_new(NAME_BYTES_MAX);
	s->txn.arena = arena_new(smtp_transaction_bytes_max(s->settings));
	s->ends_ms = clock_mono_ms() + s->settings->smtp_session_s * 1000;
	name_session(s);
	conn_set_idle_ms(conn, s->settings->smtp_idle_s * 1000);
	metric_add(&metric_mta_smtp_sessions, 1);
	metric_add(&metric_mta_smtp_sessions_open, 1);

	run(s);

	metric_add(&metric_mta_smtp_sessions_open, -1);
	log_debug(&s->log_session, "session ended", log_u64("bytes_in", conn_bytes_in(s->conn)), log_u64("errors", s->errors));
	conn_close(&s->conn, LINGER_MS);
	arena_free(&s->txn.arena);
	arena_free(&s->login_arena);
	arena_free(&s->helo_arena);
	settings_unref(&s->snapshot);
	free(s);
}
