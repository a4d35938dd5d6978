// SPDX-License-Identifier: Apache-2.0
// SASL as a client sees it: lines for PLAIN and LOGIN, libsasl2's own client for SCRAM-SHA-256, and what must not get in.
#include <pthread.h>
#include <sasl/sasl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/codec.h"
#include "mail/password.h"
#include "mail/password_cache.h"
#include "mail/sasl.h"

#define PENCIL "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static char ssha_value[128]; // of "pencil"
static uint64_t clock_ms = 1;

static uint64_t fixed_clock(void)
{
	return clock_ms;
}

static const struct str pencil_scram[] = {{PENCIL, sizeof PENCIL - 1}};
static struct str pencil_password[2]; // an application's password, then the main one

static enum sasl_lookup look_up(void *context, struct str service, struct str login, struct arena *arena, struct sasl_credentials *out)
{
	(void)context;
	if (str_eq(login, STR("down")))
		return SASL_UNAVAILABLE;
	bool suspended = str_eq(login, STR("suspended")), later = str_eq(login, STR("later"));
	if (!suspended && !later && !str_eq(login, STR("user")) && !str_eq(login, STR("%{user}/../x")))
		return SASL_UNKNOWN;
	*out = (struct sasl_credentials){
		.scram = pencil_scram,
		.scram_n = 1,
		.passwords = pencil_password,
		.passwords_n = 2,
		.allowed = !suspended && !later && str_eq(service, STR("smtp")),
		.later = later,
		.account = arena_dup(arena, STR("entry-1")),
	};
	return SASL_FOUND;
}

#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

// Of the client's plug-ins one is needed here; those for Kerberos leak.
static int is_for_client(void *context, const char *file, sasl_verify_type_t type)
{
	(void)context;
	return type == SASL_VRFY_PLUGIN && !strstr(file, "/libscram.") ? SASL_CONTINUE : SASL_OK;
}

static bool is_mapped(const char *file)
{
	char line[4096];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps))
		found |= strstr(line, file) != NULL;
	fclose(maps);
	return found;
}

static int set_up(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, sizeof ssha_value - 1);
	assert_int_equal(password_make(PASSWORD_SSHA, STR("pencil"), &b, NULL), ERR_OK);
	memcpy(ssha_value, b.p, b.n);
	pencil_password[0] = STR("{SSHA}Txj+iJi3aQf1mngtUtOJDV4vj/pzYWx0eQA=");
	pencil_password[1] = str_of(ssha_value, b.n);
	buf_fini(&b);
	const struct sasl_config short_secret = {.lookup = look_up, .secret = STR("too short")};
	assert_int_equal(sasl_library_init(&short_secret, NULL), ERR_INVALID);
	const struct sasl_config config = {.lookup = look_up, .secret = STR("0123456789abcdef0123456789abcdef"), .now_ms = fixed_clock};
	if (sasl_library_init(&config, NULL) != ERR_OK)
		return -1;
	assert_true(is_mapped("/libscram.so"));
	assert_false(is_mapped("/libdigestmd5.so")); // in the same package and folder, and not one of ours
	static const sasl_callback_t client_callbacks[] = {{SASL_CB_VERIFYFILE, CALLBACK(is_for_client), NULL}, {SASL_CB_LIST_END, NULL, NULL}};
	return sasl_client_init(client_callbacks) == SASL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	sasl_client_done();
	sasl_library_fini();
	return 0;
}

// AUTH PLAIN with this message in one line.
static enum sasl_outcome plain(struct sasl_session *session, struct str message)
{
	struct buf line, challenge;
	buf_init(&line, SASL_LINE_BYTES_MAX);
	buf_init(&challenge, SASL_LINE_BYTES_MAX);
	codec_base64_add(&line, message);
	struct str text = buf_str(&line);
	enum sasl_outcome outcome = sasl_session_start_line(session, STR("PLAIN"), &text, &challenge);
	buf_fini(&line);
	buf_fini(&challenge);
	return outcome;
}

