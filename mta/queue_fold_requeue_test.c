// SPDX-License-Identifier: Apache-2.0
// The fold: REQUEUE. Who leaves, who comes, and for whom a copy is that two addresses led to.
#include <stdio.h>

#include "test_fold.h"

#define ALIAS STR("alias@uni.example")
#define SECOND STR("second@uni.example")

static struct record_recipient to_box(uint32_t number, const char *mailbox_id)
{
	struct record_recipient to = to_mailbox(number);
	to.mailbox_id = str_of_c(mailbox_id);
	to.original = ALIAS;
	return to;
}

static struct record_recipient to_world(uint32_t number)
{
	return (struct record_recipient){.number = number, .target = RECORD_TO_RELAY, .address = STR("x@else.example"), .key = STR("x@else.example"),
		.destination = STR("relay"), .original = STR("alias@uni.example")};
}

static void end(struct bench *b, uint32_t number, enum record_outcome outcome, uint64_t attempt)
{
	struct record_one_result one = {.guid = guid_of(7), .number = number, .outcome = outcome};
	struct record result = result_of(&one, attempt);
	assert_int_equal(say(b, &result).counted, 1);
}

static void what_left_is_replaced_and_what_was_reached_is_not_repeated(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient old[] = {to_box(1, "a"), to_box(2, "b"), to_world(3), to_box(4, "e")};
	struct record_recipient now[] = {to_box(1, "c"), to_box(2, "b"), to_world(3), to_box(4, "e"), to_box(5, "b")};
	now[4].detail = STR("lists"); // another delivery, into the same mailbox
	struct record enter = enter_of(7, old, 4);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	struct record_one_result later = {.guid = guid_of(7), .number = 2, .outcome = RECORD_DEFERRED, .next_try_ms = 90000, .waited_s = 60,
		.reply = STR("451 later")};
	struct record result = result_of(&later, 0);
	say(&b, &result);
	end(&b, 3, RECORD_RELAYED, 0);
	end(&b, 4, RECORD_BOUNCED, 0);
	struct record_leave wrong[] = {{1, ALIAS}};
	struct record requeue = {.type = RECORD_REQUEUE,
		.requeue = {.guid = guid_of(7), .at_ms = 5000, .who = STR("ann"), .leave = {wrong, 1}, .come = {now, 5}}};
	struct queue_fold_answer answer = say(&b, &requeue);
	assert_int_equal(answer.counted, 3); // a left, c and b+lists came
	assert_int_equal(answer.repeats, 3);
	assert_int_equal(b.due_at_ms, 5000);
	assert_int_equal(b.gone, 1);
	assert_int_equal(number_in(&b, "SELECT open FROM message"), 3);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE number = 2 AND waited = 60 AND next_try = 90000"), 1); // as it was
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE number = 5 AND mailbox = 'c' AND next_try = 5000 AND tries = 0"
				      " AND original = 'alias@uni.example'"), 1);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE number = 6 AND mailbox = 'b' AND detail = 'lists'"), 1);
	answer = say(&b, &requeue); // said again
	assert_int_equal(answer.counted, 0);
	assert_int_equal(answer.repeats, 6);
	result = result_of(&(struct record_one_result){.guid = guid_of(7), .number = 1, .outcome = RECORD_DELIVERED}, 0);
	assert_int_equal(say(&b, &result).counted, 0); // of the copy that was on its way
	assert_int_equal(ledger_of(&b, LEDGER_EXPANDED), 1);
	assert_int_equal(ledger_of(&b, LEDGER_EXPANDED_INTO), 2);
	assert_int_equal(ledger_of(&b, LEDGER_QUEUED), 3);
	for (uint32_t number = 2; number <= 6; number++)
		if (number == 2 || number > 4)
			end(&b, number, RECORD_DELIVERED, 0);
	assert_empty(&b);
	drop_bench(&b);
}

