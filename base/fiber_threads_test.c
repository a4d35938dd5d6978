// SPDX-License-Identifier: Apache-2.0
// Fibers and other threads: wakes, refs and posts from outside; and many fibers, deep stacks, a stop.
#include "test_fiber.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wakes_from_other_threads_are_never_lost),
		cmocka_unit_test(a_ref_of_an_ended_fiber_wakes_nobody),
		cmocka_unit_test(posts_run_in_order_and_those_accepted_all_run),
		cmocka_unit_test(ten_thousand_fibers_park),
		cmocka_unit_test(the_stack_high_water_is_measured),
		cmocka_unit_test(debug_builds_die_of_deep_stacks_and_long_turns),
		cmocka_unit_test(a_stop_cancels_softly_then_hard),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
