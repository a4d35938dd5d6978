// SPDX-License-Identifier: Apache-2.0
// The loop of one thread: ready fibers, descriptors, deadlines, what other threads post, and stopping.
//
// Other threads reach in at three places only, all without locks: the list of posts, the list of fibers to wake, and stop_ms. Who
// finds a list empty writes the eventfd, so a burst costs one write. The lists are taken whole and a post list is turned around
// to run in order.
//
// The end: when nothing is left to do the list of posts is closed by putting CLOSED into it while it is empty. A later sched_post
// sees that and gives its argument back; so what was accepted is always run.
#include "fiber_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/must.h"

enum {
	FIBERS_MAX_DEFAULT = 10000,
	EVENTS_PER_TURN = 256,
	SWEEP_MS = 1000,        // how often idle stacks are looked for
	SWEEP_FIBERS = 2000,    // how many are looked at
	STACK_IDLE_MS = 2000,   // parked for this long is idle
	STUBBORN_MS = 5000,     // after a hard cancel a fiber has this long to end
};

#define KEY_EVENTFD UINT64_MAX

static struct sched_post closed_mark;
#define CLOSED (&closed_mark)

enum err_code sched_new(const struct sched_config *config, struct sched **sched_out, struct err *err)
{
	struct sched *sched = calloc(1, sizeof *sched);
	must(sched != NULL);
	sched->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	sched->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = KEY_EVENTFD};
	if (sched->epoll_fd < 0 || sched->event_fd < 0 ||
	    epoll_ctl(sched->epoll_fd, EPOLL_CTL_ADD, sched->event_fd, &event) != 0) {
		err_errno(err, "make a scheduler's epoll");
		if (sched->epoll_fd >= 0)
			close(sched->epoll_fd);
		if (sched->event_fd >= 0)
			close(sched->event_fd);
		free(sched);
		return ERR_NOMEM;
	}
	sched->fibers_max = config->fibers_max ? config->fibers_max : FIBERS_MAX_DEFAULT;
	sched->keep_running = config->keep_running;
	sched->ready_end = &sched->ready_first;
	atomic_init(&sched->stop_ms, CLOCK_NEVER);
	*sched_out = sched;
	return ERR_OK;
}

void sched_free(struct sched **sched_taken)
{
	struct sched *sched = *sched_taken;
	*sched_taken = NULL;
	if (sched == NULL)
		return;
	must(sched_of_thread != sched);
	for (struct fiber *fiber; (fiber = sched->free_fibers);) {
		sched->free_fibers = fiber->live_next;
		free(fiber);
	}
	struct sched_post *post = atomic_load(&sched->posts);
	while (post && post != CLOSED) { // posted, and never run
		struct sched_post *next = post->next;
		free(post);
		post = next;
	}
	fiber_stack_pool_fini(&sched->stacks);
	fiber_ios_fini(sched);
	free(sched->timers);
	close(sched->epoll_fd);
	close(sched->event_fd);
	free(sched);
}

struct sched *sched_self(void)
{
	return sched_of_thread;
}

// --- From other threads ---

void sched_kick(struct sched *sched)
{
	uint64_t one = 1;
	must(write(sched->event_fd, &one, sizeof one) == (ssize_t)sizeof one);
}

bool sched_post(struct sched *sched, void (*fn)(void *arg), void *arg)
{
	struct sched_post *post = malloc(sizeof *post);
	must(post != NULL);
	*post = (struct sched_post){.fn = fn, .arg = arg};
	struct sched_post *head = atomic_load_explicit(&sched->posts, memory_order_relaxed);
	do {
		if (head == CLOSED) {
			free(post);
			return false;
		}
		post->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&sched->posts, &head, post, memory_order_release, memory_order_relaxed));
	if (head == NULL)
		sched_kick(sched);
	return true;
}

struct spawn {
	void (*fn)(void *arg);
	void *arg;
	const char *name;
	void (*refused)(void *arg);
};

static void spawn_posted(void *arg)
{
	struct spawn *spawn = arg;
	if (fiber_spawn(spawn->fn, spawn->arg, spawn->name) == NULL && spawn->refused)
		spawn->refused(spawn->arg);
	free(spawn);
}

