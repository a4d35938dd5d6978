// SPDX-License-Identifier: Apache-2.0
// For the tests of vacation: people of a directory in memory, found by their login, and addresses.
//
//     static int setup(void **state) { return people_setup(ldif); }
//     cmocka_unit_test_setup_teardown(test, setup, people_teardown)
//
// To be included after cmocka.h.
#ifndef ROUTER_TEST_VACATION_H
#define ROUTER_TEST_VACATION_H

#include "ldapsync/directory_memory.h"
#include "mail/addr.h"
#include "router/vacation.h"

static const int64_t now_ms = 1795286655000; // 21 November 2026

static struct directory *directory;
static struct arena *arena;

static inline int people_setup(const char *ldif)
{
	struct err err;
	arena = arena_new(8 << 20);
	directory = directory_memory_new(str_of_c(ldif), NULL, &err);
	assert_non_null(directory);
	return 0;
}

static inline int people_teardown(void **state)
{
	(void)state;
	directory_close(&directory);
	arena_free(&arena);
	return 0;
}

static inline const struct entry *find_user(const char *name)
{
	struct directory_match match;
	struct str key = arena_printf(arena, "%s@uni.example", name);
	assert_int_equal(directory_find(directory, DIRECTORY_ADDRESS, key, arena, &match), DIRECTORY_FOUND);
	return match.entry;
}

// "": the null address.
static inline const struct addr *address(const char *text)
{
	struct addr *addr = ARENA_NEW(arena, struct addr);
	*addr = addr_null();
	if (*text)
		assert_int_equal(addr_parse(arena, str_of_c(text), ADDR_UTF8 | ADDR_LONG_LOCAL, addr), ADDR_OK);
	return addr;
}

#endif
