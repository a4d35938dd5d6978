// SPDX-License-Identifier: Apache-2.0
// The delivery key as it travels between our own nodes: the MAIL parameter XPHKEY of LMTP (schema/FORMATS.md).
//
//     MAIL FROM:<a@b> XPHKEY=00112233445566778899aabbccddeeff,lists,staff+40uni.example
//
// root guid: 32 lower-case hexadecimal digits, no zero guid; detail and list: xtext without a comma (it is +2C), each may be empty and is at most
// LMTP_KEY_PART_BYTES_MAX decoded. From a peer that is not one of our nodes the parameter is refused: the caller's duty.
#ifndef MAIL_LMTP_H
#define MAIL_LMTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

enum { LMTP_GUID_BYTES = 16, LMTP_KEY_PART_BYTES_MAX = 255 };

#define LMTP_KEY_PARAMETER "XPHKEY"

struct lmtp_key {
	unsigned char root_guid[LMTP_GUID_BYTES];
	struct str detail; // UTF-8 without NUL; empty without a detail
	struct str list;   // the list's addr_key; empty for a delivery that no list made
};

// Adds the value, without "XPHKEY=". False when a part is too long or out is full.
bool lmtp_key_encode(const struct lmtp_key *key, struct buf *out);

// Strict: exactly what lmtp_key_encode makes, byte for byte. Parts live in arena.
bool lmtp_key_parse(struct arena *arena, struct str value, struct lmtp_key *key_out);

#endif
