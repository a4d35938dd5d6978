// SPDX-License-Identifier: Apache-2.0
// From a login to an open mailbox, the same for IMAP and POP3: the credentials (router/login.h), then whose home this is
// (router/home.h), then the mailbox. The replies are the protocols'.
//
//     struct signin in;
//     signin_begin(popimap, settings, STR("imap"), conn, &log, &in);
//     enum signin_outcome outcome = signin_plain(&in, user, password);
//     switch (outcome) {
//     case SIGNIN_OK: s->mailbox = in.mailbox; … copy in.login …
//     …
//     }
//     signin_end(&in);
//
// Unknown user, wrong password, throttled, suspended, service not granted are one SIGNIN_FAILED, in the same time (PROTOCOLS 28).
#ifndef POPIMAP_SIGNIN_H
#define POPIMAP_SIGNIN_H

#include "crowd.h"
#include "mailbox.h"
#include "router/login.h"
#include "server.h"

enum signin_outcome {
	SIGNIN_OK,
	SIGNIN_FAILED,      // the one generic failure
	SIGNIN_CROWDED,     // right, but this user has too many sessions from this address: in.text; the session ends
	SIGNIN_UNAVAILABLE, // cannot be decided or served now: in.text says why, without naming anybody
	SIGNIN_ABORTED,     // the client said "*"
	SIGNIN_BAD_MECH,
	SIGNIN_BAD_DATA,
	SIGNIN_CLOSED,      // the connection is over: in.code
};

struct signin {
	struct popimap *popimap;
	const struct settings *settings;
	const struct log_context *log;
	struct str service;
	const struct netaddr *peer; // borrowed from the connection
	struct login_attempt attempt;
	struct arena *arena;     // owned
	struct err *err;
	unsigned failures;       // of this session before this one: the next waits longer
	struct mailbox *mailbox; // after SIGNIN_OK: the caller's to close
	struct crowd_seat *seat; // after SIGNIN_OK: the caller's to leave (crowd.h); NULL for those who are not counted
	struct str login;        // as the client wrote it; lives until signin_end
	const char *text;        // of SIGNIN_UNAVAILABLE and SIGNIN_CROWDED, a literal
	enum err_code code;      // of SIGNIN_CLOSED
};

// service: "imap" or "pop". failures: log-ins that failed in this session so far.
void signin_begin(struct popimap *popimap, const struct settings *settings, struct str service, struct conn *conn,
	const struct log_context *log, unsigned failures, struct err *err, struct signin *in_out);
void signin_end(struct signin *in);

// A password without a mechanism. May wait.
enum signin_outcome signin_plain(struct signin *in, struct str login, struct str password);

// A SASL dialogue: challenges go out behind "+ " (RFC 3501 section 6.2.2, RFC 5034 section 4). initial as in login_converse. May
// wait.
enum signin_outcome signin_sasl(struct signin *in, struct str mechanism, const struct str *initial);

#endif
