// SPDX-License-Identifier: Apache-2.0
// The scheduler as a simulation: a fake clock, destinations that live, die and come back, rows that stand in for the database.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "schedule.h"

static const struct schedule_config config = {.concurrency_max = 20, .connections_max = 100, .retry_min_ms = 60000,
	.retry_max_ms = 14400000};

static uint64_t next_guid;

static struct item *item_for(const char *destination, struct item_message **message)
{
	if (*message == NULL) {
		struct record_enter e = {.guid = {{1}}, .sender = STR("s@x")};
		next_guid++;
		memcpy(e.guid.b + 4, &next_guid, sizeof next_guid);
		*message = item_message_new(&e, 1, STR_NONE);
	}
	static uint32_t number;
	struct record_recipient r = {.number = ++number, .target = RECORD_TO_MAILBOX, .address = STR("u@x"), .key = STR("u@x"),
		.destination = str_of_c(destination)};
	return item_new(*message, &r);
}

static bool add_one(struct schedule *s, const char *destination, int64_t now_ms)
{
	struct item_message *message = NULL;
	struct item *item = item_for(destination, &message);
	item_message_drop(&message);
	bool took = schedule_add(s, &item, now_ms) != NULL;
	item_free(&item);
	return took;
}

static void finish(struct schedule *s, struct schedule_dest *dest, struct item *list)
{
	while (list) {
		struct item *item = list;
		list = item->next;
		schedule_done(s, dest, &item);
	}
}

static size_t length(const struct item *list)
{
	size_t n = 0;
	for (; list; list = list->next)
		n++;
	return n;
}

static void back_off_doubles_and_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(schedule_backoff_ms(&config, 0, 0), 45000);
	assert_int_equal(schedule_backoff_ms(&config, 0, 30000), 75000);
	assert_int_equal(schedule_backoff_ms(&config, 0, 30001), 45000);
	assert_int_equal(schedule_backoff_ms(&config, 3, 0), 360000);
	for (uint32_t dice = 0; dice < 100; dice++) {
		int64_t wait = schedule_backoff_ms(&config, 4000000000u, dice * 77777777u);
		assert_in_range(wait, 10800000, 18000000);
	}
}

static void a_jump_of_the_clock_delays_nothing_long(void **state)
{
	(void)state;
	int64_t year_ms = INT64_C(31536000000);
	assert_int_equal(schedule_due_ms(&config, 1000, 5000, 77), 77);                      // overdue
	assert_int_equal(schedule_due_ms(&config, 10 * year_ms, 10 * year_ms - 60000, 77), 60077);
	assert_int_equal(schedule_due_ms(&config, 10 * year_ms, 1, 77), 77 + 18000000);      // set back by ten years
	assert_int_equal(schedule_due_ms(&config, 1, 10 * year_ms, 77), 77);                 // set forward: now
}

static void recipients_of_a_message_stay_together(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	for (int m = 0; m < 3; m++) {
		struct item_message *message = NULL;
		for (int i = 0; i < 4; i++) {
			struct item *item = item_for("mb1", &message);
			assert_non_null(schedule_add(s, &item, 0));
		}
		item_message_drop(&message);
	}
	struct schedule_dest *dest = schedule_start_agent(s, 0);
	struct item *list = schedule_take(s, dest, 2, 100);
	assert_int_equal(length(list), 8);
	finish(s, dest, list);
	list = schedule_take(s, dest, 2, 3);
	assert_int_equal(length(list), 3);
	finish(s, dest, list);
	list = schedule_take(s, dest, 2, 3);
	assert_int_equal(length(list), 1);
	finish(s, dest, list);
	assert_null(schedule_take(s, dest, 2, 3));
	schedule_agent_ended(s, dest);
	schedule_free(&s);
}

static void what_is_gone_comes_back_with_its_row(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	struct item_message *message = NULL;
	struct item *item = item_for("mb1", &message), *again = item_for("mb1", &message);
	again->r.number = item->r.number;
	const struct guid guid = message->guid;
	const uint32_t number = item->r.number;
	assert_false(schedule_gone(s, &guid, number));
	assert_non_null(schedule_add(s, &item, 0));
	assert_true(schedule_gone(s, &guid, number));
	struct schedule_dest *dest = schedule_add(s, &again, 0);
	item_message_drop(&message);
	assert_ptr_equal(schedule_start_agent(s, 0), dest);
	struct item *list = schedule_take(s, dest, 5, 5);
	assert_int_equal(length(list), 1);
	finish(s, dest, list);
	schedule_agent_ended(s, dest);
	schedule_free(&s);
}

