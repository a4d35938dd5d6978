// SPDX-License-Identifier: Apache-2.0
// The attributes of FETCH: a table of words, and the section specifications of BODY[...].
#include "mail/imap_fetch.h"

static const struct {
	struct str name;
	unsigned items;
} words[] = {
	{STR("ALL"), IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE | IMAP_FETCH_ENVELOPE},
	{STR("FAST"), IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE},
	{STR("FULL"), IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE | IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY},
	{STR("UID"), IMAP_FETCH_UID},
	{STR("FLAGS"), IMAP_FETCH_FLAGS},
	{STR("INTERNALDATE"), IMAP_FETCH_INTERNALDATE},
	{STR("RFC822.SIZE"), IMAP_FETCH_SIZE},
	{STR("ENVELOPE"), IMAP_FETCH_ENVELOPE},
	{STR("BODYSTRUCTURE"), IMAP_FETCH_BODYSTRUCTURE},
	{STR("BODY"), IMAP_FETCH_BODY},
};
enum { MACROS = 3 }; // the first words: alone, never in parentheses

static const struct {
	struct str name;
	enum imap_fetch_form form;
	enum mime_section_kind kind;
	bool peek;
} old_words[] = {
	{STR("RFC822"), IMAP_FETCH_FORM_RFC822, MIME_SECTION_ALL, false},
	{STR("RFC822.HEADER"), IMAP_FETCH_FORM_RFC822_HEADER, MIME_SECTION_HEADER, true},
	{STR("RFC822.TEXT"), IMAP_FETCH_FORM_RFC822_TEXT, MIME_SECTION_TEXT, false},
};

// Grows by doubling in the arena; IMAP_FETCH_SECTIONS_MAX bounds it.
struct sections {
	struct imap_fetch_section *v;
	size_t n, size;
};

static struct imap_fetch_section *add_section(struct imap_parse *p, struct sections *sections)
{
	if (sections->n == IMAP_FETCH_SECTIONS_MAX) {
		imap_parse_fail(p, "too many sections");
		return NULL;
	}
	if (sections->n == sections->size) {
		size_t size = sections->size ? 2 * sections->size : 2;
		struct imap_fetch_section *v = arena_array(p->arena, size, sizeof *v);
		if (v == NULL) {
			imap_parse_fail(p, "command too complex");
			return NULL;
		}
		if (sections->n)
			memcpy(v, sections->v, sections->n * sizeof *v);
		sections->v = v;
		sections->size = size;
	}
	return &sections->v[sections->n++];
}

// The next bytes that can be part of an attribute's word or of a section: letters, digits, ".", "-".
static struct str take_word(struct imap_parse *p)
{
	struct str rest = imap_parse_rest(p);
	size_t n = 0;
	while (n < rest.n && (chr_is_alpha(rest.p[n]) || chr_is_digit(rest.p[n]) || rest.p[n] == '.' || rest.p[n] == '-'))
		n++;
	p->at += n;
	return str_upto(rest, n);
}

// "(" astring *(SP astring) ")"
static bool parse_fields(struct imap_parse *p, struct mime_section *section)
{
	size_t n = 1, i = 0;
	struct str rest = imap_parse_rest(p);
	for (size_t at = 0; at < rest.n && rest.p[at] != ')'; at++)
		n += rest.p[at] == ' ';
	struct str *fields = arena_array(p->arena, n, sizeof *fields);
	if (fields == NULL)
		return imap_parse_fail(p, "command too complex");
	if (!imap_parse_space(p) || !imap_parse_open(p))
		return false;
	for (;;) {
		// A literal may hold a ")", and then the count above was too small.
		if (i == n)
			return imap_parse_fail(p, "bad list of header fields");
		if (!imap_parse_astring(p, &fields[i]))
			return false;
		i++;
		if (imap_parse_peek(p) == ')')
			break;
		if (!imap_parse_space(p))
			return false;
	}
	section->fields = fields;
	section->fields_n = i;
	return imap_parse_close(p);
}

// "<start.count>", when there is one.
static bool parse_partial(struct imap_parse *p, struct imap_fetch_section *out)
{
	if (imap_parse_peek(p) != '<')
		return p->error == NULL;
	p->at++;
	out->partial = true;
	return imap_parse_number(p, &out->start) && imap_parse_byte(p, '.') && imap_parse_number_nz(p, &out->count) &&
	       imap_parse_byte(p, '>');
}

// After "BODY" or "BODY.PEEK", at the "[".
static bool parse_body(struct imap_parse *p, bool peek, struct sections *sections)
{
	struct imap_fetch_section *out = add_section(p, sections);
	if (out == NULL || !imap_parse_byte(p, '['))
		return false;
	out->peek = peek;
	if (!mime_section_parse(take_word(p), &out->section))
		return imap_parse_fail(p, "bad section");
	bool fields = out->section.kind == MIME_SECTION_FIELDS || out->section.kind == MIME_SECTION_FIELDS_NOT;
	if (fields && !parse_fields(p, &out->section))
		return false;
	return imap_parse_byte(p, ']') && parse_partial(p, out);
}

