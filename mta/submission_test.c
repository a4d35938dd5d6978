// SPDX-License-Identifier: Apache-2.0
// What we write into headers: the Received field, and the completed header of a submitted message; and the budget of a login.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "submission_header.h"
#include "hour_rate.h"
#include "trace_header.h"

static struct arena *arena;
static struct addr sender;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(64 << 10);
	return addr_parse(arena, STR("Ann@uni.example"), 0, &sender) != ADDR_OK;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static const struct guid guid = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

static void received_names_peer_protocol_and_time(void **state)
{
	(void)state;
	struct netaddr peer;
	struct buf out;
	assert_true(netaddr_parse(STR("2001:db8::7"), 0, &peer));
	struct trace_facts facts = {.helo = STR("client.example"), .peer = &peer, .hostname = STR("mx.uni.example"), .queue_id = STR("Q1"),
		.esmtp = true, .only_recipient = &sender, .wall_ms = 1795290255000};
	buf_init(&out, TRACE_BYTES_MAX);
	trace_received(&facts, &out);
	assert_string_equal(buf_c(&out),
		"Received: from client.example ([IPv6:2001:db8::7])\r\n"
		"\tby mx.uni.example (Posthouse) with ESMTP\r\n"
		"\tid Q1\r\n"
		"\tfor <Ann@uni.example>; Sat, 21 Nov 2026 19:44:15 +0000\r\n");
	buf_fini(&out);
}

