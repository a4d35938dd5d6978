// SPDX-License-Identifier: Apache-2.0
// The time of the nightly compare: today or tomorrow, over the ends of months and of summer time, with a clock that was set back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "nightly.h"

// "2026-11-22 02:59:59" in the zone.
static int64_t at(const char *text)
{
	struct tm tm = {.tm_isdst = -1};
	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
	return (int64_t)mktime(&tm) * 1000;
}

static void the_next_one(void **state)
{
	(void)state;
	static const struct {
		const char *zone, *now, *next;
		int hour, minute;
	} rows[] = {
		{"UTC", "2026-11-22 02:59:59", "2026-11-22 03:17:00", 3, 17},
		{"UTC", "2026-11-22 03:16:59", "2026-11-22 03:17:00", 3, 17},
		{"UTC", "2026-11-22 03:17:00", "2026-11-23 03:17:00", 3, 17},
		{"UTC", "2026-11-22 23:59:00", "2026-11-23 00:00:00", 0, 0},
		{"UTC", "2026-12-31 12:00:00", "2027-01-01 03:00:00", 3, 0},
		{"UTC", "2028-02-28 12:00:00", "2028-02-29 03:00:00", 3, 0},
		{"Asia/Kolkata", "2026-11-22 12:00:00", "2026-11-23 03:59:00", 3, 59},
		{"Europe/Berlin", "2026-10-24 12:00:00", "2026-10-25 03:30:00", 3, 30}, // summer time ends at three
		{"Europe/Berlin", "2027-03-27 12:00:00", "2027-03-28 03:30:00", 3, 30}, // and begins at two
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		setenv("TZ", rows[i].zone, 1);
		tzset();
		if (nightly_next_ms(at(rows[i].now), rows[i].hour, rows[i].minute) != at(rows[i].next))
			fail_msg("%s %s", rows[i].zone, rows[i].now);
	}
}

// Each night once, whatever the clock's owners do to it.
static void every_night_of_a_year(void **state)
{
	(void)state;
	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	for (int hour = 0; hour < 24; hour++) {
		int64_t begin_ms = at("2026-01-01 00:00:00"), end_ms = at("2027-01-01 00:00:00"), now_ms = begin_ms;
		unsigned nights = 0;
		while ((now_ms = nightly_next_ms(now_ms, hour, 30)) < end_ms)
			nights++;
		assert_int_equal(nights, 365);
	}
}

static void it_is_time(void **state)
{
	(void)state;
	int64_t next_ms = 1000 * 86400000LL;
	assert_false(nightly_is_due(0, next_ms));
	assert_false(nightly_is_due(next_ms, next_ms - 1));
	assert_true(nightly_is_due(next_ms, next_ms));
	assert_true(nightly_is_due(next_ms, next_ms + 86400000));
	assert_false(nightly_is_due(next_ms, next_ms - 25 * 3600000LL)); // the day on which summer time ends
	assert_true(nightly_is_due(next_ms, next_ms - 365 * 86400000LL)); // planned by a clock that was a year ahead
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_one),
		cmocka_unit_test(every_night_of_a_year),
		cmocka_unit_test(it_is_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
