// SPDX-License-Identifier: Apache-2.0
// The header of a message: its fields one after the other with exact offsets, in linear time and without copies.
//
//     struct header_walk walk;
//     struct header_field field;
//     header_walk_init(&walk, message);
//     while (header_walk_next(&walk, &field))
//         if (str_eq_nocase(field.name, STR("Subject")))
//             subject = header_text(arena, field.body);           // unfolded, encoded words decoded, UTF-8
//     body = str_from(message, walk.body_start);
//
// What is a field (RFC 5322 section 2.2, 4.5): lines end with CRLF or a bare LF (a bare CR is a byte like any other); a line that
// starts with space or tab continues the field before it; the header ends at the first empty line or, where that is missing, with
// the message. A line that is no field (no colon, a bad name, a mailbox's "From " line) is handed out too, with an empty name, so
// that the fields together are exactly the bytes of the header and every part of the house agrees where the body starts. Nothing
// here blocks. Results of the walk borrow from the message.
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/arena.h"
#include "base/str.h"

struct header_field {
	struct str name;   // as written, without space before the colon; empty when the line is no field
	struct str body;   // after the colon, folding and leading space kept, without the final line end
	struct str raw;    // the whole field with its final line end, if it has one
	size_t start;      // offset of raw in the message
	size_t body_start; // offset of body
	size_t end;        // offset after raw
};

struct header_walk {
	struct str message;
	size_t at;         // private
	size_t header_end; // after the last next(): end of the last field, where the empty line begins
	size_t body_start; // after the last next(): after the empty line; the length of the message when there is none
};

void header_walk_init(struct header_walk *walk, struct str message);

// The next field; false at the end of the header, header_end and body_start are then set.
bool header_walk_next(struct header_walk *walk, struct header_field *field_out);

// Where the body starts; walks the header once.
size_t header_body_start(struct str message);

// The first (last) field of that name, case-insensitive; false when there is none. Each call walks the header once.
bool header_find(struct str message, struct str name, struct header_field *field_out);
bool header_find_last(struct str message, struct str name, struct header_field *field_out);

// How many fields have that name.
size_t header_count(struct str message, struct str name);

// Is it a field name: 1 or more bytes of printable ASCII without space and colon (RFC 5322 section 2.2)?
bool header_is_name(struct str name);

// The body without its line ends (RFC 5322 section 2.2.3) and without white space at both ends; inner white space stays. A NUL or
// bare CR becomes a space. Lives in arena; {NULL, 0} over its cap.
struct str header_unfold(struct arena *arena, struct str body);

// An unstructured body as text: unfolded, encoded words decoded (mail/encword.h), ill-formed UTF-8 replaced, controls to spaces.
struct str header_text(struct arena *arena, struct str body);

// Removes what RFC 5322 calls CFWS at the start: white space, line ends and nested comments. A comment that is not closed takes
// the rest. Linear.
struct str header_skip_cfws(struct str text);

struct header_msgids {
	struct str *ids; // without "<" and ">", in order; white space inside is removed
	size_t n;
	bool cut; // there were more than asked for, or over the arena's cap
};

// The message ids of Message-ID, In-Reply-To and References (RFC 5322 section 3.6.4): whatever stands between "<" and ">" outside
// comments and quoted strings. At most max; the first and, when there are more, the last ones (RFC 5256 threads by the last).
// Linear.
void header_msgids(struct arena *arena, struct str body, size_t max, struct header_msgids *ids_out);

#endif
