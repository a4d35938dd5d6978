// SPDX-License-Identifier: Apache-2.0
// The control socket from both ends: the bytes as requests to a daemon, and the same bytes as a daemon's answers to a command.
// Each request line is answered by exactly one last line, all lines are JSON objects; whatever is answered, a command ends.
// Covers: base/control.c base/control_client.c
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/conn.h"
#include "base/control.h"
#include "base/log.h"
#include "base/must.h"
#include "base/sched.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { ITEMS_MAX = 100, ANSWER_BYTES_MAX = 64 << 20 };

static char dir[] = "/tmp/posthouse-fuzz-XXXXXX";
static char path[64];

static void on_echo(struct control_request *request, void *arg)
{
	(void)arg;
	control_ok(request, json_deep_copy(control_args(request)));
}

static void on_count(struct control_request *request, void *arg)
{
	(void)arg;
	json_int_t n = json_integer_value(json_object_get(control_args(request), "n"));
	for (json_int_t i = 0; i < n && i < ITEMS_MAX; i++)
		if (control_item(request, json_integer(i)))
			return;
	control_ok(request, NULL);
}

static void on_refuse(struct control_request *request, void *arg)
{
	struct str why = control_arg_str(request, "why");
	(void)arg;
	control_fail(request, ERR_NOTFOUND, "refused: %.*s", STR_FMT(why));
}

static void on_silence(struct control_request *request, void *arg)
{
	(void)request;
	(void)arg;
}

static const struct control_command commands[] = {
	{"echo", on_echo, NULL}, {"count", on_count, NULL}, {"refuse", on_refuse, NULL}, {"silence", on_silence, NULL}, {0},
};

static void remove_dir(void)
{
	unlink(path);
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/socket", dir);
	atexit(remove_dir);
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

// Sends all of it and says that no more comes.
static void send_all(int fd, struct str in)
{
	while (in.n) {
		ssize_t n = send(fd, in.p, in.n, MSG_NOSIGNAL);
		must(n > 0);
		in = str_from(in, (size_t)n);
	}
	must(shutdown(fd, SHUT_WR) == 0);
}

// --- The bytes as requests ---

struct asker {
	int fd;
	struct sched *sched;
	struct buf answer;
};

static void read_answer(void *arg)
{
	struct asker *asker = arg;
	struct conn *conn;
	struct str chunk;
	struct err err;
	must(conn_of_fd(asker->fd, &conn, &err) == ERR_OK);
	while (conn_read_some(conn, 64 << 10, &chunk, &err) == ERR_OK)
		must(buf_add(&asker->answer, chunk));
	conn_close(&conn, 0);
	sched_stop(asker->sched, 0);
}

static void check_answer(struct str answer, size_t requests)
{
	struct str line;
	size_t last = 0;
	while (str_cut(answer, '\n', &line, &answer)) {
		json_t *object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
		must(json_is_object(object));
		const json_t *ok = json_object_get(object, "ok");
		must(json_is_boolean(ok) || json_object_get(object, "item") != NULL);
		must(!json_is_false(ok) ||
			(json_is_string(json_object_get(object, "code")) && json_is_string(json_object_get(object, "error"))));
		last += ok != NULL;
		json_decref(object);
	}
	must(answer.n == 0 && last == requests);
}

static size_t lines_of(struct str in)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++)
		n += in.p[i] == '\n';
	return n;
}

static int connect_to_path(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(str_to_c(str_of_c(path), address.sun_path, sizeof address.sun_path));
	must(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

static void ask(struct str in)
{
	struct asker asker;
	int listening;
	must(control_listen(path, (uid_t)-1, (gid_t)-1, &listening, NULL) == ERR_OK);
	must(sched_new(&(struct sched_config){.fibers_max = 10}, &asker.sched, NULL) == ERR_OK);
	struct control *control = control_start(asker.sched, listening, getgid(), "fuzz");
	control_register(control, commands);
	control_begin(control);
	buf_init(&asker.answer, ANSWER_BYTES_MAX);
	asker.fd = connect_to_path();
	send_all(asker.fd, in);
	must(sched_spawn(asker.sched, read_answer, &asker, "asker"));
	must(sched_run(asker.sched) == 0);
	sched_free(&asker.sched);
	control_free(&control);
	check_answer(buf_str(&asker.answer), lines_of(in));
	buf_fini(&asker.answer);
}

// --- The bytes as answers ---

static void count_item(const json_t *item, void *arg)
{
	size_t *items = arg;
	must(item != NULL);
	++*items;
}

static void answer(struct str in)
{
	int listening;
	struct control_client *client;
	struct err err = {0};
	json_t *result = NULL;
	size_t items = 0, answers = 0;
	must(control_listen(path, (uid_t)-1, (gid_t)-1, &listening, NULL) == ERR_OK);
	must(control_open(path, &client, &err) == ERR_OK);
	int fd = accept(listening, NULL, NULL);
	must(fd >= 0);
	send_all(fd, in);
	for (;;) {
		char request[64];
		while (recv(fd, request, sizeof request, MSG_DONTWAIT) > 0) // a daemon reads what it is asked
			;
		enum err_code code = control_ask(client, "echo", json_pack("{s:i}", "n", 1), count_item, &items, &result, &err);
		json_decref(result);
		result = NULL;
		if (code && (err.code == ERR_CLOSED || err.code == ERR_IO))
			break;
		answers++;
		must(answers + items <= lines_of(in) + 1); // each of them took a line
	}
	control_close(&client);
	close(fd);
	close(listening);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of((const char *)data, size);
	ask(in);
	answer(in);
	return 0;
}
