// SPDX-License-Identifier: Apache-2.0
// Any bytes as a segment: records are taken while they are whole, and each encodes to the same bytes.
// Covers: mta/replay_segment.c
#include <stdint.h>

#include "base/must.h"
#include "replay_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(1 << 20);
	struct str rest = str_of((const char *)data, size);
	struct replay_head head;
	struct record_enter envelope;
	struct buf out;
	buf_init(&out, RECORD_BYTES_MAX);
	while (replay_segment_head(str_upto(rest, REPLAY_HEAD_BYTES), &head, NULL) == ERR_OK) {
		size_t n = REPLAY_HEAD_BYTES + (size_t)head.envelope_bytes;
		if (rest.n < n || replay_segment_decode(arena, &head, str_upto(rest, n), &envelope, NULL))
			break;
		buf_clear(&out);
		must(replay_segment_encode(&envelope, head.delivered_ms, &out));
		must(str_eq(buf_str(&out), str_upto(rest, n)));
		rest = str_from(rest, n);
		rest = str_from(rest, head.body_bytes < rest.n ? (size_t)head.body_bytes : rest.n);
		arena_reset(arena);
	}
	buf_fini(&out);
	arena_free(&arena);
	return 0;
}
