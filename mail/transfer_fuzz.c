// SPDX-License-Identifier: Apache-2.0
// Encoded bodies: first byte the encoding, then the body. Never longer than what went in, a smaller buffer holds the beginning of it, and
// what we encode comes back.
// Covers: mail/transfer.c
#include "base/codec.h"
#include "base/must.h"
#include "mail/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALL_BYTES = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	enum mime_encoding encoding = (enum mime_encoding)(data[0] % (MIME_UNKNOWN_ENCODING + 1));
	struct str body = str_of((const char *)data + 1, size - 1);
	struct buf out, small, base64;
	buf_init(&out, body.n);
	buf_init(&small, SMALL_BYTES);
	buf_init(&base64, 2 * body.n + 16);
	must(transfer_decode(encoding, body, &out));
	bool fits = transfer_decode(encoding, body, &small);
	must(fits == (out.n <= SMALL_BYTES) && str_starts(buf_str(&out), buf_str(&small)) && (!fits || small.n == out.n));
	if (encoding != MIME_BASE64 && encoding != MIME_QUOTED_PRINTABLE)
		must(str_eq(buf_str(&out), body));
	must(codec_base64_add(&base64, body));
	buf_clear(&out);
	must(transfer_decode(MIME_BASE64, buf_str(&base64), &out) && str_eq(buf_str(&out), body));
	buf_fini(&out);
	buf_fini(&small);
	buf_fini(&base64);
	return 0;
}
