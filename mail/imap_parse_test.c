// SPDX-License-Identifier: Apache-2.0
// IMAP grammar: the reader of commands, words, sequence sets, names of mailboxes, patterns.
#include <stdlib.h>

#include "mail/imap_parse.h"
#include "mail/imap_pattern.h"
#include "mail/imap_read.h"
#include "mail/imap_seqset.h"
#include "test_arena.h"

static struct imap_parse parser(struct str text)
{
	struct imap_parse p;
	imap_parse_init(&p, text, arena);
	return p;
}

#define assert_str(actual, expected)                                                             \
	do {                                                                                     \
		struct str a_ = (actual), e_ = (expected);                                       \
		if (!str_eq(a_, e_))                                                             \
			fail_msg("\"%.*s\" is not \"%.*s\"", STR_FMT(a_), STR_FMT(e_));          \
	} while (0)

// --- The reader ---

static const struct imap_read_limits limits = {.text_bytes_max = 200, .skip_bytes_max = 1000};

static void test_read_plain(void **state)
{
	(void)state;
	struct imap_read r;
	imap_read_init(&r, &limits);
	assert_int_equal(imap_read_line(&r, STR("a1 NOOP")), IMAP_READ_COMMAND);
	assert_str(imap_read_text(&r), STR("a1 NOOP"));
	imap_read_reset(&r);
	assert_int_equal(imap_read_line(&r, STR("a2 LOGIN \"{3}\" x")), IMAP_READ_COMMAND);
	imap_read_fini(&r);
}

static void test_read_literals(void **state)
{
	(void)state;
	struct imap_read r;
	imap_read_init(&r, &limits);
	assert_int_equal(imap_read_line(&r, STR("a1 LOGIN {3}")), IMAP_READ_LITERAL);
	assert_true(r.literal.waits);
	assert_int_equal(r.literal.n, 3);
	assert_true(imap_read_has_room(&r));
	buf_add(&r.text, STR("joe"));
	assert_int_equal(imap_read_literal_done(&r), IMAP_READ_LINE);
	assert_int_equal(imap_read_line(&r, STR(" {2+}")), IMAP_READ_LITERAL);
	assert_false(r.literal.waits);
	buf_add(&r.text, STR("pw"));
	imap_read_literal_done(&r);
	assert_int_equal(imap_read_line(&r, STR("")), IMAP_READ_COMMAND);
	assert_str(imap_read_text(&r), STR("a1 LOGIN {3}\r\njoe {2+}\r\npw"));
	imap_read_fini(&r);
}

// A literal that we do not want never becomes a command, whoever waits for whom.
static void test_read_refused(void **state)
{
	(void)state;
	struct imap_read r;
	imap_read_init(&r, &limits);
	// Synchronising: the client waits for "+" and never sends it.
	assert_int_equal(imap_read_line(&r, STR("a1 LOGIN {5000}")), IMAP_READ_LITERAL);
	assert_false(imap_read_has_room(&r));
	assert_int_equal(imap_read_refuse(&r, "too long"), IMAP_READ_REFUSED);
	assert_str(imap_read_tag(&r), STR("a1"));
	imap_read_reset(&r);
	// Non-synchronising: it is on its way; its bytes are skipped, then the rest of the command, then it is refused.
	assert_int_equal(imap_read_line(&r, STR("a2 LOGIN {500+}")), IMAP_READ_LITERAL);
	assert_int_equal(imap_read_refuse(&r, "too long"), IMAP_READ_SKIP);
	assert_int_equal(imap_read_literal_done(&r), IMAP_READ_LINE);
	assert_int_equal(imap_read_line(&r, STR(" {10+}")), IMAP_READ_SKIP);
	assert_int_equal(imap_read_literal_done(&r), IMAP_READ_LINE);
	assert_int_equal(imap_read_line(&r, STR(" {10}")), IMAP_READ_REFUSED);
	imap_read_reset(&r);
	// More than we are willing to skip, and more than a number holds.
	assert_int_equal(imap_read_line(&r, STR("a3 X {1001+}")), IMAP_READ_LITERAL);
	assert_int_equal(imap_read_refuse(&r, "too long"), IMAP_READ_CLOSE);
	imap_read_reset(&r);
	assert_int_equal(imap_read_line(&r, STR("a4 X {99999999999999999999+}")), IMAP_READ_CLOSE);
	imap_read_reset(&r);
	assert_int_equal(imap_read_line(&r, STR("a5 X {99999999999999999999}")), IMAP_READ_REFUSED);
	imap_read_fini(&r);
}

