// SPDX-License-Identifier: Apache-2.0
// A SASL exchange from AUTH to its end: one libsasl2 connection, one look-up, one verdict.
//
// Happy path: start picks the mechanism; libsasl2 asks for the name (sasl_session_take_login), then for a password to be checked
// (PLAIN, LOGIN) or for a verifier (SCRAM); both lead to one look-up. Whatever goes wrong after that, a name that nobody has, one
// that may not log in, a throttled one, a wrong password, ends as SASL_FAILED after the same work; only `reason` differs, for the
// log. A directory that cannot answer is SASL_TEMPFAIL, never a failure: clients ask people for a new password after those.
#include "mail/sasl.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/must.h"
#include "mail/password.h"
#include "mail/password_cache.h"
#include "sasl_library.h"

enum { LOOKUP_BYTES_MAX = 256 << 10, FAKE_SALT_BYTES = 16 };

// The last stored value that was checked: hashing against it is what an unknown user costs. Equal work in a directory of one
// scheme.
static struct {
	pthread_mutex_t mutex;
	char value[PASSWORD_STORED_BYTES_MAX];
	size_t n;
} last_checked = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void remember_checked(struct str stored)
{
	pthread_mutex_lock(&last_checked.mutex);
	memcpy(last_checked.value, stored.p, stored.n);
	last_checked.n = stored.n;
	pthread_mutex_unlock(&last_checked.mutex);
}

// The work of a check, without its result.
static void check_nobody(struct str password)
{
	char value[PASSWORD_STORED_BYTES_MAX];
	pthread_mutex_lock(&last_checked.mutex);
	size_t n = last_checked.n;
	memcpy(value, last_checked.value, n);
	pthread_mutex_unlock(&last_checked.mutex);
	if (n)
		(void)password_verify(str_of(value, n), password);
	else
		password_dummy(password);
	OPENSSL_cleanse(value, sizeof value);
}

static struct str login_of(const struct sasl_session *session)
{
	return str_of(session->login, session->login_n);
}

// ---- one attempt: name, throttle, look-up, check ----

static void begin_attempt(struct sasl_session *session)
{
	arena_reset(session->arena);
	session->login_n = 0;
	session->account = STR_NONE;
	session->credentials = (struct sasl_credentials){.allowed = false};
	session->found = SASL_UNKNOWN;
	session->looked_up = session->throttled = session->verified = session->tempfail = session->other_identity = false;
	session->used_up = PASSWORD_THROTTLE_NOTHING;
	session->reason = "no user name";
}

static bool is_counted(const struct sasl_session *session)
{
	return sasl_library_config()->throttle && !(session->flags & SASL_UNTHROTTLED);
}

void sasl_session_take_login(struct sasl_session *session, struct str name)
{
	if (session->looked_up && str_eq(name, login_of(session)))
		return; // libsasl2 asks again after the check
	session->login_n = 0;
	session->looked_up = session->verified = false;
	session->reason = "not a user name";
	if (name.n == 0 || name.n > SASL_LOGIN_BYTES_MAX || !str_is_utf8(name) || str_index(name, '\0') >= 0)
		return;
	memcpy(session->login, name.p, name.n);
	session->login_n = name.n;
}

void sasl_session_look_up(struct sasl_session *session)
{
	const struct sasl_config *config = sasl_library_config();
	struct str address = str_of_c(session->address);
	if (session->looked_up)
		return;
	session->found = SASL_UNKNOWN;
	if (session->login_n == 0)
		return;
	session->looked_up = true;
	session->reason = "unknown user";
	if (is_counted(session) &&
		password_throttle_wait_ms(config->throttle, login_of(session), address, sasl_library_now_ms()) > 0) {
		session->throttled = true;
		session->reason = "throttled";
		return;
	}
	session->found = config->lookup(config->context, str_of_c(session->service), login_of(session), session->arena,
		&session->credentials);
	switch (session->found) {
	case SASL_FOUND:
		session->reason = session->credentials.allowed   ? "wrong password" :
				  session->credentials.why_not ? session->credentials.why_not :
								 "not allowed";
		break;
	case SASL_UNKNOWN:
		break;
	case SASL_UNAVAILABLE:
		session->tempfail = true;
		session->reason = "the directory cannot say";
		break;
	}
}

