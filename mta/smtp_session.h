// SPDX-License-Identifier: Apache-2.0
// One SMTP session: what a front-end adds to the dialogue (mail/dialogue.h). Private to mta/smtp_*.c.
//
// smtp_session.c has the table of commands and what a row of a front-end demands, smtp_cmd_auth.c the log-in, smtp_envelope.c who
// may send and who receives, smtp_message.c the message on its way into the queue.
#ifndef MTA_SMTP_SESSION_H
#define MTA_SMTP_SESSION_H

#include "mail/dialogue.h"
#include "router/service.h"
#include "router/session.h"
#include "schema/settings.h"
#include "smtp_server.h"

// A recipient as the client named it, and what the router said of it.
struct smtp_recipient {
	struct smtp_rcpt rcpt;
	struct recipient_verdict verdict;
};

// The message that comes in.
struct smtp_intake {
	struct spool *spool; // owned; NULL without a message, and after its refusal
	struct guid guid;
	struct buf header;   // held until it is complete
	bool header_done;
	uint64_t taken_bytes; // from the client
};

struct smtp_session {
	struct dialogue d;
	struct smtp_server *server;
	const struct smtp_service *service;
	struct settings_snapshot *snapshot; // the session keeps the settings that it began with
	const struct settings *settings;    // of snapshot
	struct arena *login_arena; // owned; filled once
	struct str login;          // authenticated as; empty: not
	struct str account;        // the directory's name for it (mail/sasl.h)
	unsigned auth_failures;
	struct arena *client_arena; // owned; what the access table said of the client; NULL: nothing
	struct session_access access; // what the access table says of the client and of the transaction's sender
	struct rules *rules;       // owned; the session keeps the tables in files that it began with; NULL: none
	struct str quarantine;     // why the message will be held; in the transaction's arena; empty: not
	struct service_submission may; // of a login: what it may send, as the directory said at MAIL
	size_t targets_n;          // mailboxes and next hops that the recipients became
	struct smtp_intake intake;
};

// What a row of ours may demand beside what every dialogue checks.
enum smtp_command_flags {
	SMTP_ONLY_SUBMISSION = DIALOGUE_FLAG_PROTOCOL << 0, // 502 on port 25
	SMTP_NEEDS_TLS = DIALOGUE_FLAG_PROTOCOL << 1,       // on submission: 530 before STARTTLS
	SMTP_NEEDS_LOGIN = DIALOGUE_FLAG_PROTOCOL << 2,     // on submission: 530 before AUTH
};

// Is it the socket of the mailboxes of this node?
bool smtp_is_of_mailboxes(const struct smtp_session *s);

// May the channel carry a password? TLS, or a trusted network under auth_plaintext = trusted.
bool smtp_may_plaintext(const struct smtp_session *s);

void smtp_cmd_auth(struct dialogue *d, struct str argument);

// Is a message of this size one that the sender may send, and any of the recipients takes? False: *why_out is the reply.
bool smtp_may_take(const struct smtp_session *s, uint64_t bytes, struct reply *why_out);

// The functions of struct dialogue_protocol.
struct reply smtp_sender(struct dialogue *d, struct smtp_mail *mail);
struct reply smtp_recipient(struct dialogue *d, void *recipient);
bool smtp_message_begin(struct dialogue *d, struct reply *why_out);
void smtp_message_take(struct dialogue *d, struct str bytes);
void smtp_message_finish(struct dialogue *d);
void smtp_message_forget(struct dialogue *d);

#endif
