// SPDX-License-Identifier: Apache-2.0
// Any entry of a list, any message: a line each for mail, displayName, phListReplyTo, phListSubjectTag and phListPostPolicy, then
// the message.
// Whatever they hold, the copy has our fields once, its body and all fields that are nobody's to change as they were, and coming
// back it is known.
// Covers: router/list_header.c router/list_header_fix.c
#include <stdint.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/must.h"
#include "ldapsync/directory_memory.h"
#include "mail/header.h"
#include "router/list_header.h"
#include "router/recipient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LDIF_BYTES_MAX = 256 << 10, ARENA_BYTES = 16 << 20, INPUT_BYTES_MAX = 64 << 10 };

static void add_line(struct buf *ldif, const char *attribute, struct str value)
{
	buf_printf(ldif, "%s:: ", attribute);
	codec_base64_add(ldif, value);
	buf_add(ldif, STR("\n"));
}

static struct str take_line(struct str *rest)
{
	struct str line;
	return str_next_line(rest, &line) ? line : STR_NONE;
}

// The directory with the list that the first lines describe.
static void make_ldif(struct str *rest, struct buf *ldif)
{
	static const char *const lines[] = {"mail", "displayName", "phListReplyTo", "phListSubjectTag", "phListPostPolicy"};
	buf_init(ldif, LDIF_BYTES_MAX);
	buf_add(ldif, STR("dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
			  "dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"
			  "dn: uid=anna,dc=uni\nobjectClass: phMailUser\nuid: anna\nmail: anna@uni.example\nmailHost: mb1.uni.example\n"
			  "entryUUID: 00000000-0000-0000-0000-00000000000a\n\n"
			  "dn: cn=x,dc=uni\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: x\nmailLocalAddress: x@uni.example\n"
			  "member: uid=anna,dc=uni\n"));
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct str line = take_line(rest);
		if (line.n)
			add_line(ldif, lines[i], line);
	}
}

static bool is_ours(struct str name)
{
	static const char *const names[] = {"List-Id", "List-Post", "List-Owner", "List-Help", "List-Subscribe",
		"List-Unsubscribe", "List-Unsubscribe-Post", "List-Archive", "Subject", "Reply-To"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eq_nocase(name, str_of_c(names[i])))
			return true;
	return false;
}

// The next field that a list leaves as it is.
static bool next_kept(struct header_walk *walk, struct header_field *field)
{
	while (header_walk_next(walk, field))
		if (!is_ours(field->name))
			return true;
	return false;
}

static size_t fix(const struct list_header *list, struct str message, bool is_utf8, struct buf *out)
{
	buf_init(out, message.n + LIST_HEADER_ADDED_BYTES_MAX);
	size_t rest = list_header_fix(list, message, true, is_utf8, out);
	must(!out->overflow && rest <= message.n);
	must(buf_add(out, str_from(message, rest)));
	return rest;
}

// Our own fields read back as fields, on lines that fit.
static void check_fields(const struct list_header *list)
{
	struct header_walk walk;
	struct header_field field;
	struct str rest = list->fields, line;
	size_t n = 0;
	header_walk_init(&walk, list->fields);
	for (; header_walk_next(&walk, &field); n++)
		must(field.name.n > 0 && str_ends(field.raw, STR("\r\n")));
	must(n >= 2 && n <= 7 && walk.header_end == list->fields.n);
	while (str_next_line(&rest, &line)) {
		must(line.n <= 998 && line.n > 0);
		for (size_t i = 0; i < line.n; i++)
			must((unsigned char)line.p[i] >= 0x20 && (unsigned char)line.p[i] < 0x7f);
	}
}

static void check_kept(const struct list_header *list, struct str message, struct str copy)
{
	struct header_walk before, after;
	struct header_field field, same;
	header_walk_init(&before, message);
	header_walk_init(&after, str_from(copy, list->fields.n));
	if (header_count(message, STR("Precedence")) == 0)
		must(next_kept(&after, &same) && str_eq(same.raw, STR("Precedence: list\r\n")));
	while (next_kept(&before, &field))
		must(next_kept(&after, &same) && str_eq(same.raw, field.raw));
	must(!next_kept(&after, &same));
	must(header_count(copy, STR("List-Id")) == 1 && str_starts(copy, list->fields));
}

// A second time the same subject and the same Reply-To.
static void check_twice(const struct list_header *list, struct str copy, bool is_utf8)
{
	static const char *const names[] = {"Subject", "Reply-To"};
	struct buf again;
	struct header_field first, second;
	fix(list, copy, is_utf8, &again);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		bool there = header_find(copy, str_of_c(names[i]), &first);
		must(there == header_find(buf_str(&again), str_of_c(names[i]), &second));
		must(!there || str_eq(first.body, second.body));
	}
	buf_fini(&again);
}

static void check_copy(const struct list_header *list, struct str message, bool is_utf8)
{
	struct buf copy, cut;
	bool has_header = !str_starts(message, STR(" ")) && !str_starts(message, STR("\t"));
	size_t rest = fix(list, message, is_utf8, &copy);
	must(header_body_start(message) >= rest && str_ends(buf_str(&copy), str_from(message, rest)));
	if (has_header) {
		check_kept(list, message, buf_str(&copy));
		check_twice(list, buf_str(&copy), is_utf8);
	}
	if (!has_header)
		must(rest == 0 && header_body_start(buf_str(&copy)) == list->fields.n + 2);
	must(list_header_came_back(list, buf_str(&copy)));
	buf_fini(&copy);
	// Of a header that is longer than what is known, nothing is changed.
	struct str part = str_upto(message, message.n / 2);
	buf_init(&cut, part.n + LIST_HEADER_ADDED_BYTES_MAX);
	rest = list_header_fix(list, part, false, is_utf8, &cut);
	must(rest > 0 || str_starts(buf_str(&cut), list->fields));
	buf_fini(&cut);
}

static void decide(struct str ldif, struct str message)
{
	struct directory_memory *memory;
	struct err err;
	struct addr to;
	struct recipient_verdict verdict;
	struct directory *directory = directory_memory_new(ldif, &memory, &err);
	if (directory == NULL)
		return;
	struct arena *arena = arena_new(ARENA_BYTES);
	bool parsed = addr_parse(arena, STR("x@uni.example"), 0, &to) == ADDR_OK;
	must(parsed);
	const struct recipient_query query = {.recipient = &to, .lists = RECIPIENT_LISTS_NOW,
		.default_domain = STR("uni.example"), .entries_max = RECIPIENT_ENTRIES_MAX};
	recipient_decide(directory, &query, arena, &verdict);
	if (verdict.header) {
		check_fields(verdict.header);
		check_copy(verdict.header, message, false);
		check_copy(verdict.header, message, true);
	}
	arena_free(&arena);
	directory_close(&directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf ldif;
	if (size > INPUT_BYTES_MAX)
		return 0;
	struct str rest = str_of((const char *)data, size);
	make_ldif(&rest, &ldif);
	decide(buf_str(&ldif), rest);
	buf_fini(&ldif);
	return 0;
}
