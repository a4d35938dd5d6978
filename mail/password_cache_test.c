// SPDX-License-Identifier: Apache-2.0
// The memory of matches and the throttle, on a clock of our own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
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

static void match(struct password_cache *cache, unsigned user, uint64_t now_ms)
{
	char name[16];
	int n = snprintf(name, sizeof name, "u%u", user);
	password_cache_add(cache, str_of(name, (size_t)n), STR("h"), STR("p"), now_ms);
}

static unsigned count_matches(struct password_cache *cache, unsigned first, unsigned users, uint64_t now_ms)
{
	char name[16];
	unsigned count = 0;
	for (unsigned user = first; user < first + users; user++) {
		int n = snprintf(name, sizeof name, "u%u", user);
		count += password_cache_has(cache, str_of(name, (size_t)n), STR("h"), STR("p"), now_ms);
	}
	return count;
}

static void its_size_is_bounded_and_the_oldest_goes(void **state)
{
	(void)state;
	enum { ENTRIES = 8 };
	struct password_cache *cache = password_cache_new(ENTRIES, 1000);
	for (unsigned i = 0; i < ENTRIES + 1; i++)
		match(cache, i, i);
	assert_int_equal(count_matches(cache, 0, 1, ENTRIES), 0);
	assert_int_equal(count_matches(cache, 1, ENTRIES, ENTRIES), ENTRIES);
	password_cache_free(&cache);
}

// Growing loses none that is good, and what is over makes room instead.
static void a_busy_hour_is_remembered_whole(void **state)
{
	(void)state;
	enum { ENTRIES = 16384, USERS = 1024 }; // far from full: by chance none of the buckets is
	struct password_cache *cache = password_cache_new(ENTRIES, 1000);
	for (unsigned i = 0; i < USERS; i++)
		match(cache, i, 10);
	assert_int_equal(count_matches(cache, 0, USERS, 11), USERS);
	for (unsigned i = 0; i < USERS; i++)
		match(cache, USERS + i, 2000);
	assert_int_equal(count_matches(cache, 0, USERS, 2000), 0);
	assert_int_equal(count_matches(cache, USERS, USERS, 2000), USERS);
	password_cache_free(&cache);
}

static const struct password_throttle_limits limits = {
	.user_max = 3, .address_max = 5, .login_alarm = 4, .window_ms = 3000, .entries = 1024};

static void guesses_at_one_login_from_one_place_are_slowed(void **state)
{
	(void)state;
	struct password_throttle *throttle = password_throttle_new(&limits);
	const struct str from = STR("192.0.2.1");
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), from, 0), 0);
		assert_int_equal(password_throttle_failed(throttle, STR("anna"), from, 0), i == 2 ? PASSWORD_THROTTLE_USER : PASSWORD_THROTTLE_NOTHING);
	}
	uint64_t wait = password_throttle_wait_ms(throttle, STR("anna"), from, 0);
	assert_true(wait > 0 && wait <= 1000);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), from, wait), 0);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("bob"), from, 0), 0);
	password_throttle_succeeded(throttle, STR("anna"), from, 0);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), from, 0), 0);
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

// Not even at a place where the owner has never been.
static void strangers_lock_nobody_out(void **state)
{
	(void)state;
	struct password_throttle *throttle = password_throttle_new(&limits);
	char address[16];
	unsigned alarms = 0;
	for (unsigned i = 0; i < 50; i++) {
		int n = snprintf(address, sizeof address, "192.0.2.%u", i);
		struct str from = str_of(address, (size_t)n);
		for (unsigned k = 0; k < 3; k++)
			alarms += password_throttle_failed(throttle, STR("anna"), from, 0) == PASSWORD_THROTTLE_ALARM;
		assert_true(password_throttle_wait_ms(throttle, STR("anna"), from, 0) > 0);
	}
	assert_int_equal(alarms, 1);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), STR("198.51.100.7"), 0), 0);
	password_throttle_free(&throttle);
}

