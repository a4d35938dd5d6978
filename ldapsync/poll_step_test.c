// SPDX-License-Identifier: Apache-2.0
// What is asked when, in every order of events: from when on, across failures, clocks that are set back, other servers. A made-up
// server with a clock of its own holds changes; whatever the order, a poll or the next compare has to see each.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "poll_step.h"
#include "sync_cookie.h"

static const struct poll_config config = {.poll_ms = 10000, .compare_ms = 300000, .overlap_ms = 60000};
static const struct guid scope = {.b = {1}}, other_scope = {.b = {2}}, entry_id = {.b = {3}};

enum { T0 = 1000000 };                    // of our monotonic clock
static const int64_t wall_ms = 1800000000000; // ours
static const int64_t theirs_ms = 1790000000000; // the server's clock at T0

static struct poll_server server_of(uint8_t number, enum poll_marks marks)
{
	return (struct poll_server){.identity = {.b = {number}}, .marks = marks};
}

static void connect_to(struct poll_step *step, uint8_t number, enum poll_marks marks, bool is_known)
{
	struct poll_server server = server_of(number, marks);
	assert_int_equal(poll_step_server(step, &server, &scope), is_known);
}

static void begin(struct poll_step *step, enum poll_marks marks)
{
	poll_step_init(step, &config);
	connect_to(step, 1, marks, false);
}

// A whole answer between two moments.
static void ask(struct poll_step *step, enum poll_what what, int64_t from_ms, int64_t to_ms, int64_t mark, bool is_news)
{
	assert_int_equal(poll_step_next(step, from_ms).what, what);
	poll_step_asks(step, what, from_ms);
	if (mark)
		poll_step_saw(step, &entry_id, mark, is_news);
	poll_step_done(step, to_ms, wall_ms + to_ms - T0);
}

static void assert_waits(const struct poll_step *step, int64_t now_ms, int64_t wait_ms)
{
	struct poll_ask ask = poll_step_next(step, now_ms);
	assert_int_equal(ask.what, POLL_WAIT);
	assert_int_equal(ask.wait_ms, wait_ms);
}

static void a_load_comes_first_and_again_after_what_was_not_committed(void **state)
{
	(void)state;
	struct poll_step step;
	begin(&step, POLL_MARKS_TIME);
	assert_int_equal(poll_step_next(&step, T0).what, POLL_LOAD);
	poll_step_asks(&step, POLL_LOAD, T0);
	poll_step_saw(&step, &entry_id, theirs_ms, true);
	connect_to(&step, 1, POLL_MARKS_TIME, false); // it broke off: nothing is concluded
	assert_int_equal(poll_step_next(&step, T0 + 1000).what, POLL_LOAD);
	ask(&step, POLL_LOAD, T0 + 1000, T0 + 2000, theirs_ms, true);
	assert_waits(&step, T0 + 2000, 10000);
	poll_step_forget(&step); // the brake
	assert_int_equal(poll_step_next(&step, T0 + 2000).what, POLL_LOAD);
}

static void changes_and_compares_take_turns(void **state)
{
	(void)state;
	struct poll_step step;
	begin(&step, POLL_MARKS_TIME);
	ask(&step, POLL_LOAD, T0, T0 + 1000, theirs_ms, true);
	int64_t now_ms = T0 + 1000;
	for (size_t i = 0; i < 30; i++) {
		assert_waits(&step, now_ms + 9999, 1);
		now_ms += 10000;
		ask(&step, POLL_CHANGES, now_ms, now_ms, 0, false);
	}
	ask(&step, POLL_COMPARE, now_ms, now_ms + 5000, 0, false);
	assert_waits(&step, now_ms + 5000, 10000); // it is worth a poll
	poll_step_asks(&step, POLL_CHANGES, now_ms + 15000);
	poll_step_compares_too(&step); // and then it is one
	poll_step_done(&step, now_ms + 16000, wall_ms);
	for (int64_t late_ms = now_ms + 26000; late_ms < now_ms + 316000; late_ms += 10000)
		ask(&step, POLL_CHANGES, late_ms, late_ms, 0, false);
	assert_int_equal(poll_step_next(&step, now_ms + 316000 + 10000).what, POLL_CHANGES);
	poll_step_asks(&step, POLL_CHANGES, now_ms + 316000);
	poll_step_done(&step, now_ms + 316000, wall_ms);
	assert_int_equal(poll_step_next(&step, now_ms + 316000).what, POLL_COMPARE);
}

