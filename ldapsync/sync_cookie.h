// SPDX-License-Identifier: Apache-2.0
// The cookie of a replicated directory as it is stored beside its data: how far the copy is, of what, and whether a server may be
// asked to go on from there.
//
//     sync_cookie_write(&cookie, &text);                       // image_state.cookie, in the transaction of its data (I2)
//     if (sync_cookie_read(text, &cookie)) ...                 // false: another source's, or damaged: load everything (I7)
//     sync_cookie_request(&cookie, &scope, uri, &request);     // what to send; empty: everything, please
//
// The CSNs are kept when the cookie can no longer be sent, so that a lagging server is still seen (I4). The cookie of another
// kind of server than OpenLDAP is opaque: it means something to the server that gave it and to no other (I3), and says nothing of
// CSNs, which are then what that server showed beside it. A server that is polled gives none: where questions go on from is
// stored in its place. Pure.
#ifndef LDAPSYNC_SYNC_COOKIE_H
#define LDAPSYNC_SYNC_COOKIE_H

#include "base/guid.h"
#include "csn.h"

enum { SYNC_POLLED_BYTES = 384, SYNC_OPAQUE_BYTES_MAX = 512, SYNC_URI_BYTES_MAX = 1024 };

struct sync_cookie {
	struct guid scope;  // hash of base, filter, attributes, rules of intake: of another one no cookie is sent
	bool usable;        // a server may go on from here
	struct csns csns;   // what the copy holds
	char opaque[SYNC_OPAQUE_BYTES_MAX]; // of a server whose cookies are not CSNs; else opaque_n is 0
	size_t opaque_n;
	// how far a server was asked that is polled (poll_step_write), or ""; no server is ever sent it
	char polled[SYNC_POLLED_BYTES];
	char uri[SYNC_URI_BYTES_MAX]; // of the server that gave it
};

// Appends. False when it does not fit.
bool sync_cookie_write(const struct sync_cookie *cookie, struct buf *text);

// False for what sync_cookie_write has not written as it is; *cookie_out is then empty.
bool sync_cookie_read(struct str text, struct sync_cookie *cookie_out);

// Appends the cookie to send to the server at uri, or nothing.
void sync_cookie_request(const struct sync_cookie *cookie, const struct guid *scope, struct str uri, struct buf *request);

#endif
