// SPDX-License-Identifier: Apache-2.0
// The queue of a front-end that is killed: what was promised is there, and a message that kills is held.
#include <signal.h>
#include <sys/wait.h>

#include "base/log.h"
#include "test_queue.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(committed_messages_survive_kill),
		cmocka_unit_test(committed_files_survive_kill),
		cmocka_unit_test(what_was_promised_arrives_although_we_die),
		cmocka_unit_test(a_message_that_kills_alone_is_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
