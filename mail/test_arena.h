// SPDX-License-Identifier: Apache-2.0
// A test's memory: an arena for each test, in setup and teardown for cmocka_unit_test_setup_teardown.
#ifndef MAIL_TEST_ARENA_H
#define MAIL_TEST_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

enum { TEST_ARENA_BYTES = 16 << 20 };

static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = arena_new(TEST_ARENA_BYTES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

#endif