static void plain_lets_in_who_knows_the_password(void **state)
{
	(void)state;
	const struct {
		struct str message;
		enum sasl_outcome want;
	} cases[] = {
		{STR("\0user\0pencil"), SASL_DONE},
		{STR("user\0user\0pencil"), SASL_DONE},
		{STR("\0user\0pass w\xc3\xb6rd"), SASL_DONE}, // the application's
		{STR("\0%{user}/../x\0pencil"), SASL_DONE}, // auth-expand: a name is a name
		{STR("\0user\0Pencil"), SASL_FAILED},
		{STR("\0user\0"), SASL_FAILED},
		{STR("\0nobody\0pencil"), SASL_FAILED},
		{STR("\0suspended\0pencil"), SASL_FAILED},
		{STR("\0suspended\0wrong"), SASL_FAILED},
		{STR("\0later\0pencil"), SASL_TEMPFAIL},
		{STR("\0later\0wrong"), SASL_FAILED}, // a stranger learns nothing
		{STR("other\0user\0pencil"), SASL_FAILED},
		{STR("\0\0pencil"), SASL_FAILED}, // auth-utf8
		{STR("\0us\xff" "er\0pencil"), SASL_FAILED},
		{STR("\0us\0er\0pencil"), SASL_FAILED},
		{STR("\0 user\0pencil"), SASL_FAILED}, // libsasl2 would trim it
		{STR("\0 \0pencil"), SASL_FAILED},
		{STR("-\0user\0pencil"), SASL_FAILED},
		{STR("user"), SASL_FAILED},
		{STR(""), SASL_FAILED},
		{STR("\0user\0{SSHA}Txj+iJi3aQf1mngtUtOJDV4vj/pzYWx0eQA="), SASL_FAILED}, // a hash is no password
		{STR("\0user\0" PENCIL), SASL_FAILED},
		{STR("\0down\0pencil"), SASL_TEMPFAIL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sasl_session *session = sasl_session_new(STR("smtp"), STR("192.0.2.1"), SASL_PLAINTEXT_OK);
		enum sasl_outcome got = plain(session, cases[i].message);
		if (got != cases[i].want)
			fail_msg("case %zu: %d, expected %d (%s)", i, got, cases[i].want, sasl_session_reason(session));
		assert_true(str_eq(sasl_session_account(session), got == SASL_DONE ? STR("entry-1") : STR("")));
		sasl_session_free(&session);
	}
}

static void a_session_may_try_again(void **state)
{
	(void)state;
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
	assert_int_equal(plain(session, STR("\0user\0wrong")), SASL_FAILED);
	assert_string_equal(sasl_session_reason(session), "wrong password");
	assert_int_equal(plain(session, STR("\0nobody\0wrong")), SASL_FAILED);
	assert_string_equal(sasl_session_reason(session), "unknown user");
	assert_int_equal(plain(session, STR("\0user\0pencil")), SASL_DONE);
	assert_true(str_eq(sasl_session_login(session), STR("user")));
	assert_int_equal(plain(session, STR("\0nobody\0pencil")), SASL_FAILED);
	assert_int_equal(sasl_session_account(session).n, 0);
	sasl_session_free(&session);
}

static void another_service_may_be_refused(void **state)
{
	(void)state;
	struct sasl_session *session = sasl_session_new(STR("imap"), STR(""), SASL_PLAINTEXT_OK);
	assert_int_equal(plain(session, STR("\0user\0pencil")), SASL_FAILED);
	assert_string_equal(sasl_session_reason(session), "not allowed");
	sasl_session_free(&session);
}

static void login_asks_twice(void **state)
{
	(void)state;
	struct buf challenge;
	buf_init(&challenge, SASL_LINE_BYTES_MAX);
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
	assert_int_equal(sasl_session_start_line(session, STR("login"), NULL, &challenge), SASL_CHALLENGE);
	assert_true(str_eq(buf_str(&challenge), STR("VXNlcm5hbWU6")));
	assert_int_equal(sasl_session_step_line(session, STR("dXNlcg=="), &challenge), SASL_CHALLENGE);
	assert_true(str_eq(buf_str(&challenge), STR("UGFzc3dvcmQ6")));
	assert_int_equal(sasl_session_step_line(session, STR("cGVuY2ls"), &challenge), SASL_DONE);
	assert_true(str_eq(sasl_session_login(session), STR("user")));

	const struct str initial = STR("dXNlcg==");
	assert_int_equal(sasl_session_start_line(session, STR("LOGIN"), &initial, &challenge), SASL_CHALLENGE);
	assert_int_equal(sasl_session_step_line(session, STR("eHh4"), &challenge), SASL_FAILED);

	// Names that are none: libsasl2's plug-in must not leak the password (LeakSanitizer is the judge).
	const char *const names[] = {"/w==", "ICAg", "dQBz", "C3U="};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		assert_int_equal(sasl_session_start_line(session, STR("LOGIN"), NULL, &challenge), SASL_CHALLENGE);
		assert_int_equal(sasl_session_step_line(session, str_of_c(names[i]), &challenge), SASL_CHALLENGE);
		assert_int_equal(sasl_session_step_line(session, STR("cGVuY2ls"), &challenge), SASL_FAILED);
	}
	sasl_session_free(&session);
	buf_fini(&challenge);
}

