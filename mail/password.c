// SPDX-License-Identifier: Apache-2.0
// Passwords: a table of schemes, and the making and checking of what stands behind each.
#include "mail/password.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/codec.h"
#include "base/must.h"
#include "password_hash.h"

// ---- digests: base64(digest(password salt) salt), RFC 2307 and OpenLDAP ----

static bool digest_of(const char *digest, struct str password, struct str salt, unsigned char *out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	must(context != NULL);
	bool ok = EVP_DigestInit_ex(context, EVP_get_digestbyname(digest), NULL) == 1 &&
	          EVP_DigestUpdate(context, password.p, password.n) == 1 && EVP_DigestUpdate(context, salt.p, salt.n) == 1 &&
	          EVP_DigestFinal_ex(context, out, NULL) == 1;
	EVP_MD_CTX_free(context);
	return ok;
}

static enum password_result digest_verify(struct str value, struct str password, const char *digest, bool salted)
{
	unsigned char made[EVP_MAX_MD_SIZE];
	size_t n = (size_t)EVP_MD_get_size(EVP_get_digestbyname(digest));
	enum password_result result = PASSWORD_UNUSABLE;
	struct buf stored;
	buf_init(&stored, PASSWORD_STORED_BYTES_MAX);
	bool usable = codec_base64_decode(value, &stored) && (salted ? stored.n > n : stored.n == n);
	if (usable && digest_of(digest, password, str_from(buf_str(&stored), n), made))
		result = password_same(made, (const unsigned char *)stored.p, n) ? PASSWORD_MATCH : PASSWORD_MISMATCH;
	OPENSSL_cleanse(made, sizeof made);
	buf_fini(&stored);
	return result;
}

static bool digest_make(struct str password, const char *digest, struct buf *b)
{
	unsigned char bytes[EVP_MAX_MD_SIZE + PASSWORD_SALT_BYTES];
	size_t n = (size_t)EVP_MD_get_size(EVP_get_digestbyname(digest));
	password_random(bytes + n, PASSWORD_SALT_BYTES);
	bool ok = digest_of(digest, password, str_of((const char *)bytes + n, PASSWORD_SALT_BYTES), bytes) &&
	          codec_base64_add(b, str_of((const char *)bytes, n + PASSWORD_SALT_BYTES));
	OPENSSL_cleanse(bytes, sizeof bytes);
	return ok;
}

// ---- verify ----

static enum password_result plain_digest_verify(struct str value, struct str password, const char *digest)
{
	return digest_verify(value, password, digest, false);
}

static enum password_result salted_digest_verify(struct str value, struct str password, const char *digest)
{
	return digest_verify(value, password, digest, true);
}

static enum password_result crypt_verify(struct str value, struct str password, const char *digest)
{
	(void)digest;
	return password_crypt_verify(value, password);
}

static enum password_result argon2_scheme_verify(struct str value, struct str password, const char *digest)
{
	(void)digest;
	return password_argon2_verify(value, password);
}

// Compares digests, so that neither the length nor the place of the first difference shows in the time.
static enum password_result cleartext_verify(struct str value, struct str password, const char *digest)
{
	unsigned char stored[SHA256_DIGEST_LENGTH], given[SHA256_DIGEST_LENGTH];
	if (value.n == 0)
		return PASSWORD_UNUSABLE;
	must(digest_of(digest, value, STR_NONE, stored) && digest_of(digest, password, STR_NONE, given));
	bool same = password_same(stored, given, sizeof stored);
	OPENSSL_cleanse(stored, sizeof stored);
	OPENSSL_cleanse(given, sizeof given);
	return same ? PASSWORD_MATCH : PASSWORD_MISMATCH;
}

