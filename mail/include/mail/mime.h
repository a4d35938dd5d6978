// SPDX-License-Identifier: Apache-2.0
// The MIME structure of a message (RFC 2045, 2046) with exact byte offsets, and the bytes that an IMAP section names.
//
//     struct arena *arena = arena_new(MIME_ARENA_BYTES);
//     struct mime mime;
//     mime_parse(message, arena, &mime);
//     struct mime_section section;
//     struct mime_slice slice;
//     if (mime_section_parse(STR("2.1.HEADER"), &section) && mime_section_find(mime.nodes, mime.n, &section, &slice))
//         send(str_upto(str_from(message, slice.at), slice.n));
//
// A message is never refused: what breaks the rules is read as RFC 2045 section 5.2 says (text/plain), and beyond a bound below
// the rest is one opaque part. The work is linear in the bytes of the message (one pass; a line that starts with "--" is compared
// with at most MIME_DEPTH_MAX boundaries of at most MIME_BOUNDARY_BYTES_MAX). Lines may end in CRLF, as stored, or in a bare LF;
// sizes and offsets are those of the bytes given. Nothing here blocks.
//
// cache_build (mail/cache.h) keeps the nodes beside a stored message, so mime_section_find serves FETCH without its body.
#ifndef MAIL_MIME_H
#define MAIL_MIME_H

#include "base/arena.h"
#include "base/buf.h"
#include "mail/header.h"

enum {
	MIME_DEPTH_MAX = 50,               // a multipart or message at this depth is one opaque part
	MIME_PARTS_MAX = 10000,            // the last one runs to the end of the message
	MIME_BOUNDARY_BYTES_MAX = 256,     // RFC 2046 allows 70; a longer one is no boundary
	MIME_PARAMS_MAX = 64,              // of one field; later ones are not read
	MIME_FIELD_BYTES_MAX = 8 << 10,    // of a MIME header field; a longer one counts as absent
	MIME_FIELDS_BYTES_MAX = 512 << 10, // of MIME header fields in one message; later parts count as having none
	// an arena of this size always suffices; a smaller one (64 KiB at least) lowers the bounds
	MIME_ARENA_BYTES = 16 << 20,
};

enum mime_kind {
	MIME_LEAF,
	// its children are the body parts, at least one (a multipart without parts gets an empty one, RFC 3501 grammar)
	MIME_MULTIPART,
	MIME_MESSAGE,   // message/rfc822 or message/global: its one child is the message inside
};

// Content-Transfer-Encoding, RFC 2045 section 6.
enum mime_encoding {
	MIME_7BIT, // also when absent
	MIME_8BIT,
	MIME_BINARY,
	MIME_QUOTED_PRINTABLE,
	MIME_BASE64,
	MIME_UNKNOWN_ENCODING, // BINARY fetches answer [UNKNOWN-CTE]
};

// Where an entity is: nodes[0] is the message, children follow their parent (pre-order). All offsets are from the message's
// start.
struct mime_node {
	uint64_t header_at, header_bytes; // with the blank line that ends it, when it has one
	uint64_t body_at, body_bytes;     // without the line end before a boundary line (RFC 2046 section 5.1.1)
	uint32_t body_lines;              // line ends in the body
	uint32_t child;                   // index of the first child; 0 when there is none
	uint32_t next;                    // index of the next sibling; 0 when there is none
	uint8_t kind;                     // enum mime_kind
	uint8_t encoding;                 // enum mime_encoding
	uint8_t depth;                    // 0 for the message itself
};

struct mime_param {
	struct str name;  // as written: "filename", "FILENAME*", "Filename*0*" (RFC 2231); compare in any case
	struct str value; // dequoted, else as written
};

struct mime_params {
	const struct mime_param *p;
	size_t n;
};

// What the header of an entity says; strings live in the arena or in the message. An absent field is {NULL, 0}, an empty one not.
// Names are as written, to be compared in any case: clients are shown them so.
struct mime_details {
	struct str type, subtype; // the default (text/plain, in a digest message/rfc822) when absent or not valid
	struct mime_params params;
	struct str disposition;
	struct mime_params disposition_params;
	struct str encoding;      // "7bit" when absent
	struct str id, description, md5, location; // unfolded
	const struct str *languages;
	size_t languages_n;
};

