// SPDX-License-Identifier: Apache-2.0
// Between two daemons of one node: a socket in run_dir, and the kernel's word for who is at its other end.
//
//     local_socket_open(settings, daemons_lmtp_path(settings, arena), DAEMONS_MTA, &local, &err)   // pre_jail
//     runtime_listen(rt, &service, local.fd, &err)                                                 // when local.fd is not -1
//     if (local_socket_is_peer(&local, conn)) ...                                                  // it is posthouse-mta
//
// Between nodes a certificate that is pinned in the directory says who is there, and TLS keeps others out (FORMATS section 7). On
// one node that is the user id of the other daemon, which nobody can forge who could not read its files as well; no handshake, no
// encryption.
#ifndef SCHEMA_LOCAL_SOCKET_H
#define SCHEMA_LOCAL_SOCKET_H

#include "base/conn.h"
#include "schema/daemons.h"

struct local_socket {
	int fd;     // listens; -1: the other daemon is not on this node
	uid_t peer; // who may connect
};

#define LOCAL_SOCKET_NONE {.fd = -1}

// Before the jail. The socket is the peer's alone: mode 0600, its user's; where this node has no such user there is none,
// and that is no failure. local is LOCAL_SOCKET_NONE. path: with a NUL after it.
enum err_code local_socket_open(const struct settings *settings, struct str path, enum daemons_id peer,
	struct local_socket *local, struct err *err) ERR_CHECKED;

// Has the peer connected, and nobody else?
bool local_socket_is_peer(const struct local_socket *local, const struct conn *conn);

// After the listeners have stopped. The file stays, as nobody but root may change run_dir; the next start replaces it.
void local_socket_close(struct local_socket *local);

// The other side, connected: is it one of our daemons that listens? run_dir is root's, and so is who listens in it, unless all
// run as one user.
bool local_socket_is_ours(const struct conn *conn);

#endif
