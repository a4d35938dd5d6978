// SPDX-License-Identifier: Apache-2.0
// Fibers: dialogues written straight down. A fiber is a function with a stack of its own that runs on the thread of one scheduler
// (base/sched.h) and gives the thread away only in the calls below marked "may wait".
//
//     static void greet_later(void *arg)
//     {
//         struct session *s = arg;
//         while (!s->ready) {                                       // every wait is a loop on its condition
//             unsigned got = fiber_wait(NULL, FIBER_MESSAGE, s->deadline_ms);
//             if (got & (FIBER_CANCELLED | FIBER_TIMEOUT))
//                 return;
//         }
//         ...
//     }
//     fiber_spawn(greet_later, session, "greeter");
//
// Rules, kept by checks in debug builds: a turn (the time between two waits) stays under 20 ms of CPU; frames are small, because
// a stack has 64 KiB and a guard page; no mutex is held and no transaction is open across a wait; nothing on a fiber blocks the
// thread (file I/O, getaddrinfo, crypt go through base/worker.h). Sessions usually wait through base/conn.h, base/call.h and
// base/worker.h and never call fiber_wait themselves.
//
// Memory: a fiber that has waited for two seconds keeps the page of its stack on which it stands, and no other. Its callers take
// about 1 KiB of it, so what belongs to a session, up to 2 KiB, costs nothing there; on the heap it would.
//
// Cancelling: a fiber is never destroyed from outside. It is cancelled, its waits then return FIBER_CANCELLED, and it returns
// from its function in its own time. fiber_shield_enter() keeps a soft cancel away while a command is finished; see fiber_cancel.
//
// Thread: all calls are for the fiber's own thread, except fiber_ref_wake. Pointers to a fiber are valid until it ends; whoever
// cannot know when that is holds a struct fiber_ref.
#ifndef BASE_FIBER_H
#define BASE_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fiber;

enum {
	FIBER_STACK_BYTES = 64 << 10,
	FIBER_STACK_TEST_BYTES = 48 << 10, // a stack used beyond this aborts a debug build; sanitizers scale both by 4
	FIBER_TURN_MS = 20,
	FIBER_TURN_BYTES = 64 << 10,
	FIBER_TURN_COMMANDS = 16,
};

// What a wait may wait for, and what it returns.
enum {
	FIBER_READABLE = 1,  // the descriptor has input, its end, or an error
	FIBER_WRITABLE = 2,  // the descriptor takes output, or has an error
	FIBER_MESSAGE = 4,   // somebody called fiber_wake or fiber_ref_wake since the last wait that returned this
	FIBER_TIMEOUT = 8,   // returned only: the deadline has passed
	FIBER_CANCELLED = 16, // returned only: cancelled, and neither shielded nor FIBER_UNCANCELLABLE
	FIBER_SIGNAL = 32,   // as FIBER_MESSAGE, apart from it, for base/ itself (calls, workers, wait queues)
	FIBER_UNCANCELLABLE = 64, // asked only: this wait ends on its events and deadline alone
};

// Starts fn(arg) as a fiber of this thread's scheduler, from a fiber or from a posted function; it first runs in a later turn.
// name is borrowed for ever (a literal) and shows in gdb, in the turn check and in logs. NULL when the scheduler is at its cap of
// fibers, is stopping, or the kernel gives no stack: the caller refuses the work it wanted to start, and still owns arg.
struct fiber *fiber_spawn(void (*fn)(void *arg), void *arg, const char *name);

// The running fiber; NULL in a posted function or on a thread without a scheduler.
struct fiber *fiber_self(void);

// One pointer for whoever owns the running fiber (of a session that was accepted: base/listen.h); NULL at the start.
void *fiber_user(void);
void fiber_set_user(void *user);

// Ends this turn; the fiber is run again after the others that are ready. May wait, is not ended by cancel.
void fiber_yield(void);

// Sleeps; FIBER_TIMEOUT when the time is over, FIBER_CANCELLED when cancelled. May wait.
unsigned fiber_sleep_ms(int64_t delay_ms);

