// SPDX-License-Identifier: Apache-2.0
// Completions: fibers and plain threads that wait for another thread, thousands of times, cancelled meanwhile, with storage that is used again.
#include "base/completion.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/must.h"
#include "base/runtime.h"
#include "base/thread.h"

enum { FIBERS = 50, ROUNDS = 200, THREADS = 3 };

struct request {
	struct completion completion;
	int question, answer;
	struct request *next;
};

// Threads that answer in the order of the asking.
struct oracle {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct request *first, **end;
	bool ending;
	pthread_t threads[THREADS];
	_Atomic int right, asked;
};

static void *answers(void *arg)
{
	struct oracle *o = arg;
	pthread_mutex_lock(&o->mutex);
	for (;;) {
		struct request *r = o->first;
		if (r == NULL) {
			if (o->ending)
				break;
			pthread_cond_wait(&o->changed, &o->mutex);
			continue;
		}
		o->first = r->next;
		if (o->first == NULL)
			o->end = &o->first;
		pthread_mutex_unlock(&o->mutex);
		r->answer = r->question + 1;
		completion_finish(&r->completion);
		pthread_mutex_lock(&o->mutex);
	}
	pthread_mutex_unlock(&o->mutex);
	return NULL;
}

// On this stack, which is used again at once: a finisher that touched it too late would be seen.
static void ask(struct oracle *o, int question)
{
	struct request r = {.question = question};
	completion_init(&r.completion);
	pthread_mutex_lock(&o->mutex);
	*o->end = &r;
	o->end = &r.next;
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->mutex);
	completion_await(&r.completion);
	atomic_fetch_add(&o->right, r.answer == question + 1);
	atomic_fetch_add(&o->asked, 1);
}

static void asks_often(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		ask(arg, i);
}

static void *asks_often_on_a_thread(void *arg)
{
	asks_often(arg);
	return NULL;
}

static void start_oracle(struct oracle *o)
{
	*o = (struct oracle){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	o->end = &o->first;
	for (int i = 0; i < THREADS; i++)
		must(thread_start(&o->threads[i], "oracle", answers, o, NULL) == ERR_OK);
}

static void end_oracle(struct oracle *o)
{
	pthread_mutex_lock(&o->mutex);
	o->ending = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->mutex);
	for (int i = 0; i < THREADS; i++)
		must(pthread_join(o->threads[i], NULL) == 0);
}

// The stop cancels the fibers in the middle: each still waits for all its answers.
static void fibers_get_their_answers_cancelled_or_not(void **state)
{
	(void)state;
	struct oracle oracle;
	struct runtime *rt;
	struct err err;
	start_oracle(&oracle);
	assert_int_equal(runtime_new(&(struct runtime_config){.name = "test", .schedulers = 2, .workers = 1}, &rt, &err), ERR_OK);
	for (int i = 0; i < FIBERS; i++)
		assert_true(runtime_spawn(rt, asks_often, &oracle, "asker"));
	while (atomic_load(&oracle.asked) < FIBERS)
		usleep(100);
	runtime_stop(rt, 0);
	end_oracle(&oracle);
	runtime_free(&rt);
	assert_int_equal(atomic_load(&oracle.right), FIBERS * ROUNDS);
}

static void plain_threads_get_their_answers(void **state)
{
	(void)state;
	struct oracle oracle;
	pthread_t threads[4];
	struct err err;
	start_oracle(&oracle);
	for (int i = 0; i < 4; i++)
		assert_int_equal(thread_start(&threads[i], "asker", asks_often_on_a_thread, &oracle, &err), ERR_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	end_oracle(&oracle);
	assert_int_equal(atomic_load(&oracle.right), 4 * ROUNDS);
}

// Finished before anybody waits, and waited for twice.
static void what_is_finished_is_not_waited_for(void **state)
{
	(void)state;
	struct completion completion;
	completion_init(&completion);
	completion_finish(&completion);
	completion_await(&completion);
	completion_await(&completion);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fibers_get_their_answers_cancelled_or_not),
		cmocka_unit_test(plain_threads_get_their_answers),
		cmocka_unit_test(what_is_finished_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