static void who_is_being_tried_does_not_leave(void **state)
{
	(void)state;
	struct bench b;
	uint64_t attempt;
	new_bench(&b);
	struct record_recipient old = to_world(1), now = to_box(1, "c");
	struct record enter = enter_of(7, &old, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	struct record_ref ref = {guid_of(7), 1};
	struct record take = {.type = RECORD_ATTEMPT, .attempt = {.destination = STR("relay"), .at_ms = 1, .validity_ms = 1, .refs = {&ref, 1}}};
	say_with(&b, &take, STR_NONE, NULL, &attempt);
	struct record_leave number = {1, ALIAS};
	struct record requeue = {.type = RECORD_REQUEUE,
		.requeue = {.guid = guid_of(7), .at_ms = 5, .who = STR("ann"), .leave = {&number, 1}, .come = {&now, 1}}};
	assert_int_equal(say(&b, &requeue).counted, 1);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient"), 2);
	end(&b, 1, RECORD_RELAYED, attempt);
	end(&b, 2, RECORD_DELIVERED, 0);
	assert_empty(&b);
	assert_int_equal(say(&b, &requeue).repeats, 1); // the message is gone
	assert_empty(&b);
	drop_bench(&b);
}

static void the_last_one_that_leaves_ends_the_message(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient both[] = {to_world(1), to_box(2, "a")}, now = to_world(1);
	struct record enter = enter_of(7, both, 2);
	enter.enter.flags = RECORD_FLAG_SPOOL;
	say(&b, &enter);
	end(&b, 1, RECORD_RELAYED, 0);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM ended WHERE who = 'x@else.example'"), 1);
	struct record_leave number = {2, ALIAS};
	struct record requeue = {.type = RECORD_REQUEUE,
		.requeue = {.guid = guid_of(7), .at_ms = 5, .who = STR("ann"), .leave = {&number, 1}, .come = {&now, 1}}};
	assert_int_equal(say(&b, &requeue).counted, 1);
	assert_empty(&b);
	assert_int_equal(b.bodies, 1);
	assert_int_equal(ledger_of(&b, LEDGER_EXPANDED), 1);
	drop_bench(&b);
}

static struct record requeue_of(struct record_leave *leave, size_t n_leave, struct record_recipient *come, size_t n_come)
{
	return (struct record){.type = RECORD_REQUEUE,
		.requeue = {.guid = guid_of(7), .at_ms = 5, .who = STR("ann"), .leave = {leave, n_leave}, .come = {come, n_come}}};
}

// alias@ led to a, other@ to b; today it is the other way round.
static void two_addresses_that_change_places_lose_nobody(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient was[] = {to_box(1, "a"), to_box(2, "b")}, alias = to_box(1, "b"), other = to_box(1, "a");
	was[1].original = other.original = STR("other@uni.example");
	struct record_leave one = {1, ALIAS}, two = {2, STR("other@uni.example")};
	struct record enter = enter_of(7, was, 2), first = requeue_of(&one, 1, &alias, 1), second = requeue_of(&two, 1, &other, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	say(&b, &first);
	say(&b, &second);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE mailbox = 'a' AND original = 'other@uni.example'"), 1);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE mailbox = 'b'"), 1);
	say(&b, &first);
	say(&b, &second); // said again
	assert_int_equal(number_in(&b, "SELECT count(DISTINCT mailbox) FROM recipient"), 2);
	drop_bench(&b);
}

static void a_list_that_was_expanded_is_not_expanded_again(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient was[] = {to_box(1, "a"), {.number = 2, .target = RECORD_TO_EXPAND, .address = STR("list@uni.example"),
		.key = STR("list@uni.example"), .destination = STR(RECORD_EXPAND_DESTINATION), .original = STR("alias@uni.example")}};
	struct record_recipient member = to_mailbox(1), list = was[1];
	struct record enter = enter_of(7, was, 2);
	struct record_enter child = enter_of(8, &member, 1).enter;
	child.kind = RECORD_LIST;
	child.parent = guid_of(7);
	struct record expand = {.type = RECORD_EXPAND, .expand = {.guid = guid_of(7), .number = 2, .at_ms = 5, .begets = {&child, 1}}};
	say_with(&b, &enter, STR("body"), NULL, NULL);
	say_with(&b, &expand, STR("body"), NULL, NULL);
	struct record delete = {.type = RECORD_DELETE, .delete = {.guid = guid_of(8), .at_ms = 5}}; // the list's message has ended
	say(&b, &delete);
	list.number = 1;
	struct record requeue = requeue_of(NULL, 0, &list, 1);
	assert_int_equal(say(&b, &requeue).counted, 0);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient"), 1);
	end(&b, 1, RECORD_DELIVERED, 0);
	assert_empty(&b);
	drop_bench(&b);
}

