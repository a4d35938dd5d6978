// SPDX-License-Identifier: Apache-2.0
// crypt(3), Argon2 and PBKDF2 as directories write them, each with a bound on the cost that a stored value may ask for.
#include "password_hash.h"

#include <argon2.h>
#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/must.h"

enum { ARGON2_KEY_BYTES = 32, ARGON2_SALT_BYTES_MAX = 64 };

bool password_same(const unsigned char *a, const unsigned char *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void password_random(unsigned char *bytes, size_t n)
{
	must(RAND_bytes(bytes, (int)n) == 1);
}

// ---- crypt(3) ----

// The value of a letter of crypt's own base64, or 64.
static unsigned crypt64(char c)
{
	static const char letters[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	const char *at = c ? strchr(letters, c) : NULL;
	return at ? (unsigned)(at - letters) : 64;
}

// "$5$rounds=N$...", "$6$...": N within bounds; the default is 5000.
static bool sha_is_cheap(struct str rest)
{
	struct str number, after;
	uint64_t rounds;
	if (!str_starts(rest, STR("rounds=")))
		return true;
	return str_cut(str_from(rest, 7), '$', &number, &after) && str_to_u64(number, PASSWORD_CRYPT_SHA_ROUNDS_MAX, &rounds);
}

static bool bcrypt_is_cheap(struct str rest)
{
	uint64_t cost;
	return rest.n > 2 && rest.p[2] == '$' && str_to_u64(str_upto(rest, 2), PASSWORD_CRYPT_BCRYPT_COST_MAX, &cost);
}

static bool memory_is_cheap(unsigned log2_n, uint64_t r, uint64_t p)
{
	return log2_n < 32 && r <= 1024 && p <= 1024 &&
	       ((uint64_t)r * p << log2_n) <= (uint64_t)PASSWORD_CRYPT_MEMORY_KIB_MAX * 1024 / 128;
}

// crypt(5): "$y$" flags N r "$", the form that crypt_gensalt makes: one letter each, offset by one.
static bool yescrypt_is_cheap(struct str rest)
{
	if (rest.n < 4 || rest.p[0] != 'j' || rest.p[3] != '$')
		return false;
	unsigned n = crypt64(rest.p[1]) + 1, r = crypt64(rest.p[2]) + 1;
	return n <= 48 && r <= 48 && memory_is_cheap(n, r, 1);
}

// A number of five letters, least significant first.
static uint64_t crypt64_number(const char *p)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < 5; i++)
		value |= (uint64_t)crypt64(p[i]) << (6 * i);
	return value;
}

// crypt(5): "$7$" N (1 letter) r p (5 letters each).
static bool scrypt_is_cheap(struct str rest)
{
	return rest.n > 11 && memory_is_cheap(crypt64(rest.p[0]), crypt64_number(rest.p + 1), crypt64_number(rest.p + 6));
}

static bool always_cheap(struct str rest)
{
	return rest.n > 0;
}

// The methods of crypt(5) that are let in, and what bounds their cost.
static const struct {
	struct str prefix;
	bool (*is_cheap)(struct str rest);
} crypt_methods[] = {
	{{"$y$", 3}, yescrypt_is_cheap}, {{"$gy$", 4}, yescrypt_is_cheap}, {{"$7$", 3}, scrypt_is_cheap},
	{{"$2a$", 4}, bcrypt_is_cheap}, {{"$2b$", 4}, bcrypt_is_cheap}, {{"$2y$", 4}, bcrypt_is_cheap},
	{{"$6$", 3}, sha_is_cheap}, {{"$5$", 3}, sha_is_cheap}, {{"$1$", 3}, always_cheap},
};

static bool crypt_is_usable(struct str value)
{
	for (size_t i = 0; i < sizeof crypt_methods / sizeof *crypt_methods; i++)
		if (str_starts(value, crypt_methods[i].prefix))
			return crypt_methods[i].is_cheap(str_from(value, crypt_methods[i].prefix.n));
	if (value.n != 13)
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (crypt64(value.p[i]) > 63)
			return false;
	return true; // traditional DES
}

