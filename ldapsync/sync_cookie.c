// SPDX-License-Identifier: Apache-2.0
// The stored cookie: "ldap1 SUM SCOPE USABLE CSNS OPAQUE URI", where SUM is over what follows it; "-" stands for nothing.
// Of a server that is polled OPAQUE is "poll:" and what poll_step_write has written, in hexadecimal.
#include "sync_cookie.h"

#include "base/codec.h"

enum { FIELDS = 5 }; // after the sum
#define POLL STR("poll:")

static struct guid sum_of(struct str text)
{
	static const struct guid none;
	return guid_derive(&none, text, STR("cookie"));
}

static void add_or_dash(struct buf *text, struct str field)
{
	buf_add(text, field.n ? field : STR("-"));
}

static bool write_fields(const struct sync_cookie *cookie, struct buf *text)
{
	char scope[GUID_TEXT_BYTES];
	buf_add(text, guid_text(&cookie->scope, scope));
	buf_add(text, cookie->usable ? STR(" 1 ") : STR(" 0 "));
	if (cookie->csns.n)
		csns_print(&cookie->csns, text);
	else
		buf_add_byte(text, '-');
	buf_add_byte(text, ' ');
	if (cookie->polled[0]) {
		buf_add(text, POLL);
		codec_hex_add(text, str_of_c(cookie->polled));
	} else if (cookie->opaque_n) {
		codec_hex_add(text, str_of(cookie->opaque, cookie->opaque_n));
	} else {
		buf_add_byte(text, '-');
	}
	buf_add_byte(text, ' ');
	add_or_dash(text, str_of_c(cookie->uri));
	return !text->overflow;
}

bool sync_cookie_write(const struct sync_cookie *cookie, struct buf *text)
{
	struct buf fields;
	char sum[GUID_TEXT_BYTES];
	buf_init(&fields, CSNS_TEXT_BYTES_MAX + 2 * SYNC_OPAQUE_BYTES_MAX + SYNC_URI_BYTES_MAX + 64);
	bool good = write_fields(cookie, &fields);
	if (good) {
		struct guid guid = sum_of(buf_str(&fields));
		buf_add(text, STR("ldap1 "));
		buf_add(text, guid_text(&guid, sum));
		buf_add_byte(text, ' ');
		good = buf_add(text, buf_str(&fields)) && !text->overflow;
	}
	buf_fini(&fields);
	return good;
}

static bool read_polled(struct str hex, struct sync_cookie *cookie)
{
	struct buf bytes;
	buf_init(&bytes, sizeof cookie->polled - 1);
	bool good = codec_hex_decode(hex, &bytes) && str_to_c(buf_str(&bytes), cookie->polled, sizeof cookie->polled);
	buf_fini(&bytes);
	return good;
}

static bool read_opaque(struct str hex, struct sync_cookie *cookie)
{
	struct buf bytes;
	if (str_starts(hex, POLL))
		return read_polled(str_from(hex, POLL.n), cookie);
	buf_init(&bytes, SYNC_OPAQUE_BYTES_MAX);
	bool good = codec_hex_decode(hex, &bytes);
	cookie->opaque_n = good ? bytes.n : 0;
	if (good && bytes.n)
		memcpy(cookie->opaque, bytes.p, bytes.n);
	buf_fini(&bytes);
	return good;
}

static bool read_fields(struct str text, struct sync_cookie *cookie)
{
	struct str field[FIELDS];
	for (size_t i = 0; i < FIELDS - 1; i++)
		if (!str_cut(text, ' ', &field[i], &text))
			return false;
	field[FIELDS - 1] = text;
	for (size_t i = 0; i < FIELDS; i++)
		if (str_eq(field[i], STR("-")))
			field[i] = STR_NONE;
	cookie->usable = str_eq(field[1], STR("1"));
	return guid_parse(field[0], &cookie->scope) && csns_parse(field[2], &cookie->csns) && read_opaque(field[3], cookie) &&
	       str_to_c(field[4], cookie->uri, sizeof cookie->uri);
}

bool sync_cookie_read(struct str text, struct sync_cookie *cookie_out)
{
	struct str head, sum;
	struct guid guid;
	memset(cookie_out, 0, sizeof *cookie_out);
	if (!str_cut(text, ' ', &head, &text) || !str_eq(head, STR("ldap1")) || !str_cut(text, ' ', &sum, &text) ||
		!guid_parse(sum, &guid))
		return false;
	struct guid wanted = sum_of(text);
	if (guid_eq(&guid, &wanted) && read_fields(text, cookie_out))
		return true;
	memset(cookie_out, 0, sizeof *cookie_out);
	return false;
}

void sync_cookie_request(const struct sync_cookie *cookie, const struct guid *scope, struct str uri, struct buf *request)
{
	if (!cookie->usable || !guid_eq(&cookie->scope, scope))
		return;
	if (cookie->csns.n && cookie->csns.form == CSN_OPENLDAP) {
		// No sid=: it would make us a server of that SID, which is not sent its own changes.
		buf_add(request, STR("rid=000,csn="));
		csns_print(&cookie->csns, request);
	} else if (cookie->opaque_n && str_eq(uri, str_of_c(cookie->uri))) {
		buf_add(request, str_of(cookie->opaque, cookie->opaque_n));
	}
}
