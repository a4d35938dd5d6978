// SPDX-License-Identifier: Apache-2.0
// Stacks: mapped with a guard page below, pooled, trimmed, measured. Private to base/.
#ifndef FIBER_STACK_H
#define FIBER_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fiber.h"
#include "fiber_switch.h"

// Sanitizers make frames several times larger; what is measured is scaled alike.
enum {
	FIBER_STACK_SCALE = FIBER_ASAN || FIBER_TSAN ? 4 : 1,
	FIBER_STACK_MAPPED_BYTES = FIBER_STACK_BYTES * FIBER_STACK_SCALE,
};

struct fiber_stack {
	struct fiber_stack *next; // in the pool
	char *low;                // lowest usable byte; the guard page is below
	unsigned valgrind_id;
};

// Free stacks of one scheduler. The last ones used stay as they are, the others give their pages back; beyond a cap they are
// unmapped.
struct fiber_stack_pool {
	struct fiber_stack *warm, *cold; // owned
	size_t warm_n, cold_n;
};

// NULL when the kernel gives none (errno).
struct fiber_stack *fiber_stack_take(struct fiber_stack_pool *pool);
void fiber_stack_give(struct fiber_stack_pool *pool, struct fiber_stack *stack);
void fiber_stack_pool_fini(struct fiber_stack_pool *pool);

// Gives the pages below sp back to the kernel; the fiber is not running.
void fiber_stack_trim(struct fiber_stack *stack, const void *sp);

// Measures how much of the stack was ever used, keeps the maximum over the process, and aborts a debug build beyond
// FIBER_STACK_TEST_BYTES. who is for the message.
void fiber_stack_measure(const struct fiber_stack *stack, const char *who);

// Guard regions need no mapping of their own (Linux 6.13).
bool fiber_stack_has_guard_regions(void);

#endif
