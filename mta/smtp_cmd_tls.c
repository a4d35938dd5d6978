// SPDX-License-Identifier: Apache-2.0
// STARTTLS (RFC 3207): afterwards nothing that was said before counts, and nothing that was sent ahead is read.
#include "base/log.h"
#include "smtp_metrics.h"
#include "smtp_session.h"

void smtp_cmd_starttls(struct smtp_session *s, struct str argument)
{
	(void)argument;
	if (conn_tls(s->conn)) {
		smtp_say_id(s, REPLY_BAD_SEQUENCE);
		return;
	}
	struct tls_server *tls = tls_slot_get(&s->server->tls);
	if (tls == NULL) {
		smtp_say_id(s, REPLY_TLS_UNAVAILABLE);
		return;
	}
	smtp_say_id(s, REPLY_READY_TLS);
	size_t discarded = 0;
	enum err_code code = conn_flush(s->conn, &s->err);
	if (code == ERR_OK)
		code = conn_tls_accept(s->conn, tls, &discarded, &s->err);
	tls_server_drop(&tls);
	if (code) {
		log_info(&s->log_session, "TLS handshake failed", log_err(&s->err));
		smtp_enter(s, SMTP_ENDED);
		return;
	}
	if (discarded) {
		metric_add(&metric_mta_smtp_injected, 1);
		log_warning(&s->log_session, "plaintext behind STARTTLS was thrown away", log_u64("bytes", discarded));
	}
	// RFC 3207 section 4.2: forget what the client said in the clear.
	smtp_reset(s);
	s->helo = s->login = s->account = STR_NONE;
	s->esmtp = false;
	smtp_enter(s, SMTP_CONNECTED);
}
