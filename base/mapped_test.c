// SPDX-License-Identifier: Apache-2.0
// A file that is cut under its map: zeros and a word of it between mapped_begin and mapped_end, and an end of the process outside.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mapped.h"
#include "base/thread.h"

enum { PAGES = 4 };

struct cut {
	volatile char *map;
	size_t page;
};

// A file of PAGES pages of 'x', mapped, of which one is left.
static struct cut make(int kind)
{
	struct cut cut;
	char path[] = "/tmp/posthouse-mapped-XXXXXX";
	int fd = mkstemp(path);
	cut.page = (size_t)sysconf(_SC_PAGESIZE);
	assert_true(fd >= 0 && unlink(path) == 0 && ftruncate(fd, (off_t)(PAGES * cut.page)) == 0);
	cut.map = mmap(NULL, PAGES * cut.page, PROT_READ | PROT_WRITE, kind, fd, 0);
	assert_true(cut.map != MAP_FAILED);
	for (size_t i = 0; kind == MAP_SHARED && i < PAGES; i++)
		cut.map[i * cut.page] = 'x';
	assert_int_equal(ftruncate(fd, (off_t)cut.page), 0);
	close(fd);
	return cut;
}

static void what_is_missing_is_zeros_and_is_told(const struct cut *cut)
{
	mapped_begin();
	assert_int_equal(cut->map[0], 'x');
	assert_false(mapped_end());
	mapped_begin();
	mapped_begin();
	assert_int_equal(cut->map[cut->page], 0);
	cut->map[cut->page + 1] = 'y';
	assert_true(mapped_end());
	assert_int_equal(cut->map[2 * cut->page + 7], 0);
	assert_int_equal(cut->map[0], 'x');
	assert_true(mapped_end());
	mapped_begin();
	assert_false(mapped_end()); // said once
}

static void *reads(void *arg)
{
	struct cut *cut = arg;
	mapped_begin();
	bool is_zero = cut->map[3 * cut->page] == 0;
	return mapped_end() && is_zero ? arg : NULL;
}

// Its signals are blocked, but this one must not be.
static void a_thread_of_ours_as_well(struct cut *cut)
{
	pthread_t thread;
	void *result = NULL;
	mapped_begin();
	assert_int_equal(thread_start(&thread, "reads", reads, cut, NULL), ERR_OK);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, cut);
	assert_false(mapped_end()); // it was that thread's
}

static void it_ends_the_process(const struct cut *cut, bool inside)
{
	pid_t child = fork();
	if (child == 0) {
		const struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		if (inside)
			mapped_begin();
		_exit(cut->map[PAGES * cut->page - 1]);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

// One test, because cmocka, which fails a test at a SIGBUS, takes it over before each.
static void a_file_that_is_cut(void **state)
{
	struct cut cut = make(MAP_SHARED);
	(void)state;
	signal(SIGBUS, SIG_DFL);
	what_is_missing_is_zeros_and_is_told(&cut);
	a_thread_of_ours_as_well(&cut);
	munmap((void *)(uintptr_t)cut.map, PAGES * cut.page);
	cut = make(MAP_SHARED);
	it_ends_the_process(&cut, false);
	munmap((void *)(uintptr_t)cut.map, PAGES * cut.page);
	cut = make(MAP_PRIVATE); // as the program's own text and constants are
	it_ends_the_process(&cut, true);
	munmap((void *)(uintptr_t)cut.map, PAGES * cut.page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_file_that_is_cut)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
