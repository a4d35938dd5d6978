// SPDX-License-Identifier: Apache-2.0
// An IMAP session from greeting to goodbye: reads a command, checks its row of the table, calls the handler, tells what changed,
// answers.
//
// Runs on a fiber of its own, started by the listener (base/listen.h); imap_serve() is its whole life. What can go wrong:
// - the client goes away: what was committed stays, nothing else was promised;
// - it is silent for imap_idle_s (30 minutes): BYE (RFC 3501 section 5.4);
// - we are told to stop: the command that runs is finished, literals included (the fiber is shielded meanwhile), then BYE
//   (PROTOCOLS 18);
// - a line or a literal that we will not take: refused as mail/imap_read.h describes, or BYE when the place in the stream is
//   lost;
// - too many failed log-ins, or too many commands in a row that are none: BYE.
#include "imap_session.h"

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "crowd.h"
#include "popimap_metrics.h"

enum {
	STRANGER_BYTES_MAX = 16 << 10,  // of a command before the log-in
	COMMAND_BYTES_MAX = 192 << 10,  // after it: a line of 64 KiB (PROTOCOLS 21) and literals
	COMMAND_ARENA_BYTES_MAX = 128 << 20, // numbers of a folder with millions of messages
	STRANGER_ARENA_BYTES_MAX = 1 << 20,
	BAD_IN_A_ROW_MAX = 20,
	LINGER_MS = 2000,
	LITERAL_CHUNK_BYTES = 16 << 10,
};

// From row to column: may a session go from this state to that one?
static const unsigned successors[] = {
	[IMAP_STRANGER] = IMAP_STATE_BIT(IMAP_STRANGER) | IMAP_STATE_BIT(IMAP_USER) | IMAP_STATE_BIT(IMAP_ENDED),
	[IMAP_USER] = IMAP_STATE_BIT(IMAP_USER) | IMAP_STATE_BIT(IMAP_SELECTED) | IMAP_STATE_BIT(IMAP_ENDED),
	[IMAP_SELECTED] = IMAP_STATE_BIT(IMAP_USER) | IMAP_STATE_BIT(IMAP_ENDED),
	[IMAP_ENDED] = IMAP_STATE_BIT(IMAP_ENDED),
};

static void set_limits(struct imap_session *s)
{
	bool stranger = s->state == IMAP_STRANGER;
	const struct imap_read_limits limits = {
		.text_bytes_max = stranger ? STRANGER_BYTES_MAX : COMMAND_BYTES_MAX,
		.skip_bytes_max = stranger ? STRANGER_BYTES_MAX : (uint64_t)s->settings->imap_literal_max,
	};
	imap_read_fini(&s->read);
	imap_read_init(&s->read, &limits);
}

void imap_enter(struct imap_session *s, enum imap_state state)
{
	must(successors[s->state] & IMAP_STATE_BIT(state));
	if (s->state == IMAP_SELECTED)
		imap_folder_free(&s->folder);
	must((state == IMAP_SELECTED) == (s->folder != NULL));
	s->state = state;
}

struct imap_result imap_bad(const struct imap_command *c, const char *text)
{
	return (struct imap_result){.status = IMAP_BAD, .text = c->p.error ? c->p.error : text};
}

struct imap_result imap_failed(struct imap_session *s, enum err_code code, const char *text)
{
	if (err_is_temporary(code))
		log_warning(&s->log_login, "command failed", log_c("command", text), log_err(&s->err));
	return imap_no(imap_code_of_err(code), text);
}

static struct str code_of(const struct imap_result *result)
{
	return result->code_text.n ? result->code_text : imap_code_text(result->code);
}

void imap_say(struct imap_session *s, struct str tag, const struct imap_result *result)
{
	struct str code = code_of(result);
	s->bad_in_a_row = result->status == IMAP_BAD ? s->bad_in_a_row + 1 : 0;
	conn_write(s->conn, tag);
	conn_printf(s->conn, " %s ", imap_status_text(result->status));
	if (code.n) {
		conn_write(s->conn, STR("["));
		conn_write(s->conn, code);
		conn_write(s->conn, STR("] "));
	}
	conn_printf(s->conn, "%s\r\n", result->text);
}

void imap_bye(struct imap_session *s, enum imap_code code, const char *text)
{
	if (s->state == IMAP_ENDED)
		return;
	const struct imap_result bye = {.status = IMAP_BYE, .code = code, .text = text};
	imap_say(s, STR("*"), &bye);
	imap_enter(s, IMAP_ENDED);
}

