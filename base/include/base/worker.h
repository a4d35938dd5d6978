// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads for what blocks: file I/O, getaddrinfo, crypt, libsasl2, loading certificates.
//
//     struct worker_pool *pool;
//     if (worker_pool_new("resolve", 8, 256, &pool, err)) ...
//     code = worker_run(pool, check_password, &job, err);       // on a fiber: it sleeps, the thread serves others
//     if (code == ERR_BUSY) ...                                 // 256 were waiting already: check_password was not run
//
// A job handed over is always awaited: neither cancel nor a deadline takes the fiber away from the memory its job uses, so jobs
// must end by themselves in bounded time.
#ifndef BASE_WORKER_H
#define BASE_WORKER_H

#include "base/err.h"

struct worker_pool;

// name (borrowed for ever, at most 15 bytes) is that of the threads. Fails when the system gives no thread.
enum err_code worker_pool_new(const char *name, unsigned threads, size_t queue_max, struct worker_pool **pool_out,
			      struct err *err) ERR_CHECKED;

// Finishes what is queued, joins the threads. No worker_run may begin meanwhile. Blocks; not on a fiber.
void worker_pool_free(struct worker_pool **pool);

// Runs fn(arg) on a thread of the pool and returns when it has returned. ERR_BUSY, without running it, when queue_max jobs wait.
// On a plain thread fn runs in place. May wait; not ended by cancel.
enum err_code worker_run(struct worker_pool *pool, void (*fn)(void *arg), void *arg, struct err *err) ERR_CHECKED;

// For metrics; any thread.
struct worker_stats {
	uint64_t queued;  // waiting now
	uint64_t running; // now
	uint64_t done;    // ever
	uint64_t refused; // ERR_BUSY, ever
};
void worker_stats(struct worker_pool *pool, struct worker_stats *stats_out);

#endif
