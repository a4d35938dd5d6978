// SPDX-License-Identifier: Apache-2.0
// Replies of SMTP and LMTP: the table of what we say, how it is written, and the reader for what others say (RFC 5321
// section 4.2, RFC 2034).
//
//     reply_format(reply_of(REPLY_UNKNOWN_USER), &out);                  // "550 5.1.1 …\r\n"
//     struct reply r = reply_with(REPLY_OK, STR("queued as 5f…"));       // same codes, other text
//     struct reply r = reply_of_err(err.code);                           // a fault of ours is 4xx, never 5xx
//
// Nothing here blocks.
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct reply {
	int code;            // 200-599
	struct str enhanced; // "2.1.5"; empty where RFC 2034 has none (greeting, EHLO, 3xx) or the peer gave none
	struct str text;     // lines separated by LF, no LF at the end; borrowed
};

// id, code, enhanced status (RFC 3463), text. One row per thing we say; texts name the cause a sender can act on.
#define REPLIES(X)                                                                                                   \
	X(REPLY_OK, 250, "2.0.0", "OK")                                                                              \
	X(REPLY_SENDER_OK, 250, "2.1.0", "sender accepted")                                                          \
	X(REPLY_RECIPIENT_OK, 250, "2.1.5", "recipient accepted")                                                    \
	X(REPLY_BYE, 221, "2.0.0", "goodbye")                                                                        \
	X(REPLY_AUTH_OK, 235, "2.7.0", "authentication succeeded")                                                   \
	X(REPLY_VRFY, 252, "2.5.2", "cannot verify, but will try to deliver")                                        \
	X(REPLY_CHUNK_OK, 250, "2.0.0", "chunk received")                                                            \
	X(REPLY_DATA, 354, "", "end data with <CR><LF>.<CR><LF>")                                                    \
	X(REPLY_READY_TLS, 220, "2.0.0", "ready to start TLS")                                                       \
	/* commands */                                                                                               \
	X(REPLY_UNKNOWN_COMMAND, 500, "5.5.1", "command unknown")                                                    \
	X(REPLY_LINE_TOO_LONG, 500, "5.5.2", "line too long")                                                        \
	X(REPLY_SYNTAX, 501, "5.5.4", "syntax error in arguments")                                                   \
	X(REPLY_NUL, 501, "5.5.2", "NUL or control character in the command")                                        \
	X(REPLY_BAD_SENDER, 501, "5.1.7", "bad sender address syntax")                                               \
	X(REPLY_BAD_RECIPIENT, 501, "5.1.3", "bad recipient address syntax")                                         \
	X(REPLY_NEEDS_UTF8, 553, "5.6.7", "non-ASCII address without SMTPUTF8")                                      \
	X(REPLY_DUPLICATE_PARAMETER, 501, "5.5.4", "parameter given twice")                                          \
	X(REPLY_BAD_PARAMETER, 501, "5.5.4", "bad parameter value")                                                  \
	X(REPLY_UNKNOWN_PARAMETER, 555, "5.5.4", "parameter not recognized")                                         \
	X(REPLY_FORBIDDEN_COMMAND, 554, "5.5.1", "this is no such server")                                           \
	X(REPLY_NOT_IMPLEMENTED, 502, "5.5.1", "command not implemented")                                            \
	X(REPLY_BAD_SEQUENCE, 503, "5.5.1", "bad sequence of commands")                                              \
	X(REPLY_NO_RECIPIENTS, 554, "5.5.1", "no valid recipients")                                                  \
	X(REPLY_TOO_MANY_ERRORS, 421, "4.7.0", "too many errors, closing")                                           \
	X(REPLY_TOO_MANY_CONNECTIONS, 421, "4.7.0", "too many connections")                                          \
	X(REPLY_EARLY_TALKER, 554, "5.5.0", "commands before the greeting")                                          \
	X(REPLY_TIMEOUT, 421, "4.4.2", "timeout, closing")                                                           \
	X(REPLY_CLOSING, 421, "4.3.2", "service is stopping, closing")                                               \
	X(REPLY_NOT_READY, 421, "4.3.2", "not accepting mail now")                                                   \
	/* TLS and authentication */                                                                                 \
	X(REPLY_TLS_REQUIRED, 530, "5.7.0", "STARTTLS is required first")                                            \
	X(REPLY_TLS_UNAVAILABLE, 454, "4.7.0", "TLS not available now")                                              \
	X(REPLY_AUTH_REQUIRED, 530, "5.7.0", "authentication required")                                              \
	X(REPLY_AUTH_FAILED, 535, "5.7.8", "authentication failed")                                                  \
	X(REPLY_AUTH_TEMPORARY, 454, "4.7.0", "temporary authentication failure")                                    \
	X(REPLY_AUTH_CLEARTEXT, 538, "5.7.11", "encryption required for this mechanism")                             \
	X(REPLY_AUTH_MECHANISM, 504, "5.5.4", "mechanism not supported")                                             \
	X(REPLY_AUTH_ABORTED, 501, "5.7.0", "authentication aborted")                                                \
	X(REPLY_NOT_YOUR_ADDRESS, 553, "5.7.1", "you may not send as this address")                                  \
	/* recipients and policy: PROTOCOLS 96 and 97 */                                                             \
	X(REPLY_UNKNOWN_USER, 550, "5.1.1", "no such user here")                                                     \
	X(REPLY_RELAY_DENIED, 550, "5.7.1", "relay access denied")                                                   \
	X(REPLY_REFUSED, 550, "5.7.1", "refused by policy")                                                          \
	X(REPLY_DEFERRED, 451, "4.3.0", "cannot decide about this recipient now, try again later")                   \
	X(REPLY_ALIAS_LOOP, 550, "5.4.6", "address expands into itself")                                             \
	X(REPLY_MAILBOX_FULL, 452, "4.2.2", "mailbox full")                                                          \
	X(REPLY_MAILBOX_MOVING, 451, "4.2.0", "mailbox is being moved, try again later")                             \
	X(REPLY_NOT_MINE, 451, "4.3.5", "mailbox is not on this node")                                               \
	X(REPLY_TOO_MANY_RECIPIENTS, 452, "4.5.3", "too many recipients, send the others in another transaction")    \
	X(REPLY_KEY_REFUSED, 550, "5.7.1", "delivery key refused")                                                   \
	/* the message */                                                                                            \
	X(REPLY_TOO_BIG, 552, "5.3.4", "message too big")                                                            \
	X(REPLY_BARE_NEWLINE, 550, "5.5.2", "bare <CR> or <LF> in the message, lines must end with <CR><LF>")        \
	X(REPLY_NUL_IN_DATA, 550, "5.6.0", "NUL in the message")                                                     \
	X(REPLY_DATA_LINE_TOO_LONG, 550, "5.6.0", "line too long in the message")                                    \
	X(REPLY_HOP_LIMIT, 554, "5.4.6", "too many hops")                                                            \
	X(REPLY_NEEDS_8BIT, 554, "5.6.1", "8-bit content cannot be sent to the next hop")                            \
	X(REPLY_UTF8_NO_HOP, 550, "5.6.7", "the next hop does not support SMTPUTF8")                                 \
	X(REPLY_NO_SPACE, 452, "4.3.1", "insufficient storage")                                                      \
	X(REPLY_NOT_COMMITTED, 451, "4.3.0", "not stored safely, try again later")                                   \
	X(REPLY_LOCAL_FAULT, 451, "4.3.0", "local problem, try again later")

