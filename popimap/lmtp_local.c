// SPDX-License-Identifier: Apache-2.0
// The socket in run_dir on which the front-end of the same node delivers.
#include "lmtp_local.h"

#include <unistd.h>

#include "base/listen.h"
#include "schema/daemons.h"

enum { BACKLOG = 1024 }; // as many as delivery_connections_max usually lets come at once

enum err_code lmtp_local_open(const struct settings *settings, struct lmtp_local *local, struct err *err)
{
	uid_t front_end;
	int fd;
	if (!daemons_user_id(settings, DAEMONS_MTA, &front_end))
		return ERR_OK;
	struct arena *arena = arena_new(4096);
	const char *path = daemons_lmtp_path(settings, arena).p;
	enum err_code code = listen_open_unix(path, 0600, BACKLOG, &fd, err);
	if (code == ERR_OK && chown(path, front_end, (gid_t)-1) < 0) {
		code = err_errno(err, "give %s to the front-end's user", path);
		close(fd);
	}
	if (code == ERR_OK)
		*local = (struct lmtp_local){.fd = fd, .front_end = front_end};
	arena_free(&arena);
	return code;
}

bool lmtp_local_is_front_end(const struct lmtp_local *local, const struct conn *conn)
{
	uid_t user;
	return local->fd >= 0 && conn_peer_user(conn, &user) && user == local->front_end;
}

void lmtp_local_close(struct lmtp_local *local)
{
	if (local->fd >= 0)
		close(local->fd);
	local->fd = -1;
}
