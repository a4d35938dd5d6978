// SPDX-License-Identifier: Apache-2.0
// Fibers and their scheduler. Inside fibers must() asserts: cmocka would jump from one stack to another.
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

static struct sched *new_sched(size_t fibers_max)
{
	struct sched *sched;
	must(sched_new(&(struct sched_config){.fibers_max = fibers_max}, &sched, NULL) == ERR_OK);
	return sched;
}

// Runs fn(arg) as the first fiber of a scheduler on this thread until all fibers have ended.
static void run(void (*fn)(void *arg), void *arg)
{
	struct sched *sched = new_sched(0);
	must(sched_spawn(sched, fn, arg, "first"));
	assert_int_equal(sched_run(sched), 0);
	sched_free(&sched);
}

// --- Turns and order ---

struct order {
	char text[64];
	size_t n;
};

static void note(struct order *order, char c)
{
	must(order->n + 1 < sizeof order->text);
	order->text[order->n++] = c;
}

static void says_a(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note(arg, 'a');
		fiber_yield();
	}
}

static void says_b(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note(arg, 'b');
		fiber_yield();
	}
}

static void spawns_both(void *arg)
{
	must(fiber_spawn(says_a, arg, "a") && fiber_spawn(says_b, arg, "b"));
	note(arg, '.');
}

static void fibers_take_turns(void **state)
{
	(void)state;
	struct order order = {0};
	run(spawns_both, &order);
	assert_string_equal(order.text, ".ababab");
}

static void works_much(void *arg)
{
	for (int i = 0; i < 40; i++) {
		note(arg, 'a');
		fiber_spent(0, 1);
	}
}

static void says_b_once(void *arg)
{
	note(arg, 'b');
}

static void spawns_worker_and_b(void *arg)
{
	must(fiber_spawn(works_much, arg, "much") && fiber_spawn(says_b_once, arg, "b"));
}

static void a_turn_ends_after_16_commands(void **state)
{
	(void)state;
	struct order order = {0};
	run(spawns_worker_and_b, &order);
	assert_int_equal(strchr(order.text, 'b') - order.text, FIBER_TURN_COMMANDS);
}

// --- Timers ---

static void sleeps_3(void *arg)
{
	must(fiber_sleep_ms(30) == FIBER_TIMEOUT);
	note(arg, '3');
}

static void sleeps_1(void *arg)
{
	must(fiber_sleep_ms(10) == FIBER_TIMEOUT);
	note(arg, '1');
}

static void sleeps_2(void *arg)
{
	must(fiber_sleep_ms(20) == FIBER_TIMEOUT);
	note(arg, '2');
}

static void sleeps(void *arg)
{
	must(fiber_spawn(sleeps_3, arg, "3") && fiber_spawn(sleeps_1, arg, "1") && fiber_spawn(sleeps_2, arg, "2"));
}

static void deadlines_come_in_order(void **state)
{
	(void)state;
	struct order order = {0};
	run(sleeps, &order);
	assert_string_equal(order.text, "123");
}

static void sleeps_at_random(void *arg)
{
	int64_t *last_ms = arg, deadline_ms = clock_after_ms(rand() % 50);
	must(fiber_wait(NULL, FIBER_MESSAGE, deadline_ms) == FIBER_TIMEOUT);
	must(clock_mono_ms() >= deadline_ms && clock_mono_ms() >= *last_ms);
	*last_ms = clock_mono_ms();
}

static void spawns_sleepers(void *arg)
{
	for (int i = 0; i < 300; i++)
		must(fiber_spawn(sleeps_at_random, arg, "sleeper"));
}

static void the_heap_of_deadlines_holds_hundreds(void **state)
{
	(void)state;
	int64_t last_ms = 0;
	run(spawns_sleepers, &last_ms);
	assert_true(last_ms > 0);
}

// --- Waiting, waking, cancelling ---

