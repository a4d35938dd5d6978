// SPDX-License-Identifier: Apache-2.0
// Threads that wait for work: a list, the youngest first, each with a semaphore of its own.
#include "crew.h"

#include "base/clock.h"
#include "base/must.h"
#include "base/thread.h"

void crew_member_init(struct crew_member *me)
{
	*me = (struct crew_member){0};
	must(sem_init(&me->wake, 0, 0) == 0);
}

void crew_member_fini(struct crew_member *me)
{
	sem_destroy(&me->wake);
}

struct crew_member *crew_next(struct crew *crew)
{
	struct crew_member *next = crew->waiting;
	if (next == NULL || crew->waking)
		return NULL;
	crew->waiting = next->longer;
	crew->waking = next->woken = true;
	return next;
}

void crew_wake(struct crew_member *member)
{
	if (member)
		sem_post(&member->wake);
}

void crew_wake_all(struct crew *crew)
{
	for (; crew->waiting; crew->waiting = crew->waiting->longer) {
		crew->waiting->woken = true;
		crew_wake(crew->waiting);
	}
}

static void leave(struct crew *crew, const struct crew_member *me)
{
	struct crew_member **p = &crew->waiting;
	while (*p != me)
		p = &(*p)->longer;
	*p = me->longer;
}

void crew_wait(struct crew *crew, struct crew_member *me, pthread_mutex_t *mutex, int64_t until_ms)
{
	me->woken = false;
	me->longer = crew->waiting;
	crew->waiting = me;
	pthread_mutex_unlock(mutex);
	bool taken = thread_take_until(&me->wake, until_ms);
	pthread_mutex_lock(mutex);
	if (!me->woken) {
		leave(crew, me);
		return;
	}
	if (!taken) // it was chosen when its time had come: whoever did that needs no mutex to wake it
		thread_take_until(&me->wake, CLOCK_NEVER);
	crew->waking = false; // it looks now
}
