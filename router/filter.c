// SPDX-License-Identifier: Apache-2.0
// RFC 4515 filters, parsed into a tree of bounded depth and matched by the syntax of each attribute.
#include "filter.h"

#include "base/must.h"
#include "ldapsync/directory.h"
#include "mail/addr.h"

enum op { OP_AND, OP_OR, OP_NOT, OP_EQUAL, OP_PRESENT, OP_PIECES, OP_AT_LEAST, OP_AT_MOST, OP_CLASS, OP_ANYTHING };

struct piece {
	struct piece *next;
	struct str text; // folded
};

struct filter {
	enum op op;
	struct filter *next, *first; // the next of the same set; the set of AND, OR, NOT
	const struct attr_info *attr;
	struct str value;            // EQUAL: as fold() makes it
	int64_t number;              // AT_LEAST, AT_MOST, and EQUAL of numbers and times
	struct piece *pieces;
	bool open_start, open_end;   // PIECES: "*" there
	unsigned class;
};

struct parse {
	struct arena *arena;
	struct str rest;
	unsigned depth;
};

static const char too_much[] = "takes too much memory";

// --- Values ---

static bool number_of(const struct attr_info *attr, struct str text, int64_t *out)
{
	uint64_t n;
	bool minus = str_starts(text, STR("-"));
	if (attr->syntax == ATTR_TIME)
		return entry_time_parse(text, out);
	if (!str_to_u64(minus ? str_from(text, 1) : text, INT64_MAX, &n))
		return false;
	*out = minus ? -(int64_t)n : (int64_t)n;
	return true;
}

static bool is_number(const struct attr_info *attr)
{
	return attr->syntax == ATTR_INTEGER || attr->syntax == ATTR_TIME;
}

// The form in which two values that the attribute's matching rule calls equal are equal bytes. {NULL, 0}: none is.
static struct str fold(struct arena *arena, const struct attr_info *attr, struct str text)
{
	struct addr addr;
	struct guid dn;
	if (attr->check == ATTR_CHECK_ADDRESS || (attr->check == ATTR_CHECK_ADDRESS_OR_DOMAIN && !str_starts(text, STR("@"))))
		if (addr_parse(arena, text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) == ADDR_OK)
			return addr.key;
	switch (attr->syntax) {
	case ATTR_DN:
		dn = directory_dn_key(text);
		return arena_dup(arena, guid_bytes(&dn));
	case ATTR_IA5_EXACT:
	case ATTR_TEXT_EXACT:
	case ATTR_OCTETS:
		return text;
	case ATTR_IA5:
	case ATTR_TEXT:
	case ATTR_BOOLEAN:
	case ATTR_INTEGER:
	case ATTR_TIME:
		return addr_local_key(arena, str_trim(text)); // case folded, NFC
	}
	unreachable("attr_syntax");
}

// "\2a" and the like. {NULL, 0} when it is not of that form.
static struct str unescape(struct arena *arena, struct str text)
{
	char *p = arena_alloc(arena, text.n + 1);
	size_t n = 0;
	for (size_t i = 0; p && i < text.n; i++) {
		int high = i + 2 < text.n && text.p[i] == '\\' ? chr_hex(text.p[i + 1]) : -1;
		int low = high >= 0 ? chr_hex(text.p[i + 2]) : -1;
		if (text.p[i] == '\\' && low < 0)
			return STR_NONE;
		p[n++] = low < 0 ? text.p[i] : (char)(high * 16 + low);
		i += low < 0 ? 0 : 2;
	}
	return p ? str_of(p, n) : STR_NONE;
}

// --- Parsing ---

static const char *parse_class(struct parse *p, struct filter *f, struct str value)
{
	if (str_eq(value, STR("*"))) {
		f->op = OP_ANYTHING;
		return NULL;
	}
	struct str class = unescape(p->arena, value);
	f->op = OP_CLASS;
	f->class = class.p ? attr_class_by_name(class) : 0;
	return f->class ? NULL : "asks for an object class that the shadow does not hold";
}

