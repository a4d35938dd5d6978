// SPDX-License-Identifier: Apache-2.0
// What the IMAP, POP3 and LMTP servers and the store count.
#ifndef POPIMAP_POPIMAP_METRICS_H
#define POPIMAP_POPIMAP_METRICS_H

#include "base/metrics.h"

#define POPIMAP_METRICS(X) \
	X(COUNTER, popimap_imap_sessions, "", "IMAP sessions begun.") \
	X(GAUGE, popimap_imap_sessions_open, "", "IMAP sessions now open.") \
	X(GAUGE, popimap_imap_idling, "", "IMAP sessions now in IDLE.") \
	X(COUNTER, popimap_pop3_sessions, "", "POP3 sessions begun.") \
	X(GAUGE, popimap_pop3_sessions_open, "", "POP3 sessions now open.") \
	X(COUNTER, popimap_logins, "", "Log-ins that opened a mailbox, IMAP and POP3.") \
	X(COUNTER, popimap_login_failed, "", "Log-ins refused: user, password, status or throttle.") \
	X(COUNTER, popimap_login_crowded, "", "Log-ins refused: too many sessions of one user from one address.") \
	X(COUNTER, popimap_login_unavailable, "", "Log-ins that could not be served: no directory, another node, no mailbox.") \
	X(GAUGE, popimap_over_cap, "", "Connections refused since the start because a cap was reached, all services.") \
	X(GAUGE, popimap_tls_expires, "seconds", "When the first certificate ends, since 1970; 0 without TLS.") \
	X(COUNTER, popimap_tls_failed, "", "TLS handshakes that failed.") \
	X(COUNTER, popimap_injected, "", "Sessions that sent plaintext behind STARTTLS or STLS; it was thrown away.") \
	X(COUNTER, popimap_imap_login, "", "LOGIN and AUTHENTICATE commands.") \
	X(COUNTER, popimap_imap_select, "", "SELECT and EXAMINE commands.") \
	X(COUNTER, popimap_imap_folder, "", "CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE commands.") \
	X(COUNTER, popimap_imap_list, "", "LIST and LSUB commands.") \
	X(COUNTER, popimap_imap_status, "", "STATUS commands.") \
	X(COUNTER, popimap_imap_append, "", "APPEND commands.") \
	X(COUNTER, popimap_imap_fetch, "", "FETCH commands.") \
	X(COUNTER, popimap_imap_store, "", "STORE commands.") \
	X(COUNTER, popimap_imap_search, "", "SEARCH commands.") \
	X(COUNTER, popimap_imap_copy, "", "COPY and MOVE commands.") \
	X(COUNTER, popimap_imap_expunge, "", "EXPUNGE commands.") \
	X(COUNTER, popimap_imap_idle, "", "IDLE commands.") \
	X(COUNTER, popimap_imap_noop, "", "NOOP and CHECK commands.") \
	X(COUNTER, popimap_imap_other, "", "The other commands of IMAP.") \
	X(COUNTER, popimap_imap_unknown, "", "IMAP commands that nobody knows.") \
	X(COUNTER, popimap_pop3_commands, "", "POP3 commands.") \
	X(COUNTER, popimap_pop3_retrieved, "", "Messages sent by RETR.") \
	X(COUNTER, popimap_pop3_removed, "", "Messages removed at QUIT.") \
	X(COUNTER, popimap_lmtp_sessions, "", "LMTP sessions begun.") \
	X(GAUGE, popimap_lmtp_sessions_open, "", "LMTP sessions now open.") \
	X(COUNTER, popimap_lmtp_unknown, "", "LMTP commands that nobody knows.") \
	X(COUNTER, popimap_lmtp_junk, "", "Commands of other protocols on LMTP; the session was ended.") \
	X(COUNTER, popimap_lmtp_early, "", "LMTP sessions ended because input came before our reply.") \
	X(COUNTER, popimap_lmtp_replies_4xx, "", "Temporary refusals, all LMTP commands and recipients.") \
	X(COUNTER, popimap_lmtp_replies_5xx, "", "Permanent refusals, all LMTP commands and recipients.") \
	X(COUNTER, popimap_lmtp_forged, "", "Delivery keys from peers that are not our nodes: refused.") \
	X(COUNTER, popimap_lmtp_delivered, "", "Messages put into mailboxes.") \
	X(COUNTER, popimap_lmtp_known, "", "Deliveries that the mailbox had already: recognised by their key.") \
	X(COUNTER, popimap_lmtp_failed, "", "Deliveries that failed.") \
	X(COUNTER, popimap_vacation_answered, "", "Messages to users who are away that are answered.") \
	X(COUNTER, popimap_vacation_unanswered, "", \
		"Messages to users who are away that are not: lists, programs, second ones.") \
	X(COUNTER, popimap_vacation_sent, "", "Answers that a queue has taken.") \
	X(COUNTER, popimap_vacation_refused, "", "Answers that no queue took: refused for good, or too old.") \
	X(HISTOGRAM, popimap_lmtp_commit, "seconds", "From the end of a message to the last mailbox's commit.") \
	X(GAUGE, popimap_store_mailboxes, "", "Mailboxes in memory.") \
	X(GAUGE, popimap_store_open, "", "Mailboxes with an open database.") \
	X(GAUGE, popimap_store_waiting, "", "Jobs that wait for a store thread.") \
	X(GAUGE, popimap_store_commits, "", "Commits since the start.") \
	X(GAUGE, popimap_store_batched, "", "Jobs since the start that shared a commit with others.") \
	X(GAUGE, popimap_store_opened, "", "Databases opened since the start.")

METRICS_DECLARE(POPIMAP_METRICS)
extern struct metric *const popimap_metrics[];

#endif