// Does the password match one of the stored values? Every value that can be used is hashed until one does.
static bool matches(struct sasl_session *session, struct str password, unsigned *checked_out)
{
	const struct sasl_config *config = sasl_library_config();
	for (size_t i = 0; i < session->credentials.passwords_n; i++) {
		struct str stored = session->credentials.passwords[i];
		if (config->cache &&
			password_cache_has(config->cache, login_of(session), stored, password, sasl_library_now_ms())) {
			++*checked_out;
			return true;
		}
		switch (password_verify(stored, password)) {
		case PASSWORD_MATCH:
			++*checked_out;
			remember_checked(stored);
			if (config->cache)
				password_cache_add(config->cache, login_of(session), stored, password, sasl_library_now_ms());
			return true;
		case PASSWORD_MISMATCH:
			++*checked_out;
			remember_checked(stored);
			break;
		case PASSWORD_UNUSABLE:
			session->reason = "a stored password cannot be used";
			break;
		}
	}
	return false;
}

// A right password is heard where that makes a difference; else a login that is not allowed costs and says what a wrong one does.
static bool may_prove(const struct sasl_session *session)
{
	return session->credentials.allowed || session->credentials.later;
}

bool sasl_session_check(struct sasl_session *session, struct str password)
{
	unsigned checked = 0;
	sasl_session_look_up(session);
	if (session->throttled || session->tempfail)
		return false;
	bool right = session->found == SASL_FOUND && matches(session, password, &checked);
	if (checked == 0)
		check_nobody(password);
	session->verified = right && may_prove(session);
	return session->verified;
}

// 32 bytes of nobody's secrets, the same for one login on every node.
static void fake_bytes(const struct sasl_config *config, const char *label, struct str login, unsigned char *out)
{
	unsigned char key[SHA256_DIGEST_LENGTH];
	must(HMAC(EVP_sha256(), config->secret.p, (int)config->secret.n, (const unsigned char *)label, strlen(label), key,
		     NULL) != NULL);
	must(HMAC(EVP_sha256(), key, sizeof key, (const unsigned char *)login.p, login.n, out, NULL) != NULL);
}

static void add_fake_scram(const struct sasl_session *session, struct buf *out)
{
	const struct sasl_config *config = sasl_library_config();
	unsigned char salt[SHA256_DIGEST_LENGTH], stored[SHA256_DIGEST_LENGTH], server[SHA256_DIGEST_LENGTH];
	fake_bytes(config, "salt", login_of(session), salt);
	fake_bytes(config, "stored", login_of(session), stored);
	fake_bytes(config, "server", login_of(session), server);
	buf_printf(out, "SCRAM-SHA-256$%u:", config->scram_iterations);
	codec_base64_add(out, str_of((const char *)salt, FAKE_SALT_BYTES));
	buf_add_byte(out, '$');
	codec_base64_add(out, str_of((const char *)stored, sizeof stored));
	buf_add_byte(out, ':');
	codec_base64_add(out, str_of((const char *)server, sizeof server));
	must(!out->overflow);
}

void sasl_session_scram_value(struct sasl_session *session, struct buf *out)
{
	sasl_session_look_up(session);
	if (session->found == SASL_FOUND && may_prove(session)) {
		for (size_t i = 0; i < session->credentials.scram_n; i++) {
			if (!password_scram_is_usable(session->credentials.scram[i]))
				continue;
			session->verified = true; // if libsasl2 says so: nobody can prove the key of the fake value
			buf_add(out, session->credentials.scram[i]);
			return;
		}
		session->reason = "no phScram value";
	}
	add_fake_scram(session, out);
}