static void processes_count_together(void **state)
{
	(void)state;
	void *memory = mmap(NULL, password_throttle_bytes(limits.entries), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_false(password_throttle_is_prepared(memory, limits.entries));
	password_throttle_prepare(memory, limits.entries);
	assert_true(password_throttle_is_prepared(memory, limits.entries));
	assert_false(password_throttle_is_prepared(memory, 2 * limits.entries));
	struct password_throttle *throttle = password_throttle_at(&limits, memory);
	const struct str from = STR("192.0.2.1");
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct password_throttle *other = password_throttle_at(&limits, memory);
		for (unsigned i = 0; i < limits.user_max; i++)
			password_throttle_failed(other, STR("anna"), from, 0);
		_exit(password_throttle_wait_ms(other, STR("anna"), from, 0) > 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(password_throttle_wait_ms(throttle, STR("anna"), from, 0) > 0);
	// The machine was started again, and its clock with it.
	password_throttle_failed(throttle, STR("bob"), from, 1000000000);
	assert_int_equal(password_throttle_wait_ms(throttle, STR("bob"), from, 0), 0);
	password_throttle_free(&throttle);
	munmap(memory, password_throttle_bytes(limits.entries));
}

// Whatever it wrote: wait, count and forgive end, at once, and count again from there.
static void what_another_process_wrote_there_hurts_nobody(void **state)
{
	(void)state;
	size_t bytes = password_throttle_bytes(limits.entries);
	unsigned char *memory = calloc(1, bytes);
	assert_non_null(memory);
	password_throttle_prepare(memory, limits.entries);
	struct password_throttle *throttle = password_throttle_at(&limits, memory);
	const struct str from = STR("192.0.2.1");
	memset(memory, 0xff, bytes);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(password_throttle_wait_ms(throttle, STR("anna"), from, 0), 0);
		for (unsigned i = 0; i < limits.user_max; i++)
			password_throttle_failed(throttle, STR("anna"), from, 0);
		assert_true(password_throttle_wait_ms(throttle, STR("anna"), from, 0) > 0);
		password_throttle_succeeded(throttle, STR("anna"), from, 0);
	}
	password_throttle_free(&throttle);
	free(memory);
}

// Those of before are the first to give way, however late they were used.
static void counts_of_another_clock_take_no_place(void **state)
{
	(void)state;
	static const struct password_throttle_limits few = {.user_max = 3, .address_max = 50, .login_alarm = 50, .window_ms = 3000, .entries = 4};
	struct password_throttle *throttle = password_throttle_new(&few);
	const struct str from = STR("192.0.2.1");
	const struct str before[] = {STR("a"), STR("b"), STR("c"), STR("d")}, now[] = {STR("e"), STR("f"), STR("g"), STR("h")};
	for (size_t i = 0; i < 4; i++)
		password_throttle_failed(throttle, before[i], from, 1000000000 + i);
	for (unsigned k = 0; k < 3; k++)
		for (size_t i = 0; i < 4; i++)
			password_throttle_failed(throttle, now[i], from, 1000 + i);
	for (size_t i = 0; i < 4; i++)
		assert_true(password_throttle_wait_ms(throttle, now[i], from, 1003) > 0);
	password_throttle_free(&throttle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_match_is_remembered_for_its_time_only),
		cmocka_unit_test(its_size_is_bounded_and_the_oldest_goes),
		cmocka_unit_test(a_busy_hour_is_remembered_whole),
		cmocka_unit_test(guesses_at_one_login_from_one_place_are_slowed),
		cmocka_unit_test(one_address_that_tries_many_logins_is_slowed),
		cmocka_unit_test(strangers_lock_nobody_out),
		cmocka_unit_test(processes_count_together),
		cmocka_unit_test(what_another_process_wrote_there_hurts_nobody),
		cmocka_unit_test(counts_of_another_clock_take_no_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
