// SPDX-License-Identifier: Apache-2.0
// The file of failed log-ins in run_dir: shared, replaced where it is not ours, and never pulled away under those that have it.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "mail/password_cache.h"
#include "router/login.h"

enum { ENTRIES = LOGIN_THROTTLE_ENTRIES };

static const struct password_throttle_limits limits = {
	.user_max = 3, .address_max = 5, .login_alarm = 40, .window_ms = 3600000, .entries = ENTRIES};

static char dir[64], file[80];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/posthouse-test-share-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(file, sizeof file, "%s/log-ins", dir);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"log-ins", "log-ins.new"};
	char path[96];
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static void guess(void *memory, unsigned times)
{
	struct password_throttle *throttle = password_throttle_at(&limits, memory);
	for (unsigned i = 0; i < times; i++)
		password_throttle_failed(throttle, STR("anna"), STR("192.0.2.1"), 0);
	password_throttle_free(&throttle);
}

static bool is_refused(void *memory)
{
	struct password_throttle *throttle = password_throttle_at(&limits, memory);
	bool refused = password_throttle_wait_ms(throttle, STR("anna"), STR("192.0.2.1"), 0) > 0;
	password_throttle_free(&throttle);
	return refused;
}

static void all_that_ask_count_together(void **state)
{
	(void)state;
	void *one = login_share(str_of_c(dir)), *other = login_share(str_of_c(dir));
	assert_non_null(one);
	assert_non_null(other);
	guess(one, limits.user_max);
	assert_true(is_refused(other));
	munmap(one, password_throttle_bytes(ENTRIES));
	munmap(other, password_throttle_bytes(ENTRIES));
	void *later = login_share(str_of_c(dir));
	assert_true(is_refused(later));
	munmap(later, password_throttle_bytes(ENTRIES));
}

// A write to a hole of a full disk is SIGBUS, at the first failed log-in.
static void all_its_blocks_are_there(void **state)
{
	struct stat st;
	(void)state;
	void *memory = login_share(str_of_c(dir));
	assert_non_null(memory);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true((size_t)st.st_blocks * 512 >= password_throttle_bytes(ENTRIES));
	munmap(memory, password_throttle_bytes(ENTRIES));
}

// Of another version of the program, whose daemons run still: they keep what they have.
static void a_file_of_another_size_is_replaced_not_changed(void **state)
{
	enum { OTHER_BYTES = 8 << 20 };
	(void)state;
	int fd = open(file, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0 && ftruncate(fd, OTHER_BYTES) == 0);
	char *theirs = mmap(NULL, OTHER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(theirs, MAP_FAILED);
	close(fd);
	theirs[OTHER_BYTES - 1] = 'x';
	void *memory = login_share(str_of_c(dir));
	assert_non_null(memory);
	guess(memory, limits.user_max);
	assert_true(is_refused(memory));
	assert_int_equal(theirs[OTHER_BYTES - 1], 'x'); // not SIGBUS
	munmap(theirs, OTHER_BYTES);
	munmap(memory, password_throttle_bytes(ENTRIES));
}

static void what_is_no_file_of_ours_is_not_written_to(void **state)
{
	char left[96];
	struct stat st;
	(void)state;
	snprintf(left, sizeof left, "%s/log-ins.new", dir);
	assert_int_equal(symlink("/dev/null", file), 0);
	int fd = open(left, O_RDWR | O_CREAT, 0600); // of one that died
	assert_true(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
	void *memory = login_share(str_of_c(dir));
	assert_non_null(memory);
	assert_true(lstat(file, &st) == 0 && S_ISREG(st.st_mode));
	assert_int_equal(lstat(left, &st), -1);
	munmap(memory, password_throttle_bytes(ENTRIES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_that_ask_count_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_its_blocks_are_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_of_another_size_is_replaced_not_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_file_of_ours_is_not_written_to, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
