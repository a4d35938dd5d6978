// SPDX-License-Identifier: Apache-2.0
// What waits in the queue: for a host that is dead, for a mailbox that moved, over a restart.
#include "requeue.h"
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

// --- Expanded anew ---

static atomic_int expansions;

// alias@ led to old@, whose mailbox is on mail0, where nobody answers. Today it leads to a@ and, outside, to x@.
static enum queue_expand_answer expand(void *arg, struct arena *arena, const struct queue_expand_query *query, struct queue_expansion *out)
{
	(void)arg;
	assert_true(query->as_at_rcpt);
	expansions++;
	*out = (struct queue_expansion){.reply = STR("550 5.1.1 nobody")};
	if (!str_eq(query->address, STR("alias@uni.example")))
		return str_starts(query->address, STR("doubt@")) ? QUEUE_EXPAND_LATER : QUEUE_EXPAND_NOBODY;
	out->to = (struct record_recipients){arena_must(arena, 3 * sizeof *out->to.v), 3};
	out->to.v[0] = to_mailbox(STR("a@uni.example"));
	out->to.v[1] = to_mailbox(STR("b@uni.example"));
	out->to.v[2] = (struct record_recipient){.target = RECORD_TO_RELAY, .address = STR("x@else.example"), .key = STR("x@else.example"),
		.destination = STR("discard:")};
	out->to.v[0].mailbox_id = STR("000000000000000000000000000000aa");
	out->to.v[1].mailbox_id = STR("000000000000000000000000000000bb");
	for (size_t i = 0; i < 3; i++)
		out->to.v[i].original = STR("alias@uni.example");
	return QUEUE_EXPAND_DONE;
}

// Its copies when it came in: old@ waits, x@ was reached.
static struct guid enter_for_alias(struct bench *b)
{
	struct guid guid;
	struct record_recipient to[] = {to_mailbox(STR("old@uni.example")),
		{.target = RECORD_TO_RELAY, .address = STR("x@else.example"), .key = STR("x@else.example"), .destination = STR("discard:")}};
	to[0].destination = STR("mail0");
	to[0].original = to[1].original = STR("alias@uni.example");
	b->world = 1;
	queue_start(b->queue);
	assert_int_equal(enter_bytes(b->queue, STR("s@uni.example"), to, 2, 500, &guid), QUEUE_COMMITTED);
	await(b, LEDGER_DISCARDED, 1);
	for (int i = 0; i < 6000 && b->asked == 0; i++)
		usleep(10000);
	return guid;
}

static void begin_with_alias(struct bench *b)
{
	begin_with(b, "");
	b->expand = expand;
	start(b);
	serve(b);
}

static void await_new_copies(struct bench *b)
{
	await(b, LEDGER_DELIVERED, 2); // a and b
	await(b, LEDGER_QUEUED, 0);
	assert_int_equal(ledger_of(b->queue, LEDGER_EXPANDED), 1);      // old@ was withdrawn
	assert_int_equal(ledger_of(b->queue, LEDGER_EXPANDED_INTO), 2); // x@ was not tried again
	assert_int_equal(ledger_of(b->queue, LEDGER_DISCARDED), 1);
	assert_int_equal(ledger_of(b->queue, LEDGER_GENERATED), 0); // and nobody hears of it
}

static void a_wrong_alias_is_expanded_anew(void **state)
{
	(void)state;
	struct bench b;
	struct requeue_found found;
	struct err err;
	begin_with_alias(&b);
	struct guid guid = enter_for_alias(&b);
	struct arena *arena = arena_new(1 << 20);
	struct requeue_query query = {.guid = guid, .who = STR("ann"), .address = STR("other@uni.example")};
	assert_int_equal(requeue_message(b.queue, arena, &query, &found, &err), ERR_OK);
	assert_int_equal(found.copies + found.later + found.nobody, 0);
	query.address = STR("alias@uni.example");
	assert_int_equal(requeue_message(b.queue, arena, &query, &found, &err), ERR_OK);
	assert_int_equal(found.copies, 3);
	await_new_copies(&b);
	assert_int_equal(requeue_message(b.queue, arena, &query, &found, &err), ERR_OK); // there is nothing left to do
	assert_int_equal(found.copies, 0);
	arena_free(&arena);
	stop(&b);
	end(&b);
}

