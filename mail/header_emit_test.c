// SPDX-License-Identifier: Apache-2.0
// Header fields as we write them: folded, encoded, and no line end that came from outside.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/arena.h"
#include "mail/addrlist.h"
#include "mail/encword.h"
#include "mail/header.h"
#include "mail/header_emit.h"

#define EUROS "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"

static struct arena *arena;
static struct buf out;

static int setup(void **state)
{
	(void)state;
	arena = arena_new(1 << 20);
	buf_init(&out, 1 << 16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	buf_fini(&out);
	return 0;
}

static struct addr address(const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse(arena, str_of_c(text), ADDR_UTF8, &addr), ADDR_OK);
	return addr;
}

static void emit_writes_plain_fields(void **state)
{
	(void)state;
	struct header_emit emit;
	struct addr joe = address("\"a b\"@uni.example"), null = addr_null();
	header_emit_init(&emit, &out);
	header_emit_text(&emit, STR("Subject"), STR("hello there"));
	header_emit_text(&emit, STR("Subject"), STR(""));
	header_emit_text(&emit, STR("Subject"), STR("caf\xc3\xa9"));
	header_emit_mailbox(&emit, STR("From"), STR("Joe Doe"), &joe);
	header_emit_mailbox(&emit, STR("From"), STR(""), &joe);
	header_emit_mailbox(&emit, STR("From"), STR("Doe, \"Joe\" \\"), &joe);
	header_emit_mailbox(&emit, STR("From"), STR("J\xc3\xb6rg, x"), &joe);
	header_emit_path(&emit, STR("Return-Path"), &null);
	header_emit_path(&emit, STR("Return-Path"), &joe);
	header_emit_date(&emit, STR("Date"), (struct date){1795286655, 60});
	header_emit_msgid(&emit, STR("Message-ID"), STR("a.b@c"));
	header_emit_raw(&emit, STR("X"), STR(" a\tb "));
	assert_false(emit.failed);
	assert_string_equal(buf_c(&out), "Subject: hello there\r\n"
	                                 "Subject: \r\n"
	                                 "Subject: =?utf-8?q?caf=C3=A9?=\r\n"
	                                 "From: Joe Doe <\"a b\"@uni.example>\r\n"
	                                 "From: <\"a b\"@uni.example>\r\n"
	                                 "From: \"Doe, \\\"Joe\\\" \\\\\" <\"a b\"@uni.example>\r\n"
	                                 "From: =?utf-8?q?J=C3=B6rg=2C_x?= <\"a b\"@uni.example>\r\n"
	                                 "Return-Path: <>\r\n"
	                                 "Return-Path: <\"a b\"@uni.example>\r\n"
	                                 "Date: Sat, 21 Nov 2026 19:44:15 +0100\r\n"
	                                 "Message-ID: <a.b@c>\r\n"
	                                 "X: a\tb\r\n");
}

static void try_all(struct header_emit *emit, struct str value, const struct addr *addr)
{
	void (*const calls[])(struct header_emit *emit, struct str name, struct str value) = {header_emit_text, header_emit_raw,
	                                                                                      header_emit_msgid};
	for (size_t i = 0; i < 4; i++) {
		header_emit_init(emit, &out);
		buf_clear(&out);
		buf_add(&out, STR("A: b\r\n"));
		if (i < 3)
			calls[i](emit, STR("X"), value);
		else
			header_emit_mailbox(emit, STR("X"), value, addr);
		if (!emit->failed || out.n != 6)
			fail_msg("call %zu takes \"%.*s\"", i, STR_FMT(value));
		header_emit_raw(emit, STR("Y"), STR("z")); // nothing follows a failure
		assert_int_equal(out.n, 6);
	}
}

static void emit_refuses_line_ends_from_outside(void **state)
{
	(void)state;
	struct header_emit emit;
	struct addr joe = address("a@b");
	const struct str bad[] = {STR("a\r\nBcc: x@y"), STR("a\nb"), STR("a\rb"), STR("a\0b"), STR("\xc3\xa9\r\nBcc: x"), STR("a\x7f"), STR("a\r\n b"),
	                          STR("a\nb \xff")};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		try_all(&emit, bad[i], &joe);
	try_all(&emit, STR("trailing x\r\n"), &joe);
}

static void emit_folds_and_unfolds_to_the_same(void **state)
{
	(void)state;
	struct header_emit emit;
	struct header_field field;
	struct buf text;
	buf_init(&text, 1 << 14);
	for (int i = 0; i < 300; i++)
		buf_add(&text, i % 7 == 3 ? STR("na\xc3\xafve ") : i % 31 != 30 ? STR("word ") : STR(" \xe2\x82\xac\xe2\x82\xac "));
	buf_add(&text, STR("end"));
	header_emit_init(&emit, &out);
	header_emit_text(&emit, STR("Subject"), buf_str(&text));
	assert_false(emit.failed);
	struct str rest = buf_str(&out), line;
	while (str_next_line(&rest, &line))
		assert_true(line.n <= 78 && str_is_printable(line) && str_trim(line).n > 0);
	assert_true(header_find(buf_str(&out), STR("Subject"), &field) && field.end == out.n);
	assert_true(str_eq(header_text(arena, field.body), buf_str(&text)));
	// A word without a space is encoded so that it can be folded; where it may not be, it is refused.
	buf_clear(&text);
	for (int i = 0; i < 1200; i++)
		buf_add_byte(&text, 'x');
	buf_clear(&out);
	header_emit_text(&emit, STR("Subject"), buf_str(&text));
	assert_false(emit.failed);
	assert_true(header_find(buf_str(&out), STR("Subject"), &field) && str_eq(header_text(arena, field.body), buf_str(&text)));
	header_emit_raw(&emit, STR("X"), buf_str(&text));
	assert_true(emit.failed);
	buf_fini(&text);
}

// Whatever the name: the list parser finds the same name and address again.
static void emit_mailboxes_read_back(void **state)
{
	(void)state;
	const char *const names[] = {"Joe", "Joe Doe", "Joe  Doe", "Doe, Joe", "\"", "\\", "a@b", "<x>", "(c)", "=?utf-8?q?x?=", "J\xc3\xb6rg =?", "a;b:c",
	                             EUROS " " EUROS};
	struct addr joe = address("joe@uni.example");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct header_emit emit;
		struct header_field field;
		struct addrlist list;
		buf_clear(&out);
		header_emit_init(&emit, &out);
		header_emit_mailbox(&emit, STR("From"), str_of_c(names[i]), &joe);
		assert_false(emit.failed);
		assert_true(header_find(buf_str(&out), STR("From"), &field) && field.end == out.n);
		addrlist_parse(arena, field.body, 10, &list);
		if (list.n != 1 || list.odd || !str_eq(list.items[0].local, STR("joe")) ||
		    !str_eq(encword_decode(arena, list.items[0].name), str_of_c(names[i])))
			fail_msg("%s: %.*s", names[i], STR_FMT(buf_str(&out)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(emit_writes_plain_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(emit_refuses_line_ends_from_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(emit_folds_and_unfolds_to_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(emit_mailboxes_read_back, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
