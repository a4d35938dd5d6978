// SPDX-License-Identifier: Apache-2.0
// What a sender is told of a message in the queue, and when: never twice, never of a report.
#include "test_queue.h"

static void reports_that_fail_stop_at_postmaster(void **state)
{
	(void)state;
	struct bench b;
	begin_with(&b, "domain = \"uni.example\"\n");
	start(&b);
	serve(&b);
	queue_start(b.queue);
	struct record_recipient to = to_mailbox(STR("no@uni.example"));
	assert_int_equal(enter_bytes(b.queue, STR("no@uni.example"), &to, 1, 500, NULL), QUEUE_COMMITTED);
	await(&b, LEDGER_BOUNCED, 2); // the message, then the report about it
	await(&b, LEDGER_DELIVERED, 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 2);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 0);
	stop(&b);
	assert_true(str_ends(str_of_c(b.lmtp.key[0]), STR(" postmaster@uni.example")));
	end(&b);
}

static void notify_never_is_obeyed(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	queue_start(b.queue);
	struct record_recipient to[] = {to_mailbox(STR("no@uni.example")), to_mailbox(STR("a@uni.example"))};
	to[0].notify = RECORD_NOTIFY_NEVER;
	to[1].notify = RECORD_NOTIFY_SUCCESS;
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), to, 2, 500, NULL), QUEUE_COMMITTED);
	await(&b, LEDGER_DELIVERED, 2); // a, and the report that a has it
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 1);
	stop(&b);
	end(&b);
}

static void a_sender_in_doubt_puts_the_bounce_off(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	queue_start(b.queue);
	struct record_recipient to = to_mailbox(STR("no@uni.example"));
	assert_int_equal(enter_bytes(b.queue, STR("unsure@uni.example"), &to, 1, 500, NULL), QUEUE_COMMITTED);
	for (int i = 0; i < 3000 && b.lmtp.transactions < 2; i++)
		usleep(10000);
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 0);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1);
	stop(&b);
	end(&b);
}

// Lifetime and warning are counted in tries, not by the clock alone.
static void what_is_late_is_told_and_what_is_old_expires(void **state)
{
	(void)state;
	struct bench b;
	begin_with(&b, "queue_lifetime_s = 61\nqueue_bounce_lifetime_s = 60\nqueue_warning_s = 1\n");
	start(&b);
	serve(&b);
	queue_start(b.queue);
	struct guid guid;
	struct record_recipient to = to_mailbox(STR("later@uni.example"));
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), &to, 1, 500, &guid), QUEUE_COMMITTED);
	await(&b, LEDGER_DELIVERED, 1); // the warning
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 1);
	// A row that has waited long, but entered now: the clock says it is young, so it lives.
	struct record_one_result one = {.guid = guid, .number = 1, .outcome = RECORD_DEFERRED, .next_try_ms = 1, .waited_s = 4000};
	struct record result = {.type = RECORD_RESULT, .result = {.at_ms = 1, .results = {&one, 1}}};
	size_t before = b.lmtp.transactions;
	assert_int_equal(queue_say(b.queue, &result, NULL, NULL), ERR_OK);
	for (int i = 0; i < 3000 && b.lmtp.transactions < before + 2; i++)
		usleep(10000);
	assert_int_equal(ledger_of(b.queue, LEDGER_EXPIRED), 0);
	stop(&b);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_that_fail_stop_at_postmaster),
		cmocka_unit_test(notify_never_is_obeyed),
		cmocka_unit_test(a_sender_in_doubt_puts_the_bounce_off),
		cmocka_unit_test(what_is_late_is_told_and_what_is_old_expires),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
