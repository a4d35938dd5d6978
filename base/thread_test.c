// SPDX-License-Identifier: Apache-2.0
// Threads: what they are called, and waiting until a time or for another thread.
#include "base/thread.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/must.h"

struct bell {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool rung;
	char rung_by[THREAD_NAME_BYTES];
};

static void bell_init(struct bell *bell)
{
	*bell = (struct bell){.rung = false};
	must(pthread_mutex_init(&bell->mutex, NULL) == 0 && pthread_cond_init(&bell->changed, NULL) == 0);
}

static void bell_fini(struct bell *bell)
{
	pthread_cond_destroy(&bell->changed);
	pthread_mutex_destroy(&bell->mutex);
}

static void *rings(void *arg)
{
	struct bell *bell = arg;
	pthread_mutex_lock(&bell->mutex);
	pthread_getname_np(pthread_self(), bell->rung_by, sizeof bell->rung_by);
	bell->rung = true;
	pthread_cond_signal(&bell->changed);
	pthread_mutex_unlock(&bell->mutex);
	return NULL;
}

// Whoever waits holds the mutex again afterwards: else rings() would not come through, or unlock what is not locked.
static void is_rung_at(int64_t mono_ms)
{
	struct bell bell;
	pthread_t thread;
	bell_init(&bell);
	pthread_mutex_lock(&bell.mutex);
	assert_int_equal(thread_start(&thread, "a name of more than 15 bytes", rings, &bell, NULL), ERR_OK);
	while (!bell.rung)
		assert_true(thread_wait_until(&bell.changed, &bell.mutex, mono_ms));
	pthread_mutex_unlock(&bell.mutex);
	pthread_join(thread, NULL);
	assert_string_equal(bell.rung_by, "a name of more ");
	bell_fini(&bell);
}

static void who_is_woken_goes_on(void **state)
{
	(void)state;
	is_rung_at(CLOCK_NEVER);
	is_rung_at(clock_mono_exact_ms() + 3600 * 1000);
}

static void a_time_that_has_come_is_told(void **state)
{
	(void)state;
	struct bell bell;
	bell_init(&bell);
	pthread_mutex_lock(&bell.mutex);
	int64_t now_ms = clock_mono_exact_ms();
	assert_false(thread_wait_until(&bell.changed, &bell.mutex, 0));
	assert_false(thread_wait_until(&bell.changed, &bell.mutex, now_ms));
	int64_t until_ms = now_ms + 5;
	while (thread_wait_until(&bell.changed, &bell.mutex, until_ms))
		;
	assert_true(clock_mono_exact_ms() >= until_ms - 1); // two clocks: a millisecond is cut off each
	assert_int_equal(pthread_mutex_trylock(&bell.mutex), EBUSY);
	pthread_mutex_unlock(&bell.mutex);
	bell_fini(&bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_woken_goes_on),
		cmocka_unit_test(a_time_that_has_come_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
