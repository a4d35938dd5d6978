// SPDX-License-Identifier: Apache-2.0
// What a daemon runs on: clocks, randomness, calls between threads, workers, limits.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/call.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "base/random.h"
#include "base/runtime.h"
#include "base/thread.h"
#include "fiber_switch.h"
#include "metrics_base.h"

static void run(void (*fn)(void *arg), void *arg)
{
	struct sched *sched;
	must(sched_new(&(struct sched_config){0}, &sched, NULL) == ERR_OK);
	must(sched_spawn(sched, fn, arg, "first"));
	assert_int_equal(sched_run(sched), 0);
	sched_free(&sched);
}

// --- Clocks and randomness ---

static void an_injected_clock_is_this_threads_time(void **state)
{
	(void)state;
	struct clock_fake fake = {.mono_ms = 5000, .wall_ms = 1700000000000};
	clock_inject(&fake);
	assert_int_equal(clock_mono_ms(), 5000);
	assert_int_equal(clock_wall_ms(), 1700000000000);
	assert_int_equal(clock_after_ms(-5), 5000);
	assert_int_equal(clock_after_ms(7), 5007);
	assert_true(clock_after_ms(CLOCK_NEVER) == CLOCK_NEVER);
	fake.mono_ms += 10;
	assert_int_equal(clock_mono_exact_ms(), 5010);
	clock_inject(NULL);
	assert_true(clock_wall_ms() > 1700000000000);
}

