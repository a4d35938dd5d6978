// SPDX-License-Identifier: Apache-2.0
// Fibers on one thread: turns, timers, waits that end by a wake, a cancel or a descriptor, and lines to wait in.
#include "test_fiber.h"

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
		cmocka_unit_test(each_fiber_has_its_user_pointer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
