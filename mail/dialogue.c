// SPDX-License-Identifier: Apache-2.0
// A session of SMTP or LMTP: reads a line, checks its row of the table, calls the handler. mail/dialogue.h tells what can go
// wrong.
#include "mail/dialogue.h"

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "dialogue_private.h"

enum {
	NAME_BYTES_MAX = 4096, // of helo_arena
	LINGER_MS = 2000,      // for our last words
};

// From row to column: may a session go from this state to that one?
static const unsigned successors[] = {
	[DIALOGUE_CONNECTED] = DIALOGUE_BIT(DIALOGUE_CONNECTED) | DIALOGUE_BIT(DIALOGUE_READY) | DIALOGUE_BIT(DIALOGUE_ENDED),
	[DIALOGUE_READY] = DIALOGUE_BIT(DIALOGUE_CONNECTED) | DIALOGUE_BIT(DIALOGUE_READY) | DIALOGUE_BIT(DIALOGUE_IN_MAIL) |
		DIALOGUE_BIT(DIALOGUE_ENDED),
	[DIALOGUE_IN_MAIL] = DIALOGUE_BIT(DIALOGUE_READY) | DIALOGUE_BIT(DIALOGUE_IN_RCPT) | DIALOGUE_BIT(DIALOGUE_IN_BDAT) |
		DIALOGUE_BIT(DIALOGUE_ENDED),
	[DIALOGUE_IN_RCPT] = DIALOGUE_BIT(DIALOGUE_READY) | DIALOGUE_BIT(DIALOGUE_IN_RCPT) | DIALOGUE_BIT(DIALOGUE_IN_BDAT) |
		DIALOGUE_BIT(DIALOGUE_ENDED),
	[DIALOGUE_IN_BDAT] = DIALOGUE_BIT(DIALOGUE_READY) | DIALOGUE_BIT(DIALOGUE_ENDED),
	[DIALOGUE_ENDED] = DIALOGUE_BIT(DIALOGUE_ENDED),
};

void dialogue_enter(struct dialogue *d, enum dialogue_state state)
{
	must(successors[d->state] & DIALOGUE_BIT(state));
	d->state = state;
}

void dialogue_reset(struct dialogue *d)
{
	d->config.protocol->forget(d);
	arena_reset(d->txn.arena);
	d->txn = (struct dialogue_transaction){.arena = d->txn.arena};
	d->refused = d->told = false;
	if (d->state == DIALOGUE_IN_MAIL || d->state == DIALOGUE_IN_RCPT || d->state == DIALOGUE_IN_BDAT)
		dialogue_enter(d, DIALOGUE_READY);
}

// --- Replies ---

void dialogue_say(struct dialogue *d, struct reply reply)
{
	const struct dialogue_metrics *metrics = &d->config.protocol->metrics;
	struct buf wire;
	buf_init(&wire, 8 << 10);
	if (!reply_format(reply, &wire)) { // a text from the router or the queue that is too long
		buf_clear(&wire);
		reply.text = STR("(the explanation is too long for a reply)");
		must(reply_format(reply, &wire));
	}
	conn_write(d->conn, buf_str(&wire));
	buf_fini(&wire);
	if (reply.code >= 400) {
		d->errors += !d->config.protocol->forgives;
		metric_add(reply.code < 500 ? metrics->replies_4xx : metrics->replies_5xx, 1);
		log_debug(&d->who.log, "command refused", log_u64("code", (uint64_t)reply.code), log_str("text", reply.text));
	}
	if (reply.code == 421)
		dialogue_enter(d, DIALOGUE_ENDED);
}

void dialogue_say_id(struct dialogue *d, enum reply_id id)
{
	dialogue_say(d, reply_of(id));
}

// A refusal that even a protocol that forgives counts: what came was no command, or not now.
static void refuse_command(struct dialogue *d, struct reply why)
{
	dialogue_say(d, why);
	d->errors += d->config.protocol->forgives;
}

