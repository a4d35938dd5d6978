// SPDX-License-Identifier: Apache-2.0
// 128-bit names: made, derived, written, read.
#include "base/guid.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sys/random.h>

#include "base/must.h"

// Not from the blocks that random.h keeps: a machine that is set back to a snapshot of its memory would give the same names a
// second time, and mailboxes take a message whose name they know for one that they have. The kernel is told and begins anew.
struct guid guid_new(void)
{
	struct guid guid;
	must(getrandom(guid.b, sizeof guid.b, 0) == (ssize_t)sizeof guid.b); // up to 256 bytes are never cut short
	return guid;
}

enum { LENGTH_BYTES = 8, TOGETHER_BYTES = 512 };

// Fields gather and are digested together: each call of EVP costs more than some bytes more.
struct fields {
	EVP_MD_CTX *ctx;
	uint8_t bytes[TOGETHER_BYTES];
	size_t n;
};

static void digest(struct fields *fields, const void *p, size_t n)
{
	if (n > sizeof fields->bytes - fields->n) {
		must(EVP_DigestUpdate(fields->ctx, fields->bytes, fields->n) == 1);
		fields->n = 0;
	}
	if (n > sizeof fields->bytes) {
		must(EVP_DigestUpdate(fields->ctx, p, n) == 1);
	} else if (n) {
		memcpy(fields->bytes + fields->n, p, n);
		fields->n += n;
	}
}

static void digest_field(struct fields *fields, struct str field)
{
	uint8_t length[LENGTH_BYTES];
	for (int i = 0; i < LENGTH_BYTES; i++)
		length[i] = (uint8_t)((uint64_t)field.n >> (8 * i));
	digest(fields, length, sizeof length);
	digest(fields, field.p, field.n);
}

// Looked up once: by name it would cost more than the digest itself.
static EVP_MD *sha256;

static void fetch_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(sha256 != NULL);
}

struct guid guid_derive(const struct guid *parent, struct str recipient, struct str kind)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	must(pthread_once(&once, fetch_sha256) == 0);
	struct fields fields;
	fields.n = 0;
	fields.ctx = EVP_MD_CTX_new();
	must(fields.ctx != NULL && EVP_DigestInit_ex(fields.ctx, sha256, NULL) == 1);
	digest_field(&fields, guid_bytes(parent));
	digest_field(&fields, recipient);
	digest_field(&fields, kind);
	must(EVP_DigestUpdate(fields.ctx, fields.bytes, fields.n) == 1 && EVP_DigestFinal_ex(fields.ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(fields.ctx);
	struct guid guid;
	memcpy(guid.b, hash, sizeof guid.b);
	return guid;
}

bool guid_eq(const struct guid *a, const struct guid *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool guid_is_zero(const struct guid *a)
{
	static const struct guid zero;
	return guid_eq(a, &zero);
}

struct str guid_text(const struct guid *guid, char text_out[GUID_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < sizeof guid->b; i++) {
		text_out[2 * i] = digits[guid->b[i] >> 4];
		text_out[2 * i + 1] = digits[guid->b[i] & 15];
	}
	text_out[GUID_TEXT_BYTES - 1] = '\0';
	return str_of(text_out, GUID_TEXT_BYTES - 1);
}

// One more than the value of a hexadecimal digit; 0: it is none.
static const uint8_t hex_values[256] = {
	['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
	['A'] = 11, 12, 13, 14, 15, 16,
	['a'] = 11, 12, 13, 14, 15, 16,
};

// Asked several times for each entry of a directory that is loaded.
bool guid_parse(struct str text, struct guid *out)
{
	static const uint8_t places[2][16] = {
		{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}, // of 32 digits
		{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}, // and with hyphens
	};
	struct guid guid;
	const bool hyphens = text.n == 36;
	unsigned wrong = 0; // its highest bit
	if (!hyphens && text.n != 32)
		return false;
	if (hyphens && (text.p[8] != '-' || text.p[13] != '-' || text.p[18] != '-' || text.p[23] != '-'))
		return false;
	for (size_t i = 0; i < sizeof guid.b; i++) {
		const char *p = text.p + places[hyphens][i];
		unsigned high = hex_values[(uint8_t)p[0]], low = hex_values[(uint8_t)p[1]];
		wrong |= (high - 1) | (low - 1);
		guid.b[i] = (uint8_t)((high - 1) << 4 | (low - 1));
	}
	if (wrong >> 31)
		return false;
	*out = guid;
	return true;
}

struct str guid_short(const struct guid *guid, char text_out[GUID_SHORT_BYTES])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t bits = 0;
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | guid->b[i];
	for (int i = 0; i < GUID_SHORT_BYTES - 1; i++)
		text_out[i] = digits[bits >> (59 - 5 * i) & 31];
	text_out[GUID_SHORT_BYTES - 1] = '\0';
	return str_of(text_out, GUID_SHORT_BYTES - 1);
}