static void is_woken(void *arg)
{
	// A wake before the wait is not lost; each wake is returned once.
	must(fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER) == FIBER_MESSAGE);
	must(fiber_wait(NULL, FIBER_MESSAGE, clock_after_ms(1)) == FIBER_TIMEOUT);
	must(fiber_wait(NULL, FIBER_SIGNAL, clock_after_ms(1)) == FIBER_TIMEOUT);
	*(bool *)arg = true;
}

static void wakes_early(void *arg)
{
	struct fiber *fiber = fiber_spawn(is_woken, arg, "woken");
	must(fiber != NULL);
	fiber_wake(fiber);
}

static void a_wake_before_the_wait_is_kept(void **state)
{
	(void)state;
	bool ended = false;
	run(wakes_early, &ended);
	assert_true(ended);
}

struct cancelled {
	unsigned kind;
	int fd;
	struct waitq queue;
	bool ended;
};

// Every kind of wait, cancelled while it waits and then again: the second returns at once.
static unsigned wait_of_kind(struct cancelled *c, struct fiber_io *io)
{
	switch (c->kind) {
	case 0:
		return fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER);
	case 1:
		return fiber_wait(io, FIBER_READABLE | FIBER_MESSAGE, CLOCK_NEVER);
	case 2:
		return fiber_sleep_ms(1000000);
	case 3:
		return waitq_wait(&c->queue, CLOCK_NEVER);
	default:
		unreachable("kind of wait");
	}
}

static void waits_to_be_cancelled(void *arg)
{
	struct cancelled *c = arg;
	struct fiber_io *io = fiber_io_open(c->fd);
	must(io != NULL);
	fiber_io_drained(io, FIBER_READABLE);
	for (int i = 0; i < 3; i++)
		must(wait_of_kind(c, io) == FIBER_CANCELLED);
	must(c->queue.first == NULL && c->queue.last == NULL);
	fiber_io_close(&io);
	c->ended = true;
}

static void cancels(void *arg)
{
	struct fiber *fiber = fiber_spawn(waits_to_be_cancelled, arg, "waits");
	must(fiber != NULL && fiber_sleep_ms(2) == FIBER_TIMEOUT);
	fiber_cancel(fiber);
	fiber_cancel(fiber);
}

static void every_wait_ends_on_cancel(void **state)
{
	(void)state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	for (unsigned kind = 0; kind < 4; kind++) {
		struct cancelled c = {.kind = kind, .fd = pair[0]};
		run(cancels, &c);
		assert_true(c.ended);
	}
	close(pair[0]);
	close(pair[1]);
}

struct shielded {
	struct fiber *fiber;
	struct order order;
};

static void finishes_its_command(void *arg)
{
	struct shielded *s = arg;
	fiber_shield_enter();
	must(fiber_sleep_ms(10) == FIBER_TIMEOUT); // cancelled softly meanwhile
	must(fiber_is_cancelled());
	note(&s->order, 'c');
	fiber_shield_leave();
	must(fiber_sleep_ms(1000000) == FIBER_CANCELLED);
	fiber_shield_enter();
	must(fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER) == FIBER_CANCELLED); // hard
	must(fiber_wait(NULL, FIBER_UNCANCELLABLE, clock_after_ms(2)) == FIBER_TIMEOUT);
	fiber_shield_leave();
	note(&s->order, 'e');
}

static void cancels_softly_then_hard(void *arg)
{
	struct shielded *s = arg;
	struct fiber *fiber = fiber_spawn(finishes_its_command, arg, "command");
	must(fiber != NULL && fiber_sleep_ms(2) == FIBER_TIMEOUT);
	fiber_cancel(fiber);
	must(fiber_sleep_ms(30) == FIBER_TIMEOUT);
	must(s->order.n == 1);
	fiber_cancel_hard(fiber);
}

static void a_shield_keeps_a_soft_cancel_away_and_not_a_hard_one(void **state)
{
	(void)state;
	struct shielded s = {0};
	run(cancels_softly_then_hard, &s);
	assert_string_equal(s.order.text, "ce");
}

