// SPDX-License-Identifier: Apache-2.0
// BER of RFC 4533, both ways. Elements are read off a borrowed string, tag by tag; nothing is copied.
#include "sync_wire.h"

enum {
	TAG_BOOLEAN = 0x01,
	TAG_OCTETS = SYNC_WIRE_OCTETS,
	TAG_ENUMERATED = 0x0a,
	TAG_SEQUENCE = 0x30,
	TAG_SET = SYNC_WIRE_SET,
	TAG_NEW_COOKIE = 0x80,      // [0], primitive
	TAG_REFRESH_DELETE = 0xa1,  // [1], constructed
	TAG_REFRESH_PRESENT = 0xa2,
	TAG_ID_SET = 0xa3,
	REFRESH_AND_PERSIST = 3,
	LENGTH_LONG = 0x80,
	LENGTH_BYTES_MAX = 4,
};

// --- Reading ---

bool sync_wire_take(struct str *rest, uint8_t tag, struct str *content_out)
{
	if (rest->n < 2 || (uint8_t)rest->p[0] != tag)
		return false;
	size_t head = 2, n = (uint8_t)rest->p[1];
	if (n & LENGTH_LONG) {
		size_t bytes = n & ~(size_t)LENGTH_LONG;
		if (bytes == 0 || bytes > LENGTH_BYTES_MAX || rest->n < head + bytes)
			return false;
		n = 0;
		for (size_t i = 0; i < bytes; i++)
			n = n << 8 | (uint8_t)rest->p[head + i];
		head += bytes;
	}
	if (n > rest->n - head)
		return false;
	*content_out = str_of(rest->p + head, n);
	*rest = str_from(*rest, head + n);
	return true;
}

static bool next_is(struct str rest, uint8_t tag)
{
	return rest.n > 0 && (uint8_t)rest.p[0] == tag;
}

static bool take_uuid(struct str *rest, struct guid *uuid_out)
{
	struct str bytes;
	if (!sync_wire_take(rest, TAG_OCTETS, &bytes) || bytes.n != sizeof uuid_out->b)
		return false;
	memcpy(uuid_out->b, bytes.p, sizeof uuid_out->b);
	return true;
}

// An optional cookie: *cookie_out keeps its value when there is none.
static bool take_cookie(struct str *rest, struct str *cookie_out)
{
	return !next_is(*rest, TAG_OCTETS) || sync_wire_take(rest, TAG_OCTETS, cookie_out);
}

// An optional BOOLEAN: *flag keeps its default when there is none. Any byte but 0 is true (X.690, 8.2.2).
static bool take_flag(struct str *rest, bool *flag)
{
	struct str byte;
	if (!next_is(*rest, TAG_BOOLEAN))
		return true;
	if (!sync_wire_take(rest, TAG_BOOLEAN, &byte) || byte.n != 1)
		return false;
	*flag = byte.p[0] != 0;
	return true;
}

bool sync_state_parse(struct str value, struct sync_state *state_out)
{
	struct sync_state state = {.cookie = STR_NONE};
	struct str rest, change;
	if (!sync_wire_take(&value, TAG_SEQUENCE, &rest) || value.n > 0)
		return false;
	if (!sync_wire_take(&rest, TAG_ENUMERATED, &change) || change.n != 1 || (uint8_t)change.p[0] > SYNC_DELETE)
		return false;
	state.change = (enum sync_change)change.p[0];
	if (!take_uuid(&rest, &state.uuid) || !take_cookie(&rest, &state.cookie) || rest.n > 0)
		return false;
	*state_out = state;
	return true;
}

static bool parse_phase(struct str rest, struct sync_info *info)
{
	info->refresh_done = true;
	return take_cookie(&rest, &info->cookie) && take_flag(&rest, &info->refresh_done) && rest.n == 0;
}

static bool parse_id_set(struct str rest, struct sync_info *info)
{
	struct guid ignored;
	if (!take_cookie(&rest, &info->cookie) || !take_flag(&rest, &info->refresh_deletes) ||
		!sync_wire_take(&rest, TAG_SET, &info->uuids) || rest.n > 0)
		return false;
	for (rest = info->uuids; rest.n > 0;)
		if (!take_uuid(&rest, &ignored))
			return false;
	return true;
}

bool sync_info_parse(struct str value, struct sync_info *info_out)
{
	struct sync_info info = {.cookie = STR_NONE, .uuids = STR_NONE};
	struct str content;
	bool good = false;
	if (value.n == 0)
		return false;
	uint8_t tag = (uint8_t)value.p[0];
	if (!sync_wire_take(&value, tag, &content) || value.n > 0)
		return false;
	switch (tag) {
	case TAG_NEW_COOKIE:
		info.kind = SYNC_NEW_COOKIE;
		info.cookie = content;
		good = true;
		break;
	case TAG_REFRESH_DELETE:
	case TAG_REFRESH_PRESENT:
		info.kind = tag == TAG_REFRESH_DELETE ? SYNC_REFRESH_DELETE : SYNC_REFRESH_PRESENT;
		good = parse_phase(content, &info);
		break;
	case TAG_ID_SET:
		info.kind = SYNC_ID_SET;
		good = parse_id_set(content, &info);
		break;
	}
	if (good)
		*info_out = info;
	return good;
}

bool sync_uuid_next(struct str *uuids, struct guid *uuid_out)
{
	return take_uuid(uuids, uuid_out);
}

// --- Writing ---

static size_t head_bytes(size_t n)
{
	size_t bytes = 2;
	for (size_t left = n; n >= LENGTH_LONG && left > 0; left >>= 8)
		bytes++;
	return bytes;
}

static void add_head(struct buf *value, uint8_t tag, size_t n)
{
	size_t more = head_bytes(n) - 2;
	buf_add_byte(value, (char)tag);
	if (more == 0) {
		buf_add_byte(value, (char)n);
		return;
	}
	buf_add_byte(value, (char)(LENGTH_LONG | more));
	while (more-- > 0)
		buf_add_byte(value, (char)(uint8_t)(n >> (8 * more)));
}

bool sync_request_add(struct buf *value, struct str cookie, bool reload_hint)
{
	size_t n = 3 + (cookie.n ? head_bytes(cookie.n) + cookie.n : 0) + (reload_hint ? 3 : 0);
	add_head(value, TAG_SEQUENCE, n);
	add_head(value, TAG_ENUMERATED, 1);
	buf_add_byte(value, REFRESH_AND_PERSIST);
	if (cookie.n) {
		add_head(value, TAG_OCTETS, cookie.n);
		buf_add(value, cookie);
	}
	if (reload_hint) { // DEFAULT FALSE is left out (RFC 4511, 5.1)
		add_head(value, TAG_BOOLEAN, 1);
		buf_add_byte(value, (char)0xff);
	}
	return !value->overflow;
}
