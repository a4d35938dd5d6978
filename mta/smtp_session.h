// SPDX-License-Identifier: Apache-2.0
// One SMTP session: what its commands share. Private to mta/smtp_*.c.
//
// A session is a fiber that reads a line, finds its row in the table of commands (smtp_commands.c), has the row's conditions checked by
// the one dispatcher (smtp_session.c) and calls the handler, which replies with smtp_say. Handlers do not check states, TLS or
// authentication again. A handler that can no longer talk to the peer leaves the session in SMTP_ENDED.
#ifndef MTA_SMTP_SESSION_H
#define MTA_SMTP_SESSION_H

#include "base/conn.h"
#include "base/log.h"
#include "base/metrics.h"
#include "mail/reply.h"
#include "mail/smtp.h"
#include "router/recipient.h"
#include "schema/settings.h"
#include "smtp_server.h"

enum smtp_state {
	SMTP_CONNECTED, // greeted by us, no EHLO yet (or STARTTLS has made us forget it: RFC 3207 section 4.2)
	SMTP_READY,     // EHLO said, no transaction
	SMTP_IN_MAIL,   // MAIL accepted
	SMTP_IN_RCPT,   // and at least one RCPT
	SMTP_ENDED,     // the session is over: after QUIT, a fatal reply, or a broken connection
};

// A recipient as the client named it, and what the router said of it.
struct smtp_recipient {
	struct smtp_rcpt rcpt;
	const struct recipient_verdict *verdict;
};

// One MAIL … end of DATA. Everything in it lives in arena, which is emptied with it.
struct smtp_transaction {
	struct arena *arena; // owned
	struct smtp_mail mail;
	struct smtp_recipient *recipients; // recipients_size of them allocated
	size_t recipients_n, recipients_size;
	size_t targets_n; // mailboxes and next hops that the recipients became
};

struct smtp_session {
	struct conn *conn; // owned
	struct smtp_server *server;
	const struct smtp_service *service;
	struct settings_snapshot *snapshot; // the session keeps the settings that it began with
	const struct settings *settings;    // of snapshot
	enum smtp_state state;
	struct arena *helo_arena;  // owned; emptied by each greeting, so that a client that greets a million times holds one name
	struct str helo;           // what the client calls itself; empty before
	bool esmtp;                // said EHLO, not HELO
	struct arena *login_arena; // owned; filled once
	struct str login;          // authenticated as; empty: not
	struct str account;  // the directory's name for it (mail/sasl.h)
	int64_t ends_ms;     // when smtp_session_s is over
	unsigned errors;     // replies of 4xx and 5xx, for smtp_errors_max
	unsigned auth_failures;
	struct smtp_transaction txn;
	char id[9];
	char peer[NETADDR_TEXT_BYTES];
	struct log_context log_session, log_peer;
	struct err err; // of the last failed operation
};

// What a command needs before its handler runs; the dispatcher replies if it is not so.
enum smtp_command_flags {
	SMTP_ONLY_SUBMISSION = 1 << 0, // 502 on port 25
	SMTP_NEEDS_TLS = 1 << 1,       // on submission: 530 before STARTTLS
	SMTP_NEEDS_LOGIN = 1 << 2,     // on submission: 530 before AUTH
	SMTP_NO_ARGUMENT = 1 << 3,     // 501 with one
	SMTP_SYNCHRONISES = 1 << 4,    // the client must wait for the reply (RFC 2920 section 3.1): input behind it is refused
};

#define SMTP_STATE_BIT(state) (1u << (state))

struct smtp_command_row {
	struct str verb;
	void (*run)(struct smtp_session *s, struct str argument);
	unsigned states; // set of SMTP_STATE_BIT; 503 in others
	unsigned flags;
	struct metric *metric;
};

// The row of a verb in any case, or NULL.
const struct smtp_command_row *smtp_command_find(struct str verb);

// Replies, counts errors, ends the session after 421. May wait when the peer is slow; a broken connection shows at the next read.
void smtp_say(struct smtp_session *s, struct reply reply);
void smtp_say_id(struct smtp_session *s, enum reply_id id);

// Moves to another state; a move that the table in smtp_session.c does not allow is a bug.
void smtp_enter(struct smtp_session *s, enum smtp_state state);

// Ends the transaction, if any: back to SMTP_READY (or SMTP_CONNECTED before EHLO) with an empty arena.
void smtp_reset(struct smtp_session *s);

// True on 587 and 465.
bool smtp_is_submission(const struct smtp_session *s);

// May the channel carry a password? TLS, or a trusted network under auth_plaintext = trusted.
bool smtp_may_plaintext(const struct smtp_session *s);

// Handlers, one file per family: smtp_cmd_hello.c, smtp_cmd_tls.c, smtp_cmd_auth.c, smtp_cmd_mail.c, smtp_cmd_rcpt.c, smtp_cmd_data.c,
// smtp_cmd_other.c.
void smtp_cmd_helo(struct smtp_session *s, struct str argument);
void smtp_cmd_ehlo(struct smtp_session *s, struct str argument);
void smtp_cmd_starttls(struct smtp_session *s, struct str argument);
void smtp_cmd_auth(struct smtp_session *s, struct str argument);
void smtp_cmd_mail(struct smtp_session *s, struct str argument);
void smtp_cmd_rcpt(struct smtp_session *s, struct str argument);
void smtp_cmd_data(struct smtp_session *s, struct str argument);
void smtp_cmd_bdat(struct smtp_session *s, struct str argument);
void smtp_cmd_rset(struct smtp_session *s, struct str argument);
void smtp_cmd_noop(struct smtp_session *s, struct str argument);
void smtp_cmd_vrfy(struct smtp_session *s, struct str argument);
void smtp_cmd_help(struct smtp_session *s, struct str argument);
void smtp_cmd_quit(struct smtp_session *s, struct str argument);
void smtp_cmd_not_implemented(struct smtp_session *s, struct str argument);
void smtp_cmd_junk(struct smtp_session *s, struct str argument);

#endif
