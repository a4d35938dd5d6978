// SPDX-License-Identifier: Apache-2.0
// What is kept for replay: written, read again, torn, purged, and what a killed process leaves.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/must.h"
#include "replay.h"
#include "test_disk.h"

static const struct replay_limits roomy = {.hours = 48, .bytes = 64 << 20};

struct bench {
	char path[64];
	int dir;
};

static void begin(struct bench *b)
{
	struct err err;
	snprintf(b->path, sizeof b->path, "/tmp/posthouse-replay-XXXXXX");
	assert_non_null(mkdtemp(b->path));
	assert_int_equal(file_dir_open(str_of_c(b->path), &b->dir, &err), ERR_OK);
}

static void end(struct bench *b)
{
	char command[128];
	file_close(b->dir);
	snprintf(command, sizeof command, "rm -rf %s", b->path);
	assert_int_equal(system(command), 0);
}

static struct replay *open_replay(struct bench *b, const struct replay_limits *limits)
{
	struct replay *r = NULL;
	struct err err;
	if (replay_open(b->dir, limits, &r, &err))
		fail_msg("%s", err.text);
	return r;
}

static struct item_message *message_of(uint8_t number, struct str body, uint8_t flags)
{
	static const char digest[RECORD_DIGEST_BYTES] = "digest";
	struct record_enter e = {.guid = {{number, 2}}, .root = {{number, 1}}, .flags = flags, .sender = STR("a@out.example"), .received_ms = 5,
		.body_bytes = body.n, .digest = str_of(digest, sizeof digest)};
	return item_message_new(&e, 0, body);
}

static const struct record_recipient bob = {.target = RECORD_TO_MAILBOX, .address = STR("bob+x@uni.example"), .key = STR("bob@uni.example"),
	.destination = STR("mb1"), .mailbox_id = STR("00112233445566778899aabbccddeeff"), .detail = STR("x")};

static void add(struct replay *r, uint8_t number, struct str body)
{
	struct item_message *m = message_of(number, body, 0);
	struct replay_entry *e = replay_entry_new(m, &bob, 1, m->body, -1);
	assert_non_null(e);
	item_message_drop(&m);
	replay_add(r, &e);
}

// Numbers of the messages that a reader finds; -1 ends them.
static size_t read_all(struct replay *r, int *numbers, size_t max, struct str body)
{
	struct arena *arena = arena_new(1 << 20);
	struct replay_cursor *c = replay_cursor_new(r, 0);
	struct replay_found found;
	struct buf out;
	struct err err;
	size_t n = 0;
	buf_init(&out, 1 << 20);
	while (n < max && replay_cursor_next(c, arena, &found, &err) == ERR_OK) {
		const struct record_enter *e = &found.envelope;
		numbers[n++] = e->guid.b[0];
		assert_int_equal(e->root.b[1], 1);
		assert_int_equal(e->recipients.n, 1);
		assert_true(str_eq(e->recipients.v[0].address, bob.address));
		assert_true(str_eq(e->recipients.v[0].detail, bob.detail));
		assert_true(str_eq(e->sender, STR("a@out.example")));
		if (body.n == 0)
			continue;
		buf_clear(&out);
		assert_int_equal(replay_cursor_body(c, &found, 0, (size_t)e->body_bytes, &out, &err), ERR_OK);
		assert_true(str_eq(buf_str(&out), body));
	}
	buf_fini(&out);
	replay_cursor_free(&c);
	arena_free(&arena);
	return n;
}

static struct str text_of(char *p, size_t n)
{
	memset(p, 'x', n);
	return str_of(p, n);
}