static void random_bytes_differ_and_seeded_ones_repeat(void **state)
{
	(void)state;
	uint8_t a[16], b[16];
	random_bytes(a, sizeof a);
	random_bytes(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
	random_inject(7);
	random_bytes(a, sizeof a);
	random_inject(7);
	random_bytes(b, sizeof b);
	assert_memory_equal(a, b, sizeof a);
	bool seen[10] = {false};
	for (int i = 0; i < 1000; i++)
		seen[random_below(10)] = true;
	for (int i = 0; i < 10; i++)
		assert_true(seen[i]);
	random_inject_end();
	random_bytes(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
}

static void a_forked_child_has_other_random_bytes(void **state)
{
	(void)state;
	uint64_t mine, childs;
	int status, out[2];
	random_u64(); // the block is filled
	assert_int_equal(pipe(out), 0);
	pid_t child = fork();
	if (child == 0) {
		childs = random_u64();
		_exit(write(out[1], &childs, sizeof childs) != sizeof childs);
	}
	mine = random_u64();
	assert_int_equal(read(out[0], &childs, sizeof childs), sizeof childs);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(mine != childs);
	close(out[0]);
	close(out[1]);
}

// --- Calls ---

struct sum {
	int a, b, result;
	_Atomic int *freed;
};

static void sum_fini(void *payload)
{
	struct sum *sum = payload;
	atomic_fetch_add(sum->freed, 1);
}

struct service {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct call *queue[64];
	size_t n;
	bool end, hold;
	_Atomic int freed, abandoned;
};

// A thread that adds numbers, in batches as a writer does.
static void *adds(void *arg)
{
	struct service *service = arg;
	pthread_mutex_lock(&service->mutex);
	while (!service->end || service->n) {
		if (service->n == 0 || (service->hold && !service->end)) {
			pthread_cond_wait(&service->changed, &service->mutex);
			continue;
		}
		struct call *call = service->queue[--service->n];
		pthread_mutex_unlock(&service->mutex);
		struct sum *sum = call_payload(call);
		if (call_is_abandoned(call))
			atomic_fetch_add(&service->abandoned, 1);
		sum->result = sum->a + sum->b;
		call_done(&call);
		pthread_mutex_lock(&service->mutex);
	}
	pthread_mutex_unlock(&service->mutex);
	return NULL;
}

static struct call *submit(struct service *service, int a, int b)
{
	struct call *call = call_new(sizeof(struct sum), sum_fini);
	struct sum *sum = call_payload(call);
	*sum = (struct sum){.a = a, .b = b, .freed = &service->freed};
	pthread_mutex_lock(&service->mutex);
	must(service->n < 64);
	service->queue[service->n++] = call;
	pthread_cond_signal(&service->changed);
	pthread_mutex_unlock(&service->mutex);
	return call;
}

static pthread_t start_service(struct service *service)
{
	pthread_t thread;
	*service = (struct service){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	must(pthread_create(&thread, NULL, adds, service) == 0);
	return thread;
}

static void end_service(struct service *service, pthread_t thread)
{
	pthread_mutex_lock(&service->mutex);
	service->end = true;
	pthread_cond_signal(&service->changed);
	pthread_mutex_unlock(&service->mutex);
	pthread_join(thread, NULL);
}

enum { CALLERS = 50, CALLS = FIBER_TSAN ? 20 : 100 };

static void calls_often(void *arg)
{
	for (int i = 0; i < CALLS; i++) {
		struct call *call = submit(arg, i, 1);
		must(call_wait(call, clock_after_ms(20000)) == ERR_OK);
		must(((struct sum *)call_payload(call))->result == i + 1);
		call_drop(&call);
	}
}

static void spawns_callers(void *arg)
{
	for (int i = 0; i < CALLERS; i++)
		must(fiber_spawn(calls_often, arg, "caller") != NULL);
}

static void calls_come_back_with_their_result(void **state)
{
	(void)state;
	struct service service;
	pthread_t thread = start_service(&service);
	run(spawns_callers, &service);
	struct call *call = submit(&service, 20, 22); // from a plain thread
	assert_int_equal(call_wait(call, clock_after_ms(20000)), ERR_OK);
	assert_int_equal(((struct sum *)call_payload(call))->result, 42);
	call_drop(&call);
	end_service(&service, thread);
	assert_int_equal(atomic_load(&service.freed), CALLERS * CALLS + 1);
	assert_int_equal(atomic_load(&service.abandoned), 0);
}

static void set_hold(struct service *service, bool hold)
{
	pthread_mutex_lock(&service->mutex);
	service->hold = hold;
	pthread_cond_signal(&service->changed);
	pthread_mutex_unlock(&service->mutex);
}

static void gives_up(void *arg)
{
	struct call *call = submit(arg, 1, 2);
	must(call_wait(call, clock_after_ms(5)) == ERR_TIMEOUT);
	must(call_wait(call, clock_after_ms(5)) == ERR_TIMEOUT); // it may be asked again
	call_drop(&call);
}

static void is_cancelled_while_calling(void *arg)
{
	struct call *call = submit(arg, 1, 2);
	fiber_cancel(fiber_self());
	must(call_wait(call, CLOCK_NEVER) == ERR_CANCELLED);
	call_drop(&call);
}

static void a_caller_that_gives_up_harms_nobody(void **state)
{
	(void)state;
	struct service service;
	pthread_t thread = start_service(&service);
	set_hold(&service, true);
	run(gives_up, &service);
	run(is_cancelled_while_calling, &service);
	struct call *call = submit(&service, 3, 4);
	assert_int_equal(call_wait(call, clock_after_ms(5)), ERR_TIMEOUT);
	call_drop(&call);
	assert_int_equal(atomic_load(&service.freed), 0);
	set_hold(&service, false);
	end_service(&service, thread);
	assert_int_equal(atomic_load(&service.abandoned), 3);
	assert_int_equal(atomic_load(&service.freed), 3);
}

// Callers that give up at about the moment at which the callee is done.
static void gives_up_at_random(void *arg)
{
	for (int i = 0; i < CALLS; i++) {
		struct call *call = submit(arg, i, i);
		if (i % 2)
			fiber_yield();
		if (call_wait(call, clock_after_ms(i % 3 == 0 ? 0 : 20000)) == ERR_OK)
			must(((struct sum *)call_payload(call))->result == 2 * i);
		else
			must(fiber_sleep_ms(1) == FIBER_TIMEOUT); // leave room in the queue
		call_drop(&call);
	}
}

static void spawns_fickle_callers(void *arg)
{
	for (int i = 0; i < 8; i++)
		must(fiber_spawn(gives_up_at_random, arg, "fickle") != NULL);
}

static void giving_up_races_with_completion(void **state)
{
	(void)state;
	struct service service;
	pthread_t thread = start_service(&service);
	run(spawns_fickle_callers, &service);
	end_service(&service, thread);
	assert_int_equal(atomic_load(&service.freed), 8 * CALLS);
}

// --- Workers ---

struct jobs {
	struct worker_pool *pool;
	_Atomic int running, ran;
	_Atomic bool release;
	int busy, finished;
};

static void blocks(void *arg)
{
	struct jobs *jobs = arg;
	atomic_fetch_add(&jobs->running, 1);
	while (!atomic_load(&jobs->release))
		usleep(500);
	atomic_fetch_add(&jobs->ran, 1);
}

static void hands_over(void *arg)
{
	struct jobs *jobs = arg;
	struct err err = {0};
	enum err_code code = worker_run(jobs->pool, blocks, jobs, &err);
	if (code == ERR_BUSY) {
		must(err.text[0]);
		jobs->busy++;
	} else {
		must(code == ERR_OK && atomic_load(&jobs->ran) > jobs->finished);
		jobs->finished++;
	}
}

static void hands_over_too_much(void *arg)
{
	struct jobs *jobs = arg;
	struct fiber *cancelled = fiber_spawn(hands_over, jobs, "job");
	must(cancelled && fiber_spawn(hands_over, jobs, "job"));
	while (atomic_load(&jobs->running) < 2)
		must(fiber_sleep_ms(1) == FIBER_TIMEOUT);
	for (int i = 0; i < 5; i++)
		must(fiber_spawn(hands_over, jobs, "job") != NULL);
	fiber_cancel_hard(cancelled); // and yet it waits for its job
	must(fiber_sleep_ms(5) == FIBER_TIMEOUT);
	struct worker_stats stats;
	worker_stats(jobs->pool, &stats);
	must(jobs->busy == 2 && jobs->finished == 0 && stats.queued == 3 && stats.running == 2 && stats.refused == 2);
	atomic_store(&jobs->release, true);
}

static void a_full_pool_refuses_and_what_it_took_is_awaited(void **state)
{
	(void)state;
	struct jobs jobs = {0};
	assert_int_equal(worker_pool_new("test", 2, 3, &jobs.pool, NULL), ERR_OK);
	run(hands_over_too_much, &jobs);
	assert_int_equal(jobs.finished, 5);
	assert_int_equal(jobs.busy, 2);
	assert_int_equal(worker_run(jobs.pool, blocks, &jobs, NULL), ERR_OK); // in place
	assert_int_equal(atomic_load(&jobs.ran), 6);
	worker_pool_free(&jobs.pool);
	assert_null(jobs.pool);
}

// --- Threads ---

static void *looks_at_itself(void *arg)
{
	sigset_t mask;
	pthread_getname_np(pthread_self(), arg, THREAD_NAME_BYTES);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	return sigismember(&mask, SIGTERM) && sigismember(&mask, SIGHUP) ? arg : NULL;
}

static void a_thread_has_its_name_and_takes_no_signal(void **state)
{
	(void)state;
	char name[THREAD_NAME_BYTES] = "";
	pthread_t thread;
	sigset_t before, after;
	void *blocked = NULL;
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	assert_int_equal(thread_start(&thread, "a-name-that-is-too-long", looks_at_itself, name, NULL), ERR_OK);
	assert_int_equal(pthread_join(thread, &blocked), 0);
	assert_ptr_equal(blocked, name);
	assert_string_equal(name, "a-name-that-is-");
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM)); // the starter's own mask is as it was
}

// --- Limits ---

static void limits_divide_what_there_is(void **state)
{
	(void)state;
	struct limits l;
	limits_divide(20000, 65530, true, &l);
	assert_in_range(l.connections_max, 12000, 13000);
	assert_in_range(l.handles_max, 6000, 7000);
	assert_true(l.connections_max + l.handles_max < 20000);
	assert_true(l.fibers_max > l.connections_max);
	limits_divide(1048576, 65530, false, &l); // mappings are the narrow place, two for each stack
	assert_in_range(l.fibers_max, 25000, 32768);
	assert_true(l.connections_max < l.fibers_max);
	limits_divide(64, 65530, true, &l);
	assert_in_range(l.connections_max, 8, 32);
	assert_int_equal(limits_compute(&l, NULL), ERR_OK);
	assert_true(l.descriptors_max >= 64 && l.connections_max > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_injected_clock_is_this_threads_time),
		cmocka_unit_test(random_bytes_differ_and_seeded_ones_repeat),
		cmocka_unit_test(a_forked_child_has_other_random_bytes),
		cmocka_unit_test(calls_come_back_with_their_result),
		cmocka_unit_test(a_caller_that_gives_up_harms_nobody),
		cmocka_unit_test(giving_up_races_with_completion),
		cmocka_unit_test(a_full_pool_refuses_and_what_it_took_is_awaited),
		cmocka_unit_test(a_thread_has_its_name_and_takes_no_signal),
		cmocka_unit_test(limits_divide_what_there_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
