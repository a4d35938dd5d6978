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

static void digest_field(EVP_MD_CTX *ctx, struct str field)
{
	uint8_t length[8];
	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)((uint64_t)field.n >> (8 * i));
	must(EVP_DigestUpdate(ctx, length, sizeof length) == 1);
	must(EVP_DigestUpdate(ctx, field.p, field.n) == 1);
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
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	must(ctx != NULL && EVP_DigestInit_ex(ctx, sha256, NULL) == 1);
	digest_field(ctx, guid_bytes(parent));
	digest_field(ctx, recipient);
	digest_field(ctx, kind);
	must(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
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
	struct guid guid;
	const char *p = text.p;
	bool hyphens = text.n == 36, good = true;
	if (!hyphens && text.n != 32)
		return false;
	for (size_t i = 0; i < sizeof guid.b; i++, p += 2) {
		if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10))
			good &= *p++ == '-';
		unsigned high = hex_values[(uint8_t)p[0]], low = hex_values[(uint8_t)p[1]];
		good &= high > 0 && low > 0;
		guid.b[i] = (uint8_t)((high - 1) << 4 | (low - 1));
	}
	if (!good)
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
