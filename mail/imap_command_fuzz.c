// SPDX-License-Identifier: Apache-2.0
// The whole way of a command: lines and literals from a stream, then each grammar that may follow its name.
//
// What must hold: no byte of a literal is read as a line, refused or not, and parsing ends without touching what is not there.
#include "base/must.h"
#include "mail/imap_fetch.h"
#include "mail/imap_read.h"
#include "mail/imap_reply.h"
#include "mail/imap_search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void parse_one(struct str text, struct arena *arena, int which)
{
	struct imap_parse p;
	struct str tag, name, a, b;
	struct mailbox_name mailbox;
	struct imap_seqset set;
	struct imap_flags flags;
	struct imap_fetch fetch;
	struct imap_search search;
	struct date date;
	struct buf out;
	imap_parse_init(&p, text, arena);
	if (!imap_parse_tag(&p, &tag) || !imap_parse_space(&p) || !imap_parse_atom(&p, &name) || !imap_parse_space(&p))
		return;
	buf_init(&out, 64 << 10);
	switch (which) {
	case 0:
		if (imap_parse_astring(&p, &a) && imap_parse_space(&p) && imap_parse_astring(&p, &b))
			imap_parse_end(&p);
		break;
	case 1:
		if (imap_seqset_parse(&p, &set) && imap_parse_space(&p) && imap_fetch_parse(&p, &fetch))
			for (size_t i = 0; i < fetch.sections_n; i++)
				imap_fetch_section_add(&fetch.sections[i], &out);
		break;
	case 2:
		if (imap_search_parse(&p, &search))
			imap_search_prepare(&search, arena);
		break;
	case 3:
		if (imap_parse_mailbox(&p, &mailbox) && imap_parse_space(&p) && imap_parse_flags(&p, false, &flags) && imap_parse_space(&p)) {
			imap_reply_mailbox(&out, &mailbox);
			imap_reply_flags(&out, &flags);
			imap_parse_date_time(&p, &date);
		}
		break;
	default:
		if (imap_parse_pattern(&p, &a) && imap_parse_space(&p))
			imap_parse_pattern(&p, &b);
		break;
	}
	buf_fini(&out);
}

static void parse_all(struct str text)
{
	for (int which = 0; which < 5; which++) {
		struct arena *arena = arena_new(1 << 20);
		parse_one(text, arena, which);
		arena_free(&arena);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct imap_read_limits limits = {.text_bytes_max = 2000, .skip_bytes_max = 1000};
	struct str rest = str_of((const char *)data, n), line;
	struct imap_read read;
	imap_read_init(&read, &limits);
	while (str_next_line(&rest, &line)) {
		enum imap_read_state state = imap_read_line(&read, line);
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
			parse_all(imap_read_text(&read));
		imap_read_reset(&read);
	}
	imap_read_fini(&read);
	return 0;
}