static const struct {
	struct str name;
	enum password_result (*verify)(struct str value, struct str password, const char *digest);
	const char *digest;
} verifiers[] = {
	{{"ARGON2", 6}, argon2_scheme_verify, NULL},
	{{"PBKDF2", 6}, password_pbkdf2_verify, "SHA1"},
	{{"PBKDF2-SHA1", 11}, password_pbkdf2_verify, "SHA1"},
	{{"PBKDF2-SHA256", 13}, password_pbkdf2_verify, "SHA256"},
	{{"PBKDF2-SHA512", 13}, password_pbkdf2_verify, "SHA512"},
	{{"CRYPT", 5}, crypt_verify, NULL},
	{{"SSHA", 4}, salted_digest_verify, "SHA1"},
	{{"SSHA256", 7}, salted_digest_verify, "SHA256"},
	{{"SSHA384", 7}, salted_digest_verify, "SHA384"},
	{{"SSHA512", 7}, salted_digest_verify, "SHA512"},
	{{"SHA", 3}, plain_digest_verify, "SHA1"},
	{{"SHA256", 6}, plain_digest_verify, "SHA256"},
	{{"SHA384", 6}, plain_digest_verify, "SHA384"},
	{{"SHA512", 6}, plain_digest_verify, "SHA512"},
	{{"CLEARTEXT", 9}, cleartext_verify, "SHA256"},
};

static bool password_is_sane(struct str password)
{
	return password.n > 0 && password.n <= PASSWORD_BYTES_MAX && str_index(password, '\0') < 0;
}

enum password_result password_verify(struct str stored, struct str password)
{
	struct str scheme, value;
	if (stored.n == 0 || stored.n > PASSWORD_STORED_BYTES_MAX)
		return PASSWORD_UNUSABLE;
	if (!password_is_sane(password))
		return PASSWORD_MISMATCH;
	if (stored.p[0] != '{' || !str_cut(str_from(stored, 1), '}', &scheme, &value))
		return cleartext_verify(stored, password, "SHA256"); // RFC 4519 section 2.41: values are clear text
	for (size_t i = 0; i < sizeof verifiers / sizeof *verifiers; i++)
		if (str_eq_nocase(scheme, verifiers[i].name))
			return verifiers[i].verify(value, password, verifiers[i].digest);
	return PASSWORD_UNUSABLE;
}

void password_dummy(struct str password)
{
	if (!password_is_sane(password))
		return;
	(void)password_crypt_verify(STR(PASSWORD_NOBODY), password); // for its cost; what it says counts for nothing
}

// ---- make ----

static const struct str scheme_names[] = {
#define PASSWORD_NAME(scheme, name, text) [scheme] = {name, sizeof name - 1},
	PASSWORD_SCHEMES(PASSWORD_NAME)
#undef PASSWORD_NAME
};

bool password_scheme_parse(struct str name, enum password_scheme *out)
{
	for (size_t i = 0; i < sizeof scheme_names / sizeof *scheme_names; i++) {
		if (str_eq_nocase(name, scheme_names[i])) {
			*out = (enum password_scheme)i;
			return true;
		}
	}
	return false;
}

const char *password_scheme_name(enum password_scheme scheme)
{
	return scheme_names[scheme].p;
}

static enum err_code check_new(struct str password, struct err *err)
{
	if (!password_is_sane(password))
		return err_set(err, ERR_INVALID, "a password has 1 to %d bytes and no NUL", PASSWORD_BYTES_MAX);
	if (!str_is_utf8(password))
		return err_set(err, ERR_INVALID, "a password is UTF-8");
	return ERR_OK;
}

static bool make_value(enum password_scheme scheme, struct str password, struct buf *b)
{
	switch (scheme) {
	case PASSWORD_ARGON2:
		return password_argon2_make(password, b);
	case PASSWORD_PBKDF2_SHA256:
		return password_pbkdf2_make(password, "SHA256", b);
	case PASSWORD_CRYPT:
		return password_crypt_make(password, b);
	case PASSWORD_SSHA512:
		return digest_make(password, "SHA512", b);
	case PASSWORD_SSHA:
		return digest_make(password, "SHA1", b);
	}
	unreachable("password scheme");
}

enum err_code password_make(enum password_scheme scheme, struct str password, struct buf *b, struct err *err)
{
	enum err_code code = check_new(password, err);
	if (code)
		return code;
	size_t before = b->n;
	if (buf_printf(b, "{%s}", password_scheme_name(scheme)) && make_value(scheme, password, b))
		return ERR_OK;
	buf_truncate(b, before);
	return err_set(err, ERR_LIMIT, "make a %s value: it takes no password of this length, or there is no room or memory",
		password_scheme_name(scheme));
}
