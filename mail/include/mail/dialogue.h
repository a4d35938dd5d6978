// SPDX-License-Identifier: Apache-2.0
// The server's end of SMTP and LMTP: one engine under both, from the greeting to the goodbye
// (RFC 5321, RFC 2033, RFC 2920, RFC 3207).
//
// What is the same in both is here: lines and their limits, who may speak when, the table of commands, states, STARTTLS, the
// memory of a transaction, and the way a message comes in. A protocol adds its commands and decides about senders, recipients and
// messages:
//
//     static const struct dialogue_command rows[] = {
//         {STR("EHLO"), dialogue_cmd_ehlo, DIALOGUE_ANY, DIALOGUE_SYNCHRONISES, &metric_ehlo},
//         {STR("MAIL"), dialogue_cmd_mail, DIALOGUE_BIT(DIALOGUE_READY), 0, &metric_mail},
//         {STR("AUTH"), my_cmd_auth, DIALOGUE_BIT(DIALOGUE_READY), MY_ONLY_SUBMISSION, &metric_auth},
//         …
//     };
//     static const struct dialogue_protocol protocol = {.rows = rows, .rows_n = …, .sender = my_sender,
//         .recipient = my_recipient, …};
//
//     struct my_session { struct dialogue d; … };                         // zeroed
//     dialogue_run(&s->d, conn, &config);                                 // greeting … goodbye, then the connection is closed
//
// The dispatcher checks what a row demands; handlers do not check again. A handler answers with dialogue_say. One that can no
// longer talk to the peer puts the session into DIALOGUE_ENDED.
//
// What can go wrong, and what then happens:
// - the peer goes away, or is silent or slow beyond its deadline: the transaction is forgotten (421 where it can still be said),
//   nothing was promised;
// - this process is told to stop: the command that runs is finished, a message on its way in included, then 421;
// - too many refused commands, or a session older than session_ms: 421;
// - input where the client has to wait for us (before the greeting; behind EHLO, DATA and whatever else is
//   DIALOGUE_SYNCHRONISES): what comes then may have been put there by somebody else (request smuggling), so the session ends and
//   none of it is run;
// - a line that ends in a bare LF, under SMTP_NEWLINE_REJECT: the same, with 521;
// - a message that is refused in the middle: the rest of it is read and thrown away, so that none of it can be taken for
//   commands. In chunks every later one of the message hears the same reason, so that a client that has sent ahead and looks at
//   the last reply only is told it;
// - BDAT at a wrong time: its chunk is read and thrown away too. With a length that is none, or more than any message can have,
//   nobody knows where the next command begins: the session ends;
// - a command of another protocol (config.forbidden: HTTP): the session ends.
//
// Time. A command line must be complete idle_ms after we began to wait for it, a message must be complete message_ms after DATA
// or the first BDAT and must not pause for longer than idle_ms, no command is begun after session_ms. What we do ourselves (the
// disk, above all) has no deadline here: a reply to a message waits until the protocol knows what became of it.
//
// A session runs on a fiber of its own over a struct conn, which in tests and fuzzers is a script in memory. All of it may wait.
#ifndef MAIL_DIALOGUE_H
#define MAIL_DIALOGUE_H

#include "base/arena.h"
#include "base/conn.h"
#include "base/metrics.h"
#include "base/session.h"
#include "mail/reply.h"
#include "mail/smtp.h"
#include "mail/smtp_data.h"

enum { DIALOGUE_PORTION_BYTES_MAX = (16 << 10) + 4 }; // the most that one take gets

enum dialogue_state {
	DIALOGUE_CONNECTED, // greeted by us, no EHLO yet (or STARTTLS has made us forget it: RFC 3207 section 4.2)
	DIALOGUE_READY,     // EHLO said, no transaction
	DIALOGUE_IN_MAIL,   // MAIL accepted
	DIALOGUE_IN_RCPT,   // and at least one RCPT
	DIALOGUE_IN_BDAT,   // and at least one BDAT, not the last (RFC 3030); only more of it, RSET and the like may follow
	DIALOGUE_ENDED,     // the session is over: after QUIT, a fatal reply, or a broken connection
};

