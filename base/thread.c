// SPDX-License-Identifier: Apache-2.0
// Starting a thread, and waiting. A thread names itself: naming another one writes to /proc, which the sandbox does not allow.
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/must.h"

struct start {
	void *(*fn)(void *arg);
	void *arg;
	char name[THREAD_NAME_BYTES];
};

static void *begin(void *arg)
{
	struct start start = *(struct start *)arg;
	free(arg);
	pthread_setname_np(pthread_self(), start.name);
	return start.fn(start.arg);
}

enum err_code thread_start(pthread_t *thread_out, const char *name, void *(*fn)(void *arg), void *arg, struct err *err)
{
	sigset_t all, before;
	struct start *start = calloc(1, sizeof *start);
	must(start != NULL);
	start->fn = fn;
	start->arg = arg;
	snprintf(start->name, sizeof start->name, "%.15s", name);
	sigfillset(&all);
	sigdelset(&all, SIGBUS); // of the thread's own making; mapped.h answers it
	pthread_sigmask(SIG_SETMASK, &all, &before); // inherited
	int failure = pthread_create(thread_out, NULL, begin, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure == 0)
		return ERR_OK;
	free(start);
	errno = failure;
	err_errno(err, "start the thread %s", name);
	return ERR_NOMEM;
}

// On the clock that the system's waits know.
static struct timespec time_of(int64_t mono_ms)
{
	struct timespec at;
	int64_t left_ms = mono_ms - clock_mono_exact_ms();
	if (left_ms < 0)
		left_ms = 0;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += left_ms / 1000;
	at.tv_nsec += left_ms % 1000 * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

bool thread_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t mono_ms)
{
	if (mono_ms == CLOCK_NEVER) {
		must(pthread_cond_wait(cond, mutex) == 0);
		return true;
	}
	struct timespec at = time_of(mono_ms);
	int result = pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &at);
	must(result == 0 || result == ETIMEDOUT);
	return result == 0;
}

bool thread_take_until(sem_t *sem, int64_t mono_ms)
{
	struct timespec at = mono_ms == CLOCK_NEVER ? (struct timespec){0} : time_of(mono_ms);
	int rc;
	do
		rc = mono_ms == CLOCK_NEVER ? sem_wait(sem) : sem_clockwait(sem, CLOCK_MONOTONIC, &at);
	while (rc != 0 && errno == EINTR);
	must(rc == 0 || errno == ETIMEDOUT);
	return rc == 0;
}