void imap_capabilities(const struct imap_session *s, struct buf *b)
{
	bool may_plaintext = popimap_may_plaintext(s->settings, s->conn);
	buf_add(b, STR("CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE"));
	if (s->state == IMAP_STRANGER) {
		struct str mechanisms = sasl_mechanisms(may_plaintext ? SASL_PLAINTEXT_OK : 0), one;
		if (conn_tls(s->conn) == NULL && tls_slot_is_set(&s->popimap->tls))
			buf_add(b, STR(" STARTTLS"));
		if (!may_plaintext)
			buf_add(b, STR(" LOGINDISABLED"));
		while (mechanisms.n) {
			if (!str_cut(mechanisms, ' ', &one, &mechanisms)) {
				one = mechanisms;
				mechanisms = STR_NONE;
			}
			buf_add(b, STR(" AUTH="));
			buf_add(b, one);
		}
		return;
	}
	buf_add(b, STR(" IDLE NAMESPACE CHILDREN UIDPLUS UNSELECT MOVE SPECIAL-USE"));
}

bool imap_tell(struct imap_session *s, struct arena *arena, const struct imap_own *own, bool gone, bool uid)
{
	bool deleted = false;
	if (s->state != IMAP_SELECTED || !imap_folder_has_news(s->folder, gone))
		return true;
	if (imap_folder_sync(s->folder, s->conn, arena, own, gone, uid, &deleted, &s->err)) {
		log_warning(&s->log_login, "cannot tell what changed", log_err(&s->err));
		return true; // the next command tries again
	}
	if (deleted)
		imap_bye(s, IMAP_CODE_NONE, "the selected mailbox was deleted");
	return !deleted;
}

// --- Reading ---

// Answers a failure to read. The connection can still be written after a timeout and a cancel.
void imap_reading_failed(struct imap_session *s, enum err_code code)
{
	if (code == ERR_TIMEOUT)
		imap_bye(s, IMAP_CODE_NONE, "autologout, idle for too long");
	else if (code == ERR_CANCELLED)
		imap_bye(s, IMAP_CODE_UNAVAILABLE, "server is stopping");
	else if (code == ERR_LIMIT)
		// Its end is lost, and with it whether a literal follows that must not be read as commands.
		imap_bye(s, IMAP_CODE_NONE, "line too long");
	else if (s->state != IMAP_ENDED)
		imap_enter(s, IMAP_ENDED);
}

static size_t line_bytes_max(const struct imap_session *s)
{
	return s->state == IMAP_STRANGER ? (size_t)STRANGER_BYTES_MAX : (size_t)CONN_LINE_BYTES_MAX;
}

enum err_code imap_read_more(struct imap_session *s, struct str *line_out)
{
	enum conn_eol eol;
	enum err_code code = conn_read_line(s->conn, line_bytes_max(s), line_out, &eol, &s->err);
	if (code)
		imap_reading_failed(s, code);
	return code;
}

static enum err_code skip_literal(struct imap_session *s)
{
	struct str chunk;
	for (uint64_t left = s->read.literal.n; left; left -= chunk.n) {
		size_t want = left < LITERAL_CHUNK_BYTES ? (size_t)left : LITERAL_CHUNK_BYTES;
		enum err_code code = conn_read_some(s->conn, want, &chunk, &s->err);
		if (code)
			return code;
	}
	return ERR_OK;
}

static enum err_code keep_literal(struct imap_session *s)
{
	enum err_code code = ERR_OK;
	if (s->read.literal.waits) {
		s->read.literal.waits = false;
		conn_write(s->conn, STR("+ go ahead\r\n"));
		code = conn_flush(s->conn, &s->err);
	}
	return code ? code : conn_read_exact(s->conn, (size_t)s->read.literal.n, &s->read.text, &s->err);
}

// What the reader asks for after a line, until it asks for the next one or the command is over.
static enum imap_read_state after_line(struct imap_session *s, enum imap_read_state state)
{
	enum err_code code = ERR_OK;
	if (state == IMAP_READ_LITERAL && (!imap_read_has_room(&s->read) || s->read.literal.binary))
		state = imap_read_refuse(&s->read, s->read.literal.binary ? "no binary literals here" : "literal too large");
	if (state == IMAP_READ_LITERAL)
		code = keep_literal(s);
	else if (state == IMAP_READ_SKIP)
		code = skip_literal(s);
	else
		return state;
	if (code == ERR_OK)
		return imap_read_literal_done(&s->read);
	imap_reading_failed(s, code);
	return IMAP_READ_CLOSE;
}

