// SPDX-License-Identifier: Apache-2.0
// The bytes of a block of flags: per message uid - first (a byte), MODSEQ, flags (varints: groups of 7 bits, the lowest first).
#include "flag_block.h"

#include "base/must.h"

enum { VARINT_BYTES_MAX = 9, VARINT_MORE = 0x80 };

static bool take_varint(struct str *rest, uint64_t *out)
{
	uint64_t value = 0;
	for (size_t i = 0; i < rest->n && i < VARINT_BYTES_MAX; i++) {
		uint8_t byte = (uint8_t)rest->p[i];
		value |= (uint64_t)(byte & ~VARINT_MORE) << (7 * i);
		if (byte & VARINT_MORE)
			continue;
		*rest = str_from(*rest, i + 1);
		*out = value;
		return byte != 0 || i == 0; // one form for each number
	}
	return false;
}

static size_t put_varint(char *p, uint64_t value)
{
	size_t n = 0;
	for (; value >= VARINT_MORE; value >>= 7)
		p[n++] = (char)(uint8_t)(value | VARINT_MORE);
	p[n++] = (char)(uint8_t)value;
	return n;
}

struct flag_cursor flag_block_begin(struct str data, uint32_t first)
{
	return (struct flag_cursor){.rest = data, .first = first};
}

bool flag_block_next(struct flag_cursor *cursor, struct folder_change *message_out)
{
	struct folder_change message;
	if (cursor->rest.n == 0 || cursor->damaged)
		return false;
	int distance = (uint8_t)cursor->rest.p[0];
	cursor->rest = str_from(cursor->rest, 1);
	cursor->damaged = distance < cursor->next || distance >= FLAG_BLOCK_UIDS ||
			  !take_varint(&cursor->rest, &message.modseq) || !take_varint(&cursor->rest, &message.flags);
	if (cursor->damaged)
		return false;
	cursor->next = distance + 1;
	message.uid = cursor->first + (uint32_t)distance;
	*message_out = message;
	return true;
}

bool flag_block_add(struct buf *data, const struct folder_change *message)
{
	char bytes[FLAG_BLOCK_ENTRY_BYTES_MAX];
	size_t n = 0;
	must(message->modseq <= INT64_MAX && message->flags <= INT64_MAX);
	bytes[n++] = (char)(uint8_t)(message->uid % FLAG_BLOCK_UIDS);
	n += put_varint(bytes + n, message->modseq);
	n += put_varint(bytes + n, message->flags);
	return buf_add(data, str_of(bytes, n));
}