enum password_result password_crypt_verify(struct str value, struct str password)
{
	char setting[PASSWORD_STORED_BYTES_MAX + 1], phrase[PASSWORD_BYTES_MAX + 1];
	if (!crypt_is_usable(value) || !str_to_c(value, setting, sizeof setting))
		return PASSWORD_UNUSABLE;
	if (!str_to_c(password, phrase, sizeof phrase))
		return PASSWORD_MISMATCH;
	if (strlen(phrase) > CRYPT_MAX_PASSPHRASE_SIZE)
		return PASSWORD_MISMATCH;
	enum password_result result = PASSWORD_UNUSABLE;
	struct crypt_data *data = calloc(1, sizeof *data); // 32 KiB
	must(data != NULL);
	const char *made = crypt_r(phrase, setting, data);
	if (made != NULL && made[0] != '*') {
		bool same = strlen(made) == value.n &&
		            password_same((const unsigned char *)made, (const unsigned char *)value.p, value.n);
		result = same ? PASSWORD_MATCH : PASSWORD_MISMATCH;
	}
	OPENSSL_cleanse(data, sizeof *data);
	OPENSSL_cleanse(phrase, sizeof phrase);
	free(data);
	return result;
}

bool password_crypt_make(struct str password, struct buf *b)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE], phrase[PASSWORD_BYTES_MAX + 1];
	if (!str_to_c(password, phrase, sizeof phrase) || strlen(phrase) > CRYPT_MAX_PASSPHRASE_SIZE)
		return false;
	if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting) == NULL)
		return false;
	struct crypt_data *data = calloc(1, sizeof *data);
	must(data != NULL);
	const char *made = crypt_r(phrase, setting, data);
	bool ok = made != NULL && made[0] != '*' && buf_add_c(b, made);
	OPENSSL_cleanse(data, sizeof *data);
	OPENSSL_cleanse(phrase, sizeof phrase);
	free(data);
	return ok;
}

// ---- Argon2 ----

struct argon2_value {
	argon2_type type;
	uint32_t version, memory_kib, passes, lanes;
	struct str salt, key; // base64 text
};

static bool take_number(struct str *rest, struct str name, char end, uint64_t max, uint32_t *out)
{
	struct str number, after;
	uint64_t value;
	if (!str_starts(*rest, name) || !str_cut(str_from(*rest, name.n), end, &number, &after) ||
		!str_to_u64(number, max, &value))
		return false;
	*out = (uint32_t)value;
	*rest = after;
	return true;
}

// "$argon2id$v=19$m=19456,t=2,p=1$salt$key"; "v=" may be missing (then version 16).
static bool argon2_parse(struct str text, struct argon2_value *out)
{
	static const struct {
		struct str prefix;
		argon2_type type;
	} types[] = {{{"$argon2id$", 10}, Argon2_id}, {{"$argon2i$", 9}, Argon2_i}, {{"$argon2d$", 9}, Argon2_d}};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (!str_starts(text, types[i].prefix))
			continue;
		struct argon2_value value = {.type = types[i].type, .version = ARGON2_VERSION_10};
		struct str rest = str_from(text, types[i].prefix.n);
		if (str_starts(rest, STR("v=")) && !take_number(&rest, STR("v="), '$', ARGON2_VERSION_13, &value.version))
			return false;
		if (!take_number(&rest, STR("m="), ',', PASSWORD_ARGON2_MEMORY_KIB_MAX, &value.memory_kib) ||
		    !take_number(&rest, STR("t="), ',', PASSWORD_ARGON2_PASSES_MAX, &value.passes) ||
		    !take_number(&rest, STR("p="), '$', PASSWORD_ARGON2_LANES_MAX, &value.lanes) ||
		    !str_cut(rest, '$', &value.salt, &value.key))
			return false;
		*out = value;
		return true;
	}
	return false;
}

// One thread whatever the lanes: the workers are the threads, and the sandbox lets no others start.
static bool argon2_hash_one_thread(const struct argon2_value *value, struct str salt, struct str password, unsigned char *key,
	size_t n)
{
	argon2_context context = {
		.out = key,
		.outlen = (uint32_t)n,
		.pwd = (uint8_t *)(uintptr_t)password.p,
		.pwdlen = (uint32_t)password.n,
		.salt = (uint8_t *)(uintptr_t)salt.p,
		.saltlen = (uint32_t)salt.n,
		.t_cost = value->passes,
		.m_cost = value->memory_kib,
		.lanes = value->lanes,
		.threads = 1,
		.version = value->version,
		.flags = ARGON2_DEFAULT_FLAGS,
	};
	return argon2_ctx(&context, value->type) == ARGON2_OK;
}

