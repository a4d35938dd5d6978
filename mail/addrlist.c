// SPDX-License-Identifier: Apache-2.0
// Address lists, read liberally and in linear time.
//
// Two looks at each byte: take_member() finds where a member ends ("," ";" or a group's ":") and where its "<" and ">" are; then
// add_mailbox() reads the member's parts. Input that is cut inside a quote, a comment or a bracket ends there.
#include "mail/addrlist.h"

#include "chars.h"

struct parser {
	struct arena *arena;
	struct addrlist *list;
	struct str rest;
	size_t items_max, mailboxes_max;
	bool in_group;
};

// A member of the list and where its parts are.
struct member {
	struct str text;   // without what ended it
	char end;          // ',' ';' ':' or 0 at the end of the input
	bool bracketed;
	size_t open, close; // of "<" and of ">", or the end of text where that is missing
};

// The offset after the quoted string (comment, domain literal) that starts at s.p[i]; s.n when it is not closed.
static size_t skip_enclosed(struct str s, size_t i, bool *odd)
{
	char open = s.p[i], close = open == '(' ? ')' : open == '[' ? ']' : '"';
	size_t depth = 0;
	for (; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == close && depth == 1)
			return i + 1;
		else if (s.p[i] == close && open == '(')
			depth--;
		else if (s.p[i] == open && (depth == 0 || open == '('))
			depth++;
	}
	*odd = true;
	return s.n;
}

static bool is_enclosing(char c)
{
	return c == '"' || c == '(' || c == '[';
}

// Finds the end of the first member of p->rest and takes it off.
static struct member take_member(struct parser *p)
{
	struct str s = p->rest;
	struct member m = {.end = 0};
	bool open = false, route = false;
	size_t i = 0;
	while (i < s.n) {
		char c = s.p[i];
		if (is_enclosing(c)) {
			i = skip_enclosed(s, i, &p->list->odd);
			continue;
		}
		if (c == '<' && !m.bracketed) {
			m.bracketed = open = true;
			m.open = i;
			route = i + 1 < s.n && s.p[i + 1] == '@';
		} else if (c == '>' && open) {
			open = false;
			m.close = i;
		} else if ((c == ',' || c == ';') && !(open && route)) {
			break;
		} else if (c == ':' && !m.bracketed && !p->in_group) {
			break;
		}
		i++;
	}
	m.text = str_upto(s, i);
	m.end = i < s.n ? s.p[i] : 0;
	if (open) {
		m.close = i;
		p->list->odd = true;
	}
	p->rest = str_from(s, i + 1);
	return m;
}

// A writer into the arena that never needs more than the bytes it reads.
struct text {
	char *p;
	size_t n;
};

static bool text_new(struct parser *p, struct text *text, size_t bytes_max)
{
	*text = (struct text){.p = arena_alloc(p->arena, bytes_max)};
	return text->p != NULL;
}

static void text_add(struct text *text, char c)
{
	text->p[text->n++] = c;
}

