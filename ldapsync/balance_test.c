// SPDX-License-Identifier: Apache-2.0
// What came and went, net: against a plain model, in random orders; and what is said when no more can be remembered.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "balance.h"
#include "base/random.h"

enum { KEYS = 300, STEPS = 20000 };

struct model {
	bool was[BALANCE_KINDS][KEYS], is[BALANCE_KINDS][KEYS];
};

static uint64_t hash_of(const struct guid *secret, unsigned kind, unsigned key)
{
	return balance_hash(secret, kind, str_of((const char *)&key, sizeof key));
}

static uint64_t gone_in(const struct model *model, unsigned kind)
{
	uint64_t gone = 0;
	for (unsigned key = 0; key < KEYS; key++)
		gone += model->was[kind][key] && !model->is[kind][key];
	return gone;
}

static int64_t net_in(const struct model *model, unsigned kind)
{
	int64_t net = 0;
	for (unsigned key = 0; key < KEYS; key++)
		net += model->is[kind][key] - model->was[kind][key];
	return net;
}

static void start(struct model *model)
{
	for (unsigned kind = 0; kind < BALANCE_KINDS; kind++)
		for (unsigned key = 0; key < KEYS; key++)
			model->was[kind][key] = model->is[kind][key] = random_below(2);
}

static void step(struct model *model, struct balance *balance, const struct guid *secret)
{
	unsigned kind = random_below(BALANCE_KINDS), key = random_below(KEYS);
	bool *is = &model->is[kind][key];
	*is = !*is;
	if (*is)
		balance_gained(balance, kind, hash_of(secret, kind, key));
	else
		balance_lost(balance, kind, hash_of(secret, kind, key));
}

static void as_a_plain_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct model model;
		struct balance balance;
		random_inject(seed);
		struct guid secret = guid_new();
		balance_init(&balance, BALANCE_KEYS_MAX);
		start(&model);
		for (unsigned i = 0; i < STEPS; i++) {
			step(&model, &balance, &secret);
			unsigned kind = i % BALANCE_KINDS;
			if (i % 50 == 0)
				assert_int_equal(balance.gone[kind], gone_in(&model, kind));
		}
		for (unsigned kind = 0; kind < BALANCE_KINDS; kind++) {
			assert_int_equal(balance.gone[kind], gone_in(&model, kind));
			assert_int_equal(balance.net[kind], net_in(&model, kind));
			assert_int_equal(balance.forgotten[kind], 0);
		}
		balance_fini(&balance);
	}
	random_inject_end();
}

// Transactions, some of them rolled back, into a window; keys_max of both so small, or large, as it comes.
static void transactions(uint64_t seed, size_t keys_max, size_t window_keys_max)
{
	struct model model, before;
	struct balance window, change;
	uint64_t gone[BALANCE_KINDS];
	enum { ALL = (1 << BALANCE_KINDS) - 1 };
	random_inject(seed);
	struct guid secret = guid_new();
	balance_init(&window, window_keys_max);
	balance_init(&change, keys_max);
	start(&model);
	for (unsigned i = 0; i < 500; i++) {
		before = model;
		balance_clear(&change);
		for (unsigned n = random_below(60); n > 0; n--)
			step(&model, &change, &secret);
		balance_gone_with(&window, &change, ALL, gone);
		for (unsigned kind = 0; kind < BALANCE_KINDS; kind++)
			assert_true(gone[kind] >= gone_in(&model, kind)); // never less than it is
		if (random_below(4) == 0) {
			model = before;
			continue;
		}
		balance_add(&window, &change, ALL);
		assert_memory_equal(window.gone, gone, sizeof gone);
		for (unsigned kind = 0; kind < BALANCE_KINDS; kind++) {
			assert_int_equal(window.net[kind], net_in(&model, kind));
			if (keys_max == BALANCE_KEYS_MAX && window_keys_max == BALANCE_KEYS_MAX)
				assert_int_equal(gone[kind], gone_in(&model, kind));
		}
		assert_true(window.n <= window_keys_max);
	}
	balance_fini(&window);
	balance_fini(&change);
	random_inject_end();
}

static void changes_that_are_taken_or_not(void **state)
{
	(void)state;
	transactions(1, BALANCE_KEYS_MAX, BALANCE_KEYS_MAX);
	transactions(2, BALANCE_KEYS_MAX, BALANCE_KEYS_MAX);
}

static void when_no_more_can_be_remembered(void **state)
{
	(void)state;
	transactions(3, 10, BALANCE_KEYS_MAX);
	transactions(4, BALANCE_KEYS_MAX, 100);
	transactions(5, 7, 33);
	transactions(6, 0, 0);
}

static void kinds_are_apart(void **state)
{
	(void)state;
	struct balance window, change;
	const uint64_t hash = 77;
	balance_init(&window, 100);
	balance_init(&change, 100);
	balance_gained(&change, BALANCE_LOGINS, hash);
	balance_lost(&change, BALANCE_DOMAINS, hash);
	balance_lost(&change, BALANCE_PASSWORDS, hash);
	balance_add(&window, &change, 1 << BALANCE_LOGINS | 1 << BALANCE_DOMAINS);
	assert_int_equal(window.gone[BALANCE_DOMAINS], 1);
	assert_int_equal(window.gone[BALANCE_LOGINS], 0);
	assert_int_equal(window.gone[BALANCE_PASSWORDS], 0);
	balance_fini(&window);
	balance_fini(&change);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_a_plain_model),
		cmocka_unit_test(changes_that_are_taken_or_not),
		cmocka_unit_test(when_no_more_can_be_remembered),
		cmocka_unit_test(kinds_are_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
