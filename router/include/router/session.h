// SPDX-License-Identifier: Apache-2.0
// What the access table makes of an SMTP session: the client at its greeting, the sender at MAIL, both for each recipient that is
// accepted.
//
//     struct session_access access;
//     session_client(&table, conn_peer(conn), arena, &access);      // refuses: its reply in the place of a greeting
//     session_sender(&table, &mail_from, arena, &access);           // refuses: its reply to MAIL
//     relay_client.access = &access.client;
//     recipient_decide(directory, &query, arena, &verdict);
//     session_apply(&access, &rcpt_to, arena, &verdict);            // DISCARD, QUARANTINE, and why
//
// A front-end asks one after the other as the client speaks; `posthouse why` asks all at once. Pure; results live in the arena.
#ifndef ROUTER_SESSION_H
#define ROUTER_SESSION_H

#include "router/recipient.h"

struct session_access {
	struct access client, sender;
};

void session_client(const struct access_table *table, const struct netaddr *client, struct arena *arena,
	struct session_access *access_out);

// sender NULL: not asked about.
void session_sender(const struct access_table *table, const struct addr *sender, struct arena *arena,
	struct session_access *access);

// Why the message of this sender rests until it is released; empty: it does not. Of a recipient: verdict.quarantine.
struct str session_quarantine(const struct session_access *access);

// An accepted recipient whose client or sender is discarded has one target, discard:, so that nothing is learnt from it; one of a
// client or sender in quarantine is held. What was said of both stands first among the reasons, of refused ones too.
void session_apply(const struct session_access *access, const struct addr *to, struct arena *arena,
	struct recipient_verdict *verdict);

// The verdict when client or sender is refused; false: neither is.
bool session_refuses(const struct session_access *access, struct directory *directory, struct arena *arena,
	struct recipient_verdict *verdict_out);

#endif
