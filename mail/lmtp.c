// SPDX-License-Identifier: Apache-2.0
// The delivery key's parameters of LMTP: values to text and strictly back.
#include "mail/lmtp.h"

#include "chars.h"
#include "mail/xtext.h"

static bool is_part(struct str part)
{
	return part.n <= LMTP_KEY_PART_BYTES_MAX && str_is_utf8(part) && !chars_any_control(part);
}

bool lmtp_rcpt_key_encode(const struct lmtp_rcpt_key *key, struct buf *out)
{
	return is_part(key->detail) && is_part(key->list) && xtext_encode_part(key->detail, ',', out) && buf_add_byte(out, ',') &&
	       xtext_encode_part(key->list, ',', out);
}

bool lmtp_rcpt_key_parse(struct arena *arena, struct str value, struct lmtp_rcpt_key *key_out)
{
	struct lmtp_rcpt_key key;
	struct str detail, list;
	if (!str_cut(value, ',', &detail, &list) || str_index(list, ',') >= 0)
		return false;
	if (value.n > 2 * 3 * LMTP_KEY_PART_BYTES_MAX + 1 || !xtext_decode(arena, detail, &key.detail) ||
	    !xtext_decode(arena, list, &key.list))
		return false;
	// One spelling only: two keys that mean the same must be the same bytes everywhere.
	struct buf again;
	buf_init(&again, value.n);
	bool same = lmtp_rcpt_key_encode(&key, &again) && str_eq(buf_str(&again), value);
	buf_fini(&again);
	if (same)
		*key_out = key;
	return same;
}

bool lmtp_root_guid_parse(struct str value, struct guid *guid_out)
{
	struct guid guid;
	if (value.n != GUID_TEXT_BYTES - 1 || !guid_parse(value, &guid) || guid_is_zero(&guid))
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (chr_lower(value.p[i]) != value.p[i])
			return false;
	*guid_out = guid;
	return true;
}
