// SPDX-License-Identifier: Apache-2.0
// Threads that wait for work, and which of them is woken. Private to the store.
//
// The one that began to wait last is woken first: its caches and its heap are warm, and while there is little to do few threads
// do it, whose memory is all that the store takes. One is woken at a time; when it takes work and sees more it wakes the next. So
// as many run as are needed, and not as many as jobs came before the first one looked.
//
//     pthread_mutex_lock(&mutex);                          // whoever brings work
//     … into the queue …
//     struct crew_member *next = crew_next(&crew);
//     pthread_mutex_unlock(&mutex);
//     crew_wake(next);
//
//     pthread_mutex_lock(&mutex);                          // a thread
//     while (the queue is empty)
//         crew_wait(&crew, &me, &mutex, CLOCK_NEVER);
//     … takes work; if there is more: crew_wake(crew_next(&crew)) …
//
// Each has a semaphore: whoever comes out of the wait of a condition has the mutex as one that others wait for, and giving it up
// is then a system call for each job.
//
// All calls but crew_wake are made with the mutex that guards the queue.
#ifndef POPIMAP_CREW_H
#define POPIMAP_CREW_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

struct crew_member {
	sem_t wake;
	struct crew_member *longer; // the one that waits for longer
	bool woken;
};

struct crew {
	struct crew_member *waiting; // borrowed, the youngest first
	bool waking;                 // one was woken and has not looked at the queue yet
};

void crew_member_init(struct crew_member *me);
void crew_member_fini(struct crew_member *me);

// Who is to be woken now that there is work; NULL: nobody need be, or nobody waits.
struct crew_member *crew_next(struct crew *crew);

// Wakes it, best without the mutex, which it wants at once. NULL is fine.
void crew_wake(struct crew_member *member);

// Everybody, with the mutex: it is over.
void crew_wake_all(struct crew *crew);

// Waits to be woken, at most until until_ms (clock_mono_exact_ms(); CLOCK_NEVER: without end). Gives the mutex up meanwhile.
void crew_wait(struct crew *crew, struct crew_member *me, pthread_mutex_t *mutex, int64_t until_ms);

#endif