static void who_was_deleted_does_not_come_back(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient was[] = {to_box(1, "a"), to_box(2, "b")}, again = to_box(1, "b");
	struct record enter = enter_of(7, was, 2), requeue = requeue_of(NULL, 0, &again, 1);
	struct record delete = {.type = RECORD_DELETE, .delete = {.guid = guid_of(7), .number = 2, .at_ms = 5, .who = STR("ann")}};
	say_with(&b, &enter, STR("body"), NULL, NULL);
	assert_int_equal(say(&b, &delete).counted, 1);
	assert_int_equal(say(&b, &requeue).counted, 0);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient"), 1);
	end(&b, 1, RECORD_DELIVERED, 0);
	assert_empty(&b);
	drop_bench(&b);
}

// --- A copy that two addresses led to ---

static const struct record_also second = {.key = SECOND, .address = STR("Second@uni.example"), .notify = RECORD_NOTIFY_SUCCESS,
	.orcpt = STR("rfc822;two@uni.example")};

static void enter_for_two(struct bench *b)
{
	static struct record_also also;
	struct record_recipient to = to_box(1, "a");
	also = second;
	to.notify = RECORD_NOTIFY_FAILURE | RECORD_SHARED;
	to.also.v = &also;
	to.also.n = 1;
	struct record enter = enter_of(7, &to, 1);
	say_with(b, &enter, STR("body"), NULL, NULL);
	assert_int_equal(number_in(b, "SELECT count(*) FROM also"), 1);
}

static int64_t own_is(struct bench *b, const char *address)
{
	char sql[200];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM recipient WHERE mailbox = 'a' AND original = '%s'", address);
	return number_in(b, sql);
}

static struct queue_fold_answer leaves(struct bench *b, uint32_t number, struct str key)
{
	struct record_leave leave = {number, key};
	struct record requeue = requeue_of(&leave, 1, NULL, 0);
	return say(b, &requeue);
}

// Whoever stays is whom reports name, and gets those that he asked for.
static void a_copy_goes_on_for_the_other_address(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	enter_for_two(&b);
	assert_int_equal(leaves(&b, 1, ALIAS).counted, 0);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE original = 'Second@uni.example' AND notify & 15 = 2"
				      " AND orcpt = 'rfc822;two@uni.example'"), 1);
	assert_int_equal(b.gone, 1); // what is in memory says alias@
	assert_int_equal(b.due, 1);
	assert_int_equal(leaves(&b, 1, ALIAS).repeats, 1);
	assert_int_equal(leaves(&b, 1, SECOND).left, 1);
	assert_empty(&b);
	drop_bench(&b);
}

static void the_other_address_leaves_first(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	enter_for_two(&b);
	assert_int_equal(leaves(&b, 1, SECOND).counted, 0);
	assert_int_equal(own_is(&b, "alias@uni.example"), 1);
	assert_int_equal(b.gone, 0);
	assert_int_equal(leaves(&b, 1, ALIAS).left, 1);
	assert_empty(&b);
	drop_bench(&b);
}

static void both_leave_in_one_record(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	enter_for_two(&b);
	struct record_leave both[] = {{1, ALIAS}, {1, SECOND}};
	struct record_recipient come[] = {to_box(1, "b"), to_box(2, "b")};
	come[1].original = second.address;
	struct record requeue = requeue_of(both, 2, come, 2);
	struct queue_fold_answer answer = say(&b, &requeue);
	assert_int_equal(answer.left, 1);
	assert_int_equal(answer.counted, 2); // b comes once, for both
	assert_int_equal(number_in(&b, "SELECT count(*) FROM also WHERE number = 2 AND akey = 'second@uni.example'"), 1);
	assert_int_equal(number_in(&b, "SELECT ended FROM message"), number_in(&b, "SELECT count(*) FROM also"));
	assert_int_equal(say(&b, &requeue).counted, 0);
	assert_int_equal(leaves(&b, 2, ALIAS).counted, 0);
	assert_int_equal(leaves(&b, 2, SECOND).left, 1);
	assert_empty(&b);
	drop_bench(&b);
}

