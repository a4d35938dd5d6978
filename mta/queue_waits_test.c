// SPDX-License-Identifier: Apache-2.0
// What waits in the queue: for a host that is dead, for a mailbox that moved, over a restart.
#include "test_queue.h"

static void a_dead_host_is_waited_for(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	atomic_store(&b.lmtp.down, true);
	queue_start(b.queue);
	for (int i = 0; i < 20; i++)
		assert_int_equal(enter_one(b.queue, "a@uni.example"), QUEUE_COMMITTED);
	for (int i = 0; i < 3000 && b.lmtp.connections < 2; i++)
		usleep(10000);
	assert_true(b.lmtp.connections <= 10); // 20 messages wait, the host is probed by one at a time
	atomic_store(&b.lmtp.down, false);
	await(&b, LEDGER_DELIVERED, 20);
	stop(&b);
	assert_int_equal(b.lmtp.delivered, 20);
	end(&b);
}

static void enter_for_mail0(struct bench *b)
{
	struct record_recipient to = to_mailbox(STR("u@uni.example"));
	to.destination = STR("mail0");
	b->world = 1;
	queue_start(b->queue);
	assert_int_equal(enter_bytes(b->queue, STR("s@uni.example"), &to, 1, 500, NULL), QUEUE_COMMITTED);
	for (int i = 0; i < 6000 && b->asked == 0; i++)
		usleep(10000);
}

static void mail_follows_a_mailbox_that_moves(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	b.answer = QUEUE_ROUTE_OTHER;
	enter_for_mail0(&b);
	for (int i = 0; i < 5; i++) { // tried again and again, but nothing changed
		queue_flush(b.queue);
		usleep(50000);
	}
	assert_int_equal(b.asked, 1);
	b.world = 2;
	await(&b, LEDGER_DELIVERED, 1);
	assert_int_equal(b.asked, 2); // under its new destination it is known
	assert_int_equal(ledger_of(b.queue, LEDGER_ACCEPTED), 1);
	stop(&b);
	assert_int_equal(b.lmtp.delivered, 1);
	end(&b);
}

static void who_is_gone_meanwhile_bounces(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	b.answer = QUEUE_ROUTE_NOBODY;
	enter_for_mail0(&b);
	b.world = 2;
	await(&b, LEDGER_DELIVERED, 1); // the report
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 1);
	stop(&b);
	end(&b);
}

static void a_doubt_about_the_way_waits(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	b.answer = QUEUE_ROUTE_LATER;
	enter_for_mail0(&b);
	b.world = 2;
	int before = b.asked;
	for (int i = 0; i < 6000 && b.asked < before + 2; i++) // a doubt is not remembered
		usleep(10000);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1);
	b.answer = QUEUE_ROUTE_OTHER;
	await(&b, LEDGER_DELIVERED, 1);
	stop(&b);
	end(&b);
}

static void what_waits_survives_a_restart(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	for (int i = 0; i < 700; i++) // more than a page
		assert_int_equal(enter_one(b.queue, "a@uni.example"), QUEUE_COMMITTED);
	stop(&b);
	start(&b);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 700);
	serve(&b);
	queue_start(b.queue);
	await(&b, LEDGER_DELIVERED, 700);
	stop(&b);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_host_is_waited_for),
		cmocka_unit_test(mail_follows_a_mailbox_that_moves),
		cmocka_unit_test(who_is_gone_meanwhile_bounces),
		cmocka_unit_test(a_doubt_about_the_way_waits),
		cmocka_unit_test(what_waits_survives_a_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
