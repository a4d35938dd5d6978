// SPDX-License-Identifier: Apache-2.0
// The fold: what records do to the rows, that repeats do nothing, and that the ledger closes.
#include "test_fold.h"

static void a_delivered_message_leaves_nothing(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient two[] = {to_mailbox(1), to_mailbox(2)};
	struct record enter = enter_of(7, two, 2);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	assert_int_equal(b.arrived, 2);
	assert_int_equal(ledger_of(&b, LEDGER_QUEUED), 2);
	struct record_one_result one = {.guid = guid_of(7), .number = 1, .outcome = RECORD_DELIVERED, .reply = STR("250 ok")};
	struct record result = result_of(&one, 0);
	assert_int_equal(say(&b, &result).counted, 1);
	assert_int_equal(number_in(&b, "SELECT open FROM message"), 1);
	one.number = 2;
	assert_int_equal(say(&b, &result).counted, 1);
	assert_empty(&b);
	assert_int_equal(ledger_of(&b, LEDGER_DELIVERED), 2);
	assert_int_equal(ledger_of(&b, LEDGER_QUEUED), 0);
	drop_bench(&b);
}

static void repeats_are_counted_and_do_nothing(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient to = to_mailbox(1);
	struct record enter = enter_of(7, &to, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	assert_int_equal(ledger_of(&b, LEDGER_ACCEPTED), 1);
	struct record_one_result one = {.guid = guid_of(7), .number = 1, .outcome = RECORD_BOUNCED, .reply = STR("550 no")};
	struct record result = result_of(&one, 0);
	struct record_recipient sender = to_mailbox(1);
	struct record_enter dsn = enter_of(8, &sender, 1).enter;
	dsn.kind = RECORD_DSN;
	dsn.parent = guid_of(7);
	result.result.begets = (struct record_enters){&dsn, 1};
	say_with(&b, &result, STR("dsn!"), NULL, NULL);
	struct queue_fold_answer again = say_with(&b, &result, STR("dsn!"), NULL, NULL);
	assert_int_equal(again.counted, 0);
	assert_int_equal(ledger_of(&b, LEDGER_GENERATED), 1);
	assert_int_equal(ledger_of(&b, LEDGER_BOUNCED), 1);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM message"), 1);
	assert_int_equal(ledger_of(&b, LEDGER_REPEATS), 3); // the ENTER, the result, what it begets
	drop_bench(&b);
}

static void a_cancelled_guid_never_counts(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient to = to_mailbox(1);
	struct record cancel = {.type = RECORD_CANCEL, .cancel = {guid_of(7)}}, enter = enter_of(7, &to, 1);
	say(&b, &cancel);
	assert_int_equal(say(&b, &cancel).repeats, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	assert_int_equal(b.arrived, 0);
	assert_int_equal(ledger_of(&b, LEDGER_CANCELLED), 1);
	enter = enter_of(9, &to, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	cancel.cancel.guid = guid_of(9);
	assert_int_equal(say(&b, &cancel).counted, 1);
	assert_empty(&b);
	assert_int_equal(ledger_of(&b, LEDGER_CANCELLED), 2);
	close_bench(&b); // the tombstone outlives the process
	open_bench(&b);
	enter = enter_of(7, &to, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	assert_empty(&b);
	drop_bench(&b);
}

static void results_count_only_under_their_attempt(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient to = to_mailbox(1);
	to.target = RECORD_TO_RELAY;
	to.mailbox_id = STR_NONE;
	struct record enter = enter_of(7, &to, 1);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	struct record_ref refs[] = {{guid_of(7), 1}, {guid_of(7), 2}};
	struct record attempt = {.type = RECORD_ATTEMPT,
		.attempt = {.destination = STR("mail1"), .at_ms = 5, .validity_ms = 60000, .refs = {refs, 2}}};
	uint8_t took[2] = {9, 9};
	uint64_t index;
	say_with(&b, &attempt, STR_NONE, took, &index);
	assert_int_equal(took[0], 1);
	assert_int_equal(took[1], 0);
	say_with(&b, &attempt, STR_NONE, took, NULL); // a second sender gets nothing
	assert_int_equal(took[0], 0);
	struct record cancel = {.type = RECORD_CANCEL, .cancel = {guid_of(7)}};
	assert_int_equal(say(&b, &cancel).counted, 0);
	struct record_one_result one = {.guid = guid_of(7), .number = 1, .outcome = RECORD_RELAYED};
	struct record result = result_of(&one, 0);
	assert_int_equal(say(&b, &result).counted, 0);
	result.result.attempt = index + 1;
	assert_int_equal(say(&b, &result).counted, 0);
	result.result.attempt = index;
	assert_int_equal(say(&b, &result).counted, 1);
	assert_empty(&b);
	drop_bench(&b);
}

static void deferred_ones_wait_and_administrators_may_act(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient to = to_mailbox(1);
	struct record enter = enter_of(7, &to, 1);
	b.room = false;
	say_with(&b, &enter, STR("body"), NULL, NULL);
	assert_int_equal(b.arrived, 0);
	assert_int_equal(b.due, 1);
	struct record_one_result one = {.guid = guid_of(7), .number = 1, .outcome = RECORD_DEFERRED, .next_try_ms = 61000, .waited_s = 60,
		.reply = STR("451 later")};
	struct record result = result_of(&one, 0);
	say(&b, &result);
	assert_int_equal(b.due_at_ms, 61000);
	assert_int_equal(number_in(&b, "SELECT tries FROM recipient WHERE waited = 60 AND reply = '451 later'"), 1);
	struct record hold = {.type = RECORD_HOLD, .hold = {.guid = guid_of(7), .at_ms = 5, .who = STR("root"), .why = STR("to look at")}};
	assert_int_equal(say(&b, &hold).counted, 1);
	assert_int_equal(say(&b, &hold).repeats, 1);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE state = 1 AND reply = 'held by root: to look at'"), 1);
	struct record release = {.type = RECORD_RELEASE, .release = {.guid = guid_of(7), .number = 1, .at_ms = 70000}};
	assert_int_equal(say(&b, &release).counted, 1);
	assert_int_equal(b.due_at_ms, 70000);
	struct record delete = {.type = RECORD_DELETE, .delete = {.guid = guid_of(7), .at_ms = 5, .who = STR("root")}};
	assert_int_equal(say(&b, &delete).counted, 1);
	assert_int_equal(say(&b, &delete).repeats, 1);
	assert_int_equal(ledger_of(&b, LEDGER_DELETED), 1);
	assert_empty(&b);
	drop_bench(&b);
}

static void what_waits_goes_another_way_in_its_place(void **state)
{
	(void)state;
	struct bench b;
	uint64_t attempt;
	new_bench(&b);
	struct record_recipient two[] = {to_mailbox(1), to_mailbox(2)};
	two[0].list = two[1].list = STR("list@uni.example");
	two[0].detail = STR("box");
	struct record enter = enter_of(7, two, 2);
	say_with(&b, &enter, STR("body"), NULL, NULL);
	struct record_one_result one = {.guid = guid_of(7), .number = 1, .outcome = RECORD_DEFERRED, .next_try_ms = 9000, .waited_s = 60,
		.reply = STR("451 later")};
	struct record result = result_of(&one, 0);
	say(&b, &result);
	struct record_one_route way = {.guid = guid_of(7), .number = 1, .target = RECORD_TO_RELAY, .address = STR("u@else.example"),
		.key = STR("u@else.example"), .original = STR("u@uni.example"), .destination = STR("esmtp:[gw]:25")};
	struct record route = {.type = RECORD_ROUTE, .route = {.at_ms = 5000, .routes = {&way, 1}}};
	assert_int_equal(say(&b, &route).counted, 1);
	assert_int_equal(b.due_at_ms, 5000);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE number = 1 AND next_try = 5000 AND tries = 1 AND waited = 60 AND target = 2"
				      " AND destination = 'esmtp:[gw]:25' AND address = 'u@else.example' AND akey = address"
				      " AND original = 'u@uni.example' AND mailbox IS NULL AND detail IS NULL AND list = 'list@uni.example'"),
		1);
	assert_int_equal(ledger_of(&b, LEDGER_QUEUED), 2);
	// Who is being tried is told where to already.
	struct record_ref ref = {guid_of(7), 1};
	struct record take = {.type = RECORD_ATTEMPT, .attempt = {.destination = STR("esmtp:[gw]:25"), .at_ms = 1, .validity_ms = 1, .refs = {&ref, 1}}};
	say_with(&b, &take, STR_NONE, NULL, &attempt);
	way.destination = STR("discard:");
	assert_int_equal(say(&b, &route).repeats, 1);
	one = (struct record_one_result){.guid = guid_of(7), .number = 1, .outcome = RECORD_RELAYED};
	result = result_of(&one, attempt);
	assert_int_equal(say(&b, &result).counted, 1);
	assert_int_equal(say(&b, &route).repeats, 1); // nobody is there any more
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE destination = 'mail1'"), 1);
	drop_bench(&b);
}

static void a_message_may_rest_from_the_start(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient to = to_mailbox(1);
	struct record enter = enter_of(7, &to, 1);
	enter.enter.held = STR("an odd sender");
	say_with(&b, &enter, STR("body"), NULL, NULL);
	assert_int_equal(b.arrived, 0); // nobody is to try it
	assert_int_equal(b.due, 0);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE state = 1 AND reply = 'an odd sender'"), 1);
	struct record release = {.type = RECORD_RELEASE, .release = {.guid = guid_of(7), .at_ms = 70000}};
	assert_int_equal(say(&b, &release).counted, 1);
	assert_int_equal(b.due_at_ms, 70000);
	assert_int_equal(number_in(&b, "SELECT count(*) FROM recipient WHERE state = 0"), 1);
	drop_bench(&b);
}

static void an_expanded_recipient_becomes_others(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient to = to_mailbox(1), into[] = {to_mailbox(2), to_mailbox(3)};
	struct record enter = enter_of(7, &to, 1);
	enter.enter.flags = RECORD_FLAG_SPOOL;
	say(&b, &enter);
	struct record expand = {.type = RECORD_EXPAND, .expand = {.guid = guid_of(7), .number = 1, .at_ms = 5, .into = {into, 2}}};
	say(&b, &expand);
	assert_int_equal(say(&b, &expand).repeats, 1);
	assert_int_equal(ledger_of(&b, LEDGER_EXPANDED), 1);
	assert_int_equal(ledger_of(&b, LEDGER_EXPANDED_INTO), 2);
	assert_int_equal(number_in(&b, "SELECT open FROM message"), 2);
	assert_int_equal(b.bodies, 0);
	for (uint32_t i = 2; i <= 3; i++) {
		struct record_one_result one = {.guid = guid_of(7), .number = i, .outcome = RECORD_DELIVERED};
		struct record result = result_of(&one, 0);
		say(&b, &result);
	}
	assert_int_equal(b.bodies, 1);
	assert_empty(&b);
	drop_bench(&b);
}

// A list in two parts: its message has them for recipients, each becomes its members, and a part that was expanded is not again.
static void a_list_becomes_a_message_of_its_own(void **state)
{
	(void)state;
	struct bench b;
	new_bench(&b);
	struct record_recipient list = to_mailbox(1), parts[2], members[2];
	list.target = RECORD_TO_EXPAND;
	list.destination = STR(RECORD_EXPAND_DESTINATION);
	list.mailbox_id = STR_NONE;
	struct record enter = enter_of(7, &list, 1);
	enter.enter.flags = RECORD_FLAG_SPOOL;
	say(&b, &enter);
	for (uint32_t k = 1; k <= 2; k++) {
		parts[k - 1] = list;
		parts[k - 1].number = k;
		parts[k - 1].detail = k == 1 ? STR("1/2") : STR("2/2");
	}
	struct record child = enter_of(8, parts, 2);
	child.enter.flags = RECORD_FLAG_SPOOL;
	child.enter.kind = RECORD_LIST;
	child.enter.parent = guid_of(7);
	child.enter.root = guid_of(7);
	struct record expand = {.type = RECORD_EXPAND, .expand = {.guid = guid_of(7), .number = 1, .at_ms = 5, .begets = {&child.enter, 1}}};
	say(&b, &expand);
	assert_int_equal(say(&b, &expand).repeats, 1);
	assert_int_equal(b.bodies, 1);                 // the list's message has its own
	assert_int_equal(ledger_of(&b, LEDGER_GENERATED), 2);
	// Who made the parts expands them: nobody else is told to for a minute.
	assert_int_equal(b.due_at_ms, child.enter.received_ms + RECORD_PART_DELAY_MS);
	for (uint32_t k = 1; k <= 2; k++) {
		for (uint32_t i = 0; i < 2; i++)
			members[i] = to_mailbox((k << RECORD_PART_BITS) + 1 + i);
		struct record part = {.type = RECORD_EXPAND,
			.expand = {.guid = guid_of(8), .number = k, .at_ms = 6, .into = {members, k == 1 ? 2 : 1}}};
		say(&b, &part);
		assert_int_equal(say(&b, &part).repeats, 1);
	}
	assert_int_equal(number_in(&b, "SELECT open FROM message"), 3);
	assert_int_equal(ledger_of(&b, LEDGER_EXPANDED), 3);
	assert_int_equal(ledger_of(&b, LEDGER_EXPANDED_INTO), 3);
	struct record delete = {.type = RECORD_DELETE, .delete = {.guid = guid_of(8), .at_ms = 5, .who = STR("root")}};
	assert_int_equal(say(&b, &delete).counted, 3);
	assert_int_equal(b.bodies, 2);
	assert_empty(&b);
	drop_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_delivered_message_leaves_nothing),
		cmocka_unit_test(repeats_are_counted_and_do_nothing),
		cmocka_unit_test(a_cancelled_guid_never_counts),
		cmocka_unit_test(results_count_only_under_their_attempt),
		cmocka_unit_test(deferred_ones_wait_and_administrators_may_act),
		cmocka_unit_test(what_waits_goes_another_way_in_its_place),
		cmocka_unit_test(a_message_may_rest_from_the_start),
		cmocka_unit_test(an_expanded_recipient_becomes_others),
		cmocka_unit_test(a_list_becomes_a_message_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
