// SPDX-License-Identifier: Apache-2.0
// What a fiber and its scheduler are made of. Private to base/: fiber.c, fiber_io.c and sched.c share it.
//
// A fiber is READY (in the scheduler's list), RUNNING, PARKED (inside fiber_wait) or ENDED. Whatever may end its wait calls
// fiber_ready; the wait itself then looks again at all it waits for, so a needless fiber_ready costs a look and nothing else.
#ifndef FIBER_PRIVATE_H
#define FIBER_PRIVATE_H

#include <stdatomic.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/sched.h"
#include "fiber_stack.h"
#include "fiber_switch.h"

enum fiber_state { FIBER_ENDED, FIBER_READY, FIBER_RUNNING, FIBER_PARKED };
enum fiber_cancel_level { FIBER_CANCEL_NONE, FIBER_CANCEL_SOFT, FIBER_CANCEL_HARD };

struct fiber {
	struct fiber_context context;
	struct fiber_stack *stack; // owned while alive
	struct sched *sched;
	void (*fn)(void *arg);
	void *arg;
	const char *name;
	void *user;
	uint64_t generation; // grows when the fiber ends: refs of before are then refs to nobody
	enum fiber_state state;
	enum fiber_cancel_level cancel;
	unsigned shields;
	unsigned pending;      // FIBER_MESSAGE, FIBER_SIGNAL that came and were not returned yet
	bool uncancellable;    // while parked
	bool trimmed;          // its stack, since it parked
	int64_t parked_ms;
	size_t spent_bytes;    // in this turn
	unsigned spent_commands;
	int64_t deadline_ms;   // while in the timer heap
	size_t timer;          // its place there plus 1; 0: none
	struct fiber *ready_next;
	struct fiber *live_prev, *live_next; // all that have not ended, in order of birth; live_next also links the free ones
	_Atomic uint64_t wake;  // from other threads: generation << 2 | 1 for MESSAGE | 2 for SIGNAL; 0: not in the list below
	struct fiber *wake_next;
};

struct fiber_io {
	int fd;
	uint32_t slot, generation; // both are in the epoll event
	unsigned ready;            // FIBER_READABLE, FIBER_WRITABLE
	bool hung_up;
	bool open;
	struct fiber *waiter;      // parked on it, or NULL
};

struct sched_post {
	struct sched_post *next;
	void (*fn)(void *arg);
	void *arg;
};

struct sched {
	struct fiber *current;
	struct fiber_context thread;
	int epoll_fd, event_fd;
	size_t fibers_max, fibers_n;
	bool keep_running, stopping, cancelled_hard;
	int64_t hard_ms; // when the hard cancel was sent

	struct fiber *ready_first, **ready_end;
	struct fiber *live_first, *live_last, *free_fibers; // owned; never freed before sched_free, so that refs stay readable
	struct fiber **timers; // binary heap by deadline
	size_t timers_n, timers_size;
	struct fiber_io **ios; // by slot; owned
	size_t ios_n;
	uint32_t *free_slots;
	size_t free_slots_n;
	struct fiber_stack_pool stacks;
	struct fiber *sweep; // where the next look for idle stacks begins
	int64_t sweep_ms;
	bool untrimmed;      // a fiber may have parked since its stack was looked at

	// Written by other threads.
	struct sched_post *_Atomic posts;
	struct fiber *_Atomic wakes;
	_Atomic int64_t stop_ms; // when to cancel hard; CLOCK_NEVER: nobody asked to stop

	_Atomic uint64_t n_alive, n_spawned, n_refused, n_turns, n_pooled, n_posts, n_stale;
};

// Puts a parked fiber into the ready list; anything else has no need.
void fiber_ready(struct fiber *fiber);

// Lets the fiber run until it waits or ends; called by the loop.
void fiber_resume(struct fiber *fiber);

// Would a wait return FIBER_CANCELLED now? For readers that need not wait because input is there. False on a plain thread.
bool fiber_wait_is_cancelled(void);
bool fiber_is_cancelled_hard(void);

// fiber_io_open for a listening socket that several schedulers share: one of them is told of each connection.
struct fiber_io *fiber_io_open_exclusive(int fd);

// From the loop: an event of epoll for an io, which may be gone.
void fiber_io_event(struct sched *sched, uint64_t key, uint32_t epoll_events);
void fiber_ios_fini(struct sched *sched);

// Timers.
void fiber_timer_set(struct fiber *fiber, int64_t deadline_ms);
void fiber_timer_clear(struct fiber *fiber);

// A wake from another thread arrived.
void fiber_take_wake(struct fiber *fiber);

// Another thread has something for this scheduler.
void sched_kick(struct sched *sched);

static inline void sched_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

extern _Thread_local struct sched *sched_of_thread;

#endif
