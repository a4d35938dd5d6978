// SPDX-License-Identifier: Apache-2.0
// The queue as a daemon has it: messages go in at the door from many fibers, LMTP servers on loopback take them or do not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/runtime.h"
#include "mta/queue.h"
#include "queue_core.h"
#include "queue_fold.h"
#include "test_lmtp.h"

struct bench {
	char dir[64], config[96];
	struct settings_snapshot *settings;
	struct runtime *runtime;
	struct queue *queue;
	struct lmtp lmtp;
	_Atomic uint64_t world;
	_Atomic int asked;
	_Atomic enum queue_route_answer answer; // once it is in world 2
};

static struct bench *now; // for callbacks without an argument of ours

static enum err_code find_host(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out, struct err *err)
{
	(void)arg;
	(void)arena;
	if (!str_eq(mail_host, STR("mail1")))
		return err_set(err, ERR_NOTFOUND, "no such host");
	*host_out = (struct queue_host){.host = STR("127.0.0.1"), .port = now->lmtp.port};
	return ERR_OK;
}

// Senders at uni.example have mailboxes here; nobody else is anybody.
static bool resolve(void *arg, struct arena *arena, struct str address, struct record_recipients *out, bool *temporary)
{
	(void)arg;
	*temporary = str_starts(address, STR("unsure@"));
	if (!str_ends(address, STR("@uni.example")) || *temporary)
		return false;
	out->v = arena_must(arena, sizeof *out->v);
	out->v[0] = to_mailbox(arena_dup(arena, address));
	out->n = 1;
	return true;
}

// mail0 was the home of all in the first world; in the second they are at mail1, or answer says.
static enum queue_route_answer route(void *arg, struct arena *arena, const struct queue_route_query *query, struct queue_route *route_out)
{
	(void)arg;
	(void)arena;
	*route_out = (struct queue_route){.to = *query->recipient, .reply = STR("550 5.1.1 nobody")};
	atomic_fetch_add(&now->asked, 1);
	if (now->world < 2 || !str_eq(query->recipient->destination, STR("mail0")))
		return QUEUE_ROUTE_SAME;
	route_out->to.destination = STR("mail1");
	route_out->to.original = STR_NONE;
	return now->answer;
}

static uint64_t world(void *arg)
{
	(void)arg;
	return now->world;
}

static void died(const struct err *err)
{
	fprintf(stderr, "died: %s\n", err->text);
	abort();
}

static void write_config(struct bench *b, const char *more)
{
	snprintf(b->config, sizeof b->config, "%s.conf", b->dir);
	FILE *f = fopen(b->config, "w");
	assert_non_null(f);
	fprintf(f, "hostname = \"mx.uni.example\"\nretry { min_s = 1 max_s = 2 }\nqueue { reserve_bytes = 0 }\nlisten { submissions = {} imaps = {} pop3s = {} }\n%s", more);
	fclose(f);
	struct settings_report report;
	settings_report_init(&report);
	if (settings_load(&settings_table, b->config, &report, &b->settings))
		fail_msg("%s", buf_c(&report.lines));
	settings_report_fini(&report);
}

static void start(struct bench *b)
{
	struct err err;
	now = b;
	struct queue_config config = {.dir = b->dir, .settings = b->settings, .resolve = resolve, .host = find_host,
		.route = route, .world = world, .died = died};
	if (runtime_new(&(struct runtime_config){.name = "test", .schedulers = 2, .workers = 2}, &b->runtime, &err))
		fail_msg("%s", err.text);
	config.runtime = b->runtime;
	if (queue_open(&config, &b->queue, &err))
		fail_msg("%s", err.text);
}

static void serve(struct bench *b)
{
	lmtp_serve(&b->lmtp, b->runtime);
}

static void stop(struct bench *b)
{
	queue_stop(b->queue);
	runtime_stop(b->runtime, 2000);
	queue_close(&b->queue);
	runtime_free(&b->runtime);
}