// --- Descriptors ---

struct pipe_case {
	int pair[2];
	size_t got;
	bool ended;
};

static void reads_all(void *arg)
{
	struct pipe_case *c = arg;
	struct fiber_io *io = fiber_io_open(c->pair[0]);
	char bytes[7];
	for (;;) {
		ssize_t n = read(c->pair[0], bytes, sizeof bytes);
		if (n == 0)
			break;
		if (n < 0) {
			must(errno == EAGAIN);
			fiber_io_drained(io, FIBER_READABLE);
			must(fiber_wait(io, FIBER_READABLE, clock_after_ms(10000)) == FIBER_READABLE);
			continue;
		}
		c->got += (size_t)n;
	}
	must(fiber_io_hung_up(io));
	fiber_io_close(&io);
	c->ended = true;
}

static void writes_slowly(void *arg)
{
	struct pipe_case *c = arg;
	must(fiber_spawn(reads_all, arg, "reader") != NULL);
	for (int i = 0; i < 20; i++) {
		must(write(c->pair[1], "0123456789", 10) == 10);
		must(fiber_sleep_ms(1) == FIBER_TIMEOUT);
	}
	close(c->pair[1]);
}

static void a_reader_gets_all_and_the_end(void **state)
{
	(void)state;
	struct pipe_case c = {0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, c.pair), 0);
	run(writes_slowly, &c);
	assert_true(c.ended);
	assert_int_equal(c.got, 200);
	close(c.pair[0]);
}

struct two {
	int first[2], second[2];
	uint64_t stale;
	bool ended;
};

static void waits_for_either(void *arg)
{
	struct two *two = arg;
	struct fiber_want wants[] = {
		{.io = fiber_io_open(two->first[0]), .events = FIBER_READABLE},
		{.io = fiber_io_open(two->second[0]), .events = FIBER_READABLE},
	};
	fiber_io_drained(wants[0].io, FIBER_READABLE);
	fiber_io_drained(wants[1].io, FIBER_READABLE);
	must(fiber_wait_many(wants, 2, FIBER_MESSAGE, clock_after_ms(5)) == FIBER_TIMEOUT);
	must(write(two->second[1], "x", 1) == 1);
	must(fiber_wait_many(wants, 2, FIBER_MESSAGE, clock_after_ms(10000)) == FIBER_READABLE);
	must(wants[0].got_out == 0 && wants[1].got_out == FIBER_READABLE);
	fiber_io_close(&wants[0].io);
	fiber_io_close(&wants[1].io);
	two->ended = true;
}

static void open_two(struct two *two)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, two->first), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, two->second), 0);
}

static void close_two(struct two *two)
{
	for (int i = 0; i < 2; i++) {
		close(two->first[i]);
		close(two->second[i]);
	}
}

static void one_fiber_waits_on_two_descriptors(void **state)
{
	(void)state;
	struct two two = {0};
	open_two(&two);
	run(waits_for_either, &two);
	assert_true(two.ended);
	close_two(&two);
}

// An event that epoll_wait has already returned, for an io that was closed and whose slot and descriptor number are used again.
static void reuses_a_descriptor(void *arg)
{
	struct two *two = arg;
	struct sched *sched = sched_self();
	struct fiber_io *old = fiber_io_open(two->first[0]);
	uint64_t old_key = (uint64_t)old->generation << 32 | old->slot;
	fiber_io_close(&old);
	must(dup2(two->second[0], two->first[0]) == two->first[0]);
	struct fiber_io *new = fiber_io_open(two->first[0]);
	must(new->slot == (uint32_t)old_key);
	fiber_io_drained(new, FIBER_READABLE | FIBER_WRITABLE);
	fiber_io_event(sched, old_key, 1);
	must(new->ready == 0);
	struct sched_stats stats;
	sched_stats(sched, &stats);
	two->stale = stats.events_stale;
	must(fiber_wait(new, FIBER_READABLE, clock_after_ms(5)) == FIBER_TIMEOUT);
	must(write(two->second[1], "x", 1) == 1);
	must(fiber_wait(new, FIBER_READABLE, clock_after_ms(10000)) == FIBER_READABLE);
	fiber_io_close(&new);
}

