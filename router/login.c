// SPDX-License-Identifier: Apache-2.0
// A log-in: libsasl2 and the credentials, driven from fibers, run on workers.
//
// libsasl2 may block and passwords cost milliseconds on purpose, so each step of a dialogue is a job of the worker pool; when its
// queue is full the client hears "temporary failure" and nothing is computed. Between the steps the fiber talks to the client.
#include "router/login.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "base/shared_file.h"
#include "base/worker.h"
#include "ldapsync/credentials.h"
#include "mail/password_cache.h"

#define LOGIN_METRICS(X)                                                                                                       \
	X(COUNTER, login_throttled, "", "Log-ins refused unheard: too many failed before.")                                   \
	X(COUNTER, login_users_throttled, "", "Times that one user had too many failed log-ins from one address.")            \
	X(COUNTER, login_addresses_throttled, "", "Times that one address had too many failed log-ins.")                      \
	X(COUNTER, login_guessed, "", "Users whose password was guessed at from many addresses.")
METRICS_DECLARE(LOGIN_METRICS)
METRICS_DEFINE(login_metrics, LOGIN_METRICS)

enum {
	SECRET_BYTES = 32,
	QUEUE_MAX = 256, // attempts that wait for a password check; more hear "temporary failure"
	CACHE_ENTRIES = 16384,
	// as many failures of one login from everywhere as one address has: somebody guesses from many places
	THROTTLE_ALARM_TIMES = 10,
	HOUR_MS = 3600000,
	PENALTY_MS_MAX = 8000,
	CHALLENGE_BYTES_MAX = SASL_LINE_BYTES_MAX,
};

struct login {
	struct worker_pool *workers; // owned
	struct credentials *credentials;
	struct password_cache *cache; // NULL: not wanted
	struct password_throttle *throttle;
	struct settings_snapshot *(*settings_get)(void *arg);
	void *arg;
};

// False when there is no such file yet.
static bool read_secret(const char *path, uint8_t secret[SECRET_BYTES])
{
	struct str whole = str_of_c(path);
	ptrdiff_t slash = str_rindex(whole, '/');
	struct buf contents;
	int dir;
	if (slash < 0 || file_dir_open(str_upto(whole, (size_t)slash), &dir, NULL))
		return false;
	buf_init(&contents, 4096);
	bool ok = file_read(dir, str_from(whole, (size_t)slash + 1), &contents, NULL) == ERR_OK && contents.n >= SECRET_BYTES;
	if (ok)
		memcpy(secret, contents.p, SECRET_BYTES);
	buf_fini(&contents);
	file_close(dir);
	return ok;
}

static bool is_prepared(const void *memory)
{
	return password_throttle_is_prepared(memory, LOGIN_THROTTLE_ENTRIES);
}

static void prepare(void *memory)
{
	password_throttle_prepare(memory, LOGIN_THROTTLE_ENTRIES);
}

void *login_share(struct str run_dir)
{
	const struct shared_file count = {.name = "log-ins",
		.bytes = password_throttle_bytes(LOGIN_THROTTLE_ENTRIES),
		.is_prepared = is_prepared,
		.prepare = prepare};
	void *memory = shared_file_map(run_dir, &count);
	if (memory == NULL)
		log_warning(NULL, "no common count of failed log-ins: this daemon counts for itself", log_str("run_dir",
			run_dir));
	return memory;
}

static uint64_t now_ms(void)
{
	return (uint64_t)clock_mono_exact_ms();
}

// Of the process: libsasl2, with what it asks.
static enum err_code open_library(struct login *login, const char *secret_path, struct err *err)
{
	uint8_t secret[SECRET_BYTES];
	if (!read_secret(secret_path, secret)) {
		log_warning(NULL, "no secret for the salts of unknown users: they change at each restart",
			log_c("path", secret_path));
		random_bytes(secret, sizeof secret);
	}
	const struct sasl_config sasl = {
		.lookup = credentials_lookup,
		.context = login->credentials,
		.secret = str_of((const char *)secret, sizeof secret),
		.cache = login->cache,
		.throttle = login->throttle,
		.now_ms = now_ms,
	};
	return sasl_library_init(&sasl, err);
}

