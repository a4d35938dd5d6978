// SPDX-License-Identifier: Apache-2.0
// The log: commits that survive, verdicts, a full disk, a broken disk, a copied disk.
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/log.h"
#include "schema/ddl_queue.h"
#include "test_disk.h"

static int install_disk(void **state)
{
	(void)state;
	test_disk_install();
	test_disk_fail_part(TEST_DISK_SQLITE);
	return 0;
}

static void disk_is_full(bool full)
{
	test_disk_fail_sort(TEST_DISK_WRITES);
	test_disk_fail(full, LONG_MAX / 2, ENOSPC);
}

// --- A fold that counts ---

struct bench {
	char dir[64];
	struct cluster_log *log;
	struct cluster_log_config config;
	_Atomic uint64_t applied, undone, committed;
	struct str body; // of what is said; empty: a short one
};

static enum err_code opened(void *self, struct db *db, uint64_t applied, struct err *err)
{
	(void)self;
	(void)db;
	(void)applied;
	(void)err;
	return ERR_OK;
}

static enum err_code apply(void *self, struct db *db, const struct cluster_entry *entry, struct arena *arena, struct err *err)
{
	struct bench *b = self;
	(void)arena;
	b->applied++;
	sqlite3_stmt *stmt = db_stmt(db, CLUSTER_LOG_SQL);
	db_bind_i64(stmt, 1, (int64_t)entry->index);
	db_bind_blob(stmt, 2, entry->body);
	return db_run(db, stmt, err);
}

static enum err_code flush(void *self, struct db *db, uint64_t applied, struct err *err)
{
	(void)self;
	(void)db;
	(void)applied;
	(void)err;
	return ERR_OK;
}

static void committed(void *self)
{
	((struct bench *)self)->committed++;
}

static void undone(void *self)
{
	((struct bench *)self)->undone++;
}

static void died(const struct err *err)
{
	fprintf(stderr, "%s\n", err->text);
	_exit(74);
}

static const char *const sql[] = {"INSERT INTO body(id, data) VALUES(?1, ?2)", "SELECT count(*), min(idx), max(idx) FROM log"};

static void reopen(struct bench *b)
{
	struct err err;
	b->config.dir = b->dir;
	b->config.died = died;
	b->config.fold = (struct cluster_log_fold){.schema = &ddl_queue, .sql = sql, .n_sql = 2, .self = b, .opened = opened, .apply = apply,
		.flush = flush, .committed = committed, .undone = undone};
	if (cluster_log_open(&b->config, &b->log, &err))
		fail_msg("%s", err.text);
}