static void an_event_of_a_closed_descriptor_is_dropped(void **state)
{
	(void)state;
	struct two two = {0};
	open_two(&two);
	run(reuses_a_descriptor, &two);
	assert_int_equal(two.stale, 1);
	close_two(&two);
}

// --- Wait queues ---

struct seats {
	struct waitq freed;
	int free, served, timed_out;
};

static void takes_a_seat(void *arg)
{
	struct seats *seats = arg;
	int64_t deadline_ms = clock_after_ms(10000);
	while (seats->free == 0)
		if (waitq_wait(&seats->freed, deadline_ms) != FIBER_SIGNAL)
			return;
	seats->free--;
	fiber_yield();
	seats->free++;
	seats->served++;
	waitq_wake_one(&seats->freed);
}

static void gives_up(void *arg)
{
	struct seats *seats = arg;
	must(waitq_wait(&seats->freed, clock_after_ms(1)) == FIBER_TIMEOUT);
	seats->timed_out++;
	waitq_wake_one(&seats->freed);
}

static void fills_the_room(void *arg)
{
	struct seats *seats = arg;
	seats->free = 0;
	must(fiber_spawn(gives_up, arg, "gives up") != NULL);
	for (int i = 0; i < 50; i++)
		must(fiber_spawn(takes_a_seat, arg, "guest") != NULL);
	while (seats->timed_out == 0)
		must(fiber_sleep_ms(1) == FIBER_TIMEOUT);
	seats->free = 2;
	waitq_wake_one(&seats->freed);
	waitq_wake_one(&seats->freed);
}

static void a_wait_queue_serves_all_in_line(void **state)
{
	(void)state;
	struct seats seats = {0};
	run(fills_the_room, &seats);
	assert_int_equal(seats.served, 50);
	assert_int_equal(seats.timed_out, 1);
	assert_null(seats.freed.first);
}

static void is_woken_and_cancelled(void *arg)
{
	struct seats *seats = arg;
	must(waitq_wait(&seats->freed, CLOCK_NEVER) == FIBER_CANCELLED);
}

static void is_next_in_line(void *arg)
{
	struct seats *seats = arg;
	must(waitq_wait(&seats->freed, clock_after_ms(10000)) == FIBER_SIGNAL);
	seats->served++;
}

static void wakes_one_who_cannot_use_it(void *arg)
{
	struct seats *seats = arg;
	struct fiber *cancelled = fiber_spawn(is_woken_and_cancelled, seats, "cancelled");
	must(cancelled && fiber_spawn(is_next_in_line, seats, "next"));
	fiber_yield();
	waitq_wake_one(&seats->freed);
	fiber_cancel(cancelled);
}

static void a_wake_that_met_a_cancel_goes_to_the_next(void **state)
{
	(void)state;
	struct seats seats = {0};
	run(wakes_one_who_cannot_use_it, &seats);
	assert_int_equal(seats.served, 1);
}

// --- Other threads ---

enum { WAKES = FIBER_TSAN ? 3000 : 20000, FIBERS_RACED = 8 };

struct race {
	_Atomic int sent, seen;
	struct fiber_ref refs[FIBERS_RACED];
	_Atomic bool published, stop;
	pthread_t threads[2];
};

// Every wake that was sent before a fiber waits is seen: the counter it then reads is at least as new.
static void listens(void *arg)
{
	struct race *race = arg;
	while (!atomic_load(&race->stop)) {
		unsigned got = fiber_wait(NULL, FIBER_MESSAGE, clock_after_ms(20000));
		must(got == FIBER_MESSAGE);
		atomic_fetch_add(&race->seen, 1);
	}
}

