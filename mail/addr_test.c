// SPDX-License-Identifier: Apache-2.0
// Addresses and domains: what is one, what it looks like afterwards, which key it has. Rows named after THREATS.md where they are one.
#include <stdio.h>

#include "mail/addr.h"
#include "test_arena.h"

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X100 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

struct good {
	const char *in, *text, *key;
};

static const struct good good[] = {
	{"a@uni.example", "a@uni.example", "a@uni.example"},
	{"J.Doe+Lists@Uni.Example", "J.Doe+Lists@Uni.Example", "j.doe+lists@uni.example"},
	{"j.doe@Uni.example", "j.doe@Uni.example", "j.doe@uni.example"},
	{"J@uni.example.", "J@uni.example", "j@uni.example"},
	{"J@[IPv6:2001:DB8:0:0::1]", "J@[IPv6:2001:DB8:0:0::1]", "j@[ipv6:2001:db8::1]"},
	{"j@[IPv6:2001:DB8:0:0::1]", "j@[IPv6:2001:DB8:0:0::1]", "j@[ipv6:2001:db8::1]"},
	{"J@B\xc3\x9c" "cher.Example", "J@B\xc3\x9c" "cher.Example", "j@xn--bcher-kva.example"},
	{"\"J.Doe\"@uni.example", "J.Doe@uni.example", "j.doe@uni.example"},
	{"\"\\J\\D\"@uni.example", "JD@uni.example", "jd@uni.example"},
	{"\"a b\"@uni.example", "\"a b\"@uni.example", "\"a b\"@uni.example"},
	{"\"a\\\"b\\\\c\"@uni.example", "\"a\\\"b\\\\c\"@uni.example", "\"a\\\"b\\\\c\"@uni.example"},
	{"\"u@evil\"@us", "\"u@evil\"@us", "\"u@evil\"@us"},
	{"a..b.@phone.example", "\"a..b.\"@phone.example", "\"a..b.\"@phone.example"},
	{"a@under_score.example", "a@under_score.example", "a@under_score.example"},
	/* empty-lp */ {"\"\"@us", "\"\"@us", "\"\"@us"},
	/* pct, bang: literal */ {"u%evil@us", "u%evil@us", "u%evil@us"},
	{"evil!u@us", "evil!u@us", "evil!u@us"},
	/* encword-lp: nothing is decoded */ {"=?utf-8?q?=40evil?=@us", "=?utf-8?q?=40evil?=@us", "=?utf-8?q?=40evil?=@us"},
	/* plus-path, shell-lp: data */ {"u+../../x@us", "\"u+../../x\"@us", "\"u+../../x\"@us"},
	{"|cmd@us", "|cmd@us", "|cmd@us"},
	{"\";cmd;\"@us", "\";cmd;\"@us", "\";cmd;\"@us"},
	/* ldap-star */ {"*@us", "*@us", "*@us"},
	/* idn-case: one identity */ {"a@B\xc3\x9c" "cher.Example", "a@B\xc3\x9c" "cher.Example", "a@xn--bcher-kva.example"},
	{"a@bu\xcc\x88" "cher.example", "a@bu\xcc\x88" "cher.example", "a@xn--bcher-kva.example"},
	{"A@XN--Bcher-KVA.example.", "A@XN--Bcher-KVA.example", "a@xn--bcher-kva.example"},
	{"\xc3\x84" "rger@us", "\xc3\x84" "rger@us", "\xc3\xa4" "rger@us"},
	{"A\xcc\x88" "rger@us", "A\xcc\x88" "rger@us", "\xc3\xa4" "rger@us"},
	{"STRA\xc3\x9f" "E@us", "STRA\xc3\x9f" "E@us", "strasse@us"},
	/* literal-ip */ {"u@[127.0.0.1]", "u@[127.0.0.1]", "u@[127.0.0.1]"},
	{"u@[IPv6:::1]", "u@[IPv6:::1]", "u@[ipv6:::1]"},
	{"u@[ipv6:2001:DB8:0:0::1]", "u@[ipv6:2001:DB8:0:0::1]", "u@[ipv6:2001:db8::1]"},
	{X64 "@us", X64 "@us", X64 "@us"},
	{"a@" X63 ".example", "a@" X63 ".example", "a@" X63 ".example"},
};

