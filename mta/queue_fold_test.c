// SPDX-License-Identifier: Apache-2.0
// The fold: what records do to the rows, that repeats do nothing, that the ledger closes, and that equal logs give equal rows.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "queue_fold.h"

#define DIGEST STR("0123456789abcdef0123456789abcdef")

// One log in a directory of its own, driven from the test's thread.
struct bench {
	char dir[64];
	struct queue_fold *fold;
	struct cluster_log *log;
	// What the sink heard; read after a commit, when the writer rests.
	size_t arrived, gone, bodies, due;
	int64_t due_at_ms;
	bool room;
};

static bool has_room(void *self, uint64_t bytes)
{
	(void)bytes;
	return ((struct bench *)self)->room;
}

static void arrived(void *self, struct item **list)
{
	struct bench *b = self;
	for (struct item *item = *list; item; item = item->next)
		b->arrived++;
	item_free_list(list);
}

static void due(void *self, struct str destination, int64_t next_try_ms)
{
	struct bench *b = self;
	(void)destination;
	b->due++;
	b->due_at_ms = next_try_ms;
}

static void gone(void *self, const struct guid *guid, uint32_t number)
{
	(void)guid;
	(void)number;
	((struct bench *)self)->gone++;
}

static void body_free(void *self, const struct guid *guid)
{
	(void)guid;
	((struct bench *)self)->bodies++;
}

static void died(const struct err *err)
{
	fail_msg("%s", err->text);
}

static void open_bench(struct bench *b)
{
	struct queue_fold_sink sink = {b, has_room, arrived, due, gone, body_free};
	struct err err;
	b->fold = queue_fold_new(&sink);
	struct cluster_log_config config = {.dir = b->dir, .fold = queue_fold_table(b->fold), .died = died};
	if (cluster_log_open(&config, &b->log, &err))
		fail_msg("%s", err.text);
}

static void close_bench(struct bench *b)
{
	cluster_log_close(&b->log);
	queue_fold_free(&b->fold);
}

static void new_bench(struct bench *b)
{
	*b = (struct bench){.dir = "/tmp/posthouse-fold-XXXXXX", .room = true};
	assert_non_null(mkdtemp(b->dir));
	open_bench(b);
}

static bool remove_one(void *ctx, struct str name)
{
	char c[64];
	assert_true(str_to_c(name, c, sizeof c));
	unlinkat(*(int *)ctx, c, 0);
	return true;
}

static void drop_bench(struct bench *b)
{
	int fd;
	close_bench(b);
	assert_int_equal(file_dir_open(str_of_c(b->dir), &fd, NULL), ERR_OK);
	assert_int_equal(file_dir_each(fd, remove_one, &fd, NULL), ERR_OK);
	file_close(fd);
	rmdir(b->dir);
}

static struct queue_fold_answer say_with(struct bench *b, const struct record *record, struct str body, uint8_t *took, uint64_t *index_out)
{
	struct queue_fold_answer answer = {.took = took};
	struct buf bytes;
	buf_init(&bytes, RECORD_BYTES_MAX);
	assert_true(record_encode(record, &bytes));
	struct call *call = call_new(sizeof(struct cluster_proposal), NULL);
	struct cluster_proposal *p = call_payload(call);
	p->record = buf_str(&bytes);
	p->body = body;
	p->answer = &answer;
	cluster_log_propose(b->log, call);
	assert_int_equal(call_wait(call, CLOCK_NEVER), ERR_OK);
	assert_int_equal(p->verdict, CLUSTER_COMMITTED);
	if (index_out)
		*index_out = p->index;
	call_drop(&call);
	buf_fini(&bytes);
	return answer;
}

static struct queue_fold_answer say(struct bench *b, const struct record *record)
{
	return say_with(b, record, STR_NONE, NULL, NULL);
}

static int64_t ledger_of(struct bench *b, enum queue_ledger counter)
{
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	queue_fold_ledger(b->fold, counters, &balanced);
	assert_true(balanced);
	return counters[counter];
}

struct counting {
	const char *sql;
	int64_t value;
};

static void run_count(struct db *db, void *arg)
{
	struct counting *c = arg;
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db_handle(db), c->sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	c->value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
}

static int64_t number_in(struct bench *b, const char *sql)
{
	struct counting c = {sql, 0};
	assert_int_equal(cluster_log_read(b->log, run_count, &c, NULL), ERR_OK);
	return c.value;
}

static void assert_empty(struct bench *b)
{
	assert_int_equal(number_in(b, "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM recipient) + (SELECT count(*) FROM body)"
				      " + (SELECT count(*) FROM attempt)"),
		0);
}

static struct guid guid_of(uint64_t n)
{
	struct guid guid = {{1}};
	memcpy(guid.b + 8, &n, sizeof n);
	return guid;
}

static struct record_recipient to_mailbox(uint32_t number)
{
	return (struct record_recipient){.number = number, .target = RECORD_TO_MAILBOX, .address = STR("u@uni.example"),
		.key = STR("u@uni.example"), .destination = STR("mail1"), .mailbox_id = STR("00112233445566778899aabbccddeeff")};
}

static struct record enter_of(uint64_t n, struct record_recipient *recipients, size_t count)
{
	return (struct record){.type = RECORD_ENTER,
		.enter = {.guid = guid_of(n), .root = guid_of(n), .sender = STR("s@else.example"), .received_ms = 1000, .body_bytes = 4,
			.digest = DIGEST, .recipients = {recipients, count}}};
}

static struct record result_of(struct record_one_result *one, uint64_t attempt)
{
	return (struct record){.type = RECORD_RESULT, .result = {.attempt = attempt, .at_ms = 2000, .results = {one, 1}}};
}

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

