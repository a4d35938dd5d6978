// SPDX-License-Identifier: Apache-2.0
// The server side of SASL (RFC 4422) on Cyrus libsasl2: PLAIN, LOGIN and SCRAM-SHA-256, and no directory in it.
//
//     sasl_library_init(&config, &err);                                     // once, before threads
//     struct sasl_session *s = sasl_session_new(STR("smtp"), remote, SASL_PLAINTEXT_OK);      // at AUTH
//     outcome = sasl_session_start(s, STR("SCRAM-SHA-256"), initial, &challenge);
//     while (outcome == SASL_CHALLENGE) {
//         ... send challenge in base64, read a line, decode ...
//         outcome = sasl_session_step(s, response, &challenge);
//     }
//     if (outcome == SASL_DONE)
//         log_in(sasl_session_login(s));
//     sasl_session_free(&s);
//
// Where secrets come from is the caller's: a look-up given at sasl_library_init answers with phScram and userPassword values.
// SCRAM gets them as `*authPassword`; PLAIN and LOGIN are verified by mail/password.h. A hash never passes as `userPassword`,
// which libsasl2 would take for the plaintext. A failure looks the same, in bytes and cost, whether the user exists or not: an
// unknown user has a salt of his own, made from config.secret, so that it is the same on every node and after a restart. A wrong
// password costs the hash of the entry; an unknown user costs one like the last that was checked here.
//
// libsasl2 may block (files, hashes) and so may the look-up: call session functions on worker threads only. A session is used by
// one thread at a time, any thread. It costs about 10 KiB: make it at AUTH, free it when that is over.
//
// The user name is data: "%{...}", "${run...}" and "../" are letters. One that is empty, over SASL_LOGIN_BYTES_MAX, has a NUL or
// is not UTF-8 fails like a wrong password. An authorization identity other than the login itself fails too.
#ifndef MAIL_SASL_H
#define MAIL_SASL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "mail/password_cache.h"

enum {
	SASL_LINE_BYTES_MAX = 12288, // an AUTH line: base64, without CRLF (RFC 4954 section 4)
	SASL_LOGIN_BYTES_MAX = 255,
	SASL_MECHANISM_BYTES_MAX = 20, // RFC 4422 section 3.1
	SASL_SECRET_BYTES_MIN = 32,
};

// What the caller's directory knows of a login. Strings live in the arena given to the look-up.
struct sasl_credentials {
	const struct str *scram; // phScram values; those of other mechanisms are ignored
	size_t scram_n;
	const struct str *passwords; // userPassword values, and application passwords for this service
	size_t passwords_n;
	bool allowed;       // false: a right password fails as well (suspended, service not granted)
	// not allowed, and nobody is to blame for it: a right password is SASL_TEMPFAIL, a wrong one SASL_FAILED
	bool later;
	const char *why_not; // a literal, for the log; NULL: it is allowed, or nobody says
	struct str account; // handed back by sasl_session_account: whatever names the entry to the caller
};

enum sasl_lookup {
	SASL_FOUND,
	SASL_UNKNOWN,
	SASL_UNAVAILABLE, // the caller cannot know now: the outcome is SASL_TEMPFAIL
};

// Called on the thread that runs the session, any number of threads at once.
typedef enum sasl_lookup sasl_lookup_fn(void *context, struct str service, struct str login, struct arena *arena,
                                        struct sasl_credentials *out);


struct sasl_config {
	sasl_lookup_fn *lookup;
	void *context;
	uint32_t scram_iterations;          // of most phScram values here, for unknown users; 0: PASSWORD_SCRAM_ITERATIONS
	// at least SASL_SECRET_BYTES_MIN, the same on all nodes: makes the salts of unknown users
	struct str secret;
	struct password_cache *cache;       // may be NULL; not owned
	struct password_throttle *throttle; // may be NULL; not owned
	uint64_t (*now_ms)(void);           // for cache and throttle; NULL: the monotonic clock
};

// Once a process, before any thread uses sasl_session_*. Copies what it needs. ERR_INVALID: secret too short; ERR_UNSUPPORTED:
// libsasl2 or one of its three mechanisms is missing.
enum err_code sasl_library_init(const struct sasl_config *config, struct err *err) ERR_CHECKED;
void sasl_library_fini(void);

// The mechanisms to advertise, one space between them, strongest first; empty when none may be used. Static.
struct str sasl_mechanisms(unsigned flags);

enum {
	SASL_UNTHROTTLED = 2,  // from where failures are not counted
	SASL_PLAINTEXT_OK = 1, // the channel is encrypted, or the caller trusts it: without this there is no mechanism at all
};

enum sasl_outcome {
	SASL_CHALLENGE, // send it, even when it is empty, and come back with the response
	SASL_DONE,      // logged in; a final challenge with data (SCRAM's v=) was sent before and answered
	SASL_FAILED,    // one generic failure: 535 5.7.8, NO [AUTHENTICATIONFAILED]
	SASL_TEMPFAIL,  // 454 4.7.0, NO [UNAVAILABLE]
	SASL_ABORTED,   // the client said "*": 501, BAD
	SASL_BAD_MECH,  // unknown or not allowed here: 504 5.5.4, NO [CANNOT]
	SASL_BAD_DATA,  // a line that is not base64, or too long: 501 5.5.2, BAD
};

struct sasl_session;

// service: "smtp", "imap", "pop". address: the peer's, for the throttle; may be empty. Never fails.
struct sasl_session *sasl_session_new(struct str service, struct str address, unsigned flags);
void sasl_session_free(struct sasl_session **session);

// initial: NULL when the client sent none; else the decoded initial response, possibly empty ("="). *challenge_out borrows from
// the session until its next call; it is decoded (base64 is the line's).
enum sasl_outcome sasl_session_start(struct sasl_session *session, struct str mechanism, const struct str *initial,
                                     struct str *challenge_out);
enum sasl_outcome sasl_session_step(struct sasl_session *session, struct str response, struct str *challenge_out);

// The same with lines: base64 in and out, "*" aborts, "=" is the empty initial response. challenge_out is empty unless
// SASL_CHALLENGE.
enum sasl_outcome sasl_session_start_line(struct sasl_session *session, struct str mechanism, const struct str *initial_line,
                                          struct buf *challenge_out);
enum sasl_outcome sasl_session_step_line(struct sasl_session *session, struct str line, struct buf *challenge_out);

// A login without a mechanism (IMAP LOGIN, POP3 USER and PASS): the same checks, throttle and cache. SASL_DONE, SASL_FAILED,
// SASL_TEMPFAIL, SASL_BAD_MECH (no SASL_PLAINTEXT_OK).
enum sasl_outcome sasl_session_plain(struct sasl_session *session, struct str login, struct str password);

// After SASL_DONE, owned by the session: the login as the client wrote it, and what the look-up called the account. After any
// other outcome: the login tried, possibly empty, for the log; account is empty.
struct str sasl_session_login(const struct sasl_session *session);
struct str sasl_session_account(const struct sasl_session *session);

// Why it failed, for the log only: "unknown user", "wrong password", "not allowed", "throttled"...
const char *sasl_session_reason(const struct sasl_session *session);

// What budget of failures this one used up (mail/password_cache.h), for the log only.
enum password_throttle_used sasl_session_used_up(const struct sasl_session *session);

#endif
