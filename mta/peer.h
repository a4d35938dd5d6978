// SPDX-License-Identifier: Apache-2.0
// The client's side of SMTP and LMTP, as one dialogue over one connection: greeting, EHLO or LHLO, STARTTLS, then transactions.
//
//     struct peer *peer = peer_new(&conn, &config);
//     if (peer_greet(peer, err)) ...                                      // ready for transactions
//     peer_send(peer, &txn);                                              // txn.to[i].outcome, .reply; any number of times
//     if (!peer_is_usable(peer)) ...                                      // said 421, broke, or lost step: close it
//     peer_quit(&peer);
//
// Straight-line code on a fiber over base/conn.h; tests give it a script in memory. Timeouts and pipelining follow RFC 5321
// section 4.5.3.2 and RFC 2920; LMTP answers the final dot once for each accepted recipient, in order (RFC 2033 section 4.2).
//
// Step is never guessed. Replies are counted; an answer that cannot stand at its place, or one more than asked for, ends the
// connection, and what it said about the message is temporary, never a bounce (ROUTING: "replies that slipped by one").
#ifndef MTA_PEER_H
#define MTA_PEER_H

#include "base/arena.h"
#include "base/conn.h"
#include "base/log.h"
#include "item.h"

struct peer;
struct tls_client;

enum peer_tls {
	PEER_TLS_NONE,
	PEER_TLS_MAY,     // STARTTLS when offered; a handshake that fails ends the connection (peer_tls_failed)
	PEER_TLS_MUST,    // never a transaction without; with a context that verifies, a good certificate
	PEER_TLS_PINNED,  // as MUST, and the peer's key is one of pins
};

struct peer_config {
	bool lmtp;
	struct str hostname;      // ours, for EHLO
	struct str host;          // the peer's name, for SNI, verification and reports
	enum peer_tls tls;
	struct tls_client *client; // borrowed; needed unless PEER_TLS_NONE
	const struct str *pins;   // "sha256:<hex>"; borrowed
	size_t pins_n;
	int64_t reply_ms, final_reply_ms; // waits for a reply, and for that to the final dot
	size_t line_bytes_max;    // longer lines of a body are wrapped; 0: sent as they are
	const struct log_context *log;
};

// Takes *conn; config is copied, what it points to is borrowed for the peer's life.
struct peer *peer_new(struct conn **conn, const struct peer_config *config);

// ERR_PROTOCOL: it says something else than a server would, or offers no TLS where it must; ERR_BUSY: it says 4xx or 5xx at its
// greeting; ERR_TLS; ERR_TIMEOUT, ERR_CLOSED, ERR_IO, ERR_CANCELLED. peer_tls_failed() says whether going without TLS may help.
// May wait.
enum err_code peer_greet(struct peer *peer, struct err *err) ERR_CHECKED;
bool peer_tls_failed(const struct peer *peer);

// What it offers.
bool peer_has_dsn(const struct peer *peer);
bool peer_has_key(const struct peer *peer); // takes the delivery key

enum peer_outcome {
	PEER_ACCEPTED,
	PEER_TEMPORARY,
	PEER_PERMANENT,
	PEER_UNTRIED, // the connection ended before this transaction began: try on another one, nothing is lost
};

struct peer_recipient {
	const struct item *item;
	enum peer_outcome outcome; // out
	struct str reply;          // out, in the transaction's arena: "550 5.1.1 text", one line; ours where the peer gave none
	bool ours;                 // out: we decided, not the peer
	bool doubt;                // out: TEMPORARY, but all of it was sent and no answer came: it may have been taken (RFC 1047)
};

// The body, in pieces; each with CRLF line ends. False: it cannot be read (*err), the transaction is broken off. May wait.
typedef bool peer_body_fn(void *arg, uint64_t offset, struct str *piece_out, struct err *err);

struct peer_transaction {
	struct arena *arena;
	const struct item_message *message;
	struct peer_recipient *to; // recipients of this message
	size_t n;
	peer_body_fn *body;
	void *arg;
	// Asked just before the final dot, and before MAIL: may it still be sent (CLUSTER 4)? NULL: yes. Before MAIL only where
	// both are sent at once, which is to mailbox hosts of ours.
	bool (*still_valid)(void *arg);
};

// One message. Fills in every recipient. May wait; a soft cancel is not looked at: shield the caller, deadlines bound it.
void peer_send(struct peer *peer, struct peer_transaction *txn);

bool peer_is_usable(const struct peer *peer);

// QUIT without waiting for its answer, then close; NULL is fine. May wait, briefly.
void peer_quit(struct peer **peer);

#endif
