// SPDX-License-Identifier: Apache-2.0
// Header fields, written: checked, encoded, folded. Every field goes through emit_value(), so what it refuses is refused
// everywhere.
#include "mail/header_emit.h"

#include "base/must.h"
#include "chars.h"
#include "mail/encword.h"
#include "mail/header.h"

enum {
	FOLD_BYTES = 78,      // RFC 5322 section 2.1.1: should
	LINE_BYTES_MAX = 998, // must
	VALUE_BYTES_MAX = 1 << 20,
	MSGID_BYTES_MAX = 900,
};

void header_emit_init(struct header_emit *emit, struct buf *out)
{
	*emit = (struct header_emit){.out = out};
}

// The length of the next piece: its white space and the word after it.
static size_t piece_bytes(struct str value)
{
	size_t n = 0;
	while (n < value.n && chars_is_blank(value.p[n]))
		n++;
	while (n < value.n && !chars_is_blank(value.p[n]))
		n++;
	return n;
}

// value, with a line end before the white space of each piece that would go over FOLD_BYTES. Unfolding gives value back.
static bool add_folded(struct buf *out, size_t column, struct str value)
{
	bool ok = true, first = true;
	while (value.n && ok) {
		size_t n = piece_bytes(value);
		if (!first && column + n > FOLD_BYTES) {
			ok = buf_add(out, STR("\r\n"));
			column = 0;
		}
		column += n;
		ok = ok && column <= LINE_BYTES_MAX && buf_add(out, str_upto(value, n));
		value = str_from(value, n);
		first = false;
	}
	return ok;
}

static bool is_value(struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (chars_is_control(value.p[i]) && value.p[i] != '\t')
			return false;
	return str_is_utf8(value);
}

static void emit_value(struct header_emit *emit, struct str name, struct str value)
{
	size_t start = emit->out->n;
	must(header_is_name(name));
	if (emit->failed)
		return;
	value = str_trim(value); // a line of white space only would be no header line to others
	bool ok = is_value(value) && buf_add(emit->out, name) && buf_add(emit->out, STR(": ")) &&
	          add_folded(emit->out, name.n + 2, value) && buf_add(emit->out, STR("\r\n"));
	if (!ok) {
		buf_truncate(emit->out, start);
		emit->failed = true;
	}
}

void header_emit_raw(struct header_emit *emit, struct str name, struct str value)
{
	if (is_value(value))
		emit_value(emit, name, value);
	else
		emit->failed = true;
}

void header_emit_text(struct header_emit *emit, struct str name, struct str text)
{
	struct buf value;
	buf_init(&value, VALUE_BYTES_MAX);
	// The encoder would hide a line end in an encoded word; a caller that passes one has lost track of where its text came
	// from.
	if (is_value(text) && encword_encode(text, &value))
		emit_value(emit, name, buf_str(&value));
	else
		emit->failed = true;
	buf_fini(&value);
}

// Words of atext with single spaces need no quotes (RFC 5322 section 3.2.5).
static bool is_phrase(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chars_is_atext(s.p[i]) && !(s.p[i] == ' ' && i && i + 1 < s.n && s.p[i - 1] != ' '))
			return false;
	return str_find(s, STR("=?")) < 0;
}

static bool add_display(struct buf *out, struct str display)
{
	if (!chars_all_ascii(display) || str_find(display, STR("=?")) >= 0)
		return encword_encode_phrase(display, out);
	if (is_phrase(display))
		return buf_add(out, display);
	bool ok = buf_add_byte(out, '"');
	for (size_t i = 0; i < display.n && ok; i++) {
		if (display.p[i] == '"' || display.p[i] == '\\')
			ok = buf_add_byte(out, '\\');
		ok = ok && buf_add_byte(out, display.p[i]);
	}
	return ok && buf_add_byte(out, '"');
}

// "display <inside>"
static void emit_bracketed(struct header_emit *emit, struct str name, struct str display, struct str inside)
{
	struct buf value;
	buf_init(&value, VALUE_BYTES_MAX);
	bool ok = is_value(display);
	display = str_trim(display);
	ok = ok && (display.n == 0 || (add_display(&value, display) && buf_add_byte(&value, ' ')));
	if (ok && buf_printf(&value, "<%.*s>", STR_FMT(inside)))
		emit_value(emit, name, buf_str(&value));
	else
		emit->failed = true;
	buf_fini(&value);
}

void header_emit_mailbox(struct header_emit *emit, struct str name, struct str display, const struct addr *addr)
{
	must(!addr_is_null(addr));
	emit_bracketed(emit, name, display, addr->text);
}

static bool is_inside(struct str text)
{
	bool ok = text.n > 0;
	for (size_t i = 0; i < text.n && ok; i++)
		ok = text.p[i] > 0x20 && text.p[i] < 0x7f && text.p[i] != '<' && text.p[i] != '>';
	return ok;
}

void header_emit_phrase(struct header_emit *emit, struct str name, struct str display, struct str inside)
{
	if (is_inside(inside))
		emit_bracketed(emit, name, display, inside);
	else
		emit->failed = true;
}

void header_emit_path(struct header_emit *emit, struct str name, const struct addr *addr)
{
	char value[ADDR_PATH_BYTES_MAX];
	size_t n = addr->text.n;
	must(n + 2 <= sizeof value);
	value[0] = '<';
	if (n)
		memcpy(value + 1, addr->text.p, n);
	value[n + 1] = '>';
	emit_value(emit, name, str_of(value, n + 2));
}

void header_emit_date(struct header_emit *emit, struct str name, struct date date)
{
	struct buf value;
	buf_init(&value, 64);
	if (date_format_header(date, &value))
		emit_value(emit, name, buf_str(&value));
	else
		emit->failed = true;
	buf_fini(&value);
}

void header_emit_msgid(struct header_emit *emit, struct str name, struct str id)
{
	struct buf value;
	bool ok = id.n <= MSGID_BYTES_MAX && is_inside(id);
	buf_init(&value, MSGID_BYTES_MAX + 2);
	if (ok && buf_printf(&value, "<%.*s>", STR_FMT(id)))
		emit_value(emit, name, buf_str(&value));
	else
		emit->failed = true;
	buf_fini(&value);
}