static void addr_makes_one_text_and_one_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct addr addr, again;
		assert_int_equal(addr_parse(arena, str_of_c(good[i].in), ADDR_UTF8, &addr), ADDR_OK);
		assert_int_equal(addr.text.n, strlen(good[i].text));
		assert_memory_equal(addr.text.p, good[i].text, addr.text.n);
		assert_int_equal(addr.key.n, strlen(good[i].key));
		assert_memory_equal(addr.key.p, good[i].key, addr.key.n);
		// The text parses to itself; a key is its own key.
		assert_int_equal(addr_parse(arena, addr.text, ADDR_UTF8, &again), ADDR_OK);
		assert_true(str_eq(again.text, addr.text) && str_eq(again.key, addr.key));
		assert_int_equal(addr_parse(arena, addr.key, ADDR_UTF8, &again), ADDR_OK);
		assert_true(str_eq(again.key, addr.key));
	}
}

struct bad {
	struct str in;
	enum addr_result result;
};

#define BAD(in, result) {{in, sizeof(in) - 1}, result}
static const struct bad bad[] = {
	BAD("", ADDR_BAD_LOCAL),
	BAD("a", ADDR_SYNTAX),
	BAD("@us", ADDR_BAD_LOCAL),
	BAD("a@", ADDR_BAD_DOMAIN),
	/* double-at */ BAD("u@evil@us", ADDR_BAD_DOMAIN),
	BAD("u@us@", ADDR_BAD_DOMAIN),
	/* nul-cmd */ BAD("a\0b@us", ADDR_BAD_LOCAL),
	BAD("\"a\0b\"@us", ADDR_BAD_LOCAL),
	BAD("a@u\0s", ADDR_BAD_DOMAIN),
	BAD("a\r\n@us", ADDR_BAD_LOCAL),
	BAD("\"a\r\nb\"@us", ADDR_BAD_LOCAL),
	BAD("\"a\\\r\"@us", ADDR_BAD_LOCAL),
	BAD("\"a@us", ADDR_BAD_LOCAL),
	BAD("\"a\\", ADDR_BAD_LOCAL),
	BAD("\"a\"b@us", ADDR_BAD_LOCAL),
	BAD("a b@us", ADDR_BAD_LOCAL),
	BAD("$(x)@us", ADDR_BAD_LOCAL),
	BAD(";cmd;@us", ADDR_BAD_LOCAL),
	BAD("*)(uid=*@us", ADDR_BAD_LOCAL),
	BAD("a@us,dc=evil", ADDR_BAD_DOMAIN),
	BAD("a@us ", ADDR_BAD_DOMAIN),
	BAD("a@.us", ADDR_BAD_DOMAIN),
	BAD("a@us..", ADDR_BAD_DOMAIN),
	BAD("a@u..s", ADDR_BAD_DOMAIN),
	BAD("a@-us", ADDR_BAD_DOMAIN),
	BAD("a@us-.x", ADDR_BAD_DOMAIN),
	BAD("a@127.0.0.1", ADDR_BAD_DOMAIN),
	BAD("a@[127.0.0.1", ADDR_BAD_DOMAIN),
	BAD("a@[127.0.0.1]x", ADDR_BAD_DOMAIN),
	BAD("a@[127.1]", ADDR_BAD_DOMAIN),
	BAD("a@[::1]", ADDR_BAD_DOMAIN),
	BAD("a@[IPv6:127.0.0.1]", ADDR_BAD_DOMAIN),
	BAD("a@[x-tag:data]", ADDR_BAD_DOMAIN),
	BAD("a@[]", ADDR_BAD_DOMAIN),
	BAD("a@\xef\xbc\xa0", ADDR_BAD_DOMAIN), // a full-width at sign maps to "@"
	BAD("a@\xc3\x28.us", ADDR_BAD_DOMAIN),
	BAD("\xc3\x28@us", ADDR_BAD_LOCAL),
	BAD("\xff@us", ADDR_BAD_LOCAL),
	BAD("a\xc2\x85@us", ADDR_BAD_LOCAL),
	BAD(X64 "x@us", ADDR_TOO_LONG),
	BAD("a@x" X63 ".us", ADDR_TOO_LONG),
	BAD("a@" X63 "." X63 "." X63 "." X63 ".us", ADDR_TOO_LONG),
	BAD("\"" X100 X100 X100 "\"@us", ADDR_TOO_LONG),
};

