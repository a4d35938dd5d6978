// SPDX-License-Identifier: Apache-2.0
// Right-hand sides: addresses, names, includes; and what is never taken, commands and files.
#include "import_private.h"

struct member {
	enum { MEMBER_ADDRESS, MEMBER_INCLUDE, MEMBER_COMMAND, MEMBER_FILE, MEMBER_BAD } kind;
	struct str text;
};

// The files that we are in, the innermost first.
struct inside {
	struct str path;
	const struct inside *up;
	unsigned depth;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Takes bytes off *rest up to a comma that stands in no quotes, brackets or comment (RFC 5322 section 3.2). False: some of them
// is not closed.
static bool take_item(struct str *rest, struct str *item_out)
{
	bool quoted = false;
	unsigned comments = 0, brackets = 0;
	size_t n = 0;
	for (; n < rest->n; n++) {
		char c = rest->p[n];
		if (c == '\\') {
			n += n + 1 < rest->n;
		} else if (c == '"' && comments == 0) {
			quoted = !quoted;
		} else if (!quoted && c == '(') {
			comments++;
		} else if (!quoted && c == ')' && comments) {
			comments--;
		} else if (!quoted && !comments && (c == '<' || c == '>')) {
			brackets = c == '<';
		} else if (c == ',' && !quoted && !comments && !brackets) {
			break;
		}
	}
	*item_out = str_trim(str_upto(*rest, n));
	*rest = str_from(*rest, n + 1);
	return !quoted && !comments && !brackets;
}

// Without (comments).
static struct str without_comments(struct arena *arena, struct str item)
{
	char *p = arena_alloc(arena, item.n + 1);
	size_t n = 0;
	unsigned comments = 0;
	bool quoted = false;
	for (size_t i = 0; p && i < item.n; i++) {
		bool pair = item.p[i] == '\\' && i + 1 < item.n;
		quoted ^= item.p[i] == '"' && comments == 0;
		comments += !quoted && item.p[i] == '(';
		if (comments == 0) {
			p[n++] = item.p[i];
			if (pair)
				p[n++] = item.p[i + 1];
		}
		i += pair;
		comments -= comments && !quoted && item.p[i] == ')' && !pair;
	}
	return p ? str_trim(str_of(p, n)) : STR_NONE;
}

// "Full Name <address>": the address. Else *text_out is untouched.
static bool take_bracketed(struct str item, struct str *text_out)
{
	bool quoted = false;
	for (size_t i = 0; i < item.n; i++) {
		if (item.p[i] == '\\')
			i++;
		else if (item.p[i] == '"')
			quoted = !quoted;
		else if (item.p[i] == '<' && !quoted) {
			struct str after;
			return str_cut(str_from(item, i + 1), '>', text_out, &after);
		}
	}
	return false;
}

static size_t word_bytes(struct str item)
{
	bool quoted = false;
	size_t n = 0;
	for (; n < item.n && (quoted || !is_space(item.p[n])); n++) {
		if (item.p[n] == '\\')
			n += n + 1 < item.n;
		else if (item.p[n] == '"')
			quoted = !quoted;
	}
	return n;
}

static struct member of_kind(int kind, struct str text)
{
	struct member member = {.kind = kind, .text = text};
	return member;
}

// Takes the next one; white space between words separates too, as Postfix has it. False at the end.
static bool next_member(struct arena *arena, struct str *rest, struct member *member_out)
{
	while (rest->n && (is_space(rest->p[0]) || rest->p[0] == ','))
		*rest = str_from(*rest, 1);
	if (rest->n == 0)
		return false;
	struct str all = *rest, item, text;
	bool closed = take_item(rest, &item);
	struct str bare = str_starts(item, STR("\""))
				  ? str_trim(str_of(item.p + 1, item.n - 1 - str_ends(str_from(item, 1), STR("\""))))
				  : item;
	if (str_starts(bare, STR("|")))
		*member_out = of_kind(MEMBER_COMMAND, bare);
	else if (str_starts_nocase(bare, STR(":include:")))
		*member_out = of_kind(MEMBER_INCLUDE, str_trim(str_from(bare, sizeof ":include:" - 1)));
	else if (str_starts(bare, STR("/")))
		*member_out = of_kind(MEMBER_FILE, bare);
	else if (!closed)
		*member_out = of_kind(MEMBER_BAD, item);
	else if (take_bracketed(item, &text))
		*member_out = of_kind(MEMBER_ADDRESS, str_trim(text));
	else {
		bool comments = str_index(item, '(') >= 0;
		size_t n = word_bytes(item);
		*member_out = of_kind(MEMBER_ADDRESS, comments ? without_comments(arena, item) : str_upto(item, n));
		if (!comments && n < item.n)
			*rest = str_from(all, (size_t)(item.p - all.p) + n);
	}
	if (member_out->kind == MEMBER_ADDRESS &&
		str_starts(member_out->text, STR("\\"))) // delivered without another alias: mailboxes have none
		member_out->text = str_from(member_out->text, 1);
	return true;
}

static void leave_out(struct import *im, struct str text, const char *what)
{
	bool printable = text.n <= 200 && import_is_plain(text);
	import_leave_out(im, arena_printf(im->scratch, "%.*s%s%s", (int)(printable ? text.n : 0), text.p,
				     printable ? " " : "a member that ", what)
				     .p);
}

static void add_address(struct import *im, struct import_entry *entry, struct str text)
{
	struct addr addr;
	struct str ascii;
	if (text.n == 0)
		return; // a comment alone
	const char *wrong = import_address(im, text, &addr);
	if (wrong) {
		leave_out(im, text, arena_printf(im->scratch, "is no member: %s; write local-part@domain", wrong).p);
		return;
	}
	if (!addr_to_ascii(im->scratch, &addr, &ascii))
		ascii = addr.text;
	import_add_value(im, entry, "rfc822MailMember", ascii, addr.key);
}

static void add_list(struct import *im, struct import_entry *entry, struct str list, const struct inside *inside);

static const char *look_at_path(struct str path, const struct inside *inside)
{
	if (!str_starts(path, STR("/")))
		return "is not included: its path is not absolute; write it from /";
	if (inside && inside->depth >= IMPORT_INCLUDES_MAX)
		return "is not included: files include each other more than 8 deep; put it into one of them";
	for (; inside; inside = inside->up)
		if (str_eq(inside->path, path))
			return "is not included: it includes itself; break the circle";
	return NULL;
}

static void include(struct import *im, struct import_entry *entry, struct str path, const struct inside *up)
{
	struct arena *arena = arena_new((size_t)IMPORT_BYTES_MAX + 4096);
	struct import_place place = im->place;
	struct str text = STR_NONE, line;
	const char *wrong = im->kind == IMPORT_ALIASES ? look_at_path(path, up)
						       : "is not included: only aliases include files; write its addresses here";
	if (wrong == NULL)
		wrong = im->io->read(im->io->context, path, arena, &text);
	if (wrong == NULL && text.n > IMPORT_BYTES_MAX - im->bytes)
		wrong = "is not included: all files together are larger than 64 MiB; split the table";
	if (wrong) {
		leave_out(im, path, wrong);
		arena_free(&arena);
		return;
	}
	im->bytes += text.n;
	im->place = (struct import_place){.file = arena_dup(im->arena, path), .key = place.key};
	const struct inside inside = {.path = im->place.file, .up = up, .depth = up ? up->depth + 1 : 1};
	while (str_next_line(&text, &line)) {
		im->place.line++;
		line = str_trim(line);
		if (!str_starts(line, STR("#")))
			add_list(im, entry, line, &inside);
	}
	im->place = place;
	arena_free(&arena);
}

static void add_list(struct import *im, struct import_entry *entry, struct str list, const struct inside *inside)
{
	struct arena *arena = arena_new(list.n + 4096); // of one item without its comments
	struct member member;
	if (!import_is_plain(list)) {
		import_leave_out(im, "has a line with control characters, or not in UTF-8; take them out");
		list = STR_NONE;
	}
	while (next_member(arena, &list, &member)) {
		if (im->items >= IMPORT_ITEMS_MAX) {
			import_leave_out(im, "is cut: the table has more than two million rows and members; split it");
			break;
		}
		if (member.kind == MEMBER_ADDRESS && str_starts_nocase(member.text, STR("error:"))) { // what is behind it is text
			leave_out(im, member.text,
				"refuses mail, which an alias cannot; write To:ADDRESS and ERROR:D.S.N:code text into the access "
				"table");
			break;
		}
		switch (member.kind) {
		case MEMBER_ADDRESS:
			add_address(im, entry, member.text);
			break;
		case MEMBER_INCLUDE:
			include(im, entry, member.text, inside);
			break;
		case MEMBER_COMMAND:
			leave_out(im, member.text,
				"is a command, which Posthouse never runs; have a mailbox filtered, or fetch its mail by IMAP");
			break;
		case MEMBER_FILE:
			leave_out(im, member.text,
				"is a file, which Posthouse never writes; name a mailbox, or DISCARD the address in the access "
				"table");
			break;
		case MEMBER_BAD:
			leave_out(im, member.text, "has quotes, brackets or a comment that are not closed; close them");
			break;
		}
		if (inside)
			arena_reset(im->scratch); // nothing of the row itself is needed any more
		arena_reset(arena);
	}
	arena_free(&arena);
}

void import_members(struct import *im, struct import_entry *entry, struct str list)
{
	add_list(im, entry, list, NULL);
}