// The server's clock goes on from the last news, as ours does.
static void asks_from_where_the_servers_clock_stood(void **state)
{
	(void)state;
	struct poll_step step;
	begin(&step, POLL_MARKS_CSN);
	ask(&step, POLL_LOAD, T0, T0 + 4000, theirs_ms + 3000, true); // changed while it was read
	// When it was asked the clock stood no lower than 4 s before that.
	assert_int_equal(poll_step_next(&step, T0 + 14000).since, theirs_ms + 3000 - 4000 - 60000);
	ask(&step, POLL_CHANGES, T0 + 14000, T0 + 14100, theirs_ms + 3000, false); // seen again: no news
	assert_int_equal(poll_step_next(&step, T0 + 24100).since, theirs_ms + 3000 + 10000 - 60000);
	ask(&step, POLL_CHANGES, T0 + 24100, T0 + 24200, theirs_ms + 20000, true);
	assert_int_equal(poll_step_next(&step, T0 + 34200).since, theirs_ms + 20000 - 100 - 60000);
}

static void a_question_that_failed_moves_nothing(void **state)
{
	(void)state;
	struct poll_step step;
	begin(&step, POLL_MARKS_TIME);
	ask(&step, POLL_LOAD, T0, T0, theirs_ms, true);
	int64_t since = poll_step_next(&step, T0 + 10000).since;
	poll_step_asks(&step, POLL_CHANGES, T0 + 10000);
	poll_step_saw(&step, &entry_id, theirs_ms + 9000, true); // put, and rolled back
	connect_to(&step, 1, POLL_MARKS_TIME, true);
	struct poll_ask next = poll_step_next(&step, T0 + 90000);
	assert_int_equal(next.what, POLL_CHANGES); // at once
	assert_int_equal(next.since, since);
	ask(&step, POLL_CHANGES, T0 + 90000, T0 + 90000, 0, false);
	ask(&step, POLL_COMPARE, T0 + 90000, T0 + 90000, 0, false); // it was away: who went?
	assert_waits(&step, T0 + 90000, 10000);
}

static void values_of_another_server_mean_nothing(void **state)
{
	(void)state;
	struct poll_step step;
	struct poll_server server = server_of(1, POLL_MARKS_TIME);
	begin(&step, POLL_MARKS_TIME);
	ask(&step, POLL_LOAD, T0, T0, theirs_ms, true);
	connect_to(&step, 2, POLL_MARKS_TIME, false);
	ask(&step, POLL_LOAD, T0, T0, theirs_ms - 9000000, true);
	assert_int_equal(poll_step_next(&step, T0 + 10000).since, theirs_ms - 9000000 - 60000);
	connect_to(&step, 1, POLL_MARKS_TIME, false); // back on the first
	assert_int_equal(poll_step_next(&step, T0).what, POLL_LOAD);
	ask(&step, POLL_LOAD, T0, T0, theirs_ms, true);
	assert_false(poll_step_server(&step, &server, &other_scope)); // another filter, another base
	ask(&step, POLL_LOAD, T0, T0, theirs_ms, true);
	server.marks = POLL_MARKS_CSN;
	assert_false(poll_step_server(&step, &server, &other_scope)); // another attribute
}

static void a_clock_that_was_set_back(void **state)
{
	(void)state;
	struct poll_step step;
	begin(&step, POLL_MARKS_TIME);
	ask(&step, POLL_LOAD, T0, T0, theirs_ms, true);
	// Back by an hour; what changes now has marks that no poll asks for, and the compare finds it.
	poll_step_asks(&step, POLL_CHANGES, T0 + 10000);
	poll_step_compares_too(&step);
	poll_step_saw(&step, &entry_id, theirs_ms + 5000 - 3600000, true);
	poll_step_done(&step, T0 + 10000, wall_ms);
	struct poll_ask next = poll_step_next(&step, T0 + 20000);
	assert_int_equal(next.what, POLL_CHANGES);
	assert_true(next.since <= theirs_ms + 10000 - 3600000); // from now on they are found
	// An old entry with a high mark, seen again, is no news and moves nothing.
	ask(&step, POLL_CHANGES, T0 + 20000, T0 + 20000, theirs_ms, false);
	assert_true(poll_step_next(&step, T0 + 30000).since <= theirs_ms + 20000 - 3600000);
	// And set right again.
	ask(&step, POLL_CHANGES, T0 + 30000, T0 + 30000, theirs_ms + 30000, true);
	assert_int_equal(poll_step_next(&step, T0 + 40000).since, theirs_ms + 30000 - 60000);
}