static bool add_list(struct schedule *s, const char *destination)
{
	struct item_message *message = NULL;
	struct item *item = item_for(destination, &message);
	item_message_drop(&message);
	item->r.target = RECORD_TO_EXPAND;
	return schedule_add(s, &item, 0) != NULL;
}

static void a_kind_of_target_may_have_few_agents(void **state)
{
	(void)state;
	struct schedule_config lists = config;
	lists.kind_max[RECORD_TO_EXPAND] = 2;
	struct schedule *s = schedule_new(&lists);
	for (int i = 0; i < 10; i++)
		assert_true(add_list(s, i % 2 ? "(expand)" : "(other)"));
	struct schedule_dest *first = schedule_start_agent(s, 0), *second = schedule_start_agent(s, 0);
	assert_true(first && second);
	assert_null(schedule_start_agent(s, 0)); // whichever destination
	assert_true(add_one(s, "mail1", 0));
	struct schedule_dest *mailbox = schedule_start_agent(s, 0); // others are not held up
	assert_true(mailbox && str_eq(schedule_name(mailbox), STR("mail1")));
	finish(s, first, schedule_take(s, first, 5, 5));
	schedule_agent_ended(s, first);
	assert_non_null(schedule_start_agent(s, 0));
	assert_null(schedule_start_agent(s, 0));
	schedule_free(&s);
}

static void connections_grow_with_success(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	struct schedule_dest *agents[100];
	size_t n = 0;
	for (int i = 0; i < 500; i++)
		assert_true(add_one(s, "mb1", 0));
	while ((agents[n] = schedule_start_agent(s, 0)))
		n++;
	assert_int_equal(n, SCHEDULE_WINDOW_START);
	for (int i = 0; i < 1000; i++)
		schedule_succeeded(s, agents[0]);
	while ((agents[n] = schedule_start_agent(s, 0)))
		n++;
	assert_int_equal(n, 20);
	for (size_t i = 0; i < n; i++)
		schedule_agent_ended(s, agents[i]);
	schedule_free(&s);
}

static void no_more_agents_than_work(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	assert_true(add_one(s, "mb1", 0));
	struct schedule_dest *dest = schedule_start_agent(s, 0);
	assert_non_null(dest);
	assert_null(schedule_start_agent(s, 0)); // the one is on its way
	finish(s, dest, schedule_take(s, dest, 10, 10));
	assert_null(schedule_start_agent(s, 0));
	schedule_agent_ended(s, dest);
	struct schedule_stats stats;
	assert_null(schedule_start_agent(s, 0));
	schedule_stats(s, 0, &stats);
	assert_int_equal(stats.destinations, 0); // nothing is kept of one that has nothing
	schedule_free(&s);
}

// Threat of every queue: one dead host and a million messages for it.
static void a_dead_host_is_probed_by_one(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	struct schedule_dest *dest, *dead;
	int64_t now_ms = 0;
	size_t connections = 0;
	for (int minute = 0; minute < 24 * 60; minute++) {
		now_ms += 60000;
		assert_true(add_one(s, "mb1", now_ms));
		size_t at_once = 0;
		while ((dest = schedule_start_agent(s, now_ms))) {
			struct item *list = schedule_take(s, dest, 1, 10);
			assert_non_null(list);
			schedule_failed(s, dest, now_ms, (uint32_t)now_ms, STR("451 refused"));
			finish(s, dest, list); // deferred
			schedule_agent_ended(s, dest);
			at_once++;
		}
		assert_true(at_once <= 1);
		connections += at_once;
		struct item *list;
		while ((list = schedule_take_dead(s, now_ms, 100, 100, &dead))) {
			assert_true(str_eq(schedule_why(dead), STR("451 refused")));
			finish(s, dead, list);
		}
	}
	assert_in_range(connections, 8, 16); // 1, 2, 4 … 240 minutes apart
	// It comes back: the first connection brings the rows in before their time.
	assert_true(add_one(s, "mb1", now_ms += 18000000));
	dest = schedule_start_agent(s, now_ms);
	assert_non_null(dest);
	schedule_connected(s, dest);
	size_t limit;
	bool early;
	assert_ptr_equal(schedule_wants_page(s, now_ms, &limit, &early), dest);
	assert_true(early);
	schedule_paged(s, dest, INT64_MAX);
	assert_null(schedule_wants_page(s, now_ms, &limit, &early));
	finish(s, dest, schedule_take(s, dest, 10, 10));
	schedule_disconnected(s, dest);
	schedule_agent_ended(s, dest);
	schedule_free(&s);
}

