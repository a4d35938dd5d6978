// SPDX-License-Identifier: Apache-2.0
// A log with the queue's fold in a directory of its own, driven from the test's thread; for the tests of the fold.
#ifndef MTA_TEST_FOLD_H
#define MTA_TEST_FOLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "queue_fold.h"

#define DIGEST STR("0123456789abcdef0123456789abcdef")

struct bench {
	char dir[64];
	struct queue_fold *fold;
	struct cluster_log *log;
	// What the sink heard; read after a commit, when the writer rests.
	size_t arrived, gone, bodies, due;
	int64_t due_at_ms;
	bool room;
};

static inline bool has_room(void *self, uint64_t bytes)
{
	(void)bytes;
	return ((struct bench *)self)->room;
}

static inline void arrived(void *self, struct item **list)
{
	struct bench *b = self;
	for (struct item *item = *list; item; item = item->next)
		b->arrived++;
	item_free_list(list);
}

static inline void due(void *self, struct str destination, int64_t next_try_ms)
{
	struct bench *b = self;
	(void)destination;
	b->due++;
	b->due_at_ms = next_try_ms;
}

static inline void gone(void *self, const struct guid *guid, uint32_t number)
{
	(void)guid;
	(void)number;
	((struct bench *)self)->gone++;
}

static inline void body_free(void *self, const struct guid *guid)
{
	(void)guid;
	((struct bench *)self)->bodies++;
}

static inline void died(const struct err *err)
{
	fail_msg("%s", err->text);
}

static inline void open_bench(struct bench *b)
{
	struct queue_fold_sink sink = {b, has_room, arrived, due, gone, body_free};
	struct err err;
	b->fold = queue_fold_new(&sink);
	struct cluster_log_config config = {.dir = b->dir, .fold = queue_fold_table(b->fold), .died = died};
	if (cluster_log_open(&config, &b->log, &err))
		fail_msg("%s", err.text);
}

static inline void close_bench(struct bench *b)
{
	cluster_log_close(&b->log);
	queue_fold_free(&b->fold);
}

static inline void new_bench(struct bench *b)
{
	*b = (struct bench){.dir = "/tmp/posthouse-fold-XXXXXX", .room = true};
	assert_non_null(mkdtemp(b->dir));
	open_bench(b);
}

static inline bool remove_one(void *ctx, struct str name)
{
	char c[64];
	assert_true(str_to_c(name, c, sizeof c));
	unlinkat(*(int *)ctx, c, 0);
	return true;
}

static inline void drop_bench(struct bench *b)
{
	int fd;
	close_bench(b);
	assert_int_equal(file_dir_open(str_of_c(b->dir), &fd, NULL), ERR_OK);
	assert_int_equal(file_dir_each(fd, remove_one, &fd, NULL), ERR_OK);
	file_close(fd);
	rmdir(b->dir);
}

static inline struct queue_fold_answer say_with(struct bench *b, const struct record *record, struct str body, uint8_t *took,
	uint64_t *index_out)
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

static inline struct queue_fold_answer say(struct bench *b, const struct record *record)
{
	return say_with(b, record, STR_NONE, NULL, NULL);
}

static inline int64_t ledger_of(struct bench *b, enum queue_ledger counter)
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

static inline void run_count(struct db *db, void *arg)
{
	struct counting *c = arg;
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db_handle(db), c->sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	c->value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
}

static inline int64_t number_in(struct bench *b, const char *sql)
{
	struct counting c = {sql, 0};
	assert_int_equal(cluster_log_read(b->log, run_count, &c, NULL), ERR_OK);
	return c.value;
}

static inline void assert_empty(struct bench *b)
{
	assert_int_equal(number_in(b,
			"SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM recipient) + (SELECT count(*) FROM body)"
			" + (SELECT count(*) FROM attempt) + (SELECT count(*) FROM ended) + (SELECT count(*) FROM also)"),
		0);
}

static inline struct guid guid_of(uint64_t n)
{
	struct guid guid = {{1}};
	memcpy(guid.b + 8, &n, sizeof n);
	return guid;
}

static inline struct record_recipient to_mailbox(uint32_t number)
{
	return (struct record_recipient){.number = number, .target = RECORD_TO_MAILBOX, .address = STR("u@uni.example"),
		.key = STR("u@uni.example"), .destination = STR("mail1"), .mailbox_id = STR("00112233445566778899aabbccddeeff")};
}

static inline struct record enter_of(uint64_t n, struct record_recipient *recipients, size_t count)
{
	return (struct record){.type = RECORD_ENTER,
		.enter = {.guid = guid_of(n), .root = guid_of(n), .sender = STR("s@else.example"), .received_ms = 1000,
		.body_bytes = 4,
			.digest = DIGEST, .recipients = {recipients, count}}};
}

static inline struct record result_of(struct record_one_result *one, uint64_t attempt)
{
	return (struct record){.type = RECORD_RESULT, .result = {.attempt = attempt, .at_ms = 2000, .results = {one, 1}}};
}

#endif
