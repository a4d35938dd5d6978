// SPDX-License-Identifier: Apache-2.0
// A client that sends any lines: first byte picks the mechanism and whether there is an initial response, then lines up to LF. Nobody
// gets in without the password, and nothing crashes in libsasl2 either.
// Covers: mail/sasl.c mail/sasl_library.c
#include <stdlib.h>

#include "base/codec.h"
#include "base/must.h"
#include "mail/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static enum sasl_lookup look_up(void *context, struct str service, struct str login, struct arena *arena, struct sasl_credentials *out)
{
	// Nobody knows the passwords: random bytes, hashed once and forgotten.
	static const struct str passwords[] = {{"{SSHA}GSTNyOnFmHl+wdmiGVxeYb21h/ZmdXp6LXNhbHQ=", 46}, {"{SCHEME}x", 9}, {"", 0}};
	static const struct str scram[] = {{"SCRAM-SHA-256$4096:a/zIY//t0dDwxxAKMaLLxw==$"
	                                    "usllHsyKBuZel6j+cZSd0zT62a0+6PPnV92Ru0683HU=:L/2H11jseKPeN/mCcKp+K5n+BidMgs0xf4zULNr1HFk=", 133}};
	(void)context;
	(void)service;
	must(login.n > 0 && login.n <= SASL_LOGIN_BYTES_MAX && str_is_utf8(login) && str_index(login, '\0') < 0);
	if (login.p[0] == 'd')
		return SASL_UNAVAILABLE;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const mechanisms[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256", "DIGEST-MD5"};
	if (size == 0)
		return 0;
	struct str rest = str_of((const char *)data + 1, size - 1), line;
	bool has_initial = data[0] & 4, raw = data[0] & 8;
	struct buf challenge, text;
	buf_init(&challenge, SASL_LINE_BYTES_MAX);
	buf_init(&text, SASL_LINE_BYTES_MAX);
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR("192.0.2.1"), SASL_PLAINTEXT_OK);
	struct str first = STR_NONE;
	if (has_initial && str_next_line(&rest, &line))
		first = encoded(line, raw, &text);
	enum sasl_outcome outcome =
		sasl_session_start_line(session, str_of_c(mechanisms[data[0] & 3]), has_initial ? &first : NULL, &challenge);
	must((outcome == SASL_BAD_MECH) == ((data[0] & 3) == 3) || outcome == SASL_BAD_DATA);
	for (unsigned steps = 0; outcome == SASL_CHALLENGE; steps++) {
		must(steps < 10);
		if (!str_next_line(&rest, &line))
			break;
		outcome = sasl_session_step_line(session, encoded(line, raw, &text), &challenge);
	}
	must(outcome != SASL_DONE && sasl_session_account(session).n == 0);
	sasl_session_free(&session);
	buf_fini(&challenge);
	buf_fini(&text);
	return 0;
}