static void begin(struct bench *b)
{
	memset(b, 0, sizeof *b);
	snprintf(b->dir, sizeof b->dir, "/tmp/posthouse-log-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	reopen(b);
}

static void run(const char *format, const char *a, const char *b)
{
	char command[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(command, sizeof command, format, a, b);
#pragma GCC diagnostic pop
	assert_int_equal(system(command), 0);
}

static void end(struct bench *b)
{
	cluster_log_close(&b->log);
	run("rm -rf %s%s", b->dir, "");
}

// Proposes and waits; the call is the caller's to read and drop.
static struct call *say(struct bench *b, enum cluster_class class)
{
	struct call *call = call_new(sizeof(struct cluster_proposal), NULL);
	struct cluster_proposal *p = call_payload(call);
	p->record = STR("record");
	p->body = b->body.n ? b->body : STR("body");
	p->class = class;
	cluster_log_propose(b->log, call);
	return call;
}

static enum cluster_verdict verdict_of(struct call *call, enum err_code *code_out)
{
	assert_int_equal(call_wait(call, CLOCK_NEVER), ERR_OK);
	struct cluster_proposal *p = call_payload(call);
	enum cluster_verdict verdict = p->verdict;
	*code_out = verdict == CLUSTER_REFUSED ? p->err.code : ERR_OK;
	call_drop(&call);
	return verdict;
}

static void assert_said(struct bench *b, enum cluster_class class, enum cluster_verdict want, enum err_code want_code)
{
	enum err_code code;
	assert_int_equal(verdict_of(say(b, class), &code), want);
	assert_int_equal(code, want_code);
}

static struct cluster_log_stats stats_of(struct bench *b)
{
	struct cluster_log_stats stats;
	cluster_log_stats(b->log, &stats);
	return stats;
}

// The writer holds what it cannot write, and says so a little after it has refused new mail.
static void await_stuck(struct bench *b)
{
	while (!stats_of(b).stuck)
		usleep(1000);
}

struct counts {
	int64_t n, first, last;
};

static void read_counts(struct db *db, void *arg)
{
	struct counts *c = arg;
	sqlite3_stmt *stmt = db_stmt(db, CLUSTER_LOG_SQL + 1);
	assert_int_equal(db_step(db, stmt, NULL), DB_ROW);
	*c = (struct counts){db_col_i64(stmt, 0), db_col_i64(stmt, 1), db_col_i64(stmt, 2)};
	db_reset(stmt);
}

// A reading holds the writer: what is proposed meanwhile waits in line.
struct holder {
	struct cluster_log *log;
	pthread_t thread;
	sem_t held, release;
};

static void hold_writer(struct db *db, void *arg)
{
	struct holder *h = arg;
	(void)db;
	sem_post(&h->held);
	sem_wait(&h->release);
}

static void *hold_thread(void *arg)
{
	struct holder *h = arg;
	return (void *)(uintptr_t)cluster_log_read(h->log, hold_writer, h, NULL);
}

static void hold_begin(struct holder *h, struct bench *b)
{
	h->log = b->log;
	assert_int_equal(sem_init(&h->held, 0, 0) | sem_init(&h->release, 0, 0), 0);
	assert_int_equal(pthread_create(&h->thread, NULL, hold_thread, h), 0);
	sem_wait(&h->held);
}

static void hold_end(struct holder *h)
{
	sem_post(&h->release);
	assert_int_equal(pthread_join(h->thread, NULL), 0);
}

static void what_is_committed_is_there_after_a_restart(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	for (int i = 0; i < 10; i++)
		assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	struct guid disk_id = cluster_log_disk_id(b.log), group_id = cluster_log_group_id(b.log);
	cluster_log_close(&b.log);
	reopen(&b);
	struct guid disk_again = cluster_log_disk_id(b.log), group_again = cluster_log_group_id(b.log);
	assert_true(guid_eq(&disk_id, &disk_again) && guid_eq(&group_id, &group_again));
	struct call *call = say(&b, CLUSTER_CLASS_ENTER);
	assert_int_equal(call_wait(call, CLOCK_NEVER), ERR_OK);
	assert_int_equal(((struct cluster_proposal *)call_payload(call))->index, 11); // no gap
	call_drop(&call);
	end(&b);
}

struct silent {
	struct cluster_proposal p;
	_Atomic int *left;
};

static void silent_done(struct cluster_proposal *p)
{
	assert_int_equal(p->verdict, CLUSTER_COMMITTED);
	(*((struct silent *)p)->left)--;
	free(p);
}

static void the_trail_is_bounded(void **state)
{
	(void)state;
	struct bench b;
	struct counts c;
	struct holder h;
	_Atomic int left = CLUSTER_LOG_TRAIL + 3000;
	begin(&b);
	hold_begin(&h, &b);
	for (int i = 0; i < CLUSTER_LOG_TRAIL + 3000; i++) {
		struct silent *s = calloc(1, sizeof *s);
		s->left = &left;
		s->p = (struct cluster_proposal){.record = STR("r"), .body = STR("b"), .class = CLUSTER_CLASS_RESULT, .done = silent_done};
		cluster_log_submit(b.log, &s->p);
	}
	hold_end(&h);
	while (left > 0)
		usleep(1000);
	assert_int_equal(cluster_log_read(b.log, read_counts, &c, NULL), ERR_OK);
	assert_int_equal(c.last, CLUSTER_LOG_TRAIL + 3000);
	assert_in_range(c.n, CLUSTER_LOG_TRAIL, CLUSTER_LOG_TRAIL + 500);
	assert_int_equal(c.last - c.first + 1, c.n);
	struct cluster_log_stats stats = stats_of(&b);
	assert_int_equal(stats.first, c.first);
	assert_true(stats.batches < stats.records / 2);
	end(&b);
}

static void a_full_disk_refuses_mail_and_keeps_results(void **state)
{
	(void)state;
	struct bench b;
	struct buf logged;
	buf_init(&logged, 1 << 16);
	begin(&b);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	log_capture_begin(&logged);
	disk_is_full(true);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_REFUSED, ERR_NOSPACE);
	struct call *result = say(&b, CLUSTER_CLASS_RESULT);
	await_stuck(&b); // short_of_space may be over again: the real disk beneath has room
	assert_int_equal(call_wait(result, clock_after_ms(300)), ERR_TIMEOUT); // it waits
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_REFUSED, ERR_NOSPACE);
	assert_true(stats_of(&b).stuck);
	disk_is_full(false);
	enum err_code code;
	assert_int_equal(verdict_of(result, &code), CLUSTER_COMMITTED);
	log_capture_end();
	assert_true(str_find(buf_str(&logged), STR("results cannot be written")) >= 0);
	buf_fini(&logged);
	while (stats_of(&b).short_of_space) { // until the next look at the free space
		usleep(10000);
		assert_said(&b, CLUSTER_CLASS_RESULT, CLUSTER_COMMITTED, ERR_OK);
	}
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	end(&b);
}

