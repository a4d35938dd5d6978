// SPDX-License-Identifier: Apache-2.0
// APPEND (RFC 3501 section 6.3.11): the message goes from the connection into the store as it comes in.
//
// The session calls imap_append_literal when a literal was announced and nothing of it was asked for yet. Everything that can be
// refused is refused then, before the "+" (PROTOCOLS 24 and 80): the client has not sent the bytes. A client that did not wait
// (LITERAL+) has its bytes thrown away. What is stored is what was sent, octet by octet, bare CR and LF too: a client that
// compares, signs or counts finds its own bytes again (RFC 9051 section 2.3: messages are immutable), and RFC822.SIZE is the size
// of the literal (PROTOCOLS 48).
#include "base/clock.h"
#include "imap_session.h"
#include "store.h"

enum { CHUNK_BYTES = 32 << 10 };

struct appending {
	struct mailbox_name name;
	struct imap_flags flags;
	struct date received;
};

// The literal that was announced is the name of the mailbox: an argument like any other.
static bool is_argument(const struct imap_command *c)
{
	struct imap_parse p = c->p;
	return imap_parse_space(&p) && imap_parse_announced(&p) && imap_parse_end(&p);
}

static struct date now(void)
{
	return (struct date){.utc_s = clock_wall_ms() / 1000};
}

static bool parse_arguments(struct imap_command *c, struct appending *out)
{
	struct imap_parse *p = &c->p;
	*out = (struct appending){.received = now()};
	if (!imap_parse_space(p) || !imap_parse_mailbox(p, &out->name) || !imap_parse_space(p))
		return false;
	if (imap_parse_peek(p) == '(' && (!imap_parse_flags(p, false, &out->flags) || !imap_parse_space(p)))
		return false;
	if (imap_parse_peek(p) == '"' && (!imap_parse_date_time(p, &out->received) || !imap_parse_space(p)))
		return false;
	return imap_parse_announced(p) && imap_parse_end(p);
}

// What the arguments borrow from the command's text, which is overwritten by its next line.
static bool own_arguments(struct imap_command *c, struct appending *a)
{
	struct str *keywords = arena_array(c->arena, a->flags.keywords_n, sizeof *keywords);
	c->tag = arena_dup(c->arena, c->tag);
	for (size_t i = 0; keywords && i < a->flags.keywords_n; i++)
		keywords[i] = arena_dup(c->arena, a->flags.keywords[i]);
	a->flags.keywords = keywords;
	return !arena_overflowed(c->arena);
}

// May it be sent at all? False: result_out says why not.
static bool is_welcome(struct imap_session *s, const struct appending *a, struct imap_result *result_out)
{
	if (s->read.literal.n > (uint64_t)s->settings->imap_literal_max) {
		*result_out = imap_no(IMAP_CODE_TOOBIG, "message too large");
		return false;
	}
	if (s->read.literal.n == 0 || s->read.literal.binary) {
		*result_out = imap_no(IMAP_CODE_CANNOT, s->read.literal.n ? "no binary literals here" : "no message");
		return false;
	}
	enum err_code code = folder_takes_messages(s->mailbox, &a->name, &s->err);
	if (code == ERR_NOTFOUND)
		*result_out = imap_no(IMAP_CODE_TRYCREATE, "no such mailbox");
	else if (code)
		*result_out = imap_failed(s, code, "the store cannot take messages now");
	return code == ERR_OK;
}

// --- The message ---

struct receiving {
	struct incoming *incoming;
	bool nul;           // a literal may hold none (PROTOCOLS 25)
	enum err_code code; // of the store; the rest is then read and thrown away
};

static void take(struct imap_session *s, struct receiving *r, struct str chunk)
{
	r->nul |= str_index(chunk, '\0') >= 0;
	if (r->code == ERR_OK)
		r->code = incoming_add(r->incoming, chunk, &s->err);
}

