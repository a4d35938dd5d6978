// SPDX-License-Identifier: Apache-2.0
// Encoded bodies: first byte the encoding, then the body. Never longer than what went in, a smaller buffer holds the beginning of
// it, and what we encode comes back.
// Covers: mail/transfer.c
#include "base/codec.h"
#include "base/must.h"
#include "mail/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALL_BYTES = 16 };

// Text comes back, with CRLF for whatever ended its lines, and no line that was written is too long.
static void check_text(struct str text)
{
	struct buf body, back, want;
	enum mime_encoding encoding;
	buf_init(&body, TRANSFER_TEXT_BYTES(text.n));
	buf_init(&back, TRANSFER_TEXT_BYTES(text.n));
	buf_init(&want, 2 * text.n + 2);
	must(transfer_encode_text(text, &encoding, &body) && transfer_decode(encoding, buf_str(&body), &back));
	for (size_t i = 0; i < text.n; i++) {
		bool ends = text.p[i] == '\r' || text.p[i] == '\n';
		must(ends ? buf_add(&want, STR("\r\n")) : buf_add_byte(&want, text.p[i]));
		i += text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n';
	}
	if (want.n && !str_ends(buf_str(&want), STR("\r\n")))
		must(buf_add(&want, STR("\r\n")));
	must(str_eq(buf_str(&back), buf_str(&want)));
	for (struct str rest = buf_str(&body), line; str_next_line(&rest, &line);)
		must(line.n <= 78 && str_index(line, '\r') < 0);
	buf_fini(&body);
	buf_fini(&back);
	buf_fini(&want);
}

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
	check_text(body);
	buf_fini(&out);
	buf_fini(&small);
	buf_fini(&base64);
	return 0;
}
