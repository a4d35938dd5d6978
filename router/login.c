// SPDX-License-Identifier: Apache-2.0
// A log-in: libsasl2 and the credentials, driven from fibers, run on workers.
//
// libsasl2 may block and passwords cost milliseconds on purpose, so each step of a dialogue is a job of the worker pool; when its queue is
// full the client hears "temporary failure" and nothing is computed. Between the steps the fiber talks to the client.
#include "router/login.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
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

#define SHARE_NAME "log-ins"
#define SHARE_NAME_NEW "log-ins.new"

enum {
	SECRET_BYTES = 32,
	LOCK_TRIES_MAX = 100,
	CACHE_ENTRIES = 16384,
	THROTTLE_ENTRIES = 16384,
	THROTTLE_ALARM_TIMES = 10, // as many failures of one login from everywhere as one address has: somebody guesses from many places
	HOUR_MS = 3600000,
	PENALTY_MS_MAX = 8000,
	CHALLENGE_BYTES_MAX = SASL_LINE_BYTES_MAX,
};

struct login {
	struct worker_pool *workers; // borrowed
	struct credentials *credentials;
	struct password_cache *cache; // NULL: not wanted
	struct password_throttle *throttle;
	bool (*is_exempt)(void *arg, const struct netaddr *peer);
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

static uint64_t now_ms(void)
{
	return (uint64_t)clock_mono_exact_ms();
}

static bool is_ours(int fd, int dir, const char *name, struct stat *st_out)
{
	struct stat named;
	return fstat(fd, st_out) == 0 && S_ISREG(st_out->st_mode) && st_out->st_uid == geteuid() && st_out->st_nlink == 1 &&
	       fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_dev == st_out->st_dev && named.st_ino == st_out->st_ino;
}

static void *map_whole(int fd, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

// NULL when it is not what we would have made: of another version, cut off, or somebody else's.
static void *map_there(int dir, size_t bytes)
{
	struct stat st;
	void *memory = NULL;
	int fd = openat(dir, SHARE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (is_ours(fd, dir, SHARE_NAME, &st) && st.st_size == (off_t)bytes)
		memory = map_whole(fd, bytes);
	if (memory && !password_throttle_is_prepared(memory, THROTTLE_ENTRIES)) {
		munmap(memory, bytes);
		memory = NULL;
	}
	close(fd);
	return memory;
}

// The file that becomes the shared one, which only one at a time has. -1: there is none to be had.
static int lock_new(int dir)
{
	struct stat st;
	for (unsigned tries = 0; tries < LOCK_TRIES_MAX; tries++) {
		int fd = openat(dir, SHARE_NAME_NEW, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
		if (fd < 0 || flock(fd, LOCK_EX) < 0) {
			if (fd >= 0)
				close(fd);
			return -1;
		}
		if (is_ours(fd, dir, SHARE_NAME_NEW, &st))
			return fd;
		close(fd); // it has its place now, and the next one is another
	}
	return -1;
}

// Takes the name of the old one, which those that have it keep: it must not become shorter under them. Its blocks are taken before: a write to a
// hole of a full disk would be SIGBUS.
static void *map_new(int dir, int fd, size_t bytes)
{
	void *memory = NULL;
	if (ftruncate(fd, 0) == 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0)
		memory = map_whole(fd, bytes);
	if (memory == NULL)
		return NULL;
	password_throttle_prepare(memory, THROTTLE_ENTRIES);
	if (renameat(dir, SHARE_NAME_NEW, dir, SHARE_NAME) == 0)
		return memory;
	munmap(memory, bytes);
	return NULL;
}

static void *map_shared(int dir)
{
	const size_t bytes = password_throttle_bytes(THROTTLE_ENTRIES);
	struct stat st;
	int fd = lock_new(dir);
	if (fd < 0)
		return NULL;
	void *memory = map_there(dir, bytes);
	if (memory == NULL)
		memory = map_new(dir, fd, bytes);
	if (is_ours(fd, dir, SHARE_NAME_NEW, &st))
		unlinkat(dir, SHARE_NAME_NEW, 0);
	flock(fd, LOCK_UN); // the mapping would keep it
	close(fd);
	return memory;
}

void *login_share(struct str run_dir)
{
	void *memory = NULL;
	int dir;
	if (file_dir_open(run_dir, &dir, NULL) == ERR_OK) {
		memory = map_shared(dir);
		file_close(dir);
	}
	if (memory == NULL)
		log_warning(NULL, "no common count of failed log-ins: this daemon counts for itself", log_str("run_dir", run_dir));
	return memory;
}

enum err_code login_open(const struct login_config *config, struct login **login_out, struct err *err)
{
	const struct password_throttle_limits limits = {
		.user_max = config->failures_user_max,
		.address_max = config->failures_address_max,
		.login_alarm = THROTTLE_ALARM_TIMES * config->failures_user_max,
		.window_ms = HOUR_MS,
		.entries = THROTTLE_ENTRIES,
	};
	uint8_t secret[SECRET_BYTES];
	if (!read_secret(config->secret_path, secret)) {
		log_warning(NULL, "no secret for the salts of unknown users: they change at each restart", log_c("path", config->secret_path));
		random_bytes(secret, sizeof secret);
	}
	struct login *login = calloc(1, sizeof *login);
	must(login != NULL);
	login->workers = config->workers;
	login->is_exempt = config->is_exempt;
	login->arg = config->arg;
	login->credentials = credentials_open(config->credentials_path, config->default_realm);
	login->cache = config->cache_ms ? password_cache_new(CACHE_ENTRIES, (uint64_t)config->cache_ms) : NULL;
	login->throttle = config->shared ? password_throttle_at(&limits, config->shared) : password_throttle_new(&limits);
	const struct sasl_config sasl = {
		.lookup = credentials_lookup,
		.context = login->credentials,
		.secret = str_of((const char *)secret, sizeof secret),
		.cache = login->cache,
		.throttle = login->throttle,
		.now_ms = now_ms,
	};
	enum err_code code = sasl_library_init(&sasl, err);
	if (code) {
		credentials_close(&login->credentials);
		password_cache_free(&login->cache);
		password_throttle_free(&login->throttle);
		free(login);
		return code;
	}
	*login_out = login;
	return ERR_OK;
}

void login_close(struct login **login)
{
	if (*login == NULL)
		return;
	sasl_library_fini();
	credentials_close(&(*login)->credentials);
	password_cache_free(&(*login)->cache);
	password_throttle_free(&(*login)->throttle);
	free(*login);
	*login = NULL;
}

void login_begin(struct login *login, struct str service, struct conn *conn, bool may_plaintext, struct login_attempt *attempt_out)
{
	char address[NETADDR_TEXT_BYTES];
	struct netaddr network = netaddr_prefix(conn_peer(conn), 32, 64);
	netaddr_text(&network, address);
	bool exempt = login->is_exempt && login->is_exempt(login->arg, conn_peer(conn));
	*attempt_out = (struct login_attempt){
		.owner = login,
		.conn = conn,
		.session = sasl_session_new(service, str_of_c(address), (may_plaintext ? SASL_PLAINTEXT_OK : 0u) | (exempt ? SASL_UNTHROTTLED : 0u)),
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
		log_warning(NULL, "too many failed log-ins from one address: all are refused from there for a while", log_str("address", from));
		return;
	case PASSWORD_THROTTLE_ALARM:
		metric_add(&metric_login_guessed, 1);
		log_warning(NULL, "somebody guesses at a user's password from many addresses", log_str("login", attempt->login), log_str("address", from));
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
static enum err_code ask(struct login_attempt *attempt, struct str prefix, struct buf *challenge, struct str *line_out, struct err *err)
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