static void a_mark_of_the_future_is_not_believed(void **state)
{
	(void)state;
	struct poll_step step;
	begin(&step, POLL_MARKS_TIME);
	ask(&step, POLL_LOAD, T0, T0, 4000000000000, true); // one entry of the year 2096
	assert_int_equal(poll_step_next(&step, T0 + 10000).since, wall_ms - 60000);
	begin(&step, POLL_MARKS_USN); // a number is no time
	ask(&step, POLL_LOAD, T0, T0, 4000000000000, true);
	assert_int_equal(poll_step_next(&step, T0 + 10000).since, 4000000000000);
}

static void numbers_go_on_from_the_question_before(void **state)
{
	(void)state;
	struct poll_step step;
	struct poll_server server = server_of(1, POLL_MARKS_USN);
	begin(&step, POLL_MARKS_USN);
	ask(&step, POLL_LOAD, T0, T0, 700, true);
	assert_int_equal(poll_step_next(&step, T0 + 10000).since, 700);
	ask(&step, POLL_CHANGES, T0 + 10000, T0 + 10000, 710, true);
	assert_int_equal(poll_step_next(&step, T0 + 20000).since, 700); // 705 may have become visible after 710
	ask(&step, POLL_CHANGES, T0 + 20000, T0 + 20000, 710, false);
	assert_int_equal(poll_step_next(&step, T0 + 30000).since, 710);
	server.counts = true;
	server.usn = 710;
	assert_true(poll_step_server(&step, &server, &scope));
	server.usn = 650; // restored
	assert_false(poll_step_server(&step, &server, &scope));
	assert_int_equal(poll_step_next(&step, T0).what, POLL_LOAD);
}

static void a_directory_without_marks(void **state)
{
	(void)state;
	struct poll_step step;
	begin(&step, POLL_MARKS_TIME);
	ask(&step, POLL_LOAD, T0, T0, 0, false); // nobody there yet
	assert_int_equal(poll_step_next(&step, T0 + 10000).since, 0);
	begin(&step, POLL_MARKS_NONE);
	for (int64_t now_ms = T0; now_ms < T0 + 400000; now_ms += 10000) { // never a compare: everything, each time
		ask(&step, POLL_LOAD, now_ms, now_ms, 0, false);
		assert_waits(&step, now_ms, 10000);
	}
}

// Random orders against a server whose clock runs beside ours: changes at random, answers that break off, connections that are
// made again. What a poll would not ask for must have been there at the last whole answer.
static void no_order_of_events_hides_a_change(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 2000; seed++) {
		struct poll_step step;
		uint64_t random = seed * 0x9e3779b97f4a7c15u;
		int64_t now_ms = T0, latest = theirs_ms - 5000000, oldest_unseen = INT64_MAX;
		begin(&step, POLL_MARKS_TIME);
		for (unsigned event = 0; event < 60; event++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			now_ms += (int64_t)(random >> 40) % 8000;
			if ((random >> 33) % 3 == 0) { // a change, by the server's clock, in whole seconds
				latest = (theirs_ms + now_ms - T0) / 1000 * 1000;
				if (latest < oldest_unseen)
					oldest_unseen = latest;
				continue;
			}
			struct poll_ask next = poll_step_next(&step, now_ms);
			if (next.what == POLL_WAIT) {
				now_ms += (random >> 20) % 2 ? next.wait_ms : 0;
				continue;
			}
			if (next.what == POLL_CHANGES)
				assert_true(next.since <= oldest_unseen);
			poll_step_asks(&step, next.what, now_ms);
			poll_step_saw(&step, &entry_id, latest, next.what == POLL_LOAD || oldest_unseen != INT64_MAX);
			now_ms += (int64_t)(random >> 50) % 3000;
			if ((random >> 35) % 4 == 0) {
				connect_to(&step, 1, POLL_MARKS_TIME, step.loaded);
				continue;
			}
			poll_step_done(&step, now_ms, wall_ms + now_ms - T0);
			oldest_unseen = INT64_MAX;
		}
	}
}