static void test_read_nul(void **state)
{
	(void)state;
	struct imap_read r;
	imap_read_init(&r, &limits);
	assert_int_equal(imap_read_line(&r, STR("a1 NO\0OP")), IMAP_READ_REFUSED);
	imap_read_reset(&r);
	// The literal behind a NUL still comes and is still skipped.
	assert_int_equal(imap_read_line(&r, STR("a1 NO\0OP {4+}")), IMAP_READ_SKIP);
	imap_read_literal_done(&r);
	assert_int_equal(imap_read_line(&r, STR("")), IMAP_READ_REFUSED);
	imap_read_reset(&r);
	for (int binary = 0; binary < 2; binary++) {
		assert_int_equal(imap_read_line(&r, binary ? STR("a1 X ~{3}") : STR("a1 X {3}")), IMAP_READ_LITERAL);
		buf_add(&r.text, STR("a\0b"));
		imap_read_literal_done(&r);
		assert_int_equal(imap_read_line(&r, STR("")), binary ? IMAP_READ_COMMAND : IMAP_READ_REFUSED);
		imap_read_reset(&r);
	}
	imap_read_fini(&r);
}

static void test_read_too_long(void **state)
{
	(void)state;
	char long_line[300];
	struct imap_read r;
	memset(long_line, 'x', sizeof long_line);
	imap_read_init(&r, &limits);
	assert_int_equal(imap_read_line(&r, str_of(long_line, sizeof long_line)), IMAP_READ_REFUSED);
	assert_str(imap_read_tag(&r), STR("*"));
	imap_read_reset(&r);
	assert_int_equal(imap_read_line(&r, STR("a1 APPEND x {100000}")), IMAP_READ_LITERAL);
	imap_read_taken(&r);
	assert_int_equal(imap_read_line(&r, STR(" rest")), IMAP_READ_COMMAND);
	assert_str(imap_read_text(&r), STR(" rest"));
	imap_read_fini(&r);
}

// --- Words ---

static void test_strings(void **state)
{
	(void)state;
	static const struct {
		struct str in, out;
		bool good;
	} cases[] = {
		{STR("joe"), STR("joe"), true},
		{STR("a]b"), STR("a]b"), true},
		{STR("\"a b\""), STR("a b"), true},
		{STR("\"a\\\"b\\\\\""), STR("a\"b\\"), true},
		{STR("\"\""), STR(""), true},
		{STR("{3}\r\na\"b"), STR("a\"b"), true},
		{STR("{0}\r\n"), STR(""), true},
		{STR("{3+}\r\nabc"), STR("abc"), true},
		{STR("\"a\\bc\""), STR(""), false},
		{STR("\"abc"), STR(""), false},
		{STR("\"a\\"), STR(""), false},
		{STR("{3}\r\nab"), STR(""), false},
		{STR("{3}ab"), STR(""), false},
		{STR("{99999999999999999999}\r\n"), STR(""), false},
		{STR("(a)"), STR(""), false},
		{STR("\x80"), STR(""), false},
		{STR(""), STR(""), false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct imap_parse p = parser(cases[i].in);
		struct str out = STR("untouched");
		bool good = imap_parse_astring(&p, &out) && imap_parse_end(&p);
		if (good != cases[i].good)
			fail_msg("case %zu: %.*s", i, STR_FMT(cases[i].in));
		assert_str(out, good ? cases[i].out : STR("untouched"));
		assert_int_equal(p.error == NULL, good);
	}
}

static void test_numbers(void **state)
{
	(void)state;
	uint32_t n = 7;
	struct imap_parse p = parser(STR("4294967295"));
	assert_true(imap_parse_number(&p, &n));
	assert_int_equal(n, UINT32_MAX);
	p = parser(STR("4294967296"));
	assert_false(imap_parse_number(&p, &n));
	p = parser(STR("0"));
	assert_false(imap_parse_number_nz(&p, &n));
	assert_int_equal(n, UINT32_MAX);
}

static void test_flags(void **state)
{
	(void)state;
	struct imap_flags flags;
	struct imap_parse p = parser(STR("(\\Seen $Forwarded \\DELETED $forwarded)"));
	assert_true(imap_parse_flags(&p, false, &flags));
	assert_int_equal(flags.system, IMAP_FLAG_SEEN | IMAP_FLAG_DELETED);
	assert_int_equal(flags.keywords_n, 1);
	p = parser(STR("()"));
	assert_true(imap_parse_flags(&p, false, &flags));
	p = parser(STR("\\Draft x"));
	assert_true(imap_parse_flags(&p, true, &flags));
	assert_str(flags.keywords[0], STR("x"));
	static const struct str bad[] = {STR("(\\Recent)"), STR("(\\Nope)"), STR("(a b"), STR("(a  b)"), STR("\\Seen"), STR("(\"a\")")};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		p = parser(bad[i]);
		assert_false(imap_parse_flags(&p, false, &flags));
	}
}