// Its spelling does not count: RCPT knows but one address.
static void who_comes_to_what_is_open_is_remembered_by_key(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient to = to_box(1, "a"), again = to_box(1, "a"), other = to_box(1, "a");
	struct record enter = enter_of(7, &to, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	again.original = STR("\"Alias\"@Uni.Example");
	other.original = STR("SECOND@uni.example");
	struct record requeue = requeue_of(NULL, 0, &again, 1);
	say(&b, &requeue);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM also"), 0);
	requeue = requeue_of(NULL, 0, &other, 1);
	say(&b, &requeue);
	say(&b, &requeue);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM also WHERE akey = 'second@uni.example'"), 1);
	assert_int_equal(leaves(&b, 1, ALIAS).counted, 0);
	assert_int_equal(own_is(&b, "SECOND@uni.example"), 1);
	assert_int_equal(leaves(&b, 1, SECOND).left, 1);
	assert_empty(&b);
	drop_bench(&b);
}

// For more than are remembered it stays, whoever leaves.
static void a_copy_for_too_many_is_not_withdrawn(void **state)
{
	(void)state;
	struct bench b;
	char name[64];
	new_bench(&b);
	struct record_recipient to = to_box(1, "a"), more = to_box(1, "a");
	struct record enter = enter_of(7, &to, 1), requeue = requeue_of(NULL, 0, &more, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	for (int i = 0; i <= RECORD_ALSO_MAX; i++) {
		snprintf(name, sizeof name, "n%d@uni.example", i);
		more.original = str_of_c(name);
		say(&b, &requeue);
	}
	assert_int_equal(number_in(&b, "SELECT count(*) FROM also"), RECORD_ALSO_MAX);
	assert_int_equal(leaves(&b, 1, ALIAS).repeats, 1);
	assert_int_equal(own_is(&b, "alias@uni.example"), 1);
	end(&b, 1, RECORD_DELIVERED, 0);
	assert_empty(&b);
	drop_bench(&b);
}

// Many that come, to a message with many: each row is read once.
static void many_change_at_once(void **state)
{
	(void)state;
	enum { MANY = 5000 };
	static struct record_recipient was[MANY], now[MANY];
	static struct record_leave gone[MANY];
	static char names[3 * MANY][40];
	struct bench b;
	new_bench(&b);
	for (uint32_t i = 0; i < MANY; i++) {
		for (uint32_t k = 0; k < 2; k++)
			snprintf(names[2 * i + k], sizeof names[0], "%s%u", k ? "new" : "old", i);
		snprintf(names[2 * MANY + i], sizeof names[0], "alias%u@uni.example", i);
		was[i] = to_box(i + 1, names[2 * i]);
		now[i] = to_box(i + 1, names[2 * i + 1]);
		was[i].original = now[i].original = str_of_c(names[2 * MANY + i]);
		gone[i] = (struct record_leave){i + 1, was[i].original};
	}
	struct record enter = enter_of(7, was, MANY), requeue = requeue_of(gone, MANY, now, MANY);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	struct queue_fold_answer answer = say(&b, &requeue);
	assert_int_equal(answer.counted, 2 * MANY);
	assert_int_equal(answer.left, MANY);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE mailbox LIKE 'new%'"), MANY);
	assert_int_equal(number_in(&b, "SELECT open FROM message"), MANY);
	drop_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_left_is_replaced_and_what_was_reached_is_not_repeated),
		cmocka_unit_test(who_is_being_tried_does_not_leave),
		cmocka_unit_test(the_last_one_that_leaves_ends_the_message),
		cmocka_unit_test(two_addresses_that_change_places_lose_nobody),
		cmocka_unit_test(a_list_that_was_expanded_is_not_expanded_again),
		cmocka_unit_test(who_was_deleted_does_not_come_back),
		cmocka_unit_test(a_copy_goes_on_for_the_other_address),
		cmocka_unit_test(the_other_address_leaves_first),
		cmocka_unit_test(both_leave_in_one_record),
		cmocka_unit_test(who_comes_to_what_is_open_is_remembered_by_key),
		cmocka_unit_test(a_copy_for_too_many_is_not_withdrawn),
		cmocka_unit_test(many_change_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