static void *wakes_many(void *arg)
{
	struct race *race = arg;
	while (!atomic_load(&race->published))
		sched_yield();
	for (int i = 0; i < WAKES; i++) {
		fiber_ref_wake(race->refs[i % FIBERS_RACED]);
		if (i % 64 == 0)
			sched_yield();
	}
	atomic_store(&race->stop, true);
	for (int i = 0; i < FIBERS_RACED; i++) // after the stop, so that nobody sleeps on
		fiber_ref_wake(race->refs[i]);
	for (int i = 0; i < WAKES; i++) // to fibers that have ended, or are ending
		fiber_ref_wake(race->refs[i % FIBERS_RACED]);
	return NULL;
}

static void raises_listeners(void *arg)
{
	struct race *race = arg;
	for (int i = 0; i < FIBERS_RACED; i++) {
		struct fiber *fiber = fiber_spawn(listens, race, "listens");
		must(fiber != NULL);
		race->refs[i] = (struct fiber_ref){fiber, fiber->generation};
	}
	atomic_store(&race->published, true);
}

static void wakes_from_other_threads_are_never_lost(void **state)
{
	(void)state;
	struct race race = {0};
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&race.threads[i], NULL, wakes_many, &race), 0);
	struct sched *sched = new_sched(0);
	must(sched_spawn(sched, raises_listeners, &race, "raises"));
	assert_int_equal(sched_run(sched), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(race.threads[i], NULL);
	assert_true(atomic_load(&race.seen) >= FIBERS_RACED);
	sched_free(&sched);
}

struct ghost {
	struct fiber_ref ref;
	bool ended;
};

static void leaves_a_ref(void *arg)
{
	((struct ghost *)arg)->ref = fiber_ref_self();
}

static void is_not_the_ghost(void *arg)
{
	struct ghost *ghost = arg;
	must(fiber_self() == ghost->ref.fiber);
	fiber_ref_wake(ghost->ref);
	must(fiber_wait(NULL, FIBER_MESSAGE, clock_after_ms(5)) == FIBER_TIMEOUT);
	fiber_ref_wake(ghost->ref);
	fiber_ref_wake(fiber_ref_self()); // replaces the stale one, is not swallowed by it
	must(fiber_wait(NULL, FIBER_MESSAGE, clock_after_ms(10000)) == FIBER_MESSAGE);
	ghost->ended = true;
}

static void raises_a_ghost(void *arg)
{
	must(fiber_spawn(leaves_a_ref, arg, "ghost") != NULL);
	fiber_yield();
	must(fiber_spawn(is_not_the_ghost, arg, "heir") != NULL);
}

static void a_ref_of_an_ended_fiber_wakes_nobody(void **state)
{
	(void)state;
	struct ghost ghost = {0};
	run(raises_a_ghost, &ghost);
	assert_true(ghost.ended);
}

enum { POSTS = FIBER_TSAN ? 2000 : 10000 };

struct posting {
	struct sched *sched;
	int next[3]; // expected number of each poster; written on the scheduler's thread only
	int refused;
	_Atomic int accepted;
};

struct numbered {
	struct posting *posting;
	int poster, number;
};

static void check_order(void *arg)
{
	struct numbered *n = arg;
	must(fiber_self() == NULL && sched_self() == n->posting->sched);
	must(n->posting->next[n->poster]++ == n->number);
	free(n);
}

struct poster {
	struct posting *posting;
	int id;
};

static void *posts_many(void *arg)
{
	struct poster *poster = arg;
	for (int i = 0; i < POSTS; i++) {
		struct numbered *n = malloc(sizeof *n);
		*n = (struct numbered){poster->posting, poster->id, i};
		if (!sched_post(poster->posting->sched, check_order, n)) {
			free(n);
			return NULL;
		}
		atomic_fetch_add(&poster->posting->accepted, 1);
	}
	return NULL;
}