static const char *parse_pieces(struct parse *p, struct filter *f, struct str value)
{
	struct piece **end = &f->pieces;
	if (is_number(f->attr) || f->attr->syntax == ATTR_DN || f->attr->syntax == ATTR_BOOLEAN)
		return "asks for a part of a value that has none";
	f->op = OP_PIECES;
	f->open_start = value.p[0] == '*';
	f->open_end = value.p[value.n - 1] == '*';
	for (bool more = true; more;) {
		struct str text = value, rest;
		more = str_cut(value, '*', &text, &rest);
		if (more)
			value = rest;
		if (text.n == 0)
			continue;
		bool exact =
			f->attr->syntax == ATTR_IA5_EXACT || f->attr->syntax == ATTR_TEXT_EXACT || f->attr->syntax == ATTR_OCTETS;
		struct piece *piece = arena_alloc(p->arena, sizeof *piece);
		text = unescape(p->arena, text);
		if (piece == NULL)
			return too_much;
		piece->text = exact || text.p == NULL ? text : addr_local_key(p->arena, text);
		if (piece->text.p == NULL)
			return "has a value that cannot be read";
		*end = piece;
		end = &piece->next;
	}
	return NULL;
}

static const char *parse_value(struct parse *p, struct filter *f, struct str value)
{
	if (f->op == OP_EQUAL && str_eq(value, STR("*"))) {
		f->op = OP_PRESENT;
		return NULL;
	}
	if (f->op == OP_EQUAL && str_index(value, '*') >= 0)
		return parse_pieces(p, f, value);
	value = unescape(p->arena, value);
	if (value.p == NULL)
		return "has a value that cannot be read";
	if (is_number(f->attr))
		return number_of(f->attr, value, &f->number) ? NULL : "has a value that is no number or time";
	if (f->op != OP_EQUAL)
		return "asks for an order of strings";
	f->value = fold(p->arena, f->attr, value);
	return f->value.p ? NULL : "has a value that cannot be read";
}

// attr "=" value, attr ">=" value, attr "<=" value.
static const char *parse_item(struct parse *p, struct filter *f, struct str item)
{
	ptrdiff_t at = str_index(item, '=');
	if (at <= 0)
		return "is not a filter";
	struct str name = str_upto(item, (size_t)at), value = str_from(item, (size_t)at + 1);
	char before = name.p[name.n - 1];
	f->op = before == '>' ? OP_AT_LEAST : before == '<' ? OP_AT_MOST : OP_EQUAL;
	if (before == '~' || before == ':')
		return "asks for an approximate or extensible match";
	if (f->op != OP_EQUAL)
		name = str_upto(name, name.n - 1);
	if (f->op == OP_EQUAL && str_eq_nocase(name, STR("objectClass")))
		return value.n ? parse_class(p, f, value) : "is not a filter";
	f->attr = attr_by_name(name);
	if (f->attr == NULL || !(f->attr->where & ATTR_IN_SHADOW))
		return "asks for an attribute that the shadow does not hold";
	return value.n ? parse_value(p, f, value) : "has an empty value";
}

static const char *parse(struct parse *p, struct filter **out);

static const char *parse_set(struct parse *p, struct filter *f)
{
	struct filter **end = &f->first;
	const char *wrong = NULL;
	size_t n = 0;
	p->rest = str_from(p->rest, 1);
	for (; wrong == NULL && str_starts(p->rest, STR("(")); n++) {
		wrong = parse(p, end);
		end = wrong ? end : &(*end)->next;
	}
	return wrong == NULL && f->op == OP_NOT && n != 1 ? "is not a filter"
							  : wrong; // an empty AND is true, an empty OR false (RFC 4526)
}

