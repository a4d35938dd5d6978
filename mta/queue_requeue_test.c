// SPDX-License-Identifier: Apache-2.0
// Copies that wait while the alias that led to them is corrected: who is withdrawn, who comes, and that nobody gets two.
//
// All wait for mail0, where nobody answers in the first world; in the second one `answer` says what becomes of them.
#include "requeue.h"
#include "test_queue.h"

enum { ARENA_BYTES = 1 << 20 };

// --- The directory of today ---

static atomic_int expansions;
static _Atomic bool second_is_corrected, second_leads_to_a;

static struct record_recipient mailbox(const char *address, const char *id)
{
	struct record_recipient r = to_mailbox(str_of_c(address));
	r.mailbox_id = str_of_c(id);
	return r;
}

static struct record_recipient old(void)
{
	return mailbox("old@uni.example", "00000000000000000000000000000001");
}

static struct record_recipient box_a(void)
{
	return mailbox("a@uni.example", "000000000000000000000000000000aa");
}

static struct record_recipient box_b(void)
{
	return mailbox("b@uni.example", "000000000000000000000000000000bb");
}

static struct record_recipient outside(void)
{
	return (struct record_recipient){.target = RECORD_TO_RELAY, .address = STR("x@else.example"), .key = STR("x@else.example"),
		.destination = STR("discard:")};
}

static enum queue_expand_answer leads_to(struct arena *arena, struct str asked, const struct record_recipient *to, size_t n,
	struct queue_expansion *out)
{
	out->to = (struct record_recipients){arena_must(arena, n * sizeof *to), n};
	memcpy(out->to.v, to, n * sizeof *to);
	for (size_t i = 0; i < n; i++)
		out->to.v[i].original = arena_dup(arena, asked);
	return QUEUE_EXPAND_DONE;
}

// alias@ led to old@, whose mailbox is on mail0. Today it leads to a@, b@ and, outside, to x@. second@ led to old@, too, and is corrected
// when the test says so; every wrongN@ leads outside today.
static enum queue_expand_answer expand(void *arg, struct arena *arena, const struct queue_expand_query *query,
	struct queue_expansion *out)
{
	(void)arg;
	assert_true(query->as_at_rcpt);
	expansions++;
	*out = (struct queue_expansion){.reply = STR("550 5.1.1 nobody")};
	if (str_eq_nocase(query->address, STR("alias@uni.example")))
		return leads_to(arena, query->address, (struct record_recipient[]){box_a(), box_b(), outside()}, 3, out);
	if (str_starts(query->address, STR("second@"))) {
		struct record_recipient to = second_leads_to_a ? box_a() : second_is_corrected ? box_b() : old();
		to.destination = second_is_corrected || second_leads_to_a ? to.destination : STR("mail0");
		return leads_to(arena, query->address, &to, 1, out);
	}
	if (str_starts(query->address, STR("wrong"))) {
		struct record_recipient to = outside();
		to.address = to.key = arena_printf(arena, "right-%.*s", STR_FMT(query->address));
		return leads_to(arena, query->address, &to, 1, out);
	}
	return str_starts(query->address, STR("doubt@")) ? QUEUE_EXPAND_LATER : QUEUE_EXPAND_NOBODY;
}

// --- The bench ---

struct taken {
	_Atomic int old, a, b;              // copies that the mailboxes got
	_Atomic bool names_alias, names_third; // of reports
};
static struct taken taken;

static void note_taken(void *arg, struct str guid, struct str recipient, struct str text)
{
	(void)arg;
	(void)guid;
	taken.old += str_starts(recipient, STR("old@"));
	taken.a += str_starts(recipient, STR("a@"));
	taken.b += str_starts(recipient, STR("b@"));
	if (!str_starts(recipient, STR("s@")))
		return;
	taken.names_alias |= str_find(text, STR("old@")) >= 0 || str_find(text, STR("alias@")) >= 0;
	taken.names_third |= str_find(text, STR("third@")) >= 0;
}

static void begin_with_alias(struct bench *b)
{
	memset(&taken, 0, sizeof taken);
	expansions = 0;
	second_is_corrected = second_leads_to_a = false;
	begin_with(b, "");
	b->expand = expand;
	start(b);
	serve(b);
	b->lmtp.taken = note_taken;
	b->answer = QUEUE_ROUTE_NOBODY;
	b->world = 1;
	queue_start(b->queue);
}

