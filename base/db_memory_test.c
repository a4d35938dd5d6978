// SPDX-License-Identifier: Apache-2.0
// Pieces of pools and of malloc(), mixed: none overlaps another, each goes back to where it is from.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "db_memory.h"

enum { PIECES = 600, TURNS = 60000, BYTES_MAX = 5000 };

struct mine {
	unsigned char *p;
	int n;
	unsigned char fill;
};

static void check(const struct mine *mine)
{
	assert_true(db_memory_size(mine->p) >= mine->n && (uintptr_t)mine->p % 8 == 0);
	for (int i = 0; i < mine->n; i++)
		assert_int_equal(mine->p[i], mine->fill);
}

static void put(struct mine *mine, int n, unsigned char fill)
{
	mine->p = mine->p ? db_memory_realloc(mine->p, n) : db_memory_malloc(n);
	assert_non_null(mine->p);
	for (int i = 0; i < n && i < mine->n; i++)
		assert_int_equal(mine->p[i], mine->fill);
	memset(mine->p, fill, (size_t)n);
	*mine = (struct mine){mine->p, n, fill};
}

static void pieces_do_not_overlap(void **state)
{
	(void)state;
	struct db_pool *pools[3] = {db_pool_new(), db_pool_new(), NULL};
	static struct mine pieces[PIECES];
	uint32_t seed = 1;
	for (int turn = 0; turn < TURNS; turn++) {
		seed = seed * 1664525 + 1013904223;
		struct mine *mine = &pieces[(seed >> 8) % PIECES];
		int n = (int)((seed >> 12) % (turn % 3 ? 200 : BYTES_MAX)) + 1;
		db_pool_use(pools[(seed >> 28) % 3]);
		if (mine->p)
			check(mine);
		if (mine->p && seed >> 31) {
			db_memory_free(mine->p);
			*mine = (struct mine){0};
		} else {
			put(mine, n, (unsigned char)turn);
		}
	}
	for (int i = 0; i < PIECES; i++)
		db_memory_free(pieces[i].p);
	db_pool_use(NULL);
	for (int i = 0; i < 3; i++)
		db_pool_free(&pools[i]); // whole, or the leak checker says so
}

static void what_is_freed_is_used_again(void **state)
{
	(void)state;
	struct db_pool *pool = db_pool_new();
	assert_null(db_pool_use(pool));
	void *a = db_memory_malloc(100), *b = db_memory_malloc(100);
	db_memory_free(a);
	assert_ptr_equal(db_memory_malloc(98), a);
	assert_ptr_equal(db_memory_realloc(b, 97), b);
	assert_ptr_equal(db_pool_use(NULL), pool);
	db_memory_free(a);
	db_memory_free(b);
	db_memory_free(NULL);
	db_pool_free(&pool);
	assert_null(pool);
}

// A connection may be open for weeks.
static void a_large_statement_leaves_no_large_pool(void **state)
{
	(void)state;
	enum { MANY = 4000, BYTES = 1000 };
	static void *pieces[MANY];
	struct db_pool *pool = db_pool_new();
	db_pool_use(pool);
	for (int i = 0; i < MANY; i++) {
		pieces[i] = db_memory_malloc(BYTES);
		assert_non_null(pieces[i]);
		memset(pieces[i], i, BYTES);
	}
	assert_true(db_pool_bytes(pool) >= DB_POOL_BYTES_MAX / 2);
	assert_true(db_pool_bytes(pool) <= DB_POOL_BYTES_MAX + (16 << 10));
	for (int i = 0; i < MANY; i++)
		db_memory_free(pieces[i]);
	db_pool_use(NULL);
	db_pool_free(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_do_not_overlap),
		cmocka_unit_test(what_is_freed_is_used_again),
		cmocka_unit_test(a_large_statement_leaves_no_large_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