static bool parse_item(struct imap_parse *p, bool alone, unsigned *items, struct sections *sections)
{
	if (p->error)
		return false;
	struct str word = take_word(p);
	if (imap_parse_peek(p) == '[') {
		bool peek = str_eq_nocase(word, STR("BODY.PEEK"));
		if (!peek && !str_eq_nocase(word, STR("BODY")))
			return imap_parse_fail(p, "unknown attribute of FETCH");
		return parse_body(p, peek, sections);
	}
	for (size_t i = alone ? 0 : MACROS; i < sizeof words / sizeof *words; i++)
		if (str_eq_nocase(word, words[i].name)) {
			*items |= words[i].items;
			return true;
		}
	for (size_t i = 0; i < sizeof old_words / sizeof *old_words; i++)
		if (str_eq_nocase(word, old_words[i].name)) {
			struct imap_fetch_section *out = add_section(p, sections);
			if (out == NULL)
				return false;
			out->form = old_words[i].form;
			out->section.kind = old_words[i].kind;
			out->peek = old_words[i].peek;
			return true;
		}
	return imap_parse_fail(p, "unknown attribute of FETCH");
}

static bool parse_items(struct imap_parse *p, unsigned *items, struct sections *sections)
{
	if (imap_parse_peek(p) != '(')
		return parse_item(p, true, items, sections);
	if (!imap_parse_open(p) || !parse_item(p, false, items, sections))
		return false;
	while (imap_parse_peek(p) == ' ') {
		p->at++;
		if (!parse_item(p, false, items, sections))
			return false;
	}
	return imap_parse_close(p);
}

bool imap_fetch_parse(struct imap_parse *p, struct imap_fetch *fetch_out)
{
	struct imap_fetch fetch = {0};
	struct sections sections = {0};
	if (!parse_items(p, &fetch.items, &sections))
		return false;
	for (size_t i = 0; i < sections.n; i++)
		fetch.sets_seen |= !sections.v[i].peek;
	fetch.sections = sections.v;
	fetch.sections_n = sections.n;
	*fetch_out = fetch;
	return true;
}

static const char *const kind_words[] = {
	[MIME_SECTION_ALL] = "",
	[MIME_SECTION_HEADER] = "HEADER",
	[MIME_SECTION_FIELDS] = "HEADER.FIELDS",
	[MIME_SECTION_FIELDS_NOT] = "HEADER.FIELDS.NOT",
	[MIME_SECTION_TEXT] = "TEXT",
	[MIME_SECTION_MIME] = "MIME",
};

static bool is_atom(struct str s)
{
	struct imap_parse p;
	struct str atom;
	imap_parse_init(&p, s, NULL);
	return imap_parse_atom(&p, &atom) && atom.n == s.n;
}

// As an atom where the name is one (clients compare the text), else quoted; what no string may hold becomes "?".
static void add_field(struct str name, struct buf *b)
{
	struct buf clean;
	buf_init(&clean, name.n + 1);
	for (size_t i = 0; i < name.n; i++)
		buf_add_byte(&clean, name.p[i] >= ' ' && name.p[i] < 0x7F ? name.p[i] : '?');
	if (is_atom(buf_str(&clean))) {
		buf_add(b, buf_str(&clean));
	} else {
		buf_add_byte(b, '"');
		for (size_t i = 0; i < clean.n; i++) {
			if (clean.p[i] == '"' || clean.p[i] == '\\')
				buf_add_byte(b, '\\');
			buf_add_byte(b, clean.p[i]);
		}
		buf_add_byte(b, '"');
	}
	buf_fini(&clean);
}

static void add_body(const struct imap_fetch_section *section, struct buf *b)
{
	const struct mime_section *s = &section->section;
	buf_add(b, STR("BODY["));
	for (unsigned i = 0; i < s->path_n; i++)
		buf_printf(b, "%s%u", i ? "." : "", s->path[i]);
	if (s->path_n && s->kind != MIME_SECTION_ALL)
		buf_add_byte(b, '.');
	buf_add_c(b, kind_words[s->kind]);
	if (s->kind == MIME_SECTION_FIELDS || s->kind == MIME_SECTION_FIELDS_NOT) {
		buf_add(b, STR(" ("));
		for (size_t i = 0; i < s->fields_n; i++) {
			if (i)
				buf_add_byte(b, ' ');
			add_field(s->fields[i], b);
		}
		buf_add_byte(b, ')');
	}
	buf_add_byte(b, ']');
	if (section->partial)
		buf_printf(b, "<%u>", section->start);
}

void imap_fetch_section_add(const struct imap_fetch_section *section, struct buf *b)
{
	switch (section->form) {
	case IMAP_FETCH_FORM_BODY:
		add_body(section, b);
		return;
	case IMAP_FETCH_FORM_RFC822:
		buf_add(b, STR("RFC822"));
		return;
	case IMAP_FETCH_FORM_RFC822_HEADER:
		buf_add(b, STR("RFC822.HEADER"));
		return;
	case IMAP_FETCH_FORM_RFC822_TEXT:
		buf_add(b, STR("RFC822.TEXT"));
		return;
	}
}