static void addr_refuses_what_is_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct addr addr = {.routed = true};
		assert_int_equal(addr_parse(arena, bad[i].in, ADDR_UTF8, &addr), bad[i].result);
		assert_true(addr.routed && addr.text.p == NULL); // untouched
	}
	struct addr addr;
	assert_int_equal(addr_parse(arena, STR("\xc3\xa4@us"), 0, &addr), ADDR_NEEDS_UTF8);
	assert_int_equal(addr_parse(arena, STR("a@\xc3\xa4.us"), 0, &addr), ADDR_NEEDS_UTF8);
	assert_int_equal(addr_parse(arena, STR(X64 "+verp@us"), ADDR_LONG_LOCAL, &addr), ADDR_OK);
}

struct path {
	const char *in;
	unsigned flags;
	enum addr_result result;
	const char *text, *rest;
	bool routed;
};

static const struct path paths[] = {
	{"<a@us> SIZE=1", 0, ADDR_OK, "a@us", " SIZE=1", false},
	{"<>", ADDR_ALLOW_NULL, ADDR_OK, "", "", false},
	{"<>", 0, ADDR_BAD_LOCAL, NULL, NULL, false},
	{"<postmaster>", ADDR_ALLOW_POSTMASTER, ADDR_OK, "postmaster", "", false},
	{"<PostMaster>", ADDR_ALLOW_POSTMASTER, ADDR_OK, "PostMaster", "", false},
	{"<postmaster>", 0, ADDR_SYNTAX, NULL, NULL, false},
	{"<someone>", ADDR_ALLOW_POSTMASTER, ADDR_SYNTAX, NULL, NULL, false},
	/* srcroute */ {"<@us:u@evil>", 0, ADDR_OK, "u@evil", "", true},
	{"<@a.us,@b.us:u@evil>x", 0, ADDR_OK, "u@evil", "x", true},
	{"<@[127.0.0.1]:u@evil>", 0, ADDR_OK, "u@evil", "", true},
	{"<@us,u@evil>", 0, ADDR_SYNTAX, NULL, NULL, false},
	{"<@us:postmaster>", ADDR_ALLOW_POSTMASTER, ADDR_SYNTAX, NULL, NULL, false},
	{"<@:u@evil>", 0, ADDR_BAD_DOMAIN, NULL, NULL, false},
	{"<\"a>b\"@us>", 0, ADDR_OK, "\"a>b\"@us", "", false},
	{"<a@us", 0, ADDR_SYNTAX, NULL, NULL, false},
	{"a@us", 0, ADDR_SYNTAX, NULL, NULL, false},
	{"<a@us>>", 0, ADDR_OK, "a@us", ">", false},
	{"<a@[127.0.0.1]>", 0, ADDR_OK, "a@[127.0.0.1]", "", false},
	{"<a@[127.0.0.1>", 0, ADDR_BAD_DOMAIN, NULL, NULL, false},
	{"<u@evil@us>", 0, ADDR_BAD_DOMAIN, NULL, NULL, false},
};

static void addr_takes_paths_and_drops_routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		struct str rest = str_of_c(paths[i].in);
		struct addr addr;
		assert_int_equal(addr_parse_path(arena, &rest, paths[i].flags, &addr), paths[i].result);
		if (paths[i].result != ADDR_OK) {
			assert_true(str_eq(rest, str_of_c(paths[i].in)));
			continue;
		}
		assert_true(str_eq(addr.text, str_of_c(paths[i].text)));
		assert_true(str_eq(rest, str_of_c(paths[i].rest)));
		assert_int_equal(addr.routed, paths[i].routed);
		assert_int_equal(addr_is_null(&addr), paths[i].text[0] == '\0');
	}
}

struct detail {
	const char *in, *delimiters, *base, *detail;
};

