// SPDX-License-Identifier: Apache-2.0
// The directory that a test of decisions asks, in memory, and what cmocka calls before and after each test.
//
//     static int setup(void **state) { return world_setup(state, people); }
//     cmocka_unit_test_setup_teardown(test, setup, world_teardown)
//
// To be included after cmocka.h.
#ifndef ROUTER_TEST_WORLD_H
#define ROUTER_TEST_WORLD_H

#include <stdlib.h>

#include "ldapsync/directory_memory.h"

enum { WORLD_BYTES_MAX = 64 << 20 };

struct world {
	struct directory *directory;
	struct directory_memory *memory;
	struct arena *arena; // of what a test asks and is told
};

static inline int world_setup(void **state, const char *ldif)
{
	struct world *world = calloc(1, sizeof *world);
	struct err err;
	world->arena = arena_new(WORLD_BYTES_MAX);
	world->directory = directory_memory_new(str_of_c(ldif), &world->memory, &err);
	assert_non_null(world->directory);
	*state = world;
	return 0;
}

static inline int world_teardown(void **state)
{
	struct world *world = *state;
	directory_close(&world->directory);
	arena_free(&world->arena);
	free(world);
	return 0;
}

#endif
