// SPDX-License-Identifier: Apache-2.0
// Names of IMAP folders: UTF-8 in NFC, levels divided by '/'. Only the parsers here make a struct mailbox_name, so whoever takes
// one knows that it is checked. A name is a row in a database, never a path.
//
//     struct mailbox_name name;
//     if (!mailbox_name_from_mutf7(argument, arena, &name)) BAD             // RFC 3501 section 5.1.3
//     if (!mailbox_name_from_utf8(argument, arena, &name)) BAD              // after ENABLE UTF8=ACCEPT or IMAP4rev2
//     mailbox_name_to_mutf7(&name, &reply);
//
// Refused: an empty name, control characters (NUL, CR, LF, DEL, C1), U+2028 and U+2029, ill-formed UTF-8, an empty level ("a//b",
// "/a"), a level "." or "..", '%' and '*' (patterns), more than MAILBOX_NAME_BYTES_MAX bytes or MAILBOX_NAME_LEVELS_MAX levels.
// INBOX in any case is "INBOX", also as the first level of a longer name; other names keep their case. One '/' at the end is
// dropped and remembered (CREATE "a/b/", rule 43). Nothing here blocks.
#ifndef MAIL_MAILBOX_NAME_H
#define MAIL_MAILBOX_NAME_H

#include "base/arena.h"
#include "base/buf.h"

enum { MAILBOX_NAME_BYTES_MAX = 1000, MAILBOX_NAME_LEVELS_MAX = 50, MAILBOX_NAME_DELIMITER = '/' };

struct mailbox_name {
	struct str path; // NFC, in the arena of the parser
	bool had_delimiter_at_end;
};

// False: not a name. Strings are in the arena.
bool mailbox_name_from_utf8(struct str text, struct arena *arena, struct mailbox_name *out);
bool mailbox_name_from_mutf7(struct str text, struct arena *arena, struct mailbox_name *out);

// INBOX itself.
struct mailbox_name mailbox_name_inbox(void);
bool mailbox_name_is_inbox(const struct mailbox_name *name);

// The name without its last level; false at the top.
bool mailbox_name_parent(const struct mailbox_name *name, struct mailbox_name *out);

// Appends the name in modified UTF-7; false when b overflows.
bool mailbox_name_to_mutf7(const struct mailbox_name *name, struct buf *b);

// Modified UTF-7 alone, for patterns of LIST, which are no names: decoded UTF-8 in the arena. False for what RFC 3501
// section 5.1.3 forbids: 8-bit or control bytes, encoded printable ASCII, bad or superfluous base64, lone surrogates, two shifts
// in a row.
bool mutf7_decode(struct str text, struct arena *arena, struct str *utf8_out);

#endif
