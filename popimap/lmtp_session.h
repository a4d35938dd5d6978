// SPDX-License-Identifier: Apache-2.0
// The LMTP server (RFC 2033): deliveries from front-ends into mailboxes. What its commands share, and the service.
//
//     struct lmtp_service lmtp = {.popimap = &popimap, .tls = TLS_SLOT_INIT};
//     tls_slot_set(&lmtp.tls, &server);                                       // settings_tls_node_server: peers show their node's certificate
//     runtime_listen(rt, &(struct listen_service){.name = "lmtp", .serve = lmtp_serve, .arg = &lmtp, .refusal = LMTP_REFUSAL}, fd, err);
//
// Who may deliver: peers in lmtp_networks, and peers whose certificate is pinned in the directory. Delivery keys (FORMATS section 7) are
// believed from the latter only.
//
// A session is a fiber: it reads a line, finds its row in the table (lmtp_commands.c), has the row's conditions checked by the one
// dispatcher (lmtp_session.c), calls the handler. 250 for a recipient is said after the commit of its mailbox; when the process dies
// before, or the reply is lost, the front-end sends again and the key makes it one message.
#ifndef POPIMAP_LMTP_SESSION_H
#define POPIMAP_LMTP_SESSION_H

#include "base/conn.h"
#include "base/log.h"
#include "base/metrics.h"
#include "mail/reply.h"
#include "mail/smtp.h"
#include "server.h"
#include "store.h"

struct lmtp_service {
	struct popimap *popimap; // store, directory, settings
	struct tls_slot tls;     // empty: no STARTTLS
};

// A session from greeting to goodbye, for base/listen.h; arg is a struct lmtp_service. Owns conn.
void lmtp_serve(struct conn *conn, void *arg);

#define LMTP_REFUSAL STR("421 4.3.2 too many connections\r\n")

enum lmtp_state {
	LMTP_CONNECTED, // no LHLO yet, or STARTTLS has made us forget it
	LMTP_READY,     // no transaction
	LMTP_IN_MAIL,   // MAIL accepted
	LMTP_IN_RCPT,   // and at least one RCPT
	LMTP_ENDED,
};

// Is the peer one of our nodes? Known once it said LHLO.
enum lmtp_peer {
	LMTP_STRANGER, // no certificate, or one that nobody has pinned
	LMTP_NODE,     // pinned: its keys are believed
	LMTP_UNSURE,   // it has a certificate, but the directory cannot say now whose
};

struct lmtp_recipient {
	struct smtp_rcpt rcpt;
	struct guid mailbox_id;
	struct store_home home;
	const struct store_home *may_make; // home, or NULL while it is being moved
	struct str detail; // of the address, when the sender gave no key
};

// One MAIL … end of DATA, in an arena that is emptied with it.
struct lmtp_transaction {
	struct arena *arena; // owned
	struct smtp_mail mail;
	struct lmtp_recipient **recipients; // recipients_size of them allocated
	size_t recipients_n, recipients_size;
};

struct lmtp_session {
	struct conn *conn; // owned
	struct lmtp_service *service;
	struct settings_snapshot *snapshot;
	const struct settings *settings; // of snapshot
	enum lmtp_state state;
	enum lmtp_peer peer_kind;
	unsigned errors; // refused commands, for smtp_errors_max
	struct lmtp_transaction txn;
	char id[9];
	char peer[NETADDR_TEXT_BYTES];
	struct log_context log, log_peer;
	struct err err; // of the last failed operation
};

enum lmtp_command_flags {
	LMTP_NO_ARGUMENT = 1 << 0,  // 501 with one
	LMTP_TRUSTED = 1 << 1,      // 530 to a stranger from elsewhere
	LMTP_SYNCHRONISES = 1 << 2, // input behind it is refused (RFC 2920 section 3.1)
};

#define LMTP_STATE_BIT(state) (1u << (state))

struct lmtp_command_row {
	struct str verb;
	void (*run)(struct lmtp_session *s, struct str argument);
	unsigned states; // set of LMTP_STATE_BIT; 503 in others
	unsigned flags;
};

// The row of a verb, any case; NULL: unknown.
const struct lmtp_command_row *lmtp_command_find(struct str verb);

// A reply; 421 ends the session.
void lmtp_say(struct lmtp_session *s, struct reply reply);
void lmtp_say_id(struct lmtp_session *s, enum reply_id id);

// The next state, checked; and the end of a transaction.
void lmtp_enter(struct lmtp_session *s, enum lmtp_state state);
void lmtp_reset(struct lmtp_session *s);

// What a message may have: message_size_max and what front-ends add to it.
uint64_t lmtp_bytes_max(const struct settings *settings);

void lmtp_cmd_lhlo(struct lmtp_session *s, struct str argument);
void lmtp_cmd_starttls(struct lmtp_session *s, struct str argument);
void lmtp_cmd_mail(struct lmtp_session *s, struct str argument);
void lmtp_cmd_rcpt(struct lmtp_session *s, struct str argument);
void lmtp_cmd_data(struct lmtp_session *s, struct str argument);

#endif
