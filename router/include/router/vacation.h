// SPDX-License-Identifier: Apache-2.0
// Is a message to be answered for somebody who is away (RFC 3834)? The decision only: whoever delivers the message sends the
// answer, and remembers correspondent and time in the same commit as the delivery.
//
//     struct vacation_facts facts = {.directory = directory, .user = home.entry, .sender = &mail_from, .list = key.list,
//             .header = header, .delimiters = s->delimiter, .now_ms = clock_wall_ms(),
//             .last_answer_ms = last};                             // to answer.correspondent; 0: never
//     if (vacation_decide(arena, &facts, &answer) == VACATION_ANSWER) {
//             const struct vacation_letter letter = {.user = home.entry, .answer = &answer, …};
//             vacation_write(arena, &letter, &message, &utf8);     // from <> to answer.to
//     }
//
// Nobody is answered whose message was not written to this person by a person: no reports, lists, bulk mail, other answers, no
// address that only a program has, nothing in whose To, Cc or their Resent- forms none of the user's addresses stands. One answer
// a correspondent in phVacationInterval days (7; at least 1), and one more when another vacation has begun since (phVacationStart
// of scheduled). Pure; results live in the arena.
//
// The user's addresses are those of the entry, and what RCPT TO takes for one of them: with a detail, in an alias domain. The
// first 1000 addresses of a header are looked at, all fields together, the first 200 that are not in the entry as RCPT TO would:
// when there are more, and the user is none of them, or when the arena is too small for all that is looked at, nobody is answered
// (VACATION_TOO_LONG).
//
// Of texts in several languages (phVacationText;lang-de) the sender gets the one that he reads or writes (Accept-Language,
// Content-Language), else the one in the user's preferredLanguage, else the one without a language; the subject in the same.
// phVacationTextInternal is for senders whose domain one of the user's addresses has, as Sun's mailAutoReplyTextInternal is;
// without it they get phVacationText, and without that the others get nothing.
#ifndef ROUTER_VACATION_H
#define ROUTER_VACATION_H

#include "base/arena.h"
#include "ldapsync/directory.h"
#include "mail/addr.h"

// verdict, why, for the log and for `posthouse why`
#define VACATION_VERDICTS(X)                                                                                          \
	X(VACATION_ANSWER, "the user is away, and the message is personal")                                           \
	X(VACATION_OFF, "phVacation is not on")                                                                       \
	X(VACATION_NOT_NOW, "it is before phVacationStart or after phVacationEnd")                                    \
	X(VACATION_NO_TEXT, "there is no phVacationText for the sender")                                              \
	X(VACATION_NULL_SENDER, "the message is a report: it comes from <>")                                          \
	X(VACATION_OWN_ADDRESS, "the sender is the user")                                                             \
	X(VACATION_PROGRAM, "the sender's address is a program's")                                                    \
	X(VACATION_LIST, "the message came by a list")                                                                \
	X(VACATION_BULK, "the message says that it is bulk mail, or wants no answer of this kind")                    \
	X(VACATION_AUTOMATIC, "the message was made by a program (Auto-Submitted)")                                   \
	X(VACATION_NOT_ADDRESSED, "none of the user's addresses is in To or Cc")                                      \
	X(VACATION_ANSWERED, "the sender has had an answer already")                                                 \
	X(VACATION_TOO_MANY, "the user has answered too many others in this hour")                                   \
	X(VACATION_TOO_LONG, "the message's header is longer, or has more addresses, than is looked at")

enum vacation_verdict {
#define VACATION_ENUM(verdict, why) verdict,
	VACATION_VERDICTS(VACATION_ENUM)
#undef VACATION_ENUM
};

const char *vacation_why(enum vacation_verdict verdict);

// Is the user away? False: no message is answered, whatever is in it, and nobody needs to look.
bool vacation_is_on(const struct entry *user, int64_t now_ms);

struct vacation_facts {
	struct directory *directory;
	const struct entry *user;
	const struct addr *sender; // of MAIL FROM
	struct str list;           // the list that the delivery came through (delivery key); empty: none
	struct str header;         // of the message; more may follow
	struct str delimiters;     // that begin a detail where a domain has none of its own; empty: none do
	int64_t now_ms, last_answer_ms;
};

struct vacation_answer {
	const struct addr *to;     // the sender
	struct str correspondent;  // its key, under which the answer is remembered
	struct str subject;        // phVacationSubject, else "Auto: " and the message's; UTF-8, one line
	struct str text;           // phVacationText: UTF-8, line ends as the directory has them
	struct str lang;           // of the text; empty: not said
	struct str in_reply_to;    // the message's Message-ID with its brackets; empty: it has none that could be repeated
	struct str references;     // RFC 5322 section 3.6.4: those of the message, then its own; "<a@b> <c@d>"; may be empty
	int64_t again_ms;          // not before this time
	int64_t since_ms;          // an answer that was sent before this time does not count
};

enum vacation_verdict vacation_decide(struct arena *arena, const struct vacation_facts *facts,
	struct vacation_answer *answer_out);

enum {
	VACATION_TEXT_BYTES_MAX = 32 << 10,     // of phVacationText; what is longer is cut
	VACATION_MESSAGE_BYTES_MAX = 192 << 10, // what an answer has at most
};

struct vacation_letter {
	const struct entry *user;
	// whom the message was delivered to: the answer's author where the entry has no mail
	const struct addr *recipient;
	const struct vacation_answer *answer;
	struct str hostname;
	struct guid guid;                     // of the answer: its Message-ID
	int64_t now_ms;
};

// Adds the whole message, with CRLF line ends, in ASCII (in UTF-8 where an address is, *utf8_out: then it needs SMTPUTF8).
// Whatever is in the directory or in the message that is answered, it is one header, one text and nothing else. False: it does
// not fit in out or the arena, or the user has no address.
bool vacation_write(struct arena *arena, const struct vacation_letter *letter, struct buf *out, bool *utf8_out);

#endif
