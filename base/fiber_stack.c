// SPDX-License-Identifier: Apache-2.0
// Stacks: mapped with a guard page below, pooled, trimmed, measured.
//
// A stack is mapped without reserving memory; a page comes with its first use. How deep a fiber went can therefore be read off
// without a fill pattern: the lowest resident page, and in it the lowest word that is not zero. Trimming makes pages zero again,
// so a stack is measured before it is trimmed.
#include "fiber_stack.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0u
#define VALGRIND_STACK_DEREGISTER(id) (void)(id)
#define RUNNING_ON_VALGRIND 0
#endif

#if !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102
#endif

enum {
	WARM_MAX = 32,        // free stacks that keep their pages: a burst of short fibers costs no page faults
	COLD_MAX = 1024,      // free stacks that stay mapped
	TRIM_SLACK_BYTES = 1024, // below the stack pointer: red zone and the like
};

static _Atomic size_t high_water_bytes;

static size_t page_bytes(void)
{
	static _Atomic size_t page;
	size_t bytes = atomic_load_explicit(&page, memory_order_relaxed);
	if (bytes == 0) {
		bytes = (size_t)sysconf(_SC_PAGESIZE);
		atomic_store_explicit(&page, bytes, memory_order_relaxed);
	}
	return bytes;
}

static bool guard(char *page)
{
	return madvise(page, page_bytes(), MADV_GUARD_INSTALL) == 0 || mprotect(page, page_bytes(), PROT_NONE) == 0;
}

static struct fiber_stack *map(void)
{
	size_t bytes = page_bytes() + FIBER_STACK_MAPPED_BYTES;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (!guard(p)) {
		int failure = errno;
		munmap(p, bytes);
		errno = failure;
		return NULL;
	}
	struct fiber_stack *stack = calloc(1, sizeof *stack);
	must(stack != NULL);
	stack->low = p + page_bytes();
	stack->valgrind_id = VALGRIND_STACK_REGISTER(stack->low, stack->low + FIBER_STACK_MAPPED_BYTES);
	return stack;
}

static void unmap(struct fiber_stack *stack)
{
	VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
	munmap(stack->low - page_bytes(), page_bytes() + FIBER_STACK_MAPPED_BYTES);
	free(stack);
}

static struct fiber_stack *pop(struct fiber_stack **list, size_t *n)
{
	struct fiber_stack *stack = *list;
	if (stack) {
		*list = stack->next;
		--*n;
	}
	return stack;
}

static void push(struct fiber_stack **list, size_t *n, struct fiber_stack *stack)
{
	stack->next = *list;
	*list = stack;
	++*n;
}

struct fiber_stack *fiber_stack_take(struct fiber_stack_pool *pool)
{
	struct fiber_stack *stack = pop(&pool->warm, &pool->warm_n);
	if (stack == NULL)
		stack = pop(&pool->cold, &pool->cold_n);
	return stack ? stack : map();
}

void fiber_stack_give(struct fiber_stack_pool *pool, struct fiber_stack *stack)
{
	if (pool->warm_n < WARM_MAX) {
		push(&pool->warm, &pool->warm_n, stack);
	} else if (pool->cold_n < COLD_MAX) {
		fiber_stack_trim(stack, stack->low + FIBER_STACK_MAPPED_BYTES + TRIM_SLACK_BYTES);
		push(&pool->cold, &pool->cold_n, stack);
	} else {
		unmap(stack);
	}
}

void fiber_stack_pool_fini(struct fiber_stack_pool *pool)
{
	for (struct fiber_stack *stack; (stack = pop(&pool->warm, &pool->warm_n));)
		unmap(stack);
	for (struct fiber_stack *stack; (stack = pop(&pool->cold, &pool->cold_n));)
		unmap(stack);
}

void fiber_stack_trim(struct fiber_stack *stack, const void *sp)
{
	uintptr_t low = (uintptr_t)stack->low;
	uintptr_t high = ((uintptr_t)sp - TRIM_SLACK_BYTES) & ~(uintptr_t)(page_bytes() - 1);
	if (high > low)
		madvise(stack->low, high - low, MADV_DONTNEED);
}

// The stack belongs to an ended or parked fiber whose frames the sanitizers would guard against us.
__attribute__((no_sanitize("address", "thread"))) static size_t used_bytes(const struct fiber_stack *stack)
{
	enum { PAGES_MAX = FIBER_STACK_MAPPED_BYTES / 4096 };
	unsigned char resident[PAGES_MAX];
	size_t page = page_bytes(), pages = FIBER_STACK_MAPPED_BYTES / page, i = 0;
	if (mincore(stack->low, FIBER_STACK_MAPPED_BYTES, resident) != 0)
		return 0;
	while (i < pages && !(resident[i] & 1))
		i++;
	if (i == pages)
		return 0;
	const uintptr_t *word = (const uintptr_t *)(stack->low + i * page);
	const uintptr_t *end = (const uintptr_t *)(stack->low + (i + 1) * page);
	while (word < end && *word == 0)
		word++;
	return (size_t)(stack->low + FIBER_STACK_MAPPED_BYTES - (const char *)word);
}

void fiber_stack_measure(const struct fiber_stack *stack, const char *who)
{
	if (RUNNING_ON_VALGRIND)
		return; // it would report our look at dead frames
	size_t used = used_bytes(stack) / FIBER_STACK_SCALE;
	size_t most = atomic_load_explicit(&high_water_bytes, memory_order_relaxed);
	while (used > most && !atomic_compare_exchange_weak_explicit(&high_water_bytes, &most, used, memory_order_relaxed,
								     memory_order_relaxed))
		;
#if !defined(NDEBUG)
	if (used > FIBER_STACK_TEST_BYTES) {
		fprintf(stderr, "posthouse: bug: fiber %s used %zu bytes of its stack (limit %d)\n", who, used,
			FIBER_STACK_TEST_BYTES);
		abort();
	}
#else
	(void)who;
#endif
}

size_t fiber_stack_high_water_bytes(void)
{
	return atomic_load_explicit(&high_water_bytes, memory_order_relaxed);
}

bool fiber_stack_has_guard_regions(void)
{
	void *p = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	bool has = madvise(p, page_bytes(), MADV_GUARD_INSTALL) == 0;
	munmap(p, page_bytes());
	return has;
}
