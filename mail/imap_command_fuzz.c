// SPDX-License-Identifier: Apache-2.0
// The whole way of a command: lines and literals from a stream, then the grammar that follows its name.
//
// What must hold: no byte of a literal is read as a line, refused or not; parsing ends without touching what is not there; what
// we write of a section, of a string, of flags, of a mailbox's name reads back as the same.
// Covers: mail/imap_parse.c mail/imap_parse_date.c mail/imap_read.c mail/imap_fetch.c mail/imap_search.c
#include "base/must.h"
#include "mail/imap_fetch.h"
#include "mail/imap_read.h"
#include "mail/imap_reply.h"
#include "mail/imap_search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

// A string as we write it, as a client and as our own parser read it.
static void check_string(struct str s, struct arena *arena)
{
	struct buf out;
	struct imap_parse p;
	struct str again;
	if (str_index(s, '\0') >= 0) // no string of RFC 3501 holds it
		return;
	buf_init(&out, 64 << 10);
	imap_reply_string(&out, s);
	imap_parse_init(&p, buf_str(&out), arena);
	must(!out.overflow && imap_parse_string(&p, &again) && imap_parse_end(&p) && str_eq(again, s));
	buf_fini(&out);
}

static void parse_login(struct imap_parse *p)
{
	struct str login, password;
	if (!imap_parse_astring(p, &login) || !imap_parse_space(p) || !imap_parse_astring(p, &password) || !imap_parse_end(p))
		return;
	check_string(login, p->arena);
	check_string(password, p->arena);
}

// The name in an answer is what the client asked for, so it must read as the same section. "<start>" has no count in an answer.
static void check_section(const struct imap_fetch_section *section, struct arena *arena)
{
	struct buf out, twice;
	struct imap_parse p;
	struct imap_fetch again;
	struct imap_fetch_section whole = *section;
	whole.partial = false;
	buf_init(&out, 64 << 10);
	buf_init(&twice, 64 << 10);
	imap_fetch_section_add(&whole, &out);
	must(!out.overflow && str_index(buf_str(&out), '\r') < 0 && str_index(buf_str(&out), '\n') < 0);
	imap_parse_init(&p, buf_str(&out), arena);
	must(imap_fetch_parse(&p, &again) && imap_parse_end(&p) && again.sections_n == 1 &&
		again.sections[0].form == section->form);
	imap_fetch_section_add(&again.sections[0], &twice);
	must(str_eq(buf_str(&out), buf_str(&twice)));
	buf_fini(&out);
	buf_fini(&twice);
}

static void parse_fetch(struct imap_parse *p)
{
	struct imap_seqset set;
	struct imap_fetch fetch;
	if (!imap_seqset_parse(p, &set) || !imap_parse_space(p) || !imap_fetch_parse(p, &fetch) || !imap_parse_end(p))
		return;
	must(fetch.items || fetch.sections_n);
	must(fetch.sections_n <= IMAP_FETCH_SECTIONS_MAX);
	for (size_t i = 0; i < fetch.sections_n; i++)
		check_section(&fetch.sections[i], p->arena);
}

static void check_set(struct imap_search_key *key, void *arg)
{
	(void)arg;
	must(key->set.n > 0);
}

static void parse_search(struct imap_parse *p)
{
	struct imap_search search;
	if (!imap_search_parse(p, &search))
		return;
	must(search.cost <= 2 && search.key->kind == IMAP_SEARCH_AND);
	imap_search_each_set(search.key, check_set, NULL);
	imap_search_prepare(&search, p->arena);
}

static void check_flags(const struct imap_flags *flags, struct arena *arena)
{
	struct buf out;
	struct imap_parse p;
	struct imap_flags again;
	buf_init(&out, 64 << 10);
	imap_reply_flags(&out, flags);
	imap_parse_init(&p, buf_str(&out), arena);
	must(imap_parse_flags(&p, false, &again) && imap_parse_end(&p));
	must(again.system == flags->system && again.keywords_n == flags->keywords_n);
	for (size_t i = 0; i < again.keywords_n; i++)
		must(str_eq(again.keywords[i], flags->keywords[i]));
	buf_fini(&out);
}

static void check_mailbox(const struct mailbox_name *name, struct arena *arena)
{
	struct buf out;
	struct imap_parse p;
	struct mailbox_name again;
	buf_init(&out, 64 << 10);
	imap_reply_mailbox(&out, name);
	imap_parse_init(&p, buf_str(&out), arena);
	must(imap_parse_mailbox(&p, &again) && imap_parse_end(&p) && str_eq(again.path, name->path));
	buf_fini(&out);
}