// The inside of a quoted string at s.p[i] without its backslashes and line ends; returns the offset after it.
static size_t add_quoted(struct str s, size_t i, struct text *text)
{
	for (i++; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (s.p[i] != '\r' && s.p[i] != '\n')
			text_add(text, s.p[i]);
	}
	return i + 1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// A display name: words and quoted strings with one space where there was white space, comments left out. {NULL, 0} when nothing
// is left.
static bool read_phrase(struct parser *p, struct str s, struct str *out)
{
	struct text text;
	bool gap = false;
	if (!text_new(p, &text, s.n))
		return false;
	for (size_t i = 0; i < s.n;) {
		char c = s.p[i];
		if (is_space(c) || c == '(') {
			gap = true;
			i = c == '(' ? skip_enclosed(s, i, &p->list->odd) : i + 1;
			continue;
		}
		if (gap && text.n)
			text_add(&text, ' ');
		gap = false;
		if (c == '"') {
			i = add_quoted(s, i, &text);
		} else {
			text_add(&text, c);
			i++;
		}
	}
	*out = text.n ? str_of(text.p, text.n) : STR_NONE;
	return true;
}

// The text of the last comment of s: the name in "a@b (Jane Doe)". {NULL, 0} without one.
static bool read_last_comment(struct parser *p, struct str s, struct str *out)
{
	size_t start = 0, end = 0;
	struct text text;
	*out = STR_NONE;
	for (size_t i = 0; i < s.n;) {
		size_t next = is_enclosing(s.p[i]) ? skip_enclosed(s, i, &p->list->odd) : i + 1;
		if (s.p[i] == '(') {
			start = i + 1;
			end = next <= s.n && next > start && s.p[next - 1] == ')' ? next - 1 : s.n;
		}
		i = next;
	}
	if (end <= start)
		return true;
	if (!text_new(p, &text, end - start))
		return false;
	for (size_t i = start; i < end; i++) {
		if (s.p[i] == '\\' && i + 1 < end)
			i++;
		if (s.p[i] != '\r' && s.p[i] != '\n')
			text_add(&text, s.p[i]);
	}
	struct str comment = str_trim(str_of(text.p, text.n));
	*out = comment.n ? comment : STR_NONE;
	return true;
}

// "@a,@b:" before an address, without its colon; s is then what follows.
static bool read_route(struct parser *p, struct str *s, struct str *out)
{
	struct text text;
	struct str trimmed = str_trim(*s);
	ptrdiff_t colon = str_index(trimmed, ':');
	*out = STR_NONE;
	if (trimmed.n == 0 || trimmed.p[0] != '@' || colon < 0)
		return true;
	if (!text_new(p, &text, (size_t)colon))
		return false;
	for (size_t i = 0; i < (size_t)colon; i++)
		if (!is_space(trimmed.p[i]))
			text_add(&text, trimmed.p[i]);
	*out = str_of(text.p, text.n);
	*s = str_from(trimmed, (size_t)colon + 1);
	p->list->odd = true;
	return true;
}

// Local part and domain of an addr-spec with comments and white space between its parts (RFC 5322 section 4.4). Words that only
// white space separates are not one local part: the last counts, as in "Joe Doe joe@b"; *words_out is where it starts.
static bool read_spec(struct parser *p, struct str s, struct addrlist_item *item, size_t *words_out)
{
	struct text local, domain;
	bool at_seen = false, gap = false;
	if (!text_new(p, &local, s.n) || !text_new(p, &domain, s.n))
		return false;
	*words_out = 0;
	for (size_t i = 0; i < s.n;) {
		char c = s.p[i];
		struct text *to = at_seen ? &domain : &local;
		if (is_space(c) || c == '(') {
			gap = true;
			i = c == '(' ? skip_enclosed(s, i, &p->list->odd) : i + 1;
			continue;
		}
		if (c == '@' && !at_seen) {
			at_seen = true;
			i++;
			gap = false;
			continue;
		}
		// What follows a domain is no part of it: "a@b c@d", "a@b>".
		if (at_seen && domain.n && ((gap && c != '.' && domain.p[domain.n - 1] != '.') || c == '<' || c == '>')) {
			p->list->odd = true;
			break;
		}
		if (!at_seen && gap && local.n && c != '.' && local.p[local.n - 1] != '.') {
			local.n = 0;
			*words_out = i;
			p->list->odd = true;
		}
		gap = false;
		if (c == '"' && !at_seen) {
			i = add_quoted(s, i, to);
		} else {
			text_add(to, c);
			i++;
		}
	}
	item->local = str_of(local.p, local.n);
	item->domain = str_of(domain.p, domain.n);
	if (!at_seen || local.n == 0 || domain.n == 0)
		p->list->odd = true;
	return true;
}

static bool add_item(struct parser *p, const struct addrlist_item *item)
{
	if (p->list->n == p->items_max)
		return false;
	p->list->items[p->list->n++] = *item;
	return true;
}

static bool add_mailbox(struct parser *p, const struct member *m)
{
	struct addrlist_item item = {.kind = ADDRLIST_MAILBOX};
	struct str spec = m->text, phrase = STR_NONE;
	size_t words = 0;
	if (p->list->mailboxes == p->mailboxes_max)
		return false;
	if (m->bracketed) {
		spec = str_upto(str_from(m->text, m->open + 1), m->close - m->open - 1);
		phrase = str_upto(m->text, m->open);
		if (!read_route(p, &spec, &item.route))
			return false;
	}
	if (!read_spec(p, spec, &item, &words))
		return false;
	if (!m->bracketed && words && str_index(spec, '@') < 0) {
		item.local = STR(""); // words and no address: a name
		phrase = spec;
	} else if (!m->bracketed) {
		phrase = str_upto(spec, words);
	}
	if (!read_phrase(p, phrase, &item.name))
		return false;
	if (item.name.p == NULL && !read_last_comment(p, m->text, &item.name))
		return false;
	p->list->mailboxes++;
	return add_item(p, &item);
}

// Is there anything but white space and comments?
static bool is_empty(struct parser *p, struct str s)
{
	for (size_t i = 0; i < s.n;) {
		if (s.p[i] != '(' && !is_space(s.p[i]))
			return false;
		i = s.p[i] == '(' ? skip_enclosed(s, i, &p->list->odd) : i + 1;
	}
	return true;
}

static bool add_member(struct parser *p, const struct member *m)
{
	struct addrlist_item item = {.kind = ADDRLIST_GROUP_START};
	if (m->end == ':') {
		p->in_group = true;
		if (!read_phrase(p, m->text, &item.name) || !add_item(p, &item)) {
			p->in_group = false;
			return false;
		}
		return true;
	}
	if (!is_empty(p, m->text))
		return add_mailbox(p, m);
	return true;
}

static bool end_group(struct parser *p)
{
	p->in_group = false;
	return add_item(p, &(struct addrlist_item){.kind = ADDRLIST_GROUP_END});
}

// At most this many items can come of body, one kept for the end of an open group.
static size_t count_items(struct str body, size_t mailboxes_max)
{
	size_t n = 2, bound = mailboxes_max < SIZE_MAX / 4 ? 3 * mailboxes_max + 2 : SIZE_MAX / 2;
	for (size_t i = 0; i < body.n; i++)
		n += body.p[i] == ',' || body.p[i] == ':' ? 1 : body.p[i] == ';' ? 2 : 0;
	return n < bound ? n : bound;
}

void addrlist_parse(struct arena *arena, struct str body, size_t max, struct addrlist *list_out)
{
	struct addrlist list = {.n = 0};
	struct parser p = {
		.arena = arena, .list = &list, .rest = body, .mailboxes_max = max, .items_max = count_items(body, max)};
	list.items = arena_array(arena, p.items_max, sizeof *list.items);
	list.cut = list.items == NULL;
	if (list.items)
		p.items_max--; // the last place is for the end of a group that is open when all is cut
	while (p.rest.n && !list.cut) {
		struct member m = take_member(&p);
		list.cut = !add_member(&p, &m);
		if (m.end == ';' && !list.cut) {
			list.odd = list.odd || !p.in_group;
			list.cut = p.in_group && !end_group(&p);
		}
	}
	if (p.in_group) {
		list.odd = true;
		p.items_max++;
		end_group(&p);
	}
	*list_out = list;
}