static void one_failure_among_living_connections_is_no_death(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	for (int i = 0; i < 10; i++)
		assert_true(add_one(s, "mb1", 0));
	struct schedule_dest *first = schedule_start_agent(s, 0), *second = schedule_start_agent(s, 0);
	schedule_connected(s, first);
	struct item *list = schedule_take(s, second, 1, 10);
	schedule_failed(s, second, 0, 0, STR("too many connections"));
	assert_false(schedule_is_dead(second, 0));
	schedule_put_back(s, second, &list);
	schedule_agent_ended(s, second);
	struct item *again = schedule_take(s, first, 1, 10);
	assert_non_null(again); // what it had is the next one's
	finish(s, first, again);
	schedule_disconnected(s, first);
	schedule_agent_ended(s, first);
	schedule_free(&s);
}

static void held_ones_are_not_handed_out(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	struct item_message *message = NULL;
	struct item *one = item_for("mb1", &message), *two = item_for("mb1", &message);
	uint32_t number = one->r.number;
	struct guid guid = message->guid;
	item_message_drop(&message);
	schedule_add(s, &one, 0);
	schedule_add(s, &two, 0);
	schedule_gone(s, &guid, number);
	struct schedule_dest *dest = schedule_start_agent(s, 0);
	struct item *list = schedule_take(s, dest, 10, 10);
	assert_int_equal(length(list), 1);
	assert_int_not_equal(list->r.number, number);
	finish(s, dest, list);
	schedule_agent_ended(s, dest);
	schedule_free(&s);
}

static void held_and_released_is_handed_out(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	struct item_message *message = NULL;
	struct item *one = item_for("mb1", &message), *row = item_new(message, &one->r);
	struct guid guid = message->guid;
	item_message_drop(&message);
	schedule_add(s, &one, 0);
	schedule_gone(s, &guid, 0);
	schedule_add(s, &row, 0); // released: a page has its row
	struct schedule_dest *dest = schedule_start_agent(s, 0);
	struct item *list = schedule_take(s, dest, 10, 10);
	assert_int_equal(length(list), 1);
	finish(s, dest, list);
	schedule_agent_ended(s, dest);
	schedule_free(&s);
}

// --- A queue of rows, a scheduler over it ---

enum { HOSTS = 8, ROWS = 100000 };

struct row {
	struct guid guid;
	int64_t next_ms;
	bool done;
};

static struct row *rows; // ROWS of each host

// A page as the database gives it: due ones in the order of their time. Rows are nearly sorted, so that a scan is enough here.
static int64_t page_of(struct schedule *s, struct schedule_dest *dest, size_t host, size_t limit, int64_t now_ms, const char *name)
{
	size_t n = 0;
	int64_t next_ms = INT64_MAX;
	for (size_t i = 0; i < ROWS; i++) {
		struct row *row = &rows[host * ROWS + i];
		if (row->done)
			continue;
		if (row->next_ms > now_ms) {
			next_ms = row->next_ms < next_ms ? row->next_ms : next_ms;
			continue;
		}
		if (n++ == limit) {
			next_ms = now_ms;
			break;
		}
		struct record_enter e = {.guid = row->guid};
		struct item_message *message = item_message_new(&e, (int64_t)i, STR_NONE);
		struct record_recipient r = {.number = 1, .target = RECORD_TO_MAILBOX, .destination = str_of_c(name)};
		struct item *item = item_new(message, &r);
		item_message_drop(&message);
		schedule_add(s, &item, now_ms);
		item_free(&item);
	}
	schedule_paged(s, dest, next_ms);
	return next_ms;
}

