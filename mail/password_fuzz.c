// SPDX-License-Identifier: Apache-2.0
// Stored values as a directory may hold them, and passwords: the first line is the value, the rest the password. What a value may
// ask for is bounded; what we make is usable and matches; a prepared password is prepared.
//
// The slow functions are stand-ins below: they check the bounds that mail/password.h promises and hash nothing.
// Covers: mail/password.c mail/password_hash.c mail/password_scram.c
#include <argon2.h>
#include <crypt.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/must.h"
#include "mail/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int argon2_ctx(argon2_context *context, argon2_type type)
{
	must(type == Argon2_d || type == Argon2_i || type == Argon2_id);
	must(context->m_cost <= PASSWORD_ARGON2_MEMORY_KIB_MAX && context->t_cost <= PASSWORD_ARGON2_PASSES_MAX);
	must(context->lanes <= PASSWORD_ARGON2_LANES_MAX && context->threads == 1 && context->outlen <= 64);
	if (context->saltlen < ARGON2_MIN_SALT_LENGTH || context->lanes == 0 || context->t_cost == 0)
		return ARGON2_SALT_TOO_SHORT;
	memset(context->out, 1, context->outlen);
	return ARGON2_OK;
}

int argon2_hash(const uint32_t passes, const uint32_t memory_kib, const uint32_t lanes, const void *password,
	const size_t password_n, const void *salt, const size_t salt_n, void *hash, const size_t hash_n, char *encoded,
	const size_t encoded_n, argon2_type type, const uint32_t version)
{
	(void)password;
	(void)salt;
	(void)salt_n;
	must(password_n > 0 && type == Argon2_id && version == ARGON2_VERSION_13 && hash_n == 32);
	memset(hash, 1, hash_n);
	snprintf(encoded, encoded_n, "$argon2id$v=19$m=%u,t=%u,p=%u$AAAAAAAAAAAAAAAAAAAAAA$%s", memory_kib, passes, lanes,
		"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
	return ARGON2_OK;
}

int PKCS5_PBKDF2_HMAC(const char *password, int password_n, const unsigned char *salt, int salt_n, int rounds,
	const EVP_MD *digest, int key_n, unsigned char *key)
{
	(void)password;
	(void)salt;
	must(password_n > 0 && salt_n > 0 && rounds > 0 && rounds <= PASSWORD_PBKDF2_ROUNDS_MAX && digest != NULL && key_n <= 64);
	memset(key, 0, (size_t)key_n);
	return 1;
}

// Every password is the right one; a setting that begins with "*" is none.
char *crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
	must(strlen(phrase) <= PASSWORD_BYTES_MAX);
	if (strlen(setting) >= sizeof data->output)
		return NULL;
	snprintf(data->output, sizeof data->output, "%s", setting);
	return data->output;
}

static void check_made(struct str password)
{
	struct buf value;
	buf_init(&value, PASSWORD_STORED_BYTES_MAX);
	for (int scheme = PASSWORD_ARGON2; scheme <= PASSWORD_SSHA; scheme++) {
		enum password_scheme again;
		must(password_scheme_parse(str_of_c(password_scheme_name((enum password_scheme)scheme)), &again) &&
			(int)again == scheme);
		buf_clear(&value);
		if (password_make((enum password_scheme)scheme, password, &value, NULL) != ERR_OK) {
			must(password.n == 0 || password.n > CRYPT_MAX_PASSPHRASE_SIZE || !str_is_utf8(password) ||
				str_index(password, '\0') >= 0);
			continue;
		}
		must(password_verify(buf_str(&value), password) == PASSWORD_MATCH);
		must(password_verify(buf_str(&value), STR("")) == PASSWORD_MISMATCH);
	}
	buf_clear(&value);
	if (password_scram_make(password, PASSWORD_SCRAM_ITERATIONS, &value, NULL) == ERR_OK)
		must(password_scram_is_usable(buf_str(&value)));
	buf_fini(&value);
}

static void check_prepared(struct str password)
{
	struct buf prepared, twice;
	buf_init(&prepared, 64 << 10);
	buf_init(&twice, 64 << 10);
	if (password_prepare(password, &prepared, NULL) == ERR_OK) {
		must(prepared.n > 0 && str_is_utf8(buf_str(&prepared)) && str_index(buf_str(&prepared), '\0') < 0);
		if (prepared.n <= PASSWORD_BYTES_MAX)
			must(password_prepare(buf_str(&prepared), &twice, NULL) == ERR_OK &&
				str_eq(buf_str(&prepared), buf_str(&twice)));
	}
	buf_fini(&prepared);
	buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str stored = str_of((const char *)data, size), password = STR_NONE;
	str_cut(stored, '\n', &stored, &password);
	enum password_result result = password_verify(stored, password);
	must(result == PASSWORD_MISMATCH || result == PASSWORD_UNUSABLE || (password.n > 0 && password.n <= PASSWORD_BYTES_MAX));
	password_dummy(password);
	check_made(password);
	check_prepared(password);
	if (password_scram_is_usable(stored))
		must(str_is_printable(str_upto(stored, 14)) && stored.n <= PASSWORD_STORED_BYTES_MAX);
	return 0;
}
