// SPDX-License-Identifier: Apache-2.0
// Base64 and hexadecimal: table look-ups, groups of three bytes and four letters; the last group carries the strictness.
#include "base/codec.h"

static const char base64_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char bare_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./";
static const char hex_digits[] = "0123456789abcdef";

// The value of a base64 letter, or -1. "." is pw-pbkdf2's "+".
static int base64_value(char c, bool bare)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (chr_is_digit(c))
		return c - '0' + 52;
	if (c == '+' || (bare && c == '.'))
		return 62;
	return c == '/' ? 63 : -1;
}

static bool base64_add(struct buf *b, struct str bytes, const char *letters, bool pad)
{
	const unsigned char *in = (const unsigned char *)bytes.p;
	size_t tail = bytes.n % 3, n = bytes.n / 3 * 4 + (tail ? (pad ? 4 : tail + 1) : 0);
	char *out = buf_reserve(b, n);
	if (out == NULL)
		return false;
	for (size_t i = 0; i + 3 <= bytes.n; i += 3) {
		uint32_t group = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
		*out++ = letters[group >> 18];
		*out++ = letters[group >> 12 & 63];
		*out++ = letters[group >> 6 & 63];
		*out++ = letters[group & 63];
	}
	if (tail) {
		uint32_t group = (uint32_t)in[bytes.n - tail] << 16 | (tail == 2 ? (uint32_t)in[bytes.n - 1] << 8 : 0);
		*out++ = letters[group >> 18];
		*out++ = letters[group >> 12 & 63];
		if (tail == 2)
			*out++ = letters[group >> 6 & 63];
		for (size_t i = tail; pad && i < 3; i++)
			*out++ = '=';
	}
	buf_grew(b, n);
	return true;
}

// Decodes text without padding; a last group of one letter is impossible.
static bool base64_decode(struct str text, struct buf *b, bool bare)
{
	size_t tail = text.n % 4, n = text.n / 4 * 3 + (tail ? tail - 1 : 0), done = 0;
	uint32_t group = 0;
	if (tail == 1)
		return false;
	char *out = buf_reserve(b, n);
	if (out == NULL)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int value = base64_value(text.p[i], bare);
		if (value < 0)
			return false;
		group = group << 6 | (uint32_t)value;
		if (i % 4 == 3) {
			out[done++] = (char)(group >> 16);
			out[done++] = (char)(group >> 8);
			out[done++] = (char)group;
			group = 0;
		}
	}
	if (tail == 2) {
		out[done++] = (char)(group >> 4);
		if (group & 15)
			return false;
	} else if (tail == 3) {
		out[done++] = (char)(group >> 10);
		out[done++] = (char)(group >> 2);
		if (group & 3)
			return false;
	}
	buf_grew(b, n);
	return true;
}

bool codec_base64_add(struct buf *b, struct str bytes)
{
	return base64_add(b, bytes, base64_letters, true);
}

bool codec_base64_decode(struct str text, struct buf *b)
{
	if (text.n % 4)
		return false;
	for (int pads = 0; pads < 2 && text.n && text.p[text.n - 1] == '='; pads++)
		text.n--;
	return base64_decode(text, b, false);
}

bool codec_base64_bare_add(struct buf *b, struct str bytes)
{
	return base64_add(b, bytes, bare_letters, false);
}

bool codec_base64_bare_decode(struct str text, struct buf *b)
{
	return base64_decode(text, b, true);
}

bool codec_hex_add(struct buf *b, struct str bytes)
{
	char *out = bytes.n <= SIZE_MAX / 2 ? buf_reserve(b, bytes.n * 2) : NULL;
	if (out == NULL)
		return false;
	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char c = (unsigned char)bytes.p[i];
		out[2 * i] = hex_digits[c >> 4];
		out[2 * i + 1] = hex_digits[c & 15];
	}
	buf_grew(b, bytes.n * 2);
	return true;
}

bool codec_hex_decode(struct str text, struct buf *b)
{
	char *out = text.n % 2 ? NULL : buf_reserve(b, text.n / 2);
	if (out == NULL)
		return false;
	for (size_t i = 0; i < text.n; i += 2) {
		int high = chr_hex(text.p[i]), low = chr_hex(text.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (char)(high << 4 | low);
	}
	buf_grew(b, text.n / 2);
	return true;
}
