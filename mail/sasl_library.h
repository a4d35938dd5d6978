// SPDX-License-Identifier: Apache-2.0
// Between sasl.c, which speaks with the callers, and sasl_library.c, which speaks with libsasl2.
#ifndef SASL_LIBRARY_H
#define SASL_LIBRARY_H

#include <sasl/sasl.h>

#include "mail/sasl.h"

enum { SASL_SESSION_CALLBACKS = 5, SASL_SERVICE_BYTES_MAX = 15, SASL_ADDRESS_BYTES_MAX = 63 };

struct sasl_session {
	sasl_conn_t *conn; // owned; NULL before start and after an end
	sasl_callback_t callbacks[SASL_SESSION_CALLBACKS + 1]; // libsasl2 keeps a pointer to them
	struct arena *arena; // owned; the look-up's results
	unsigned flags;
	char service[SASL_SERVICE_BYTES_MAX + 1];
	char address[SASL_ADDRESS_BYTES_MAX + 1];
	char login[SASL_LOGIN_BYTES_MAX + 1];
	size_t login_n;
	struct str account; // in arena; set only by success
	struct sasl_credentials credentials;
	enum sasl_lookup found;
	bool looked_up;
	bool throttled;  // then nothing is looked up and the attempt is not counted
	bool verified;   // the password was right, or libsasl2 has checked SCRAM's proof
	bool tempfail;
	bool other_identity; // the client wants to act as somebody else: fails
	enum password_throttle_used used_up; // by this failure
	const char *reason; // static
};

// The configuration, once sasl_library_init has run.
const struct sasl_config *sasl_library_config(void);

uint64_t sasl_library_now_ms(void);

// Takes the name down as the session's login. One that is empty, over-long, not UTF-8 or has a NUL leaves none, and nothing
// succeeds.
void sasl_session_take_login(struct sasl_session *session, struct str name);

// The throttle, then the look-up, both once for each attempt.
void sasl_session_look_up(struct sasl_session *session);

// What PLAIN and LOGIN come down to. True when the password is right and the login allowed, or not allowed for now.
bool sasl_session_check(struct sasl_session *session, struct str password);

// Appends the phScram value that the exchange shall use: the user's, or the one of nobody.
void sasl_session_scram_value(struct sasl_session *session, struct buf *out);

// Fills session->callbacks.
void sasl_library_set_callbacks(struct sasl_session *session);

#endif
