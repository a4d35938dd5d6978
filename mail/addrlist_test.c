// SPDX-License-Identifier: Apache-2.0
// Address lists: what clients send, what attackers send, and that 100,000 addresses are linear.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "mail/addrlist.h"

#define S(literal) {literal, sizeof(literal) - 1}

struct row {
	struct str in;
	const char *out; // name|route|local|domain, one a line; "{name" and "}" for groups
	bool odd;
};

static const struct row rows[] = {
	{S(" a@b"), "||a|b\n", false},
	{S("Joe Doe <a@b>, c@d"), "Joe Doe||a|b\n||c|d\n", false},
	{S("\"Doe, Joe \\\"JD\\\"\" <a@b>"), "Doe, Joe \"JD\"||a|b\n", false},
	{S("a@b (Jane (J.) Doe)"), "Jane (J.) Doe||a|b\n", false},
	{S("(x) a (y) @ (z) b (Jane)"), "Jane||a|b\n", false},
	{S("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"), "Pete||pete|silly.test\n", false},
	{S("A Group(Some people):Chris Jones <c@(x)y>, joe@d; (done)"), "{A Group\nChris Jones||c|y\n||joe|d\n}\n", false},
	{S("undisclosed-recipients:;"), "{undisclosed-recipients\n}\n", false},
	{S("g:a@b;, c@d"), "{g\n||a|b\n}\n||c|d\n", false},
	{S("<@r.one,@r.two:a@b>"), "|@r.one,@r.two|a|b\n", true},
	{S("\"quoted local\"@b"), "||quoted local|b\n", false},
	{S("joe . doe @ b . c"), "||joe.doe|b.c\n", false},
	{S("a@[127.0.0.1], b@[IPv6:::1]"), "||a|[127.0.0.1]\n||b|[IPv6:::1]\n", false},
	{S("=?utf-8?q?J=C3=B6rg=2C_x?= <a@b>"), "=?utf-8?q?J=C3=B6rg=2C_x?=||a|b\n", false},
	{S("Joe\r\n Doe\r\n\t<a@b>"), "Joe Doe||a|b\n", false},
	{S("J\xc3\xb6rg <\xc3\xb6@b>"), "J\xc3\xb6rg||\xc3\xb6|b\n", false},
	{S(""), "", false},
	{S(" , ,, (x)"), "", false},
	/* what is not RFC 5322 and exists */
	{S("Joe Doe joe@b"), "Joe Doe||joe|b\n", true},
	{S("postmaster"), "||postmaster|\n", true},
	{S("<>"), "|||\n", true},
	{S("@b"), "|||b\n", true},
	{S("a@"), "||a|\n", true},
	{S("Joe <a@b"), "Joe||a|b\n", true},
	{S("Joe <a@b, c@d"), "Joe||a|b\n||c|d\n", true},
	{S("g: a@b"), "{g\n||a|b\n}\n", true},
	{S("a@b; c@d"), "||a|b\n||c|d\n", true},
	{S("g:h:a@b;,c@d"), "{g\n||h:a|b\n}\n||c|d\n", false}, // groups do not nest
	{S("u@evil@us"), "||u|evil@us\n", false}, // addr_from_parts refuses this domain
	{S("Joe <a@b> <c@d>"), "Joe||a|b\n", false},
	/* odd-syntax */
	{S("(a\\"), "", true},
	{S("a@b (\\"), "\\||a|b\n", true},
	{S("\"a\\"), "||a\\|\n", true},
	{S("\"a"), "||a|\n", true},
	{S("a@[b"), "||a|[b\n", true},
	{S("a\\"), "||a\\|\n", true},
	{S("<@a"), "|||a\n", true},
	{S("<"), "|||\n", true},
	{S("[\\"), "||[\\|\n", true},
	{S("J\xc3"), "||J\xc3|\n", true},
};

static void show(const struct addrlist *list, struct buf *out)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct addrlist_item *item = &list->items[i];
		switch (item->kind) {
		case ADDRLIST_MAILBOX:
			buf_printf(out, "%.*s|%.*s|%.*s|%.*s\n", STR_FMT(item->name), STR_FMT(item->route), STR_FMT(item->local),
			           STR_FMT(item->domain));
			break;
		case ADDRLIST_GROUP_START:
			buf_printf(out, "{%.*s\n", STR_FMT(item->name));
			break;
		case ADDRLIST_GROUP_END:
			buf_add(out, STR("}\n"));
			break;
		}
	}
}

static void addrlist_reads_what_people_send(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *arena = arena_new(1 << 20);
		struct addrlist list;
		// A copy of exactly its size, so that the sanitizer sees an over-read.
		char *exact = malloc(rows[i].in.n);
		memcpy(exact, rows[i].in.p, rows[i].in.n);
		addrlist_parse(arena, str_of(exact, rows[i].in.n), ADDRLIST_MAX, &list);
		buf_clear(&out);
		show(&list, &out);
		if (!str_eq(buf_str(&out), str_of_c(rows[i].out)) || list.odd != rows[i].odd || list.cut)
			fail_msg("\"%.*s\": odd %d, %.*s", STR_FMT(rows[i].in), list.odd, STR_FMT(buf_str(&out)));
		free(exact);
		arena_free(&arena);
	}
	buf_fini(&out);
}

// addr-list: as many as are asked for, and a bound on memory that closes what is open.
static void addrlist_is_bounded(void **state)
{
	(void)state;
	struct buf body;
	struct addrlist list;
	struct arena *arena = arena_new(64 << 20);
	buf_init(&body, 8 << 20);
	for (int i = 0; i < 100001; i++)
		assert_true(buf_printf(&body, "%s\"Some One\" <someone%d@uni.example>", i ? ",\r\n " : "", i));
	addrlist_parse(arena, buf_str(&body), ADDRLIST_MAX, &list);
	assert_int_equal(list.mailboxes, ADDRLIST_MAX);
	assert_int_equal(list.n, ADDRLIST_MAX);
	assert_true(list.cut && !list.odd);
	assert_true(str_eq(list.items[99999].local, STR("someone99999")));
	arena_free(&arena);

	arena = arena_new(1 << 20);
	addrlist_parse(arena, STR("g: a@b, c@d, e@f;, h@i"), 2, &list);
	assert_true(list.cut && list.mailboxes == 2 && list.n == 4 && list.items[3].kind == ADDRLIST_GROUP_END);
	addrlist_parse(arena, STR("a:;b:;c:;d:;e:;f:;g:;"), 1, &list);
	assert_true(list.cut && list.n <= 5);
	arena_free(&arena);

	arena = arena_new(1000);
	buf_clear(&body);
	buf_add(&body, STR("g:"));
	for (int i = 0; i < 5; i++)
		buf_add(&body, STR("someone-with-a-long-name-that-fills-an-arena-of-a-few-bytes-soon-enough-0123456789@uni.example,"));
	addrlist_parse(arena, buf_str(&body), ADDRLIST_MAX, &list);
	assert_true(list.cut);
	assert_true(list.n == 0 || list.items[list.n - 1].kind == ADDRLIST_GROUP_END);
	arena_free(&arena);
	buf_fini(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addrlist_reads_what_people_send),
		cmocka_unit_test(addrlist_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
