// SPDX-License-Identifier: Apache-2.0
// What the SMTP server counts.
#ifndef MTA_SMTP_METRICS_H
#define MTA_SMTP_METRICS_H

#include "base/metrics.h"

#define MTA_SMTP_METRICS(X) \
	X(COUNTER, mta_smtp_sessions, "", "SMTP sessions begun, all services.") \
	X(GAUGE, mta_smtp_sessions_open, "", "SMTP sessions now open.") \
	X(GAUGE, mta_smtp_over_cap, "", "SMTP connections refused since the start because a cap was reached.") \
	X(GAUGE, mta_tls_expires, "seconds", "When the first certificate ends, since 1970; 0 without TLS.") \
	X(COUNTER, mta_smtp_helo, "", "HELO commands.") \
	X(COUNTER, mta_smtp_ehlo, "", "EHLO commands.") \
	X(COUNTER, mta_smtp_mail, "", "MAIL commands.") \
	X(COUNTER, mta_smtp_rcpt, "", "RCPT commands.") \
	X(COUNTER, mta_smtp_data, "", "DATA commands.") \
	X(COUNTER, mta_smtp_bdat, "", "BDAT commands: chunks of messages.") \
	X(COUNTER, mta_smtp_starttls, "", "STARTTLS commands.") \
	X(COUNTER, mta_smtp_auth, "", "AUTH commands.") \
	X(COUNTER, mta_smtp_auth_failed, "", "AUTH commands that did not end in a log-in.") \
	X(COUNTER, mta_smtp_other, "", "RSET, NOOP, VRFY, HELP, QUIT and commands that we know and do not do.") \
	X(COUNTER, mta_smtp_unknown, "", "Commands that nobody knows.") \
	X(COUNTER, mta_smtp_junk, "", "Commands of other protocols; the session was ended.") \
	X(COUNTER, mta_smtp_early, "", "Sessions ended because input came before our reply.") \
	X(COUNTER, mta_smtp_injected, "", "Sessions that sent plaintext behind STARTTLS; it was thrown away.") \
	X(COUNTER, mta_smtp_tls_failed, "", "TLS handshakes that failed.") \
	X(COUNTER, mta_smtp_replies_4xx, "", "Temporary refusals, all commands.") \
	X(COUNTER, mta_smtp_replies_5xx, "", "Permanent refusals, all commands.") \
	X(COUNTER, mta_rcpt_accepted, "", "Recipients accepted at RCPT.") \
	X(COUNTER, mta_rcpt_deferred, "", "Recipients that could not be decided: 4xx at RCPT.") \
	X(COUNTER, mta_rcpt_refused, "", "Recipients refused for good: 5xx at RCPT.") \
	X(COUNTER, mta_rcpt_guessing, "", "Recipients deferred because their client has asked for too many unknown ones.") \
	X(COUNTER, mta_access_refused, "", "Clients and senders refused by the access table.") \
	X(COUNTER, mta_accepted, "", "Messages that got their 250.") \
	X(HISTOGRAM, mta_commit, "seconds", "From the end of a message to the queue's verdict. Observed in microseconds.")

METRICS_DECLARE(MTA_SMTP_METRICS)
extern struct metric *const mta_smtp_metrics[];

#endif
