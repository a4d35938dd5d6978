// SPDX-License-Identifier: Apache-2.0
// phStatus: its words, and what each forbids. The one table that RCPT TO, MAIL FROM, log-ins, deliveries and `posthouse why`
// read.
//
//     const struct entry_status_row *row = entry_status_row(entry_status(entry));
//     if (row->mail == ENTRY_STATUS_NO) refuse(row->text);
//
//     word        log-in  mail    so that
//     active      yes     yes
//     nologin     no      yes     a password that leaked is worth nothing, and no mail is lost
//     noreceive   yes     later   its owner reads and sends; mail waits at its senders, and comes back to them in the end
//     hold        yes     later   the same word for a while: a mailbox that is repaired
//     suspended   no      no      somebody who has not paid, or has broken rules
//     disabled    no      no      an account that is closed, its mailbox kept
//     deleted     no      no      an account that is gone, its mailbox to be removed
//     any other   later   later   somebody meant to stop something and wrote a word that is none: nothing is let through, or
//                                 refused for good
//
// Of a phMailDomain it holds for all addresses and people in it, as does phExpires.
//
// log-in is each of submission, imap, pop3 and sieve (phService takes single ones away), and sending in a session that is logged
// in: the front-end asks again at each MAIL. mail is everything that comes in: at RCPT, as a member of a group, over LMTP. A "no"
// is said for good only from a complete and fresh shadow; a log-in that fails does not say which of this it was.
//
// To add a word: a row here, before ENTRY_STATUS_BAD and after all that forbid less: of several (ldapsync/profile_map.c) the last
// counts.
#ifndef SCHEMA_ENTRY_STATUS_H
#define SCHEMA_ENTRY_STATUS_H

#include "base/str.h"

// status, word, log-in, mail, what is said of the mailbox
#define ENTRY_STATUSES(X)                                                                                                  \
	X(ENTRY_STATUS_ACTIVE, "active", ENTRY_STATUS_YES, ENTRY_STATUS_YES, "")                                           \
	X(ENTRY_STATUS_NOLOGIN, "nologin", ENTRY_STATUS_NO, ENTRY_STATUS_YES, "this account may not log in")               \
	X(ENTRY_STATUS_NORECEIVE, "noreceive", ENTRY_STATUS_YES, ENTRY_STATUS_LATER, "mailbox does not accept mail now")   \
	X(ENTRY_STATUS_HOLD, "hold", ENTRY_STATUS_YES, ENTRY_STATUS_LATER, "mailbox is on hold")                           \
	X(ENTRY_STATUS_SUSPENDED, "suspended", ENTRY_STATUS_NO, ENTRY_STATUS_NO, "mailbox is suspended")                   \
	X(ENTRY_STATUS_DISABLED, "disabled", ENTRY_STATUS_NO, ENTRY_STATUS_NO, "mailbox is disabled")                      \
	X(ENTRY_STATUS_DELETED, "deleted", ENTRY_STATUS_NO, ENTRY_STATUS_NO, "mailbox is deleted")                         \
	X(ENTRY_STATUS_BAD, "", ENTRY_STATUS_LATER, ENTRY_STATUS_LATER, "mailbox has a phStatus that is none")

enum entry_status {
#define ENTRY_STATUS_ENUM(status, word, log_in, mail, text) status,
	ENTRY_STATUSES(ENTRY_STATUS_ENUM)
#undef ENTRY_STATUS_ENUM
};

enum entry_status_answer {
	ENTRY_STATUS_YES,
	ENTRY_STATUS_LATER, // not now
	ENTRY_STATUS_NO,
};

struct entry_status_row {
	enum entry_status_answer log_in, mail;
	const char *text; // a literal
};

const struct entry_status_row *entry_status_row(enum entry_status status);

// Of a value, in any case.
enum entry_status entry_status_of(struct str word);

#endif
