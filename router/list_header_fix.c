// SPDX-License-Identifier: Apache-2.0
// The header of a message that a list sends: our fields on top, then the message's own, each byte as it was but for the subject
// and Reply-To that are to change, without the List- fields of another list.
//
// What the author wrote is not trusted to be a header: a field goes on as the lines that it is, and what is put together with
// something of the author's (tag and subject, Reply-To) cannot end a line that the author's own did not.
#include "base/codec.h"
#include "base/must.h"
#include "mail/addr.h"
#include "mail/addrlist.h"
#include "mail/header.h"
#include "router/list_header.h"

enum {
	LINE_BYTES = 78,            // RFC 5322 section 2.1.1
	SUBJECT_LOOK_BYTES = 1000,  // where a tag is looked for
	WORD_BYTES = 39,            // of text in an encoded word: 76 in a line that begins with "Subject: " (RFC 2047 section 2)
	REPLY_TO_MAX = 100,         // addresses of the author's that are kept
	ARENA_BYTES = 4 << 20,      // a header is at most a part of that
};

// --- Has it been here? ---

static bool is_id(struct str body, struct str id)
{
	ptrdiff_t open = str_rindex(body, '<'), close = str_rindex(body, '>');
	if (open >= 0 && close > open)
		body = str_upto(str_from(body, (size_t)open + 1), (size_t)(close - open - 1));
	return str_eq_nocase(body, id);
}

bool list_header_came_back(const struct list_header *list, struct str start)
{
	struct header_walk walk;
	struct header_field field;
	bool has_id = false, has_trace = false;
	header_walk_init(&walk, start);
	while (header_walk_next(&walk, &field)) {
		struct str body = str_trim(field.body);
		if (str_eq_nocase(field.name, STR("List-Id")))
			has_id |= is_id(body, list->id);
		if (!str_eq_nocase(field.name, STR("Delivered-To")))
			continue;
		if (str_eq_nocase(body, list->delivered_to))
			return true;
		has_trace = true;
	}
	return has_id && !has_trace;
}

// --- What is there ---

struct fix {
	const struct list_header *list;
	struct arena *arena;
	struct buf *out;
	struct str reply_to; // what is put into Reply-To, as this message can say it; empty: nothing
	bool has_subject, has_reply_to, has_precedence;
};

// RFC 2369, RFC 2919, RFC 8058; and what only Mailman and its like have.
static bool is_of_a_list(struct str name)
{
	static const char *const names[] = {"List-Id", "List-Post", "List-Owner", "List-Help", "List-Subscribe",
		"List-Unsubscribe", "List-Unsubscribe-Post", "List-Archive"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eq_nocase(name, str_of_c(names[i])))
			return true;
	return false;
}

static void look(struct fix *f, struct str start)
{
	struct header_walk walk;
	struct header_field field;
	header_walk_init(&walk, start);
	while (header_walk_next(&walk, &field)) {
		f->has_subject |= str_eq_nocase(field.name, STR("Subject"));
		f->has_reply_to |= str_eq_nocase(field.name, STR("Reply-To"));
		f->has_precedence |= str_eq_nocase(field.name, STR("Precedence"));
	}
}

// --- The subject ---

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7e)
			return false;
	return true;
}

static bool has_tag(struct str subject, struct str tag)
{
	subject = str_upto(subject, SUBJECT_LOOK_BYTES);
	for (size_t i = 0; i + tag.n <= subject.n; i++)
		if (str_eq_nocase(str_upto(str_from(subject, i), tag.n), tag))
			return true;
	return false;
}