// Enters copies that wait at mail0 (what goes to the outside is gone at once); returns when none is being tried.
static struct guid enter_copies(struct bench *b, struct record_recipient *to, size_t n, const char *const *originals, int wait)
{
	struct guid guid;
	for (size_t i = 0; i < n; i++) {
		to[i].destination = to[i].target == RECORD_TO_MAILBOX ? STR("mail0") : to[i].destination;
		to[i].original = originals[i] ? str_of_c(originals[i]) : STR_NONE;
	}
	int before = b->asked;
	assert_int_equal(enter_bytes(b->queue, STR("s@uni.example"), to, n, 500, &guid), QUEUE_COMMITTED);
	for (int i = 0; i < 6000 && b->asked < before + wait; i++)
		usleep(10000);
	assert_int_equal(b->asked, before + wait);
	return guid;
}

// Its copies when it came in: old@ waits, x@ was reached.
static struct guid enter_for_alias(struct bench *b)
{
	const char *const originals[] = {"alias@uni.example", "alias@uni.example"};
	struct guid guid = enter_copies(b, (struct record_recipient[]){old(), outside()}, 2, originals, 1);
	await(b, LEDGER_DISCARDED, 1);
	return guid;
}

// Its client named alias@ and second@, which both led to old@.
static struct guid enter_for_two(struct bench *b)
{
	const char *const originals[] = {"alias@uni.example", "second@uni.example"};
	int64_t before = ledger_of(b->queue, LEDGER_QUEUED);
	struct guid guid = enter_copies(b, (struct record_recipient[]){old(), old()}, 2, originals, 1);
	assert_int_equal(ledger_of(b->queue, LEDGER_QUEUED), before + 1);
	return guid;
}

static struct requeue_found requeue_with(struct bench *b, const struct guid *guid, struct str address, struct requeue_answers *answers)
{
	struct requeue_found found;
	struct err err;
	struct arena *arena = arena_new(ARENA_BYTES);
	const struct requeue_query query = {.guid = *guid, .who = STR("ann"), .address = address, .answers = answers};
	if (requeue_message(b->queue, arena, &query, &found, &err))
		fail_msg("%s", err.text);
	assert_true(found.later + found.nobody == 0 || str_eq(found.reply, STR("550 5.1.1 nobody")));
	arena_free(&arena);
	return found;
}

static struct requeue_found requeue(struct bench *b, const struct guid *guid, struct str address)
{
	return requeue_with(b, guid, address, NULL);
}

static void finish(struct bench *b)
{
	stop(b);
	end(b);
}

// --- One alias ---

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
	begin_with_alias(&b);
	struct guid guid = enter_for_alias(&b);
	struct requeue_found found = requeue(&b, &guid, STR("other@uni.example"));
	assert_int_equal(found.copies + found.later + found.nobody, 0);
	assert_int_equal(requeue(&b, &guid, STR("alias@uni.example")).copies, 3);
	await_new_copies(&b);
	assert_int_equal(requeue(&b, &guid, STR("alias@uni.example")).copies, 0); // there is nothing left to do
	finish(&b);
}

static void who_would_bounce_is_expanded_anew_first(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	enter_for_alias(&b);
	b.world = 2;
	await_new_copies(&b);
	finish(&b);
}

// alias@ led to two that are gone, as is third@: only of third@ is there anything to say.
static void a_report_has_no_copy_that_was_withdrawn(void **state)
{
	(void)state;
	struct bench b;
	const char *const originals[] = {"alias@uni.example", "alias@uni.example", NULL};
	begin_with_alias(&b);
	enter_copies(&b, (struct record_recipient[]){old(), mailbox("old@two.example", "2"), mailbox("third@uni.example", "3")}, 3,
		originals, 3);
	b.world = 2;
	queue_flush(b.queue); // all in one page
	await(&b, LEDGER_DELIVERED, 3); // a, b and the report
	await(&b, LEDGER_QUEUED, 0);
	assert_int_equal(ledger_of(b.queue, LEDGER_EXPANDED), 2);
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 1);
	assert_true(taken.names_third);
	assert_false(taken.names_alias);
	finish(&b);
}