// --- Sequence sets ---

static void test_seqset(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		uint32_t last;
		struct str out;
	} cases[] = {
		{STR("1"), 9, STR("1")},
		{STR("5,1:3,2:4"), 9, STR("1:5")},
		{STR("9:5"), 9, STR("5:9")},
		{STR("*"), 9, STR("9")},
		{STR("7:*"), 9, STR("7:9")},
		{STR("999:*"), 9, STR("9:999")}, // rule 10: always holds the last
		{STR("*:*,1"), 9, STR("1,9")},
		{STR("*"), 0, STR("")},
		{STR("1,*"), 0, STR("1")},
		{STR("4294967295,4294967294"), 9, STR("4294967294:4294967295")},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct imap_parse p = parser(cases[i].in);
		struct imap_seqset set;
		struct buf b;
		assert_true(imap_seqset_parse(&p, &set) && imap_parse_end(&p));
		imap_seqset_resolve(&set, cases[i].last);
		buf_init(&b, 1000);
		for (size_t r = 0; r < set.n; r++)
			buf_printf(&b, set.ranges[r].first == set.ranges[r].last ? "%s%u" : "%s%u:%u", r ? "," : "",
			           set.ranges[r].first, set.ranges[r].last);
		assert_str(buf_str(&b), cases[i].out);
		buf_fini(&b);
	}
	static const struct str bad[] = {STR("0"), STR(""), STR("1,"), STR("1:"), STR(",1"), STR("a"), STR("1:2:3"), STR("4294967296")};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct imap_parse p = parser(bad[i]);
		struct imap_seqset set;
		assert_false(imap_seqset_parse(&p, &set) && imap_parse_end(&p));
	}
}

static void test_seqset_out(void **state)
{
	(void)state;
	static const uint32_t numbers[] = {4, 5, 6, 9, 2, 3, 7};
	struct buf b;
	buf_init(&b, 100);
	struct imap_seqset_out out = {.b = &b};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		imap_seqset_out_add(&out, numbers[i]);
	imap_seqset_out_end(&out);
	assert_str(buf_str(&b), STR("4:6,9,2:3,7"));
	buf_fini(&b);
}

// --- Names ---

static void test_utf7(void **state)
{
	(void)state;
	static const struct {
		struct str utf7, utf8;
	} good[] = {
		{STR("Entw&APw-rfe"), STR("Entw\xC3\xBCrfe")},
		{STR("~peter/mail/&U,BTFw-/&ZeVnLIqe-"), STR("~peter/mail/\xE5\x8F\xB0\xE5\x8C\x97/\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E")},
		{STR("a&-b"), STR("a&b")},
		{STR("&AOkA6Q-"), STR("\xC3\xA9\xC3\xA9")},
		{STR("&AOk-&-"), STR("\xC3\xA9&")},
		{STR("&2D3eAA-"), STR("\xF0\x9F\x98\x80")},
	};
	static const struct str bad[] = {
		STR("&AGE-"),       // an encoded "a"
		STR("&AOk"),        // does not end
		STR("&AOl-"),       // bits left over
		STR("&AOk-&AOk-"),  // one shift would have done
		STR("&2D0-"),       // half a pair
		STR("&3gA-"),       // the second half alone
		STR("&AO*k-"),      // not base64
		STR("&AAAA-"),      // more than a unit
		STR("\xC3\xA9"),    // 8-bit
		STR("a\tb"),
		STR("&"),
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct mailbox_name name;
		struct buf b;
		assert_true(mailbox_name_from_mutf7(good[i].utf7, arena, &name));
		assert_str(name.path, good[i].utf8);
		buf_init(&b, 100);
		assert_true(mailbox_name_to_mutf7(&name, &b));
		assert_str(buf_str(&b), good[i].utf7);
		buf_fini(&b);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct str out;
		if (mutf7_decode(bad[i], arena, &out))
			fail_msg("case %zu was accepted", i);
	}
}

