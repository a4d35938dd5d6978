// SPDX-License-Identifier: Apache-2.0
// Replies: the rows of reply.h, writing them, and the reader for a peer's.
#include "mail/reply.h"

#include "base/must.h"
#include "chars.h"

enum { CODE_BYTES = 4 }; // "250-"
enum { LINE_BYTES_MAX = 500 }; // RFC 5321 section 4.5.3.1.5: 512 with CRLF

struct row {
	int code;
	struct str enhanced;
	struct str text;
};

static const struct row rows[] = {
#define REPLY_ROW(id, code, enhanced, text) [id] = {code, {"" enhanced, sizeof(enhanced) - 1}, {"" text, sizeof(text) - 1}},
	REPLIES(REPLY_ROW)
#undef REPLY_ROW
};

struct reply reply_of(enum reply_id id)
{
	must((size_t)id < sizeof rows / sizeof *rows);
	return (struct reply){rows[id].code, rows[id].enhanced, rows[id].text};
}

struct reply reply_with(enum reply_id id, struct str text)
{
	struct reply reply = reply_of(id);
	reply.text = text;
	return reply;
}

// Promise 3: a fault of ours is 4xx, even one that only a change of the configuration can end.
struct reply reply_of_err(enum err_code code)
{
	switch (code) {
	case ERR_NOSPACE:
		return reply_of(REPLY_NO_SPACE);
	case ERR_QUOTA:
		return reply_of(REPLY_MAILBOX_FULL);
	case ERR_CANCELLED:
		return reply_of(REPLY_CLOSING);
	case ERR_IO:
	case ERR_NOMEM:
	case ERR_TIMEOUT:
	case ERR_CLOSED:
	case ERR_CONNECT:
	case ERR_TLS:
	case ERR_PROTOCOL:
	case ERR_BUSY:
	case ERR_LIMIT:
	case ERR_INVALID:
	case ERR_NOTFOUND:
	case ERR_EXISTS:
	case ERR_DENIED:
	case ERR_CORRUPT:
	case ERR_VERSION:
	case ERR_UNSUPPORTED:
		return reply_of(REPLY_LOCAL_FAULT);
	case ERR_OK:
		break;
	}
	unreachable("err_code");
}

// How much of text goes on one line of at most room bytes: all up to LF, else a cut after the last space that fits.
static size_t line_bytes(struct str text, size_t room)
{
	ptrdiff_t lf = str_index(text, '\n');
	size_t n = lf >= 0 ? (size_t)lf : text.n;
	if (n <= room)
		return n;
	ptrdiff_t space = str_rindex(str_upto(text, room), ' ');
	return space > 0 ? (size_t)space + 1 : room;
}

static bool add_line(const struct reply *reply, struct str line, bool last, struct buf *out)
{
	char *p = buf_reserve(out, CODE_BYTES + reply->enhanced.n + 1 + line.n + 2);
	size_t n = 0;
	if (p == NULL)
		return false;
	p[n++] = (char)('0' + reply->code / 100);
	p[n++] = (char)('0' + reply->code / 10 % 10);
	p[n++] = (char)('0' + reply->code % 10);
	p[n++] = last ? ' ' : '-';
	for (size_t i = 0; i < reply->enhanced.n; i++)
		p[n++] = reply->enhanced.p[i];
	if (reply->enhanced.n && line.n)
		p[n++] = ' ';
	for (size_t i = 0; i < line.n; i++)
		p[n++] = chars_is_control(line.p[i]) || (unsigned char)line.p[i] > 0x7f ? '?' : line.p[i];
	p[n++] = '\r';
	p[n++] = '\n';
	buf_grew(out, n);
	return true;
}

bool reply_format(struct reply reply, struct buf *out)
{
	must(reply.code >= 200 && reply.code <= 599);
	struct str text = reply.text;
	size_t start = out->n, room = LINE_BYTES_MAX - reply.enhanced.n;
	bool last = false;
	while (!last) {
		size_t n = line_bytes(text, room);
		struct str line = str_upto(text, n);
		bool at_lf = n < text.n && text.p[n] == '\n';
		text = str_from(text, n + (at_lf ? 1 : 0));
		last = text.n == 0;
		if (!add_line(&reply, line, last, out)) {
			buf_truncate(out, start);
			return false;
		}
	}
	return true;
}

