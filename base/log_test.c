// SPDX-License-Identifier: Apache-2.0
// The log as an operator meets it: lines, escapes, levels, loss that is counted.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

static void a_line_has_message_context_and_fields(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 1 << 16);
	struct log_context session = {.name = "session", .value = STR("7f3a")};
	struct log_context txn = {.parent = &session, .name = "txn", .value = STR("2")};
	struct err err = {ERR_OK, ""};
	(void)err_set(&err, ERR_IO, "write failed");
	log_capture_begin(&b);
	log_info(&txn, "message accepted", log_u64("size_bytes", 4711), log_str("sender", STR("a b@x")), log_bool("tls", true),
		log_i64("delta", -3));
	log_error(NULL, "queue broken", log_err(&err));
	log_debug(NULL, "captured too");
	log_capture_end();
	assert_string_equal(buf_c(&b),
		"level=info msg=\"message accepted\" session=7f3a txn=2 size_bytes=4711 sender=\"a b@x\" tls=true delta=-3\n"
		"level=error msg=\"queue broken\" error=\"write failed\"\n"
		"level=debug msg=\"captured too\"\n");
	buf_fini(&b);
}

static void what_a_peer_sends_cannot_end_a_line_or_forge_a_field(void **state)
{
	(void)state;
	const struct {
		struct str in;
		const char *out;
	} cases[] = {
		{STR("plain@x"), "plain@x"},
		{STR(""), "\"\""},
		{STR("a=b"), "\"a=b\""},
		{STR("x\r\nlevel=error msg=\"forged\""), "\"x\\r\\nlevel=error msg=\\\"forged\\\"\""},
		{STR("\x1b[2J"), "\"\\x1b[2J\""},
		{STR("nul\0x"), "\"nul\\x00x\""},
		{STR("b\xc3\xa4r"), "\"b\xc3\xa4r\""},
		{STR("\xc2\x9b" "31m"), "\"\\xc2\\x9b31m\""},
		{STR("bad\xff\xc3"), "\"bad\\xff\\xc3\""},
		{STR("back\\slash"), "\"back\\\\slash\""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf b;
		buf_init(&b, 1 << 10);
		log_escape(&b, cases[i].in);
		assert_string_equal(buf_c(&b), cases[i].out);
		buf_fini(&b);
	}
}

static void a_long_line_is_cut_visibly(void **state)
{
	(void)state;
	char *long_value = malloc(5000);
	memset(long_value, '\n', 5000);
	struct buf b;
	buf_init(&b, 1 << 16);
	log_capture_begin(&b);
	log_info(NULL, "long", log_str("value", str_of(long_value, 5000)), log_u64("after", 1));
	log_capture_end();
	assert_true(b.n <= LOG_LINE_BYTES);
	assert_true(str_ends(buf_str(&b), STR("\\n...\"\n")));
	buf_fini(&b);
	free(long_value);
}

static size_t count(const char *text, size_t n, const char *what)
{
	size_t found = 0;
	struct str rest = str_of(text, n);
	for (ptrdiff_t i; (i = str_find(rest, str_of_c(what))) >= 0; found++)
		rest = str_from(rest, (size_t)i + 1);
	return found;
}

enum { THREADS = 4, LINES = 5000 };

static void *write_many(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < LINES; i++)
		log_info(NULL, "one of many", log_u64("i", i));
	return NULL;
}

// Runs body with stderr going to a temporary file; returns what was written.
static char *with_stderr(void (*body)(void), size_t *n_out)
{
	FILE *file = tmpfile();
	assert_non_null(file);
	int old = dup(STDERR_FILENO);
	dup2(fileno(file), STDERR_FILENO);
	body();
	dup2(old, STDERR_FILENO);
	close(old);
	long n = (fseek(file, 0, SEEK_END), ftell(file));
	rewind(file);
	char *text = malloc((size_t)n + 1);
	assert_int_equal(fread(text, 1, (size_t)n, file), n);
	text[n] = 0;
	fclose(file);
	*n_out = (size_t)n;
	return text;
}

static void run_threads(void)
{
	log_start("test", LOG_TO_STDERR, LOG_LEVEL_INFO);
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, write_many, NULL);
	log_debug(NULL, "not at this level");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_stop();
}

static void every_line_of_many_threads_is_written_or_counted(void **state)
{
	(void)state;
	uint64_t dropped = log_dropped();
	size_t n;
	char *text = with_stderr(run_threads, &n);
	assert_int_equal(count(text, n, "daemon=test msg=\"one of many\" i=") + (log_dropped() - dropped), THREADS * LINES);
	assert_int_equal(count(text, n, "not at this level"), 0);
	assert_int_equal(count(text, n, "ts=20"), count(text, n, "\n"));
	free(text);
}

static void run_under_systemd(void)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_start("test", LOG_TO_STDERR, LOG_LEVEL_INFO);
	unsetenv("JOURNAL_STREAM");
	log_error(NULL, "act");
	log_stop();
}

static void under_systemd_lines_have_priorities_and_no_time(void **state)
{
	(void)state;
	size_t n;
	char *text = with_stderr(run_under_systemd, &n);
	assert_string_equal(text, "<3>level=error daemon=test msg=\"act\"\n");
	free(text);
}

// A reader that reads nothing: a full pipe. The writers must go on.
static void a_stuck_reader_stops_nobody(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	int old = dup(STDERR_FILENO);
	uint64_t dropped = log_dropped();
	dup2(ends[1], STDERR_FILENO);
	log_start("test", LOG_TO_STDERR, LOG_LEVEL_INFO);
	write_many(NULL);
	assert_true(log_dropped() > dropped);
	close(ends[0]); // the writer's write fails from now on
	log_stop();
	dup2(old, STDERR_FILENO);
	close(old);
	close(ends[1]);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_message_context_and_fields),
		cmocka_unit_test(what_a_peer_sends_cannot_end_a_line_or_forge_a_field),
		cmocka_unit_test(a_long_line_is_cut_visibly),
		cmocka_unit_test(every_line_of_many_threads_is_written_or_counted),
		cmocka_unit_test(under_systemd_lines_have_priorities_and_no_time),
		cmocka_unit_test(a_stuck_reader_stops_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
