// SPDX-License-Identifier: Apache-2.0
// Base64 and hexadecimal of any bytes: what was encoded is decoded, and what is decoded has one text only.
// Covers: base/codec.c
#include <stdint.h>

#include "base/codec.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	bool (*add)(struct buf *b, struct str bytes);
	bool (*decode)(struct str text, struct buf *b);
} codecs[] = {
	{codec_base64_add, codec_base64_decode},
	{codec_base64_bare_add, codec_base64_bare_decode},
	{codec_hex_add, codec_hex_decode},
};

// "." and "+" are one letter of the bare form, and digits of hexadecimal come in both cases.
static bool same_letters(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] != b.p[i] && chr_lower(a.p[i]) != b.p[i] && !(a.p[i] == '+' && b.p[i] == '.'))
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of((const char *)data, size);
	struct buf text, bytes;
	buf_init(&text, 2 * size + 16);
	buf_init(&bytes, 2 * size + 16);
	for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
		buf_clear(&text);
		buf_clear(&bytes);
		must(codecs[i].add(&text, in) && str_is_printable(buf_str(&text)));
		must(codecs[i].decode(buf_str(&text), &bytes) && str_eq(buf_str(&bytes), in));
		buf_clear(&text);
		buf_clear(&bytes);
		if (codecs[i].decode(in, &bytes))
			must(codecs[i].add(&text, buf_str(&bytes)) && same_letters(in, buf_str(&text)));
		else
			must(bytes.n == 0);
	}
	buf_fini(&text);
	buf_fini(&bytes);
	return 0;
}