// Two spellings of one address are not two that meant it.
static void who_was_spelt_twice_is_withdrawn(void **state)
{
	(void)state;
	struct bench b;
	const char *const originals[] = {"alias@uni.example", "Alias@Uni.Example", "\"Alias\"@uni.example"};
	begin_with_alias(&b);
	struct guid guid = enter_copies(&b, (struct record_recipient[]){old(), old(), mailbox("old2@uni.example", "2")}, 3, originals, 2);
	struct requeue_found found = requeue(&b, &guid, STR_NONE);
	assert_int_equal(found.copies, 5); // 2 left, 3 came
	assert_int_equal(found.nobody, 0);
	await(&b, LEDGER_DELIVERED, 2);
	await(&b, LEDGER_QUEUED, 0);
	finish(&b);
}

// The address is nobody's today, or in doubt: as it is, and as a bounce if it comes to that.
static void an_address_of_nobody_is_left_alone(void **state)
{
	(void)state;
	static const struct {
		const char *original;
		bool later;
	} cases[] = {{"gone@uni.example", false}, {"doubt@uni.example", true}};
	for (size_t i = 0; i < 2; i++) {
		struct bench b;
		begin_with_alias(&b);
		struct guid guid = enter_copies(&b, (struct record_recipient[]){old()}, 1, &cases[i].original, 1);
		struct requeue_found found = requeue(&b, &guid, STR_NONE);
		assert_int_equal(found.copies, 0);
		assert_int_equal(cases[i].later ? found.later : found.nobody, 1);
		assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1);
		int before = b.asked;
		b.world = 2;
		if (cases[i].later) {
			for (int k = 0; k < 6000 && b.asked < before + 2; k++)
				usleep(10000);
			assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 0);
		} else {
			await(&b, LEDGER_BOUNCED, 1);
		}
		finish(&b);
	}
}

// --- Two aliases to one mailbox ---

// The one that the copy's row names is corrected: for the other one it stays, and goes with that.
static void the_first_of_two_is_corrected(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	struct guid guid = enter_for_two(&b);
	struct requeue_found found = requeue(&b, &guid, STR_NONE);
	assert_int_equal(found.copies, 3); // they came
	assert_int_equal(found.left, 0);
	await(&b, LEDGER_DELIVERED, 2);
	await(&b, LEDGER_DISCARDED, 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1); // old@, for second@
	second_is_corrected = true; // to b@, who has it
	found = requeue(&b, &guid, STR_NONE);
	assert_int_equal(found.left, 1);
	await(&b, LEDGER_QUEUED, 0);
	assert_int_equal(taken.a + taken.old, 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 0);
	finish(&b);
}

// The one whose copy was there already.
static void the_second_of_two_is_corrected(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	struct guid guid = enter_for_two(&b);
	second_is_corrected = true;
	struct requeue_found found = requeue(&b, &guid, STR("second@uni.example"));
	assert_int_equal(found.copies, 1);
	assert_int_equal(found.left, 0);
	await(&b, LEDGER_DELIVERED, 1);
	assert_int_equal(taken.b, 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1); // old@, for alias@
	found = requeue(&b, &guid, STR("second@uni.example"));
	assert_int_equal(found.left, 0);
	found = requeue(&b, &guid, STR("alias@uni.example"));
	assert_int_equal(found.left, 1);
	await(&b, LEDGER_QUEUED, 0);
	assert_int_equal(taken.a, 1);
	assert_int_equal(taken.old, 0);
	finish(&b);
}

// To the same mailbox, at once.
static void both_are_corrected(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	struct guid guid = enter_for_two(&b);
	second_leads_to_a = true;
	struct requeue_found found = requeue(&b, &guid, STR_NONE);
	assert_int_equal(found.left, 1);
	assert_int_equal(found.copies, 4);
	await(&b, LEDGER_QUEUED, 0);
	assert_int_equal(taken.a, 1);
	assert_int_equal(taken.b, 1);
	assert_int_equal(taken.old, 0);
	finish(&b);
}

// old@ is gone. alias@ leads elsewhere, of second@ there is nobody any more: new copies, and a report about second@ alone.
static void one_is_corrected_and_the_other_bounces(void **state)
{
	(void)state;
	struct bench b;
	const char *const originals[] = {"alias@uni.example", "third@uni.example"};
	begin_with_alias(&b);
	enter_copies(&b, (struct record_recipient[]){old(), old()}, 2, originals, 1);
	b.world = 2;
	await(&b, LEDGER_DELIVERED, 3); // a, b and the report
	await(&b, LEDGER_QUEUED, 0);
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 1);
	assert_true(taken.names_third);
	assert_false(taken.names_alias);
	finish(&b);
}