static const struct detail details[] = {
	{"joe+lists@us", "+", "joe@us", "lists"},
	{"joe+@us", "+", "joe@us", ""},
	{"Joe+A+B@us", "+", "Joe@us", "A+B"},
	{"joe-a+b@us", "+-", "joe@us", "a+b"},
	{"joe-a+b@us", "+", "joe-a@us", "b"},
	{"u+../../x@us", "+", "u@us", "../../x"},
	{"+joe@us", "+", NULL, NULL},
	{"joe@us", "+", NULL, NULL},
	{"joe+x@us", "", NULL, NULL},
	{"owner-list@us", "-", NULL, NULL},
	{"List-Request@us", "-+", NULL, NULL},
	{"joe+room-request@us", "+", "joe@us", "room-request"},
	{"Mailer-Daemon@us", "-", NULL, NULL},
	{"double-bounce@us", "-", NULL, NULL},
	{"postmaster@us", "m", NULL, NULL},
};

static void addr_detail_splits_at_the_first_delimiter(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
		struct addr addr, base;
		struct str detail;
		assert_int_equal(addr_parse(arena, str_of_c(details[i].in), 0, &addr), ADDR_OK);
		bool split = addr_detail(arena, &addr, str_of_c(details[i].delimiters), &base, &detail);
		assert_int_equal(split, details[i].base != NULL);
		if (split) {
			assert_true(str_eq(base.text, str_of_c(details[i].base)));
			assert_true(str_eq(detail, str_of_c(details[i].detail)));
		}
	}
}

static void addr_moves_between_domains_and_arenas(void **state)
{
	(void)state;
	struct str rest = STR("<Postmaster>"), text;
	struct addr postmaster, addr;
	struct domain domain;
	assert_int_equal(addr_parse_path(arena, &rest, ADDR_ALLOW_POSTMASTER, &postmaster), ADDR_OK);
	assert_true(addr_is_postmaster(&postmaster));
	assert_true(str_eq(postmaster.key, STR("postmaster")));
	assert_int_equal(domain_parse(arena, STR("B\xc3\xbc" "cher.example"), DOMAIN_UTF8, &domain), DOMAIN_OK);
	assert_int_equal(addr_with_domain(arena, &postmaster, &domain, &addr), ADDR_OK);
	assert_true(str_eq(addr.key, STR("postmaster@xn--bcher-kva.example")) && addr.utf8 && addr_is_postmaster(&addr));
	assert_true(addr_to_ascii(arena, &addr, &text) && str_eq(text, STR("Postmaster@xn--bcher-kva.example")));
	struct arena *other = arena_new(4096);
	struct addr twin = addr_copy(other, &addr);
	assert_true(addr_same(&twin, &addr) && twin.text.p != addr.text.p);
	arena_free(&other);
	assert_int_equal(addr_from_parts(arena, STR("a@b \"c"), STR("us"), 0, &addr), ADDR_OK);
	assert_true(str_eq(addr.text, STR("\"a@b \\\"c\"@us")));
	assert_int_equal(addr_from_parts(arena, STR("a\nb"), STR("us"), 0, &addr), ADDR_BAD_LOCAL);
	assert_int_equal(addr_from_parts(arena, STR("\xc3\xa4"), STR("us"), ADDR_UTF8, &addr), ADDR_OK);
	assert_false(addr_to_ascii(arena, &addr, &text));
}

static void addr_reports_a_full_arena(void **state)
{
	(void)state;
	struct arena *small = arena_new(20);
	struct addr addr;
	assert_int_equal(addr_parse(small, STR("a@a-rather-long-domain-name.example"), 0, &addr), ADDR_FULL);
	arena_free(&small);
}

static void domain_keys_know_their_parents(void **state)
{
	(void)state;
	assert_true(domain_key_is_below(STR("mail.uni.example"), STR("uni.example")));
	assert_false(domain_key_is_below(STR("uni.example"), STR("uni.example")));
	assert_false(domain_key_is_below(STR("evil-uni.example"), STR("uni.example")));
	assert_false(domain_key_is_below(STR(".uni.example"), STR("uni.example")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addr_makes_one_text_and_one_key, setup, teardown),
		cmocka_unit_test_setup_teardown(addr_refuses_what_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(addr_takes_paths_and_drops_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(addr_detail_splits_at_the_first_delimiter, setup, teardown),
		cmocka_unit_test_setup_teardown(addr_moves_between_domains_and_arenas, setup, teardown),
		cmocka_unit_test_setup_teardown(addr_reports_a_full_arena, setup, teardown),
		cmocka_unit_test(domain_keys_know_their_parents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