static void posts_run_in_order_and_those_accepted_all_run(void **state)
{
	(void)state;
	struct posting posting = {0};
	struct poster posters[3];
	pthread_t threads[3];
	assert_int_equal(sched_new(&(struct sched_config){.keep_running = true}, &posting.sched, NULL), ERR_OK);
	for (int i = 0; i < 3; i++) {
		posters[i] = (struct poster){&posting, i};
		assert_int_equal(pthread_create(&threads[i], NULL, posts_many, &posters[i]), 0);
	}
	sched_stop(posting.sched, 0); // somewhere amid the posts
	assert_int_equal(sched_run(posting.sched), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(posting.next[0] + posting.next[1] + posting.next[2], atomic_load(&posting.accepted));
	assert_false(sched_post(posting.sched, check_order, NULL));
	sched_free(&posting.sched);
}

// --- Many, deep, long ---

enum { PARKED = FIBER_TSAN ? 500 : 10000 };

struct crowd {
	struct fiber **fibers;
	int woken;
};

static void parks(void *arg)
{
	struct crowd *crowd = arg;
	must(fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER) == FIBER_MESSAGE);
	crowd->woken++;
}

static void parks_a_crowd(void *arg)
{
	struct crowd *crowd = arg;
	for (int i = 0; i < PARKED; i++)
		must((crowd->fibers[i] = fiber_spawn(parks, crowd, "parked")) != NULL);
	must(fiber_spawn(parks, crowd, "one too many") == NULL);
	must(fiber_sleep_ms(1) == FIBER_TIMEOUT);
	for (int i = 0; i < PARKED; i++)
		fiber_wake(crowd->fibers[i]);
}

static void ten_thousand_fibers_park(void **state)
{
	(void)state;
	struct crowd crowd = {.fibers = calloc(PARKED, sizeof(struct fiber *))};
	for (int round = 0; round < 2; round++) {
		struct sched *sched = new_sched(PARKED + 1);
		must(sched_spawn(sched, parks_a_crowd, &crowd, "crowd"));
		assert_int_equal(sched_run(sched), 0);
		struct sched_stats stats;
		sched_stats(sched, &stats);
		assert_int_equal(stats.fibers, 0);
		assert_int_equal(stats.fibers_refused, 1);
		sched_free(&sched);
	}
	assert_int_equal(crowd.woken, 2 * PARKED);
	free(crowd.fibers);
}

__attribute__((noinline)) static unsigned touch_stack(unsigned kib)
{
	volatile char frame[1024 * FIBER_STACK_SCALE];
	frame[0] = (char)kib;
	unsigned below = kib > 1 ? touch_stack(kib - 1) : 0;
	return below + (unsigned)frame[0];
}

static void goes_30_kib_deep(void *arg)
{
	*(unsigned *)arg = touch_stack(30);
}

static void goes_52_kib_deep(void *arg)
{
	*(unsigned *)arg = touch_stack(52);
}

static void the_stack_high_water_is_measured(void **state)
{
	(void)state;
	unsigned sum;
	run(goes_30_kib_deep, &sum);
	assert_in_range(fiber_stack_high_water_bytes(), 30 << 10, FIBER_STACK_TEST_BYTES);
}

// Runs fn as the first fiber of a child process; true when it was killed by abort() and its last words hold the text.
static bool dies_saying(void (*fn)(void *arg), const char *text)
{
	int out[2], status;
	unsigned sum;
	char words[1024];
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(out[1], STDERR_FILENO);
		run(fn, &sum);
		_exit(0);
	}
	close(out[1]);
	ssize_t n = 0, got;
	while ((got = read(out[0], words + n, sizeof words - 1 - (size_t)n)) > 0)
		n += got;
	words[n] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(words, text);
}

static void computes_too_long(void *arg)
{
	volatile unsigned x = 0;
	struct timespec used;
	do {
		for (int i = 0; i < 100000; i++)
			x++;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	} while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < 1000);
	*(unsigned *)arg = x;
}

static void debug_builds_die_of_deep_stacks_and_long_turns(void **state)
{
	(void)state;
	if (!DEBUG_BUILD || FIBER_TSAN) // TSan does not follow a fork
		skip();
	assert_true(dies_saying(goes_52_kib_deep, "bytes of its stack"));
	assert_true(dies_saying(computes_too_long, "ms of CPU"));
}

