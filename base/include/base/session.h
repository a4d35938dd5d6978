// SPDX-License-Identifier: Apache-2.0
// What the servers of all line protocols do in the same way: give a session a name for the log, and start TLS in the middle of
// one.
//
//     struct session_name who;                                            // in the session, which does not move
//     session_name_init(&who, conn);
//     log_info(&who.log, "logged in");                                    // … peer=192.0.2.7 session=7f3a01bc
//     …
//     if (conn_flush(conn, &err) || session_start_tls(conn, &service->tls, &who.log, &discarded, &err))
//         end the session, without a word
//
// The next line of a session is conn_next_line() (base/conn.h).
#ifndef BASE_SESSION_H
#define BASE_SESSION_H

#include "base/conn.h"
#include "base/log.h"
#include "base/tls.h"

struct session_name {
	char id[9];                       // eight hex digits, random
	char peer[NETADDR_TEXT_BYTES];
	struct log_context log_peer, log; // log has both: use it as the parent of what belongs to the session
};

void session_name_init(struct session_name *who, const struct conn *conn);

// The server's side of a TLS handshake with the certificates of now, for STARTTLS (after the reply was flushed) and for implicit
// TLS. What was sent ahead in plaintext is thrown away and counted in *discarded_out: it may be somebody else's (RFC 3207 section
// 5). Says in the log what went wrong or was thrown away. ERR_TLS also when slot is empty; after a failure the connection can
// only be closed. May wait.
enum err_code session_start_tls(struct conn *conn, struct tls_slot *slot, const struct log_context *log, size_t *discarded_out,
				struct err *err) ERR_CHECKED;

#endif
