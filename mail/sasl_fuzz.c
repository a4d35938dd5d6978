// SPDX-License-Identifier: Apache-2.0
// A client that sends any lines: first byte picks the mechanism and whether there is an initial response, then lines up to LF.
// Nobody gets in without the password, and nothing crashes in libsasl2 either.
//
// "kate" has the password "secret"; for her a line "proof" under SCRAM becomes the client-final-message that it takes (RFC 5802
// section 3).
// Covers: mail/sasl.c mail/sasl_library.c
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/must.h"
#include "mail/password.h"
#include "mail/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define SALT "0123456789abcdef"
#define PASSWORD "secret"

static unsigned char salted_password[SHA256_DIGEST_LENGTH];
static struct buf kates_scram;

static enum sasl_lookup look_up(void *context, struct str service, struct str login, struct arena *arena,
	struct sasl_credentials *out)
{
	// Nobody knows the passwords: random bytes, hashed once and forgotten.
	static const struct str passwords[] = {{"{SSHA}GSTNyOnFmHl+wdmiGVxeYb21h/ZmdXp6LXNhbHQ=", 46}, {"{SCHEME}x", 9}, {"", 0}};
	static const struct str scram[] = {
		{"SCRAM-SHA-256$4096:a/zIY//t0dDwxxAKMaLLxw==$"
		 "usllHsyKBuZel6j+cZSd0zT62a0+6PPnV92Ru0683HU=:L/2H11jseKPeN/mCcKp+K5n+BidMgs0xf4zULNr1HFk=",
			133}};
	(void)context;
	(void)service;
	must(login.n > 0 && login.n <= SASL_LOGIN_BYTES_MAX && str_is_utf8(login) && str_index(login, '\0') < 0);
	if (login.p[0] == 'd')
		return SASL_UNAVAILABLE;
	if (str_eq(login, STR("kate"))) {
		static const struct str clear[] = {{"{CLEARTEXT}" PASSWORD, sizeof "{CLEARTEXT}" PASSWORD - 1}};
		static struct str verifier[1];
		verifier[0] = buf_str(&kates_scram);
		*out = (struct sasl_credentials){.scram = verifier, .scram_n = 1, .passwords = clear, .passwords_n = 1,
			.allowed = true,
		                                 .account = STR("kate's")};
		return SASL_FOUND;
	}
	if (login.p[0] != 'u')
		return SASL_UNKNOWN;
	*out = (struct sasl_credentials){.scram = scram, .scram_n = 1, .passwords = passwords, .passwords_n = 3, .allowed = true,
	                                 .account = arena_dup(arena, login)};
	return SASL_FOUND;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct sasl_config config = {.lookup = look_up, .secret = STR("0123456789abcdef0123456789abcdef")};
	(void)argc;
	(void)argv;
	must(sasl_library_init(&config, NULL) == ERR_OK);
	buf_init(&kates_scram, PASSWORD_STORED_BYTES_MAX);
	must(password_scram_make_salted(STR(PASSWORD), STR(SALT), PASSWORD_SCRAM_ITERATIONS_MIN, &kates_scram, NULL) == ERR_OK);
	must(PKCS5_PBKDF2_HMAC(PASSWORD, sizeof PASSWORD - 1, (const unsigned char *)SALT, sizeof SALT - 1,
		     PASSWORD_SCRAM_ITERATIONS_MIN, EVP_sha256(), sizeof salted_password, salted_password) == 1);
	// Whoever is unknown costs what the last known one cost: a cheap hash, not Argon2, from the first input on.
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
	must(sasl_session_plain(session, STR("u"), STR("x")) == SASL_FAILED);
	sasl_session_free(&session);
	return 0;
}

// The line as it is, or encoded, so that inputs need not be base64 to get anywhere.
static struct str encoded(struct str line, bool raw, struct buf *b)
{
	buf_clear(b);
	if (raw || !codec_base64_add(b, line))
		return line;
	return buf_str(b);
}

static void hmac(const unsigned char *key, struct str text, unsigned char *out)
{
	must(HMAC(EVP_sha256(), key, SHA256_DIGEST_LENGTH, (const unsigned char *)text.p, text.n, out, NULL) != NULL);
}

