// SPDX-License-Identifier: Apache-2.0
// The fold: equal logs give equal rows, however their records are batched, and the ledger counts what is there.
#include "test_fold.h"

static uint64_t seed;

static unsigned dice(unsigned sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % sides;
}

// A record of any kind about one of a few messages near i: many are repeats, for closed recipients, or out of order.
static void random_record(int i, struct record *record, struct record_recipient *r, struct record_one_result *one, struct record_ref *ref,
	struct record_enter *dsn, struct record_leave *number, struct str *body)
{
	uint64_t n = 1 + (uint64_t)i / 8 + dice(20);
	*body = STR_NONE;
	static struct record_also also = {.key = STR("other@uni.example"), .address = STR("other@uni.example")};
	*r = to_mailbox(1 + dice(3));
	*ref = (struct record_ref){guid_of(n), 1 + dice(3)};
	switch (dice(14)) {
	case 0:
	case 1:
	case 2:
		if (n % 2) {
			r->notify = RECORD_SHARED;
			r->also.v = &also;
			r->also.n = 1;
		}
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
	case 8:
		*number = (struct record_leave){1 + dice(3), i & 1 ? STR("u@uni.example") : also.key};
		r->number = 1;
		r->mailbox_id = dice(2) ? r->mailbox_id : STR("another");
		r->original = n & 4 ? STR_NONE : also.address;
		*record = (struct record){.type = RECORD_REQUEUE,
			.requeue = {.guid = guid_of(n), .at_ms = 5, .leave = {number, dice(2)}, .come = {r, 1}}};
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
	seed = 2;
	for (int i = 0; i < RECORDS; i++) {
		struct record record;
		struct record_recipient r;
		struct record_one_result one;
		struct record_ref ref;
		struct record_enter dsn;
		struct record_leave number;
		struct str body;
		random_record(i, &record, &r, &one, &ref, &dsn, &number, &body);
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
	assert_int_equal(number_in(&one_by_one, "SELECT count(*) FROM ended WHERE guid NOT IN (SELECT guid FROM message)"), 0);
	assert_int_equal(number_in(&one_by_one, "SELECT count(*) FROM message m WHERE ended <> (SELECT count(*) FROM ended e WHERE e.guid = m.guid)"
						" + (SELECT count(*) FROM also o WHERE o.guid = m.guid)"), 0);
	assert_true(number_in(&one_by_one, "SELECT count(*) FROM ended") > 0);
	assert_true(number_in(&one_by_one, "SELECT count(*) FROM also") > 0);
	assert_int_equal(number_in(&one_by_one, "SELECT count(*) FROM also WHERE guid NOT IN (SELECT guid FROM message)"), 0);
	assert_true(ledger_of(&one_by_one, LEDGER_EXPANDED_INTO) > 5);
	drop_bench(&batched);
	drop_bench(&one_by_one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replay_gives_the_same_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
