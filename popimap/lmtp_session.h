// SPDX-License-Identifier: Apache-2.0
// The LMTP server (RFC 2033): deliveries from front-ends into mailboxes. The service, and what it adds to the dialogue
// (mail/dialogue.h).
//
//     struct lmtp_service lmtp = {.popimap = &popimap, .tls = TLS_SLOT_INIT, .local = LOCAL_SOCKET_NONE};
//     tls_slot_set(&lmtp.tls, &server);      // settings_tls_node_server: peers show their node's certificate
//     struct listen_service service = {.name = "lmtp", .serve = lmtp_serve, .arg = &lmtp, .refusal = LMTP_REFUSAL};
//     runtime_listen(rt, &service, fd, err);
//
// Who may deliver: peers in lmtp_networks, the front-end of this node (schema/local_socket.h), and peers whose certificate is
// pinned in the directory. Delivery keys (FORMATS section 7) are believed from the latter two only.
//
// 250 for a recipient is said after the commit of its mailbox; when the process dies before, or the reply is lost, the front-end
// sends again and the key makes it one message. The replies to a message have no deadline of ours: they wait for the disk as long
// as it takes, and the front-end, which gives up first, sends again.
#ifndef POPIMAP_LMTP_SESSION_H
#define POPIMAP_LMTP_SESSION_H

#include "mail/dialogue.h"
#include "schema/local_socket.h"
#include "server.h"
#include "store.h"

struct lmtp_service {
	struct popimap *popimap; // store, directory, settings
	struct tls_slot tls;     // empty: no STARTTLS
	struct local_socket local; // of the front-end on this node
};

// A session from greeting to goodbye, for base/listen.h; arg is a struct lmtp_service. Owns conn.
void lmtp_serve(struct conn *conn, void *arg);

#define LMTP_REFUSAL STR("421 4.3.2 too many connections\r\n")

// Is the peer one of our nodes? Known once it said LHLO.
enum lmtp_peer {
	LMTP_STRANGER, // no certificate, or one that nobody has pinned
	LMTP_NODE,     // pinned, or the front-end of this node: its keys are believed
	LMTP_UNSURE,   // it has a certificate, but the directory cannot say now whose
};

struct lmtp_recipient {
	struct smtp_rcpt rcpt;
	struct guid mailbox_id;
	struct store_home home;
	const struct store_home *may_make; // home, or NULL while it is being moved
	struct str detail; // of the address, when the sender gave no key
	struct store_quota quota;
	const struct entry *away; // whose messages may be answered (lmtp_away.h); NULL: they are not
	uint64_t answers_hour_max; // with away
};

// The header of the message, where it will be looked at.
struct lmtp_head {
	bool wanted, complete, too_long;
	struct buf bytes; // owned; with wanted
};

struct lmtp_session {
	struct dialogue d;
	struct lmtp_service *service;
	struct settings_snapshot *snapshot;
	const struct settings *settings; // of snapshot
	enum lmtp_peer peer_kind;
	struct incoming *incoming; // owned; NULL without a message
	struct lmtp_head head;
};

// What a row of ours may demand beside what every dialogue checks.
enum lmtp_command_flags {
	LMTP_TRUSTED = DIALOGUE_FLAG_PROTOCOL, // 530 to a stranger from elsewhere
};

// The functions of struct dialogue_protocol.
struct reply lmtp_sender(struct dialogue *d, struct smtp_mail *mail);
struct reply lmtp_recipient(struct dialogue *d, void *recipient);
bool lmtp_message_begin(struct dialogue *d, struct reply *why_out);
void lmtp_message_take(struct dialogue *d, struct str bytes);
void lmtp_message_finish(struct dialogue *d);
void lmtp_message_forget(struct dialogue *d);

#endif
