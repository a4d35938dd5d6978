// SPDX-License-Identifier: Apache-2.0
// Blocks of flags: a damaged mail.db must never crash a store thread. What decodes has one form: written again it is the same
// bytes.
// Covers: popimap/flag_block.c
#include <stdint.h>

#include "base/must.h"
#include "flag_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_of((const char *)data, size);
	struct flag_cursor cursor = flag_block_begin(bytes, FLAG_BLOCK_UIDS);
	struct folder_change message;
	struct buf again;
	uint32_t before = FLAG_BLOCK_UIDS - 1;
	size_t n = 0;
	buf_init(&again, FLAG_BLOCK_BYTES_MAX);
	for (; flag_block_next(&cursor, &message); n++) {
		must(message.uid > before && message.uid < 2 * FLAG_BLOCK_UIDS);
		must(flag_block_add(&again, &message));
		before = message.uid;
	}
	must(n <= FLAG_BLOCK_UIDS);
	must(str_eq(buf_str(&again), str_upto(bytes, again.n)) && (cursor.damaged || again.n == size));
	buf_fini(&again);
	return 0;
}
