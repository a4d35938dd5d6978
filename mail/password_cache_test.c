// SPDX-License-Identifier: Apache-2.0
// The memory of matches and the throttle, on a clock of our own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "mail/password_cache.h"

static void a_match_is_remembered_for_its_time_only(void **state)
{
	(void)state;
	struct password_cache *cache = password_cache_new(64, 1000);
	const struct str login = STR("anna"), stored = STR("{SSHA}x"), password = STR("secret");
	assert_false(password_cache_has(cache, login, stored, password, 10));
	password_cache_add(cache, login, stored, password, 10);
	assert_true(password_cache_has(cache, login, stored, password, 1009));
	assert_false(password_cache_has(cache, login, stored, password, 1010));
	assert_false(password_cache_has(cache, STR("ann"), STR("a{SSHA}x"), password, 10));
	assert_false(password_cache_has(cache, login, STR("{SSHA}y"), password, 10)); // changed in the directory
	assert_false(password_cache_has(cache, login, stored, STR("Secret"), 10));
	password_cache_free(&cache);
	password_cache_free(&cache);
}

static void its_size_is_fixed_and_the_oldest_goes(void **state)
{
	(void)state;
	struct password_cache *cache = password_cache_new(4, 1000);
	char name[8];
	for (uint64_t i = 0; i < 5; i++) {
		int n = snprintf(name, sizeof name, "u%u", (unsigned)i);
		password_cache_add(cache, str_of(name, (size_t)n), STR("h"), STR("p"), i);
	}
	assert_false(password_cache_has(cache, STR("u0"), STR("h"), STR("p"), 5));
	for (uint64_t i = 1; i < 5; i++) {
		int n = snprintf(name, sizeof name, "u%u", (unsigned)i);
		assert_true(password_cache_has(cache, str_of(name, (size_t)n), STR("h"), STR("p"), 5));
	}
	password_cache_free(&cache);
}

static const struct password_throttle_limits limits = {
	.login_failures = 3, .address_failures = 5, .refill_ms = 1000, .entries = 1024};

static void guesses_at_one_login_from_anywhere_are_slowed(void **state)
{
	(void)state;
	struct password_throttle *throttle = password_throttle_new(&limits);
	char address[16];
	for (unsigned i = 0; i < 3; i++) {
		int n = snprintf(address, sizeof address, "192.0.2.%u", i);
		struct str from = str_of(address, (size_t)n);
		assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), from, 0), 0);
		password_throttle_failed(throttle, STR("anna"), from, 0);
	}
	uint64_t wait = password_throttle_wait_ms(throttle, STR("anna"), STR("192.0.2.9"), 0);
	assert_true(wait > 0 && wait <= 1000);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), STR("192.0.2.9"), wait), 0);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("bob"), STR("192.0.2.9"), 0), 0);
	password_throttle_free(&throttle);
}

static void one_address_that_tries_many_logins_is_slowed(void **state)
{
	(void)state;
	struct password_throttle *throttle = password_throttle_new(&limits);
	char login[16];
	for (unsigned i = 0; i < 5; i++) {
		int n = snprintf(login, sizeof login, "user%u", i);
		password_throttle_failed(throttle, str_of(login, (size_t)n), STR("192.0.2.1"), 0);
	}
	assert_true(password_throttle_wait_ms(throttle, STR("another"), STR("192.0.2.1"), 0) > 0);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("another"), STR("192.0.2.2"), 0), 0);
	password_throttle_free(&throttle);
}

static void a_stranger_does_not_lock_out_who_is_at_home(void **state)
{
	(void)state;
	struct password_throttle *throttle = password_throttle_new(&limits);
	password_throttle_succeeded(throttle, STR("anna"), STR("198.51.100.7"), 0);
	for (unsigned i = 0; i < 50; i++)
		password_throttle_failed(throttle, STR("anna"), STR("192.0.2.1"), 0);
	assert_true(password_throttle_wait_ms(throttle, STR("anna"), STR("192.0.2.2"), 0) > 0);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), STR("198.51.100.7"), 0), 0);
	for (unsigned i = 0; i < 3; i++)
		password_throttle_failed(throttle, STR("anna"), STR("198.51.100.7"), 0);
	assert_true(password_throttle_wait_ms(throttle, STR("anna"), STR("198.51.100.7"), 0) > 0);
	password_throttle_free(&throttle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_match_is_remembered_for_its_time_only),
		cmocka_unit_test(its_size_is_fixed_and_the_oldest_goes),
		cmocka_unit_test(guesses_at_one_login_from_anywhere_are_slowed),
		cmocka_unit_test(one_address_that_tries_many_logins_is_slowed),
		cmocka_unit_test(a_stranger_does_not_lock_out_who_is_at_home),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
