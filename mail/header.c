// SPDX-License-Identifier: Apache-2.0
// The walk over header fields, unfolding, comments, message ids.
#include "mail/header.h"

#include "chars.h"
#include "mail/encword.h"

void header_walk_init(struct header_walk *walk, struct str message)
{
	*walk = (struct header_walk){.message = message};
}

// Offset after the line that starts at `at`.
static size_t line_end(struct str message, size_t at)
{
	ptrdiff_t lf = str_index(str_from(message, at), '\n');
	return lf < 0 ? message.n : at + (size_t)lf + 1;
}

static struct str slice(struct str message, size_t start, size_t end)
{
	return str_upto(str_from(message, start), end - start);
}

static struct str without_line_end(struct str s)
{
	if (s.n && s.p[s.n - 1] == '\n') {
		s.n--;
		if (s.n && s.p[s.n - 1] == '\r')
			s.n--;
	}
	return s;
}

bool header_is_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= 0x20 || name.p[i] >= 0x7f || name.p[i] == ':') // bytes over 0x7F are negative here
			return false;
	return name.n > 0;
}

// Name and body of raw, whose first line ends at first_end.
static struct header_field split(struct str message, size_t start, size_t first_end, size_t end)
{
	struct header_field field = {.start = start, .end = end, .raw = slice(message, start, end)};
	struct str first = slice(message, start, first_end);
	ptrdiff_t colon = str_index(first, ':');
	field.body_start = start;
	if (colon > 0) {
		struct str name = str_upto(first, (size_t)colon);
		while (name.n && chars_is_blank(name.p[name.n - 1]))
			name.n--; // RFC 5322 section 4.5: obsolete fields have space there
		if (header_is_name(name)) {
			field.name = name;
			field.body_start = start + (size_t)colon + 1;
		}
	}
	field.body = without_line_end(slice(message, field.body_start, end));
	return field;
}

bool header_walk_next(struct header_walk *walk, struct header_field *field_out)
{
	struct str message = walk->message;
	size_t start = walk->at;
	size_t first_end = line_end(message, start);
	if (without_line_end(slice(message, start, first_end)).n == 0) {
		walk->header_end = start;
		walk->body_start = first_end;
		return false;
	}
	size_t end = first_end;
	while (end < message.n && chars_is_blank(message.p[end]))
		end = line_end(message, end);
	*field_out = split(message, start, first_end, end);
	walk->at = end;
	return true;
}

size_t header_body_start(struct str message)
{
	struct header_walk walk;
	struct header_field field;
	header_walk_init(&walk, message);
	while (header_walk_next(&walk, &field))
		;
	return walk.body_start;
}

bool header_find(struct str message, struct str name, struct header_field *field_out)
{
	struct header_walk walk;
	struct header_field field;
	header_walk_init(&walk, message);
	while (header_walk_next(&walk, &field)) {
		if (name.n && str_eq_nocase(field.name, name)) {
			*field_out = field;
			return true;
		}
	}
	return false;
}

// Counts the fields of that name; *last_out is the last of them, untouched without one.
static size_t find_all(struct str message, struct str name, struct header_field *last_out)
{
	struct header_walk walk;
	struct header_field field;
	size_t n = 0;
	header_walk_init(&walk, message);
	while (header_walk_next(&walk, &field)) {
		if (name.n && str_eq_nocase(field.name, name)) {
			*last_out = field;
			n++;
		}
	}
	return n;
}

bool header_find_last(struct str message, struct str name, struct header_field *field_out)
{
	return find_all(message, name, field_out) > 0;
}

size_t header_count(struct str message, struct str name)
{
	struct header_field last;
	return find_all(message, name, &last);
}

struct str header_unfold(struct arena *arena, struct str body)
{
	body = str_trim(body);
	char *text = arena_alloc(arena, body.n);
	size_t n = 0;
	if (text == NULL)
		return STR_NONE;
	for (size_t i = 0; i < body.n; i++) {
		bool cr_of_crlf = body.p[i] == '\r' && i + 1 < body.n && body.p[i + 1] == '\n';
		if (body.p[i] == '\n' || cr_of_crlf)
			continue;
		text[n++] = body.p[i] == '\r' || body.p[i] == '\0' ? ' ' : body.p[i];
	}
	return str_of(text, n);
}

struct str header_text(struct arena *arena, struct str body)
{
	struct str text = header_unfold(arena, body);
	return text.p ? encword_decode(arena, text) : STR_NONE;
}

// The offset after the comment that starts at s.p[0]; s.n when it is not closed. RFC 5322 section 3.2.2.
static size_t comment_end(struct str s)
{
	size_t depth = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return s.n;
}

struct str header_skip_cfws(struct str text)
{
	while (text.n) {
		char c = text.p[0];
		if (c == '(')
			text = str_from(text, comment_end(text));
		else if (chars_is_blank(c) || c == '\r' || c == '\n')
			text = str_from(text, 1);
		else
			break;
	}
	return text;
}

// The offset after the quoted string that starts at s.p[0]; 0 when it is not closed.
static size_t quoted_end(struct str s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

// Takes the next "<...>" off *rest, brackets excluded. *no_quotes is kept between calls: after one unclosed quote no other is
// looked for, which keeps the whole linear.
static bool next_msgid(struct str *rest, bool *no_quotes, struct str *raw_out)
{
	while (rest->n) {
		char c = rest->p[0];
		size_t step = 1;
		if (c == '(') {
			step = comment_end(*rest);
		} else if (c == '"' && !*no_quotes) {
			size_t end = quoted_end(*rest);
			*no_quotes = end == 0;
			step = end ? end : 1;
		} else if (c == '<') {
			ptrdiff_t close = str_index(*rest, '>');
			if (close < 0)
				return false;
			*raw_out = str_of(rest->p + 1, (size_t)close - 1);
			*rest = str_from(*rest, (size_t)close + 1);
			return true;
		}
		*rest = str_from(*rest, step);
	}
	return false;
}

static struct str without_space(struct arena *arena, struct str raw)
{
	char *id = arena_alloc(arena, raw.n);
	size_t n = 0;
	if (id == NULL)
		return STR_NONE;
	for (size_t i = 0; i < raw.n; i++)
		if (!chars_is_control(raw.p[i]) && raw.p[i] != ' ')
			id[n++] = raw.p[i];
	return str_of(id, n);
}

void header_msgids(struct arena *arena, struct str body, size_t max, struct header_msgids *ids_out)
{
	struct str rest = body, raw;
	bool no_quotes = false;
	size_t total = 0, at = 0;
	while (next_msgid(&rest, &no_quotes, &raw))
		total++;
	*ids_out = (struct header_msgids){.cut = total > max};
	size_t keep = total < max ? total : max;
	ids_out->ids = arena_array(arena, keep, sizeof *ids_out->ids);
	if (ids_out->ids == NULL) {
		ids_out->cut = true;
		return;
	}
	rest = body;
	no_quotes = false;
	while (ids_out->n < keep && next_msgid(&rest, &no_quotes, &raw)) {
		bool wanted = at == 0 || at + keep > total; // the first, and the last keep - 1
		at++;
		if (!wanted)
			continue;
		struct str id = without_space(arena, raw);
		if (id.p == NULL) {
			ids_out->cut = true;
			return;
		}
		ids_out->ids[ids_out->n++] = id;
	}
}