static void below_the_reserve_only_results_are_taken(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	cluster_log_close(&b.log);
	b.config.reserve_bytes = UINT64_MAX;
	reopen(&b);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_REFUSED, ERR_NOSPACE);
	assert_said(&b, CLUSTER_CLASS_RESULT, CLUSTER_COMMITTED, ERR_OK);
	cluster_log_set_reserve(b.log, 0);
	do { // seen when it looks at the space next, which it does between batches
		assert_said(&b, CLUSTER_CLASS_RESULT, CLUSTER_COMMITTED, ERR_OK);
		usleep(1000);
	} while (stats_of(&b).short_of_space);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	end(&b);
}

static void a_broken_disk_ends_the_process(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	cluster_log_close(&b.log);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		reopen(&b);
		test_disk_fail_sort(TEST_DISK_SYNCS);
		test_disk_fail(1, LONG_MAX / 2, EIO);
		struct call *call = say(&b, CLUSTER_CLASS_ENTER);
		_exit(call_wait(call, CLOCK_NEVER)); // no verdict may come
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 74);
	reopen(&b); // what was committed before is there, whatever became of the last one
	struct counts c;
	assert_int_equal(cluster_log_read(b.log, read_counts, &c, NULL), ERR_OK);
	assert_true(c.n >= 1);
	end(&b);
}

// Threat wiped-disk: a copy of the files is not the disk.
static void a_copied_disk_gets_a_name_of_its_own(void **state)
{
	(void)state;
	struct bench b, copy = {.dir = "/tmp/posthouse-copy-XXXXXX"};
	struct buf logged;
	begin(&b);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	struct guid disk_id = cluster_log_disk_id(b.log), group_id = cluster_log_group_id(b.log);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	cluster_log_close(&b.log);
	assert_non_null(mkdtemp(copy.dir));
	run("cp -a %s/. %s", b.dir, copy.dir);
	buf_init(&logged, 1 << 12);
	log_capture_begin(&logged);
	reopen(&copy);
	log_capture_end();
	struct guid disk_copy = cluster_log_disk_id(copy.log), group_copy = cluster_log_group_id(copy.log);
	assert_false(guid_eq(&disk_id, &disk_copy));
	assert_false(guid_eq(&group_id, &group_copy));
	assert_true(str_find(buf_str(&logged), STR("this disk is a copy")) >= 0);
	buf_fini(&logged);
	assert_said(&copy, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	end(&copy);
	reopen(&b);
	struct guid disk_again = cluster_log_disk_id(b.log);
	assert_true(guid_eq(&disk_id, &disk_again));
	end(&b);
}

static void a_first_start_that_was_cut_off_alarms_nobody(void **state)
{
	(void)state;
	struct bench b;
	struct buf logged;
	begin(&b);
	cluster_log_close(&b.log);
	run("rm %s/disk%s", b.dir, "");
	buf_init(&logged, 1 << 12);
	log_capture_begin(&logged);
	reopen(&b);
	log_capture_end();
	assert_true(str_find(buf_str(&logged), STR("level=error")) < 0);
	buf_fini(&logged);
	assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	end(&b);
}

static void who_has_gone_is_not_entered(void **state)
{
	(void)state;
	struct bench b;
	struct counts c;
	struct holder h;
	begin(&b);
	hold_begin(&h, &b);
	struct call *mail = say(&b, CLUSTER_CLASS_ENTER), *result = say(&b, CLUSTER_CLASS_RESULT);
	call_drop(&mail);
	hold_end(&h);
	enum err_code code;
	assert_int_equal(verdict_of(result, &code), CLUSTER_COMMITTED);
	assert_int_equal(cluster_log_read(b.log, read_counts, &c, NULL), ERR_OK);
	assert_int_equal(c.n, 1);
	end(&b);
}

// --- Snapshots ---

enum { COMMITS = 300 };

struct snapshot {
	struct bench *bench;
	int64_t before, after; // bodies, as it shows them
	bool ends, failed;
	enum err_code second;
};

static int64_t bodies_in(struct db *db, bool *failed_out)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db_handle(db), "SELECT count(*) FROM body", -1, &stmt, NULL), SQLITE_OK);
	*failed_out = sqlite3_step(stmt) != SQLITE_ROW;
	int64_t n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

