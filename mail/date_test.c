// SPDX-License-Identifier: Apache-2.0
// Dates: what mail really carries, and every day there and back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "mail/date.h"

struct header_date {
	const char *in;
	int64_t utc_s;
	int zone_min;
};

static const struct header_date header_dates[] = {
	{"Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360},
	{"Sat, 21 Nov 2026 19:44:15 +0100 (CET)", 1795286655, 60},
	{"21 Nov 2026 18:44 +0000", 1795286640, 0},
	{"  Sat ,\r\n 21 Nov 2026\r\n 18:44:15 -0000", 1795286655, 0},
	{"Mon(a \\) comment),21(b)Nov(c)2026(d)18(e):(f)44:15(g)GMT", 1795286655, 0},
	{"21 Nov 97 09:55:06 GMT", 880106106, 0},
	{"21 Nov 49 00:00:00 UT", 2521065600, 0},
	{"21 Nov 50 00:00:00 UT", -603158400, 0},
	{"21 Nov 097 09:55:06 GMT", 880106106, 0},
	{"21 Nov 1997 09:55:06 EST", 880124106, -300},
	{"21 Nov 1997 09:55:06 pdt", 880131306, -420},
	{"21 Nov 1997 09:55:06 Z", 880106106, 0},
	{"21 Nov 1997 09:55:06 A", 880106106, 0},
	{"21 Nov 1997 09:55:06 XYZ", 880106106, 0},
	{"21 Nov 1997 09:55:06", 880106106, 0},
	{"Fri 21 November 1997 9:5:6 +0000", 880103106, 0},
	{"Friday, 21-Nov-97 09:55:06 +01:00", 880102506, 60},
	{"31 Dec 2016 23:59:60 +0000", 1483228800, 0},
	{"29 Feb 2000 00:00:00 +0000", 951782400, 0},
	{"1 Jan 0001 00:00:00 +0000", -62135596800, 0},
	{"31 Dec 9999 23:59:59 +0000", 253402300799, 0},
};

static const char *const no_dates[] = {
	"", "now", "Fri,", "21", "21 Nov", "21 Nov 2026", "21 Nov 2026 18", "21 Nov 2026 18:", "21 Foo 2026 18:44:15 +0000",
	"29 Feb 1900 00:00 +0000", "32 Jan 2026 00:00 +0000", "0 Jan 2026 00:00 +0000", "1 Jan 0000 00:00 +0000",
	"1 Jan 2026 24:00 +0000", "1 Jan 2026 00:60 +0000", "1 Jan 2026 00:00:61 +0000", "1 Jan 20260 00:00 +0000", "1 Jan 5 00:00 +0000",
	"1 Jan 2026 00:00:", "-1 Jan 2026 00:00 +0000", "(1 Jan 2026 00:00 +0000", "(\\",
};

static void date_reads_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof header_dates / sizeof *header_dates; i++) {
		struct date date = {0, 0};
		bool is = date_parse_header(str_of_c(header_dates[i].in), &date);
		if (!is || date.utc_s != header_dates[i].utc_s || date.zone_min != header_dates[i].zone_min)
			fail_msg("%s: %d %lld %d", header_dates[i].in, is, (long long)date.utc_s, date.zone_min);
	}
	for (size_t i = 0; i < sizeof no_dates / sizeof *no_dates; i++) {
		struct date date = {7, 7};
		if (date_parse_header(str_of_c(no_dates[i]), &date) || date.utc_s != 7)
			fail_msg("%s is no date", no_dates[i]);
	}
}

static void date_writes_headers(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 100);
	assert_true(date_format_header((struct date){1795286655, 60}, &out));
	assert_string_equal(buf_c(&out), "Sat, 21 Nov 2026 19:44:15 +0100");
	buf_clear(&out);
	assert_true(date_format_header((struct date){0, -210}, &out));
	assert_string_equal(buf_c(&out), "Wed, 31 Dec 1969 20:30:00 -0330");
	buf_clear(&out);
	assert_false(date_format_header((struct date){INT64_MAX, 0}, &out));
	assert_false(date_format_header((struct date){INT64_MIN, 0}, &out));
	assert_false(date_format_header((struct date){253402300799, 1}, &out));
	assert_false(date_format_header((struct date){0, 1440}, &out));
	assert_int_equal(out.n, 0);
	buf_fini(&out);
}

static void date_imap_is_strict(void **state)
{
	(void)state;
	struct date date;
	struct buf out;
	buf_init(&out, 100);
	assert_true(date_parse_imap(STR("21-Nov-2026 19:44:15 +0100"), &date));
	assert_true(date.utc_s == 1795286655 && date.zone_min == 60);
	assert_true(date_parse_imap(STR(" 1-Feb-1994 21:52:25 -0800"), &date));
	assert_true(date_format_imap(date, &out));
	assert_string_equal(buf_c(&out), " 1-Feb-1994 21:52:25 -0800");
	assert_true(date_parse_imap(STR("1-Feb-1994 21:52:25 -0800"), &date));
	const char *const bad[] = {"", "21-Nov-2026", "21-Nov-2026 19:44:15", "21-Nov-2026 19:44:15 CET", "21-Nov-2026 19:44:15 +01:00",
	                           "21-Nov-2026 19:44:15 +0100 ", "30-Feb-2026 19:44:15 +0100", "21-November-2026 19:44:15 +0100",
	                           "21-Nov-26 19:44:15 +0100", "21-Nov-2026 9:44:15 +0100", "  1-Feb-1994 21:52:25 -0800"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (date_parse_imap(str_of_c(bad[i]), &date))
			fail_msg("%s is no date-time", bad[i]);
	buf_fini(&out);
}

// SEARCH disregards time and zone: the day is the one that the date shows.
static void date_days_are_those_of_their_own_zone(void **state)
{
	(void)state;
	int32_t day = 0;
	struct date date;
	assert_true(date_parse_search(STR("1-Feb-1994"), &day));
	assert_int_equal(day, 8797);
	assert_true(date_parse_search(STR("01-feb-1994"), &day));
	assert_int_equal(day, 8797);
	assert_false(date_parse_search(STR("1-Feb-1994 "), &day));
	assert_false(date_parse_search(STR("31-Feb-1994"), &day));
	assert_true(date_parse_header(STR("1 Feb 1994 23:59:59 -0800"), &date));
	assert_int_equal(date_local_day(date), 8797);
	assert_true(date_parse_header(STR("1 Feb 1994 00:00:00 +1200"), &date));
	assert_int_equal(date_local_day(date), 8797);
	assert_int_equal(date_local_day((struct date){-1, 0}), -1);
}

static void date_every_day_comes_back(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 100);
	for (int64_t day = -719162; day <= 2932896; day += 1 + (day & 1 ? 0 : 16)) {
		struct date date = {day * 86400 + 43200, 0}, back;
		buf_clear(&out);
		assert_true(date_format_imap(date, &out) && out.n == 26);
		assert_true(date_parse_imap(buf_str(&out), &back) && back.utc_s == date.utc_s);
		buf_clear(&out);
		assert_true(date_format_header(date, &out) && out.n == 31);
		assert_true(date_parse_header(buf_str(&out), &back) && back.utc_s == date.utc_s);
	}
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(date_reads_headers),
		cmocka_unit_test(date_writes_headers),
		cmocka_unit_test(date_imap_is_strict),
		cmocka_unit_test(date_days_are_those_of_their_own_zone),
		cmocka_unit_test(date_every_day_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