static struct password_throttle *throttle_of(const struct settings *settings, void *shared)
{
	const struct password_throttle_limits limits = {
		.user_max = (uint32_t)settings->auth_failures_user_hour_max,
		.address_max = (uint32_t)settings->auth_failures_address_hour_max,
		.login_alarm = THROTTLE_ALARM_TIMES * (uint32_t)settings->auth_failures_user_hour_max,
		.window_ms = HOUR_MS,
		.entries = LOGIN_THROTTLE_ENTRIES,
	};
	return shared ? password_throttle_at(&limits, shared) : password_throttle_new(&limits);
}

static void let_go(struct login **login)
{
	if ((*login)->workers)
		worker_pool_free(&(*login)->workers);
	credentials_close(&(*login)->credentials);
	password_cache_free(&(*login)->cache);
	password_throttle_free(&(*login)->throttle);
	free(*login);
	*login = NULL;
}

enum err_code login_open(const struct login_config *config, struct login **login_out, struct err *err)
{
	const struct settings *settings = config->settings;
	struct arena *arena = arena_new(4096);
	struct login *login = calloc(1, sizeof *login);
	must(login != NULL);
	login->settings_get = config->settings_get;
	login->arg = config->arg;
	login->credentials = credentials_open(settings_data_path(settings, arena, "credentials/credentials.db").p,
		settings_default_domain(settings));
	login->cache = settings->auth_cache_s ? password_cache_new(CACHE_ENTRIES, (uint64_t)settings->auth_cache_s * 1000) : NULL;
	login->throttle = throttle_of(settings, config->shared);
	enum err_code code = worker_pool_new("auth", (unsigned)settings->auth_threads, QUEUE_MAX, &login->workers, err);
	if (code == ERR_OK)
		code = open_library(login, settings_data_path(settings, arena, "credentials/secret").p, err);
	if (code)
		let_go(&login);
	else
		*login_out = login;
	arena_free(&arena);
	return code;
}

void login_close(struct login **login)
{
	if (*login == NULL)
		return;
	sasl_library_fini();
	let_go(login);
}

static bool is_exempt(const struct login *login, const struct netaddr *peer)
{
	struct settings_snapshot *snapshot = login->settings_get(login->arg);
	bool exempt = settings_networks_have(&settings_of(snapshot)->auth_exempt_networks, peer);
	settings_unref(&snapshot);
	return exempt;
}

void login_begin(struct login *login, struct str service, struct conn *conn, bool may_plaintext,
	struct login_attempt *attempt_out)
{
	char address[NETADDR_TEXT_BYTES];
	struct netaddr network = netaddr_prefix(conn_peer(conn), 32, 64);
	netaddr_text(&network, address);
	bool exempt = is_exempt(login, conn_peer(conn));
	*attempt_out = (struct login_attempt){
		.owner = login,
		.conn = conn,
		.session = sasl_session_new(service, str_of_c(address),
			(may_plaintext ? SASL_PLAINTEXT_OK : 0u) | (exempt ? SASL_UNTHROTTLED : 0u)),
		.reason = "",
	};
}

void login_end(struct login_attempt *attempt)
{
	sasl_session_free(&attempt->session);
}

// One step, on a worker.
struct step {
	struct sasl_session *session;
	enum { STEP_START, STEP_NEXT, STEP_PLAIN } kind;
	struct str text;           // mechanism, response line, or login
	const struct str *initial; // STEP_START
	struct str password;       // STEP_PLAIN
	struct buf *challenge;
	enum sasl_outcome outcome;
};

static void run_step(void *arg)
{
	struct step *step = arg;
	switch (step->kind) {
	case STEP_START:
		step->outcome = sasl_session_start_line(step->session, step->text, step->initial, step->challenge);
		return;
	case STEP_NEXT:
		step->outcome = sasl_session_step_line(step->session, step->text, step->challenge);
		return;
	case STEP_PLAIN:
		step->outcome = sasl_session_plain(step->session, step->text, step->password);
		return;
	}
	unreachable("step kind");
}

static enum sasl_outcome take_step(struct login_attempt *attempt, struct step *step)
{
	struct err err;
	step->session = attempt->session;
	if (worker_run(attempt->owner->workers, run_step, step, &err)) {
		log_warning(NULL, "no worker for a log-in", log_err(&err));
		attempt->reason = "too many log-ins at once";
		return SASL_TEMPFAIL;
	}
	return step->outcome;
}

