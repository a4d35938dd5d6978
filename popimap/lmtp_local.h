// SPDX-License-Identifier: Apache-2.0
// LMTP for the front-end on the same node: a socket in run_dir, and the kernel's word for who is at its other end.
//
//     lmtp_local_open(settings, &local, &err)                 // pre_jail
//     runtime_listen(rt, &lmtp_service, local.fd, &err)       // when local.fd is not -1
//     if (lmtp_local_is_front_end(&local, conn)) ...          // its delivery keys are believed
//
// Between nodes a certificate that is pinned in the directory says who delivers, and TLS keeps others out (FORMATS section 7). On
// one node that is the user id of posthouse-mta, which nobody can forge who could not read the queue as well; no handshake, no
// encryption.
#ifndef POPIMAP_LMTP_LOCAL_H
#define POPIMAP_LMTP_LOCAL_H

#include "base/conn.h"
#include "schema/settings.h"

struct lmtp_local {
	int fd;          // listens; -1: there is no front-end on this node
	uid_t front_end; // who may deliver with keys
};

#define LMTP_LOCAL_NONE {.fd = -1}

// Before the jail. The socket is the front-end's alone: mode 0600, its user's; where this node has no such user there is none,
// and that is no failure. local is LMTP_LOCAL_NONE.
enum err_code lmtp_local_open(const struct settings *settings, struct lmtp_local *local, struct err *err) ERR_CHECKED;

bool lmtp_local_is_front_end(const struct lmtp_local *local, const struct conn *conn);

// After the listeners have stopped. The file stays, as nobody but root may change run_dir; the next start replaces it.
void lmtp_local_close(struct lmtp_local *local);

#endif