void imap_refuse_literal(struct imap_session *s, const char *error)
{
	struct str line;
	enum imap_read_state state = imap_read_refuse(&s->read, error);
	while (state == IMAP_READ_SKIP) {
		enum err_code code = skip_literal(s);
		if (code) {
			imap_reading_failed(s, code);
			return;
		}
		imap_read_literal_done(&s->read);
		if (imap_read_more(s, &line))
			return;
		state = imap_read_line(&s->read, line);
	}
	if (state == IMAP_READ_CLOSE)
		imap_bye(s, IMAP_CODE_TOOBIG, "literal too large");
}

// --- Commands ---

// "tag name" and, for UID, the name's second word. False: no command, the answer is given.
static bool parse_name(struct imap_command *c)
{
	struct str name, second;
	c->tag = STR("*");
	if (!imap_parse_tag(&c->p, &c->tag) || !imap_parse_space(&c->p) || !imap_parse_atom(&c->p, &name))
		return false;
	size_t begin = (size_t)(name.p - c->p.in.p);
	if (str_eq_nocase(name, STR("UID")) && imap_parse_space(&c->p) && imap_parse_atom(&c->p, &second))
		name = str_of(c->p.in.p + begin, c->p.at - begin);
	c->row = imap_command_find(name);
	if (c->row == NULL) {
		metric_add(&metric_popimap_imap_unknown, 1);
		return imap_parse_fail(&c->p, "unknown command");
	}
	c->uid = c->row->flags & IMAP_BY_UID;
	return true;
}

// What the row demands, and then the command.
static struct imap_result run_row(struct imap_session *s, struct imap_command *c)
{
	const struct imap_command_row *row = c->row;
	metric_add(row->metric, 1);
	if (!(row->states & IMAP_STATE_BIT(s->state)))
		return imap_bad(c, s->state == IMAP_STRANGER ? "log in first" : "not now: wrong state");
	if ((row->flags & IMAP_NO_ARGUMENT) && !imap_parse_end(&c->p))
		return imap_bad(c, "no arguments here");
	if ((row->flags & IMAP_WRITES) && s->folder->read_only)
		return imap_no(IMAP_CODE_READONLY, "mailbox was opened read-only");
	return row->run(s, c);
}

static void finish(struct imap_session *s, struct imap_command *c, const struct imap_result *result)
{
	if (c->row && (c->row->flags & IMAP_TELLS) && s->state == IMAP_SELECTED)
		if (!imap_tell(s, c->arena, &c->own, c->row->flags & IMAP_TELLS_GONE, c->uid))
			return;
	if (result->text)
		imap_say(s, c->tag, result);
}

static struct arena *command_arena(const struct imap_session *s)
{
	return arena_new(s->state == IMAP_STRANGER ? STRANGER_ARENA_BYTES_MAX : COMMAND_ARENA_BYTES_MAX);
}

static void dispatch(struct imap_session *s)
{
	struct imap_command c = {.arena = command_arena(s)};
	struct imap_result result;
	imap_parse_init(&c.p, imap_read_text(&s->read), c.arena);
	result = parse_name(&c) ? run_row(s, &c) : imap_bad(&c, "not a command");
	finish(s, &c, &result);
	arena_free(&c.arena);
}

// A literal of APPEND that is the message goes into the store, not into memory. True when the command was an APPEND and is over.
static bool append(struct imap_session *s)
{
	struct imap_command c = {.arena = command_arena(s)};
	struct imap_result result;
	imap_parse_init(&c.p, imap_read_text(&s->read), c.arena);
	bool mine = s->state != IMAP_STRANGER && parse_name(&c) && c.row->run == imap_cmd_append &&
		    imap_append_literal(s, &c, &result);
	if (mine && s->state != IMAP_ENDED)
		finish(s, &c, &result);
	arena_free(&c.arena);
	return mine;
}

static void refused(struct imap_session *s)
{
	const struct imap_result bad = {.status = IMAP_BAD, .text = s->read.error};
	imap_say(s, imap_read_tag(&s->read), &bad);
}

