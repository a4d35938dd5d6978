// SPDX-License-Identifier: Apache-2.0
// The words of IMAP's grammar (RFC 3501 section 9): atoms, strings, numbers, lists, flags, dates, mailbox names.
//
//     struct imap_parse p;
//     struct str tag, name, user, password;
//     imap_parse_init(&p, imap_read_text(&read), arena);
//     if (!imap_parse_tag(&p, &tag) || !imap_parse_space(&p) || !imap_parse_atom(&p, &name))
//         bad(tag, p.error);
//     if (imap_parse_space(&p) && imap_parse_astring(&p, &user) && imap_parse_space(&p) && imap_parse_astring(&p, &password) &&
//         imap_parse_end(&p)) ...
//
// Each call reads one thing at p->at. It returns false when that is not there: p->error then says what was expected (the first
// failure counts, and every later call fails too), outputs are untouched. So a command is a chain of && and one look at the end;
// alternatives are chosen by imap_parse_peek, never by trying. Strings borrow from the text, or live in the arena where they had
// to be unquoted. Parentheses are at most IMAP_DEPTH_MAX deep. Work is linear in the text. Nothing here blocks.
#ifndef MAIL_IMAP_PARSE_H
#define MAIL_IMAP_PARSE_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/date.h"
#include "mail/mailbox_name.h"

enum {
	IMAP_DEPTH_MAX = 50,
	IMAP_TAG_BYTES_MAX = 100,
	IMAP_KEYWORD_BYTES_MAX = 100,
	IMAP_KEYWORDS_MAX = 55, // of one command
};

struct imap_parse {
	struct str in;
	size_t at;
	struct arena *arena;
	const char *error; // literal; NULL while all is well
	unsigned depth;    // open parentheses of the recursive parsers
};

void imap_parse_init(struct imap_parse *p, struct str text, struct arena *arena);

// Fails with this reason, unless one stands already. Always false.
bool imap_parse_fail(struct imap_parse *p, const char *error);

// The next byte, or -1 at the end (also after a failure).
int imap_parse_peek(const struct imap_parse *p);

// The rest of the text.
struct str imap_parse_rest(const struct imap_parse *p);

bool imap_parse_byte(struct imap_parse *p, char c);
bool imap_parse_space(struct imap_parse *p); // exactly one
bool imap_parse_end(struct imap_parse *p);   // the end; trailing spaces are forgiven

// "(" and ")"; open counts depth, close gives it back.
bool imap_parse_open(struct imap_parse *p);
bool imap_parse_close(struct imap_parse *p);

bool imap_parse_tag(struct imap_parse *p, struct str *tag_out);
bool imap_parse_atom(struct imap_parse *p, struct str *atom_out);
bool imap_parse_string(struct imap_parse *p, struct str *string_out);  // quoted or literal
bool imap_parse_astring(struct imap_parse *p, struct str *string_out); // atom with "]", quoted or literal
bool imap_parse_nstring(struct imap_parse *p, struct str *string_out); // string, or NIL as {NULL, 0}

// The announcement of a literal that the caller took itself ("{n}", "{n+}" or "~{n}" and a line end at the end of the text).
bool imap_parse_announced(struct imap_parse *p);

bool imap_parse_number(struct imap_parse *p, uint32_t *number_out);
bool imap_parse_number_nz(struct imap_parse *p, uint32_t *number_out);

// System flags as bits. \Recent cannot be set by a client.
enum imap_flag {
	IMAP_FLAG_SEEN = 1,
	IMAP_FLAG_ANSWERED = 2,
	IMAP_FLAG_FLAGGED = 4,
	IMAP_FLAG_DELETED = 8,
	IMAP_FLAG_DRAFT = 16,
	IMAP_FLAG_RECENT = 32,
};
struct imap_flags {
	unsigned system;            // IMAP_FLAG_*
	const struct str *keywords; // as written, each once (case-insensitive)
	size_t keywords_n;
};

// "(\Seen $Forwarded)", and with `bare` also one or more flags without parentheses (STORE). Unknown \Flags and \Recent fail.
bool imap_parse_flags(struct imap_parse *p, bool bare, struct imap_flags *flags_out);

// A quoted date-time (APPEND), and a date, quoted or not, as days since 1970 (SEARCH).
bool imap_parse_date_time(struct imap_parse *p, struct date *date_out);
bool imap_parse_date(struct imap_parse *p, int32_t *day_out);

// The name of a mailbox: an astring in modified UTF-7 (mail/mailbox_name.h). With _new, one "/" at its end is allowed (CREATE).
bool imap_parse_mailbox(struct imap_parse *p, struct mailbox_name *name_out);
bool imap_parse_mailbox_new(struct imap_parse *p, struct mailbox_name *name_out);

// Reference or pattern of LIST and LSUB: list-mailbox or string, in modified UTF-7, as UTF-8; may be empty.
bool imap_parse_pattern(struct imap_parse *p, struct str *pattern_out);

#endif