// The path of the first, or last, segment.
static void segment_path(struct bench *b, bool last, char *out, size_t size)
{
	char dir[100];
	struct dirent **names;
	snprintf(dir, sizeof dir, "%s/replay", b->path);
	int n = scandir(dir, &names, NULL, alphasort); // "." and ".." come first
	assert_true(n > 2);
	snprintf(out, size, "%s/%s", dir, names[last ? n - 1 : 2]->d_name);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static void what_is_kept_is_read_again(void **state)
{
	(void)state;
	struct bench b;
	static char text[5000];
	int found[10];
	begin(&b);
	struct replay *r = open_replay(&b, &roomy);
	struct str body = text_of(text, sizeof text);
	for (uint8_t i = 0; i < 3; i++)
		add(r, i, body);
	replay_close(&r);
	r = open_replay(&b, &roomy);
	assert_int_equal(read_all(r, found, 10, body), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(found[i], i);
	struct replay_stats stats;
	replay_stats(r, &stats);
	assert_true(stats.bytes > 3 * sizeof text && stats.oldest_s > 0);
	struct item_message *again = message_of(1, body, RECORD_FLAG_REPLAY), *fresh = message_of(1, body, 0);
	assert_false(replay_wants(r, again));
	assert_true(replay_wants(r, fresh));
	item_message_drop(&again);
	item_message_drop(&fresh);
	replay_close(&r);
	end(&b);
}

static void a_body_in_a_file_is_kept(void **state)
{
	(void)state;
	struct bench b;
	struct err err;
	int fd, found[10];
	off_t bytes;
	enum { BYTES = 3 << 20 };
	char *text = malloc(BYTES);
	assert_non_null(text);
	begin(&b);
	struct str body = text_of(text, BYTES);
	assert_int_equal(file_write_new(b.dir, STR("spooled"), &body, 1, &err), ERR_OK);
	assert_int_equal(file_open(b.dir, STR("spooled"), &fd, &bytes, &err), ERR_OK);
	assert_int_equal(file_remove(b.dir, STR("spooled"), &err), ERR_OK); // as the queue does, before we come to it
	struct replay *r = open_replay(&b, &roomy);
	struct item_message *m = message_of(7, body, RECORD_FLAG_SPOOL);
	struct replay_entry *e = replay_entry_new(m, &bob, 1, STR_NONE, fd);
	replay_add(r, &e);
	add(r, 8, STR("small"));
	replay_close(&r);
	r = open_replay(&b, &roomy);
	assert_int_equal(read_all(r, found, 10, STR_NONE), 2);
	assert_int_equal(found[0], 7);
	assert_int_equal(found[1], 8);
	replay_close(&r);
	item_message_drop(&m);
	free(text);
	end(&b);
}

static void a_body_that_is_not_whole_is_not_kept(void **state)
{
	(void)state;
	struct item_message *m = message_of(1, STR("whole"), 0);
	assert_null(replay_entry_new(m, &bob, 1, STR("who"), -1));
	item_message_drop(&m);
}

static void a_torn_tail_hides_only_itself(void **state)
{
	(void)state;
	struct bench b;
	static char text[1000];
	char path[600];
	int found[10];
	struct stat st;
	begin(&b);
	struct str body = text_of(text, sizeof text);
	struct replay *r = open_replay(&b, &roomy);
	for (uint8_t i = 0; i < 3; i++)
		add(r, i, body);
	replay_close(&r);
	segment_path(&b, true, path, sizeof path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 1), 0);
	r = open_replay(&b, &roomy);
	add(r, 9, body); // after it, in a part of its own
	replay_close(&r);
	r = open_replay(&b, &roomy);
	assert_int_equal(read_all(r, found, 10, body), 3);
	assert_int_equal(found[2], 9);
	replay_close(&r);
	// A flipped byte in the first record's envelope: the rest of that segment is not believed.
	segment_path(&b, false, path, sizeof path);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff", 1, 50), 1);
	close(fd);
	r = open_replay(&b, &roomy);
	assert_int_equal(read_all(r, found, 10, body), 1);
	assert_int_equal(found[0], 9);
	replay_close(&r);
	end(&b);
}

static void the_oldest_go_first(void **state)
{
	(void)state;
	struct bench b;
	static char text[4000];
	int found[100];
	struct replay_limits tight = {.hours = 48, .bytes = 40000}, off = {.hours = 0, .bytes = 40000};
	struct replay_stats stats;
	begin(&b);
	struct str body = text_of(text, sizeof text);
	for (uint8_t i = 0; i < 50; i++) {
		struct replay *r = open_replay(&b, &tight);
		add(r, i, body);
		replay_close(&r);
	}
	struct replay *r = open_replay(&b, &tight);
	replay_stats(r, &stats);
	assert_true(stats.bytes <= tight.bytes);
	size_t n = read_all(r, found, 100, body);
	assert_true(n >= 5 && n < 11);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(found[i], 50 - n + i);
	replay_set_limits(r, &off);
	replay_close(&r);
	r = open_replay(&b, &tight);
	assert_int_equal(read_all(r, found, 100, body), 0);
	replay_close(&r);
	end(&b);
}

static void what_is_too_old_goes(void **state)
{
	(void)state;
	struct bench b;
	char path[600], old[600];
	struct replay_stats stats;
	begin(&b);
	struct replay *r = open_replay(&b, &roomy);
	add(r, 1, STR("old"));
	replay_close(&r);
	segment_path(&b, true, path, sizeof path);
	snprintf(old, sizeof old, "%s/replay/0000400000-00000.seg", b.path); // 2015
	assert_int_equal(rename(path, old), 0);
	r = open_replay(&b, &roomy);
	replay_stats(r, &stats);
	assert_int_equal(stats.oldest_s, INT64_C(400000) * 3600);
	add(r, 2, STR("new"));
	replay_close(&r);
	assert_int_equal(access(old, F_OK), -1);
	r = open_replay(&b, &roomy);
	int found[10];
	assert_int_equal(read_all(r, found, 10, STR("new")), 1);
	replay_close(&r);
	end(&b);
}

static void a_killed_process_leaves_a_readable_prefix(void **state)
{
	(void)state;
	struct bench b;
	static char text[3000];
	static int found[100000];
	struct replay_stats stats;
	begin(&b);
	struct str body = text_of(text, sizeof text);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct replay *r = open_replay(&b, &roomy);
		for (unsigned i = 0;; i++)
			add(r, (uint8_t)i, body);
	}
	char path[100];
	snprintf(path, sizeof path, "du -sk %s | awk '{exit $1 < 2000}'", b.path);
	while (system(path) != 0) // until it has written something
		usleep(1000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	struct replay *r = open_replay(&b, &roomy);
	size_t n = read_all(r, found, sizeof found / sizeof *found, body);
	replay_stats(r, &stats);
	assert_true(n > 100 && n < sizeof found / sizeof *found);
	replay_close(&r);
	end(&b);
}

// Synced is at most a second ago; closing syncs too. Segments change on the way.
static void what_was_synced_survives_a_power_cut(void **state)
{
	(void)state;
	enum { MESSAGES = 9 };
	struct bench b;
	static char text[5000];
	int found[MESSAGES + 1];
	struct disk_trace *trace = disk_trace_new();
	const struct replay_limits small_parts = {.hours = 48, .bytes = 120000}; // 15,000 a part
	begin(&b);
	test_disk_install();
	test_disk_record(trace, b.path);
	struct replay *r = open_replay(&b, &small_parts);
	struct str body = text_of(text, sizeof text);
	for (uint8_t i = 0; i < MESSAGES; i++)
		add(r, i, body);
	replay_close(&r);
	test_disk_record(NULL, NULL);
	disk_cut(trace, disk_trace_n(trace), DISK_CUT_POWER, 0, b.path);
	disk_trace_free(&trace);
	file_ops_set(NULL);
	r = open_replay(&b, &roomy);
	assert_int_equal(read_all(r, found, MESSAGES + 1, body), MESSAGES);
	struct replay_stats stats;
	replay_stats(r, &stats);
	assert_true(stats.segments > 2);
	replay_close(&r);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_process_leaves_a_readable_prefix), // first: it forks
		cmocka_unit_test(what_is_kept_is_read_again),
		cmocka_unit_test(what_was_synced_survives_a_power_cut),
		cmocka_unit_test(a_body_in_a_file_is_kept),
		cmocka_unit_test(a_body_that_is_not_whole_is_not_kept),
		cmocka_unit_test(a_torn_tail_hides_only_itself),
		cmocka_unit_test(the_oldest_go_first),
		cmocka_unit_test(what_is_too_old_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
