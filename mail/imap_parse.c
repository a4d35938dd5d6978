// SPDX-License-Identifier: Apache-2.0
// The words of IMAP's grammar. One table says which bytes may be where; every parser below is one rule of RFC 3501 section 9.
#include "mail/imap_parse.h"


void imap_parse_init(struct imap_parse *p, struct str text, struct arena *arena)
{
	*p = (struct imap_parse){.in = text, .arena = arena};
}

bool imap_parse_fail(struct imap_parse *p, const char *error)
{
	if (p->error == NULL)
		p->error = error;
	return false;
}

int imap_parse_peek(const struct imap_parse *p)
{
	return p->error == NULL && p->at < p->in.n ? (unsigned char)p->in.p[p->at] : -1;
}

struct str imap_parse_rest(const struct imap_parse *p)
{
	return str_from(p->in, p->at);
}

bool imap_parse_byte(struct imap_parse *p, char c)
{
	if (imap_parse_peek(p) != (unsigned char)c)
		return imap_parse_fail(p, "syntax error");
	p->at++;
	return true;
}

bool imap_parse_space(struct imap_parse *p)
{
	if (imap_parse_peek(p) != ' ')
		return imap_parse_fail(p, "an argument is missing");
	p->at++;
	return true;
}

bool imap_parse_end(struct imap_parse *p)
{
	if (p->error)
		return false;
	while (imap_parse_peek(p) == ' ')
		p->at++;
	return p->at == p->in.n || imap_parse_fail(p, "unexpected text at the end of the command");
}

bool imap_parse_open(struct imap_parse *p)
{
	if (p->depth >= IMAP_DEPTH_MAX)
		return imap_parse_fail(p, "parentheses too deep");
	if (imap_parse_peek(p) != '(')
		return imap_parse_fail(p, "\"(\" expected");
	p->at++;
	p->depth++;
	return true;
}

bool imap_parse_close(struct imap_parse *p)
{
	if (imap_parse_peek(p) != ')')
		return imap_parse_fail(p, "\")\" expected");
	p->at++;
	p->depth--;
	return true;
}

// ATOM-CHAR: no "(", ")", "{", space, CTL, list wildcard, quoted special or "]" (resp-specials).
static bool is_atom(int c)
{
	return c > ' ' && c < 0x7F && strchr("(){%*\"\\]", c) == NULL;
}

static bool is_astring(int c)
{
	return is_atom(c) || c == ']';
}

static bool is_tag(int c)
{
	return is_astring(c) && c != '+';
}

