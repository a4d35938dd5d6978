// SPDX-License-Identifier: Apache-2.0
// For the tests of fibers: a scheduler that runs on the test's thread until nobody is left.
#ifndef BASE_TEST_FIBER_H
#define BASE_TEST_FIBER_H

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
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/must.h"
#include "fiber_private.h"

#if defined(NDEBUG)
enum { DEBUG_BUILD = 0 };
#else
enum { DEBUG_BUILD = 1 };
#endif

static inline struct sched *new_sched(size_t fibers_max)
{
	struct sched *sched;
	must(sched_new(&(struct sched_config){.fibers_max = fibers_max}, &sched, NULL) == ERR_OK);
	return sched;
}

// Runs fn(arg) as the first fiber of a scheduler on this thread until all fibers have ended.
static inline void run(void (*fn)(void *arg), void *arg)
{
	struct sched *sched = new_sched(0);
	must(sched_spawn(sched, fn, arg, "first"));
	assert_int_equal(sched_run(sched), 0);
	sched_free(&sched);
}

#endif
