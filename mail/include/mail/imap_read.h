// SPDX-License-Identifier: Apache-2.0
// Where an IMAP command ends: lines and literals in, whole commands out (RFC 3501 section 4.3, RFC 7888). A state machine without
// I/O.
//
//     struct imap_read read;
//     imap_read_init(&read, &(struct imap_read_limits){.text_bytes_max = 64 << 10, .skip_bytes_max = 50 << 20});
//     for (;;) {
//         line = ... a line without its end ...
//         enum imap_read_state state = imap_read_line(&read, line);
//         while (state == IMAP_READ_LITERAL || state == IMAP_READ_SKIP) ... read literal.n bytes, then imap_read_literal_done ...
//         if (state == IMAP_READ_COMMAND)
//             dispatch(imap_read_text(&read));
//         imap_read_reset(&read);
//     }
//
// A literal stays in the text as it came, "{5}" CR LF and its bytes, so that mail/imap_parse.h reads one string and no byte of a
// literal can be taken for syntax. What a client announced and we refuse is either never sent (a synchronising literal: it waits
// for our "+"), or thrown away byte by byte (a non-synchronising one), or the connection ends: it is never read as a command
// (threat lit-reject). Nothing here blocks.
#ifndef MAIL_IMAP_READ_H
#define MAIL_IMAP_READ_H

#include "base/buf.h"

struct imap_read_limits {
	size_t text_bytes_max;   // of a command: lines with their ends and the literals kept with them
	uint64_t skip_bytes_max; // of a refused non-synchronising literal that is thrown away; a larger one ends the connection
};

enum imap_read_state {
	IMAP_READ_LINE,    // go on with the next line
	IMAP_READ_LITERAL, // a literal follows, read.literal: keep it, take it or refuse it
	IMAP_READ_SKIP,    // throw read.literal.n bytes away, then imap_read_literal_done
	IMAP_READ_COMMAND, // imap_read_text is a whole command
	IMAP_READ_REFUSED, // the command is over and was refused: read.error says why, imap_read_text holds what there is of it
	IMAP_READ_CLOSE,   // we cannot know any more where the next command starts: say BYE and close
};

struct imap_literal {
	uint64_t n;    // bytes
	bool waits;    // synchronising: the client sends it after our "+"
	bool binary;   // literal8, "~{n}" (RFC 3516): it may hold NULs
};

struct imap_read {
	struct imap_read_limits limits;
	struct buf text;             // owned
	size_t literal_at;           // where in text the literal begins
	struct imap_literal literal; // what the last line announced; all zero: nothing
	const char *error;           // NULL: all is well so far
};

void imap_read_init(struct imap_read *read, const struct imap_read_limits *limits);
void imap_read_fini(struct imap_read *read);

// A new command begins. Memory that the last one needed beyond a kilobyte is given back.
void imap_read_reset(struct imap_read *read);

// Takes a line without its end. A line with a NUL, or that makes the command too long, is refused; a literal it announces still
// counts. A synchronising literal for which text has no room gives IMAP_READ_LITERAL all the same: the caller may take it
// (APPEND).
enum imap_read_state imap_read_line(struct imap_read *read, struct str line);

// May the announced literal be kept in text?
bool imap_read_has_room(const struct imap_read *read);

// Keep it: read exactly literal.n bytes to the end of read->text (it has room), then call imap_read_literal_done. First send "+ "
// when literal.waits. Take it: call imap_read_taken, read the bytes elsewhere, go on with the lines of the command, which are
// then all that text holds.
void imap_read_taken(struct imap_read *read);

// Refuse it: what then has to be done, IMAP_READ_REFUSED, IMAP_READ_SKIP or IMAP_READ_CLOSE. error is a literal.
enum imap_read_state imap_read_refuse(struct imap_read *read, const char *error);

// The bytes of a literal were kept or skipped: the next line of the command follows (always IMAP_READ_LINE). A NUL in one that is
// not binary refuses the command.
enum imap_read_state imap_read_literal_done(struct imap_read *read);

static inline struct str imap_read_text(const struct imap_read *read)
{
	return buf_str(&read->text);
}

// For the reply to a refused command: its tag, or "*" when it has none that could be repeated.
struct str imap_read_tag(const struct imap_read *read);

#endif
