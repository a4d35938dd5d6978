// SPDX-License-Identifier: Apache-2.0
// The access table in an SMTP session: the client before the greeting, the sender at MAIL, what both mean for a recipient.
// Private to mta/smtp_*.c.
#ifndef MTA_SMTP_ACCESS_H
#define MTA_SMTP_ACCESS_H

#include "smtp_session.h"

// Looks the client up; s->access.client holds what was said.
void smtp_access_client(struct smtp_session *s, struct conn *conn);

// What a refused client gets in the place of a greeting; code 0 for one that is welcome.
struct reply smtp_access_refusal(const struct smtp_session *s);

// Says in the log that the client was refused; once the session has its name.
void smtp_access_log(struct smtp_session *s);

// At MAIL. False: why_out is the reply.
bool smtp_access_sender(struct smtp_session *s, const struct addr *from, struct reply *why_out);

// The client for relay control, in the transaction's arena.
struct relay_client smtp_access_relay(struct smtp_session *s);

// Of a recipient that was refused because the client may not relay: whose certificate it has shown, if one, and why that did not
// count.
void smtp_access_log_certificate(struct smtp_session *s, const struct recipient_verdict *verdict);

// An accepted recipient: thrown away, or held, because of who sends it.
void smtp_access_accepted(struct smtp_session *s, const struct addr *to, struct recipient_verdict *verdict);

#endif