static void look_again(struct db *db, void *arg)
{
	(void)db;
	(void)arg;
	fail_msg("two snapshots at a time");
}

static off_t file_bytes(const struct bench *b)
{
	char path[128];
	struct stat st;
	snprintf(path, sizeof path, "%s/queue.db", b->dir);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void commit_while_looking(struct db *db, void *arg)
{
	struct snapshot *s = arg;
	static const char large[64 << 10];
	off_t bytes = file_bytes(s->bench);
	s->before = bodies_in(db, &s->failed);
	s->bench->body = str_of(large, sizeof large); // together more than the WAL is else written back at
	for (int i = 0; i < COMMITS; i++)
		assert_said(s->bench, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	assert_int_equal(file_bytes(s->bench), bytes);
	s->second = cluster_log_snapshot(s->bench->log, look_again, NULL, NULL);
	if (s->ends) {
		cluster_log_set_reserve(s->bench->log, UINT64_MAX);
		usleep(200000); // the writer asks for the space ten times a second at most
		assert_said(s->bench, CLUSTER_CLASS_RESULT, CLUSTER_COMMITTED, ERR_OK);
		assert_int_equal(cluster_log_read(s->bench->log, read_counts, &(struct counts){0}, NULL), ERR_OK);
		sqlite3_db_release_memory(db_handle(db));
	}
	s->after = bodies_in(db, &s->failed);
}

// What is committed meanwhile is not in it, is not held up by it, and is there afterwards.
static void a_snapshot_holds_up_nobody(void **state)
{
	(void)state;
	struct bench b;
	begin(&b);
	for (int i = 0; i < 10; i++)
		assert_said(&b, CLUSTER_CLASS_ENTER, CLUSTER_COMMITTED, ERR_OK);
	struct snapshot s = {.bench = &b};
	assert_int_equal(cluster_log_snapshot(b.log, commit_while_looking, &s, NULL), ERR_OK);
	assert_int_equal(s.before, 10);
	assert_int_equal(s.after, 10);
	assert_int_equal(s.second, ERR_BUSY);
	assert_int_equal(cluster_log_snapshot(b.log, commit_while_looking, &s, NULL), ERR_OK);
	assert_int_equal(s.before, 10 + COMMITS);
	cluster_log_close(&b.log);
	reopen(&b);
	assert_int_equal(cluster_log_snapshot(b.log, commit_while_looking, &s, NULL), ERR_OK);
	assert_int_equal(s.before, 10 + 2 * COMMITS);
	end(&b);
}

// Mail is more: a WAL that grows gets its space back.
static void a_snapshot_ends_when_space_is_short(void **state)
{
	(void)state;
	struct bench b;
	struct err err;
	begin(&b);
	struct snapshot s = {.bench = &b, .ends = true};
	assert_int_equal(cluster_log_snapshot(b.log, commit_while_looking, &s, &err), ERR_BUSY);
	assert_true(s.failed);
	cluster_log_set_reserve(b.log, 0);
	cluster_log_end_snapshots(b.log);
	assert_int_equal(cluster_log_snapshot(b.log, commit_while_looking, &s, &err), ERR_CANCELLED);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broken_disk_ends_the_process),
		cmocka_unit_test(what_is_committed_is_there_after_a_restart),
		cmocka_unit_test(the_trail_is_bounded),
		cmocka_unit_test(a_full_disk_refuses_mail_and_keeps_results),
		cmocka_unit_test(below_the_reserve_only_results_are_taken),
		cmocka_unit_test(a_copied_disk_gets_a_name_of_its_own),
		cmocka_unit_test(a_first_start_that_was_cut_off_alarms_nobody),
		cmocka_unit_test(who_has_gone_is_not_entered),
		cmocka_unit_test(a_snapshot_holds_up_nobody),
		cmocka_unit_test(a_snapshot_ends_when_space_is_short),
	};
	return cmocka_run_group_tests(tests, install_disk, NULL);
}
