// SPDX-License-Identifier: Apache-2.0
// What FETCH and SEARCH ask for, dates in commands, answers as text, transfer encodings undone.
#include <stdlib.h>

#include "mail/imap_fetch.h"
#include "mail/imap_reply.h"
#include "mail/imap_search.h"
#include "mail/transfer.h"
#include "test_arena.h"

#define assert_str(actual, expected)                                                             \
	do {                                                                                     \
		struct str a_ = (actual), e_ = (expected);                                       \
		if (!str_eq(a_, e_))                                                             \
			fail_msg("\"%.*s\" is not \"%.*s\"", STR_FMT(a_), STR_FMT(e_));          \
	} while (0)

static bool parse_fetch(struct str text, struct imap_fetch *out)
{
	struct imap_parse p;
	imap_parse_init(&p, text, arena);
	return imap_fetch_parse(&p, out) && imap_parse_end(&p);
}

static void test_fetch_items(void **state)
{
	(void)state;
	struct imap_fetch fetch;
	assert_true(parse_fetch(STR("FAST"), &fetch));
	assert_int_equal(fetch.items, IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE);
	assert_true(parse_fetch(STR("(uid flags Envelope BODYSTRUCTURE body)"), &fetch));
	assert_int_equal(fetch.items,
		IMAP_FETCH_UID | IMAP_FETCH_FLAGS | IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODYSTRUCTURE | IMAP_FETCH_BODY);
	assert_false(fetch.sets_seen);
	static const struct str bad[] = {
		STR("(ALL)"),  STR("()"),          STR("(FLAGS"),      STR("FLAGS UID"), STR("BODY[0]"),     STR("BODY[1..2]"),
		STR("BODY[X]"), STR("BODY[MIME]"), STR("BODY[]<0.0>"), STR("BODY[]<1>"), STR("BODYX[]"),     STR("BODY[HEADER.FIELDS]"),
		STR("BODY[HEADER.FIELDS ()]"),     STR("RFC822.X"),    STR(""),          STR("BODY.PEEK"),   STR("(FLAGS  UID)"),
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (parse_fetch(bad[i], &fetch))
			fail_msg("\"%.*s\" was accepted", STR_FMT(bad[i]));
}

// The item's name comes back as clients compare it.
static void test_fetch_sections(void **state)
{
	(void)state;
	static const struct {
		struct str in, out;
		bool sets_seen;
	} cases[] = {
		{STR("BODY[]"), STR("BODY[]"), true},
		{STR("body.peek[]"), STR("BODY[]"), false},
		{STR("BODY[1.2.MIME]"), STR("BODY[1.2.MIME]"), true},
		{STR("BODY.PEEK[TEXT]<10.20>"), STR("BODY[TEXT]<10>"), false},
		{STR("BODY.PEEK[HEADER.FIELDS (Date \"X Y\" {1}\r\n))]"), STR("BODY[HEADER.FIELDS (Date \"X Y\" \")\")]"), false},
		{STR("BODY[2.header.fields.not (a)]"), STR("BODY[2.HEADER.FIELDS.NOT (a)]"), true},
		{STR("BODY[HEADER.FIELDS (\"X\xDD\")]"), STR("BODY[HEADER.FIELDS (X?)]"), true},
		{STR("RFC822"), STR("RFC822"), true},
		{STR("RFC822.HEADER"), STR("RFC822.HEADER"), false},
		{STR("RFC822.TEXT"), STR("RFC822.TEXT"), true},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct imap_fetch fetch;
		struct buf b;
		buf_init(&b, 1000);
		if (!parse_fetch(cases[i].in, &fetch) || fetch.sections_n != 1)
			fail_msg("\"%.*s\" was refused", STR_FMT(cases[i].in));
		imap_fetch_section_add(&fetch.sections[0], &b);
		assert_str(buf_str(&b), cases[i].out);
		assert_int_equal(fetch.sets_seen, cases[i].sets_seen);
		buf_fini(&b);
	}
}

static bool parse_search(struct str text, struct imap_search *out)
{
	struct imap_parse p;
	imap_parse_init(&p, text, arena);
	return imap_search_parse(&p, out);
}

static void test_search(void **state)
{
	(void)state;
	struct imap_search search;
	assert_true(parse_search(STR("CHARSET utf-8 OR (SEEN FROM \"a b\") NOT HEADER X-Y {1}\r\nz 1:3,* SINCE 1-Feb-1994"), &search));
	assert_str(search.charset, STR("utf-8"));
	assert_int_equal(search.cost, 1);
	const struct imap_search_key *or = search.key->child;
	assert_int_equal(or->kind, IMAP_SEARCH_OR);
	assert_int_equal(or->child->kind, IMAP_SEARCH_AND);
	assert_str(or->child->child->next->text, STR("a b"));
	assert_int_equal(or->child->next->kind, IMAP_SEARCH_NOT);
	assert_str(or->child->next->child->field, STR("X-Y"));
	assert_int_equal(or->next->kind, IMAP_SEARCH_SEQUENCE);
	assert_int_equal(or->next->next->day, 8797);
	static const struct str bad[] = {
		STR(""),         STR("XYZZY"),       STR("FROM"),           STR("OR SEEN"),  STR("NOT"),           STR("(SEEN"),
		STR("SEEN)"),    STR("LARGER x"),    STR("SINCE 32-Feb-94"), STR("UID a"),   STR("CHARSET UTF-8"), STR("()"),
		STR("SEEN  ALL"), STR("KEYWORD \"a\""), STR("SINCE"),
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (parse_search(bad[i], &search))
			fail_msg("\"%.*s\" was accepted", STR_FMT(bad[i]));
}

// Depth and number are bounded, whatever makes them (PROTOCOLS 22).
static void test_search_bounds(void **state)
{
	(void)state;
	struct imap_search search;
	struct buf b;
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 60; i++)
		buf_add_c(&b, "NOT ");
	buf_add_c(&b, "ALL");
	assert_false(parse_search(buf_str(&b), &search));
	buf_clear(&b);
	for (int i = 0; i < 100000; i++)
		buf_add_byte(&b, '(');
	assert_false(parse_search(buf_str(&b), &search));
	buf_clear(&b);
	buf_add_c(&b, "ALL");
	for (int i = 0; i < IMAP_SEARCH_KEYS_MAX; i++)
		buf_add_c(&b, " ALL");
	assert_false(parse_search(buf_str(&b), &search));
	buf_fini(&b);
}

static void test_search_prepare(void **state)
{
	(void)state;
	struct imap_search search;
	assert_true(parse_search(STR("CHARSET ISO-8859-1 SUBJECT {4}\r\n\xDC" "BER"), &search));
	assert_true(imap_search_prepare(&search, arena));
	struct str folded = search.key->child->text;
	assert_true(parse_search(STR("CHARSET UTF-8 SUBJECT {5}\r\n\xC3\xBC" "ber"), &search));
	assert_true(imap_search_prepare(&search, arena));
	assert_str(search.key->child->text, folded);
	assert_true(parse_search(STR("CHARSET x-no-such SUBJECT a"), &search));
	assert_false(imap_search_prepare(&search, arena));
}

static void test_dates(void **state)
{
	(void)state;
	struct imap_parse p;
	struct date date;
	struct buf b;
	imap_parse_init(&p, STR("\" 1-Feb-1994 21:52:25 -0800\""), arena);
	assert_true(imap_parse_date_time(&p, &date));
	buf_init(&b, 100);
	imap_reply_date(&b, date);
	assert_str(buf_str(&b), STR("\" 1-Feb-1994 21:52:25 -0800\""));
	buf_fini(&b);
	imap_parse_init(&p, STR("\"1 Feb 1994\""), arena);
	assert_false(imap_parse_date_time(&p, &date));
}

static void test_replies(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 10000);
	assert_str(imap_code_text(IMAP_CODE_BADCHARSET), STR("BADCHARSET (US-ASCII UTF-8)"));
	assert_str(imap_code_text(imap_code_of_err(ERR_NOTFOUND)), STR("NONEXISTENT"));
	const struct str keywords[] = {STR("$Forwarded")};
	const struct imap_flags flags = {.system = IMAP_FLAG_SEEN | IMAP_FLAG_RECENT, .keywords = keywords, .keywords_n = 1};
	imap_reply_flags(&b, &flags);
	assert_str(buf_str(&b), STR("(\\Seen \\Recent $Forwarded)"));
	buf_clear(&b);
	imap_reply_string(&b, STR("a\"b\\c"));
	imap_reply_string(&b, STR("\xC3\xBC\r\n"));
	assert_str(buf_str(&b), STR("\"a\\\"b\\\\c\"{4}\r\n\xC3\xBC\r\n"));
	buf_clear(&b);
	const struct mailbox_name name = {.path = STR("Entw\xC3\xBCrfe & mehr")};
	imap_reply_mailbox(&b, &name);
	assert_str(buf_str(&b), STR("\"Entw&APw-rfe &- mehr\""));
	buf_fini(&b);
}