// Its client named the mailbox, too, which is gone: the alias is followed, and the mailbox reported.
static void a_mailbox_bounces_and_its_alias_is_followed(void **state)
{
	(void)state;
	struct bench b;
	const char *const originals[] = {NULL, "alias@uni.example"};
	begin_with_alias(&b);
	enter_copies(&b, (struct record_recipient[]){old(), old()}, 2, originals, 1);
	b.world = 2;
	await(&b, LEDGER_DELIVERED, 3); // a, b and the report
	await(&b, LEDGER_QUEUED, 0);
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 1);
	assert_int_equal(taken.a + taken.b, 2);
	finish(&b);
}

// --- Many ---

enum { MANY = 1000, PAGES_MAX = MANY / 4 }; // copies come due one after the other, so that pages may be small

static struct guid enter_many(struct bench *b, bool each)
{
	static struct record_recipient to[MANY];
	static char address[MANY][40], id[MANY][40], originals[MANY][40];
	const char *of[MANY];
	for (int i = 0; i < MANY; i++) {
		snprintf(address[i], sizeof address[i], "old%d@uni.example", i);
		snprintf(id[i], sizeof id[i], "%032x", i + 1);
		snprintf(originals[i], sizeof originals[i], each ? "wrong%d@uni.example" : "gone@uni.example", i);
		to[i] = mailbox(address[i], id[i]);
		of[i] = originals[i];
	}
	return enter_copies(b, to, MANY, of, MANY);
}

static uint64_t records_of(struct bench *b)
{
	struct cluster_log_stats stats;
	cluster_log_stats(b->queue->log, &stats);
	return stats.records;
}

// A thousand copies of one address that are gone together: it is asked about once a page.
static void an_address_is_asked_about_once(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	enter_many(&b, false);
	b.world = 2;
	queue_flush(b.queue);
	await(&b, LEDGER_BOUNCED, MANY);
	assert_in_range(expansions, 1, PAGES_MAX);
	finish(&b);
}

// A thousand addresses that go together: some records, not one for each; each asked about once.
static void many_addresses_go_in_a_few_records(void **state)
{
	(void)state;
	struct bench b;
	begin_with_alias(&b);
	enter_many(&b, true);
	uint64_t before = records_of(&b);
	b.world = 2;
	queue_flush(b.queue);
	await(&b, LEDGER_EXPANDED_INTO, MANY);
	assert_in_range(expansions, MANY, MANY + PAGES_MAX);
	assert_int_equal(ledger_of(b.queue, LEDGER_EXPANDED), MANY);
	await(&b, LEDGER_DISCARDED, MANY);
	await(&b, LEDGER_QUEUED, 0);
	assert_in_range(records_of(&b) - before, 1, MANY / 2); // of deliveries, too
	finish(&b);
}

// As `queue retry --again --all` does.
static void messages_share_what_was_asked(void **state)
{
	(void)state;
	struct bench b;
	struct guid guids[3];
	begin_with_alias(&b);
	for (size_t i = 0; i < 3; i++)
		guids[i] = enter_for_two(&b);
	struct requeue_answers *answers = requeue_answers_new(b.queue);
	expansions = 0;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(requeue_with(&b, &guids[i], STR_NONE, answers).copies, 3);
	assert_int_equal(expansions, 2);
	b.answer = QUEUE_ROUTE_SAME;
	b.world = 2; // the directory has changed
	second_is_corrected = true;
	assert_int_equal(requeue_with(&b, &guids[0], STR_NONE, answers).left, 1);
	requeue_answers_free(&answers);
	finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_alias_is_expanded_anew),
		cmocka_unit_test(who_would_bounce_is_expanded_anew_first),
		cmocka_unit_test(a_report_has_no_copy_that_was_withdrawn),
		cmocka_unit_test(who_was_spelt_twice_is_withdrawn),
		cmocka_unit_test(an_address_of_nobody_is_left_alone),
		cmocka_unit_test(the_first_of_two_is_corrected),
		cmocka_unit_test(the_second_of_two_is_corrected),
		cmocka_unit_test(both_are_corrected),
		cmocka_unit_test(one_is_corrected_and_the_other_bounces),
		cmocka_unit_test(a_mailbox_bounces_and_its_alias_is_followed),
		cmocka_unit_test(an_address_is_asked_about_once),
		cmocka_unit_test(many_addresses_go_in_a_few_records),
		cmocka_unit_test(messages_share_what_was_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
