// SPDX-License-Identifier: Apache-2.0
// Reports: the whole text of one, and the rules about what is told and returned.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "report.h"

static const struct guid guid = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const struct report_recipient failed[] = {
	{.address = {"x@far.example", 13}, .orcpt = {"rfc822;x@old.example", 20}, .reply = {"550 5.1.1 no\tsuch user", 22}, .remote = {"mx.far.example", 14}},
};

static struct report_facts facts_of(enum report_kind kind)
{
	return (struct report_facts){
		.kind = kind, .guid = guid, .hostname = STR("mx.uni.example"), .to = STR("ann@uni.example"), .queue_id = STR("Q1"), .envid = STR("e 1"),
		.arrived_ms = 1795290255000, .now_ms = 1795290855000, .gives_up_ms = 1795720000000, .recipients = failed, .n = 1,
		.original = STR("Subject: s\r\nTo: <x@far.example>\r\n\r\nsecret body\r\n"), .original_is_whole = true,
	};
}

static void with_report(const struct report_facts *facts, void (*check)(struct str text))
{
	struct buf out;
	buf_init(&out, report_bytes_max(facts));
	assert_true(report_build(facts, &out));
	check(buf_str(&out));
	buf_fini(&out);
}

static void is_whole(struct str text)
{
	char c[3500];
	assert_true(str_to_c(text, c, sizeof c));
	assert_string_equal(c,
		"From: Mail Delivery System <MAILER-DAEMON@mx.uni.example>\r\n"
		"To: <ann@uni.example>\r\n"
		"Subject: Your message could not be delivered\r\n"
		"Date: Sat, 21 Nov 2026 19:54:15 +0000\r\n"
		"Message-ID: <000102030405060708090a0b0c0d0e0f@mx.uni.example>\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"report-000102030405060708090a0b0c0d0e0f\"\r\n"
		"\r\n"
		"--report-000102030405060708090a0b0c0d0e0f\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: 8bit\r\n"
		"\r\n"
		"This is the mail system of mx.uni.example.\r\n"
		"\r\n"
		"Your message could not be delivered to the recipients below, and nothing more\r\n"
		"will be tried. What the other side said stands below each.\r\n"
		"\r\n"
		"<x@far.example>\r\n"
		"    mx.far.example said: 550 5.1.1 no such user\r\n"
		"\r\n"
		"The message had the queue id Q1.\r\n"
		"\r\n"
		"--report-000102030405060708090a0b0c0d0e0f\r\n"
		"Content-Type: message/delivery-status\r\n"
		"\r\n"
		"Reporting-MTA: dns;mx.uni.example\r\n"
		"Original-Envelope-Id: e 1\r\n"
		"Arrival-Date: Sat, 21 Nov 2026 19:44:15 +0000\r\n"
		"\r\n"
		"Original-Recipient: rfc822;x@old.example\r\n"
		"Final-Recipient: rfc822;x@far.example\r\n"
		"Action: failed\r\n"
		"Status: 5.1.1\r\n"
		"Remote-MTA: dns;mx.far.example\r\n"
		"Diagnostic-Code: smtp;550 5.1.1 no such user\r\n"
		"\r\n"
		"--report-000102030405060708090a0b0c0d0e0f\r\n"
		"Content-Type: text/rfc822-headers\r\n"
		"Content-Transfer-Encoding: 8bit\r\n"
		"\r\n"
		"Subject: s\r\n"
		"To: <x@far.example>\r\n"
		"--report-000102030405060708090a0b0c0d0e0f--\r\n");
}

static void a_failure_says_what_and_returns_the_header(void **state)
{
	(void)state;
	struct report_facts facts = facts_of(REPORT_FAILURE);
	with_report(&facts, is_whole);
}

static void has_body(struct str text)
{
	assert_true(str_find(text, STR("Content-Type: message/rfc822\r\n")) > 0);
	assert_true(str_find(text, STR("\r\n\r\nsecret body\r\n--report-")) > 0);
}

static void has_no_body(struct str text)
{
	assert_int_equal(str_find(text, STR("secret body")), -1);
	assert_true(str_find(text, STR("Subject: s\r\n")) > 0);
}

