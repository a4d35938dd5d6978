// SPDX-License-Identifier: Apache-2.0
// The control socket, the asking side: blocking, for commands.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/control.h"
#include "base/must.h"

enum { READ_BYTES = 16 << 10 };

struct control_client {
	int fd;
	struct buf input;
};

enum err_code control_open(const char *path, struct control_client **out, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (!str_to_c(str_of_c(path), address.sun_path, sizeof address.sun_path))
		return err_set(err, ERR_INVALID, "%s is too long for a socket's path; choose a shorter run_dir", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "open a socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		enum err_code code = err_errno(err, "connect to %s", path);
		close(fd);
		return code;
	}
	struct control_client *client = calloc(1, sizeof *client);
	must(client != NULL);
	client->fd = fd;
	buf_init(&client->input, CONTROL_LINE_BYTES_MAX + READ_BYTES);
	*out = client;
	return ERR_OK;
}

void control_close(struct control_client **client)
{
	if (*client == NULL)
		return;
	close((*client)->fd);
	buf_fini(&(*client)->input);
	free(*client);
	*client = NULL;
}

static enum err_code send_all(int fd, struct str text, struct err *err)
{
	while (text.n > 0) {
		ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "ask the daemon");
		text = str_from(text, (size_t)n);
	}
	return ERR_OK;
}

// The next line as JSON; the line leaves the buffer.
static enum err_code read_object(struct control_client *client, json_t **out, struct err *err)
{
	ptrdiff_t end;
	while ((end = str_index(buf_str(&client->input), '\n')) < 0) {
		char *room = buf_reserve(&client->input, READ_BYTES);
		if (room == NULL)
			return err_set(err, ERR_LIMIT, "the daemon's answer is too long for a line");
		ssize_t n = read(client->fd, room, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return err_set(err, ERR_TIMEOUT, "the daemon does not answer in time");
		if (n < 0)
			return err_errno(err, "read the daemon's answer");
		if (n == 0)
			return err_set(err, ERR_CLOSED, "the daemon closed the connection; may this user ask it?");
		buf_grew(&client->input, (size_t)n);
	}
	json_error_t error;
	json_t *object = json_loadb(client->input.p, (size_t)end, 0, &error);
	buf_drop(&client->input, (size_t)end + 1);
	if (!json_is_object(object)) {
		json_decref(object);
		return err_set(err, ERR_PROTOCOL, "the daemon's answer is not JSON: %s", error.text);
	}
	*out = object;
	return ERR_OK;
}

static enum err_code code_of_name(const char *name)
{
	static const enum err_code codes[] = {
#define CONTROL_CODE(code, word, text, temporary) code,
		ERR_CODES(CONTROL_CODE)
#undef CONTROL_CODE
	};
	for (size_t i = 1; name != NULL && i < sizeof codes / sizeof *codes; i++)
		if (strcmp(name, err_name(codes[i])) == 0)
			return codes[i];
	return ERR_PROTOCOL;
}

static enum err_code send_request(struct control_client *client, const char *command, json_t *args, struct err *err)
{
	json_t *request = args != NULL ? args : json_object();
	json_object_set_new(request, "command", json_string(command));
	char *text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	must(text != NULL);
	enum err_code code = send_all(client->fd, str_of_c(text), err);
	free(text);
	return code ? code : send_all(client->fd, STR("\n"), err);
}

enum err_code control_ask(struct control_client *client, const char *command, json_t *args,
	void (*item)(const json_t *item, void *arg), void *arg, json_t **result_out, struct err *err)
{
	enum err_code code = send_request(client, command, args, err);
	if (code)
		return code;
	json_t *line;
	for (;;) {
		code = read_object(client, &line, err);
		if (code)
			return code;
		const json_t *one = json_object_get(line, "item");
		if (one == NULL)
			break;
		if (item != NULL)
			item(one, arg);
		json_decref(line);
	}
	if (!json_is_true(json_object_get(line, "ok"))) {
		const char *text = json_string_value(json_object_get(line, "error"));
		code = err_set(err, code_of_name(json_string_value(json_object_get(line, "code"))), "%s",
			text ? text : "the daemon says no");
	} else if (result_out != NULL) {
		*result_out = json_incref(json_object_get(line, "result"));
	}
	json_decref(line);
	return code;
}

// 0: no deadline.
static void set_deadline(const struct control_client *client, int64_t timeout_ms)
{
	const struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	must(setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
}

enum err_code control_ping(struct control_client *client, int64_t timeout_ms, struct err *err)
{
	set_deadline(client, timeout_ms);
	enum err_code code = control_ask(client, "ping", NULL, NULL, NULL, NULL, err);
	set_deadline(client, 0);
	return code;
}