// Threat box-path, and what else is no name.
static void test_names(void **state)
{
	(void)state;
	struct mailbox_name name;
	static const struct str bad[] = {
		STR(""),     STR("../x"), STR("a/../b"),   STR("a/."),        STR("/a"),           STR("a//b"),    STR("/"),
		STR("a%"),   STR("a*b"),  STR("a\0b"),     STR("a\x7F"),      STR("a\r\nb"),       STR("\xC2\x85"), STR("a\xFF"),
		STR("a///"), STR("."),    STR("\xE2\x80\xA8"),
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (mailbox_name_from_utf8(bad[i], arena, &name))
			fail_msg("case %zu was accepted", i);
	assert_true(mailbox_name_from_utf8(STR("iNboX/Sub"), arena, &name));
	assert_str(name.path, STR("INBOX/Sub"));
	assert_true(mailbox_name_from_utf8(STR("inboxes"), arena, &name));
	assert_str(name.path, STR("inboxes"));
	assert_true(mailbox_name_from_utf8(STR("u\xCC\x88"), arena, &name));
	assert_str(name.path, STR("\xC3\xBC"));
	assert_true(mailbox_name_from_utf8(STR("a/b/"), arena, &name));
	assert_str(name.path, STR("a/b"));
	assert_true(name.had_delimiter_at_end);
	assert_true(mailbox_name_parent(&name, &name));
	assert_str(name.path, STR("a"));
	assert_false(mailbox_name_parent(&name, &name));
	char long_name[MAILBOX_NAME_BYTES_MAX + 1];
	memset(long_name, 'x', sizeof long_name);
	assert_true(mailbox_name_from_utf8(str_of(long_name, MAILBOX_NAME_BYTES_MAX), arena, &name));
	assert_false(mailbox_name_from_utf8(str_of(long_name, sizeof long_name), arena, &name));
	for (size_t i = 1; i < sizeof long_name; i += 2)
		long_name[i] = '/';
	assert_true(mailbox_name_from_utf8(str_of(long_name, 2 * MAILBOX_NAME_LEVELS_MAX - 1), arena, &name));
	assert_false(mailbox_name_from_utf8(str_of(long_name, 2 * MAILBOX_NAME_LEVELS_MAX + 1), arena, &name));
}

static void test_patterns(void **state)
{
	(void)state;
	static const struct {
		struct str pattern, name;
		bool matches;
	} cases[] = {
		{STR("*"), STR("a/b/c"), true},
		{STR("%"), STR("a"), true},
		{STR("%"), STR("a/b"), false},
		{STR("%/%"), STR("a/b"), true},
		{STR("a/%"), STR("a/b"), true},
		{STR("a/%"), STR("a"), false},
		{STR("a*c"), STR("a/b/c"), true},
		{STR("a%c"), STR("a/c"), false},
		{STR("%*"), STR("a/b"), true},
		{STR("*%"), STR("a/b"), true},
		{STR("%%"), STR("a/b"), false},
		{STR(""), STR("a"), false},
		{STR("inbox"), STR("INBOX"), true},
		{STR("InB%"), STR("INBOX"), true},
		{STR("inbox/sub"), STR("INBOX/Sub"), false},
		{STR("inbox/Sub"), STR("INBOX/Sub"), true},
		{STR("sent"), STR("Sent"), false},
		{STR("\xC3\xA9*"), STR("\xC3\xA9t\xC3\xA9"), true},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct imap_pattern *pattern = imap_pattern_new(cases[i].pattern, arena);
		if (imap_pattern_match(pattern, cases[i].name) != cases[i].matches)
			fail_msg("\"%.*s\" and \"%.*s\"", STR_FMT(cases[i].pattern), STR_FMT(cases[i].name));
	}
}

// Elements on both sides of a word's border, and the longest pattern.
static void test_pattern_long(void **state)
{
	(void)state;
	char text[IMAP_PATTERN_BYTES_MAX + 1];
	for (size_t n = 60; n < 70; n++) {
		memset(text, 'a', n);
		text[n] = '*';
		text[n + 1] = 'b';
		struct imap_pattern *pattern = imap_pattern_new(str_of(text, n + 2), arena);
		text[n] = 'x';
		assert_true(imap_pattern_match(pattern, str_of(text, n + 2)));
		text[n + 1] = 'c';
		assert_false(imap_pattern_match(pattern, str_of(text, n + 2)));
	}
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = i % 2 ? 'a' : '*';
	assert_null(imap_pattern_new(str_of(text, sizeof text), arena));
	struct imap_pattern *pattern = imap_pattern_new(str_of(text, IMAP_PATTERN_BYTES_MAX), arena);
	memset(text, 'a', sizeof text);
	assert_true(imap_pattern_match(pattern, str_of(text, sizeof text)));
	assert_false(imap_pattern_match(pattern, str_of(text, 100)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_plain),      cmocka_unit_test(test_read_literals), cmocka_unit_test(test_read_refused),
		cmocka_unit_test(test_read_nul),        cmocka_unit_test(test_read_too_long), cmocka_unit_test(test_strings),
		cmocka_unit_test(test_numbers),         cmocka_unit_test(test_flags),         cmocka_unit_test(test_seqset),
		cmocka_unit_test(test_seqset_out),      cmocka_unit_test(test_utf7),          cmocka_unit_test(test_names),
		cmocka_unit_test(test_patterns),        cmocka_unit_test(test_pattern_long),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
