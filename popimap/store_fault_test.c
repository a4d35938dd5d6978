// SPDX-License-Identifier: Apache-2.0
// Disks that fill up, fail, or lose what was not synced; a process that is killed. Every delivery that was acknowledged is there, once.
#include "test_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "test_disk.h"

enum { LARGE = 100 << 10 };

static const long FOR_EVER = LONG_MAX / 2;

static char large[LARGE]; // filled by main()

static struct str large_text(void)
{
	return str_of(large, sizeof large);
}

static struct delivery deliver_text(unsigned mailbox, unsigned key, struct str text)
{
	struct err err;
	struct incoming *body = incoming_new(test_store, 1 << 20);
	struct delivery d = test_delivery(mailbox, key, body);
	d.code = incoming_add(body, text, &err);
	if (d.code == ERR_OK)
		store_deliver(test_store, &d, 1);
	incoming_free(&body);
	return d;
}

static unsigned count_messages(unsigned mailbox)
{
	struct mailbox *mb = test_mailbox(mailbox);
	struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_ONLY);
	for (size_t i = 0; i < view.uids.n; i++) {
		struct buf out;
		struct err err;
		struct message m = test_fetch(mb, view.info.id, view.uids.p[i], FETCH_CACHE);
		buf_init(&out, 1 << 20);
		for (uint64_t at = 0; at < m.bytes; at += MESSAGE_READ_BYTES_MAX) // all of it can be read
			assert_int_equal(message_read(mb, view.info.id, m.uid, at, MESSAGE_READ_BYTES_MAX, &out, &err), ERR_OK);
		assert_int_equal(out.n, m.bytes);
		buf_fini(&out);
	}
	unsigned n = (unsigned)view.uids.n;
	test_close(&mb);
	return n;
}

// --- The database's disk ---

// From its nth write or sync on, the disk fails; later it works again and the front-end tries once more.
static void fail_at_every_step(int code, enum err_code want)
{
	unsigned failed = 0;
	test_disk_fail_part(TEST_DISK_SQLITE);
	// SQLite does not say why a sync failed: whatever the disk said, that is the end of trust in it.
	test_disk_fail_sort(code == ENOSPC ? TEST_DISK_WRITES : TEST_DISK_ANY);
	for (unsigned n = 1; failed + 3 > n; n++) { // until three deliveries in a row were through before the disk failed
		test_disk_fail(n, FOR_EVER, code);
		struct delivery d = deliver_text(n, 1, str_of_c(test_message));
		if (d.code) {
			failed++;
			assert_int_equal(d.code, want);
		}
		test_disk_fail(0, 0, 0);
		struct delivery again = deliver_text(n, 1, str_of_c(test_message));
		assert_int_equal(again.code, ERR_OK);
		assert_true(d.code != ERR_OK || again.known);
		assert_int_equal(count_messages(n), 1);
	}
	assert_true(failed > 0); // a transaction is one write and one sync (base/db_wal.c)
	test_reopen();
	for (unsigned n = 1; n < failed; n++)
		assert_int_equal(count_messages(n), 1);
}

static void a_full_disk_loses_and_doubles_nothing(void **state)
{
	(void)state;
	fail_at_every_step(ENOSPC, ERR_NOSPACE);
	assert_int_equal(test_eio, 0);
}

static void a_failing_disk_loses_and_doubles_nothing(void **state)
{
	(void)state;
	fail_at_every_step(EIO, ERR_IO);
	assert_true(test_eio > 5); // the daemon would have ended
}