enum reply_id {
#define REPLY_ENUM(id, code, enhanced, text) id,
	REPLIES(REPLY_ENUM)
#undef REPLY_ENUM
};

// The row's reply; static strings.
struct reply reply_of(enum reply_id id);

// The row's codes with another text (borrowed).
struct reply reply_with(enum reply_id id, struct str text);

// The reply to an operational failure of ours: always 4xx. ERR_NOSPACE and ERR_QUOTA are 452, stopping is 421, all else 451. Not
// for ERR_OK.
struct reply reply_of_err(enum err_code code);

static inline bool reply_is_positive(const struct reply *reply)
{
	return reply->code >= 200 && reply->code < 300;
}

static inline bool reply_is_permanent(const struct reply *reply)
{
	return reply->code >= 500;
}

// Adds the reply with its CRLFs: "250-2.0.0 first\r\n250 2.0.0 last\r\n". Lines over 500 bytes are cut into several; controls and
// bytes over 0x7F become "?" (a reply is ASCII, RFC 5321 section 4.2). False, nothing added, when out is full.
bool reply_format(struct reply reply, struct buf *out);

// The reader for a client: feed it line by line, without line ends.
enum { REPLY_LINES_MAX = 128, REPLY_TEXT_BYTES_MAX = 16 << 10, REPLY_LINE_BYTES_MAX = 2048 };

enum reply_read {
	REPLY_READ_MORE, // a "250-" line: feed the next
	REPLY_READ_DONE, // reply_reader_reply() is the reply
	REPLY_READ_BAD,  // not a reply, codes that differ between lines, over a limit: close the connection
};

struct reply_reader {
	int code;
	unsigned lines;
	char enhanced[12]; // private; "5.1.1" of the first line that has one that fits the code's class
	struct buf text;   // owned
};

void reply_reader_init(struct reply_reader *reader);
void reply_reader_fini(struct reply_reader *reader);

// Takes one line. After DONE or BAD the next line starts a new reply.
enum reply_read reply_reader_line(struct reply_reader *reader, struct str line);

// The reply that is DONE; borrows from the reader until its next line. Text is printable: controls are "?", lines are joined by
// LF. The enhanced status is taken off the text of each line that repeats it.
struct reply reply_reader_reply(const struct reply_reader *reader);

// Is there a line, after the first, for this keyword (an EHLO answer)? Any case. params_out is what follows it, may be NULL.
bool reply_has_keyword(struct reply reply, struct str keyword, struct str *params_out);

#endif
