// SPDX-License-Identifier: Apache-2.0
// A daemon's machinery in one place: scheduler threads, workers, accepting, an orderly stop.
#include "base/runtime.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/call.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "base/thread.h"
#include "metrics_base.h"

enum { SCHEDULERS_MAX = 16, WORKERS_DEFAULT = 8, WORKER_QUEUE_DEFAULT = 1024 };

struct lane { // a scheduler and its thread
	struct sched *sched; // owned
	pthread_t thread;
	char name[THREAD_NAME_BYTES];
	bool started;
};

struct runtime {
	struct limits limits;
	struct worker_pool *workers;
	struct listen_caps *caps;
	unsigned lanes_n;
	_Atomic unsigned next; // the lane of the next runtime_spawn
	bool stopped;
	struct lane lanes[];
};

static unsigned cpus(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > SCHEDULERS_MAX ? SCHEDULERS_MAX : (unsigned)n;
}

static void *run_lane(void *arg)
{
	struct lane *lane = arg;
	sched_run(lane->sched);
	return NULL;
}

static enum err_code start_lanes(struct runtime *rt, const char *name, struct err *err)
{
	struct sched_config config = {.fibers_max = rt->limits.fibers_max, .keep_running = true};
	for (unsigned i = 0; i < rt->lanes_n; i++) {
		struct lane *lane = &rt->lanes[i];
		snprintf(lane->name, sizeof lane->name, "%.10s-%u", name, i % 1000);
		enum err_code code = sched_new(&config, &lane->sched, err);
		if (code)
			return code;
		code = thread_start(&lane->thread, lane->name, run_lane, lane, err);
		if (code)
			return code;
		lane->started = true;
	}
	return ERR_OK;
}

enum err_code runtime_new(const struct runtime_config *config, struct runtime **rt_out, struct err *err)
{
	unsigned lanes_n = config->schedulers ? config->schedulers : cpus();
	struct runtime *rt = calloc(1, sizeof *rt + lanes_n * sizeof(struct lane));
	must(rt != NULL);
	rt->lanes_n = lanes_n;
	enum err_code code = ERR_OK;
	if (config->limits)
		rt->limits = *config->limits;
	else
		code = limits_compute(&rt->limits, err);
	if (code) {
		free(rt);
		return code;
	}
	rt->caps = listen_caps_new(rt->limits.connections_max, config->per_address_max);
	code = worker_pool_new(config->name, config->workers ? config->workers : WORKERS_DEFAULT,
			       config->worker_queue_max ? config->worker_queue_max : WORKER_QUEUE_DEFAULT, &rt->workers, err);
	if (code == ERR_OK)
		code = start_lanes(rt, config->name, err);
	if (code) {
		runtime_stop(rt, 0);
		runtime_free(&rt);
		return code;
	}
	*rt_out = rt;
	return ERR_OK;
}

// --- Accepting ---

struct start {
	const struct listen_service *service;
	int fd;
	struct listen_caps *caps;
	enum err_code code;
	struct err err;
};

static void start_posted(void *arg)
{
	struct call *call = arg;
	struct start *start = call_payload(call);
	start->code = listen_start(start->service, start->fd, start->caps, &start->err);
	call_done(&call);
}

enum err_code runtime_listen(struct runtime *rt, const struct listen_service *service, int fd, struct err *err)
{
	enum err_code code = ERR_OK;
	for (unsigned i = 0; i < rt->lanes_n && code == ERR_OK; i++) {
		struct call *call = call_new(sizeof(struct start), NULL);
		struct start *start = call_payload(call);
		*start = (struct start){.service = service, .fd = fd, .caps = rt->caps};
		must(sched_post(rt->lanes[i].sched, start_posted, call)); // not after runtime_stop
		must(call_wait(call, CLOCK_NEVER) == ERR_OK);
		code = start->code;
		if (code && err)
			*err = start->err;
		call_drop(&call);
	}
	return code;
}

// --- Access ---

bool runtime_spawn(struct runtime *rt, void (*fn)(void *arg), void *arg, const char *name)
{
	unsigned lane = atomic_fetch_add_explicit(&rt->next, 1, memory_order_relaxed) % rt->lanes_n;
	return sched_spawn(rt->lanes[lane].sched, fn, arg, name);
}

struct sched *runtime_sched(struct runtime *rt, unsigned index)
{
	must(index < rt->lanes_n);
	return rt->lanes[index].sched;
}

unsigned runtime_scheds(const struct runtime *rt)
{
	return rt->lanes_n;
}

struct worker_pool *runtime_workers(struct runtime *rt)
{
	return rt->workers;
}

struct listen_caps *runtime_caps(struct runtime *rt)
{
	return rt->caps;
}

void runtime_collect(struct runtime *rt)
{
	uint64_t fibers = 0, refused = 0;
	for (unsigned i = 0; i < rt->lanes_n; i++) {
		struct sched_stats stats;
		sched_stats(rt->lanes[i].sched, &stats);
		fibers += stats.fibers;
		refused += stats.fibers_refused;
	}
	metric_set(&metric_fibers, (int64_t)fibers);
	metric_set(&metric_fibers_refused, (int64_t)refused);
	metric_set(&metric_fiber_stack_high_water, (int64_t)fiber_stack_high_water_bytes());

	struct worker_stats jobs;
	worker_stats(rt->workers, &jobs);
	metric_set(&metric_worker_jobs_waiting, (int64_t)jobs.queued);
	metric_set(&metric_worker_jobs_running, (int64_t)jobs.running);
	metric_set(&metric_worker_jobs_done, (int64_t)jobs.done);
	metric_set(&metric_worker_jobs_refused, (int64_t)jobs.refused);

	struct listen_stats connections;
	listen_stats(rt->caps, &connections);
	metric_set(&metric_connections, (int64_t)connections.connections);
}

// --- The end ---

void runtime_stop(struct runtime *rt, int64_t grace_ms)
{
	must(!rt->stopped);
	rt->stopped = true;
	for (unsigned i = 0; i < rt->lanes_n; i++)
		if (rt->lanes[i].started)
			sched_stop(rt->lanes[i].sched, grace_ms);
	for (unsigned i = 0; i < rt->lanes_n; i++)
		if (rt->lanes[i].started)
			must(pthread_join(rt->lanes[i].thread, NULL) == 0);
}

void runtime_free(struct runtime **rt_taken)
{
	struct runtime *rt = *rt_taken;
	*rt_taken = NULL;
	if (rt == NULL)
		return;
	must(rt->stopped);
	worker_pool_free(&rt->workers);
	for (unsigned i = 0; i < rt->lanes_n; i++)
		sched_free(&rt->lanes[i].sched);
	listen_caps_free(&rt->caps);
	free(rt);
}
