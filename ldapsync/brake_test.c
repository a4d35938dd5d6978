// SPDX-License-Identifier: Apache-2.0
// Windows of the brake: what changes that come one by one come to, and what an administrator has let through (I6).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "brake.h"

static const struct brake_limits limits = {20, 10};

struct site {
	struct brake_window window;
	struct balance change;
	struct image_counters counters;
};

static void begin(struct site *site, uint64_t people)
{
	site->counters = (struct image_counters){.entries = people, .recipients.before = people};
	balance_clear(&site->change);
}

static void lose(struct site *site, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++) {
		balance_lost(&site->change, BALANCE_RECIPIENTS, i);
		balance_lost(&site->change, BALANCE_ENTRIES, i);
	}
}

static void gain(struct site *site, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++) {
		balance_gained(&site->change, BALANCE_RECIPIENTS, i);
		balance_gained(&site->change, BALANCE_ENTRIES, i);
	}
}

static struct image_counters sum_of(const struct site *site, int64_t now_ms, int64_t window_ms)
{
	struct image_counters sum;
	const struct brake_change change = {&site->counters, &site->change, NULL};
	brake_window_sum(&site->window, &change, now_ms, window_ms, &sum);
	return sum;
}

static void take(struct site *site, int64_t now_ms)
{
	const struct brake_change change = {&site->counters, &site->change, NULL};
	brake_window_take(&site->window, &change, now_ms, 600);
}

static void init(struct site *site)
{
	brake_window_init(&site->window, BALANCE_KEYS_MAX);
	balance_init(&site->change, BALANCE_KEYS_MAX);
}

static void fini(struct site *site)
{
	brake_window_fini(&site->window);
	balance_fini(&site->change);
}

static void windows(void **state)
{
	(void)state;
	struct site site;
	struct brake_held held;
	init(&site);
	begin(&site, 100);
	lose(&site, 0, 8);
	struct image_counters sum = sum_of(&site, 1000, 600);
	assert_false(brake_holds(&limits, &sum, &held));
	take(&site, 1000);
	begin(&site, 92);
	lose(&site, 8, 8);
	assert_int_equal(sum_of(&site, 1100, 600).deleted, 16);
	take(&site, 1100);
	begin(&site, 84);
	gain(&site, 0, 2); // two are back, fifty are new
	gain(&site, 200, 50);
	take(&site, 1200);
	begin(&site, 136);
	lose(&site, 16, 7);
	lose(&site, 210, 30);
	sum = sum_of(&site, 1599, 600);
	assert_true(brake_holds(&limits, &sum, &held));
	assert_int_equal(held.n, 21);
	assert_int_equal(held.of, 100);
	assert_int_equal(sum_of(&site, 1600, 600).deleted, 37); // over: only these, of all
	assert_int_equal(sum_of(&site, 1600, 600).entries, 136);
	assert_int_equal(sum_of(&site, 1300, 0).deleted, 37); // no window
	brake_window_clear(&site.window);
	assert_int_equal(sum_of(&site, 1300, 600).deleted, 37);
	fini(&site);
}

// Nothing is lost yet when others are added, so nobody has counted what was there: that is told from what came.
static void many_are_added_first(void **state)
{
	(void)state;
	struct site site;
	struct brake_held held;
	init(&site);
	begin(&site, 100);
	site.counters.recipients.before = 0; // not counted
	gain(&site, 1000, 500);
	take(&site, 1000);
	begin(&site, 600);
	lose(&site, 0, 21);
	struct image_counters sum = sum_of(&site, 1100, 600);
	assert_true(brake_holds(&limits, &sum, &held));
	assert_string_equal(held.what, "recipients");
	assert_int_equal(held.of, 100);
	fini(&site);
}

static void the_first_load_begins_nothing(void **state)
{
	(void)state;
	struct site site;
	init(&site);
	begin(&site, 0);
	site.counters.added = 100;
	site.counters.is_first = true;
	take(&site, 1000);
	begin(&site, 100);
	lose(&site, 0, 15);
	assert_int_equal(sum_of(&site, 1100, 600).entries, 100);
	take(&site, 1100);
	begin(&site, 85); // made anew, of a server that lacks three more
	site.counters.deleted = 3;
	site.counters.is_first = true;
	assert_int_equal(sum_of(&site, 1200, 600).deleted, 18);
	take(&site, 1200);
	begin(&site, 82);
	lose(&site, 50, 4);
	assert_int_equal(sum_of(&site, 1300, 600).deleted, 22);
	assert_int_equal(sum_of(&site, 1300, 600).recipients.before, 100);
	fini(&site);
}

static void what_was_let_through(void **state)
{
	(void)state;
	const struct image_counters some = {.entries = 100, .deleted = 8, .recipients = {100, 8}};
	struct image_counters more = some;
	more.deleted += 10;
	more.recipients.gone += 10;
	assert_true(brake_is_released(&limits, &some, &more));
	more.recipients.gone++;
	assert_false(brake_is_released(&limits, &some, &more));
	more = some;
	more.domains = (struct image_gone){4, 1};
	assert_false(brake_is_released(&limits, &some, &more));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows),
		cmocka_unit_test(many_are_added_first),
		cmocka_unit_test(the_first_load_begins_nothing),
		cmocka_unit_test(what_was_let_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
