// SPDX-License-Identifier: Apache-2.0
// The delivery key as it travels between our own nodes over LMTP (schema/FORMATS.md section 7): a parameter of MAIL and one of
// RCPT.
//
//     MAIL FROM:<a@b.example> XPHKEY=00112233445566778899aabbccddeeff
//     RCPT TO:<joe@uni.example> XPHRCPT=lists,staff@uni.example
//
// root guid: 32 lower-case hex digits, not all zero. detail and list: xtext in which a comma is +2C too; each may be empty and is
// at most LMTP_KEY_PART_BYTES_MAX decoded. Whether a peer may give them is the caller's decision. mail/smtp.h calls these;
// nothing blocks.
#ifndef MAIL_LMTP_H
#define MAIL_LMTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/guid.h"
#include "base/str.h"

enum {
	LMTP_KEY_PART_BYTES_MAX = 1024, // an addr_key of the longest address, folded, fits
	// what a front-end of ours adds to a message: trace, and fields that a submission lacks. No limit means these
	LMTP_ADDED_BYTES_MAX = 4096,
	LMTP_LIST_BYTES_MAX = 16 << 10, // and lists, to the header of their copies; twice where a copy goes to another list
};

// What belongs to one recipient of the key.
struct lmtp_rcpt_key {
	struct str detail; // as recorded, UTF-8 without controls; empty without a detail
	struct str list;   // the list's addr_key; empty for a delivery that no list made
};

// Adds the value, without "XPHRCPT=". False when a part is too long or is no such text, or out is full.
bool lmtp_rcpt_key_encode(const struct lmtp_rcpt_key *key, struct buf *out);

// Strict: exactly what lmtp_rcpt_key_encode makes, byte for byte. Parts live in arena. False otherwise, or when arena is full.
bool lmtp_rcpt_key_parse(struct arena *arena, struct str value, struct lmtp_rcpt_key *key_out);

// Strict: exactly 32 lower-case hex digits, not the zero guid.
bool lmtp_root_guid_parse(struct str value, struct guid *guid_out);

#endif