// In a mailbox that is open and has mail, too.
static void a_failed_commit_leaves_the_mailbox_as_it_was(void **state)
{
	(void)state;
	for (unsigned key = 1; key <= 5; key++)
		assert_int_equal(deliver_text(1, key, str_of_c(test_message)).code, ERR_OK);
	struct mailbox *mb = test_mailbox(1);
	static struct folder_view view;
	view = test_select(mb, "INBOX", FOLDER_READ_WRITE);
	struct folder_seen seen = test_seen(&view, true);
	struct watch *watch = watch_new(mb, view.info.id);
	struct err err;
	static struct flag_result result;
	struct flag_request request = {.change = FLAG_ADD, .flags = {.system = FLAG_SEEN}, .unchanged_since = UINT64_MAX};
	test_disk_fail_sort(TEST_DISK_WRITES);
	test_disk_fail(1, FOR_EVER, ENOSPC);
	assert_int_equal(message_flag(mb, view.info.id, view.uids.p, 5, &request, test_arena, &result, &err), ERR_NOSPACE);
	assert_int_equal(deliver_text(1, 6, str_of_c(test_message)).code, ERR_NOSPACE);
	test_disk_fail(0, 0, 0);
	assert_false(watch_changed(watch));
	const struct folder_changes *changes = test_changes(mb, view.info.id, &seen);
	assert_true(changes->changed_n == 0 && changes->arrived_n == 0 && changes->modseq == seen.modseq);
	assert_int_equal(deliver_text(1, 6, str_of_c(test_message)).uid, 6);
	assert_true(watch_changed(watch));
	assert_int_equal(test_status(mb, "INBOX").unseen, 6);
	watch_free(&watch);
	test_close(&mb);
}

// --- The disk of large bodies ---

static void large_bodies_survive_a_full_disk(void **state)
{
	(void)state;
	unsigned failed = 0;
	test_disk_fail_part(TEST_DISK_FILES);
	test_disk_fail_sort(TEST_DISK_ANY);
	for (unsigned n = 1; failed + 3 > n; n++) {
		test_disk_fail(n, FOR_EVER, ENOSPC);
		struct delivery d = deliver_text(n, 1, large_text());
		failed += d.code != ERR_OK;
		test_disk_fail(0, 0, 0);
		assert_true(d.code == ERR_OK || d.code == ERR_NOSPACE);
		assert_true(d.code == ERR_OK || test_count_files(test_path(n, "big")) == 0);
		assert_int_equal(deliver_text(n, 1, large_text()).code, ERR_OK);
		assert_int_equal(count_messages(n), 1);
		assert_int_equal(test_count_files(test_path(n, "big")), 1);
	}
	assert_true(failed > 5);
}

// A commit whose sync failed may be on the disk all the same: its row must not come back without its file, whatever the disk said.
static void large_bodies_survive_a_failed_sync(void **state)
{
	(void)state;
	static const int codes[] = {EIO, ENOSPC};
	unsigned failed = 0;
	test_disk_fail_part(TEST_DISK_SQLITE);
	test_disk_fail_sort(TEST_DISK_SYNCS);
	for (unsigned n = 0; n < 12; n++) {
		assert_int_equal(deliver_text(n, 1, str_of_c(test_message)).code, ERR_OK); // the database is there
		test_disk_fail(1 + n / 2 % 3, 1, codes[n % 2]);
		struct delivery d = deliver_text(n, 2, large_text());
		test_disk_fail(0, 0, 0);
		assert_true(d.code == ERR_OK || d.code == ERR_IO);
		failed += d.code == ERR_IO;
		test_reopen();
		assert_in_range(count_messages(n), 1 + (d.code == ERR_OK), 2);
		assert_int_equal(deliver_text(n, 2, large_text()).code, ERR_OK);
		assert_int_equal(count_messages(n), 2);
	}
	assert_true(failed >= 4);
}

// --- A full disk in a batch that is larger than the cache ---

enum { CROWD = 7, INLINE = 60000 }; // together more than the cache of a mailbox

struct sender {
	unsigned mailbox, key;
	enum err_code code;
};

static void *send_one(void *arg)
{
	struct sender *s = arg;
	s->code = deliver_text(s->mailbox, s->key, str_of(large, INLINE)).code;
	return NULL;
}