enum password_result password_argon2_verify(struct str text, struct str password)
{
	struct argon2_value value;
	unsigned char made[PASSWORD_KEY_BYTES_MAX];
	if (!argon2_parse(text, &value))
		return PASSWORD_UNUSABLE;
	enum password_result result = PASSWORD_UNUSABLE;
	struct buf salt, key;
	buf_init(&salt, ARGON2_SALT_BYTES_MAX);
	buf_init(&key, sizeof made);
	if (codec_base64_bare_decode(value.salt, &salt) && codec_base64_bare_decode(value.key, &key) && key.n >= 16 &&
	    argon2_hash_one_thread(&value, buf_str(&salt), password, made, key.n))
		result = password_same(made, (const unsigned char *)key.p, key.n) ? PASSWORD_MATCH : PASSWORD_MISMATCH;
	buf_fini(&salt);
	buf_fini(&key);
	OPENSSL_cleanse(made, sizeof made);
	return result;
}

bool password_argon2_make(struct str password, struct buf *b)
{
	const struct argon2_value value = {.type = Argon2_id,
	                                   .version = ARGON2_VERSION_13,
	                                   .memory_kib = PASSWORD_ARGON2_MEMORY_KIB,
	                                   .passes = PASSWORD_ARGON2_PASSES,
	                                   .lanes = PASSWORD_ARGON2_LANES};
	unsigned char salt_bytes[PASSWORD_SALT_BYTES], key[ARGON2_KEY_BYTES];
	char encoded[256];
	password_random(salt_bytes, sizeof salt_bytes);
	// libargon2's own encoder: the text must be the one that other software reads.
	int result = argon2_hash(value.passes, value.memory_kib, value.lanes, password.p, password.n, salt_bytes,
		sizeof salt_bytes, key, sizeof key, encoded, sizeof encoded, value.type, value.version);
	OPENSSL_cleanse(key, sizeof key);
	return result == ARGON2_OK && buf_add_c(b, encoded);
}

// ---- PBKDF2 ----

static bool pbkdf2(struct str password, struct str salt, uint64_t rounds, const char *digest, unsigned char *key, size_t n)
{
	return PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p, (int)salt.n, (int)rounds,
	                         EVP_get_digestbyname(digest), (int)n, key) == 1;
}

enum password_result password_pbkdf2_verify(struct str value, struct str password, const char *digest)
{
	struct str number, rest, salt_text, key_text;
	uint64_t rounds;
	unsigned char made[PASSWORD_KEY_BYTES_MAX];
	size_t n = (size_t)EVP_MD_get_size(EVP_get_digestbyname(digest));
	must(n <= sizeof made);
	if (!str_cut(value, '$', &number, &rest) || !str_cut(rest, '$', &salt_text, &key_text) ||
	    !str_to_u64(number, PASSWORD_PBKDF2_ROUNDS_MAX, &rounds) || rounds == 0)
		return PASSWORD_UNUSABLE;
	enum password_result result = PASSWORD_UNUSABLE;
	struct buf salt, key;
	buf_init(&salt, PASSWORD_STORED_BYTES_MAX);
	buf_init(&key, sizeof made);
	if (codec_base64_bare_decode(salt_text, &salt) && codec_base64_bare_decode(key_text, &key) && key.n == n && salt.n &&
	    pbkdf2(password, buf_str(&salt), rounds, digest, made, n))
		result = password_same(made, (const unsigned char *)key.p, n) ? PASSWORD_MATCH : PASSWORD_MISMATCH;
	buf_fini(&salt);
	buf_fini(&key);
	OPENSSL_cleanse(made, sizeof made);
	return result;
}

bool password_pbkdf2_make(struct str password, const char *digest, struct buf *b)
{
	unsigned char salt[PASSWORD_SALT_BYTES], key[PASSWORD_KEY_BYTES_MAX];
	size_t n = (size_t)EVP_MD_get_size(EVP_get_digestbyname(digest));
	must(n <= sizeof key);
	password_random(salt, sizeof salt);
	struct str salt_bytes = str_of((const char *)salt, sizeof salt);
	bool ok = pbkdf2(password, salt_bytes, PASSWORD_PBKDF2_ROUNDS, digest, key, n) &&
		  buf_add_u64(b, PASSWORD_PBKDF2_ROUNDS) && buf_add_byte(b, '$') && codec_base64_bare_add(b, salt_bytes) &&
		  buf_add_byte(b, '$') && codec_base64_bare_add(b, str_of((const char *)key, n));
	OPENSSL_cleanse(key, sizeof key);
	return ok;
}
