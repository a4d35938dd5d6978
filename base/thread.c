// SPDX-License-Identifier: Apache-2.0
// Starting a thread. It names itself: naming another one writes to /proc, which the sandbox does not allow.
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

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