static void test_transfer(void **state)
{
	(void)state;
	static const struct {
		enum mime_encoding encoding;
		struct str in, out;
	} cases[] = {
		{MIME_BASE64, STR("aGVs\r\nbG8="), STR("hello")},
		{MIME_BASE64, STR("a!GVsbG8"), STR("hello")},
		{MIME_BASE64, STR("aGVsbG8=trailing"), STR("hello")},
		{MIME_QUOTED_PRINTABLE, STR("a=3Db=\r\nc"), STR("a=bc")},
		{MIME_QUOTED_PRINTABLE, STR("a=C3=bC=  \nb"), STR("a\xC3\xBC" "b")},
		{MIME_QUOTED_PRINTABLE, STR("1=2 =XY ="), STR("1=2 =XY ")},
		{MIME_8BIT, STR("a=3D"), STR("a=3D")},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf b;
		buf_init(&b, 1000);
		assert_true(transfer_decode(cases[i].encoding, cases[i].in, &b));
		assert_str(buf_str(&b), cases[i].out);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetch_items),   cmocka_unit_test(test_fetch_sections),  cmocka_unit_test(test_search),
		cmocka_unit_test(test_search_bounds), cmocka_unit_test(test_search_prepare),  cmocka_unit_test(test_dates),
		cmocka_unit_test(test_replies),       cmocka_unit_test(test_transfer),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
