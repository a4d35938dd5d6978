// SPDX-License-Identifier: Apache-2.0
// Fibers: birth, waiting, waking, cancelling, end. The loop that runs them is sched.c, their descriptors are in fiber_io.c.
//
// Happy path: fiber_spawn puts a fiber into the ready list; fiber_resume runs it until it calls fiber_wait_many, which parks it;
// an event (descriptor, timer, wake, cancel) calls fiber_ready; the resumed wait looks at all its conditions again and returns or
// parks once more. Because the wait decides by looking, no event can be lost between the look and the park (one thread), and a
// stray one is harmless.
//
// A fiber's struct is never freed while the scheduler lives, only used again under a new generation: a fiber_ref of any age can
// be compared with it.
#include "fiber_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/must.h"

_Thread_local struct sched *sched_of_thread;

// --- Birth and end ---

static void enter(void)
{
	struct sched *sched = sched_of_thread;
	struct fiber *fiber = sched->current;
	fiber_switch_entered(&sched->thread);
	fiber->fn(fiber->arg);
	fiber->state = FIBER_ENDED;
	fiber_switch(&fiber->context, &sched->thread, true);
	unreachable("an ended fiber runs");
}

static void live_add(struct sched *sched, struct fiber *fiber)
{
	fiber->live_next = NULL;
	fiber->live_prev = sched->live_last;
	*(sched->live_last ? &sched->live_last->live_next : &sched->live_first) = fiber;
	sched->live_last = fiber;
	sched->fibers_n++;
	sched_count(&sched->n_alive, 1);
	sched_count(&sched->n_spawned, 1);
}

static void live_remove(struct sched *sched, struct fiber *fiber)
{
	if (sched->sweep == fiber)
		sched->sweep = fiber->live_next;
	*(fiber->live_prev ? &fiber->live_prev->live_next : &sched->live_first) = fiber->live_next;
	*(fiber->live_next ? &fiber->live_next->live_prev : &sched->live_last) = fiber->live_prev;
	sched->fibers_n--;
	atomic_fetch_sub_explicit(&sched->n_alive, 1, memory_order_relaxed);
}

static struct fiber *take_free(struct sched *sched)
{
	struct fiber *fiber = sched->free_fibers;
	if (fiber) {
		sched->free_fibers = fiber->live_next;
		return fiber;
	}
	fiber = calloc(1, sizeof *fiber);
	must(fiber != NULL);
	fiber->sched = sched;
	fiber->generation = 1;
	return fiber;
}

struct fiber *fiber_spawn(void (*fn)(void *arg), void *arg, const char *name)
{
	struct sched *sched = sched_of_thread;
	must(sched != NULL);
	struct fiber_stack *stack = NULL;
	if (!sched->stopping && sched->fibers_n < sched->fibers_max)
		stack = fiber_stack_take(&sched->stacks);
	if (stack == NULL) {
		sched_count(&sched->n_refused, 1);
		return NULL;
	}
	struct fiber *fiber = take_free(sched);
	fiber->stack = stack;
	fiber->fn = fn;
	fiber->arg = arg;
	fiber->name = name;
	fiber->user = NULL;
	fiber->cancel = FIBER_CANCEL_NONE;
	fiber->shields = 0;
	fiber->pending = 0;
	fiber->state = FIBER_PARKED;
	fiber_context_init(&fiber->context, stack->low, FIBER_STACK_MAPPED_BYTES, enter);
	live_add(sched, fiber);
	fiber_ready(fiber);
	return fiber;
}

static void bury(struct fiber *fiber)
{
	struct sched *sched = fiber->sched;
	must(fiber->timer == 0);
	fiber_context_fini(&fiber->context);
	fiber_stack_measure(fiber->stack, fiber->name);
	fiber_stack_give(&sched->stacks, fiber->stack);
	atomic_store_explicit(&sched->n_pooled, sched->stacks.warm_n + sched->stacks.cold_n, memory_order_relaxed);
	fiber->stack = NULL;
	fiber->generation++;
	live_remove(sched, fiber);
	fiber->live_next = sched->free_fibers;
	sched->free_fibers = fiber;
}