static void parse_append(struct imap_parse *p)
{
	struct mailbox_name name;
	struct imap_flags flags;
	struct date date, again;
	if (!imap_parse_mailbox(p, &name) || !imap_parse_space(p))
		return;
	check_mailbox(&name, p->arena);
	if (imap_parse_peek(p) == '(') {
		if (!imap_parse_flags(p, false, &flags) || !imap_parse_space(p))
			return;
		check_flags(&flags, p->arena);
	}
	if (imap_parse_peek(p) == '"') {
		if (!imap_parse_date_time(p, &date) || !imap_parse_space(p))
			return;
		struct buf out;
		struct imap_parse inner;
		buf_init(&out, 100);
		imap_reply_date(&out, date);
		imap_parse_init(&inner, buf_str(&out), p->arena);
		must(imap_parse_date_time(&inner, &again) && again.utc_s == date.utc_s && again.zone_min == date.zone_min);
		buf_fini(&out);
	}
	imap_parse_announced(p);
}

static void parse_store(struct imap_parse *p)
{
	struct imap_seqset set;
	struct str item;
	struct imap_flags flags;
	if (imap_seqset_parse(p, &set) && imap_parse_space(p) && imap_parse_atom(p, &item) && imap_parse_space(p) &&
		imap_parse_flags(p, true, &flags) && imap_parse_end(p))
		check_flags(&flags, p->arena);
}

static void parse_list(struct imap_parse *p)
{
	struct str reference, pattern;
	if (imap_parse_pattern(p, &reference) && imap_parse_space(p) && imap_parse_pattern(p, &pattern) && imap_parse_end(p))
		must(str_is_utf8(reference) && str_is_utf8(pattern));
}

static void parse_rename(struct imap_parse *p)
{
	struct mailbox_name from, to;
	if (imap_parse_mailbox(p, &from) && imap_parse_space(p) && imap_parse_mailbox_new(p, &to) && imap_parse_end(p))
		check_mailbox(&to, p->arena);
}

static void parse_id(struct imap_parse *p)
{
	struct str s;
	if (!imap_parse_open(p))
		return;
	while (imap_parse_nstring(p, &s) && imap_parse_space(p))
		;
}

static const struct {
	struct str name;
	void (*parse)(struct imap_parse *p);
} grammars[] = {
	{STR("LOGIN"), parse_login}, {STR("FETCH"), parse_fetch}, {STR("SEARCH"), parse_search}, {STR("APPEND"), parse_append},
	{STR("STORE"), parse_store}, {STR("LIST"), parse_list},   {STR("RENAME"), parse_rename}, {STR("ID"), parse_id},
};

// True when the command ends with the announcement of a literal that goes elsewhere, as the message of APPEND does.
static bool parse(struct str text)
{
	struct arena *arena = arena_new(1 << 20);
	struct imap_parse p;
	struct str tag, name;
	imap_parse_init(&p, text, arena);
	bool ok = imap_parse_tag(&p, &tag) && imap_parse_space(&p) && imap_parse_atom(&p, &name) && imap_parse_space(&p);
	if (ok && str_eq_nocase(name, STR("UID")))
		ok = imap_parse_atom(&p, &name) && imap_parse_space(&p);
	for (size_t i = 0; ok && i < sizeof grammars / sizeof *grammars; i++)
		if (str_eq_nocase(name, grammars[i].name))
			grammars[i].parse(&p);
	must(p.at <= text.n);
	bool takes = ok && str_eq_nocase(name, STR("APPEND")) && p.error == NULL && p.at == text.n;
	arena_free(&arena);
	return takes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct imap_read_limits limits = {.text_bytes_max = 2000, .skip_bytes_max = 1000};
	struct str rest = str_of((const char *)data, n), line;
	struct imap_read read;
	imap_read_init(&read, &limits);
	while (str_next_line(&rest, &line)) {
		enum imap_read_state state = imap_read_line(&read, line);
		if (state == IMAP_READ_LITERAL && parse(imap_read_text(&read)) && read.literal.n <= rest.n) {
			imap_read_taken(&read);
			rest = str_from(rest, (size_t)read.literal.n);
			continue;
		}
		if (state == IMAP_READ_LITERAL && !imap_read_has_room(&read))
			state = imap_read_refuse(&read, "too large");
		if (state == IMAP_READ_LITERAL || state == IMAP_READ_SKIP) {
			must(state == IMAP_READ_LITERAL ? read.error == NULL : read.error != NULL);
			if (read.literal.n > rest.n)
				break;
			if (state == IMAP_READ_LITERAL)
				must(buf_add(&read.text, str_upto(rest, (size_t)read.literal.n)));
			rest = str_from(rest, (size_t)read.literal.n);
			must(imap_read_literal_done(&read) == IMAP_READ_LINE);
			continue;
		}
		must(state != IMAP_READ_LINE);
		if (state == IMAP_READ_CLOSE)
			break;
		must(imap_read_tag(&read).n > 0);
		if (state == IMAP_READ_COMMAND)
			parse(imap_read_text(&read));
		imap_read_reset(&read);
	}
	imap_read_fini(&read);
	return 0;
}