static bool is_list(int c)
{
	return is_astring(c) || c == '%' || c == '*';
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

// One or more bytes of a class.
static bool take(struct imap_parse *p, bool (*is)(int c), const char *expected, struct str *out)
{
	size_t begin = p->at, end = begin;
	if (p->error)
		return false;
	while (end < p->in.n && is((unsigned char)p->in.p[end]))
		end++;
	if (end == begin)
		return imap_parse_fail(p, expected);
	*out = str_of(p->in.p + begin, end - begin);
	p->at = end;
	return true;
}

bool imap_parse_tag(struct imap_parse *p, struct str *tag_out)
{
	struct str tag;
	if (!take(p, is_tag, "no tag", &tag))
		return false;
	if (tag.n > IMAP_TAG_BYTES_MAX)
		return imap_parse_fail(p, "tag too long");
	*tag_out = tag;
	return true;
}

bool imap_parse_atom(struct imap_parse *p, struct str *atom_out)
{
	return take(p, is_atom, "a word expected", atom_out);
}

// Where a quoted string that begins at p->at ends (its closing quote); false when it does not. RFC 3501: QUOTED-CHAR has no CR
// and LF.
static bool quoted_end(struct imap_parse *p, size_t *end_out, bool *escapes_out)
{
	bool escapes = false;
	for (size_t i = p->at + 1; i < p->in.n; i++) {
		char c = p->in.p[i];
		if (c == '"') {
			*end_out = i;
			*escapes_out = escapes;
			return true;
		}
		if (c == '\r' || c == '\n' || c == '\0')
			break;
		if (c == '\\') {
			escapes = true;
			i++;
			if (i >= p->in.n || (p->in.p[i] != '"' && p->in.p[i] != '\\'))
				return imap_parse_fail(p, "bad escape in a quoted string");
		}
	}
	return imap_parse_fail(p, "quoted string does not end");
}

static bool parse_quoted(struct imap_parse *p, struct str *out)
{
	size_t end = 0;
	bool escapes = false;
	if (!quoted_end(p, &end, &escapes))
		return false;
	struct str raw = str_of(p->in.p + p->at + 1, end - p->at - 1);
	if (escapes) {
		char *to = arena_alloc(p->arena, raw.n);
		if (to == NULL)
			return imap_parse_fail(p, "command too complex");
		size_t n = 0;
		for (size_t i = 0; i < raw.n; i++) {
			if (raw.p[i] == '\\')
				i++;
			to[n++] = raw.p[i];
		}
		raw = str_of(to, n);
	}
	p->at = end + 1;
	*out = raw;
	return true;
}

// "{n}", "{n+}", "~{n}" and the line end; p->at is then at the first byte of the literal.
static bool parse_announcement(struct imap_parse *p, uint64_t *n_out)
{
	struct str digits;
	uint64_t n;
	if (imap_parse_peek(p) == '~')
		p->at++;
	if (!imap_parse_byte(p, '{') || !take(p, is_digit, "bad literal", &digits))
		return false;
	if (imap_parse_peek(p) == '+')
		p->at++;
	if (!imap_parse_byte(p, '}') || !imap_parse_byte(p, '\r') || !imap_parse_byte(p, '\n'))
		return false;
	if (!str_to_u64(digits, INT64_MAX, &n))
		return imap_parse_fail(p, "bad literal");
	*n_out = n;
	return true;
}

bool imap_parse_announced(struct imap_parse *p)
{
	uint64_t n;
	return parse_announcement(p, &n);
}

bool imap_parse_string(struct imap_parse *p, struct str *string_out)
{
	uint64_t n = 0;
	int c = imap_parse_peek(p);
	if (c == '"')
		return parse_quoted(p, string_out);
	if (c != '{')
		return imap_parse_fail(p, "a string expected");
	if (!parse_announcement(p, &n))
		return false;
	if (n > p->in.n - p->at)
		return imap_parse_fail(p, "bad literal");
	*string_out = str_of(p->in.p + p->at, (size_t)n);
	p->at += (size_t)n;
	return true;
}

bool imap_parse_astring(struct imap_parse *p, struct str *string_out)
{
	int c = imap_parse_peek(p);
	if (c == '"' || c == '{')
		return imap_parse_string(p, string_out);
	return take(p, is_astring, "a string expected", string_out);
}

bool imap_parse_nstring(struct imap_parse *p, struct str *string_out)
{
	struct str rest = imap_parse_rest(p);
	if (p->error == NULL && str_starts_nocase(rest, STR("NIL"))) {
		p->at += 3;
		*string_out = STR_NONE;
		return true;
	}
	return imap_parse_string(p, string_out);
}

bool imap_parse_number(struct imap_parse *p, uint32_t *number_out)
{
	struct str digits;
	uint64_t value;
	if (!take(p, is_digit, "a number expected", &digits))
		return false;
	if (!str_to_u64(digits, UINT32_MAX, &value))
		return imap_parse_fail(p, "number too large");
	*number_out = (uint32_t)value;
	return true;
}

bool imap_parse_number_nz(struct imap_parse *p, uint32_t *number_out)
{
	uint32_t value;
	if (!imap_parse_number(p, &value))
		return false;
	if (value == 0)
		return imap_parse_fail(p, "0 is not allowed here");
	*number_out = value;
	return true;
}

static const struct {
	struct str name;
	enum imap_flag flag;
} system_flags[] = {
	{STR("Seen"), IMAP_FLAG_SEEN},       {STR("Answered"), IMAP_FLAG_ANSWERED}, {STR("Flagged"), IMAP_FLAG_FLAGGED},
	{STR("Deleted"), IMAP_FLAG_DELETED}, {STR("Draft"), IMAP_FLAG_DRAFT},
};

struct flag_list {
	unsigned system;
	struct str keywords[IMAP_KEYWORDS_MAX];
	size_t n;
};

static bool parse_system_flag(struct imap_parse *p, struct flag_list *list)
{
	struct str name;
	p->at++;
	if (!imap_parse_atom(p, &name))
		return false;
	for (size_t i = 0; i < sizeof system_flags / sizeof *system_flags; i++)
		if (str_eq_nocase(name, system_flags[i].name)) {
			list->system |= system_flags[i].flag;
			return true;
		}
	return imap_parse_fail(p, "this flag cannot be set");
}

static bool parse_flag(struct imap_parse *p, struct flag_list *list)
{
	struct str keyword;
	if (imap_parse_peek(p) == '\\')
		return parse_system_flag(p, list);
	if (!imap_parse_atom(p, &keyword))
		return false;
	if (keyword.n > IMAP_KEYWORD_BYTES_MAX)
		return imap_parse_fail(p, "keyword too long");
	for (size_t i = 0; i < list->n; i++)
		if (str_eq_nocase(list->keywords[i], keyword))
			return true;
	if (list->n == IMAP_KEYWORDS_MAX)
		return imap_parse_fail(p, "too many keywords");
	list->keywords[list->n++] = keyword;
	return true;
}

static bool parse_flag_list(struct imap_parse *p, bool bare, struct flag_list *list)
{
	bool paren = !bare || imap_parse_peek(p) == '(';
	if (paren && !imap_parse_open(p))
		return false;
	if (paren && imap_parse_peek(p) == ')')
		return imap_parse_close(p);
	if (!parse_flag(p, list))
		return false;
	while (imap_parse_peek(p) == ' ') {
		p->at++;
		if (!parse_flag(p, list))
			return false;
	}
	return !paren || imap_parse_close(p);
}

bool imap_parse_flags(struct imap_parse *p, bool bare, struct imap_flags *flags_out)
{
	struct flag_list list = {0};
	if (!parse_flag_list(p, bare, &list))
		return false;
	struct str *keywords = arena_array(p->arena, list.n, sizeof *keywords);
	if (keywords == NULL)
		return imap_parse_fail(p, "command too complex");
	memcpy(keywords, list.keywords, list.n * sizeof *keywords);
	*flags_out = (struct imap_flags){.system = list.system, .keywords = keywords, .keywords_n = list.n};
	return true;
}

static bool parse_name(struct imap_parse *p, bool new_one, struct mailbox_name *name_out)
{
	struct str text;
	struct mailbox_name name;
	if (!imap_parse_astring(p, &text))
		return false;
	if (!mailbox_name_from_mutf7(text, p->arena, &name) || (name.had_delimiter_at_end && !new_one))
		return imap_parse_fail(p, arena_overflowed(p->arena) ? "command too complex" : "not a name of a mailbox");
	*name_out = name;
	return true;
}

bool imap_parse_mailbox(struct imap_parse *p, struct mailbox_name *name_out)
{
	return parse_name(p, false, name_out);
}

bool imap_parse_mailbox_new(struct imap_parse *p, struct mailbox_name *name_out)
{
	return parse_name(p, true, name_out);
}

bool imap_parse_pattern(struct imap_parse *p, struct str *pattern_out)
{
	struct str text;
	int c = imap_parse_peek(p);
	bool some = c == '"' || c == '{' ? imap_parse_string(p, &text) : take(p, is_list, "a pattern expected", &text);
	if (!some)
		return false;
	return mutf7_decode(text, p->arena, pattern_out) || imap_parse_fail(p, "not modified UTF-7");
}