// --- Stopping ---

struct stopping {
	struct sched *sched;
	_Atomic int waiting, ended, cut;
};

static void says_goodbye(void *arg)
{
	struct stopping *s = arg;
	atomic_fetch_add(&s->waiting, 1);
	must(fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER) == FIBER_CANCELLED);
	must(fiber_spawn(says_goodbye, arg, "late") == NULL);
	atomic_fetch_add(&s->ended, 1);
}

static void does_not_come_to_an_end(void *arg)
{
	struct stopping *s = arg;
	atomic_fetch_add(&s->waiting, 1);
	fiber_shield_enter();
	must(fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER) == FIBER_CANCELLED);
	fiber_shield_leave();
	atomic_fetch_add(&s->cut, 1);
}

static void *runs_a_sched(void *arg)
{
	struct stopping *s = arg;
	must(sched_run(s->sched) == 0);
	return NULL;
}

static void a_stop_cancels_softly_then_hard(void **state)
{
	(void)state;
	struct stopping s = {0};
	pthread_t thread;
	assert_int_equal(sched_new(&(struct sched_config){.keep_running = true}, &s.sched, NULL), ERR_OK);
	assert_int_equal(pthread_create(&thread, NULL, runs_a_sched, &s), 0);
	for (int i = 0; i < 20; i++)
		assert_true(sched_spawn(s.sched, says_goodbye, &s, "goodbye"));
	assert_true(sched_spawn(s.sched, does_not_come_to_an_end, &s, "endless"));
	while (atomic_load(&s.waiting) < 21)
		sched_yield();
	sched_stop(s.sched, 50);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&s.ended), 20);
	assert_int_equal(atomic_load(&s.cut), 1);
	sched_free(&s.sched);
}

static void user_is_per_fiber_check(void *arg)
{
	must(fiber_user() == NULL);
	fiber_set_user(arg);
	fiber_yield();
	must(fiber_user() == arg);
}

static void spawns_users(void *arg)
{
	must(fiber_spawn(user_is_per_fiber_check, arg, "u1") && fiber_spawn(user_is_per_fiber_check, (char *)arg + 1, "u2"));
}

static void each_fiber_has_its_user_pointer(void **state)
{
	(void)state;
	char two[2];
	run(spawns_users, two);
	assert_null(fiber_user());
	assert_null(fiber_self());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fibers_take_turns),
		cmocka_unit_test(a_turn_ends_after_16_commands),
		cmocka_unit_test(deadlines_come_in_order),
		cmocka_unit_test(the_heap_of_deadlines_holds_hundreds),
		cmocka_unit_test(a_wake_before_the_wait_is_kept),
		cmocka_unit_test(every_wait_ends_on_cancel),
		cmocka_unit_test(a_shield_keeps_a_soft_cancel_away_and_not_a_hard_one),
		cmocka_unit_test(a_reader_gets_all_and_the_end),
		cmocka_unit_test(one_fiber_waits_on_two_descriptors),
		cmocka_unit_test(an_event_of_a_closed_descriptor_is_dropped),
		cmocka_unit_test(a_wait_queue_serves_all_in_line),
		cmocka_unit_test(a_wake_that_met_a_cancel_goes_to_the_next),
		cmocka_unit_test(wakes_from_other_threads_are_never_lost),
		cmocka_unit_test(a_ref_of_an_ended_fiber_wakes_nobody),
		cmocka_unit_test(posts_run_in_order_and_those_accepted_all_run),
		cmocka_unit_test(ten_thousand_fibers_park),
		cmocka_unit_test(the_stack_high_water_is_measured),
		cmocka_unit_test(debug_builds_die_of_deep_stacks_and_long_turns),
		cmocka_unit_test(a_stop_cancels_softly_then_hard),
		cmocka_unit_test(each_fiber_has_its_user_pointer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
