// SPDX-License-Identifier: Apache-2.0
// Waiting for one thing that another thread finishes.
//
// It is said to be done, and its waiter woken, under a lock that the waiter takes too before it goes on: so the completion, and
// the waiter's scheduler, are there until the wake is over. The locks are shared by all completions, since one inside it would be
// gone before it is given up. Plain threads (tests, start and stop) sleep on the condition variable.
#include "base/completion.h"

#include <pthread.h>
#include <stdint.h>

#include "base/clock.h"

enum { BELLS = 64 };
static struct bell {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
} bells[BELLS] = {[0 ... BELLS - 1] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}};

static struct bell *bell_of(const struct completion *completion)
{
	return &bells[((uintptr_t)completion >> 6) % BELLS];
}

void completion_init(struct completion *completion)
{
	*completion = (struct completion){.waiter = fiber_ref_self()};
}

void completion_finish(struct completion *completion)
{
	struct bell *bell = bell_of(completion);
	pthread_mutex_lock(&bell->mutex);
	completion->done = true;
	if (completion->waiter.fiber)
		fiber_ref_wake_with(completion->waiter, FIBER_SIGNAL);
	else
		pthread_cond_broadcast(&bell->changed);
	pthread_mutex_unlock(&bell->mutex);
}

static bool is_done(const struct completion *completion)
{
	struct bell *bell = bell_of(completion);
	pthread_mutex_lock(&bell->mutex);
	bool done = completion->done;
	pthread_mutex_unlock(&bell->mutex);
	return done;
}

void completion_await(struct completion *completion)
{
	if (completion->waiter.fiber) {
		while (!is_done(completion))
			fiber_wait(NULL, FIBER_SIGNAL | FIBER_UNCANCELLABLE, CLOCK_NEVER);
		return;
	}
	struct bell *bell = bell_of(completion);
	pthread_mutex_lock(&bell->mutex);
	while (!completion->done)
		pthread_cond_wait(&bell->changed, &bell->mutex);
	pthread_mutex_unlock(&bell->mutex);
}