// A client that asked whether it may send a literal, heard no, and had sent it already: what is here is that literal, no command.
// What is still under way cannot be told from one (threat lit-reject).
static bool sent_unasked(const struct imap_session *s)
{
	return s->state != IMAP_ENDED && s->read.literal.waits && conn_has_input(s->conn);
}

// One command from its first line to its answer.
static void run_command(struct imap_session *s, struct str line)
{
	enum imap_read_state state = imap_read_line(&s->read, line);
	for (;;) {
		if (state == IMAP_READ_LITERAL && append(s))
			return;
		state = after_line(s, state);
		if (state != IMAP_READ_LINE)
			break;
		if (imap_read_more(s, &line))
			return;
		state = imap_read_line(&s->read, line);
	}
	if (state == IMAP_READ_COMMAND)
		dispatch(s);
	else if (state == IMAP_READ_REFUSED)
		refused(s);
	else
		imap_bye(s, IMAP_CODE_TOOBIG, "literal too large");
}

// The first line of the next command. False when the session is over; what could still be said was said.
static bool next_line(struct imap_session *s, struct str *line_out)
{
	enum conn_eol eol;
	enum err_code code = conn_next_line(s->conn, line_bytes_max(s), line_out, &eol, &s->err);
	if (code)
		imap_reading_failed(s, code);
	return code == ERR_OK;
}

static bool may_go_on(struct imap_session *s)
{
	if (s->state == IMAP_STRANGER && (int64_t)s->auth_failures >= s->settings->auth_failures_max)
		imap_bye(s, IMAP_CODE_NONE, "too many failed log-ins");
	else if (s->bad_in_a_row >= BAD_IN_A_ROW_MAX)
		imap_bye(s, IMAP_CODE_CLIENTBUG, "too many bad commands");
	return s->state != IMAP_ENDED;
}

static bool greet(struct imap_session *s)
{
	struct buf b;
	if (s->service->tls_at_start && popimap_start_tls(s->popimap, s->conn, &s->who.log, &s->err))
		return false;
	buf_init(&b, 1024);
	buf_add(&b, STR("* OK ["));
	imap_capabilities(s, &b);
	buf_printf(&b, "] %.*s Posthouse ready\r\n", STR_FMT(s->settings->hostname));
	conn_write(s->conn, buf_str(&b));
	buf_fini(&b);
	return true;
}

static void run(struct imap_session *s)
{
	struct str line;
	if (!greet(s))
		return;
	while (may_go_on(s) && next_line(s, &line)) {
		enum imap_state before = s->state;
		fiber_shield_enter();
		run_command(s, line);
		if (sent_unasked(s))
			imap_bye(s, IMAP_CODE_CLIENTBUG, "a literal was sent before it was asked for");
		fiber_shield_leave();
		if (before == IMAP_STRANGER && s->state == IMAP_USER) {
			set_limits(s);
			conn_set_deadline_ms(s->conn, CLOCK_NEVER);
			conn_set_idle_ms(s->conn, s->settings->imap_idle_s * 1000);
		} else {
			imap_read_reset(&s->read);
		}
	}
}

void imap_serve(struct conn *conn, void *arg)
{
	const struct popimap_service *service = arg;
	struct popimap *popimap = service->popimap;
	// On the stack, in the page that an idle fiber keeps anyhow (base/fiber.h).
	struct imap_session session = {.conn = conn,
				    .service = service,
				    .popimap = popimap,
				    .snapshot = popimap->settings_get(popimap->arg)},
			    *s = &session;
	s->settings = settings_of(s->snapshot);
	set_limits(s);
	session_name_init(&s->who, conn);
	s->log_login = (struct log_context){.parent = &s->who.log, .name = "login"};
	conn_set_deadline_ms(conn, clock_after_ms(s->settings->imap_login_s * 1000)); // until the log-in
	metric_add(&metric_popimap_imap_sessions, 1);
	metric_add(&metric_popimap_imap_sessions_open, 1);

	run(s);

	metric_add(&metric_popimap_imap_sessions_open, -1);
	log_debug(&s->log_login, "session ended", log_u64("bytes_in", conn_bytes_in(s->conn)),
		log_u64("bytes_out", conn_bytes_out(s->conn)));
	imap_folder_free(&s->folder);
	mailbox_close(&s->mailbox);
	crowd_leave(&s->seat);
	conn_close(&s->conn, LINGER_MS);
	imap_read_fini(&s->read);
	settings_unref(&s->snapshot);
}