// All of the literal, whatever becomes of it. An error is the connection's.
static enum err_code receive(struct imap_session *s, struct receiving *r)
{
	struct str chunk;
	for (uint64_t left = s->read.literal.n; left; left -= chunk.n) {
		size_t want = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
		enum err_code code = conn_read_some(s->conn, want, &chunk, &s->err);
		if (code)
			return code;
		take(s, r, chunk);
	}
	return ERR_OK;
}

// The end of the command. False: the session ended, or more came than one message (result_out).
static bool read_end(struct imap_session *s, struct imap_result *result_out)
{
	struct str line;
	imap_read_taken(&s->read);
	if (imap_read_more(s, &line))
		return false;
	enum imap_read_state state = imap_read_line(&s->read, line);
	if (state == IMAP_READ_COMMAND && str_trim(imap_read_text(&s->read)).n == 0)
		return true;
	*result_out = (struct imap_result){.status = IMAP_BAD, .text = "one message only"};
	if (state == IMAP_READ_LITERAL || state == IMAP_READ_SKIP)
		imap_refuse_literal(s, "one message only");
	return false;
}

static struct imap_result commit(struct imap_session *s, struct imap_command *c, const struct appending *a,
	const struct receiving *r)
{
	const struct append append = {
		.body = r->incoming,
		.flags = {.system = a->flags.system, .keywords = a->flags.keywords, .n = a->flags.keywords_n},
		.received = a->received,
	};
	uint32_t uidvalidity;
	struct uid_list uids;
	enum err_code code = message_append(s->mailbox, &a->name, &append, 1, c->arena, &uidvalidity, &uids, &s->err);
	if (code == ERR_NOTFOUND)
		return imap_no(IMAP_CODE_TRYCREATE, "no such mailbox");
	if (code)
		return imap_failed(s, code, "message could not be stored");
	if (s->folder)
		s->folder->stale = true;
	return (struct imap_result){.status = IMAP_OK,
		.code_text = arena_printf(c->arena, "APPENDUID %u %u", uidvalidity, uids.p[0]),
		.text = "appended"};
}

static struct imap_result receive_and_commit(struct imap_session *s, struct imap_command *c, const struct appending *a)
{
	struct receiving r = {.incoming = incoming_new(s->popimap->store, (uint64_t)s->settings->imap_literal_max)};
	struct imap_result result = {0};
	enum err_code code = ERR_OK;
	if (s->read.literal.waits) {
		s->read.literal.waits = false;
		conn_write(s->conn, STR("+ go ahead\r\n"));
		code = conn_flush(s->conn, &s->err);
	}
	if (code == ERR_OK)
		code = receive(s, &r);
	if (code) {
		imap_reading_failed(s, code);
	} else if (read_end(s, &result)) {
		if (r.nul)
			result = (struct imap_result){.status = IMAP_BAD, .text = "NUL in a literal"};
		else if (r.code)
			result = r.code == ERR_LIMIT ? imap_no(IMAP_CODE_TOOBIG, "message too large")
						     : imap_failed(s, r.code, "the store cannot take messages now");
		else
			result = commit(s, c, a, &r);
	}
	incoming_free(&r.incoming);
	return result;
}

bool imap_append_literal(struct imap_session *s, struct imap_command *c, struct imap_result *result_out)
{
	struct appending a;
	struct imap_result refused = {0};
	if (is_argument(c))
		return false;
	metric_add(c->row->metric, 1);
	bool good = parse_arguments(c, &a) && own_arguments(c, &a);
	if (!good)
		refused = imap_bad(c, "bad arguments");
	c->tag = arena_dup(c->arena, c->tag);
	if (!good || !is_welcome(s, &a, &refused)) {
		imap_refuse_literal(s, refused.text);
		*result_out = refused;
		return true;
	}
	*result_out = receive_and_commit(s, c, &a);
	return true;
}

// Here no literal was announced as the message: the grammar demands one.
struct imap_result imap_cmd_append(struct imap_session *s, struct imap_command *c)
{
	(void)s;
	return imap_bad(c, "a message as a literal expected");
}