// Once for each budget that is used up, not for each attempt that is refused then.
static void say_used_up(const struct login_attempt *attempt)
{
	char address[NETADDR_TEXT_BYTES];
	const struct netaddr network = netaddr_prefix(conn_peer(attempt->conn), 32, 64);
	struct str from = str_of_c(netaddr_text(&network, address));
	switch (sasl_session_used_up(attempt->session)) {
	case PASSWORD_THROTTLE_NOTHING:
		return;
	case PASSWORD_THROTTLE_USER:
		metric_add(&metric_login_users_throttled, 1);
		log_warning(NULL, "too many failed log-ins of one user from one address: they are refused from there for a while",
			log_str("login", attempt->login), log_str("address", from));
		return;
	case PASSWORD_THROTTLE_ADDRESS:
		metric_add(&metric_login_addresses_throttled, 1);
		log_warning(NULL, "too many failed log-ins from one address: all are refused from there for a while",
			log_str("address", from));
		return;
	case PASSWORD_THROTTLE_ALARM:
		metric_add(&metric_login_guessed, 1);
		log_warning(NULL, "somebody guesses at a user's password from many addresses", log_str("login", attempt->login),
			log_str("address", from));
		return;
	}
}

static void conclude(struct login_attempt *attempt, enum sasl_outcome outcome)
{
	attempt->login = sasl_session_login(attempt->session);
	attempt->account = outcome == SASL_DONE ? sasl_session_account(attempt->session) : STR_NONE;
	if (outcome != SASL_DONE && attempt->reason[0] == '\0')
		attempt->reason = sasl_session_reason(attempt->session);
	if (outcome == SASL_FAILED) {
		if (strcmp(attempt->reason, "throttled") == 0)
			metric_add(&metric_login_throttled, 1);
		say_used_up(attempt);
	}
}

// Sends a challenge and reads the answer; a line that is too long is answered like any other that makes no sense.
static enum err_code ask(struct login_attempt *attempt, struct str prefix, struct buf *challenge, struct str *line_out,
	struct err *err)
{
	enum conn_eol eol;
	conn_write(attempt->conn, prefix);
	conn_write(attempt->conn, buf_str(challenge));
	conn_write(attempt->conn, STR("\r\n"));
	buf_clear(challenge);
	enum err_code code = conn_flush(attempt->conn, err);
	if (code == ERR_OK)
		code = conn_read_line(attempt->conn, SASL_LINE_BYTES_MAX, line_out, &eol, err);
	return code;
}

enum err_code login_converse(struct login_attempt *attempt, struct str prefix, struct str mechanism, const struct str *initial,
	enum sasl_outcome *outcome_out, struct err *err)
{
	struct buf challenge;
	enum err_code code = ERR_OK;
	buf_init(&challenge, CHALLENGE_BYTES_MAX);
	struct step first = {.kind = STEP_START, .text = mechanism, .initial = initial, .challenge = &challenge};
	enum sasl_outcome outcome = take_step(attempt, &first);
	while (outcome == SASL_CHALLENGE) {
		struct step next = {.kind = STEP_NEXT, .challenge = &challenge};
		code = ask(attempt, prefix, &challenge, &next.text, err);
		if (code == ERR_LIMIT) {
			code = ERR_OK;
			outcome = SASL_BAD_DATA;
			attempt->reason = "line too long";
		} else if (code) {
			break;
		} else {
			outcome = take_step(attempt, &next);
		}
	}
	buf_fini(&challenge);
	if (code)
		return code;
	conclude(attempt, outcome);
	*outcome_out = outcome;
	return ERR_OK;
}

enum sasl_outcome login_plain(struct login_attempt *attempt, struct str login, struct str password)
{
	struct step step = {.kind = STEP_PLAIN, .text = login, .password = password};
	enum sasl_outcome outcome = take_step(attempt, &step);
	conclude(attempt, outcome);
	return outcome;
}

void login_penalty(unsigned failures)
{
	int64_t wait_ms = failures > 3 ? PENALTY_MS_MAX : (int64_t)500 << failures;
	fiber_sleep_ms(wait_ms);
}