void dialogue_reading_failed(struct dialogue *d, enum err_code code)
{
	if (code == ERR_TIMEOUT)
		dialogue_say_id(d, REPLY_TIMEOUT);
	else if (code == ERR_CANCELLED)
		dialogue_say_id(d, REPLY_CLOSING);
	else
		dialogue_enter(d, DIALOGUE_ENDED); // the connection is gone
}

// --- Commands ---

static const struct dialogue_command *find(const struct dialogue_protocol *protocol, struct str verb)
{
	for (size_t i = 0; i < protocol->rows_n; i++)
		if (str_eq_nocase(protocol->rows[i].verb, verb))
			return &protocol->rows[i];
	return NULL;
}

// What the row demands; false: why_out is the reply.
static bool may_run(struct dialogue *d, const struct dialogue_command *row, struct str argument, struct reply *why_out)
{
	if (!d->config.protocol->may_run(d, row, why_out))
		return false;
	if (!(row->states & DIALOGUE_BIT(d->state)))
		*why_out = reply_of(REPLY_BAD_SEQUENCE);
	else if ((row->flags & DIALOGUE_NO_ARGUMENT) && argument.n)
		*why_out = reply_of(REPLY_SYNTAX);
	else
		return true;
	return false;
}

static void end_for_early_input(struct dialogue *d)
{
	metric_add(d->config.protocol->metrics.early, 1);
	log_warning(&d->who.log, "input before our reply: session ended");
	dialogue_say_id(d, REPLY_EARLY_TALKER);
	dialogue_enter(d, DIALOGUE_ENDED);
}

// What a browser that was made to talk to us says: its body must not be read as commands (THREATS http-on-25).
static bool is_forbidden(const struct dialogue *d, struct str verb)
{
	for (size_t i = 0; i < d->config.forbidden_n; i++)
		if (str_eq_nocase(d->config.forbidden[i], verb))
			return true;
	return false;
}

static void no_row(struct dialogue *d, struct str verb)
{
	const struct dialogue_metrics *metrics = &d->config.protocol->metrics;
	if (!is_forbidden(d, verb)) {
		metric_add(metrics->unknown, 1);
		refuse_command(d, reply_of(REPLY_UNKNOWN_COMMAND));
		return;
	}
	metric_add(metrics->forbidden, 1);
	log_warning(&d->who.log, "another protocol on a mail port: session ended", log_str("command", verb));
	dialogue_say_id(d, REPLY_FORBIDDEN_COMMAND);
	dialogue_enter(d, DIALOGUE_ENDED);
}

static void dispatch(struct dialogue *d, struct str line)
{
	struct smtp_command command;
	struct reply why;
	enum smtp_result result = smtp_command_parse(line, &command);
	if (result != SMTP_OK) {
		refuse_command(d, reply_of(smtp_reply(result)));
		return;
	}
	const struct dialogue_command *row = find(d->config.protocol, command.verb);
	if (row == NULL) {
		no_row(d, command.verb);
		return;
	}
	if (row->metric)
		metric_add(row->metric, 1);
	if ((row->flags & DIALOGUE_SYNCHRONISES) && conn_has_input(d->conn))
		end_for_early_input(d);
	else if (may_run(d, row, command.argument, &why))
		row->run(d, command.argument);
	else
		refuse_command(d, why);
}

// A whole command line, however slowly it drips, has this long (THREATS slow).
static int64_t line_ends_ms(const struct dialogue *d)
{
	int64_t ends_ms = clock_earlier(clock_after_ms(d->config.idle_ms), d->ends_ms);
	return d->state == DIALOGUE_IN_BDAT ? clock_earlier(ends_ms, d->message_ends_ms) : ends_ms;
}

