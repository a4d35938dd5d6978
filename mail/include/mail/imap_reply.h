// SPDX-License-Identifier: Apache-2.0
// How IMAP's answers are written: response codes, flags, strings, mailbox names (RFC 3501 section 7, RFC 5530).
//
//     buf_printf(&b, "a1 NO [%.*s] no such mailbox\r\n", STR_FMT(imap_code_text(IMAP_CODE_NONEXISTENT)));
//     imap_reply_flags(&b, &flags);                                // "(\Seen $Forwarded)"
//
// Everything appends to a buffer whose overflow the caller looks at once. Nothing here blocks.
#ifndef MAIL_IMAP_REPLY_H
#define MAIL_IMAP_REPLY_H

#include "base/buf.h"
#include "base/err.h"
#include "mail/imap_parse.h"

enum imap_status { IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_BYE };

// code, text between the brackets; those with arguments are written by their commands.
#define IMAP_CODES(X)                                              \
	X(IMAP_CODE_NONE, "")                                      \
	X(IMAP_CODE_ALERT, "ALERT")                                \
	X(IMAP_CODE_ALREADYEXISTS, "ALREADYEXISTS")                \
	X(IMAP_CODE_AUTHENTICATIONFAILED, "AUTHENTICATIONFAILED")  \
	X(IMAP_CODE_AUTHORIZATIONFAILED, "AUTHORIZATIONFAILED")    \
	X(IMAP_CODE_BADCHARSET, "BADCHARSET (US-ASCII UTF-8)")     \
	X(IMAP_CODE_CANNOT, "CANNOT")                              \
	X(IMAP_CODE_CLIENTBUG, "CLIENTBUG")                        \
	X(IMAP_CODE_CLOSED, "CLOSED")                              \
	X(IMAP_CODE_CONTACTADMIN, "CONTACTADMIN")                  \
	X(IMAP_CODE_CORRUPTION, "CORRUPTION")                      \
	X(IMAP_CODE_EXPIRED, "EXPIRED")                            \
	X(IMAP_CODE_EXPUNGEISSUED, "EXPUNGEISSUED")                \
	X(IMAP_CODE_INUSE, "INUSE")                                \
	X(IMAP_CODE_LIMIT, "LIMIT")                                \
	X(IMAP_CODE_NONEXISTENT, "NONEXISTENT")                    \
	X(IMAP_CODE_NOPERM, "NOPERM")                              \
	X(IMAP_CODE_OVERQUOTA, "OVERQUOTA")                        \
	X(IMAP_CODE_PRIVACYREQUIRED, "PRIVACYREQUIRED")            \
	X(IMAP_CODE_READONLY, "READ-ONLY")                         \
	X(IMAP_CODE_READWRITE, "READ-WRITE")                       \
	X(IMAP_CODE_SERVERBUG, "SERVERBUG")                        \
	X(IMAP_CODE_TOOBIG, "TOOBIG")                              \
	X(IMAP_CODE_TRYCREATE, "TRYCREATE")                        \
	X(IMAP_CODE_UNAVAILABLE, "UNAVAILABLE")

enum imap_code {
#define IMAP_CODE_ENUM(code, text) code,
	IMAP_CODES(IMAP_CODE_ENUM)
#undef IMAP_CODE_ENUM
};

// "OK"; "NONEXISTENT".
const char *imap_status_text(enum imap_status status);
struct str imap_code_text(enum imap_code code);

// The code for an operational failure of ours; the status that goes with it is always NO.
enum imap_code imap_code_of_err(enum err_code code);

// "(\Answered \Seen $Forwarded)"; \Recent where its bit is set.
void imap_reply_flags(struct buf *b, const struct imap_flags *flags);

// An astring: always quoted, or a literal when it holds what a quoted string may not. Mailbox names go through modified UTF-7
// first.
void imap_reply_string(struct buf *b, struct str s);
void imap_reply_mailbox(struct buf *b, const struct mailbox_name *name);

// A quoted INTERNALDATE.
void imap_reply_date(struct buf *b, struct date date);

#endif