static void imap_login_and_pop_pass_need_no_mechanism(void **state)
{
	(void)state;
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
	assert_int_equal(sasl_session_plain(session, STR("user"), STR("pencil")), SASL_DONE);
	assert_int_equal(sasl_session_plain(session, STR("user"), STR("x")), SASL_FAILED);
	assert_int_equal(sasl_session_plain(session, STR(""), STR("pencil")), SASL_FAILED);
	assert_int_equal(sasl_session_plain(session, STR("us\0er"), STR("pencil")), SASL_FAILED);
	assert_int_equal(sasl_session_plain(session, STR("down"), STR("pencil")), SASL_TEMPFAIL);
	sasl_session_free(&session);
	session = sasl_session_new(STR("smtp"), STR(""), 0);
	assert_int_equal(sasl_session_plain(session, STR("user"), STR("pencil")), SASL_BAD_MECH);
	sasl_session_free(&session);
}

static void only_three_mechanisms_and_only_over_tls(void **state)
{
	(void)state;
	struct str challenge;
	const struct str initial = STR("\0user\0pencil");
	const char *const others[] = {"CRAM-MD5", "DIGEST-MD5", "ANONYMOUS", "EXTERNAL", "GSSAPI", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "", "PLAIN LOGIN",
		"AVERYLONGNAMEOFAMECHANISMINDEED"};
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_int_equal(sasl_session_start(session, str_of_c(others[i]), &initial, &challenge), SASL_BAD_MECH);
	sasl_session_free(&session);
	session = sasl_session_new(STR("smtp"), STR(""), 0);
	assert_int_equal(sasl_session_start(session, STR("PLAIN"), &initial, &challenge), SASL_BAD_MECH);
	assert_int_equal(sasl_mechanisms(0).n, 0);
	assert_true(str_eq(sasl_mechanisms(SASL_PLAINTEXT_OK), STR("SCRAM-SHA-256 PLAIN LOGIN")));
	sasl_session_free(&session);
}

static void lines_that_are_none_end_the_exchange(void **state)
{
	(void)state;
	struct buf challenge;
	buf_init(&challenge, SASL_LINE_BYTES_MAX);
	static char long_line[SASL_LINE_BYTES_MAX + 4];
	memset(long_line, 'A', sizeof long_line);
	const struct {
		struct str line;
		enum sasl_outcome want;
	} cases[] = {{STR("*"), SASL_ABORTED}, {STR("not base64"), SASL_BAD_DATA}, {STR("AAA"), SASL_BAD_DATA}, {STR("****"), SASL_BAD_DATA},
		{str_of(long_line, sizeof long_line), SASL_BAD_DATA}, {STR(""), SASL_FAILED}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
		assert_int_equal(sasl_session_start_line(session, STR("PLAIN"), NULL, &challenge), SASL_CHALLENGE);
		assert_int_equal(challenge.n, 0);
		assert_int_equal(sasl_session_step_line(session, cases[i].line, &challenge), cases[i].want);
		sasl_session_free(&session);
	}
	buf_fini(&challenge);
}

// auth-abort: clients that vanish in the middle. LeakSanitizer is the judge.
static void sessions_dropped_in_the_middle_leave_nothing(void **state)
{
	(void)state;
	struct str challenge;
	const struct str first = STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
	for (unsigned i = 0; i < 1000; i++) {
		struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
		assert_int_equal(sasl_session_start(session, STR("SCRAM-SHA-256"), &first, &challenge), SASL_CHALLENGE);
		sasl_session_free(&session);
	}
}