static void who_would_bounce_is_expanded_anew_first(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	b.answer = QUEUE_ROUTE_NOBODY;
	enter_for_alias(&b);
	b.world = 2;
	await_new_copies(&b);
	stop(&b);
	end(&b);
}

static atomic_bool report_names_old, report_names_third;

static void note_report(void *arg, struct str guid, struct str recipient, struct str text)
{
	(void)arg;
	(void)guid;
	if (!str_starts(recipient, STR("s@")))
		return;
	report_names_old = str_find(text, STR("old1@")) >= 0 || str_find(text, STR("old2@")) >= 0 || str_find(text, STR("alias@")) >= 0;
	report_names_third = str_find(text, STR("third@")) >= 0;
}

// alias@ led to old1@ and old2@, and both are gone, as is third@: only of third@ is there anything to say.
static void a_report_has_no_copy_that_was_withdrawn(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	b.lmtp.taken = note_report;
	b.answer = QUEUE_ROUTE_NOBODY;
	struct record_recipient to[] = {to_mailbox(STR("old1@uni.example")), to_mailbox(STR("old2@uni.example")), to_mailbox(STR("third@uni.example"))};
	for (size_t i = 0; i < 3; i++)
		to[i].destination = STR("mail0");
	to[0].original = to[1].original = STR("alias@uni.example");
	to[1].mailbox_id = STR("000000000000000000000000000000cc");
	to[2].mailbox_id = STR("000000000000000000000000000000dd");
	b.world = 1;
	queue_start(b.queue);
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), to, 3, 500, NULL), QUEUE_COMMITTED);
	for (int i = 0; i < 6000 && b.asked < 3; i++)
		usleep(10000);
	b.world = 2;
	queue_flush(b.queue); // all in one page
	await(&b, LEDGER_DELIVERED, 3); // a, b and the report
	await(&b, LEDGER_QUEUED, 0);
	assert_int_equal(ledger_of(b.queue, LEDGER_EXPANDED), 2);
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 1);
	assert_true(report_names_third);
	assert_false(report_names_old);
	stop(&b);
	end(&b);
}

// Of many copies of one address that are gone together, the first asks what it leads to today.
static void an_address_is_asked_about_once(void **state)
{
	(void)state;
	enum { COPIES = 40, PAGES_MAX = 10 }; // one page, but for copies that are just being tried when it is read
	struct bench b;
	struct record_recipient to[COPIES];
	char address[COPIES][40], mailbox[COPIES][40];
	begin_with_alias(&b);
	b.answer = QUEUE_ROUTE_NOBODY;
	for (int i = 0; i < COPIES; i++) {
		snprintf(address[i], sizeof address[i], "old%d@uni.example", i);
		snprintf(mailbox[i], sizeof mailbox[i], "%032x", i + 1);
		to[i] = to_mailbox(str_of_c(address[i]));
		to[i].mailbox_id = str_of_c(mailbox[i]);
		to[i].destination = STR("mail0");
		to[i].original = STR("gone@uni.example");
	}
	b.world = 1;
	queue_start(b.queue);
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), to, COPIES, 500, NULL), QUEUE_COMMITTED);
	for (int i = 0; i < 6000 && b.asked < COPIES; i++)
		usleep(10000);
	expansions = 0;
	b.world = 2;
	queue_flush(b.queue);
	await(&b, LEDGER_BOUNCED, COPIES);
	assert_in_range(expansions, 1, PAGES_MAX);
	stop(&b);
	end(&b);
}

// Its client named alias@ and second@, which both led to old@: for second@ it stays.
static void who_was_meant_twice_is_not_withdrawn(void **state)
{
	(void)state;
	struct bench b;
	struct requeue_found found;
	struct err err;
	struct guid guid;
	begin_with_alias(&b);
	struct record_recipient to[] = {to_mailbox(STR("old@uni.example")), to_mailbox(STR("old@uni.example"))};
	to[0].destination = to[1].destination = STR("mail0");
	to[0].original = STR("alias@uni.example");
	to[1].original = STR("second@uni.example");
	b.world = 1;
	queue_start(b.queue);
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), to, 2, 500, &guid), QUEUE_COMMITTED);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1);
	struct arena *arena = arena_new(1 << 20);
	const struct requeue_query query = {.guid = guid, .who = STR("ann")};
	assert_int_equal(requeue_message(b.queue, arena, &query, &found, &err), ERR_OK);
	assert_int_equal(found.copies, 3); // they came
	assert_int_equal(ledger_of(b.queue, LEDGER_EXPANDED), 0);
	await(&b, LEDGER_DELIVERED, 2);
	await(&b, LEDGER_QUEUED, 1);
	arena_free(&arena);
	stop(&b);
	end(&b);
}