void reply_reader_init(struct reply_reader *reader)
{
	*reader = (struct reply_reader){.code = 0};
	buf_init(&reader->text, REPLY_TEXT_BYTES_MAX);
}

void reply_reader_fini(struct reply_reader *reader)
{
	buf_fini(&reader->text);
}

// Digits of a number of at most three, at the start of *s; true when there were any.
static bool take_digits(struct str *s, size_t max)
{
	size_t n = 0;
	while (n < s->n && n < max && chr_is_digit(s->p[n]))
		n++;
	*s = str_from(*s, n);
	return n > 0;
}

static bool take_dot(struct str *s)
{
	bool dot = s->n && s->p[0] == '.';
	*s = str_from(*s, dot ? 1 : 0);
	return dot;
}

// RFC 2034 section 4: the enhanced status at the start of a line's text, which must be of the class of its code.
static struct str find_enhanced(struct str text, int code)
{
	struct str rest = text;
	if (text.n == 0 || text.p[0] != '0' + code / 100 || code / 100 == 3)
		return STR_NONE;
	if (!take_digits(&rest, 1) || !take_dot(&rest) || !take_digits(&rest, 3) || !take_dot(&rest) || !take_digits(&rest, 3))
		return STR_NONE;
	return rest.n == 0 || rest.p[0] == ' ' ? str_upto(text, text.n - rest.n) : STR_NONE;
}

static bool parse_code(struct str line, int *code_out)
{
	uint64_t code;
	if (line.n < 3 || line.n > REPLY_LINE_BYTES_MAX || !str_to_u64(str_upto(line, 3), 599, &code) || code < 200)
		return false;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return false;
	*code_out = (int)code;
	return true;
}

static enum reply_read bad(struct reply_reader *reader)
{
	reader->lines = 0;
	return REPLY_READ_BAD;
}

enum reply_read reply_reader_line(struct reply_reader *reader, struct str line)
{
	int code;
	if (reader->lines == 0) {
		buf_clear(&reader->text);
		reader->enhanced[0] = '\0';
	}
	if (!parse_code(line, &code) || (reader->lines && code != reader->code) || reader->lines == REPLY_LINES_MAX)
		return bad(reader);
	reader->code = code;
	struct str text = str_from(line, 4);
	struct str enhanced = find_enhanced(text, code);
	if (enhanced.n && reader->enhanced[0] == '\0')
		must(str_to_c(enhanced, reader->enhanced, sizeof reader->enhanced));
	text = enhanced.n ? str_trim(str_from(text, enhanced.n)) : text;
	if (reader->lines++ && !buf_add_byte(&reader->text, '\n'))
		return bad(reader);
	for (size_t i = 0; i < text.n; i++)
		if (!buf_add_byte(&reader->text, chars_is_control(text.p[i]) ? '?' : text.p[i]))
			return bad(reader);
	if (line.n > 3 && line.p[3] == '-')
		return REPLY_READ_MORE;
	reader->lines = 0;
	return REPLY_READ_DONE;
}

struct reply reply_reader_reply(const struct reply_reader *reader)
{
	return (struct reply){reader->code, str_of_c(reader->enhanced), buf_str(&reader->text)};
}

bool reply_has_keyword(struct reply reply, struct str keyword, struct str *params_out)
{
	struct str rest = reply.text, line;
	bool first = true;
	while (str_next_line(&rest, &line)) {
		bool match = !first && str_starts_nocase(line, keyword);
		struct str params = str_from(line, keyword.n);
		first = false;
		if (!match || (params.n && params.p[0] != ' ' && params.p[0] != '='))
			continue;
		if (params_out)
			*params_out = str_trim(str_from(params, 1));
		return true;
	}
	return false;
}
