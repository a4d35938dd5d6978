// SPDX-License-Identifier: Apache-2.0
// Any bytes: refused, or decoded to a record that encodes to the same bytes.
// Covers: schema/record.c schema/record_shape.c
#include <stdint.h>

#include "base/must.h"
#include "schema/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(1 << 20);
	struct record record;
	struct str bytes = str_of((const char *)data, size);
	if (record_decode(arena, bytes, &record, NULL) == ERR_OK) {
		struct buf out;
		buf_init(&out, RECORD_BYTES_MAX);
		must(record_encode(&record, &out));
		must(str_eq(buf_str(&out), bytes));
		buf_fini(&out);
	}
	arena_free(&arena);
	return 0;
}
