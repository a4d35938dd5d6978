// SPDX-License-Identifier: Apache-2.0
// One IMAP session: what its commands share. Private to popimap/imap_*.c.
//
// A session is a fiber that reads a command (mail/imap_read.h), finds its row in the table of commands (imap_commands.c), has the
// row's conditions checked by the one dispatcher (imap_session.c) and calls the handler. A handler writes untagged answers to the
// connection and returns the tagged one; in between the dispatcher tells the client what has changed in the selected folder, as
// the row allows. Handlers do not check states again. One that can no longer talk to the client puts the session into IMAP_ENDED.
#ifndef POPIMAP_IMAP_SESSION_H
#define POPIMAP_IMAP_SESSION_H

#include "base/conn.h"
#include "base/metrics.h"
#include "base/session.h"
#include "imap_folder.h"
#include "mail/imap_parse.h"
#include "mail/imap_read.h"
#include "mail/imap_reply.h"
#include "mail/sasl.h"
#include "mailbox.h"
#include "server.h"

enum imap_state {
	IMAP_STRANGER, // not authenticated
	IMAP_USER,     // authenticated, nothing selected
	IMAP_SELECTED,
	IMAP_ENDED,    // after LOGOUT, BYE or a broken connection
};

struct imap_session {
	struct conn *conn; // owned
	struct popimap *popimap;
	const struct popimap_service *service;
	struct settings_snapshot *snapshot; // the session keeps the settings that it began with
	const struct settings *settings;    // of snapshot
	enum imap_state state;
	struct imap_read read;
	struct mailbox *mailbox;    // owned; NULL before the log-in
	struct crowd_seat *seat;    // owned; NULL before the log-in, and for those who are not counted
	struct imap_folder *folder; // owned; NULL unless IMAP_SELECTED
	unsigned auth_failures;
	unsigned bad_in_a_row;      // BAD answers without another between them
	char login[SASL_LOGIN_BYTES_MAX + 1];
	struct session_name who;
	struct log_context log_login; // who, and the login
	struct err err; // of the last failed operation
};

// The tagged answer of a command.
struct imap_result {
	enum imap_status status;
	enum imap_code code;
	struct str code_text; // instead of code, with its arguments: "APPENDUID 38505 3955"; in the command's arena
	const char *text;     // a literal
};

struct imap_command_row;

struct imap_command {
	const struct imap_command_row *row;
	struct str tag;
	struct imap_parse p; // behind the name
	struct arena *arena; // for whatever lives as long as the command
	bool uid;            // "UID …"
	struct imap_own own; // changes that were already told
};

// What the dispatcher checks and does for a row.
enum imap_command_flags {
	IMAP_NO_ARGUMENT = 1 << 0,  // BAD with one
	IMAP_BY_UID = 1 << 1,       // numbers are UIDs
	IMAP_WRITES = 1 << 2,       // NO in a folder that was EXAMINEd
	IMAP_TELLS = 1 << 3,        // then the client hears of new messages and flags
	// and of expunged ones too: no command that uses numbers may follow unseen (RFC 3501 section 7.4.1)
	IMAP_TELLS_GONE = 1 << 4,
};

#define IMAP_STATE_BIT(state) (1u << (state))

struct imap_command_row {
	struct str name; // "UID FETCH" is a name of its own
	struct imap_result (*run)(struct imap_session *s, struct imap_command *c);
	unsigned states; // set of IMAP_STATE_BIT; BAD in others
	unsigned flags;
	struct metric *metric;
};

// The row of a name in any case, or NULL.
const struct imap_command_row *imap_command_find(struct str name);

// Results.
static inline struct imap_result imap_ok(const char *text)
{
	return (struct imap_result){.status = IMAP_OK, .text = text};
}

static inline struct imap_result imap_no(enum imap_code code, const char *text)
{
	return (struct imap_result){.status = IMAP_NO, .code = code, .text = text};
}

// BAD with what the parser expected, or with text when the parser is content.
struct imap_result imap_bad(const struct imap_command *c, const char *text);

// NO for an operation that failed (s->err has its text, for the log).
struct imap_result imap_failed(struct imap_session *s, enum err_code code, const char *text);

// Writes "tag STATUS [CODE] text".
void imap_say(struct imap_session *s, struct str tag, const struct imap_result *result);

// "* BYE …", and the session ends.
void imap_bye(struct imap_session *s, enum imap_code code, const char *text);

// Moves to another state; a move that the table in imap_session.c does not allow is a bug. Leaving IMAP_SELECTED frees the
// folder.
void imap_enter(struct imap_session *s, enum imap_state state);

// Adds the capabilities of now, without a line end: for the greeting, CAPABILITY and the answer to a log-in.
void imap_capabilities(const struct imap_session *s, struct buf *b);

// Tells the client what changed in the selected folder. own may be NULL. False when the session ended with it (folder deleted).
bool imap_tell(struct imap_session *s, struct arena *arena, const struct imap_own *own, bool gone, bool uid);

// For commands that read from the connection themselves: APPEND, IDLE. The next line; after an error the session has ended, BYE
// is said.
enum err_code imap_read_more(struct imap_session *s, struct str *line_out);

// Says BYE where the connection still carries it, and ends the session.
void imap_reading_failed(struct imap_session *s, enum err_code code);

// Refuses the announced literal and follows the command to its end. The session may have ended after it.
void imap_refuse_literal(struct imap_session *s, const char *error);

// Handlers, one file per family: imap_cmd_any.c, imap_cmd_login.c, imap_cmd_select.c, imap_cmd_folder.c, imap_cmd_list.c,
// imap_cmd_fetch.c, imap_cmd_store.c, imap_cmd_search.c, imap_cmd_copy.c, imap_cmd_append.c, imap_cmd_idle.c.
#define IMAP_HANDLERS(X)                                                                              \
	X(capability) X(noop) X(logout) X(id) X(enable)                                               \
	X(starttls) X(login) X(authenticate)                                                          \
	X(select) X(examine) X(close) X(unselect) X(check)                                            \
	X(create) X(delete) X(rename) X(subscribe) X(unsubscribe) X(status) X(namespace)              \
	X(list) X(lsub) X(append) X(idle)                                                             \
	X(fetch) X(store) X(search) X(copy) X(move) X(expunge)
#define IMAP_HANDLER_DECLARE(name) struct imap_result imap_cmd_##name(struct imap_session *s, struct imap_command *c);
IMAP_HANDLERS(IMAP_HANDLER_DECLARE)
#undef IMAP_HANDLER_DECLARE

// APPEND, called when a literal was announced and not yet asked for: does everything up to the result. False: the literal is no
// message but an ordinary argument, nothing was done.
bool imap_append_literal(struct imap_session *s, struct imap_command *c, struct imap_result *result_out);

#endif
