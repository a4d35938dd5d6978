// SPDX-License-Identifier: Apache-2.0
// A small daemon from start to end, with a runtime, the sandbox and its control socket; each test asks one from outside.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/daemon.h"
#include "base/fiber.h"
#include "base/must.h"
#include "base/runtime.h"

// --- The daemon ---

struct values {
	struct str greeting, place, user;
};

#define ROW(t, n, f) {.name = #n, .type = SETTINGS_##t, .def = "", .max = 100, .unit = "", .flags = f, .prose = "Say it.", .offset = offsetof(struct values, n)}

static const struct settings_row rows[] = {
	ROW(STR, greeting, SETTINGS_RELOAD | SETTINGS_NEEDED),
	ROW(PATH, place, SETTINGS_NEEDED),
	ROW(STR, user, SETTINGS_START),
};
static const struct settings_table table = {.rows = rows, .n = sizeof rows / sizeof *rows, .values_bytes = sizeof(struct values)};

struct echo {
	struct daemon *daemon;
	struct runtime *runtime;
	char greeting[100];
	size_t reloads;
};

static void echo_options(const void *values, struct arena *arena, struct daemon_options *out)
{
	const struct values *v = values;
	struct sandbox_rule *may = arena_must(arena, 2 * sizeof *may);
	may[0] = (struct sandbox_rule){SANDBOX_READ_WRITE, v->place.p};
	*out = (struct daemon_options){
		.user = v->user.p,
		.group = "",
		.control = arena_printf(arena, "%s/sock", v->place.p).p,
		.sandbox = SANDBOX_OPTIONAL,
		.may = may,
		.log_level = LOG_LEVEL_INFO,
	};
}

static void on_greet(struct control_request *request, void *arg)
{
	struct settings_snapshot *snapshot = daemon_settings(((struct echo *)arg)->daemon);
	const struct values *v = settings_values(snapshot);
	control_ok(request, json_pack("{s:s%, s:i}", "text", v->greeting.p, v->greeting.n, "uid", (int)geteuid()));
	settings_unref(&snapshot);
}

static void on_count(struct control_request *request, void *arg)
{
	(void)arg;
	json_int_t n = json_integer_value(json_object_get(control_args(request), "n"));
	for (json_int_t i = 0; i < n; i++)
		if (control_item(request, json_pack("{s:I, s:s}", "i", i, "padding", "0123456789012345678901234567890123456789")))
			return;
	control_ok(request, NULL);
}

static void on_refuse(struct control_request *request, void *arg)
{
	(void)arg;
	control_fail(request, ERR_NOTFOUND, "no \xff such thing");
}

static void on_silence(struct control_request *request, void *arg)
{
	(void)request;
	(void)arg;
}

static void on_forbidden(struct control_request *request, void *arg)
{
	(void)arg;
	FILE *file = fopen("/etc/shadow", "re");
	control_ok(request, json_pack("{s:b}", "opened", file != NULL));
	if (file != NULL)
		fclose(file);
}

static enum err_code echo_post_jail(struct daemon *daemon, struct err *err)
{
	struct echo *echo = daemon_arg(daemon);
	static struct control_command commands[6];
	echo->daemon = daemon;
	const struct control_command all[] = {{"greet", on_greet, echo}, {"count", on_count, NULL}, {"refuse", on_refuse, NULL},
		{"silence", on_silence, NULL}, {"forbidden", on_forbidden, NULL}};
	memcpy(commands, all, sizeof all);
	enum err_code code = runtime_new(&(struct runtime_config){.name = "echo", .schedulers = 2, .workers = 1}, &echo->runtime, err);
	if (code)
		return code;
	control_register(daemon_serve_control(daemon, runtime_sched(echo->runtime, 0)), commands);
	return ERR_OK;
}

static void echo_stop(struct daemon *daemon)
{
	struct echo *echo = daemon_arg(daemon);
	if (echo->runtime == NULL)
		return;
	runtime_stop(echo->runtime, 5000);
	runtime_free(&echo->runtime);
}

static const struct daemon_spec spec = {.name = "echo", .settings = &table, .options = echo_options, .post_jail = echo_post_jail, .stop = echo_stop};

// --- The test ---

static char folder[] = "/var/tmp/daemon_test.XXXXXX";
static char conf_path[100], sock_path[100], log_path[100];
static pid_t child;
static int notify_fd;

static void put_settings(const char *text)
{
	char next[120];
	snprintf(next, sizeof next, "%s.new", conf_path);
	FILE *file = fopen(next, "w");
	assert_non_null(file);
	fprintf(file, "%splace = \"%s\"\n", text, folder);
	fclose(file);
	assert_int_equal(rename(next, conf_path), 0);
}

