// SPDX-License-Identifier: Apache-2.0
// Who rests: for how long, in which order, and who goes first when there is no room.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/must.h"
#include "strand.h"

enum { IDLE_MS = 3, AGAIN_MS = 60 };

static struct rest *rest_new(void)
{
	struct rest *rest = calloc(1, sizeof *rest);
	must(rest != NULL);
	rest_init(rest, IDLE_MS, AGAIN_MS);
	return rest;
}

static void rest_free(struct rest *rest)
{
	rest_fini(rest);
	free(rest);
}

static struct strand mailbox(unsigned char n)
{
	return (struct strand){.id.b = {n, 7}};
}

// As the store does it: opened now, and at rest at once.
static void use(struct rest *rest, struct strand *strand, int64_t now_ms)
{
	strand->rest.again = rest_was_open(rest, &strand->id, now_ms);
	rest_add(rest, strand, now_ms);
}

static void end(struct rest *rest, struct strand *strand, int64_t now_ms)
{
	rest_remove(rest, strand);
	rest_closed(rest, &strand->id, now_ms);
}

static void the_first_use_is_a_short_stay(void **state)
{
	(void)state;
	struct rest *rest = rest_new();
	struct strand a = mailbox(1), b = mailbox(2);
	int64_t due_ms = 0;
	assert_null(rest_next(rest, &due_ms));
	use(rest, &a, 1000);
	use(rest, &b, 1001);
	assert_ptr_equal(rest_next(rest, &due_ms), &a);
	assert_int_equal(due_ms, 1000 + IDLE_MS);
	rest_remove(rest, &a); // used again while it is open: the youngest, and still a short stay
	rest_add(rest, &a, 1002);
	assert_ptr_equal(rest_next(rest, &due_ms), &b);
	rest_remove(rest, &b);
	rest_remove(rest, &b); // of one that is in none
	assert_ptr_equal(rest_next(rest, &due_ms), &a);
	assert_int_equal(due_ms, 1002 + IDLE_MS);
	rest_free(rest);
}

static void who_comes_back_soon_stays(void **state)
{
	(void)state;
	struct rest *rest = rest_new();
	struct strand soon = mailbox(1), late = mailbox(2), once = mailbox(3);
	int64_t due_ms = 0;
	use(rest, &soon, 1000);
	use(rest, &late, 1000);
	end(rest, &soon, 1003);
	end(rest, &late, 1003);
	use(rest, &soon, 1003 + AGAIN_MS);
	use(rest, &late, 1004 + AGAIN_MS);
	assert_ptr_equal(rest_next(rest, &due_ms), &late);
	rest_remove(rest, &late);
	assert_ptr_equal(rest_next(rest, &due_ms), &soon);
	assert_int_equal(due_ms, 1003 + 2 * AGAIN_MS);
	use(rest, &once, due_ms - IDLE_MS - 1);
	assert_ptr_equal(rest_next(rest, &due_ms), &once); // later at rest, and earlier at an end
	rest_free(rest);
}

static void a_reading_of_all_takes_no_room_from_who_is_in_use(void **state)
{
	(void)state;
	struct rest *rest = rest_new();
	struct strand used = mailbox(1), read[3] = {mailbox(2), mailbox(3), mailbox(4)};
	use(rest, &used, 1000);
	end(rest, &used, 1003);
	use(rest, &used, 1010);
	for (size_t i = 0; i < 3; i++)
		use(rest, &read[i], 1020 + (int64_t)i);
	for (size_t i = 0; i < 3; i++) {
		assert_ptr_equal(rest_victim(rest), &read[i]);
		end(rest, &read[i], 1023);
	}
	assert_ptr_equal(rest_victim(rest), &used);
	end(rest, &used, 1023);
	assert_null(rest_victim(rest));
	rest_free(rest);
}

static void closings_are_remembered_by_the_thousand(void **state)
{
	(void)state;
	enum { N = 2000 };
	struct rest *rest = rest_new();
	const int64_t now_ms = INT64_C(1) << 32; // where the lower half of the clock begins anew
	for (unsigned i = 0; i < N; i++)
		rest_closed(rest, &(struct guid){.b = {(uint8_t)i, (uint8_t)(i >> 8), 1}}, now_ms - 1);
	for (unsigned i = 0; i < N; i++) {
		assert_true(rest_was_open(rest, &(struct guid){.b = {(uint8_t)i, (uint8_t)(i >> 8), 1}}, now_ms));
		assert_false(rest_was_open(rest, &(struct guid){.b = {(uint8_t)i, (uint8_t)(i >> 8), 1}}, now_ms + AGAIN_MS));
		assert_false(rest_was_open(rest, &(struct guid){.b = {(uint8_t)i, (uint8_t)(i >> 8), 2}}, now_ms));
	}
	rest_free(rest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_use_is_a_short_stay),
		cmocka_unit_test(who_comes_back_soon_stays),
		cmocka_unit_test(a_reading_of_all_takes_no_room_from_who_is_in_use),
		cmocka_unit_test(closings_are_remembered_by_the_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
