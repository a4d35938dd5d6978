// SPDX-License-Identifier: Apache-2.0
// The sandbox, tried from inside by children that should fail or die.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/sandbox.h"

static char folder[] = "/var/tmp/sandbox_test.XXXXXX";
static char inside[64], outside[64];

// Runs body in a child inside the sandbox; returns waitpid's status. Exit 0 means that the body is content, 99 that it could not enter.
static int in_sandbox(const struct sandbox_rule *may, int (*body)(void))
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		struct err err;
		if (sandbox_enter(may, SANDBOX_REQUIRED, &err)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(99);
		}
		_exit(body());
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void assert_content(const struct sandbox_rule *may, int (*body)(void))
{
	int status = in_sandbox(may, body);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void assert_killed(int (*body)(void))
{
	const struct sandbox_rule nothing[] = {{SANDBOX_END, NULL}};
	int status = in_sandbox(nothing, body);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	int error = errno;
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 0 : error;
}

// Each step has its number, so that a failure says which.
static int touch_files(void)
{
	char path[100];
	snprintf(path, sizeof path, "%s/file", inside);
	if (opens(path, O_RDWR | O_CREAT) != 0)
		return 1;
	char renamed[100];
	snprintf(renamed, sizeof renamed, "%s/renamed", inside);
	if (rename(path, renamed) != 0 || truncate(renamed, 0) != 0 || unlink(renamed) != 0)
		return 2;
	snprintf(path, sizeof path, "%s/file", outside);
	if (opens(path, O_RDONLY) != EACCES || opens(path, O_WRONLY) != EACCES)
		return 3;
	if (opens("/etc/shadow", O_RDONLY) != EACCES)
		return 4;
	snprintf(path, sizeof path, "%s/../secret", inside);
	if (opens(path, O_RDWR | O_CREAT) != EACCES)
		return 5;
	if (opens("/etc/passwd", O_RDONLY) != 0)
		return 6;
	return symlink("/etc/shadow", renamed) == 0 ? 7 : 0;
}

static void only_the_named_paths_can_be_touched(void **state)
{
	(void)state;
	const struct sandbox_rule may[] = {{SANDBOX_READ_WRITE, inside}, {SANDBOX_READ, "/nonexistent"}, {SANDBOX_END, NULL}};
	assert_content(may, touch_files);
}

static int read_only(void)
{
	char path[100];
	snprintf(path, sizeof path, "%s/file", outside);
	if (opens(path, O_RDONLY) != 0)
		return 1;
	if (opens(path, O_WRONLY) != EACCES)
		return 2;
	return unlink(path) == 0 ? 3 : 0;
}

static void a_path_to_read_cannot_be_written(void **state)
{
	(void)state;
	const struct sandbox_rule may[] = {{SANDBOX_READ, outside}, {SANDBOX_END, NULL}};
	assert_content(may, read_only);
}

static int has_no_network(void)
{
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM || socket(AF_INET6, SOCK_DGRAM, 0) >= 0)
		return 1;
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? 2 : 0;
}

static int has_network(void)
{
	if (socket(AF_PACKET, SOCK_RAW, 0) >= 0)
		return 2;
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 1 : 0;
}

static void the_network_is_a_permission(void **state)
{
	(void)state;
	const struct sandbox_rule none[] = {{SANDBOX_END, NULL}}, network[] = {{SANDBOX_NETWORK, NULL}, {SANDBOX_END, NULL}};
	assert_content(none, has_no_network);
	assert_content(network, has_network);
}

static void *in_thread(void *arg)
{
	*(int *)arg = opens("/etc/shadow", O_RDONLY) == EACCES ? 0 : 2;
	return NULL;
}

static int starts_threads(void)
{
	pthread_t thread;
	int result = 1;
	if (pthread_create(&thread, NULL, in_thread, &result) != 0)
		return 3;
	pthread_join(thread, NULL);
	return result;
}

static int forks(void)
{
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return 0; // their leak check needs it
#endif
#endif
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	return child < 0 && errno == EPERM ? 0 : 1;
}

static void threads_are_fine_and_confined_processes_are_not(void **state)
{
	(void)state;
	const struct sandbox_rule none[] = {{SANDBOX_END, NULL}};
	assert_content(none, starts_threads);
	assert_content(none, forks);
}

static int runs_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 1;
}

static int mounts(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL) == 0 ? 1 : 2;
}

static int becomes_root(void)
{
	return setresuid(0, 0, 0) == 0 ? 1 : 2;
}

static void what_only_an_attacker_does_is_deadly(void **state)
{
	(void)state;
	assert_killed(runs_a_program);
	assert_killed(mounts);
	assert_killed(becomes_root);
}

static int make_folders(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(inside, sizeof inside, "%s/inside", folder);
	snprintf(outside, sizeof outside, "%s/outside", folder);
	char command[300];
	snprintf(command, sizeof command, "mkdir %s %s && echo x > %s/file", inside, outside, outside);
	return system(command);
}

static int remove_folders(void **state)
{
	(void)state;
	char command[300];
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

int main(void)
{
	if (sandbox_landlock_version() == 0 || !sandbox_has_seccomp()) {
		printf("this kernel has no Landlock or no seccomp: nothing to test\n");
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_named_paths_can_be_touched),
		cmocka_unit_test(a_path_to_read_cannot_be_written),
		cmocka_unit_test(the_network_is_a_permission),
		cmocka_unit_test(threads_are_fine_and_confined_processes_are_not),
		cmocka_unit_test(what_only_an_attacker_does_is_deadly),
	};
	return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