bool sched_spawn_or(struct sched *sched, void (*fn)(void *arg), void *arg, const char *name, void (*refused)(void *arg))
{
	struct spawn *spawn = malloc(sizeof *spawn);
	must(spawn != NULL);
	*spawn = (struct spawn){fn, arg, name, refused};
	if (sched_post(sched, spawn_posted, spawn))
		return true;
	free(spawn);
	return false;
}

bool sched_spawn(struct sched *sched, void (*fn)(void *arg), void *arg, const char *name)
{
	return sched_spawn_or(sched, fn, arg, name, NULL);
}

void sched_stop(struct sched *sched, int64_t grace_ms)
{
	int64_t mine = clock_mono_exact_ms() + (grace_ms > 0 ? grace_ms : 0), now = atomic_load(&sched->stop_ms);
	while (mine < now && !atomic_compare_exchange_weak(&sched->stop_ms, &now, mine))
		;
	sched_kick(sched);
}

// --- The loop ---

static void run_posts(struct sched *sched)
{
	struct sched_post *taken = atomic_exchange_explicit(&sched->posts, NULL, memory_order_acquire), *in_order = NULL;
	while (taken) {
		struct sched_post *next = taken->next;
		taken->next = in_order;
		in_order = taken;
		taken = next;
	}
	while (in_order) {
		struct sched_post *post = in_order;
		in_order = post->next;
		post->fn(post->arg);
		free(post);
		sched_count(&sched->n_posts, 1);
	}
}

static void take_wakes(struct sched *sched)
{
	struct fiber *fiber = atomic_exchange_explicit(&sched->wakes, NULL, memory_order_acquire);
	while (fiber) {
		struct fiber *next = fiber->wake_next; // read first: once taken, the fiber may be pushed again
		fiber_take_wake(fiber);
		fiber = next;
	}
}

static void expire_timers(struct sched *sched)
{
	int64_t now_ms = clock_mono_ms();
	while (sched->timers_n && sched->timers[0]->deadline_ms <= now_ms) {
		struct fiber *fiber = sched->timers[0];
		fiber_timer_clear(fiber);
		fiber_ready(fiber);
	}
}

static void run_ready(struct sched *sched)
{
	struct fiber *fiber = sched->ready_first;
	sched->ready_first = NULL; // who becomes ready meanwhile runs in the next turn
	sched->ready_end = &sched->ready_first;
	while (fiber) {
		struct fiber *next = fiber->ready_next;
		fiber_resume(fiber);
		fiber = next;
	}
}

// Fibers that have waited for long keep the page they stand on and no more. A few at a time, since there may be many.
static void sweep_stacks(struct sched *sched)
{
#if !defined(FIBER_UCONTEXT)
	int64_t now_ms = clock_mono_ms();
	if (now_ms < sched->sweep_ms)
		return;
	sched->sweep_ms = now_ms + SWEEP_MS;
	struct fiber *fiber = sched->sweep ? sched->sweep : sched->live_first;
	if (sched->sweep == NULL)
		sched->untrimmed = false;
	for (int n = 0; fiber && n < SWEEP_FIBERS; n++, fiber = fiber->live_next) {
		if (fiber->state != FIBER_PARKED || fiber->trimmed)
			continue;
		if (now_ms - fiber->parked_ms < STACK_IDLE_MS) {
			sched->untrimmed = true;
			continue;
		}
		fiber_stack_measure(fiber->stack, fiber->name);
		fiber_stack_trim(fiber->stack, fiber->context.sp);
		fiber->trimmed = true;
	}
	sched->sweep = fiber;
	sched->untrimmed |= fiber != NULL;
#else
	(void)sched;
#endif
}

static void cancel_all(struct sched *sched, void (*cancel)(struct fiber *fiber))
{
	for (struct fiber *fiber = sched->live_first; fiber; fiber = fiber->live_next)
		cancel(fiber);
}

// Posts that came before the stop are run first: a fiber they spawn is refused properly or cancelled with the others.
static void check_stop(struct sched *sched)
{
	int64_t stop_ms = atomic_load(&sched->stop_ms);
	if (stop_ms == CLOCK_NEVER)
		return;
	if (!sched->stopping) {
		sched->stopping = true;
		cancel_all(sched, fiber_cancel);
	}
	if (!sched->cancelled_hard && clock_mono_ms() >= stop_ms) {
		sched->cancelled_hard = true;
		sched->hard_ms = clock_mono_ms();
		cancel_all(sched, fiber_cancel_hard);
	}
}