// How much of text goes into one encoded word: whole characters.
static size_t word_bytes(struct str text)
{
	size_t n = text.n < WORD_BYTES ? text.n : WORD_BYTES;
	while (n < text.n && n > 1 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

// The tag as it stands in a field: plain, or in encoded words, whose last has the space before an encoded word that follows,
// because the one between two of them is not shown (RFC 2047 section 6.2).
static void add_tag(struct fix *f, bool word_follows)
{
	struct str tag = f->list->tag;
	if (is_ascii(tag) && str_find(tag, STR("=?")) < 0) {
		buf_add(f->out, tag);
		return;
	}
	if (word_follows)
		tag = arena_printf(f->arena, "%.*s ", STR_FMT(tag));
	for (size_t n; tag.n > 0; tag = str_from(tag, n)) {
		n = word_bytes(tag);
		buf_add(f->out, STR("=?utf-8?b?"));
		codec_base64_add(f->out, str_upto(tag, n));
		buf_add(f->out, n < tag.n ? STR("?=\r\n ") : STR("?="));
	}
}

static size_t first_line_bytes(struct str body)
{
	ptrdiff_t end = str_index(body, '\n');
	return end < 0 ? body.n : (size_t)end;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str without_space(struct str body)
{
	while (body.n && is_blank(body.p[0]))
		body = str_from(body, 1);
	return body;
}

static bool tag_subject(struct fix *f, const struct header_field *field)
{
	if (f->list->tag.n == 0 || has_tag(header_text(f->arena, field->body), f->list->tag))
		return false;
	struct str body = without_space(field->body);
	size_t start = f->out->n;
	buf_add(f->out, STR("Subject: "));
	add_tag(f, str_starts(body, STR("=?")));
	if (body.n) {
		bool fits = f->out->n - start + 1 + first_line_bytes(body) <= LINE_BYTES;
		buf_add(f->out, fits ? STR(" ") : STR("\r\n "));
		buf_add(f->out, body);
	}
	buf_add(f->out, STR("\r\n"));
	return true;
}

static void add_subject(struct fix *f)
{
	buf_add(f->out, STR("Subject: "));
	add_tag(f, false);
	buf_add(f->out, STR("\r\n"));
}

// --- Reply-To ---

static bool is_in(struct fix *f, const struct addrlist *list)
{
	struct addr addr;
	bool found = false;
	for (size_t i = 0; i < list->n && !found; i++) {
		const struct addrlist_item *item = &list->items[i];
		found = item->kind == ADDRLIST_MAILBOX &&
		        addr_from_parts(f->arena, item->local, item->domain, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) == ADDR_OK &&
		        str_eq(addr.key, f->list->reply_to_key);
	}
	return found;
}

// What the author has there stays behind ours, if it is a list of addresses to which one can be added.
static bool change_reply_to(struct fix *f, const struct header_field *field)
{
	struct addrlist list;
	if (f->reply_to.n == 0)
		return false;
	addrlist_parse(f->arena, field->body, REPLY_TO_MAX, &list);
	bool is_sound = list.mailboxes > 0 && !list.cut && !list.odd;
	if (is_sound && is_in(f, &list))
		return false;
	buf_add(f->out, STR("Reply-To: "));
	buf_add(f->out, f->reply_to);
	if (is_sound) {
		buf_add(f->out, STR(",\r\n "));
		buf_add(f->out, without_space(field->body));
	}
	buf_add(f->out, STR("\r\n"));
	return true;
}

static void add_reply_to(struct fix *f)
{
	buf_add(f->out, STR("Reply-To: "));
	buf_add(f->out, f->reply_to);
	buf_add(f->out, STR("\r\n"));
}

// --- The whole ---

static void add_top(struct fix *f)
{
	buf_add(f->out, f->list->fields);
	if (!f->has_precedence)
		buf_add(f->out, STR("Precedence: list\r\n"));
	if (!f->has_subject && f->list->tag.n)
		add_subject(f);
	if (!f->has_reply_to && f->reply_to.n)
		add_reply_to(f);
}

// The first subject and Reply-To are those that people see.
static void add_field(struct fix *f, const struct header_field *field, bool *subject_done, bool *reply_to_done)
{
	bool is_subject = !*subject_done && str_eq_nocase(field->name, STR("Subject"));
	bool is_reply_to = !*reply_to_done && str_eq_nocase(field->name, STR("Reply-To"));
	*subject_done |= is_subject;
	*reply_to_done |= is_reply_to;
	if (is_of_a_list(field->name) || (is_subject && tag_subject(f, field)) || (is_reply_to && change_reply_to(f, field)))
		return;
	buf_add(f->out, field->raw);
}

size_t list_header_fix(const struct list_header *list, struct str start, bool whole, bool is_utf8, struct buf *out)
{
	struct header_walk walk;
	struct header_field field;
	bool subject_done = false, reply_to_done = false;
	struct fix f = {.list = list, .out = out, .reply_to = is_utf8 ? list->reply_to : list->reply_to_ascii};
	if (start.n && (start.p[0] == ' ' || start.p[0] == '\t')) { // no header: its first line would go on with our last one
		buf_add(out, list->fields);
		buf_add(out, STR("\r\n"));
		return 0;
	}
	if (!whole && header_body_start(start) == start.n) { // its header may be longer
		buf_add(out, list->fields);
		return 0;
	}
	f.arena = arena_new(ARENA_BYTES);
	look(&f, start);
	add_top(&f);
	header_walk_init(&walk, start);
	while (header_walk_next(&walk, &field))
		add_field(&f, &field, &subject_done, &reply_to_done);
	arena_free(&f.arena);
	return walk.header_end;
}