static void start(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", folder);
	unlink(address.sun_path);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(notify_fd, (struct sockaddr *)&address, sizeof address), 0);
	chmod(address.sun_path, 0666);
	fflush(NULL);
	child = fork();
	if (child == 0) {
		setenv("NOTIFY_SOCKET", address.sun_path, 1);
		if (freopen(log_path, "w", stderr) == NULL)
			_exit(100);
		struct echo echo = {.reloads = 0};
		char name[] = "posthouse-echo", option[] = "-c";
		char *argv[] = {name, option, conf_path, NULL};
		exit(daemon_main(&spec, &echo, 3, argv));
	}
	char text[64] = "";
	assert_true(recv(notify_fd, text, sizeof text - 1, 0) > 0);
	assert_string_equal(text, "READY=1");
	close(notify_fd);
}

static int wait_exit(void)
{
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void stop(void)
{
	kill(child, SIGTERM);
	assert_int_equal(wait_exit(), 0);
}

static bool log_has(const char *text)
{
	char line[2000];
	bool found = false;
	FILE *file = fopen(log_path, "r");
	while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
		found = strstr(line, text) != NULL;
	if (file != NULL)
		fclose(file);
	return found;
}

static void wait_log(const char *text)
{
	while (!log_has(text))
		usleep(10000);
}

static enum err_code ask(const char *command, json_t *args, void (*item)(const json_t *, void *), void *arg, json_t **result, struct err *err)
{
	struct control_client *client;
	*result = NULL;
	assert_int_equal(control_open(sock_path, &client, err), ERR_OK);
	enum err_code code = control_ask(client, command, args, item, arg, result, err);
	control_close(&client);
	return code;
}

static void assert_greets(const char *text)
{
	json_t *result;
	struct err err;
	assert_int_equal(ask("greet", NULL, NULL, NULL, &result, &err), ERR_OK);
	assert_string_equal(json_string_value(json_object_get(result, "text")), text);
	json_decref(result);
}

static void it_answers_and_ends_cleanly(void **state)
{
	(void)state;
	put_settings("greeting = hello\n");
	start();
	assert_greets("hello");
	json_t *result;
	struct err err;
	assert_int_equal(ask("ping", NULL, NULL, NULL, &result, &err), ERR_OK);
	assert_int_equal(json_integer_value(json_object_get(result, "pid")), child);
	assert_string_equal(json_string_value(json_object_get(result, "daemon")), "echo");
	json_decref(result);
	assert_int_equal(ask("metrics", NULL, NULL, NULL, &result, &err), ERR_OK);
	assert_non_null(strstr(json_string_value(json_object_get(result, "text")), "posthouse_control_requests_total 3\n"));
	json_decref(result);
	assert_int_equal(ask("refuse", NULL, NULL, NULL, &result, &err), ERR_NOTFOUND);
	assert_string_equal(err.text, "not found");
	assert_int_equal(ask("silence", NULL, NULL, NULL, &result, &err), ERR_CANCELLED);
	assert_int_equal(ask("dance", NULL, NULL, NULL, &result, &err), ERR_UNSUPPORTED);
	assert_int_equal(ask("stop", NULL, NULL, NULL, &result, &err), ERR_OK);
	assert_int_equal(wait_exit(), 0);
	assert_true(log_has("daemon=echo msg=\"stopped\""));
}

static void count_item(const json_t *item, void *arg)
{
	size_t *n = arg;
	assert_int_equal(json_integer_value(json_object_get(item, "i")), *n);
	(*n)++;
}

static void a_long_answer_streams(void **state)
{
	(void)state;
	put_settings("greeting = hello\n");
	start();
	json_t *result;
	struct err err;
	size_t n = 0;
	assert_int_equal(ask("count", json_pack("{s:i}", "n", 50000), count_item, &n, &result, &err), ERR_OK);
	assert_int_equal(n, 50000);
	stop();
}

static void a_bad_file_changes_nothing_and_a_good_one_does(void **state)
{
	(void)state;
	put_settings("greeting = one\n");
	start();
	put_settings("greting = two\n");
	kill(child, SIGHUP);
	wait_log("were not taken over");
	assert_true(log_has("did you mean greeting?"));
	assert_greets("one");
	put_settings("greeting = three\nuser = other\n");
	json_t *result;
	struct err err;
	assert_int_equal(ask("reload", NULL, NULL, NULL, &result, &err), ERR_OK);
	wait_log("settings were read again");
	assert_true(log_has("takes effect at the next start\" setting=user"));
	assert_greets("three");
	stop();
}

static void wrong_settings_are_refused_with_a_place(void **state)
{
	(void)state;
	put_settings("user = x\n");
	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (freopen(log_path, "w", stderr) == NULL)
			_exit(100);
		char name[] = "posthouse-echo", option[] = "-c";
		char *argv[] = {name, option, conf_path, NULL};
		exit(daemon_main(&spec, NULL, 3, argv));
	}
	assert_int_equal(wait_exit(), DAEMON_EXIT_START);
	assert_true(log_has("conf:1: greeting: is not set"));
}