// --- Equal logs, equal rows ---

static uint64_t seed;

static unsigned dice(unsigned sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % sides;
}

// A record of any kind about one of a few messages near i: many are repeats, for closed recipients, or out of order.
static void random_record(int i, struct record *record, struct record_recipient *r, struct record_one_result *one, struct record_ref *ref,
	struct record_enter *dsn, struct str *body)
{
	uint64_t n = 1 + (uint64_t)i / 8 + dice(20);
	*body = STR_NONE;
	*r = to_mailbox(1 + dice(3));
	*ref = (struct record_ref){guid_of(n), 1 + dice(3)};
	switch (dice(13)) {
	case 0:
	case 1:
	case 2:
		*record = enter_of(n, r, 1);
		*body = STR("body");
		return;
	case 3:
		*record = (struct record){.type = RECORD_CANCEL, .cancel = {guid_of(n)}};
		return;
	case 4:
		*record = (struct record){.type = RECORD_ATTEMPT, .attempt = {STR("mail1"), 5, 60000, {ref, 1}}};
		return;
	case 5:
		*record = (struct record){.type = RECORD_HOLD, .hold = {.guid = guid_of(n), .number = dice(3), .at_ms = 5, .why = STR("w")}};
		return;
	case 6:
		*record = (struct record){.type = RECORD_RELEASE, .release = {.guid = guid_of(n), .number = dice(3), .at_ms = 5}};
		return;
	case 7:
		*record = (struct record){.type = RECORD_DELETE, .delete = {.guid = guid_of(n), .number = dice(3), .at_ms = 5}};
		return;
	default:
		break;
	}
	*one = (struct record_one_result){.guid = guid_of(n), .number = 1 + dice(3), .outcome = (enum record_outcome)(1 + dice(7))};
	*record = result_of(one, dice(2) ? 0 : 1 + dice(1500));
	if (one->outcome == RECORD_DEFERRED)
		one->next_try_ms = 9;
	if (one->outcome == RECORD_BOUNCED) {
		*dsn = enter_of(n + dice(20), r, 1).enter;
		dsn->kind = RECORD_DSN;
		dsn->parent = guid_of(n);
		record->result.begets = (struct record_enters){dsn, 1};
		*body = STR("dsn!");
	}
}

struct digesting {
	uint8_t digest[RECORD_DIGEST_BYTES];
	enum err_code code;
};

static void run_digest(struct db *db, void *arg)
{
	struct digesting *d = arg;
	d->code = queue_fold_digest(db, d->digest, NULL);
}

static void digest_of(struct bench *b, struct digesting *d)
{
	assert_int_equal(cluster_log_read(b->log, run_digest, d, NULL), ERR_OK);
	assert_int_equal(d->code, ERR_OK);
}

// Proposals that nobody waits for, so that they share transactions.
struct posted {
	struct cluster_proposal p;
	struct buf bytes;
};

static void posted_done(struct cluster_proposal *p)
{
	struct posted *posted = (struct posted *)p;
	assert_int_equal(p->verdict, CLUSTER_COMMITTED);
	buf_fini(&posted->bytes);
	free(posted);
}

static void replay_gives_the_same_rows(void **state)
{
	(void)state;
	enum { RECORDS = 3000 };
	struct bench one_by_one, batched;
	new_bench(&one_by_one);
	new_bench(&batched);
	seed = 1;
	for (int i = 0; i < RECORDS; i++) {
		struct record record;
		struct record_recipient r;
		struct record_one_result one;
		struct record_ref ref;
		struct record_enter dsn;
		struct str body;
		random_record(i, &record, &r, &one, &ref, &dsn, &body);
		say_with(&one_by_one, &record, body, NULL, NULL);
		struct posted *posted = calloc(1, sizeof *posted);
		buf_init(&posted->bytes, RECORD_BYTES_MAX);
		assert_true(record_encode(&record, &posted->bytes));
		posted->p = (struct cluster_proposal){.record = buf_str(&posted->bytes), .body = body, .class = CLUSTER_CLASS_RESULT, .done = posted_done};
		cluster_log_submit(batched.log, &posted->p);
		if (i == RECORDS / 2) {
			close_bench(&batched);
			open_bench(&batched);
		}
	}
	struct digesting a, c;
	close_bench(&batched); // waits for all
	open_bench(&batched);
	digest_of(&one_by_one, &a);
	digest_of(&batched, &c);
	assert_memory_equal(a.digest, c.digest, sizeof a.digest);
	assert_true(ledger_of(&one_by_one, LEDGER_ACCEPTED) > 100);
	assert_true(ledger_of(&one_by_one, LEDGER_GENERATED) > 5);
	assert_true(ledger_of(&one_by_one, LEDGER_CANCELLED) > 5);
	assert_true(ledger_of(&one_by_one, LEDGER_REPEATS) > 100);
	assert_int_equal(ledger_of(&one_by_one, LEDGER_QUEUED), number_in(&one_by_one, "SELECT count(*) FROM recipient"));
	assert_int_equal(number_in(&one_by_one, "SELECT count(*) FROM message"),
		number_in(&one_by_one, "SELECT count(DISTINCT guid) FROM recipient"));
	assert_int_equal(number_in(&one_by_one, "SELECT count(*) FROM message"), number_in(&one_by_one, "SELECT count(*) FROM body"));
	assert_int_equal(number_in(&one_by_one, "SELECT count(*) FROM message m WHERE open <>"
						" (SELECT count(*) FROM recipient r WHERE r.guid = m.guid)"), 0);
	drop_bench(&batched);
	drop_bench(&one_by_one);
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
		cmocka_unit_test(replay_gives_the_same_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