// A descriptor registered with this thread's scheduler (epoll, edge-triggered). It remembers readiness: a new one counts as ready
// both ways, and whoever got EAGAIN says so with fiber_io_drained before waiting. Registering fails only on limits of the kernel
// (NULL, errno). The descriptor stays the caller's: close the io first, then the descriptor. Events that were under way for a
// closed io are dropped.
struct fiber_io;
struct fiber_io *fiber_io_open(int fd);
void fiber_io_close(struct fiber_io **io);
void fiber_io_drained(struct fiber_io *io, unsigned events);

// True: nothing was heard from the kernel since fiber_io_drained, so a call would only say EAGAIN again; waiting is right.
bool fiber_io_is_drained(const struct fiber_io *io, unsigned events);

// True once the peer has shut its side or the socket has an error: a short read then says nothing about more to come.
bool fiber_io_hung_up(const struct fiber_io *io);

// Waits until one of events happens, the deadline (clock_mono_ms, CLOCK_NEVER) passes, or a cancel comes; returns what happened,
// never 0. io is NULL without READABLE and WRITABLE. One fiber at a time waits on an io. Returns at once, in this order of
// checks, when cancelled, when an event is there already, when the deadline has passed. May wait.
unsigned fiber_wait(struct fiber_io *io, unsigned events, int64_t deadline_ms);

// The same over several descriptors: got_out of each says which of its events are there. events: MESSAGE, SIGNAL, UNCANCELLABLE.
struct fiber_want {
	struct fiber_io *io;
	unsigned events;
	unsigned got_out;
};
unsigned fiber_wait_many(struct fiber_want *wants, size_t n, unsigned events, int64_t deadline_ms);

// Accounts for work done in this turn; yields when 64 KiB or 16 commands are reached, so that one busy session starves no other.
// conn calls it for bytes and lines; a loop that works without a conn (search, fold) calls it itself. On a plain thread: nothing.
// May wait, is not ended by cancel.
void fiber_spent(size_t bytes, unsigned commands);

// Cancels a fiber of this thread, for good: every later wait of it returns FIBER_CANCELLED at once. Soft: not while it is
// shielded (it finishes its command, and the next wait for a command returns FIBER_CANCELLED). Hard: shielded or not. Cancelling
// twice is harmless. May be the running fiber.
void fiber_cancel(struct fiber *fiber);
void fiber_cancel_hard(struct fiber *fiber);

// Keeps soft cancels away from the running fiber between enter and leave; nests.
void fiber_shield_enter(void);
void fiber_shield_leave(void);

// Was the running fiber cancelled (shielded or not)? A long piece of work may look and stop early. False on a plain thread.
bool fiber_is_cancelled(void);

// FIBER_MESSAGE for a fiber of this thread. Never lost: when it does not wait now, its next wait for FIBER_MESSAGE returns at
// once.
void fiber_wake(struct fiber *fiber);

// A name for a fiber that outlives it: for wakes from other threads. The scheduler must still exist, the fiber need not.
struct fiber_ref {
	struct fiber *fiber;
	uint64_t generation;
};
struct fiber_ref fiber_ref_self(void);
void fiber_ref_wake(struct fiber_ref ref);                     // any thread; FIBER_MESSAGE
void fiber_ref_wake_with(struct fiber_ref ref, unsigned event); // any thread; FIBER_MESSAGE or FIBER_SIGNAL

// The most bytes of stack that any fiber of this process has used so far (to within 512 bytes). A metric.
size_t fiber_stack_high_water_bytes(void);

// Fibers of one thread that wait for a condition among themselves: free capacity, an end of the queue, a changed mailbox.
//
//     while (pool->busy == pool->max)
//         if (waitq_wait(&pool->freed, deadline_ms) != FIBER_SIGNAL)
//             return ERR_TIMEOUT;
//
// Zeroed memory is an empty queue; nothing to free. One thread only.
struct waitq {
	struct waitq_entry *first, *last;
};

// Waits in line until woken: FIBER_SIGNAL, FIBER_TIMEOUT or FIBER_CANCELLED (one of them). The entry leaves the queue in any
// case; a wake that came together with a timeout goes to the next in line. May wait.
unsigned waitq_wait(struct waitq *queue, int64_t deadline_ms);

// Wakes the one that waits longest. It runs in a later turn.
void waitq_wake_one(struct waitq *queue);

#endif