// The client-final-message that answers challenge (base64), after first, the client-first-message.
static struct str proof(struct str first, struct str challenge, struct buf *message)
{
	struct buf server_first, authenticated;
	struct str nonce = STR_NONE, rest;
	unsigned char client[SHA256_DIGEST_LENGTH], stored[SHA256_DIGEST_LENGTH], signature[SHA256_DIGEST_LENGTH];
	buf_init(&server_first, SASL_LINE_BYTES_MAX);
	buf_init(&authenticated, 4 * SASL_LINE_BYTES_MAX);
	buf_clear(message);
	must(codec_base64_decode(challenge, &server_first));
	str_cut(buf_str(&server_first), ',', &nonce, &rest);
	buf_printf(message, "c=biws,%.*s", STR_FMT(nonce));
	buf_printf(&authenticated, "%.*s,%.*s,%.*s", STR_FMT(str_from(first, 3)), STR_FMT(buf_str(&server_first)),
		STR_FMT(buf_str(message)));
	hmac(salted_password, STR("Client Key"), client);
	SHA256(client, sizeof client, stored);
	hmac(stored, buf_str(&authenticated), signature);
	for (size_t i = 0; i < sizeof client; i++)
		client[i] ^= signature[i];
	buf_add(message, STR(",p="));
	codec_base64_add(message, str_of((const char *)client, sizeof client));
	buf_fini(&server_first);
	buf_fini(&authenticated);
	return buf_str(message);
}

// Who got in is kate, and her password is in what the client sent or in its proof.
static void check_login(const struct sasl_session *session, enum sasl_outcome outcome, bool may)
{
	must(sasl_session_reason(session) != NULL);
	must(str_eq(sasl_session_account(session), outcome == SASL_DONE ? STR("kate's") : STR("")));
	must(outcome != SASL_DONE || (may && str_eq(sasl_session_login(session), STR("kate"))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const mechanisms[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256", "DIGEST-MD5"};
	if (size == 0)
		return 0;
	struct str in = str_of((const char *)data + 1, size - 1), rest = in, line = STR_NONE, first_line = STR_NONE;
	bool has_initial = data[0] & 4, raw = data[0] & 8, is_scram = (data[0] & 3) == 2, proved = false;
	struct buf challenge, text, message;
	buf_init(&challenge, SASL_LINE_BYTES_MAX);
	buf_init(&text, SASL_LINE_BYTES_MAX);
	buf_init(&message, 4 * SASL_LINE_BYTES_MAX);
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR("192.0.2.1"), SASL_PLAINTEXT_OK);
	struct str first = STR_NONE;
	if (has_initial && str_next_line(&rest, &line)) {
		first_line = line;
		first = encoded(line, raw, &text);
	}
	enum sasl_outcome outcome =
		sasl_session_start_line(session, str_of_c(mechanisms[data[0] & 3]), has_initial ? &first : NULL, &challenge);
	must((outcome == SASL_BAD_MECH) == ((data[0] & 3) == 3) || outcome == SASL_BAD_DATA);
	for (unsigned steps = 0; outcome == SASL_CHALLENGE; steps++) {
		must(steps < 10);
		if (!str_next_line(&rest, &line))
			break;
		if (first_line.n == 0)
			first_line = line;
		if (is_scram && str_eq(line, STR("proof"))) {
			line = proof(first_line, buf_str(&challenge), &message);
			proved = true;
		}
		outcome = sasl_session_step_line(session, encoded(line, raw, &text), &challenge);
	}
	check_login(session, outcome, is_scram ? proved : raw || str_find(in, STR(PASSWORD)) >= 0);
	sasl_session_free(&session);
	// The same without a dialogue: a login to the first LF, the rest the password.
	struct str login, password;
	if (str_cut(in, '\n', &login, &password)) {
		session = sasl_session_new(STR("imap"), STR("192.0.2.1"), data[0] & 1 ? SASL_PLAINTEXT_OK : 0);
		outcome = sasl_session_plain(session, login, password);
		must((outcome == SASL_BAD_MECH) == !(data[0] & 1));
		must((outcome == SASL_DONE) == ((data[0] & 1) && str_eq(login, STR("kate")) && str_eq(password, STR(PASSWORD))));
		sasl_session_free(&session);
	}
	buf_fini(&challenge);
	buf_fini(&text);
	buf_fini(&message);
	return 0;
}
