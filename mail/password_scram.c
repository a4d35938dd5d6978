// SPDX-License-Identifier: Apache-2.0
// phScram values: SASLprep (RFC 4013) and the keys of SCRAM-SHA-256 (RFC 5802, RFC 5803, RFC 7677).
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/codec.h"
#include "base/must.h"
#include "mail/password.h"
#include "password_hash.h"

struct range {
	ucs4_t first, last;
};

// RFC 3454 table C.1.2: other spaces become a space.
static const struct range spaces[] = {
	{0x00a0, 0x00a0}, {0x1680, 0x1680}, {0x2000, 0x200b}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};

// RFC 3454 table B.1: commonly mapped to nothing.
static const struct range nothings[] = {{0x00ad, 0x00ad}, {0x034f, 0x034f}, {0x1806, 0x1806}, {0x180b, 0x180d}, {0x200c, 0x200d},
                                        {0x2060, 0x2060}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};

// RFC 3454 tables C.2.1 to C.9, without C.4 (checked by form) and C.5 (no UTF-8).
static const struct range prohibited[] = {
	{0x0000, 0x001f}, {0x007f, 0x009f}, {0x0340, 0x0341}, {0x06dd, 0x06dd}, {0x070f, 0x070f}, {0x180e, 0x180e},
	{0x200e, 0x200f},
	{0x2028, 0x202e}, {0x2060, 0x2063}, {0x206a, 0x206f}, {0x2ff0, 0x2ffb}, {0xe000, 0xf8ff}, {0xfdd0, 0xfdef},
	{0xfeff, 0xfeff},
	{0xfff9, 0xffff}, {0x1d173, 0x1d17a}, {0xe0001, 0xe0001}, {0xe0020, 0xe007f}, {0xf0000, 0x10ffff},
};

#define IN(c, table) in_ranges((c), (table), sizeof(table) / sizeof *(table))

static bool in_ranges(ucs4_t c, const struct range *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (c >= table[i].first && c <= table[i].last)
			return true;
	return false;
}

// RFC 4013 section 2.1. out holds at most as many bytes as in.
static size_t map(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t made = 0;
	for (size_t i = 0; i < n;) {
		ucs4_t c;
		int len = u8_mbtouc(&c, in + i, n - i);
		if (IN(c, spaces)) {
			out[made++] = ' ';
		} else if (!IN(c, nothings)) {
			memcpy(out + made, in + i, (size_t)len);
			made += (size_t)len;
		}
		i += (size_t)len;
	}
	return made;
}

static bool is_right_to_left(ucs4_t c)
{
	int class = uc_bidi_class(c);
	return class == UC_BIDI_R || class == UC_BIDI_AL;
}

// RFC 4013 sections 2.3 to 2.5; why not, or NULL.
static const char *fault(const uint8_t *p, size_t n)
{
	bool left = false, right = false, first_right = false, last_right = false;
	if (n == 0)
		return "nothing is left of it after SASLprep";
	for (size_t i = 0, len; i < n; i += len) {
		ucs4_t c;
		len = (size_t)u8_mbtouc(&c, p + i, n - i);
		if (IN(c, prohibited) || (c & 0xfffe) == 0xfffe)
			return "it has a character that SASLprep prohibits (a control, private use, not a character)";
		if (uc_is_general_category(c, UC_UNASSIGNED))
			return "it has a code point that Unicode has not assigned";
		last_right = is_right_to_left(c);
		first_right |= last_right && i == 0;
		right |= last_right;
		left |= uc_bidi_class(c) == UC_BIDI_L;
	}
	if (right && (left || !first_right || !last_right))
		return "it mixes directions of writing in a way that SASLprep prohibits";
	return NULL;
}

enum err_code password_prepare(struct str password, struct buf *b, struct err *err)
{
	if (password.n == 0 || password.n > PASSWORD_BYTES_MAX || !str_is_utf8(password) || str_index(password, '\0') >= 0)
		return err_set(err, ERR_INVALID, "a password has 1 to %d bytes of UTF-8 and no NUL", PASSWORD_BYTES_MAX);
	uint8_t *mapped = malloc(password.n);
	must(mapped != NULL);
	size_t mapped_n = map((const uint8_t *)password.p, password.n, mapped), n = 0;
	uint8_t *normal = u8_normalize(UNINORM_NFKC, mapped, mapped_n, NULL, &n);
	must(normal != NULL || mapped_n == 0);
	const char *why = fault(normal, normal ? n : 0);
	enum err_code code = ERR_OK;
	if (why != NULL)
		code = err_set(err, ERR_INVALID, "password: %s", why);
	else if (!buf_add(b, str_of((const char *)normal, n)))
		code = err_set(err, ERR_LIMIT, "password: no room for its prepared form");
	OPENSSL_cleanse(mapped, mapped_n);
	if (normal)
		OPENSSL_cleanse(normal, n);
	free(mapped);
	free(normal);
	return code;
}

