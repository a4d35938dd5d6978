// SPDX-License-Identifier: Apache-2.0
// The queue as a daemon has it: messages go in at the door from many fibers, mailbox hosts and the world take them.
#include <sys/stat.h>

#include "test_queue.h"

struct crowd {
	struct queue *queue;
	size_t each;
	_Atomic size_t committed, refused, running;
};

static void enter_many(void *arg)
{
	struct crowd *crowd = arg;
	for (size_t i = 0; i < crowd->each && !fiber_is_cancelled(); i++)
		if (enter_one(crowd->queue, "u@uni.example") == QUEUE_COMMITTED)
			atomic_fetch_add(&crowd->committed, 1);
		else
			atomic_fetch_add(&crowd->refused, 1);
	atomic_fetch_sub(&crowd->running, 1);
}

static void a_crowd_is_delivered_once_each(void **state)
{
	(void)state;
	enum { FIBERS = 50, EACH = 20 };
	struct bench b;
	begin(&b);
	serve(&b);
	queue_start(b.queue);
	struct crowd crowd = {.queue = b.queue, .each = EACH, .running = FIBERS};
	for (int i = 0; i < FIBERS; i++)
		assert_true(runtime_spawn(b.runtime, enter_many, &crowd, "crowd"));
	await(&b, LEDGER_DELIVERED, FIBERS * EACH);
	assert_int_equal(crowd.committed, FIBERS * EACH);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 0);
	struct cluster_log_stats stats;
	cluster_log_stats(b.queue->log, &stats);
	assert_true(stats.batches < stats.records); // they shared commits
	stop(&b);
	assert_int_equal(b.lmtp.delivered, FIBERS * EACH);
	assert_true(b.lmtp.connections <= 30); // kept and reused
	for (size_t i = 1; i < b.lmtp.delivered; i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(b.lmtp.key[i], b.lmtp.key[k]);
	end(&b);
}

static void outcomes_are_by_recipient(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	queue_start(b.queue);
	struct record_recipient to[] = {to_mailbox(STR("a@uni.example")), to_mailbox(STR("no@uni.example")),
		to_mailbox(STR("later@uni.example")), to_mailbox(STR("full@uni.example")), to_mailbox(STR("b@uni.example")),
		to_mailbox(STR("a@uni.example"))};
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), to, 6, 500, NULL), QUEUE_COMMITTED);
	assert_int_equal(ledger_of(b.queue, LEDGER_ACCEPTED), 5); // one was there twice
	await(&b, LEDGER_DELIVERED, 3);                            // a, b and the report to s
	assert_int_equal(ledger_of(b.queue, LEDGER_BOUNCED), 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_GENERATED), 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 2);
	stop(&b);
	end(&b);
}

struct open_end {
	struct guid guid;
	int64_t flags;
};

static void read_flags(struct db *db, void *arg)
{
	struct open_end *o = arg;
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db_handle(db), "SELECT flags FROM message WHERE guid = ?1", -1, &stmt, NULL), SQLITE_OK);
	sqlite3_bind_blob(stmt, 1, o->guid.b, sizeof o->guid.b, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	o->flags = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
}

// What BDAT needs to know, however the octets came.
static void whether_the_last_line_ends_is_recorded(void **state)
{
	(void)state;
	static const struct {
		struct str pieces[3];
		bool open;
	} cases[] = {{{STR("a\r\n")}, false}, {{STR("a\r"), STR("\n")}, false}, {{STR("a"), STR("\r"), STR("\n")}, false}, {{STR("a\r\n"), STR("b")}, true},
		{{STR("\n")}, true}, {{STR("a\n")}, true}, {{STR("a\r")}, true}, {{STR("")}, false}};
	struct bench b;
	begin(&b);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct record_recipient to = to_mailbox(STR("a@uni.example"));
		struct spool *spool;
		struct err err;
		assert_int_equal(spool_open(b.queue, &spool, &err), ERR_OK);
		struct open_end found = {.guid = spool_guid(spool)};
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(spool_append(spool, cases[i].pieces[k], &err), ERR_OK);
		struct queue_message message = {.sender = STR("s@uni.example"), .recipients = &to, .n = 1};
		assert_int_equal(queue_enter(b.queue, &message, &spool, &err), QUEUE_COMMITTED);
		assert_int_equal(cluster_log_read(b.queue->log, read_flags, &found, NULL), ERR_OK);
		if (((found.flags & RECORD_FLAG_OPEN_END) != 0) != cases[i].open)
			fail_msg("case %zu: flags %lld", i, (long long)found.flags);
	}
	stop(&b);
	end(&b);
}

