// SPDX-License-Identifier: Apache-2.0
// The control socket, the answering side: one fiber a connection, one JSON object a line, a table of commands.
//
// A handler runs on the connection's fiber. Whatever it does, the asker gets exactly one last line: control_ok or control_fail
// marks the request as answered, and serve() answers for a handler that did not. A lost asker is noticed at the next write.
#include "base/control.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conn.h"
#include "base/fiber.h"
#include "base/listen.h"
#include "base/log.h"
#include "base/must.h"
#include "base/sched.h"
#include "metrics_base.h"

enum {
	TABLES_MAX = 16,
	GROUPS_MAX = 256,
	IDLE_MS = 600000,
	LINGER_MS = 1000,
	BACKLOG = 16,
	CONNECTIONS_MAX = 64,
	METRICS_BYTES_MAX = 900 << 10, // fits a line
	TROUBLE_BYTES_MAX = 16 << 10,
};

struct control {
	struct sched *sched;
	int listen_fd; // owned
	gid_t group;
	const char *name;
	int64_t started_ms;
	void (*trouble)(void *arg, struct buf *text); // NULL: never any
	void *trouble_arg;
	struct listen_service service;
	struct listen_caps *caps; // owned
	const struct control_command *tables[TABLES_MAX]; // borrowed
	_Atomic size_t tables_n; // tables are registered while questions are answered already
};

struct control_request {
	struct conn *conn;
	const json_t *args;
	bool answered;
};

const json_t *control_args(const struct control_request *request)
{
	return request->args;
}

struct str control_arg_str(const struct control_request *request, const char *name)
{
	const json_t *value = json_object_get(request->args, name);
	return json_is_string(value) ? str_of(json_string_value(value), json_string_length(value)) : STR_NONE;
}

// Takes object.
static enum err_code write_line(struct control_request *request, json_t *object, struct err *err)
{
	must(object != NULL);
	char *text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	must(text != NULL); // our own strings are UTF-8: json_pack checked them
	conn_write(request->conn, str_of_c(text));
	free(text);
	conn_write(request->conn, STR("\n"));
	return conn_flush(request->conn, err);
}

enum err_code control_item(struct control_request *request, json_t *item)
{
	must(!request->answered);
	struct err err;
	return write_line(request, json_pack("{s:o}", "item", item), &err);
}

void control_ok(struct control_request *request, json_t *result)
{
	must(!request->answered);
	request->answered = true;
	struct err err;
	json_t *line = json_pack("{s:b}", "ok", 1);
	if (result != NULL)
		json_object_set_new(line, "result", result);
	(void)!write_line(request, line, &err);
}

void control_fail(struct control_request *request, enum err_code code, const char *format, ...)
{
	must(!request->answered);
	request->answered = true;
	struct err err;
	char text[ERR_TEXT_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	json_t *error = json_string(text);
	if (error == NULL) // the text quotes bytes that are not UTF-8
		error = json_string(err_text(code));
	(void)!write_line(request, json_pack("{s:b, s:s, s:o}", "ok", 0, "code", err_name(code), "error", error), &err);
}

static void on_ping(struct control_request *request, void *arg)
{
	const struct control *control = arg;
	struct buf trouble;
	buf_init(&trouble, TROUBLE_BYTES_MAX);
	if (control->trouble)
		control->trouble(control->trouble_arg, &trouble);
	json_t *text = trouble.n ? json_stringn(trouble.p, trouble.n) : NULL;
	control_ok(request, json_pack("{s:s, s:s, s:i, s:I, s:o*}", "daemon", control->name, "version", POSTHOUSE_VERSION, "pid",
				    (int)getpid(), "uptime_s", (json_int_t)((clock_mono_ms() - control->started_ms) / 1000),
				    "trouble", text));
	buf_fini(&trouble);
}

void control_on_trouble(struct control *control, void (*trouble)(void *arg, struct buf *text), void *arg)
{
	control->trouble_arg = arg;
	control->trouble = trouble;
}

static void on_metrics(struct control_request *request, void *arg)
{
	(void)arg;
	struct buf text;
	buf_init(&text, METRICS_BYTES_MAX);
	metrics_render(&text);
	control_ok(request, json_pack("{s:s#}", "text", text.p, text.n));
	buf_fini(&text);
}

static void add_stat(const struct metric *metric, void *arg)
{
	json_object_set_new(arg, metric->name, json_integer(metric_read(metric)));
}

static void on_stats(struct control_request *request, void *arg)
{
	(void)arg;
	json_t *stats = json_object();
	metrics_visit(add_stat, stats);
	control_ok(request, stats);
}

static const struct control_command *find(const struct control *control, struct str name)
{
	size_t tables_n = atomic_load_explicit(&control->tables_n, memory_order_acquire);
	for (size_t i = 0; i < tables_n; i++)
		for (const struct control_command *row = control->tables[i]; row->name != NULL; row++)
			if (str_eq(name, str_of_c(row->name)))
				return row;
	return NULL;
}

static void dispatch(struct control *control, struct conn *conn, struct str line)
{
	static const struct control_command common[] = {
		{"ping", on_ping, NULL}, {"metrics", on_metrics, NULL}, {"stats", on_stats, NULL}};
	json_error_t error;
	json_t *args = json_loadb(line.p ? line.p : "", line.n, JSON_REJECT_DUPLICATES, &error);
	struct control_request request = {.conn = conn, .args = args};
	metric_add(&metric_control_requests, 1);
	if (!json_is_object(args)) {
		control_fail(&request, ERR_INVALID, "a request is one JSON object on a line: %s",
			args ? "this is no object" : error.text);
		json_decref(args);
		return;
	}
	struct str name = control_arg_str(&request, "command");
	const struct control_command *row = find(control, name);
	for (size_t i = 0; row == NULL && i < sizeof common / sizeof *common; i++)
		if (str_eq(name, str_of_c(common[i].name)))
			row = &common[i];
	if (row == NULL) {
		control_fail(&request, ERR_UNSUPPORTED, "%s knows no such command", control->name);
	} else {
		bool is_common = row >= common && row < common + sizeof common / sizeof *common;
		row->handler(&request, is_common ? control : row->arg);
		if (!request.answered)
			control_fail(&request, ERR_CANCELLED, "the command did not finish");
	}
	json_decref(args);
}

// Root, our own user, the group: by the peer's ids when it connected.
static bool may_ask(const struct control *control, int fd, uid_t *uid_out)
{
	struct ucred who;
	socklen_t bytes = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) < 0)
		return false;
	*uid_out = who.uid;
	if (who.uid == 0 || who.uid == geteuid() || who.gid == control->group)
		return true;
	gid_t groups[GROUPS_MAX];
	bytes = sizeof groups;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false;
	for (size_t i = 0; i < bytes / sizeof *groups; i++)
		if (groups[i] == control->group)
			return true;
	return false;
}