// ---- the session ----

struct sasl_session *sasl_session_new(struct str service, struct str address, unsigned flags)
{
	struct sasl_session *session = calloc(1, sizeof *session);
	must(session != NULL && str_to_c(service, session->service, sizeof session->service));
	if (!str_to_c(address, session->address, sizeof session->address))
		session->address[0] = '\0';
	session->flags = flags;
	session->arena = arena_new(LOOKUP_BYTES_MAX);
	sasl_library_set_callbacks(session);
	begin_attempt(session);
	return session;
}

static void end_exchange(struct sasl_session *session)
{
	if (session->conn)
		sasl_dispose(&session->conn);
	session->conn = NULL;
}

void sasl_session_free(struct sasl_session **session)
{
	if (*session == NULL)
		return;
	end_exchange(*session);
	arena_free(&(*session)->arena);
	free(*session);
	*session = NULL;
}

// The verdict at the end of an attempt, and what the throttle learns from it.
static enum sasl_outcome finish(struct sasl_session *session, bool proved)
{
	const struct sasl_config *config = sasl_library_config();
	struct str address = str_of_c(session->address);
	end_exchange(session);
	if (session->tempfail)
		return SASL_TEMPFAIL;
	if (session->other_identity)
		session->reason = "another authorization identity";
	if (proved && session->verified && session->login_n && !session->other_identity) {
		if (!session->credentials.allowed)
			return SASL_TEMPFAIL;
		session->reason = "right";
		session->account = session->credentials.account;
		if (is_counted(session))
			password_throttle_succeeded(config->throttle, login_of(session), address, sasl_library_now_ms());
		return SASL_DONE;
	}
	if (is_counted(session) && !session->throttled && session->looked_up)
		session->used_up = password_throttle_failed(config->throttle, login_of(session), address, sasl_library_now_ms());
	return SASL_FAILED;
}

static enum sasl_outcome outcome_of(struct sasl_session *session, int result, const char *out, unsigned out_n,
	struct str *challenge_out)
{
	switch (result) {
	case SASL_CONTINUE:
		*challenge_out = str_of(out, out ? out_n : 0);
		return SASL_CHALLENGE;
	case SASL_OK:
		return finish(session, true);
	default: // libsasl2's codes say nothing that a client may know; SASL_NOMECH is what it has for "nobody else checks
		 // passwords"
		return finish(session, false);
	}
}

static bool mechanism_is_ours(struct str mechanism, unsigned flags)
{
	struct str rest = sasl_mechanisms(flags);
	while (rest.n) {
		struct str name = rest, after = STR_NONE;
		str_cut(rest, ' ', &name, &after);
		if (str_eq_nocase(name, mechanism))
			return true;
		rest = after;
	}
	return false;
}

enum sasl_outcome sasl_session_start(struct sasl_session *session, struct str mechanism, const struct str *initial,
	struct str *challenge_out)
{
	char name[SASL_MECHANISM_BYTES_MAX + 1];
	const char *out = NULL;
	unsigned out_n = 0;
	end_exchange(session);
	begin_attempt(session);
	if (!mechanism_is_ours(mechanism, session->flags) || !str_to_c(mechanism, name, sizeof name))
		return SASL_BAD_MECH;
	if (initial && initial->n > SASL_LINE_BYTES_MAX)
		return SASL_BAD_DATA;
	// The host name matters only to mechanisms that we do not offer; without one libsasl2 would ask DNS for it.
	int result = sasl_server_new(session->service, "localhost", NULL, NULL, NULL, session->callbacks, 0, &session->conn);
	if (result != SASL_OK) {
		session->reason = "libsasl2 cannot start";
		session->tempfail = true;
		return finish(session, false);
	}
	// An initial response that is there but empty is not NULL to libsasl2.
	const char *in = initial ? (initial->n ? initial->p : "") : NULL;
	result = sasl_server_start(session->conn, name, in, initial ? (unsigned)initial->n : 0, &out, &out_n);
	return outcome_of(session, result, out, out_n, challenge_out);
}