static void begin_with(struct bench *b, const char *settings)
{
	memset(b, 0, sizeof *b);
	snprintf(b->dir, sizeof b->dir, "/tmp/posthouse-queue-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	lmtp_init(&b->lmtp);
	write_config(b, settings);
}

static void begin(struct bench *b)
{
	begin_with(b, "");
	start(b);
}

static void end(struct bench *b)
{
	char command[128];
	settings_unref(&b->settings);
	lmtp_fini(&b->lmtp);
	unlink(b->config);
	snprintf(command, sizeof command, "rm -rf %s", b->dir);
	assert_int_equal(system(command), 0);
}

// --- Going in ---

static enum queue_verdict enter_bytes(struct queue *queue, struct str sender, const struct record_recipient *to, size_t n, size_t bytes,
	struct guid *guid_out)
{
	struct spool *spool;
	struct err err;
	if (spool_open(queue, &spool, &err))
		return QUEUE_REFUSED;
	static const char line[] = "0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
	bool ok = spool_append(spool, STR("Subject: test\r\n\r\n"), &err) == ERR_OK;
	while (ok && spool_bytes(spool) < bytes)
		ok = spool_append(spool, str_of(line, sizeof line - 1), &err) == ERR_OK;
	if (!ok) {
		spool_drop(&spool);
		return QUEUE_REFUSED;
	}
	if (guid_out)
		*guid_out = spool_guid(spool);
	struct queue_message message = {.sender = sender, .source = STR("test"), .recipients = to, .n = n};
	return queue_enter(queue, &message, &spool, &err);
}

static enum queue_verdict enter_one(struct queue *queue, const char *address)
{
	struct record_recipient to = to_mailbox(str_of_c(address));
	return enter_bytes(queue, STR("s@uni.example"), &to, 1, 500, NULL);
}

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

static int64_t ledger_of(struct queue *queue, enum queue_ledger counter)
{
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	queue_fold_ledger(queue->fold, counters, &balanced);
	assert_true(balanced);
	return counters[counter];
}

// Waits for a state that the code reaches by itself; the limit is for a hung test only.
static void await(struct bench *b, enum queue_ledger counter, int64_t value)
{
	for (int i = 0; i < 6000 && ledger_of(b->queue, counter) != value; i++)
		usleep(10000);
	assert_int_equal(ledger_of(b->queue, counter), value);
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

// --- The world ---

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

// --- Reports ---

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

// --- Deaths ---

// The child enters messages and says each that is committed; it is killed in the middle.
static size_t enter_until_killed(struct bench *b, size_t bytes, struct guid *said, size_t max)
{
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct record_recipient to = to_mailbox(STR("a@uni.example"));
		struct guid guid;
		struct err err;
		struct queue_config config = {.dir = b->dir, .settings = b->settings, .died = died};
		if (queue_open(&config, &b->queue, &err))
			_exit(1);
		for (;;) {
			if (enter_bytes(b->queue, STR("s@uni.example"), &to, 1, bytes, &guid) != QUEUE_COMMITTED)
				_exit(2);
			if (write(pipe_fds[1], &guid, sizeof guid) != sizeof guid)
				_exit(3);
		}
	}
	close(pipe_fds[1]);
	size_t n = 0;
	while (n < max / 2 && read(pipe_fds[0], &said[n], sizeof *said) == sizeof *said)
		n++;
	kill(child, SIGKILL);
	while (n < max && read(pipe_fds[0], &said[n], sizeof *said) == sizeof *said)
		n++;
	close(pipe_fds[0]);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	return n;
}

struct lookup {
	const struct guid *guid;
	bool there;
};

static void look_up(struct db *db, void *arg)
{
	struct lookup *l = arg;
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db_handle(db), "SELECT 1 FROM message WHERE guid = ?1", -1, &stmt, NULL), SQLITE_OK);
	sqlite3_bind_blob(stmt, 1, l->guid->b, sizeof l->guid->b, SQLITE_STATIC);
	l->there = sqlite3_step(stmt) == SQLITE_ROW;
	sqlite3_finalize(stmt);
}

