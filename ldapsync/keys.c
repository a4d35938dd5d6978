// SPDX-License-Identifier: Apache-2.0
// The keys of an entry, encoded.
#include "keys.h"

enum { HEAD_BYTES = 3 };

bool keys_next(struct str *rest, enum directory_key *kind_out, struct str *key_out)
{
	if (rest->n < HEAD_BYTES)
		return false;
	size_t n = (size_t)(uint8_t)rest->p[1] | (size_t)(uint8_t)rest->p[2] << 8;
	if (n > rest->n - HEAD_BYTES)
		return false;
	*kind_out = (enum directory_key)(uint8_t)rest->p[0];
	*key_out = str_of(rest->p + HEAD_BYTES, n);
	*rest = str_from(*rest, HEAD_BYTES + n);
	return true;
}

bool keys_has(struct str keys, enum directory_key kind, struct str key)
{
	struct str other;
	enum directory_key other_kind;
	while (keys_next(&keys, &other_kind, &other))
		if (other_kind == kind && str_eq(other, key))
			return true;
	return false;
}

void keys_add(struct buf *keys, enum directory_key kind, struct str key)
{
	if (key.n > KEYS_KEY_BYTES_MAX || keys_has(buf_str(keys), kind, key))
		return;
	char head[HEAD_BYTES] = {(char)kind, (char)(uint8_t)key.n, (char)(uint8_t)(key.n >> 8)};
	if (buf_reserve(keys, HEAD_BYTES + key.n) == NULL)
		return;
	buf_add(keys, str_of(head, HEAD_BYTES));
	buf_add(keys, key);
}
