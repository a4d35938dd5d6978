// SPDX-License-Identifier: Apache-2.0
// A log-in, the same for SMTP, IMAP and POP3: the SASL dialogue over the lines of a connection, with everything slow on workers.
//
//     struct login *login;                                                     // once a daemon, before its threads
//     const struct login_config config = {.settings = settings, .settings_get = get, .arg = arg, .shared = shared};
//     if (login_open(&config, &login, err)) ...
//
//     struct login_attempt attempt;                                            // a session, at AUTH
//     login_begin(login, STR("imap"), conn, may_plaintext, &attempt);
//     code = login_converse(&attempt, STR("+ "), mechanism, initial, &outcome, err);
//     if (code) ...                                                            // the connection is over
//     if (outcome == SASL_DONE) remember(attempt.login, attempt.account);      // copy them: the attempt owns them
//     login_end(&attempt);
//
// Unknown user, wrong password, throttled, suspended, service not granted: one SASL_FAILED, the same in bytes and in time. What
// it was is in attempt.reason, for the log only.
//
// Throttle, cache of right passwords and salts of unknown users belong to the process; the salts come from the file secret beside
// the credentials (FORMATS section 3), so that they are the same on all nodes.
#ifndef ROUTER_LOGIN_H
#define ROUTER_LOGIN_H

#include "base/conn.h"
#include "base/metrics.h"
#include "mail/sasl.h"
#include "schema/settings.h"

struct login;

extern struct metric *const login_metrics[]; // for metrics_register()

enum { LOGIN_THROTTLE_ENTRIES = 16384 }; // users, and addresses, whose failures are remembered

struct login_config {
	// As they are at the start: paths below data_dir, realm of logins without one, auth_threads, auth_cache_s, and the failed
	// log-ins an hour that are free (auth_failures_*). Borrowed for the call.
	const struct settings *settings;
	// Those of now, a reference: auth_exempt_networks. Any thread.
	struct settings_snapshot *(*settings_get)(void *arg);
	void *arg;
	void *shared; // of login_share(); NULL: this process counts for itself
};

// The count of failed log-ins that all daemons of a node share: run_dir/log-ins, mode 0600, made by the first of them as
// log-ins.new and renamed. A file of another version is replaced, and who has it counts on in it. Before the jail, as who owns
// run_dir; blocks. NULL, with a line in the log, where that cannot be, as on a full disk: then each counts for itself.
void *login_share(struct str run_dir);

// Opens the credentials and libsasl2, and starts the threads on which passwords are checked: of its own, because hashes are slow
// on purpose. One struct login a process. credentials.db is read at each attempt and may be missing; while the file secret beside
// it is, the salts of unknown users last as long as the process. Reads files: main thread, at start. ERR_UNSUPPORTED: libsasl2
// lacks a mechanism (libsasl2-modules is not installed).
enum err_code login_open(const struct login_config *config, struct login **login_out, struct err *err) ERR_CHECKED;
void login_close(struct login **login); // after the schedulers have stopped

struct login_attempt {
	struct login *owner;
	struct conn *conn;            // borrowed
	struct sasl_session *session; // owned
	struct str login;             // after an outcome: as the client wrote it; may be empty. Owned by the session
	struct str account;           // after SASL_DONE: the directory's name for the entry
	const char *reason;           // of a failure, for the log
};

// service: "smtp", "imap" or "pop" (phService). may_plaintext: the channel is encrypted, or trusted by auth_plaintext.
void login_begin(struct login *login, struct str service, struct conn *conn, bool may_plaintext,
	struct login_attempt *attempt_out);
void login_end(struct login_attempt *attempt);

// The whole dialogue: each challenge goes out as prefix + base64 + CRLF ("334 ", "+ "), each answer comes in as a line of at most
// 12 KiB (a longer one is SASL_BAD_DATA). initial: NULL without an initial response, else as the client wrote it ("=": empty).
// Returns an error only when the connection is over (closed, timed out, cancelled); then no outcome is set. May wait.
enum err_code login_converse(struct login_attempt *attempt, struct str prefix, struct str mechanism, const struct str *initial,
	enum sasl_outcome *outcome_out, struct err *err) ERR_CHECKED;

// IMAP LOGIN, POP3 USER and PASS. May wait.
enum sasl_outcome login_plain(struct login_attempt *attempt, struct str login, struct str password);

// Keeps a client that has just failed waiting before it is told: half a second, doubled with each failure of its session before
// this one, up to 8 s, so that guessing in one connection is slow. Waits; ends early on a cancel.
void login_penalty(unsigned failures);

#endif