static size_t files_in_spool(struct bench *b)
{
	char command[160];
	size_t n = 0;
	snprintf(command, sizeof command, "ls %s/spool | wc -l", b->dir);
	FILE *f = popen(command, "r");
	assert_int_equal(fscanf(f, "%zu", &n), 1);
	pclose(f);
	return n;
}

static void killed_while_entering(size_t bytes, bool files)
{
	enum { SAID_MAX = 60 };
	struct guid said[SAID_MAX];
	struct bench b;
	begin_with(&b, "");
	for (int round = 0; round < 3; round++) {
		size_t n = enter_until_killed(&b, bytes, said, SAID_MAX);
		start(&b);
		for (size_t i = 0; i < n; i++) {
			struct lookup l = {.guid = &said[i]};
			assert_int_equal(cluster_log_read(b.queue->log, look_up, &l, NULL), ERR_OK);
			assert_true(l.there); // its 250 was said
		}
		if (files)
			assert_int_equal(files_in_spool(&b), ledger_of(b.queue, LEDGER_QUEUED)); // no more, no less
		stop(&b);
	}
	end(&b);
}

static void committed_messages_survive_kill(void **state)
{
	(void)state;
	killed_while_entering(500, false);
}

static void committed_files_survive_kill(void **state)
{
	(void)state;
	killed_while_entering(100000, true);
}

// --- Deaths under load: what was promised arrives, however often the front-end dies ---

struct said {
	int fd;
	struct queue *queue;
};

static void enter_and_say(void *arg)
{
	struct said *said = arg;
	struct record_recipient to = to_mailbox(STR("a@uni.example"));
	struct guid guid;
	for (;;)
		if (enter_bytes(said->queue, STR("s@uni.example"), &to, 1, 500, &guid) == QUEUE_COMMITTED &&
			write(said->fd, &guid, sizeof guid) != sizeof guid)
			return;
}

static void run_front_end(struct bench *b, int go_fd, int said_fd)
{
	char byte;
	struct said said = {.fd = said_fd};
	if (read(go_fd, &byte, 1) != 1)
		_exit(1);
	start(b);
	said.queue = b->queue;
	queue_start(b->queue);
	for (int i = 0; i < 8; i++)
		runtime_spawn(b->runtime, enter_and_say, &said, "said");
	for (;;)
		pause();
}

static bool was_delivered(const struct bench *b, const struct guid *guid)
{
	char text[GUID_TEXT_BYTES];
	guid_text(guid, text);
	for (size_t i = 0; i < b->lmtp.delivered && i < PEER_MESSAGES_MAX; i++)
		if (strncmp(b->lmtp.key[i], text, GUID_TEXT_BYTES - 1) == 0)
			return true;
	return false;
}

static void what_was_promised_arrives_although_we_die(void **state)
{
	(void)state;
	enum { ROUNDS = KEEPER_DEATHS_MAX - 1, EACH = 100, SAID_MAX = 1000 }; // one more death may rightly hold a message
	struct bench b;
	struct guid *said = calloc(SAID_MAX, sizeof *said);
	size_t n = 0;
	begin_with(&b, "");
	lmtp_open(&b.lmtp);
	for (int round = 0; round < ROUNDS; round++) {
		int go[2], out[2];
		assert_int_equal(pipe(go) | pipe(out), 0);
		pid_t child = fork(); // before this process has threads
		assert_true(child >= 0);
		if (child == 0)
			run_front_end(&b, go[0], out[1]);
		close(out[1]);
		close(go[0]);
		struct err err;
		assert_int_equal(runtime_new(&(struct runtime_config){.name = "peer", .schedulers = 1, .workers = 1}, &b.runtime, &err), ERR_OK);
		serve(&b);
		assert_int_equal(write(go[1], "g", 1), 1);
		for (size_t until = n + EACH; n < until && read(out[0], &said[n], sizeof *said) == sizeof *said;)
			n++;
		kill(child, SIGKILL);
		while (n < SAID_MAX && read(out[0], &said[n], sizeof *said) == sizeof *said)
			n++;
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		close(go[1]);
		close(out[0]);
		runtime_stop(b.runtime, 1000);
		runtime_free(&b.runtime);
	}
	start(&b);
	serve(&b);
	queue_start(b.queue);
	await(&b, LEDGER_QUEUED, 0);
	stop(&b);
	assert_true(n >= ROUNDS * EACH);
	for (size_t i = 0; i < n; i++)
		assert_true(was_delivered(&b, &said[i]));
	free(said);
	end(&b);
}