// The first stalls in its commit, so that the others share the next one; its nth write finds no space.
static unsigned fail_in_a_batch(unsigned mailbox, long n)
{
	static char text[GUID_TEXT_BYTES];
	struct guid id = test_id(mailbox);
	pthread_t threads[CROWD];
	struct sender senders[CROWD];
	struct store_stats stats;
	unsigned failed = 0;
	guid_text(&id, text);
	assert_int_equal(deliver_text(mailbox, 100, str_of_c(test_message)).code, ERR_OK);
	test_disk_stall(text);
	for (unsigned i = 0; i < CROWD; i++) {
		senders[i] = (struct sender){.mailbox = mailbox, .key = i};
		assert_int_equal(pthread_create(&threads[i], NULL, send_one, &senders[i]), 0);
		test_disk_await_stall();
	}
	do
		store_stats(test_store, &stats);
	while (stats.waiting < CROWD - 1);
	test_disk_fail(n, 1, ENOSPC);
	test_disk_stall(NULL);
	for (unsigned i = 0; i < CROWD; i++) {
		pthread_join(threads[i], NULL);
		assert_true(senders[i].code == ERR_OK || senders[i].code == ERR_NOSPACE);
		failed += senders[i].code != ERR_OK;
	}
	test_disk_fail(0, 0, 0);
	assert_int_equal(count_messages(mailbox), 1 + CROWD - failed);
	return failed;
}

static void a_full_disk_in_a_batch_loses_and_doubles_nothing(void **state)
{
	(void)state;
	unsigned times = 0;
	test_disk_fail_part(TEST_DISK_SQLITE);
	test_disk_fail_sort(TEST_DISK_WRITES);
	for (unsigned n = 1; n <= 12; n++) {
		times += fail_in_a_batch(n, n) > 0;
		test_reopen();
		for (unsigned i = 0; i < CROWD; i++)
			assert_int_equal(deliver_text(n, i, str_of(large, INLINE)).code, ERR_OK);
		assert_int_equal(count_messages(n), 1 + CROWD);
		struct mailbox *mb = test_mailbox(n);
		assert_int_equal(test_status(mb, "INBOX").messages, 1 + CROWD);
		struct mailbox_usage usage;
		struct err err;
		assert_int_equal(mailbox_usage(mb, &usage, &err), ERR_OK);
		assert_int_equal(usage.messages, 1 + CROWD);
		test_close(&mb);
	}
	assert_true(times >= 3);
	assert_int_equal(test_eio, 0);
}

// --- A power cut ---

static void what_was_acknowledged_survives_a_power_cut(void **state)
{
	(void)state;
	enum { MESSAGES = 60, MAILBOXES = 3 };
	struct disk_trace *trace = disk_trace_new();
	test_disk_record(trace, test_dir);
	for (unsigned i = 0; i < MESSAGES; i++)
		assert_int_equal(deliver_text(i % MAILBOXES, i, i % 7 ? str_of_c(test_message) : large_text()).code, ERR_OK);
	struct mailbox *mb = test_mailbox(0);
	test_append(mb, "Sent", large_text(), FLAG_SEEN);
	test_close(&mb);
	// The power goes now: what the running store has not synced is lost.
	size_t now = disk_trace_n(trace);
	store_close(&test_store);
	test_disk_record(NULL, NULL);
	disk_cut(trace, now, DISK_CUT_POWER, 0, test_dir);
	disk_trace_free(&trace);
	test_open(4, 100);
	unsigned messages = 0;
	for (unsigned m = 0; m < MAILBOXES; m++)
		messages += count_messages(m);
	assert_int_equal(messages, MESSAGES);
	for (unsigned i = 0; i < MESSAGES; i++)
		assert_true(deliver_text(i % MAILBOXES, i, str_of_c(test_message)).known);
	mb = test_mailbox(0);
	assert_int_equal(test_status(mb, "Sent").messages, 1);
	test_close(&mb);
}

// --- kill -9 ---

