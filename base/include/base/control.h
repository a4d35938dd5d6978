// SPDX-License-Identifier: Apache-2.0
// The control socket: one Unix socket per daemon, one JSON object a line, asked by `posthouse` and answered on fibers.
//
//     -> {"command": "queue.list", "state": "held"}
//     <- {"item": {...}}                       any number of them, for long answers
//     <- {"ok": true, "result": {...}}         or {"ok": false, "code": "notfound", "error": "no such message"}
//
// Several requests may follow on one connection. Who may ask: root, the daemon's own user, members of the group of the settings
// (SO_PEERCRED, SO_PEERGROUPS); others are closed with a log line. A command is a row:
//
//     static void queue_list(struct control_request *request, void *arg)
//     {
//             json_t *state = json_object_get(control_args(request), "state");
//             ...
//             if (control_item(request, json_pack("{s:s}", "queue_id", id)))
//                     return;                                // the asker went away
//             control_ok(request, NULL);
//     }
//     static const struct control_command commands[] = {{"queue.list", queue_list, queue}, {0}};
//     control_register(control, commands);
//
// Handlers run on a fiber of the control socket's scheduler: they may wait, they must not block. A handler that answers nothing
// is answered for with an error.
#ifndef BASE_CONTROL_H
#define BASE_CONTROL_H

#include <jansson.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct control;
struct control_request;
struct sched;

enum { CONTROL_LINE_BYTES_MAX = 1 << 20 };

struct control_command {
	const char *name; // NULL ends a table
	void (*handler)(struct control_request *request, void *arg);
	void *arg;
};

// The request's object; borrowed for the call.
const json_t *control_args(const struct control_request *request);

// A string of the request, borrowed; {NULL, 0} when it is missing or no string.
struct str control_arg_str(const struct control_request *request, const char *name);

// Takes item. Waits while the asker is slow; ERR_CLOSED when it left, ERR_CANCELLED when the daemon stops: return then.
enum err_code control_item(struct control_request *request, json_t *item) ERR_CHECKED;

// Ends the answer; takes result, which may be NULL.
void control_ok(struct control_request *request, json_t *result);
void control_fail(struct control_request *request, enum err_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// Serves an already listening Unix socket on sched, from control_begin() until that stops; takes the descriptor. Members of group
// may ask. name is the daemon's, a literal. Commands that every daemon has (ping, metrics, stats) are there from the start;
// reload and stop come with base/daemon.h.
struct control *control_start(struct sched *sched, int listen_fd, gid_t group, const char *name);

// Answers from now on; what has connected meanwhile waited. After the last control_register(), so that nobody hears that a
// command is not known which will be a moment later. Once.
void control_begin(struct control *control);

// Adds a table, which stays borrowed. Before control_begin(); the main thread.
void control_register(struct control *control, const struct control_command *table);

// What an operator must act on though the daemon serves: added to the answer to ping, one sentence or several; nothing when all
// is well. On the scheduler of the control socket; must not block. Before the first request; the main thread.
void control_on_trouble(struct control *control, void (*trouble)(void *arg, struct buf *text), void *arg);

// After the scheduler has stopped.
void control_free(struct control **control);

// Makes the socket: a dead one at path is replaced; mode 0660, owner and group as given (-1: unchanged). ERR_BUSY when somebody
// answers on it.
enum err_code control_listen(const char *path, uid_t owner, gid_t group, int *fd_out, struct err *err) ERR_CHECKED;

// The asking side, blocking, for commands.
struct control_client;

// ERR_CONNECT, ERR_NOTFOUND (no socket: the daemon does not run), ERR_DENIED.
enum err_code control_open(const char *path, struct control_client **out, struct err *err) ERR_CHECKED;
void control_close(struct control_client **client);

// Does it answer at all? ERR_TIMEOUT: not in time; it is starting, stopped or hangs. To be asked before a question that may take
// long, for that has no deadline.
enum err_code control_ping(struct control_client *client, int64_t timeout_ms, struct err *err) ERR_CHECKED;

// Sends {"command": command} joined with args (taken; may be NULL), calls item (may be NULL) for each line of a long answer,
// returns the result in *result_out (new reference or NULL). An answer that says no gives its code and text.
enum err_code control_ask(struct control_client *client, const char *command, json_t *args,
	void (*item)(const json_t *item, void *arg), void *arg, json_t **result_out, struct err *err) ERR_CHECKED;

#endif
