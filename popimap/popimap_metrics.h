// SPDX-License-Identifier: Apache-2.0
// What the IMAP and POP3 servers count.
#ifndef POPIMAP_POPIMAP_METRICS_H
#define POPIMAP_POPIMAP_METRICS_H

#include "base/metrics.h"

#define POPIMAP_METRICS(X)                                                                                                    \
	X(COUNTER, popimap_imap_sessions, "", "IMAP sessions begun.")                                                         \
	X(GAUGE, popimap_imap_sessions_open, "", "IMAP sessions now open.")                                                   \
	X(GAUGE, popimap_imap_idling, "", "IMAP sessions now in IDLE.")                                                       \
	X(COUNTER, popimap_pop3_sessions, "", "POP3 sessions begun.")                                                         \
	X(GAUGE, popimap_pop3_sessions_open, "", "POP3 sessions now open.")                                                   \
	X(COUNTER, popimap_logins, "", "Log-ins that opened a mailbox, IMAP and POP3.")                                       \
	X(COUNTER, popimap_login_failed, "", "Log-ins refused: user, password, status or throttle.")                          \
	X(COUNTER, popimap_login_unavailable, "", "Log-ins that could not be served: no directory, another node, no mailbox.") \
	X(COUNTER, popimap_tls_failed, "", "TLS handshakes that failed.")                                                     \
	X(COUNTER, popimap_injected, "", "Sessions that sent plaintext behind STARTTLS or STLS; it was thrown away.")         \
	X(COUNTER, popimap_imap_login, "", "LOGIN and AUTHENTICATE commands.")                                                \
	X(COUNTER, popimap_imap_select, "", "SELECT and EXAMINE commands.")                                                   \
	X(COUNTER, popimap_imap_folder, "", "CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE commands.")                    \
	X(COUNTER, popimap_imap_list, "", "LIST and LSUB commands.")                                                          \
	X(COUNTER, popimap_imap_status, "", "STATUS commands.")                                                               \
	X(COUNTER, popimap_imap_append, "", "APPEND commands.")                                                               \
	X(COUNTER, popimap_imap_fetch, "", "FETCH commands.")                                                                 \
	X(COUNTER, popimap_imap_store, "", "STORE commands.")                                                                 \
	X(COUNTER, popimap_imap_search, "", "SEARCH commands.")                                                               \
	X(COUNTER, popimap_imap_copy, "", "COPY and MOVE commands.")                                                          \
	X(COUNTER, popimap_imap_expunge, "", "EXPUNGE commands.")                                                             \
	X(COUNTER, popimap_imap_idle, "", "IDLE commands.")                                                                   \
	X(COUNTER, popimap_imap_noop, "", "NOOP and CHECK commands.")                                                         \
	X(COUNTER, popimap_imap_other, "", "The other commands of IMAP.")                                                     \
	X(COUNTER, popimap_imap_unknown, "", "IMAP commands that nobody knows.")                                              \
	X(COUNTER, popimap_pop3_commands, "", "POP3 commands.")                                                               \
	X(COUNTER, popimap_pop3_retrieved, "", "Messages sent by RETR.")                                                      \
	X(COUNTER, popimap_pop3_removed, "", "Messages removed at QUIT.")

METRICS_DECLARE(POPIMAP_METRICS)
extern struct metric *const popimap_metrics[];

#endif