static void large_bodies_travel_by_file(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	struct record_recipient to = to_mailbox(STR("a@uni.example"));
	struct guid guid;
	char path[128], text[GUID_TEXT_BYTES];
	struct stat st;
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), &to, 1, 1 << 20, &guid), QUEUE_COMMITTED);
	snprintf(path, sizeof path, "%s/spool/%s", b.dir, guid_text(&guid, text).p);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size >= 1 << 20);
	queue_start(b.queue);
	await(&b, LEDGER_DELIVERED, 1);
	stop(&b);
	assert_int_equal(stat(path, &st), -1);
	end(&b);
}

static void a_lost_reply_is_asked_for_again_under_the_same_key(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	serve(&b);
	atomic_store(&b.lmtp.drops, 1);
	queue_start(b.queue);
	assert_int_equal(enter_one(b.queue, "a@uni.example"), QUEUE_COMMITTED);
	await(&b, LEDGER_DELIVERED, 1);
	stop(&b);
	assert_int_equal(b.lmtp.delivered, 1);
	assert_true(b.lmtp.connections >= 2);
	end(&b);
}

static void a_verdict_too_late_cancels(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	atomic_store(&b.queue->commit_timeout_ms, -1); // over before it began
	size_t unknown = 0;
	for (int i = 0; i < 50; i++)
		unknown += enter_one(b.queue, "a@uni.example") == QUEUE_UNKNOWN;
	atomic_store(&b.queue->commit_timeout_ms, 60000);
	assert_int_equal(enter_one(b.queue, "b@uni.example"), QUEUE_COMMITTED); // behind all the others in the line
	assert_true(unknown > 0);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1 + 50 - (int64_t)unknown);
	stop(&b);
	end(&b);
}

static struct record_recipient to_world(struct str address)
{
	return (struct record_recipient){.target = RECORD_TO_RELAY, .address = address, .key = address, .destination = STR("relay")};
}

static void begin_with_relay(struct bench *b)
{
	char more[128];
	begin_with(b, "");
	lmtp_open(&b->lmtp);
	snprintf(more, sizeof more, "relayhost = \"127.0.0.1:%u\"\nrelayhost_tls = \"none\"\n", b->lmtp.port);
	settings_unref(&b->settings);
	write_config(b, more);
	start(b);
	serve(b);
}

static void the_relayhost_takes_what_is_for_the_world(void **state)
{
	(void)state;
	struct bench b;
	begin_with_relay(&b);
	struct record_recipient to[] = {to_world(STR("x@else.example")), to_world(STR("no@else.example")), to_world(STR("y@else.example"))};
	queue_start(b.queue);
	assert_int_equal(enter_bytes(b.queue, STR("s@else.example"), to, 3, 500, NULL), QUEUE_COMMITTED);
	await(&b, LEDGER_RELAYED, 2);
	await(&b, LEDGER_DISCARDED, 1); // refused; its sender is nobody, and so is postmaster here
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 0);
	stop(&b);
	assert_string_equal(b.lmtp.key[0], "none x@else.example"); // no delivery key to the world
	end(&b);
}

// What an attempt is for: it is on disk before the first byte goes out.
static void an_attempt_that_died_is_made_again(void **state)
{
	(void)state;
	struct bench b;
	struct guid guid;
	begin_with_relay(&b);
	struct record_recipient to = to_world(STR("x@else.example"));
	assert_int_equal(enter_bytes(b.queue, STR("s@else.example"), &to, 1, 500, &guid), QUEUE_COMMITTED);
	struct record_ref ref = {guid, 1};
	struct record attempt = {.type = RECORD_ATTEMPT,
		.attempt = {.destination = STR("relay"), .at_ms = 5, .validity_ms = 60000, .refs = {&ref, 1}}};
	struct queue_fold_answer answer;
	assert_int_equal(queue_say(b.queue, &attempt, &answer, NULL), ERR_OK);
	assert_int_equal(answer.counted, 1);
	queue_start(b.queue);
	usleep(200000); // nobody touches what another attempt has
	assert_int_equal(b.lmtp.connections, 0);
	stop(&b);
	start(&b);
	serve(&b);
	queue_start(b.queue);
	await(&b, LEDGER_RELAYED, 1);
	stop(&b);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crowd_is_delivered_once_each),
		cmocka_unit_test(outcomes_are_by_recipient),
		cmocka_unit_test(whether_the_last_line_ends_is_recorded),
		cmocka_unit_test(large_bodies_travel_by_file),
		cmocka_unit_test(a_lost_reply_is_asked_for_again_under_the_same_key),
		cmocka_unit_test(a_verdict_too_late_cancels),
		cmocka_unit_test(the_relayhost_takes_what_is_for_the_world),
		cmocka_unit_test(an_attempt_that_died_is_made_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
