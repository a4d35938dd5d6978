// SPDX-License-Identifier: Apache-2.0
// Who is woken when there is work: the one that began to wait last, one at a time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/must.h"
#include "crew.h"

enum { WORKERS = 3, PATIENCE = 3000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct crew crew;
static int work, looks; // in the queue; times that somebody has looked at it
static bool over;

struct worker {
	pthread_t thread;
	struct crew_member member;
	int64_t until_ms;
	int took;
	bool tired; // its time was over
};

static void *labour(void *arg)
{
	struct worker *me = arg;
	crew_member_init(&me->member);
	pthread_mutex_lock(&mutex);
	while (!over && !me->tired) {
		if (work > 0) {
			work--;
			me->took++;
			continue;
		}
		crew_wait(&crew, &me->member, &mutex, me->until_ms);
		looks++;
		me->tired = me->until_ms != CLOCK_NEVER && clock_mono_exact_ms() >= me->until_ms;
	}
	pthread_mutex_unlock(&mutex);
	crew_member_fini(&me->member);
	return NULL;
}

// Until it is the one that began to wait last.
static void begin(struct worker *worker, int64_t until_ms)
{
	*worker = (struct worker){.until_ms = until_ms};
	assert_int_equal(pthread_create(&worker->thread, NULL, labour, worker), 0);
	bool waits = false;
	for (int i = 0; i < PATIENCE && !waits; i++) {
		pthread_mutex_lock(&mutex);
		waits = crew.waiting == &worker->member;
		pthread_mutex_unlock(&mutex);
		usleep(1000);
	}
	assert_true(waits);
}

static void await_looks(int n)
{
	bool done = false;
	for (int i = 0; i < PATIENCE && !done; i++) {
		pthread_mutex_lock(&mutex);
		done = looks >= n;
		pthread_mutex_unlock(&mutex);
		usleep(1000);
	}
	assert_true(done);
}

static void end(struct worker *workers, size_t n)
{
	pthread_mutex_lock(&mutex);
	over = true;
	crew_wake_all(&crew);
	assert_null(crew.waiting);
	pthread_mutex_unlock(&mutex);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	crew = (struct crew){0};
	work = looks = 0;
	over = false;
	return 0;
}

static void the_youngest_is_woken(void **state)
{
	struct worker workers[WORKERS];
	(void)state;
	for (size_t i = 0; i < WORKERS; i++)
		begin(&workers[i], CLOCK_NEVER);
	for (int round = 1; round <= 5; round++) { // it waits again, and is the youngest again
		pthread_mutex_lock(&mutex);
		work = 1;
		struct crew_member *next = crew_next(&crew);
		pthread_mutex_unlock(&mutex);
		assert_ptr_equal(next, &workers[WORKERS - 1].member);
		crew_wake(next);
		await_looks(round);
		pthread_mutex_lock(&mutex);
		while (crew.waiting != &workers[WORKERS - 1].member) {
			pthread_mutex_unlock(&mutex);
			usleep(1000);
			pthread_mutex_lock(&mutex);
		}
		pthread_mutex_unlock(&mutex);
	}
	end(workers, WORKERS);
	assert_int_equal(workers[WORKERS - 1].took, 5);
	assert_int_equal(workers[0].took + workers[1].took, 0);
}

static void one_at_a_time(void **state)
{
	struct worker workers[WORKERS];
	(void)state;
	for (size_t i = 0; i < WORKERS; i++)
		begin(&workers[i], CLOCK_NEVER);
	pthread_mutex_lock(&mutex);
	struct crew_member *first = crew_next(&crew);
	assert_ptr_equal(first, &workers[2].member);
	assert_null(crew_next(&crew)); // until that one has looked
	pthread_mutex_unlock(&mutex);
	crew_wake(first);
	crew_wake(NULL);
	await_looks(1);
	pthread_mutex_lock(&mutex);
	struct crew_member *second = crew_next(&crew);
	assert_non_null(second);
	pthread_mutex_unlock(&mutex);
	crew_wake(second);
	end(workers, WORKERS);
}

// Who goes because its time is over is not woken afterwards, wherever it stands in the list.
static void whose_time_is_over_leaves(void **state)
{
	struct worker workers[WORKERS];
	(void)state;
	begin(&workers[0], CLOCK_NEVER);
	begin(&workers[1], clock_mono_exact_ms() + 20);
	begin(&workers[2], CLOCK_NEVER);
	assert_int_equal(pthread_join(workers[1].thread, NULL), 0);
	assert_true(workers[1].tired);
	pthread_mutex_lock(&mutex);
	assert_ptr_equal(crew.waiting, &workers[2].member);
	assert_ptr_equal(crew.waiting->longer, &workers[0].member);
	assert_null(workers[0].member.longer);
	pthread_mutex_unlock(&mutex);
	workers[1] = workers[2];
	pthread_mutex_lock(&mutex);
	over = true;
	crew_wake_all(&crew);
	pthread_mutex_unlock(&mutex);
	assert_int_equal(pthread_join(workers[0].thread, NULL), 0);
	assert_int_equal(pthread_join(workers[1].thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_youngest_is_woken, setup),
		cmocka_unit_test_setup(one_at_a_time, setup),
		cmocka_unit_test_setup(whose_time_is_over_leaves, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
