// SPDX-License-Identifier: Apache-2.0
// A scheduler: one thread's loop over descriptors, timers, ready fibers and what other threads post. Daemons get theirs from
// base/runtime.h; tests make one by hand:
//
//     struct sched *s = sched_new(&(struct sched_config){.fibers_max = 1000}, &err);
//     sched_spawn(s, first_fiber, arg, "first");
//     sched_run(s);                             // this thread is the scheduler until the last fiber has ended
//     sched_free(&s);
//
// One loop turn: run what is ready, then wait in epoll until a descriptor, a timer or a post makes more ready. Stopping:
// sched_stop cancels every fiber softly; after the grace it cancels them hard; sched_run returns when all are gone.
#ifndef BASE_SCHED_H
#define BASE_SCHED_H

#include "base/err.h"
#include "base/fiber.h"

struct sched;

struct sched_config {
	size_t fibers_max; // 0: 10000
	bool keep_running; // sched_run returns after sched_stop only, not when the last fiber has ended
};

// Opens its epoll and eventfd. Fails with ERR_NOMEM on the system's limits.
enum err_code sched_new(const struct sched_config *config, struct sched **sched_out, struct err *err) ERR_CHECKED;

// Not while it runs, and not while another thread may still wake or post to it. Its fibers have ended, or the process is about
// to.
void sched_free(struct sched **sched);

// Makes this thread the scheduler until there is nothing left to do (see keep_running). Returns the number of fibers that did not
// end although cancelled hard (they ignore FIBER_CANCELLED: a bug; debug builds abort), so 0.
size_t sched_run(struct sched *sched);

// The scheduler of this thread while it runs one, else NULL.
struct sched *sched_self(void);

// Runs fn(arg) on the scheduler's thread, outside any fiber: it may spawn, wake, cancel, but not wait. Any thread. Posts of one
// thread run in their order. A post to a scheduler that has stopped is not run: false, and arg is still the caller's; true means
// it will run.
bool sched_post(struct sched *sched, void (*fn)(void *arg), void *arg);

// fiber_spawn from any thread, by a post. False as sched_post; a cap that is reached later drops nothing silently: fn is then not
// run and refused(arg) is called on the scheduler's thread (NULL where arg needs no care).
bool sched_spawn(struct sched *sched, void (*fn)(void *arg), void *arg, const char *name);
bool sched_spawn_or(struct sched *sched, void (*fn)(void *arg), void *arg, const char *name, void (*refused)(void *arg));

// Asks it to stop: no new fibers, all cancelled softly now, hard after grace_ms. Any thread; does not wait. A later call can only
// shorten the grace.
void sched_stop(struct sched *sched, int64_t grace_ms);

// For metrics; any thread, each value by itself exact, not all of one moment.
struct sched_stats {
	uint64_t fibers;          // alive now
	uint64_t fibers_spawned;  // ever
	uint64_t fibers_refused;  // fiber_spawn gave NULL
	uint64_t turns;           // loop turns
	uint64_t stacks_pooled;   // free stacks kept
	uint64_t posts;           // functions run for other threads
	uint64_t events_stale;    // events dropped because their io was closed
};
void sched_stats(const struct sched *sched, struct sched_stats *stats_out);

#endif