// ---- SCRAM with libsasl2's client ----

struct client {
	const char *user;
	sasl_secret_t *secret;
};

static int client_name(void *context, int id, const char **result, unsigned *n)
{
	const struct client *client = context;
	*result = id == SASL_CB_USER ? "" : client->user;
	if (n)
		*n = (unsigned)strlen(*result);
	return SASL_OK;
}

static int client_secret(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
	(void)conn;
	(void)id;
	*secret = ((struct client *)context)->secret;
	return SASL_OK;
}

// Runs one exchange; the server's first challenge is copied to first_out.
static enum sasl_outcome scram(const char *user, const char *password, char *first_out, size_t first_size)
{
	struct client client = {user, malloc(sizeof(sasl_secret_t) + strlen(password) + 1)};
	client.secret->len = strlen(password);
	memcpy(client.secret->data, password, client.secret->len + 1);
	const sasl_callback_t callbacks[] = {{SASL_CB_USER, CALLBACK(client_name), &client}, {SASL_CB_AUTHNAME, CALLBACK(client_name), &client},
		{SASL_CB_PASS, CALLBACK(client_secret), &client}, {SASL_CB_LIST_END, NULL, NULL}};
	sasl_conn_t *conn = NULL;
	const char *out = NULL, *mechanism = NULL;
	unsigned out_n = 0;
	struct str challenge;
	assert_int_equal(sasl_client_new("smtp", "localhost", NULL, NULL, callbacks, 0, &conn), SASL_OK);
	assert_int_equal(sasl_client_start(conn, "SCRAM-SHA-256", NULL, &out, &out_n, &mechanism), SASL_CONTINUE);
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
	struct str initial = str_of(out, out_n);
	enum sasl_outcome outcome = sasl_session_start(session, STR("SCRAM-SHA-256"), &initial, &challenge);
	if (outcome == SASL_CHALLENGE && first_out)
		assert_true(str_to_c(challenge, first_out, first_size));
	while (outcome == SASL_CHALLENGE) {
		int result = sasl_client_step(conn, challenge.p, (unsigned)challenge.n, NULL, &out, &out_n);
		assert_true(result == SASL_OK || result == SASL_CONTINUE);
		outcome = sasl_session_step(session, str_of(out, out ? out_n : 0), &challenge);
	}
	if (outcome == SASL_DONE)
		assert_true(str_eq(sasl_session_login(session), str_of_c(user)) && str_eq(sasl_session_account(session), STR("entry-1")));
	sasl_session_free(&session);
	sasl_dispose(&conn);
	free(client.secret);
	return outcome;
}

