// SPDX-License-Identifier: Apache-2.0
// The 128-bit name of a message (and of disks, groups, mailboxes): random when made, never changed by split, move or import.
// A message begotten by another (DSN, forward, list copy, reply) derives its guid from it, so that doing it twice makes one
// message.
//
// Text form: 32 lower-case hex digits. Queue id, what people read and type: 12 digits of Crockford's base32 from the first 60
// bits. Nothing here allocates; guid_new may wait for the system's entropy at boot, never later.
#ifndef BASE_GUID_H
#define BASE_GUID_H

#include "base/str.h"

struct guid {
	uint8_t b[16];
};

enum { GUID_TEXT_BYTES = 33, GUID_SHORT_BYTES = 13 }; // with the NUL

struct guid guid_new(void);

// The guid of what `parent` begets for `recipient` (its addr_key) as `kind` ("dsn", "forward", …): SHA-256 over the three with
// their lengths, cut to 128 bits. The same three give the same guid on every node.
struct guid guid_derive(const struct guid *parent, struct str recipient, struct str kind);

bool guid_eq(const struct guid *a, const struct guid *b);
bool guid_is_zero(const struct guid *a);

// Writes the text form and a NUL; returns it as a str that borrows text_out.
struct str guid_text(const struct guid *guid, char text_out[GUID_TEXT_BYTES]);

// Exactly 32 hex digits, or a UUID with its four hyphens (8-4-4-4-12); either case. False otherwise.
bool guid_parse(struct str text, struct guid *out);

// The queue id and a NUL. Collisions inside one queue are possible and harmless: look-ups by queue id take all that match.
struct str guid_short(const struct guid *guid, char text_out[GUID_SHORT_BYTES]);

static inline struct str guid_bytes(const struct guid *guid)
{
	return (struct str){(const char *)guid->b, sizeof guid->b};
}

#endif
