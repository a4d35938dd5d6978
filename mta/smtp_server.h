// SPDX-License-Identifier: Apache-2.0
// What all SMTP sessions of a front-end share, and the services that start them. Made by mta_main.c before the first connection.
#ifndef MTA_SMTP_SERVER_H
#define MTA_SMTP_SERVER_H

#include <stdatomic.h>

#include "base/conn.h"
#include "base/settings.h"
#include "base/tls.h"
#include "hour_rate.h"
#include "ldapsync/directory.h"
#include "mta/queue.h"
#include "router/recipient.h"
#include "schema/local_socket.h"
#include "schema/settings.h"

struct login;

struct smtp_server {
	struct queue *queue;
	struct worker_pool *workers;     // large groups
	struct login *login;
	struct hour_rate *submit_rate;   // recipients of a login
	struct hour_rate *unknown_rate;  // unknown recipients of an address
	struct list_answers *list_answers; // which lists reach somebody; NULL: not remembered
	struct tls_slot tls;             // certificates of 587, 465 and of STARTTLS on 25
	struct tls_slot tls_asking;      // the same for 25 when clients are asked for theirs; empty: they are not
	_Atomic uint64_t reloads;        // of settings and tables
	// The view of the shadow that belongs to the calling thread's scheduler; borrowed.
	struct directory *(*directory)(void *arg);
	// A reference to the settings of now.
	struct settings_snapshot *(*settings_get)(void *arg);
	// A reference to the tables in files of now; NULL: none.
	struct rules *(*rules_get)(void *arg);
	void *arg; // of these
};

// One kind of listener: 25, 587, 465, or the socket of the mailboxes of this node.
struct smtp_service {
	struct smtp_server *server;
	bool submission;   // mail from our users: TLS and a log-in come first
	bool tls_at_start; // RFC 8314
	const struct local_socket *mailboxes; // what they send themselves: from <>, to anybody; NULL: it is one of the ports
};

// A session from greeting to goodbye; for base/listen.h, arg is the struct smtp_service. Owns conn.
void smtp_server_serve(struct conn *conn, void *arg);

// What happens to mail for an address (router/recipient.h), by the settings and the shadow of now; a large group is decided on a
// worker. asked: recipient, sender, who asks, lists; the rest is filled in. verdict_out lives in the arena. On a fiber; may wait.
void smtp_server_decide(struct smtp_server *server, const struct settings *settings, const struct recipient_query *asked,
	struct arena *arena, struct recipient_verdict *verdict_out);

// What one transaction may hold in memory, its body apart: recipients, and what they expand to.
size_t smtp_transaction_bytes_max(const struct settings *settings);

#endif
