// SPDX-License-Identifier: Apache-2.0
// A wait that would last for ever ends soon after its deadline, and no other.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "watchdog.h"

static void a_wait_is_ended_at_its_deadline(void **state)
{
	(void)state;
	struct watchdog *watchdog;
	struct err err;
	int pair[2];
	char byte;
	assert_int_equal(watchdog_start(&watchdog, &err), ERR_OK);
	for (int turn = 0; turn < 3; turn++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		watchdog_watch(watchdog, pair[0]);
		watchdog_arm(watchdog, 600000); // in time: nothing happens
		assert_int_equal(write(pair[1], "x", 1), 1);
		assert_int_equal(read(pair[0], &byte, 1), 1);
		assert_false(watchdog_disarm(watchdog));
		watchdog_arm(watchdog, 20); // earlier than the deadline that it sleeps for
		assert_int_equal(read(pair[0], &byte, 1), 0);
		assert_true(watchdog_disarm(watchdog));
		watchdog_watch(watchdog, -1);
		close(pair[0]);
		close(pair[1]);
	}
	watchdog_stop(&watchdog);
	assert_null(watchdog);
}

static void what_is_not_armed_is_left_alone(void **state)
{
	(void)state;
	struct watchdog *watchdog;
	struct err err;
	int pair[2];
	char byte;
	assert_int_equal(watchdog_start(&watchdog, &err), ERR_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	watchdog_watch(watchdog, pair[0]);
	watchdog_arm(watchdog, 10);
	assert_false(watchdog_disarm(watchdog));
	usleep(30000);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(read(pair[0], &byte, 1), 1);
	watchdog_end_waits(watchdog); // the process stops: also what is connected afterwards
	assert_int_equal(read(pair[0], &byte, 1), 0);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	watchdog_watch(watchdog, pair[0]);
	assert_int_equal(read(pair[0], &byte, 1), 0);
	close(pair[0]);
	close(pair[1]);
	watchdog_stop(&watchdog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_wait_is_ended_at_its_deadline), cmocka_unit_test(what_is_not_armed_is_left_alone)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