static void the_whole_is_returned_only_when_asked_for_and_bounded(void **state)
{
	(void)state;
	struct report_facts facts = facts_of(REPORT_FAILURE);
	facts.return_full = true;
	with_report(&facts, has_body);
	facts.original_is_whole = false;
	with_report(&facts, has_no_body);
	facts = facts_of(REPORT_DELAY);
	facts.return_full = true;
	with_report(&facts, has_no_body);
}

static void says_delayed(struct str text)
{
	assert_true(str_find(text, STR("Action: delayed\r\nStatus: 4.1.1\r\n")) > 0);
	assert_true(str_find(text, STR("Will-Retry-Until: Thu, 26 Nov 2026 19:06:40 +0000\r\n")) > 0);
}

static void says_relayed(struct str text)
{
	assert_true(str_find(text, STR("Action: relayed\r\nStatus: 2.0.0\r\n")) > 0);
	assert_int_equal(str_find(text, STR("Diagnostic-Code")), -1);
}

static void delay_and_success_have_their_actions(void **state)
{
	(void)state;
	struct report_facts facts = facts_of(REPORT_DELAY);
	with_report(&facts, says_delayed);
	struct report_recipient reached = {.address = STR("x@far.example"), .reply = STR("250 ok"), .relayed = true};
	facts = facts_of(REPORT_SUCCESS);
	facts.recipients = &reached;
	with_report(&facts, says_relayed);
}

static void is_global(struct str text)
{
	assert_true(str_find(text, STR("report-type=global-delivery-status")) > 0);
	assert_true(str_find(text, STR("Content-Type: message/global-delivery-status\r\n")) > 0);
	assert_true(str_find(text, STR("Final-Recipient: utf-8;\xc3\xa4@far.example\r\n")) > 0);
	assert_true(str_find(text, STR("Content-Type: message/global-headers\r\n")) > 0);
}

static void utf8_addresses_get_the_global_types(void **state)
{
	(void)state;
	struct report_recipient r = {.address = STR("\xc3\xa4@far.example"), .reply = STR("550 5.6.7 no SMTPUTF8")};
	struct report_facts facts = facts_of(REPORT_FAILURE);
	facts.recipients = &r;
	facts.utf8 = true;
	with_report(&facts, is_global);
}

static void is_short_list(struct str text)
{
	assert_true(str_find(text, STR("and 500 more.\r\n")) > 0);
}

static void many_recipients_are_bounded(void **state)
{
	(void)state;
	static struct report_recipient many[REPORT_RECIPIENTS_MAX + 500];
	static char long_reply[4096];
	memset(long_reply, 'x', sizeof long_reply);
	for (size_t i = 0; i < sizeof many / sizeof *many; i++)
		many[i] = (struct report_recipient){
			.address = str_of(long_reply, 256), .orcpt = str_of(long_reply, 500), .reply = str_of(long_reply, sizeof long_reply), .remote = str_of(long_reply, 255)};
	struct report_facts facts = facts_of(REPORT_FAILURE);
	facts.recipients = many;
	facts.n = sizeof many / sizeof *many;
	with_report(&facts, is_short_list);
}

static void statuses_come_from_replies(void **state)
{
	(void)state;
	const struct { struct str reply; const char *want; } cases[] = {
		{STR("550 5.1.1 no such user"), "5.1.1"}, {STR("550 no such user"), "5.0.0"}, {STR("451"), "4.0.0"}, {STR("250 2.1.5"), "2.1.5"},
		{STR("550 5.1.1111 x"), "5.0.0"}, {STR("550 9.1.1 x"), "5.0.0"}, {STR("550 5..1 x"), "5.0.0"}, {STR(""), "5.0.0"}, {STR("421 4.3.2"), "4.3.2"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char status[13];
		assert_string_equal(report_status(cases[i].reply, status), cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_says_what_and_returns_the_header),
		cmocka_unit_test(the_whole_is_returned_only_when_asked_for_and_bounded),
		cmocka_unit_test(delay_and_success_have_their_actions),
		cmocka_unit_test(utf8_addresses_get_the_global_types),
		cmocka_unit_test(many_recipients_are_bounded),
		cmocka_unit_test(statuses_come_from_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