static void a_long_queue_drains_in_little_memory(void **state)
{
	(void)state;
	static const char *const names[HOSTS] = {"mb0", "mb1", "mb2", "mb3", "mb4", "mb5", "mb6", "mb7"};
	struct schedule *s = schedule_new(&config);
	rows = calloc((size_t)HOSTS * ROWS, sizeof *rows);
	assert_non_null(rows);
	size_t left = 0, peak = 0, slow_done = 0;
	for (size_t i = 0; i < (size_t)HOSTS * ROWS; i++) {
		bool used = i % ROWS < 4000 || i < ROWS; // one long queue, the others short
		rows[i].done = !used;
		left += used;
		memcpy(rows[i].guid.b, &i, sizeof i);
		rows[i].guid.b[15] = 1;
		uint32_t mixed = (uint32_t)i * 2654435761u;
		memcpy(rows[i].guid.b + 4, &mixed, sizeof mixed);
	}
	for (size_t h = 0; h < HOSTS; h++)
		schedule_note_due(s, str_of_c(names[h]), 0);
	int64_t now_ms = 1;
	for (size_t turn = 0; left > 0; turn++) {
		struct schedule_dest *dest;
		size_t limit;
		bool early;
		struct schedule_stats stats;
		assert_true(turn < 1000000);
		if ((dest = schedule_wants_page(s, now_ms, &limit, &early)))
			page_of(s, dest, (size_t)(schedule_name(dest).p[2] - '0'), limit, now_ms, names[schedule_name(dest).p[2] - '0']);
		schedule_stats(s, now_ms, &stats);
		peak = stats.items > peak ? stats.items : peak;
		while ((dest = schedule_start_agent(s, now_ms))) {
			schedule_connected(s, dest);
			for (int batch = 0; batch < 5; batch++) {
				struct item *list = schedule_take(s, dest, 10, 50);
				while (list) {
					struct item *item = list;
					list = item->next;
					struct row *row = &rows[(size_t)item->message->body_id + ROWS * (size_t)(schedule_name(dest).p[2] - '0')];
					assert_false(row->done); // handed out once
					row->done = true;
					left--;
					slow_done += row < rows + ROWS;
					schedule_done(s, dest, &item);
				}
			}
			schedule_succeeded(s, dest);
			schedule_disconnected(s, dest);
			schedule_agent_ended(s, dest);
		}
		now_ms++;
	}
	assert_int_equal(slow_done, ROWS);
	assert_true(peak <= SCHEDULE_ITEMS_MAX);
	free(rows);
	schedule_free(&s);
}

static void memory_is_bounded_and_the_rest_is_remembered(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	size_t took = 0;
	for (int i = 0; i < SCHEDULE_DEST_ITEMS_MAX + 100; i++)
		took += add_one(s, "mb1", 5);
	assert_int_equal(took, SCHEDULE_DEST_ITEMS_MAX);
	assert_true(add_one(s, "mb2", 5)); // others have room
	size_t limit;
	bool early;
	assert_null(schedule_wants_page(s, 5, &limit, &early)); // not before some have left
	struct schedule_dest *dest = schedule_start_agent(s, 5);
	while (!str_eq(schedule_name(dest), STR("mb1"))) {
		finish(s, dest, schedule_take(s, dest, 10, 10));
		schedule_agent_ended(s, dest);
		dest = schedule_start_agent(s, 5);
	}
	finish(s, dest, schedule_take(s, dest, SCHEDULE_DEST_ITEMS_MAX, SCHEDULE_DEST_ITEMS_MAX));
	assert_ptr_equal(schedule_wants_page(s, 5, &limit, &early), dest);
	assert_int_equal(limit, SCHEDULE_PAGE);
	schedule_paged(s, dest, 99);
	assert_int_equal(schedule_wake_ms(s, 5), 99);
	schedule_agent_ended(s, dest);
	schedule_free(&s);
}

static void a_row_that_is_here_is_not_taken_twice(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&config);
	struct item_message *message = NULL;
	struct item *one = item_for("mb1", &message), *same = item_new(message, &one->r);
	item_message_drop(&message);
	struct schedule_dest *dest = schedule_add(s, &one, 0);
	assert_ptr_equal(schedule_add(s, &same, 0), dest);
	assert_null(same);
	assert_int_equal(schedule_items(s), 1);
	schedule_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(back_off_doubles_and_is_bounded),
		cmocka_unit_test(a_jump_of_the_clock_delays_nothing_long),
		cmocka_unit_test(recipients_of_a_message_stay_together),
		cmocka_unit_test(what_is_gone_comes_back_with_its_row),
		cmocka_unit_test(a_kind_of_target_may_have_few_agents),
		cmocka_unit_test(connections_grow_with_success),
		cmocka_unit_test(no_more_agents_than_work),
		cmocka_unit_test(a_dead_host_is_probed_by_one),
		cmocka_unit_test(one_failure_among_living_connections_is_no_death),
		cmocka_unit_test(held_ones_are_not_handed_out),
		cmocka_unit_test(held_and_released_is_handed_out),
		cmocka_unit_test(a_long_queue_drains_in_little_memory),
		cmocka_unit_test(memory_is_bounded_and_the_rest_is_remembered),
		cmocka_unit_test(a_row_that_is_here_is_not_taken_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
