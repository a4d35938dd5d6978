// SPDX-License-Identifier: Apache-2.0
// One POP3 session (RFC 1939): what its commands share. Private to popimap/pop3_*.c.
//
// A session is a fiber that reads a line, finds its row in the table of commands (pop3_commands.c), has the row's conditions
// checked by the one dispatcher (pop3_session.c) and calls the handler, which answers. What the session shows is a snapshot of
// INBOX as it was at the log-in; the snapshot's marks become deletions at QUIT and at no other time.
#ifndef POPIMAP_POP3_SESSION_H
#define POPIMAP_POP3_SESSION_H

#include "base/conn.h"
#include "base/metrics.h"
#include "base/session.h"
#include "mail/sasl.h"
#include "mailbox.h"
#include "server.h"

enum pop3_state {
	POP3_AUTHORIZATION,
	POP3_TRANSACTION,
	POP3_ENDED,
};

struct pop3_message {
	uint32_t uid;
	bool deleted, retrieved;
	bool unended;   // the message has no final line end
	uint64_t bytes; // as sent, with that line end, before stuffing (PROTOCOLS 85)
};

// Texts that were read before they were asked for.
struct pop3_ahead {
	size_t next;           // index of the message behind the one that was sent last
	size_t first, n;       // texts is of messages[first … first + n)
	struct message *texts; // in arena
	struct arena *arena;   // owned; NULL: nothing is there
};

struct pop3_session {
	struct conn *conn; // owned
	struct popimap *popimap;
	const struct popimap_service *service;
	struct settings_snapshot *snapshot; // the session keeps the settings that it began with
	const struct settings *settings;    // of snapshot
	enum pop3_state state;
	unsigned auth_failures, bad_in_a_row;
	struct crowd_seat *seat;       // owned; NULL before the log-in, and for those who are not counted
	struct mailbox *mailbox;       // owned; NULL before the log-in; holds the lock of the maildrop
	uint32_t folder, uidvalidity;  // INBOX
	struct pop3_message *messages; // owned; number i + 1 is messages[i] (PROTOCOLS 83)
	size_t n;
	struct pop3_ahead ahead;
	char user[SASL_LOGIN_BYTES_MAX + 1]; // of USER, for the PASS that follows; empty: none
	char login[SASL_LOGIN_BYTES_MAX + 1];
	struct session_name who;
	struct log_context log_login; // who, and the login
	struct err err; // of the last failed operation
};

#define POP3_STATE_BIT(state) (1u << (state))

enum pop3_argument { POP3_NO_ARGUMENT, POP3_MAY_ARGUMENT, POP3_MUST_ARGUMENT };

struct pop3_command_row {
	struct str name;
	void (*run)(struct pop3_session *s, struct str argument);
	unsigned states; // set of POP3_STATE_BIT
	enum pop3_argument argument;
};

// The row of a name in any case, or NULL.
const struct pop3_command_row *pop3_command_find(struct str name);

// "+OK text" and "-ERR text"; text is a literal, with its response code (RFC 2449 section 8) where it has one.
void pop3_ok(struct pop3_session *s, const char *text);
void pop3_err(struct pop3_session *s, const char *text);

void pop3_enter(struct pop3_session *s, enum pop3_state state);

// Takes the lock and the snapshot. False: the answer is given. s->mailbox is set.
bool pop3_open_drop(struct pop3_session *s);

// What QUIT does: removes what is marked, then marks as read what was retrieved. May wait.
enum err_code pop3_update_drop(struct pop3_session *s) ERR_CHECKED;

// The message of a number that is there and not marked; NULL: the answer is given.
struct pop3_message *pop3_message_of(struct pop3_session *s, struct str number);

// Sends a message, dot-stuffed, and the final dot; with body_lines below UINT64_MAX only so many lines of its body. After a
// failure in the middle the session has ended. May wait.
void pop3_send(struct pop3_session *s, const struct pop3_message *message, uint64_t body_lines);

// Handlers: pop3_cmd_auth.c, pop3_cmd_drop.c.
void pop3_cmd_capa(struct pop3_session *s, struct str argument);
void pop3_cmd_stls(struct pop3_session *s, struct str argument);
void pop3_cmd_user(struct pop3_session *s, struct str argument);
void pop3_cmd_pass(struct pop3_session *s, struct str argument);
void pop3_cmd_auth(struct pop3_session *s, struct str argument);
void pop3_cmd_quit(struct pop3_session *s, struct str argument);
void pop3_cmd_stat(struct pop3_session *s, struct str argument);
void pop3_cmd_list(struct pop3_session *s, struct str argument);
void pop3_cmd_uidl(struct pop3_session *s, struct str argument);
void pop3_cmd_retr(struct pop3_session *s, struct str argument);
void pop3_cmd_top(struct pop3_session *s, struct str argument);
void pop3_cmd_dele(struct pop3_session *s, struct str argument);
void pop3_cmd_noop(struct pop3_session *s, struct str argument);
void pop3_cmd_rset(struct pop3_session *s, struct str argument);

#endif