static bool restore(struct poll_step *step, const char *text, int64_t now_ms, int64_t now_wall_ms)
{
	size_t n = 0;
	poll_step_init(step, &config);
	return poll_step_restore(step, str_of_c(text), now_ms, now_wall_ms, &n) && n == 7;
}

// The next process has another monotonic clock, and knows nothing of how long nobody asked.
static void another_process_goes_on(void **state)
{
	(void)state;
	enum { OTHER_T0 = 5000000, AWAY_MS = 100000 };
	struct poll_step step, next;
	struct poll_server server = server_of(1, POLL_MARKS_CSN);
	struct buf text;
	buf_init(&text, SYNC_POLLED_BYTES);
	begin(&step, POLL_MARKS_CSN);
	poll_step_store(&step, 7, &text);
	assert_int_equal(text.n, 0); // a load is next
	ask(&step, POLL_LOAD, T0, T0 + 4000, theirs_ms + 3000, true);
	poll_step_store(&step, 7, &text);
	assert_true(restore(&next, buf_c(&text), OTHER_T0, wall_ms + 4000 + AWAY_MS));
	assert_true(poll_step_server(&next, &server, &scope));
	assert_int_equal(poll_step_next(&next, OTHER_T0).what, POLL_CHANGES);
	assert_int_equal(poll_step_next(&next, OTHER_T0).since, theirs_ms + 3000 - 4000 - 60000); // the clock stood still, as far as we know
	ask(&next, POLL_CHANGES, OTHER_T0, OTHER_T0, 0, false);
	assert_int_equal(poll_step_next(&next, OTHER_T0).what, POLL_COMPARE); // it may have been set back
	server.tells_setback = true;
	assert_true(restore(&next, buf_c(&text), OTHER_T0, wall_ms + 4000 + AWAY_MS));
	assert_true(poll_step_server(&next, &server, &scope));
	ask(&next, POLL_CHANGES, OTHER_T0, OTHER_T0, 0, false);
	assert_waits(&next, OTHER_T0 + 9000, 1000);
	ask(&next, POLL_CHANGES, OTHER_T0 + 199999, OTHER_T0 + 199999, 0, false);
	assert_int_equal(poll_step_next(&next, OTHER_T0 + 200000).what, POLL_COMPARE); // when it would have come
	assert_true(restore(&next, buf_c(&text), OTHER_T0, wall_ms - 1)); // our clock was set back: it is due
	assert_true(poll_step_server(&next, &server, &scope));
	ask(&next, POLL_CHANGES, OTHER_T0, OTHER_T0, 0, false);
	assert_int_equal(poll_step_next(&next, OTHER_T0).what, POLL_COMPARE);
	server.identity.b[0] = 9;
	assert_true(restore(&next, buf_c(&text), OTHER_T0, wall_ms));
	assert_false(poll_step_server(&next, &server, &scope));
	assert_int_equal(poll_step_next(&next, OTHER_T0).what, POLL_LOAD);
	for (size_t n = 0; n < text.n; n++) { // cut anywhere it says nothing, or that so many entries are known
		char *cut = strndup(text.p, n);
		assert_false(restore(&next, cut, OTHER_T0, wall_ms));
		free(cut);
	}
	buf_fini(&text);
}

static void numbers_are_kept_for_another_process(void **state)
{
	(void)state;
	struct poll_step step, next;
	struct poll_server server = server_of(1, POLL_MARKS_USN);
	struct buf text;
	buf_init(&text, SYNC_POLLED_BYTES);
	begin(&step, POLL_MARKS_USN);
	ask(&step, POLL_LOAD, T0, T0, 500, true);
	ask(&step, POLL_CHANGES, T0 + 10000, T0 + 10000, 510, true);
	poll_step_store(&step, 7, &text);
	assert_true(restore(&next, buf_c(&text), 1, wall_ms));
	server.counts = true;
	server.usn = 510;
	assert_true(poll_step_server(&next, &server, &scope));
	assert_int_equal(poll_step_next(&next, 1).since, 500);
	server.usn = 509; // it went back
	assert_true(restore(&next, buf_c(&text), 1, wall_ms));
	assert_false(poll_step_server(&next, &server, &scope));
	buf_fini(&text);
}