// A child that dies while it "tries": the START is on disk, the end is not.
static void die_trying(struct bench *b, const struct guid *guid, bool in_company)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct queue_config config = {.dir = b->dir, .settings = b->settings, .died = died};
		struct err err;
		if (queue_open(&config, &b->queue, &err))
			_exit(1);
		enum err_code code = keeper_is_suspect(b->queue->keeper, guid) && !in_company
					     ? keeper_start_alone(b->queue->keeper, guid, &err)
					     : keeper_start(b->queue->keeper, guid, 1, &err);
		if (code == ERR_OK)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

static void a_message_that_kills_alone_is_held(void **state)
{
	(void)state;
	struct bench b;
	struct guid poison;
	begin(&b);
	serve(&b);
	struct record_recipient to = to_mailbox(STR("a@uni.example"));
	assert_int_equal(enter_bytes(b.queue, STR("s@uni.example"), &to, 1, 500, &poison), QUEUE_COMMITTED);
	assert_int_equal(enter_one(b.queue, "b@uni.example"), QUEUE_COMMITTED);
	stop(&b);
	for (int i = 0; i < 5; i++)
		die_trying(&b, &poison, true); // among others: no proof
	die_trying(&b, &poison, false);
	struct buf log;
	buf_init(&log, 1 << 16);
	log_capture_begin(&log);
	start(&b);
	log_capture_end();
	assert_true(str_find(buf_str(&log), STR("died repeatedly")) >= 0);
	buf_fini(&log);
	serve(&b);
	queue_start(b.queue);
	await(&b, LEDGER_DELIVERED, 1);
	assert_int_equal(ledger_of(b.queue, LEDGER_QUEUED), 1);
	struct record release = {.type = RECORD_RELEASE, .release = {.guid = poison, .at_ms = 1}};
	struct queue_fold_answer answer;
	assert_int_equal(queue_say(b.queue, &release, &answer, NULL), ERR_OK);
	assert_int_equal(answer.counted, 1);
	await(&b, LEDGER_DELIVERED, 2);
	stop(&b);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(committed_messages_survive_kill),
		cmocka_unit_test(committed_files_survive_kill),
		cmocka_unit_test(what_was_promised_arrives_although_we_die),
		cmocka_unit_test(a_message_that_kills_alone_is_held),
		cmocka_unit_test(a_verdict_too_late_cancels),
		cmocka_unit_test(a_crowd_is_delivered_once_each),
		cmocka_unit_test(outcomes_are_by_recipient),
		cmocka_unit_test(large_bodies_travel_by_file),
		cmocka_unit_test(a_lost_reply_is_asked_for_again_under_the_same_key),
		cmocka_unit_test(a_dead_host_is_waited_for),
		cmocka_unit_test(mail_follows_a_mailbox_that_moves),
		cmocka_unit_test(who_is_gone_meanwhile_bounces),
		cmocka_unit_test(a_doubt_about_the_way_waits),
		cmocka_unit_test(what_waits_survives_a_restart),
		cmocka_unit_test(the_relayhost_takes_what_is_for_the_world),
		cmocka_unit_test(an_attempt_that_died_is_made_again),
		cmocka_unit_test(reports_that_fail_stop_at_postmaster),
		cmocka_unit_test(notify_never_is_obeyed),
		cmocka_unit_test(a_sender_in_doubt_puts_the_bounce_off),
		cmocka_unit_test(what_is_late_is_told_and_what_is_old_expires),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
