// SPDX-License-Identifier: Apache-2.0
// What was decided becomes what is recorded: all of it, or nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "targets.h"

enum { TARGETS = 20 };

static struct recipient_verdict verdict_of(struct arena *arena, struct addr *to)
{
	struct recipient_target *targets = arena_must(arena, TARGETS * sizeof *targets);
	assert_int_equal(addr_parse(arena, STR("ann@uni.example"), 0, to), ADDR_OK);
	for (size_t i = 0; i < TARGETS; i++)
		targets[i] = (struct recipient_target){.kind = RECIPIENT_MAILBOX, .address = to, .host = STR("mb1.uni.example")};
	return (struct recipient_verdict){.targets = targets, .n_targets = TARGETS};
}

static void all_targets_are_recorded_or_none(void **state)
{
	(void)state;
	struct arena *arena = arena_new(1 << 16), *small = arena_new(TARGETS * sizeof(struct record_recipient) + 100);
	struct smtp_rcpt rcpt = {.notify = 0};
	struct recipient_verdict verdict = verdict_of(arena, &rcpt.to);
	struct record_recipients records = {NULL, 7};
	assert_false(targets_to_records(small, &rcpt, &verdict, &records)); // room for the rows, not for what they refer to
	assert_int_equal(records.n, 7);
	assert_true(targets_to_records(arena, &rcpt, &verdict, &records));
	assert_int_equal(records.n, TARGETS);
	assert_true(str_eq(records.v[TARGETS - 1].destination, STR("mb1.uni.example")) && records.v[TARGETS - 1].mailbox_id.n > 0);
	arena_free(&small);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(all_targets_are_recorded_or_none)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
