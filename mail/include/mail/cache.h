// SPDX-License-Identifier: Apache-2.0
// What FETCH, SORT and THREAD need of a message without reading it: computed at delivery, kept in mail.db's cache table.
//
//     struct buf b;
//     buf_init(&b, CACHE_BYTES_MAX);
//     cache_build(message, &b);                                     // at delivery, on a store thread
//     ...
//     struct cache cache;
//     if (cache_open(bytes, &cache, &err) == ERR_OK)                // at FETCH
//         buf_add(&reply, cache.envelope);
//     if (cache_nodes(&cache, message_bytes, arena, &nodes, &n, &err) == ERR_OK && mime_section_find(nodes, n, &section, &slice))
//         read_slice(body, slice.at, slice.n);                      // BODY[1.2] reads its bytes and no others
//
// The codec is versioned: ERR_VERSION and ERR_CORRUPT mean that the caller parses the body and writes the row anew. Integers are
// unsigned LEB128 ("varint"), strings a varint length and the bytes:
//
//     byte version (2); byte flags (1: sent is known, 2: bounded, 4: the subject is a reply's);
//     envelope, body, bodystructure; message id; base subject; from, to, cc (SORT keys); varint count, that many references;
//     varint sent in seconds since 1970-01-01 UTC, zigzag;
//     varint number of nodes, then per node, pre-order: byte kind | encoding << 2; varint children, header gap (bytes from the
//     end of the header of the node before it to its own header), header bytes, body bytes, body lines
//
// Nothing here blocks; building is linear in the message.
#ifndef MAIL_CACHE_H
#define MAIL_CACHE_H

#include "base/err.h"
#include "mail/mime.h"

enum {
	CACHE_VERSION = 2,
	CACHE_BYTES_MAX = 16 << 20,      // no message's cache is larger: see the bounds in mail/mime.h
	CACHE_REFERENCES_MAX = 1000,     // message ids kept for THREAD: the first and the last ones of a longer list
	CACHE_ID_BYTES_MAX = 998,        // a longer message id counts as none
	CACHE_SORT_KEY_BYTES_MAX = 1024, // base subject and addresses are cut there, at a character
};

// Strings are borrowed from the bytes given to cache_open.
struct cache {
	struct str envelope, body, bodystructure; // as they go onto the wire, mail/envelope.h
	struct str message_id;                    // without "<>"; empty when there is none
	struct str base_subject;                  // RFC 5256 section 2.1, UTF-8, case as written
	struct str from, to, cc;                  // mailbox of the first address, RFC 5256 section 3, case as written
	int64_t sent;                             // the Date field, seconds since 1970 UTC
	bool sent_known;                          // false: use INTERNALDATE (RFC 5256 section 2.2)
	bool bounded;                             // the structure met a bound of mail/mime.h
	bool subject_is_reply;                    // "Re:" or "Fwd:" was taken off the subject (THREAD)
	struct str references_raw;                // encoded; read with cache_reference
	size_t references_n;
	struct str nodes_raw; // encoded; read with cache_nodes
	size_t nodes_n;
};

// Appends the encoded cache of message. False when b overflows (it cannot with CACHE_BYTES_MAX free).
bool cache_build(struct str message, struct buf *b);

// Checks everything but the nodes. ERR_VERSION, ERR_CORRUPT.
enum err_code cache_open(struct str bytes, struct cache *out, struct err *err) ERR_CHECKED;

// The next message id of *rest, which starts as cache.references_raw; false at the end. Oldest first: References or, when that
// has none, the first of In-Reply-To (RFC 5256 section 3).
bool cache_reference(struct str *rest, struct str *id_out);

// The part table, in arena; checked against the size of the message, so no slice lies outside it. ERR_CORRUPT, ERR_LIMIT (arena).
enum err_code cache_nodes(const struct cache *cache, uint64_t message_bytes, struct arena *arena,
	const struct mime_node **nodes_out, size_t *n_out, struct err *err) ERR_CHECKED;

#endif