static void it_becomes_its_user_inside_the_sandbox(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	put_settings("greeting = hello\nuser = nobody\n");
	start();
	json_t *result;
	struct err err;
	assert_int_equal(ask("greet", NULL, NULL, NULL, &result, &err), ERR_OK);
	assert_int_equal(json_integer_value(json_object_get(result, "uid")), 65534);
	json_decref(result);
	assert_int_equal(ask("forbidden", NULL, NULL, NULL, &result, &err), ERR_OK);
	assert_true(json_is_false(json_object_get(result, "opened")));
	json_decref(result);
	struct stat st;
	assert_int_equal(stat(sock_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(st.st_uid, 65534);
	// Somebody who is neither root, nor its user, nor in its group gets no answer, even where the file's mode lets him connect.
	assert_int_equal(chmod(sock_path, 0666), 0);
	fflush(NULL);
	pid_t stranger = fork();
	if (stranger == 0) {
		struct control_client *client;
		if (setgid(12345) != 0 || setuid(12345) != 0 || control_open(sock_path, &client, &err) != ERR_OK)
			_exit(1);
		_exit(control_ask(client, "greet", NULL, NULL, NULL, NULL, &err) == ERR_OK ? 2 : 0);
	}
	int status;
	assert_int_equal(waitpid(stranger, &status, 0), stranger);
	assert_int_equal(status, 0);
	stop();
	assert_true(log_has("control socket refused a user who may not use it\" uid=12345"));
}

static void a_second_one_does_not_take_the_socket(void **state)
{
	(void)state;
	put_settings("greeting = hello\n");
	start();
	int fd;
	struct err err;
	assert_int_equal(control_listen(sock_path, (uid_t)-1, (gid_t)-1, &fd, &err), ERR_BUSY);
	assert_greets("hello");
	stop();
	assert_int_equal(control_listen(sock_path, (uid_t)-1, (gid_t)-1, &fd, &err), ERR_OK);
	close(fd);
}

static void one_that_hangs_is_not_waited_for(void **state)
{
	(void)state;
	int fd;
	struct err err;
	struct control_client *client;
	assert_int_equal(control_listen(sock_path, (uid_t)-1, (gid_t)-1, &fd, &err), ERR_OK); // nobody reads what comes there
	assert_int_equal(control_open(sock_path, &client, &err), ERR_OK);
	assert_int_equal(control_ping(client, 20, &err), ERR_TIMEOUT);
	control_close(&client);
	close(fd);
}

static void *pauses(void *unused)
{
	for (;;)
		pause();
	return unused;
}

// It ends cleanly, although the kernel tells of each thread of the supervisor that dies.
static void ends_with_its_supervisor(void)
{
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	fflush(NULL);
	pid_t supervisor = fork();
	if (supervisor == 0) {
		char number[16];
		snprintf(number, sizeof number, "%d", (int)getpid());
		setenv("POSTHOUSE_RUN_PID", number, 1);
		start();
		pthread_t threads[4];
		for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
			must(pthread_create(&threads[i], NULL, pauses, NULL) == 0);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		pauses(NULL);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(supervisor, SIGKILL);
	waitpid(supervisor, NULL, 0);
	wait_log("msg=\"stopped\"");
	close(ready[0]);
	close(ready[1]);
}

static void it_ends_with_its_supervisor(void **state)
{
	(void)state;
	put_settings("greeting = hello\n");
	for (int round = 0; round < 20; round++)
		ends_with_its_supervisor();
}

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return 1;
	chmod(folder, 0755);
	snprintf(conf_path, sizeof conf_path, "%s/conf", folder);
	snprintf(sock_path, sizeof sock_path, "%s/sock", folder);
	snprintf(log_path, sizeof log_path, "%s/log", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	char command[300];
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_answers_and_ends_cleanly),
		cmocka_unit_test(a_long_answer_streams),
		cmocka_unit_test(a_bad_file_changes_nothing_and_a_good_one_does),
		cmocka_unit_test(wrong_settings_are_refused_with_a_place),
		cmocka_unit_test(it_becomes_its_user_inside_the_sandbox),
		cmocka_unit_test(a_second_one_does_not_take_the_socket),
		cmocka_unit_test(one_that_hangs_is_not_waited_for),
		cmocka_unit_test(it_ends_with_its_supervisor),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