enum { SENDERS = 3, ROUNDS = 6, VICTIMS = 4 };

static int acks[2];

static void *send_for_ever(void *arg)
{
	unsigned first = *(unsigned *)arg;
	for (unsigned key = first;; key += SENDERS) {
		if (deliver_text(key % VICTIMS, key, key % 5 ? str_of_c(test_message) : large_text()).code != ERR_OK)
			_exit(1);
		if (write(acks[1], &key, sizeof key) != sizeof key)
			_exit(1);
	}
}

static void child(unsigned first)
{
	pthread_t threads[SENDERS];
	unsigned firsts[SENDERS];
	test_open(4, 3); // databases come and go meanwhile
	for (unsigned i = 0; i < SENDERS; i++) {
		firsts[i] = first + i;
		if (pthread_create(&threads[i], NULL, send_for_ever, &firsts[i]))
			_exit(1);
	}
	for (;;)
		pause();
}

static void a_killed_process_keeps_its_word(void **state)
{
	(void)state;
	enum { KEYS_MAX = 10000 };
	static unsigned acknowledged[KEYS_MAX];
	size_t n = 0;
	unsigned next = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		store_close(&test_store);
		must(pipe(acks) == 0);
		pid_t pid = fork();
		must(pid >= 0);
		if (pid == 0)
			child(next);
		close(acks[1]);
		for (unsigned i = 0; i < 20 + 13 * round; i++) {
			must(n < KEYS_MAX && read(acks[0], &acknowledged[n], sizeof *acknowledged) == sizeof *acknowledged);
			n++;
		}
		kill(pid, SIGKILL);
		while (n < KEYS_MAX && read(acks[0], &acknowledged[n], sizeof *acknowledged) == sizeof *acknowledged)
			n++; // said before the end
		close(acks[0]);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		next += 100000;
		test_open(4, 100);
	}
	// The front-end sends all of them again, and what it had not heard of: each is there once.
	unsigned stored = 0, unheard = 0;
	for (size_t i = 0; i < n; i++)
		assert_true(deliver_text(acknowledged[i] % VICTIMS, acknowledged[i], str_of_c(test_message)).known);
	for (unsigned m = 0; m < VICTIMS; m++)
		stored += count_messages(m);
	for (unsigned round = 0; round < ROUNDS; round++)
		unheard += SENDERS; // at most one of each sender was stored and not acknowledged
	assert_true(stored >= n && stored <= n + unheard);
	// Files of bodies whose commit never came are swept.
	struct guid cursor = {0};
	struct err err;
	assert_int_equal(store_tidy(test_store, clock_wall_ms() + 2 * 86400000, 100, &cursor, &err), ERR_OK);
	for (unsigned m = 0; m < VICTIMS; m++) {
		struct mailbox *mb = test_mailbox(m);
		struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_ONLY);
		size_t files = 0;
		for (size_t i = 0; i < view.uids.n; i++)
			files += test_fetch(mb, view.info.id, view.uids.p[i], 0).bytes > STORE_INLINE_BYTES_MAX;
		assert_int_equal(test_count_files(test_path(m, "big")), files);
		test_close(&mb);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

int main(void)
{
	static const char header[] = "Subject: large\r\n\r\n";
	memset(large, 'x', sizeof large);
	memcpy(large, header, strlen(header));
	test_disk_install();
	const struct CMUnitTest tests[] = {
		TEST(a_full_disk_loses_and_doubles_nothing),
		TEST(a_failing_disk_loses_and_doubles_nothing),
		TEST(a_failed_commit_leaves_the_mailbox_as_it_was),
		TEST(large_bodies_survive_a_full_disk),
		TEST(large_bodies_survive_a_failed_sync),
		TEST(a_full_disk_in_a_batch_loses_and_doubles_nothing),
		TEST(what_was_acknowledged_survives_a_power_cut),
		TEST(a_killed_process_keeps_its_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
