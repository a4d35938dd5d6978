// SPDX-License-Identifier: Apache-2.0
// Threads as all of ours begin: with every signal blocked that comes from elsewhere, because the main thread alone takes them,
// and under a name that top and gdb show; and how those that are no fibers wait for a time.
//
//     if ((code = thread_start(&log->thread, "queue-log", writer, log, err)))
//         return code;
//     ...
//     pthread_join(log->thread, NULL);
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { THREAD_NAME_BYTES = 16 }; // with the NUL

// Starts fn(arg); name is copied and cut to 15 bytes. The thread is the caller's to join. ERR_NOMEM when the system gives none.
enum err_code thread_start(pthread_t *thread_out, const char *name, void *(*fn)(void *arg), void *arg,
	struct err *err) ERR_CHECKED;

// Waits for a condition, at most until mono_ms (clock_mono_exact_ms(); CLOCK_NEVER: without end), with the mutex held. False:
// that time has come. True may be for nothing, as of pthread_cond_wait: look again. A wall clock that is set does not matter, and
// the condition needs no attribute. A machine that sleeps makes it longer: the clock of clock.h goes on meanwhile, that of
// conditions does not.
bool thread_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t mono_ms);

// Takes one from a semaphore, waiting at most until mono_ms. False: that time has come and nothing was taken.
bool thread_take_until(sem_t *sem, int64_t mono_ms);

#endif