// --- Turns ---

#if !defined(NDEBUG)

// CPU time, not the clock: a busy machine must not fail a test. Sanitizers slow everything down.
enum { TURN_MS_MAX = FIBER_TURN_MS * (FIBER_TSAN ? 10 : FIBER_ASAN ? 5 : 1) };

static int64_t turn_us_max(void)
{
	static _Atomic int64_t max_us = -1;
	int64_t us = atomic_load_explicit(&max_us, memory_order_relaxed);
	if (us < 0) {
		const char *text = getenv("POSTHOUSE_TURN_MS"); // 0: no check, for valgrind and debuggers
		us = (text ? strtol(text, NULL, 10) : TURN_MS_MAX) * 1000;
		atomic_store_explicit(&max_us, us, memory_order_relaxed);
	}
	return us;
}

static int64_t thread_cpu_us(void)
{
	struct timespec used;
	must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
	return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static void check_turn(const struct fiber *fiber, int64_t began_us)
{
	int64_t max_us = turn_us_max(), us = thread_cpu_us() - began_us;
	if (max_us == 0 || us <= max_us)
		return;
	fprintf(stderr, "posthouse: bug: a turn of fiber %s took %lld ms of CPU (limit %lld)\n", fiber->name,
		(long long)us / 1000, (long long)max_us / 1000);
	abort();
}

#endif

void fiber_resume(struct fiber *fiber)
{
	struct sched *sched = fiber->sched;
	sched->current = fiber;
	fiber->state = FIBER_RUNNING;
	fiber->spent_bytes = 0;
	fiber->spent_commands = 0;
#if !defined(NDEBUG)
	int64_t began_us = thread_cpu_us();
#endif
	fiber_switch(&sched->thread, &fiber->context, false);
	sched->current = NULL;
#if !defined(NDEBUG)
	check_turn(fiber, began_us);
#endif
	if (fiber->state == FIBER_ENDED)
		bury(fiber);
}

void fiber_ready(struct fiber *fiber)
{
	struct sched *sched = fiber->sched;
	if (fiber->state != FIBER_PARKED)
		return;
	fiber->state = FIBER_READY;
	fiber->ready_next = NULL;
	*sched->ready_end = fiber;
	sched->ready_end = &fiber->ready_next;
}

static void park(struct fiber *fiber)
{
	fiber->state = FIBER_PARKED;
	fiber->trimmed = false;
	fiber->sched->untrimmed = true;
	fiber->parked_ms = clock_mono_ms();
	fiber_switch(&fiber->context, &fiber->sched->thread, false);
}

void fiber_yield(void)
{
	struct fiber *fiber = fiber_self();
	must(fiber != NULL);
	fiber->state = FIBER_PARKED;
	fiber_ready(fiber);
	fiber_switch(&fiber->context, &fiber->sched->thread, false);
}

void fiber_spent(size_t bytes, unsigned commands)
{
	struct fiber *fiber = fiber_self();
	if (fiber == NULL)
		return;
	fiber->spent_bytes += bytes;
	fiber->spent_commands += commands;
	if (fiber->spent_bytes >= FIBER_TURN_BYTES || fiber->spent_commands >= FIBER_TURN_COMMANDS)
		fiber_yield();
}

// --- Who am I ---

struct fiber *fiber_self(void)
{
	return sched_of_thread ? sched_of_thread->current : NULL;
}

void *fiber_user(void)
{
	struct fiber *fiber = fiber_self();
	return fiber ? fiber->user : NULL;
}

void fiber_set_user(void *user)
{
	struct fiber *fiber = fiber_self();
	must(fiber != NULL);
	fiber->user = user;
}

// --- Waiting ---

static bool may_cancel(const struct fiber *fiber)
{
	return fiber->cancel == FIBER_CANCEL_HARD || (fiber->cancel == FIBER_CANCEL_SOFT && fiber->shields == 0);
}

// What a wait would return now; 0: nothing yet.
static unsigned look(struct fiber *fiber, struct fiber_want *wants, size_t n, unsigned events)
{
	if (!(events & FIBER_UNCANCELLABLE) && may_cancel(fiber))
		return FIBER_CANCELLED;
	unsigned got = fiber->pending & events & (FIBER_MESSAGE | FIBER_SIGNAL);
	fiber->pending &= ~got;
	for (size_t i = 0; i < n; i++) {
		wants[i].got_out = wants[i].io->ready & wants[i].events & (FIBER_READABLE | FIBER_WRITABLE);
		got |= wants[i].got_out;
	}
	return got;
}

static void park_on(struct fiber *fiber, struct fiber_want *wants, size_t n, unsigned events, int64_t deadline_ms)
{
	for (size_t i = 0; i < n; i++) {
		must(wants[i].io->waiter == NULL);
		wants[i].io->waiter = fiber;
	}
	fiber->uncancellable = events & FIBER_UNCANCELLABLE;
	if (deadline_ms != CLOCK_NEVER)
		fiber_timer_set(fiber, deadline_ms);
	park(fiber);
	fiber_timer_clear(fiber);
	for (size_t i = 0; i < n; i++)
		wants[i].io->waiter = NULL;
}

unsigned fiber_wait_many(struct fiber_want *wants, size_t n, unsigned events, int64_t deadline_ms)
{
	struct fiber *fiber = fiber_self();
	must(fiber != NULL);
	for (;;) {
		unsigned got = look(fiber, wants, n, events);
		if (got)
			return got;
		if (deadline_ms <= clock_mono_ms())
			return FIBER_TIMEOUT;
		park_on(fiber, wants, n, events, deadline_ms);
	}
}

unsigned fiber_wait(struct fiber_io *io, unsigned events, int64_t deadline_ms)
{
	struct fiber_want want = {.io = io, .events = events};
	must(io != NULL || !(events & (FIBER_READABLE | FIBER_WRITABLE)));
	return fiber_wait_many(&want, io ? 1 : 0, events, deadline_ms);
}

unsigned fiber_sleep_ms(int64_t delay_ms)
{
	return fiber_wait(NULL, 0, clock_after_ms(delay_ms));
}

// --- Cancelling and waking ---

static void cancel(struct fiber *fiber, enum fiber_cancel_level level)
{
	if (level > fiber->cancel)
		fiber->cancel = level;
	if (may_cancel(fiber) && !fiber->uncancellable)
		fiber_ready(fiber);
}

void fiber_cancel(struct fiber *fiber)
{
	cancel(fiber, FIBER_CANCEL_SOFT);
}

void fiber_cancel_hard(struct fiber *fiber)
{
	cancel(fiber, FIBER_CANCEL_HARD);
}

void fiber_shield_enter(void)
{
	struct fiber *fiber = fiber_self();
	if (fiber)
		fiber->shields++;
}

void fiber_shield_leave(void)
{
	struct fiber *fiber = fiber_self();
	if (fiber == NULL)
		return;
	must(fiber->shields > 0);
	fiber->shields--;
}

bool fiber_is_cancelled(void)
{
	struct fiber *fiber = fiber_self();
	return fiber && fiber->cancel != FIBER_CANCEL_NONE;
}

bool fiber_is_cancelled_hard(void)
{
	struct fiber *fiber = fiber_self();
	return fiber && fiber->cancel == FIBER_CANCEL_HARD;
}

bool fiber_wait_is_cancelled(void)
{
	struct fiber *fiber = fiber_self();
	return fiber && may_cancel(fiber);
}

static void notify(struct fiber *fiber, unsigned events)
{
	fiber->pending |= events;
	fiber_ready(fiber);
}

void fiber_wake(struct fiber *fiber)
{
	must(fiber->sched == sched_of_thread);
	notify(fiber, FIBER_MESSAGE);
}

struct fiber_ref fiber_ref_self(void)
{
	struct fiber *fiber = fiber_self();
	return fiber ? (struct fiber_ref){fiber, fiber->generation} : (struct fiber_ref){NULL, 0};
}

void fiber_ref_wake(struct fiber_ref ref)
{
	fiber_ref_wake_with(ref, FIBER_MESSAGE);
}

// The bits of FIBER_MESSAGE and FIBER_SIGNAL as they stand in fiber.wake.
enum { WAKE_MESSAGE = 1, WAKE_SIGNAL = 2, WAKE_BITS = 2 };

static void push_wake(struct fiber *fiber)
{
	struct sched *sched = fiber->sched;
	struct fiber *head = atomic_load_explicit(&sched->wakes, memory_order_relaxed);
	do
		fiber->wake_next = head;
	while (!atomic_compare_exchange_weak_explicit(&sched->wakes, &head, fiber, memory_order_release, memory_order_relaxed));
	if (head == NULL)
		sched_kick(sched);
}

// fiber.wake is 0 while the fiber is not in the scheduler's list; who changes it from 0 puts it there. A ref older than the
// generation that already waits there is of an ended fiber and says nothing; a newer one replaces what is there.
void fiber_ref_wake_with(struct fiber_ref ref, unsigned event)
{
	struct fiber *fiber = ref.fiber;
	if (fiber == NULL)
		return;
	uint64_t bit = event == FIBER_SIGNAL ? WAKE_SIGNAL : WAKE_MESSAGE;
	uint64_t mine = ref.generation << WAKE_BITS | bit;
	uint64_t old = atomic_load_explicit(&fiber->wake, memory_order_relaxed), new;
	do {
		if (old >> WAKE_BITS > ref.generation)
			return;
		new = old >> WAKE_BITS == ref.generation ? old | bit : mine;
	} while (!atomic_compare_exchange_weak_explicit(&fiber->wake, &old, new, memory_order_acq_rel, memory_order_relaxed));
	if (old == 0)
		push_wake(fiber);
}

void fiber_take_wake(struct fiber *fiber)
{
	uint64_t wake = atomic_exchange_explicit(&fiber->wake, 0, memory_order_acq_rel);
	if (wake >> WAKE_BITS != fiber->generation)
		return;
	notify(fiber, (wake & WAKE_MESSAGE ? FIBER_MESSAGE : 0) | (wake & WAKE_SIGNAL ? FIBER_SIGNAL : 0));
}

// --- Wait queues ---

struct waitq_entry {
	struct waitq_entry *prev, *next;
	struct fiber *fiber;
	bool woken; // and out of the queue
};

static void waitq_remove(struct waitq *queue, struct waitq_entry *entry)
{
	*(entry->prev ? &entry->prev->next : &queue->first) = entry->next;
	*(entry->next ? &entry->next->prev : &queue->last) = entry->prev;
}

unsigned waitq_wait(struct waitq *queue, int64_t deadline_ms)
{
	struct waitq_entry entry = {.prev = queue->last, .fiber = fiber_self()};
	must(entry.fiber != NULL);
	*(queue->last ? &queue->last->next : &queue->first) = &entry;
	queue->last = &entry;
	for (;;) {
		unsigned got = fiber_wait(NULL, FIBER_SIGNAL, deadline_ms);
		if (got & (FIBER_TIMEOUT | FIBER_CANCELLED)) {
			if (entry.woken)
				waitq_wake_one(queue);
			else
				waitq_remove(queue, &entry);
			return got;
		}
		if (entry.woken)
			return FIBER_SIGNAL;
	}
}

void waitq_wake_one(struct waitq *queue)
{
	struct waitq_entry *entry = queue->first;
	if (entry == NULL)
		return;
	waitq_remove(queue, entry);
	entry->woken = true;
	notify(entry->fiber, FIBER_SIGNAL);
}