// The earliest moment at which there is something to do without an event.
static int timeout_ms(struct sched *sched)
{
	if (sched->ready_first)
		return 0;
	int64_t next_ms = sched->timers_n ? sched->timers[0]->deadline_ms : CLOCK_NEVER;
	if (sched->stopping && !sched->cancelled_hard)
		next_ms = clock_earlier(next_ms, atomic_load(&sched->stop_ms));
	else if (sched->cancelled_hard && clock_mono_ms() < sched->hard_ms + STUBBORN_MS)
		next_ms = clock_earlier(next_ms, sched->hard_ms + STUBBORN_MS);
	if (sched->untrimmed)
		next_ms = clock_earlier(next_ms, clock_mono_ms() + STACK_IDLE_MS);
	if (next_ms == CLOCK_NEVER)
		return -1;
	int64_t wait_ms = next_ms - clock_mono_ms();
	return wait_ms <= 0 ? 0 : wait_ms > 60000 ? 60000 : (int)wait_ms;
}

static void wait_for_events(struct sched *sched)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int n = epoll_wait(sched->epoll_fd, events, EVENTS_PER_TURN, timeout_ms(sched));
	must(n >= 0 || errno == EINTR);
	clock_turn_begins();
	for (int i = 0; i < n; i++)
		if (events[i].data.u64 != KEY_EVENTFD) // edge-triggered and never read: each write is an event
			fiber_io_event(sched, events[i].data.u64, events[i].events);
}

// Fibers that ignore a hard cancel. Those that await a worker are in their right.
static size_t stubborn(const struct sched *sched)
{
	size_t n = 0;
	if (!sched->cancelled_hard || clock_mono_ms() < sched->hard_ms + STUBBORN_MS)
		return 0;
	for (const struct fiber *fiber = sched->live_first; fiber; fiber = fiber->live_next)
		if (fiber->state != FIBER_PARKED || !fiber->uncancellable) {
			fprintf(stderr, "posthouse: bug: fiber %s does not end although cancelled\n", fiber->name);
			n++;
		}
	return n;
}

static bool close_posts(struct sched *sched)
{
	struct sched_post *none = NULL;
	return atomic_compare_exchange_strong(&sched->posts, &none, CLOSED);
}

static bool is_finished(struct sched *sched)
{
	if (sched->fibers_n || (sched->keep_running && !sched->stopping))
		return false;
	return close_posts(sched);
}

size_t sched_run(struct sched *sched)
{
	must(sched_of_thread == NULL && atomic_load(&sched->posts) != CLOSED);
	sched_of_thread = sched;
	fiber_context_init_thread(&sched->thread);
	size_t left = 0;
	for (;;) {
		clock_turn_begins();
		sched_count(&sched->n_turns, 1);
		run_posts(sched);
		take_wakes(sched);
		check_stop(sched);
		expire_timers(sched);
		run_ready(sched);
		sweep_stacks(sched);
		if (is_finished(sched) || (left = stubborn(sched)))
			break;
		wait_for_events(sched);
	}
#if !defined(NDEBUG)
	must(left == 0);
#endif
	clock_turns_end();
	sched_of_thread = NULL;
	return left;
}

void sched_stats(const struct sched *sched, struct sched_stats *stats_out)
{
	*stats_out = (struct sched_stats){
		.fibers = atomic_load_explicit(&sched->n_alive, memory_order_relaxed),
		.fibers_spawned = atomic_load_explicit(&sched->n_spawned, memory_order_relaxed),
		.fibers_refused = atomic_load_explicit(&sched->n_refused, memory_order_relaxed),
		.turns = atomic_load_explicit(&sched->n_turns, memory_order_relaxed),
		.stacks_pooled = atomic_load_explicit(&sched->n_pooled, memory_order_relaxed),
		.posts = atomic_load_explicit(&sched->n_posts, memory_order_relaxed),
		.events_stale = atomic_load_explicit(&sched->n_stale, memory_order_relaxed),
	};
}