// Two spellings of one address are not two that meant it.
static void who_was_spelt_twice_is_withdrawn(void **state)
{
	(void)state;
	struct bench b;
	struct requeue_found found;
	struct err err;
	struct guid guid;
	begin_with_alias(&b);
	struct record_recipient to[] = {to_mailbox(STR("old@uni.example")), to_mailbox(STR("old@uni.example")), to_mailbox(STR("old2@uni.example"))};
	to[0].destination = to[1].destination = to[2].destination = STR("mail0");
	to[0].original = STR("alias@uni.example");
	to[1].original = to[2].original = STR("Alias@Uni.Example");
	to[2].mailbox_id = STR("000000000000000000000000000000cc");
	b.world = 1;
	queue_start(b.queue);
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), to, 3, 500, &guid), QUEUE_COMMITTED);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 2);
	for (int i = 0; i < 6000 && b.asked < 2; i++) // none is being tried any more
		usleep(10000);
	struct arena *arena = arena_new(1 << 20);
	const struct requeue_query query = {.guid = guid, .who = STR("ann")};
	assert_int_equal(requeue_message(b.queue, arena, &query, &found, &err), ERR_OK);
	assert_int_equal(found.copies, 5); // 2 left, 3 came
	assert_int_equal(found.nobody, 0);
	await(&b, LEDGER_DELIVERED, 2);
	await(&b, LEDGER_QUEUED, 0);
	arena_free(&arena);
	stop(&b);
	end(&b);
}

// The address is nobody's today, or in doubt: as it is, and as a bounce if it comes to that.
static void an_address_of_nobody_is_left_alone(void **state)
{
	(void)state;
	static const struct {
		struct str original;
		bool later;
	} cases[] = {{STR("gone@uni.example"), false}, {STR("doubt@uni.example"), true}};
	for (size_t i = 0; i < 2; i++) {
		struct bench b;
		struct requeue_found found;
		struct err err;
		struct guid guid;
		begin_with_alias(&b);
		b.world = 1;
		struct record_recipient to = to_mailbox(STR("old@uni.example"));
		to.destination = STR("mail0");
		to.original = cases[i].original;
		queue_start(b.queue);
		assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), &to, 1, 500, &guid), QUEUE_COMMITTED);
		struct arena *arena = arena_new(1 << 20);
		const struct requeue_query query = {.guid = guid, .who = STR("ann")};
		assert_int_equal(requeue_message(b.queue, arena, &query, &found, &err), ERR_OK);
		assert_int_equal(found.copies, 0);
		assert_int_equal(cases[i].later ? found.later : found.nobody, 1);
		assert_true(str_eq(found.reply, STR("550 5.1.1 nobody")));
		assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1);
		b.answer = QUEUE_ROUTE_NOBODY;
		int before = b.asked;
		b.world = 2;
		if (cases[i].later) {
			for (int k = 0; k < 6000 && b.asked < before + 2; k++)
				usleep(10000);
			assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 0);
		} else {
			await(&b, LEDGER_BOUNCED, 1);
		}
		arena_free(&arena);
		stop(&b);
		end(&b);
	}
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
		cmocka_unit_test(a_wrong_alias_is_expanded_anew),
		cmocka_unit_test(who_would_bounce_is_expanded_anew_first),
		cmocka_unit_test(a_report_has_no_copy_that_was_withdrawn),
		cmocka_unit_test(an_address_is_asked_about_once),
		cmocka_unit_test(who_was_meant_twice_is_not_withdrawn),
		cmocka_unit_test(who_was_spelt_twice_is_withdrawn),
		cmocka_unit_test(an_address_of_nobody_is_left_alone),
		cmocka_unit_test(what_waits_survives_a_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