static void received_of_a_login_hides_where_it_is(void **state)
{
	(void)state;
	struct netaddr peer;
	struct buf out;
	struct conn_tls tls = {.version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384"};
	assert_true(netaddr_parse(STR("192.0.2.7"), 0, &peer));
	struct trace_facts facts = {.helo = STR("laptop"), .peer = &peer, .hostname = STR("h"), .queue_id = STR("Q"), .tls = &tls,
		.esmtp = true, .login = true, .smtputf8 = true};
	buf_init(&out, TRACE_BYTES_MAX);
	trace_received(&facts, &out);
	assert_int_equal(str_find(buf_str(&out), STR("192.0.2.7")), -1);
	assert_int_equal(str_find(buf_str(&out), STR("laptop")), -1);
	assert_true(str_find(buf_str(&out), STR("with UTF8SMTPSA\r\n\t(TLSv1.3 TLS_AES_256_GCM_SHA384)")) > 0);
	assert_int_equal(trace_hops(buf_str(&out)), 1);
	buf_fini(&out);
}

static void check_fix(struct str message, const char *want_header, struct str want_body)
{
	struct submission_facts facts = {.sender = &sender, .hostname = STR("h.example"), .guid = &guid, .wall_ms = 1795290255000};
	struct buf out;
	buf_init(&out, message.n + SUBMISSION_HEADER_ADDED_BYTES);
	size_t body = submission_header_fix(message, &facts, &out);
	assert_string_equal(buf_c(&out), want_header);
	assert_true(str_eq(str_from(message, body), want_body));
	buf_fini(&out);
}

#define DATE "Date: Sat, 21 Nov 2026 19:44:15 +0000\r\n"
#define ID "Message-ID: <000102030405060708090a0b0c0d0e0f@h.example>\r\n"

static void submission_completes_headers_and_keeps_the_rest(void **state)
{
	(void)state;
	check_fix(STR("From: a@b\r\nDate: x\r\nMessage-id: <1@b>\r\nTo: c@d\r\n\r\nbody\r\n"),
		"From: a@b\r\nDate: x\r\nMessage-id: <1@b>\r\nTo: c@d\r\n\r\n", STR("body\r\n"));
	check_fix(STR("Subject: s\r\n folded\r\n\r\nbody"), "Subject: s\r\n folded\r\n" DATE "From: <Ann@uni.example>\r\n" ID "\r\n", STR("body"));
}

static void submission_removes_what_is_not_for_readers(void **state)
{
	(void)state;
	check_fix(STR("From: a@b\r\nBCC: x@y,\r\n z@y\r\nReturn-Path: <q@r>\r\nDate: d\r\nMessage-ID: <1@b>\r\nresent-bcc: k@l\r\n\r\n"),
		"From: a@b\r\nDate: d\r\nMessage-ID: <1@b>\r\n\r\n", STR(""));
}

static void submission_separates_text_from_a_header_it_ran_into(void **state)
{
	(void)state;
	check_fix(STR("From: a@b\r\nhello there\r\n\r\nx"), "From: a@b\r\n" DATE ID "\r\n", STR("hello there\r\n\r\nx"));
	check_fix(STR("just text\r\n"), DATE "From: <Ann@uni.example>\r\n" ID "\r\n", STR("just text\r\n"));
	check_fix(STR(""), DATE "From: <Ann@uni.example>\r\n" ID "\r\n", STR(""));
	check_fix(STR("From: a@b"), "From: a@b\r\n" DATE ID "\r\n", STR(""));
}

static void rate_is_a_sliding_hour_for_each_login(void **state)
{
	(void)state;
	struct hour_rate *rate = hour_rate_new();
	int64_t minute = 60000, now = 1000 * minute;
	assert_true(hour_rate_take(rate, STR("ann"), 60, 100, now));
	assert_false(hour_rate_take(rate, STR("ann"), 41, 100, now));
	assert_true(hour_rate_take(rate, STR("bob"), 41, 100, now));
	assert_true(hour_rate_take(rate, STR("ann"), 40, 100, now + 30 * minute));
	assert_false(hour_rate_take(rate, STR("ann"), 1, 100, now + 59 * minute));
	assert_true(hour_rate_take(rate, STR("ann"), 60, 100, now + 60 * minute));
	assert_false(hour_rate_take(rate, STR("ann"), 1, 100, now + 60 * minute));
	assert_true(hour_rate_take(rate, STR("ann"), 100, 100, now + 500 * minute));
	assert_true(hour_rate_is_used_up(rate, STR("ann"), 100, now + 559 * minute));
	assert_false(hour_rate_is_used_up(rate, STR("ann"), 101, now + 559 * minute));
	assert_false(hour_rate_is_used_up(rate, STR("ann"), 100, now + 560 * minute));
	assert_false(hour_rate_is_used_up(rate, STR("nobody"), 100, now));
	hour_rate_free(&rate);
}

static void a_network_is_one_key(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false}, {"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct netaddr a, b;
		char a_text[NETADDR_TEXT_BYTES], b_text[NETADDR_TEXT_BYTES];
		assert_true(netaddr_parse(str_of_c(cases[i].a), 0, &a) && netaddr_parse(str_of_c(cases[i].b), 0, &b));
		assert_int_equal(str_eq(hour_rate_key(&a, a_text), hour_rate_key(&b, b_text)), cases[i].same);
	}
}

static void rate_forgets_the_longest_unused(void **state)
{
	(void)state;
	struct hour_rate *rate = hour_rate_new();
	char name[32];
	for (int i = 0; i <= HOUR_RATE_KEYS_MAX; i++) {
		snprintf(name, sizeof name, "u%d", i);
		assert_true(hour_rate_take(rate, str_of_c(name), 1, 1, 0));
	}
	assert_true(hour_rate_take(rate, STR("u0"), 1, 1, 0));
	assert_false(hour_rate_take(rate, STR("u5000"), 1, 1, 0));
	hour_rate_free(&rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_names_peer_protocol_and_time),
		cmocka_unit_test(received_of_a_login_hides_where_it_is),
		cmocka_unit_test(submission_completes_headers_and_keeps_the_rest),
		cmocka_unit_test(submission_removes_what_is_not_for_readers),
		cmocka_unit_test(submission_separates_text_from_a_header_it_ran_into),
		cmocka_unit_test(rate_is_a_sliding_hour_for_each_login),
		cmocka_unit_test(rate_forgets_the_longest_unused),
		cmocka_unit_test(a_network_is_one_key),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