enum sasl_outcome sasl_session_step(struct sasl_session *session, struct str response, struct str *challenge_out)
{
	const char *out = NULL;
	unsigned out_n = 0;
	must(session->conn != NULL);
	if (response.n > SASL_LINE_BYTES_MAX) {
		end_exchange(session);
		return SASL_BAD_DATA;
	}
	int result = sasl_server_step(session->conn, response.n ? response.p : "", (unsigned)response.n, &out, &out_n);
	return outcome_of(session, result, out, out_n, challenge_out);
}

// ---- lines ----

// Both calls keep the decoded bytes in a buffer with a NUL after them: libsasl2's plug-ins read to one.
static bool decode_line(struct str line, struct buf *out)
{
	buf_init(out, SASL_LINE_BYTES_MAX);
	return line.n <= SASL_LINE_BYTES_MAX && codec_base64_decode(line, out) && buf_add_byte(out, '\0');
}

static void forget(struct buf *b)
{
	if (b->n)
		OPENSSL_cleanse(b->p, b->n);
	buf_fini(b);
}

static enum sasl_outcome encode_challenge(struct sasl_session *session, enum sasl_outcome outcome, struct str challenge,
	struct buf *out)
{
	buf_clear(out);
	if (outcome == SASL_CHALLENGE && !codec_base64_add(out, challenge)) {
		end_exchange(session);
		session->reason = "the challenge does not fit a line";
		return SASL_TEMPFAIL;
	}
	return outcome;
}

enum sasl_outcome sasl_session_start_line(struct sasl_session *session, struct str mechanism, const struct str *initial_line,
                                          struct buf *challenge_out)
{
	struct str challenge = STR_NONE;
	buf_clear(challenge_out);
	if (initial_line == NULL)
		return encode_challenge(session, sasl_session_start(session, mechanism, NULL, &challenge), challenge,
			challenge_out);
	struct buf bytes;
	enum sasl_outcome outcome = SASL_BAD_DATA;
	struct str line = str_eq(*initial_line, STR("=")) ? STR_NONE : *initial_line; // RFC 4954 section 4, RFC 4959 section 3
	if (decode_line(line, &bytes)) {
		struct str initial = str_upto(buf_str(&bytes), bytes.n - 1);
		outcome = sasl_session_start(session, mechanism, &initial, &challenge);
	}
	forget(&bytes);
	return encode_challenge(session, outcome, challenge, challenge_out);
}

enum sasl_outcome sasl_session_step_line(struct sasl_session *session, struct str line, struct buf *challenge_out)
{
	struct str challenge = STR_NONE;
	struct buf bytes;
	buf_clear(challenge_out);
	if (str_eq(line, STR("*"))) {
		end_exchange(session);
		session->reason = "the client gave up";
		return SASL_ABORTED;
	}
	enum sasl_outcome outcome = SASL_BAD_DATA;
	if (decode_line(line, &bytes))
		outcome = sasl_session_step(session, str_upto(buf_str(&bytes), bytes.n - 1), &challenge);
	else
		end_exchange(session);
	forget(&bytes);
	return encode_challenge(session, outcome, challenge, challenge_out);
}

enum sasl_outcome sasl_session_plain(struct sasl_session *session, struct str login, struct str password)
{
	end_exchange(session);
	begin_attempt(session);
	if (!(session->flags & SASL_PLAINTEXT_OK))
		return SASL_BAD_MECH;
	sasl_session_take_login(session, login);
	return finish(session, sasl_session_check(session, password));
}

struct str sasl_session_login(const struct sasl_session *session)
{
	return login_of(session);
}

struct str sasl_session_account(const struct sasl_session *session)
{
	return session->account;
}

enum password_throttle_used sasl_session_used_up(const struct sasl_session *session)
{
	return session->used_up;
}

const char *sasl_session_reason(const struct sasl_session *session)
{
	return session->reason;
}
