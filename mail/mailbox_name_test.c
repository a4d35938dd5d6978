// SPDX-License-Identifier: Apache-2.0
// Folder names: what is one, and modified UTF-7 both ways.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/mailbox_name.h"

static struct arena *arena;

static int make_arena(void **state)
{
	(void)state;
	arena = arena_new(1 << 20);
	return 0;
}

static int drop_arena(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static void names_are_checked(void **state)
{
	(void)state;
	static const struct str bad[] = {STR(""), STR("/"), STR("/a"), STR("a//b"), STR("a//"), STR("../x"), STR("a/.."), STR("a/./b"), STR("."),
		STR("a\0b"), STR("a\r\nb"), STR("a%"), STR("a*b"), STR("\x7f"), STR("\xff"), STR("\xc2\x85"), STR("a\xe2\x80\xa8z"),
		STR("\xed\xa0\x80"), STR("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/31/32/33/34/35/"
			"36/37/38/39/40/41/42/43/44/45/46/47/48/49/50/51")};
	struct mailbox_name name;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (mailbox_name_from_utf8(bad[i], arena, &name))
			fail_msg("row %zu is no name", i);
	char longest[MAILBOX_NAME_BYTES_MAX + 1];
	memset(longest, 'x', sizeof longest);
	assert_true(mailbox_name_from_utf8(str_of(longest, MAILBOX_NAME_BYTES_MAX), arena, &name));
	assert_false(mailbox_name_from_utf8(str_of(longest, MAILBOX_NAME_BYTES_MAX + 1), arena, &name));
}

static void names_have_one_form(void **state)
{
	(void)state;
	static const struct {
		struct str in, out;
		bool delimiter;
	} rows[] = {
		{STR("inbox"), STR("INBOX"), false},
		{STR("InBox/Sub"), STR("INBOX/Sub"), false},
		{STR("inboxes"), STR("inboxes"), false},
		{STR("a/b/"), STR("a/b"), true},
		{STR("a/inbox"), STR("a/inbox"), false},
		{STR("a\xcc\x88"), STR("\xc3\xa4"), false}, // a, combining diaeresis
		{STR("..."), STR("..."), false},
		{STR("INBOX/"), STR("INBOX"), true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct mailbox_name name;
		assert_true(mailbox_name_from_utf8(rows[i].in, arena, &name));
		assert_true(str_eq(name.path, rows[i].out));
		assert_int_equal(name.had_delimiter_at_end, rows[i].delimiter);
	}
	struct mailbox_name name, parent;
	assert_true(mailbox_name_from_utf8(STR("a/b/c"), arena, &name));
	assert_true(mailbox_name_parent(&name, &parent) && str_eq(parent.path, STR("a/b")));
	assert_true(mailbox_name_parent(&parent, &parent) && !mailbox_name_parent(&parent, &parent));
}

static void modified_utf7_round_trips(void **state)
{
	(void)state;
	static const struct {
		struct str mutf7, utf8;
	} rows[] = {
		{STR("~peter/mail/&U,BTFw-/&ZeVnLIqe-"), STR("~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e")}, // RFC 3501
		{STR("Gel&APY-scht"), STR("Gel\xc3\xb6scht")},
		{STR("a&-b"), STR("a&b")},
		{STR("&2D3eAQ-"), STR("\xf0\x9f\x98\x81")},
		{STR("&AOQA9gD8-"), STR("\xc3\xa4\xc3\xb6\xc3\xbc")},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct mailbox_name name;
		struct buf b;
		assert_true(mailbox_name_from_mutf7(rows[i].mutf7, arena, &name));
		assert_true(str_eq(name.path, rows[i].utf8));
		buf_init(&b, 4096);
		assert_true(mailbox_name_to_mutf7(&name, &b));
		assert_true(str_eq(buf_str(&b), rows[i].mutf7));
		buf_fini(&b);
	}
}

static void modified_utf7_is_strict(void **state)
{
	(void)state;
	static const struct str bad[] = {STR("&"), STR("&AOQ"), STR("a\xc3\xa4"), STR("&AGE-"), STR("&A-"), STR("&AOR-"), STR("&AOQ=-"), STR("&AO/Q-"),
		STR("&2D0-"), STR("&3gE-"), STR("&2D3YPQ-"), STR("&AOQ-&APY-"), STR("a\tb"), STR("&AAA-"), STR("&AOQAAA-"), STR("&Jjo!")};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct mailbox_name name;
		if (mailbox_name_from_mutf7(bad[i], arena, &name))
			fail_msg("row %zu is no name", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(names_have_one_form),
		cmocka_unit_test(modified_utf7_round_trips),
		cmocka_unit_test(modified_utf7_is_strict),
	};
	return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