static void serve(struct conn *conn, void *arg)
{
	struct control *control = arg;
	uid_t uid = (uid_t)-1;
	struct str line;
	enum conn_eol eol;
	struct err err;
	if (!may_ask(control, conn_fd(conn), &uid)) {
		metric_add(&metric_control_refused, 1);
		log_warning(NULL, "control socket refused a user who may not use it", log_u64("uid", uid));
		conn_close(&conn, 0);
		return;
	}
	conn_set_idle_ms(conn, IDLE_MS);
	while (conn_read_line(conn, CONN_LINE_BYTES_MAX, &line, &eol, &err) == ERR_OK) {
		// The line is borrowed from the connection's buffer only until the next read, and a handler does not read.
		fiber_shield_enter();
		dispatch(control, conn, line);
		fiber_shield_leave();
	}
	conn_close(&conn, LINGER_MS);
}

static void start_listening(void *arg)
{
	struct control *control = arg;
	struct err err;
	if (listen_start(&control->service, control->listen_fd, control->caps, &err))
		log_error(NULL, "control socket cannot be served", log_err(&err));
}

struct control *control_start(struct sched *sched, int listen_fd, gid_t group, const char *name)
{
	struct control *control = calloc(1, sizeof *control);
	must(control != NULL);
	control->sched = sched;
	control->listen_fd = listen_fd;
	control->group = group;
	control->name = name;
	control->started_ms = clock_mono_ms();
	control->caps = listen_caps_new(CONNECTIONS_MAX, 0);
	control->service = (struct listen_service){.name = "control", .serve = serve, .arg = control};
	return control;
}

void control_begin(struct control *control)
{
	(void)!sched_post(control->sched, start_listening, control);
}

void control_register(struct control *control, const struct control_command *table)
{
	size_t n = atomic_load_explicit(&control->tables_n, memory_order_relaxed);
	must(n < TABLES_MAX);
	control->tables[n] = table;
	atomic_store_explicit(&control->tables_n, n + 1, memory_order_release);
}

void control_free(struct control **control)
{
	if (*control == NULL)
		return;
	close((*control)->listen_fd);
	listen_caps_free(&(*control)->caps);
	free(*control);
	*control = NULL;
}

enum err_code control_listen(const char *path, uid_t owner, gid_t group, int *fd_out, struct err *err)
{
	// Two daemons on one queue or store would be worse than none: whoever answers keeps the socket.
	struct control_client *other;
	if (control_open(path, &other, NULL) == ERR_OK) {
		control_close(&other);
		return err_set(err, ERR_BUSY, "%s is answered by another process; stop that one first", path);
	}
	int fd;
	if (listen_open_unix(path, 0660, BACKLOG, &fd, err))
		return err_wrap(err, "control socket");
	if (chown(path, owner, group) < 0) {
		enum err_code code = err_errno(err, "give %s to its user", path);
		close(fd);
		return code;
	}
	*fd_out = fd;
	return ERR_OK;
}