// Only of what is committed, and of one directory; the entry of the latest news and how long nobody goes are stored with it.
static void a_server_that_may_lag(void **state)
{
	(void)state;
	struct poll_step step, next;
	struct poll_server one = server_of(1, POLL_MARKS_CSN), two = server_of(2, POLL_MARKS_CSN), other = server_of(3, POLL_MARKS_CSN);
	struct buf text;
	buf_init(&text, SYNC_POLLED_BYTES);
	other.directory.b[0] = 7;
	begin(&step, POLL_MARKS_CSN);
	assert_false(poll_step_is_another(&step, &two)); // nothing is held
	ask(&step, POLL_LOAD, T0, T0, theirs_ms, true);
	assert_false(poll_step_is_another(&step, &two));
	step.spare_until_wall_ms = wall_ms + 9;
	poll_step_committed(&step);
	poll_step_store(&step, 7, &text);
	connect_to(&step, 2, POLL_MARKS_CSN, false); // and never answers as a whole
	poll_step_forget(&step);
	assert_true(restore(&next, buf_c(&text), T0, wall_ms));
	struct poll_step *steps[] = {&step, &next};
	for (size_t i = 0; i < 2; i++) {
		assert_true(poll_step_is_another(steps[i], &two));
		assert_false(poll_step_is_another(steps[i], &one));
		assert_false(poll_step_is_another(steps[i], &other));
		assert_true(steps[i]->has_witness && guid_eq(&steps[i]->witness, &entry_id) && steps[i]->witness_mark == theirs_ms);
		assert_int_equal(steps[i]->held_spare_until_wall_ms, wall_ms + 9);
	}
	buf_fini(&text);
}

// A clock that was a year ahead keeps nobody for a year who was deleted; one that is set back a little ends nothing early.
static void nobody_is_spared_for_longer_than_a_server_may_lag(void **state)
{
	(void)state;
	const int64_t lag_ms = 3600000, year_ms = 365 * 24 * lag_ms;
	struct poll_step step;
	begin(&step, POLL_MARKS_CSN);
	assert_false(poll_step_is_sparing(&step, wall_ms, lag_ms));
	step.spare_until_wall_ms = step.held_spare_until_wall_ms = wall_ms + year_ms + lag_ms;
	assert_true(poll_step_is_sparing(&step, wall_ms + year_ms + 1, lag_ms));
	assert_true(poll_step_is_sparing(&step, wall_ms, lag_ms));
	assert_int_equal(step.held_spare_until_wall_ms, wall_ms + lag_ms); // where the next connection begins
	assert_true(poll_step_is_sparing(&step, wall_ms + lag_ms - 1, lag_ms));
	assert_true(poll_step_is_sparing(&step, wall_ms - 1000, lag_ms));
	assert_false(poll_step_is_sparing(&step, wall_ms + lag_ms, lag_ms));
	step.spare_until_wall_ms = wall_ms + lag_ms;
	assert_false(poll_step_is_sparing(&step, wall_ms, 0)); // the administrator wants none of it any more
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_spared_for_longer_than_a_server_may_lag),
		cmocka_unit_test(a_server_that_may_lag),
		cmocka_unit_test(another_process_goes_on),
		cmocka_unit_test(numbers_are_kept_for_another_process),
		cmocka_unit_test(a_load_comes_first_and_again_after_what_was_not_committed),
		cmocka_unit_test(changes_and_compares_take_turns),
		cmocka_unit_test(asks_from_where_the_servers_clock_stood),
		cmocka_unit_test(a_question_that_failed_moves_nothing),
		cmocka_unit_test(values_of_another_server_mean_nothing),
		cmocka_unit_test(a_clock_that_was_set_back),
		cmocka_unit_test(a_mark_of_the_future_is_not_believed),
		cmocka_unit_test(numbers_go_on_from_the_question_before),
		cmocka_unit_test(a_directory_without_marks),
		cmocka_unit_test(no_order_of_events_hides_a_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
