// SPDX-License-Identifier: Apache-2.0
// One record of a replay segment: a head, the envelope, the body (schema/FORMATS.md section 5). Pure bytes, no files.
//
//     replay_segment_encode(&envelope, delivered_ms, &out);                 // head and envelope; the body follows
//     if (replay_segment_head(str_upto(bytes, REPLAY_HEAD_BYTES), &head)) ... // is there a record here?
//     code = replay_segment_decode(arena, &head, bytes, &envelope, err);    // head.check covers head and envelope
//
// The envelope is an ENTER record: of the message as it was entered, with those recipients that were delivered to mailboxes of
// ours. Its digest is the body's, so a torn or rotten body is seen by whoever reads it.
#ifndef MTA_REPLAY_SEGMENT_H
#define MTA_REPLAY_SEGMENT_H

#include "schema/record.h"

enum { REPLAY_HEAD_BYTES = 36, REPLAY_CHECK_BYTES = 8 };

struct replay_head {
	int64_t delivered_ms;
	uint32_t envelope_bytes;
	uint64_t body_bytes;
	uint8_t check[REPLAY_CHECK_BYTES];
};

// Appends head and envelope. False when the envelope does not fit into RECORD_BYTES_MAX or out; nothing is then added.
bool replay_segment_encode(const struct record_enter *envelope, int64_t delivered_ms, struct buf *out);

// ERR_CORRUPT: no head; ERR_VERSION. Lengths are within their caps afterwards.
enum err_code replay_segment_head(struct str bytes, struct replay_head *head_out, struct err *err) ERR_CHECKED;

// bytes: head and envelope, exactly. The result borrows from them and from the arena. ERR_CORRUPT, ERR_VERSION, ERR_LIMIT as
// record_decode().
enum err_code replay_segment_decode(struct arena *arena, const struct replay_head *head, struct str bytes,
	struct record_enter *envelope_out, struct err *err) ERR_CHECKED;

#endif