#define DIALOGUE_BIT(state) (1u << (state))
#define DIALOGUE_ANY                                                                                                        \
	(DIALOGUE_BIT(DIALOGUE_CONNECTED) | DIALOGUE_BIT(DIALOGUE_READY) | DIALOGUE_BIT(DIALOGUE_IN_MAIL) |                  \
		DIALOGUE_BIT(DIALOGUE_IN_RCPT) | DIALOGUE_BIT(DIALOGUE_IN_BDAT))

struct dialogue;

// What a command needs before its handler runs; the dispatcher replies if it is not so.
enum dialogue_flags {
	DIALOGUE_NO_ARGUMENT = 1 << 0,   // 501 with one
	// the client must wait for the reply (RFC 2920 section 3.1): input behind it ends the session
	DIALOGUE_SYNCHRONISES = 1 << 1,
	DIALOGUE_FLAG_PROTOCOL = 1 << 8, // this and higher bits are the protocol's own, for its may_run
};

struct dialogue_command {
	struct str verb; // any case
	void (*run)(struct dialogue *d, struct str argument);
	unsigned states; // set of DIALOGUE_BIT; 503 in others
	unsigned flags;
	struct metric *metric; // NULL: not counted
};

// What a protocol counts. All are set.
struct dialogue_metrics {
	struct metric *sessions, *open; // begun, and open now
	struct metric *unknown;         // commands that nobody knows
	struct metric *forbidden;       // commands of other protocols; the session was ended
	struct metric *early;           // sessions ended because input came before our reply
	struct metric *injected;        // sessions that sent plaintext behind STARTTLS; it was thrown away
	struct metric *tls_failed;      // handshakes
	struct metric *replies_4xx, *replies_5xx;
};

// SMTP or LMTP. Lives for ever. Every function may wait, and finds its own session in d->session.
struct dialogue_protocol {
	const char *name;                     // in the greeting: "ESMTP", "LMTP"
	const struct dialogue_command *rows;
	size_t rows_n;
	struct dialogue_metrics metrics;
	bool per_recipient;                   // a message is answered once for each recipient (RFC 2033 section 4.2)
	// refusals in handlers are no errors of the peer's, which is a server and asks for many people
	bool forgives;
	// size of the protocol's struct for a recipient, which begins with a struct smtp_rcpt
	size_t recipient_bytes;

	// A command of this row, may it run now? False: why_out is the reply. Asked before the states are looked at.
	bool (*may_run)(struct dialogue *d, const struct dialogue_command *row, struct reply *why_out);

	// EHLO or LHLO was accepted: writes the lines ("250-…") of what only this protocol offers here and now.
	void (*offer)(struct dialogue *d);

	// MAIL and RCPT: parsed, and within the limits that were announced. A positive reply accepts; what is stored in the
	// transaction's arena lives as long as it. sender may complete mail; recipient is zeroed but for its struct smtp_rcpt.
	struct reply (*sender)(struct dialogue *d, struct smtp_mail *mail);
	struct reply (*recipient)(struct dialogue *d, void *recipient);

	// A message: begin, then take for all its bytes in order, then finish or, whatever happens in between, forget. Lines end
	// in CRLF, the last one of chunks perhaps not. begin: false, with a reply, when none can be taken now. take: may call
	// dialogue_refuse, then no more comes. finish: says one reply, or one for each recipient, or says nothing and calls
	// dialogue_refuse.
	bool (*begin)(struct dialogue *d, struct reply *why_out);
	void (*take)(struct dialogue *d, struct str bytes);
	void (*finish)(struct dialogue *d);

	// The transaction is over; drops what begin made and finish did not take.
	void (*forget)(struct dialogue *d);

	// TLS has started: what the peer said of itself before counts no more. May be NULL.
	void (*forget_peer)(struct dialogue *d);
};

// The settings of a session. Texts are borrowed while it lasts.
struct dialogue_config {
	const struct dialogue_protocol *protocol;
	void *session;            // d->session
	struct tls_slot *tls;     // empty: STARTTLS is not offered. NULL: never
	bool tls_at_start;        // RFC 8314
	// instead of a greeting (RFC 5321 section 3.1): 421 ends the session, 554 leaves it to may_run to run QUIT only. code
	struct reply refusal;
	                          // 0: the client is welcome
	struct str hostname;
	const struct str *forbidden; // commands that end the session: other protocols
	size_t forbidden_n;
	enum smtp_newline newline; // of messages; SMTP_NEWLINE_REJECT: of command lines too
	unsigned parameters;      // set of SMTP_PARAM_* of MAIL and RCPT
	size_t line_bytes_max;    // of a command, its end not counted
	uint64_t message_bytes_max; // announced as SIZE (RFC 1870)
	size_t recipients_max;
	size_t transaction_bytes_max; // memory for recipients and whatever the protocol keeps of them
	unsigned errors_max;      // refused commands
	// before the greeting; who speaks then is turned away. 0: it is only looked; below 0: not even that
	int64_t greet_pause_ms;
	int64_t idle_ms;          // the longest wait for a command or for more of a message
	int64_t session_ms;       // no command is begun later
	int64_t message_ms;       // from DATA, or the first BDAT, to the end of the message
};

