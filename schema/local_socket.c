// SPDX-License-Identifier: Apache-2.0
// The sockets in run_dir on which daemons of one node take mail from each other.
#include "schema/local_socket.h"

#include <unistd.h>

#include "base/listen.h"

enum { BACKLOG = 1024 }; // as many as delivery_connections_max usually lets come at once

enum err_code local_socket_open(const struct settings *settings, struct str path, enum daemons_id peer,
	struct local_socket *local, struct err *err)
{
	uid_t user;
	int fd;
	if (!daemons_user_id(settings, peer, &user))
		return ERR_OK;
	enum err_code code = listen_open_unix(path.p, 0600, BACKLOG, &fd, err);
	if (code)
		return code;
	if (chown(path.p, user, (gid_t)-1) < 0) {
		code = err_errno(err, "give %s to the user of posthouse-%s", path.p, daemons_name(peer));
		close(fd);
		return code;
	}
	*local = (struct local_socket){.fd = fd, .peer = user};
	return ERR_OK;
}

bool local_socket_is_peer(const struct local_socket *local, const struct conn *conn)
{
	uid_t user;
	return local->fd >= 0 && conn_peer_user(conn, &user) && user == local->peer;
}

void local_socket_close(struct local_socket *local)
{
	if (local->fd >= 0)
		close(local->fd);
	local->fd = -1;
}

bool local_socket_is_ours(const struct conn *conn)
{
	uid_t user;
	return conn_peer_user(conn, &user) && (user == 0 || user == geteuid());
}