static const char *parse(struct parse *p, struct filter **out)
{
	struct filter *f = arena_alloc(p->arena, sizeof *f);
	const char *wrong;
	if (f == NULL)
		return too_much;
	if (p->depth++ == FILTER_DEPTH_MAX)
		return "is nested too deeply";
	p->rest = str_from(p->rest, 1);
	char first = p->rest.n ? p->rest.p[0] : ')';
	f->op = first == '&' ? OP_AND : first == '|' ? OP_OR : OP_NOT;
	if (first == '&' || first == '|' || first == '!') {
		wrong = parse_set(p, f);
	} else {
		ptrdiff_t end = str_index(p->rest, ')');
		wrong = end < 0 ? "is not a filter" : parse_item(p, f, str_upto(p->rest, (size_t)end));
		p->rest = str_from(p->rest, end < 0 ? 0 : (size_t)end);
	}
	p->depth--;
	if (wrong == NULL && !str_starts(p->rest, STR(")")))
		wrong = "is not a filter";
	p->rest = str_from(p->rest, 1);
	*out = f;
	return wrong;
}

const char *filter_parse(struct arena *arena, struct str text, const struct filter **filter_out)
{
	struct parse p = {.arena = arena, .rest = text};
	struct filter *f;
	if (text.n > FILTER_BYTES_MAX)
		return "is too long";
	if (!str_starts(text, STR("(")))
		return "is not a filter";
	const char *wrong = parse(&p, &f);
	if (wrong == NULL && p.rest.n > 0)
		return "is not a filter";
	if (wrong == NULL)
		*filter_out = f;
	return wrong;
}

// --- Matching ---

static bool has_pieces(const struct filter *f, struct str text)
{
	for (const struct piece *piece = f->pieces; piece; piece = piece->next) {
		bool first = piece == f->pieces && !f->open_start, last = piece->next == NULL && !f->open_end;
		if (first && !str_starts(text, piece->text))
			return false;
		if (first) {
			text = str_from(text, piece->text.n);
			if (last)
				return text.n == 0;
			continue;
		}
		ptrdiff_t at = last ? (str_ends(text, piece->text) ? (ptrdiff_t)(text.n - piece->text.n) : -1)
				    : str_find(text, piece->text);
		if (at < 0)
			return false;
		text = str_from(text, (size_t)at + piece->text.n);
	}
	return true;
}

static bool value_matches(const struct filter *f, struct str value, struct arena *scratch)
{
	int64_t number;
	if (f->op == OP_PRESENT)
		return true;
	if (f->op == OP_PIECES) {
		bool exact =
			f->attr->syntax == ATTR_IA5_EXACT || f->attr->syntax == ATTR_TEXT_EXACT || f->attr->syntax == ATTR_OCTETS;
		struct str text = exact ? value : addr_local_key(scratch, value);
		return text.p && has_pieces(f, text);
	}
	if (!is_number(f->attr))
		return str_eq(fold(scratch, f->attr, value), f->value);
	if (!number_of(f->attr, value, &number))
		return false;
	return f->op == OP_AT_LEAST ? number >= f->number : f->op == OP_AT_MOST ? number <= f->number : number == f->number;
}

static bool any_value_matches(const struct filter *f, const struct entry *entry, struct arena *scratch)
{
	struct entry_cursor cursor = {0};
	struct str value;
	while (entry_next(entry, f->attr->attr, &cursor, &value))
		if (value_matches(f, value, scratch))
			return true;
	return false;
}

bool filter_matches(const struct filter *f, const struct entry *entry, struct arena *scratch)
{
	const struct filter *part;
	switch (f->op) {
	case OP_AND:
		for (part = f->first; part; part = part->next)
			if (!filter_matches(part, entry, scratch))
				return false;
		return true;
	case OP_OR:
		for (part = f->first; part; part = part->next)
			if (filter_matches(part, entry, scratch))
				return true;
		return false;
	case OP_NOT:
		return !filter_matches(f->first, entry, scratch);
	case OP_CLASS:
		return entry->classes & f->class;
	case OP_ANYTHING:
		return true;
	case OP_EQUAL:
	case OP_PRESENT:
	case OP_PIECES:
	case OP_AT_LEAST:
	case OP_AT_MOST:
		return any_value_matches(f, entry, scratch);
	}
	unreachable("op of a filter");
}