static void scram_lets_in_who_can_prove_the_password(void **state)
{
	(void)state;
	char first[256];
	assert_int_equal(scram("user", "pencil", first, sizeof first), SASL_DONE);
	assert_non_null(strstr(first, "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
	assert_int_equal(scram("user", "pencils", NULL, 0), SASL_FAILED);
	assert_int_equal(scram("suspended", "pencil", NULL, 0), SASL_FAILED);
	assert_int_equal(scram("%{user}/../x", "pencil", NULL, 0), SASL_DONE);
	assert_int_equal(scram("down", "pencil", NULL, 0), SASL_TEMPFAIL);
	assert_int_equal(scram("later", "pencil", NULL, 0), SASL_TEMPFAIL);
	assert_int_equal(scram("later", "wrong", NULL, 0), SASL_FAILED);
}

static void scram_has_a_salt_for_nobody_that_stays_the_same(void **state)
{
	(void)state;
	char first[256], second[256], other[256];
	assert_int_equal(scram("nobody", "pencil", first, sizeof first), SASL_FAILED);
	assert_int_equal(scram("nobody", "pencil", second, sizeof second), SASL_FAILED);
	assert_int_equal(scram("nobody2", "pencil", other, sizeof other), SASL_FAILED);
	const char *salt = strstr(first, ",s=");
	assert_non_null(salt);
	assert_string_equal(salt, strstr(second, ",s="));
	assert_string_not_equal(salt, strstr(other, ",s="));
	assert_non_null(strstr(salt, ",i=15000"));
}

static void scram_refuses_messages_of_strangers(void **state)
{
	(void)state;
	const struct str firsts[] = {STR(""), STR("n"), STR("n,,"), STR("n,,n=,r=abc"), STR("n,,n=user,r="), STR("p=tls-unique,,n=user,r=abc"),
		STR("n,,n=us\xff,r=abc"), STR("n,a=other,n=user,r=abcdefghijklmnop,c=x"), STR("x,,n=user,r=abc"), STR("n,,m=ext,n=user,r=abc")};
	struct str challenge;
	for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
		struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
		enum sasl_outcome outcome = sasl_session_start(session, STR("SCRAM-SHA-256"), &firsts[i], &challenge);
		if (outcome == SASL_CHALLENGE)
			outcome = sasl_session_step(session, STR("c=biws,r=abc,p=AAAA"), &challenge);
		if (outcome != SASL_FAILED)
			fail_msg("first message %zu: %d", i, outcome);
		sasl_session_free(&session);
	}
}

// ---- throttle, cache, threads ----

static void the_throttle_stands_before_the_hash(void **state)
{
	(void)state;
	tear_down(NULL);
	const struct password_throttle_limits limits = {.user_max = 2, .address_max = 100, .login_alarm = 100, .window_ms = 2000, .entries = 64};
	struct password_throttle *throttle = password_throttle_new(&limits);
	struct password_cache *cache = password_cache_new(64, 1000);
	const struct sasl_config config = {.lookup = look_up, .secret = STR("0123456789abcdef0123456789abcdef"), .now_ms = fixed_clock,
		.throttle = throttle, .cache = cache};
	assert_int_equal(sasl_library_init(&config, NULL), ERR_OK);
	struct sasl_session *session = sasl_session_new(STR("smtp"), STR("192.0.2.1"), SASL_PLAINTEXT_OK);
	assert_int_equal(plain(session, STR("\0user\0wrong")), SASL_FAILED);
	assert_int_equal(plain(session, STR("\0user\0wrong")), SASL_FAILED);
	assert_int_equal(plain(session, STR("\0user\0pencil")), SASL_FAILED);
	assert_string_equal(sasl_session_reason(session), "throttled");
	clock_ms += 2000;
	assert_int_equal(plain(session, STR("\0user\0pencil")), SASL_DONE);
	assert_true(password_cache_has(cache, STR("user"), pencil_password[1], STR("pencil"), clock_ms));
	assert_int_equal(plain(session, STR("\0user\0pencil")), SASL_DONE);
	sasl_session_free(&session);
	tear_down(NULL);
	password_throttle_free(&throttle);
	password_cache_free(&cache);
	assert_int_equal(set_up(NULL), 0);
}

static void *log_in_often(void *argument)
{
	size_t *done = argument;
	for (unsigned i = 0; i < 50; i++) {
		struct sasl_session *session = sasl_session_new(STR("smtp"), STR(""), SASL_PLAINTEXT_OK);
		struct str challenge;
		const struct str initial = STR("\0user\0pencil"), first = STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
		*done += sasl_session_start(session, STR("PLAIN"), &initial, &challenge) == SASL_DONE;
		*done += sasl_session_start(session, STR("SCRAM-SHA-256"), &first, &challenge) == SASL_CHALLENGE;
		sasl_session_free(&session);
	}
	return NULL;
}

static void many_threads_may_log_in_at_once(void **state)
{
	(void)state;
	pthread_t threads[4];
	size_t done[4] = {0};
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_in_often, &done[i]), 0);
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(done[i], 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_lets_in_who_knows_the_password),
		cmocka_unit_test(a_session_may_try_again),
		cmocka_unit_test(another_service_may_be_refused),
		cmocka_unit_test(login_asks_twice),
		cmocka_unit_test(imap_login_and_pop_pass_need_no_mechanism),
		cmocka_unit_test(only_three_mechanisms_and_only_over_tls),
		cmocka_unit_test(lines_that_are_none_end_the_exchange),
		cmocka_unit_test(sessions_dropped_in_the_middle_leave_nothing),
		cmocka_unit_test(scram_lets_in_who_can_prove_the_password),
		cmocka_unit_test(scram_has_a_salt_for_nobody_that_stays_the_same),
		cmocka_unit_test(scram_refuses_messages_of_strangers),
		cmocka_unit_test(the_throttle_stands_before_the_hash),
		cmocka_unit_test(many_threads_may_log_in_at_once),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
