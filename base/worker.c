// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads for what blocks. A job lives on the stack of the fiber that waits for it. A thread says that it has
// finished one, and wakes the fiber, under the mutex which the fiber takes before it goes on: so job and scheduler exist for as
// long as needed.
#include "base/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "base/thread.h"

struct job {
	struct job *next;
	void (*fn)(void *arg);
	void *arg;
	struct fiber_ref fiber;
	bool done; // under the pool's mutex
};

struct worker_pool {
	const char *name;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct job *first, **end; // borrowed from the waiting fibers
	size_t queued, queue_max, running;
	uint64_t done, refused;
	bool closing;
	unsigned threads_n;
	pthread_t threads[];
};

static void run(struct worker_pool *pool, struct job *job)
{
	pool->running++;
	pthread_mutex_unlock(&pool->mutex);
	job->fn(job->arg);
	pthread_mutex_lock(&pool->mutex);
	job->done = true;
	fiber_ref_wake_with(job->fiber, FIBER_SIGNAL);
	pool->running--;
	pool->done++;
}

static void *work(void *arg)
{
	struct worker_pool *pool = arg;
	pthread_mutex_lock(&pool->mutex);
	for (;;) {
		struct job *job = pool->first;
		if (job) {
			pool->first = job->next;
			if (pool->first == NULL)
				pool->end = &pool->first;
			pool->queued--;
			run(pool, job);
		} else if (pool->closing) {
			break;
		} else {
			pthread_cond_wait(&pool->changed, &pool->mutex);
		}
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

enum err_code worker_pool_new(const char *name, unsigned threads, size_t queue_max, struct worker_pool **pool_out,
			      struct err *err)
{
	must(threads > 0 && threads <= 1024);
	struct worker_pool *pool = calloc(1, sizeof *pool + threads * sizeof(pthread_t));
	must(pool != NULL);
	pool->name = name;
	pool->queue_max = queue_max;
	pool->end = &pool->first;
	must(pthread_mutex_init(&pool->mutex, NULL) == 0 && pthread_cond_init(&pool->changed, NULL) == 0);
	while (pool->threads_n < threads) {
		enum err_code code = thread_start(&pool->threads[pool->threads_n], name, work, pool, err);
		if (code) {
			worker_pool_free(&pool);
			return code;
		}
		pool->threads_n++;
	}
	*pool_out = pool;
	return ERR_OK;
}

void worker_pool_free(struct worker_pool **pool_taken)
{
	struct worker_pool *pool = *pool_taken;
	*pool_taken = NULL;
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->mutex);
	pool->closing = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < pool->threads_n; i++)
		must(pthread_join(pool->threads[i], NULL) == 0);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

static bool enqueue(struct worker_pool *pool, struct job *job)
{
	pthread_mutex_lock(&pool->mutex);
	must(!pool->closing);
	bool fits = pool->queued < pool->queue_max;
	if (fits) {
		*pool->end = job;
		pool->end = &job->next;
		pool->queued++;
	} else {
		pool->refused++;
	}
	pthread_mutex_unlock(&pool->mutex);
	if (fits)
		pthread_cond_signal(&pool->changed); // not before: who wakes up wants the mutex
	return fits;
}

static bool is_done(struct worker_pool *pool, const struct job *job)
{
	pthread_mutex_lock(&pool->mutex);
	bool done = job->done;
	pthread_mutex_unlock(&pool->mutex);
	return done;
}

enum err_code worker_run(struct worker_pool *pool, void (*fn)(void *arg), void *arg, struct err *err)
{
	if (fiber_self() == NULL) {
		fn(arg);
		return ERR_OK;
	}
	struct job job = {.fn = fn, .arg = arg, .fiber = fiber_ref_self()};
	if (!enqueue(pool, &job))
		return err_set(err, ERR_BUSY, "%zu jobs wait for the %s threads already", pool->queue_max, pool->name);
	while (!is_done(pool, &job))
		fiber_wait(NULL, FIBER_SIGNAL | FIBER_UNCANCELLABLE, CLOCK_NEVER);
	return ERR_OK;
}

void worker_stats(struct worker_pool *pool, struct worker_stats *stats_out)
{
	pthread_mutex_lock(&pool->mutex);
	*stats_out = (struct worker_stats){
		.queued = pool->queued,
		.running = pool->running,
		.done = pool->done,
		.refused = pool->refused,
	};
	pthread_mutex_unlock(&pool->mutex);
}
