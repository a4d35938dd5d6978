// SPDX-License-Identifier: Apache-2.0
// A daemon's machinery in one place: schedulers on threads of their own, a worker pool, accepting, and an orderly stop.
//
//     struct runtime *rt;
//     if (runtime_new(&(struct runtime_config){.name = "mta", .workers = 16}, &rt, err)) ...
//     runtime_listen(rt, &smtp_service, fd, err);
//     runtime_spawn(rt, queue_fiber, queue, "queue");
//     ... wait for a signal ...
//     runtime_stop(rt, 10000);            // no accept; sessions finish their command, say 421 or BYE; after 10 s they are cut
//     ... stop the threads that answer calls (writers) ...
//     runtime_free(&rt);
//
// Called from the main thread, which runs no fibers itself. The order at the end matters: fibers hold calls to other threads and
// those threads wake fibers, so schedulers stop first and are freed last.
#ifndef BASE_RUNTIME_H
#define BASE_RUNTIME_H

#include "base/limits.h"
#include "base/listen.h"
#include "base/sched.h"
#include "base/worker.h"

struct runtime;

struct runtime_config {
	const char *name;           // of the threads, at most 10 bytes; borrowed for ever
	unsigned schedulers;        // 0: one for each CPU that this process may use, at most 16
	unsigned workers;           // 0: 8
	size_t worker_queue_max;    // 0: 1024
	const struct limits *limits; // borrowed for the call; NULL: limits_compute
	size_t per_address_max;     // connections of one address; 0: no cap
};

// Starts the threads, with all signals blocked (the main thread takes them).
enum err_code runtime_new(const struct runtime_config *config, struct runtime **rt_out, struct err *err) ERR_CHECKED;

// Accepts from fd on every scheduler. service is borrowed until runtime_free; fd stays the caller's and open until runtime_stop.
enum err_code runtime_listen(struct runtime *rt, const struct listen_service *service, int fd, struct err *err) ERR_CHECKED;

// A fiber on one of the schedulers, in turn; or on a given one. False when it is stopping.
bool runtime_spawn(struct runtime *rt, void (*fn)(void *arg), void *arg, const char *name);
struct sched *runtime_sched(struct runtime *rt, unsigned index);
unsigned runtime_scheds(const struct runtime *rt);

struct worker_pool *runtime_workers(struct runtime *rt);
struct listen_caps *runtime_caps(struct runtime *rt);

// Sets base/'s metrics of schedulers, workers and connections. Call it from the daemon's collector (metrics_on_render). Any
// thread.
void runtime_collect(struct runtime *rt);

// Stops accepting, cancels all fibers softly, after grace_ms hard, waits until they are gone and joins the scheduler threads.
// Blocks.
void runtime_stop(struct runtime *rt, int64_t grace_ms);

// After runtime_stop, and after all other threads that may answer calls have ended. Ends the workers.
void runtime_free(struct runtime **rt);

#endif
