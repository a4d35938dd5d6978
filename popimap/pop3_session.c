// SPDX-License-Identifier: Apache-2.0
// A POP3 session from greeting to goodbye: reads a line, checks its row of the table, calls the handler.
//
// Runs on a fiber of its own; pop3_serve() is its whole life. A session that ends in any other way than QUIT (the client goes
// away, is silent for pop3_idle_s, we are told to stop) removes nothing and says nothing more (RFC 1939 section 3).
#include "pop3_session.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "crowd.h"
#include "popimap_metrics.h"

enum {
	LINE_BYTES_MAX = SASL_LINE_BYTES_MAX + 64, // RFC 2449 asks for 255; AUTH may carry its initial response
	BAD_IN_A_ROW_MAX = 20,
	LINGER_MS = 2000,
};

// From row to column: may a session go from this state to that one?
static const unsigned successors[] = {
	[POP3_AUTHORIZATION] = POP3_STATE_BIT(POP3_TRANSACTION) | POP3_STATE_BIT(POP3_ENDED),
	[POP3_TRANSACTION] = POP3_STATE_BIT(POP3_ENDED),
	[POP3_ENDED] = POP3_STATE_BIT(POP3_ENDED),
};

void pop3_enter(struct pop3_session *s, enum pop3_state state)
{
	must(successors[s->state] & POP3_STATE_BIT(state));
	s->state = state;
}

void pop3_ok(struct pop3_session *s, const char *text)
{
	s->bad_in_a_row = 0;
	conn_printf(s->conn, "+OK %s\r\n", text);
}

void pop3_err(struct pop3_session *s, const char *text)
{
	s->bad_in_a_row++;
	conn_printf(s->conn, "-ERR %s\r\n", text);
}

static bool may_run(struct pop3_session *s, const struct pop3_command_row *row, struct str argument)
{
	if (row == NULL)
		pop3_err(s, "unknown command");
	else if (!(row->states & POP3_STATE_BIT(s->state)))
		pop3_err(s, s->state == POP3_AUTHORIZATION ? "log in first" : "not now");
	else if (row->argument == POP3_NO_ARGUMENT && argument.n)
		pop3_err(s, "no argument here");
	else if (row->argument == POP3_MUST_ARGUMENT && argument.n == 0)
		pop3_err(s, "an argument is missing");
	else
		return true;
	return false;
}

static void dispatch(struct pop3_session *s, struct str line)
{
	struct str name = line, argument = STR_NONE;
	str_cut(line, ' ', &name, &argument);
	const struct pop3_command_row *row = pop3_command_find(name);
	metric_add(&metric_popimap_pop3_commands, 1);
	if (str_index(line, '\0') >= 0)
		pop3_err(s, "NUL in a command");
	else if (may_run(s, row, argument))
		row->run(s, argument);
}

// The next command line. False when the session is over.
static bool next_line(struct pop3_session *s, struct str *line_out)
{
	enum conn_eol eol;
	enum err_code code = conn_next_line(s->conn, LINE_BYTES_MAX, line_out, &eol, &s->err);
	if (code == ERR_LIMIT) {
		pop3_err(s, "line too long");
		*line_out = STR_NONE;
		return true;
	}
	return code == ERR_OK;
}

static bool may_go_on(struct pop3_session *s)
{
	if (s->state == POP3_AUTHORIZATION && (int64_t)s->auth_failures >= s->settings->auth_failures_max)
		return false;
	return s->state != POP3_ENDED && s->bad_in_a_row < BAD_IN_A_ROW_MAX;
}

static void run(struct pop3_session *s)
{
	struct str line;
	if (s->service->tls_at_start && popimap_start_tls(s->popimap, s->conn, &s->who.log, &s->err))
		return;
	conn_printf(s->conn, "+OK %.*s Posthouse ready\r\n", STR_FMT(s->settings->hostname));
	while (may_go_on(s) && next_line(s, &line)) {
		enum pop3_state before = s->state;
		fiber_shield_enter();
		if (line.p)
			dispatch(s, line);
		fiber_shield_leave();
		if (before == POP3_AUTHORIZATION && s->state == POP3_TRANSACTION) {
			conn_set_deadline_ms(s->conn, CLOCK_NEVER);
			conn_set_idle_ms(s->conn, s->settings->pop3_idle_s * 1000);
		}
	}
}

void pop3_serve(struct conn *conn, void *arg)
{
	const struct popimap_service *service = arg;
	struct popimap *popimap = service->popimap;
	// On the stack, in the page that an idle fiber keeps anyhow (base/fiber.h).
	struct pop3_session session = {.conn = conn,
				    .service = service,
				    .popimap = popimap,
				    .snapshot = popimap->settings_get(popimap->arg)},
			    *s = &session;
	s->settings = settings_of(s->snapshot);
	session_name_init(&s->who, conn);
	s->log_login = (struct log_context){.parent = &s->who.log, .name = "login"};
	conn_set_deadline_ms(conn, clock_after_ms(s->settings->imap_login_s * 1000)); // until the log-in
	metric_add(&metric_popimap_pop3_sessions, 1);
	metric_add(&metric_popimap_pop3_sessions_open, 1);

	run(s);

	metric_add(&metric_popimap_pop3_sessions_open, -1);
	log_debug(&s->log_login, "session ended", log_u64("bytes_in", conn_bytes_in(s->conn)),
		log_u64("bytes_out", conn_bytes_out(s->conn)));
	crowd_leave(&s->seat);
	mailbox_close(&s->mailbox); // the lock goes with it, before the client can come again
	conn_close(&s->conn, LINGER_MS);
	arena_free(&s->ahead.arena);
	free(s->messages);
	settings_unref(&s->snapshot);
}