// One MAIL … end of the message. Everything in it lives in arena, which is emptied with it.
struct dialogue_transaction {
	struct arena *arena; // owned
	struct smtp_mail mail;
	void **recipients;   // those that were accepted, in order; recipients_size of them allocated
	size_t recipients_n, recipients_size;
};

struct dialogue {
	struct conn *conn; // owned
	void *session;
	struct dialogue_config config;
	struct session_name who; // who.log is the parent of what is logged
	enum dialogue_state state;
	struct arena *helo_arena; // owned; emptied by each greeting, so that a client that greets a million times holds one name
	struct str helo;          // what the client calls itself; empty before
	bool esmtp;               // said EHLO or LHLO, not HELO
	int64_t ends_ms;          // when session_ms is over
	unsigned errors;
	struct dialogue_transaction txn;
	struct smtp_data_decoder decoder; // of the message that comes in
	int64_t message_ends_ms;  // when message_ms is over
	bool refused;             // the message that comes in will not be taken
	bool told;                // and the peer has heard why
	struct reply why;         // of refused; its texts live in the transaction, or for ever
	struct err err;           // of the last failed operation
};

// Makes a session of d, which is zeroed. It takes conn. Nothing is said yet.
void dialogue_init(struct dialogue *d, struct conn *conn, const struct dialogue_config *config);

// The session: greeting, commands. Returns when it is over.
void dialogue_run(struct dialogue *d);

// Says goodbye to the network for at most 2 s and frees what d holds.
void dialogue_fini(struct dialogue *d);

// --- For handlers ---

// Replies, counts errors, ends the session after 421. A text that does not fit a reply is left out: the codes are what matters.
// May wait when the peer is slow; a broken connection shows at the next read.
void dialogue_say(struct dialogue *d, struct reply reply);
void dialogue_say_id(struct dialogue *d, enum reply_id id);

// Says why the peer could not be read (421 where the connection still carries it) and ends the session.
void dialogue_reading_failed(struct dialogue *d, enum err_code code);

// Moves to another state; a move that the table in dialogue.c does not allow is a bug.
void dialogue_enter(struct dialogue *d, enum dialogue_state state);

// Ends the transaction, if any: forget, then DIALOGUE_READY (or DIALOGUE_CONNECTED before EHLO) with an empty arena.
void dialogue_reset(struct dialogue *d);

// For take and finish: this message will not be taken. The first reason counts. Its texts must live as long as the transaction.
void dialogue_refuse(struct dialogue *d, struct reply why);

// --- Commands that are the same everywhere, for the rows ---

void dialogue_cmd_ehlo(struct dialogue *d, struct str argument); // and LHLO
void dialogue_cmd_helo(struct dialogue *d, struct str argument);
void dialogue_cmd_starttls(struct dialogue *d, struct str argument);
void dialogue_cmd_mail(struct dialogue *d, struct str argument);
void dialogue_cmd_rcpt(struct dialogue *d, struct str argument);
void dialogue_cmd_data(struct dialogue *d, struct str argument);
void dialogue_cmd_bdat(struct dialogue *d, struct str argument); // for DIALOGUE_ANY, without flags: it must always read its chunk
void dialogue_cmd_rset(struct dialogue *d, struct str argument);
void dialogue_cmd_noop(struct dialogue *d, struct str argument);
void dialogue_cmd_vrfy(struct dialogue *d, struct str argument); // RFC 5321 section 7.3: says nothing about anybody
void dialogue_cmd_help(struct dialogue *d, struct str argument);
void dialogue_cmd_quit(struct dialogue *d, struct str argument);
void dialogue_cmd_not_implemented(struct dialogue *d, struct str argument);

#endif