static void hmac_sha256(const unsigned char *key, struct str text, unsigned char *out)
{
	must(HMAC(EVP_sha256(), key, SHA256_DIGEST_LENGTH, (const unsigned char *)text.p, text.n, out, NULL) != NULL);
}

enum err_code password_scram_make_salted(struct str password, struct str salt, uint32_t iterations, struct buf *b,
	struct err *err)
{
	unsigned char salted[SHA256_DIGEST_LENGTH], client[SHA256_DIGEST_LENGTH], stored[SHA256_DIGEST_LENGTH],
		server[SHA256_DIGEST_LENGTH];
	if (iterations < PASSWORD_SCRAM_ITERATIONS_MIN || iterations > PASSWORD_SCRAM_ITERATIONS_MAX || salt.n == 0 ||
		salt.n > 64)
		return err_set(err, ERR_INVALID, "SCRAM: %d to %d iterations, salt of 1 to 64 bytes",
			PASSWORD_SCRAM_ITERATIONS_MIN, PASSWORD_SCRAM_ITERATIONS_MAX);
	struct buf prepared;
	buf_init(&prepared, 4 * PASSWORD_BYTES_MAX);
	enum err_code code = password_prepare(password, &prepared, err);
	if (code == ERR_OK) {
		// RFC 5802 section 3
		must(PKCS5_PBKDF2_HMAC(prepared.p, (int)prepared.n, (const unsigned char *)salt.p, (int)salt.n, (int)iterations,
		                       EVP_sha256(), sizeof salted, salted) == 1);
		hmac_sha256(salted, STR("Client Key"), client);
		SHA256(client, sizeof client, stored);
		hmac_sha256(salted, STR("Server Key"), server);
		size_t before = b->n;
		bool fits = buf_printf(b, "SCRAM-SHA-256$%u:", iterations) && codec_base64_add(b, salt) && buf_add_byte(b, '$') &&
		            codec_base64_add(b, str_of((const char *)stored, sizeof stored)) && buf_add_byte(b, ':') &&
		            codec_base64_add(b, str_of((const char *)server, sizeof server));
		if (!fits) {
			buf_truncate(b, before);
			code = err_set(err, ERR_LIMIT, "SCRAM: no room for the value");
		}
	}
	if (prepared.n)
		OPENSSL_cleanse(prepared.p, prepared.n);
	OPENSSL_cleanse(salted, sizeof salted);
	OPENSSL_cleanse(client, sizeof client);
	buf_fini(&prepared);
	return code;
}

enum err_code password_scram_make(struct str password, uint32_t iterations, struct buf *b, struct err *err)
{
	unsigned char salt[PASSWORD_SALT_BYTES];
	password_random(salt, sizeof salt);
	return password_scram_make_salted(password, str_of((const char *)salt, sizeof salt), iterations, b, err);
}

static bool decodes_to(struct str text, size_t least, size_t most)
{
	struct buf b;
	buf_init(&b, most);
	bool ok = codec_base64_decode(text, &b) && b.n >= least;
	buf_fini(&b);
	return ok;
}

bool password_scram_is_usable(struct str value)
{
	struct str info, keys, number, salt, stored, server;
	uint64_t iterations;
	return str_starts_nocase(value, STR("SCRAM-SHA-256$")) && value.n <= PASSWORD_STORED_BYTES_MAX &&
	       str_cut(str_from(value, STR("SCRAM-SHA-256$").n), '$', &info, &keys) && str_cut(info, ':', &number, &salt) &&
	       str_cut(keys, ':', &stored, &server) && str_to_u64(number, PASSWORD_SCRAM_ITERATIONS_MAX, &iterations) &&
	       iterations >= PASSWORD_SCRAM_ITERATIONS_MIN && decodes_to(salt, 1, 256) &&
	       decodes_to(stored, SHA256_DIGEST_LENGTH, SHA256_DIGEST_LENGTH) &&
	       decodes_to(server, SHA256_DIGEST_LENGTH, SHA256_DIGEST_LENGTH);
}