struct mime {
	struct str message;                 // borrowed
	const struct mime_node *nodes;      // n of them, n >= 1
	const struct mime_details *details; // beside each node
	uint32_t n;
	bool bounded;  // a bound was met somewhere
	uint64_t work; // bytes read or compared, for tests of linearity
};

// Parses message, which must outlive *out.
void mime_parse(struct str message, struct arena *arena, struct mime *out);

// The value of a parameter ("CHARSET"; any case), for us: RFC 2231 sections joined and decoded, else encoded-words (RFC 2047, not
// allowed there and common) decoded; UTF-8 where the charset is known. An extended value counts before a plain one. False without
// it, or when arena is full.
bool mime_param(const struct mime_params *params, struct str name, struct arena *arena, struct str *value_out);

// The parameters with RFC 2231 sections joined, as BODYSTRUCTURE shows them: "filename*0*=utf-8''a%20; filename*1=b" is
// "filename*=utf-8''a%20b", "name*0=a; name*1=b" is "name=ab". A name whose sections are not all there, each once, stays as it
// was written. Where a section is missing its charset, it is "''". Everything lives in arena; what no longer fits there is left
// out.
void mime_params_join(const struct mime_params *params, struct arena *arena, struct mime_params *out);

// Sections of IMAP's BODY[...] (RFC 3501 section 6.4.5, RFC 9051 section 6.4.5.1).
enum mime_section_kind {
	MIME_SECTION_ALL, // BODY[] or BODY[1.2]
	MIME_SECTION_HEADER,
	MIME_SECTION_FIELDS,     // HEADER.FIELDS: the slice is the header, struct mime_filter picks
	MIME_SECTION_FIELDS_NOT, // HEADER.FIELDS.NOT
	MIME_SECTION_TEXT,
	MIME_SECTION_MIME,
};

struct mime_section {
	enum mime_section_kind kind;
	uint32_t path[MIME_DEPTH_MAX]; // part numbers, each >= 1
	unsigned path_n;
	const struct str *fields; // borrowed: names for MIME_SECTION_FIELDS and _FIELDS_NOT, set by the caller
	size_t fields_n;
};

struct mime_slice {
	uint64_t at, n;
};

// Reads what stands between the brackets, up to the list of names: "", "1.2", "TEXT", "3.HEADER.FIELDS". False when it is not one
// (then BAD); a path deeper than MIME_DEPTH_MAX is not one. out->fields is empty.
bool mime_section_parse(struct str text, struct mime_section *out);

// The bytes of a section in the message that nodes describe. False when there is no such part (then NIL): a missing number, or
// HEADER and TEXT of a part that is not a message. BODY[1] of a message that is no multipart is its body.
bool mime_section_find(const struct mime_node *nodes, size_t n, const struct mime_section *section, struct mime_slice *slice_out);

// The node that a path names, for BINARY; false when there is none.
bool mime_part_find(const struct mime_node *nodes, size_t n, const uint32_t *path, unsigned path_n, uint32_t *index_out);

// The fields of a header whose names are (with_not: are not) among names, in their order, with their folding, then the blank line
// if the header has one. A line that is no field has no name among names: both lists together are the header. In steps, because a
// megabyte of short fields is more than one turn of a fiber may take:
//
//     mime_filter_init(&filter, header, names, n, false);
//     while (mime_filter_more(&filter, STEP_BYTES, &picked))
//         fiber_spent(STEP_BYTES, 0);
//     mime_filter_fini(&filter);
//
// Linear in the header, logarithmic in the names; both are borrowed until fini.
struct mime_filter {
	struct header_walk walk;
	struct str *names; // owned, sorted
	size_t names_n;
	bool with_not;
};
void mime_filter_init(struct mime_filter *filter, struct str header, const struct str *names, size_t names_n, bool with_not);
void mime_filter_fini(struct mime_filter *filter);

// Looks at the next fields until `bytes` of them have gone by, and adds to out what is picked. False when that was the last of
// it; not to be called again then. What does not fit into out is left out, and out->overflow says so.
bool mime_filter_more(struct mime_filter *filter, size_t bytes, struct buf *out);

#endif
