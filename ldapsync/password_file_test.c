// SPDX-License-Identifier: Apache-2.0
// A password is taken from a file that nobody else may read, and from no other.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ldapsync/password_file.h"

static void only_private_files_of_one_line(void **state)
{
	(void)state;
	const struct {
		const char *text;
		size_t n;
		mode_t mode;
		const char *password; // NULL: refused
	} cases[] = {
		{"secret\n", 7, 0600, "secret"},
		{"with space ", 11, 0640, "with space "},
		{"secret\r\n", 8, 0400, "secret"},
		{"secret\n", 7, 0644, NULL},
		{"secret\n", 7, 0620, NULL},
		{"secret\n", 7, 0601, NULL},
		{"", 0, 0600, NULL},
		{"\n", 1, 0600, NULL},
		{"two\nlines\n", 10, 0600, NULL},
		{"nul\0byte\n", 9, 0600, NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char path[] = "/tmp/password_file.XXXXXX";
		int fd = mkstemp(path);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, cases[i].text, cases[i].n), cases[i].n);
		assert_int_equal(fchmod(fd, cases[i].mode), 0);
		close(fd);
		struct buf password;
		struct err err;
		buf_init(&password, PASSWORD_FILE_BYTES_MAX);
		enum err_code code = password_file_read(path, &password, &err);
		if (cases[i].password)
			assert_string_equal(buf_c(&password), cases[i].password);
		else
			assert_int_equal(code, ERR_INVALID);
		buf_fini(&password);
		unlink(path);
	}
	struct err err;
	struct buf password;
	buf_init(&password, PASSWORD_FILE_BYTES_MAX);
	assert_int_equal(password_file_read("/nonexistent/file", &password, &err), ERR_NOTFOUND);
	assert_int_equal(password_file_read("/dev/null", &password, &err), ERR_INVALID);
	buf_fini(&password);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_private_files_of_one_line)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