// The next command line, or an empty one when it was answered already. False: the session is over.
static bool next_line(struct dialogue *d, struct str *line_out)
{
	enum conn_eol eol = CONN_CRLF;
	conn_set_deadline_ms(d->conn, line_ends_ms(d));
	enum err_code code = conn_next_line(d->conn, d->config.line_bytes_max, line_out, &eol, &d->err);
	conn_set_deadline_ms(d->conn, d->ends_ms);
	if (code == ERR_LIMIT) {
		refuse_command(d, reply_of(REPLY_LINE_TOO_LONG));
		*line_out = STR_NONE;
		return true;
	}
	if (code) {
		dialogue_reading_failed(d, code);
		return false;
	}
	if (eol == CONN_BARE_LF && d->config.newline == SMTP_NEWLINE_REJECT) {
		// What ends a line differently for us and for the server before us can hide a command in it.
		dialogue_say(d, (struct reply){.code = 521,
					.enhanced = STR("5.5.2"),
					.text = STR("bare <LF> received, lines must end with <CR><LF>")});
		return false;
	}
	return true;
}

// --- The session ---

bool dialogue_start_tls(struct dialogue *d)
{
	const struct dialogue_metrics *metrics = &d->config.protocol->metrics;
	size_t discarded = 0;
	conn_set_deadline_ms(d->conn, line_ends_ms(d));
	enum err_code code = session_start_tls(d->conn, d->config.tls, &d->who.log, &discarded, &d->err);
	if (code)
		metric_add(metrics->tls_failed, 1);
	if (discarded)
		metric_add(metrics->injected, 1);
	return code == ERR_OK;
}

// RFC 5321 section 3.1. A client that speaks first is no mail server (THREATS early-pipe).
static bool greet(struct dialogue *d)
{
	if (d->config.tls_at_start) {
		if (!dialogue_start_tls(d))
			return false;
	} else if (d->config.greet_pause_ms >= 0) {
		conn_wait(d->conn, FIBER_READABLE, clock_after_ms(d->config.greet_pause_ms));
		if (conn_has_input(d->conn)) {
			end_for_early_input(d);
			return false;
		}
	}
	if (d->config.refusal.code) {
		dialogue_say(d, d->config.refusal);
		return d->state != DIALOGUE_ENDED;
	}
	conn_printf(d->conn, "220 %.*s %s Posthouse\r\n", STR_FMT(d->config.hostname), d->config.protocol->name);
	return true;
}

static bool may_go_on(struct dialogue *d)
{
	if (d->state == DIALOGUE_ENDED)
		return false;
	if (d->errors >= d->config.errors_max)
		dialogue_say_id(d, REPLY_TOO_MANY_ERRORS);
	else if (clock_mono_ms() >= d->ends_ms)
		dialogue_say_id(d, REPLY_TIMEOUT);
	return d->state != DIALOGUE_ENDED;
}

void dialogue_run(struct dialogue *d)
{
	struct str line;
	if (!greet(d))
		return;
	while (may_go_on(d) && next_line(d, &line)) {
		fiber_shield_enter();
		if (line.p)
			dispatch(d, line);
		fiber_shield_leave();
	}
}

void dialogue_init(struct dialogue *d, struct conn *conn, const struct dialogue_config *config)
{
	d->conn = conn;
	d->config = *config;
	d->session = config->session;
	d->helo_arena = arena_new(NAME_BYTES_MAX);
	d->txn.arena = arena_new(config->transaction_bytes_max);
	d->ends_ms = clock_after_ms(config->session_ms);
	session_name_init(&d->who, conn);
	conn_set_idle_ms(conn, config->idle_ms);
	metric_add(config->protocol->metrics.sessions, 1);
	metric_add(config->protocol->metrics.open, 1);
}

void dialogue_fini(struct dialogue *d)
{
	dialogue_reset(d);
	metric_add(d->config.protocol->metrics.open, -1);
	log_debug(&d->who.log, "session ended", log_u64("bytes_in", conn_bytes_in(d->conn)), log_u64("errors", d->errors));
	conn_close(&d->conn, LINGER_MS);
	arena_free(&d->txn.arena);
	arena_free(&d->helo_arena);
}
