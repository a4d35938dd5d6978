// SPDX-License-Identifier: Apache-2.0
// Keys come out in the order of the table, each as often as it went in, whether they fit into memory or not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "image_sort.h"
#include "keys.h"

enum { MANY = 300000, FEW = 1000, LONG_EVERY = 5000 };

struct seen {
	size_t n;
	uint64_t sum;
	enum directory_key kind;
	char key[KEYS_KEY_BYTES_MAX];
	size_t key_n;
	int64_t id;
	bool stops;
};

static uint64_t of(enum directory_key kind, struct str key, int64_t id)
{
	return str_hash(key) * 31 + (uint64_t)id * 7 + (uint64_t)kind;
}

static enum err_code see(void *context, enum directory_key kind, struct str key, int64_t id, struct err *err)
{
	struct seen *seen = context;
	int order = seen->n == 0 || seen->kind < kind ? -1 : seen->kind > kind ? 1 : str_cmp(str_of(seen->key, seen->key_n), key);
	assert_true(order < 0 || (order == 0 && seen->id <= id));
	seen->n++;
	seen->sum += of(kind, key, id);
	seen->kind = kind;
	memcpy(seen->key, key.p, key.n);
	seen->key_n = key.n;
	seen->id = id;
	return seen->stops ? err_set(err, ERR_NOSPACE, "no more") : ERR_OK;
}

// Keys that differ in their first bytes, in their last ones, and not at all; some as long as they may be.
static uint64_t add(struct image_sort *sort, size_t n)
{
	char text[KEYS_KEY_BYTES_MAX];
	uint64_t state = 88172645463325252u, sum = 0;
	struct err err;
	for (size_t i = 0; i < n; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		enum directory_key kind = (enum directory_key)(1 + state % 11);
		int length = snprintf(text, sizeof text, "%s%llu", state & 0x100 ? "u0" : "somebody", (unsigned long long)(state >> 40) % 50000);
		if (i % LONG_EVERY == 0) {
			memset(text, 'x', sizeof text);
			length = sizeof text;
		}
		struct str key = str_of(text, i % 1013 ? (size_t)length : 0);
		assert_int_equal(image_sort_add(sort, kind, key, (int64_t)(i % 3), &err), ERR_OK);
		sum += of(kind, key, (int64_t)(i % 3));
	}
	return sum;
}

static void check(size_t n)
{
	struct seen *seen = calloc(1, sizeof *seen);
	struct err err;
	struct image_sort *sort = image_sort_new(STR("/tmp"));
	for (int times = 0; times < 2; times++) { // it can be used again
		*seen = (struct seen){0};
		uint64_t sum = add(sort, n);
		assert_int_equal(image_sort_drain(sort, see, seen, &err), ERR_OK);
		assert_int_equal(seen->n, n);
		assert_true(seen->sum == sum);
	}
	image_sort_free(&sort);
	assert_null(sort);
	free(seen);
}

static void what_fits_is_sorted_in_memory(void **state)
{
	(void)state;
	check(0);
	check(1);
	check(FEW);
}

static void what_does_not_fit_is_merged(void **state)
{
	(void)state;
	check(MANY);
}

static void a_failure_ends_it(void **state)
{
	(void)state;
	struct err err;
	struct seen *seen = calloc(1, sizeof *seen);
	struct image_sort *sort = image_sort_new(STR("/tmp"));
	seen->stops = true;
	add(sort, MANY);
	assert_int_equal(image_sort_drain(sort, see, seen, &err), ERR_NOSPACE);
	assert_int_equal(seen->n, 1);
	*seen = (struct seen){0};
	assert_int_equal(image_sort_drain(sort, see, seen, &err), ERR_OK); // nothing of it is left
	assert_int_equal(seen->n, 0);
	image_sort_free(&sort);
	free(seen);
}

static void without_a_folder_nothing_is_lost_silently(void **state)
{
	(void)state;
	struct err err;
	struct image_sort *sort = image_sort_new(STR("/tmp/nobody/is/here"));
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < MANY && code == ERR_OK; i++)
		code = image_sort_add(sort, DIRECTORY_LOGIN, STR("u"), (int64_t)i, &err);
	assert_int_equal(code, ERR_NOTFOUND);
	image_sort_free(&sort);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_sorted_in_memory),
		cmocka_unit_test(what_does_not_fit_is_merged),
		cmocka_unit_test(a_failure_ends_it),
		cmocka_unit_test(without_a_folder_nothing_is_lost_silently),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
