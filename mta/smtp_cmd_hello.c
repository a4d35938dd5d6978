// SPDX-License-Identifier: Apache-2.0
// HELO and EHLO (RFC 5321 section 4.1.1.1): who the client says it is, and what we offer in this state of the session.
#include "mail/sasl.h"
#include "smtp_session.h"

// A greeting in the middle of a session clears the transaction (RFC 5321 section 4.1.4). The name is kept for Received and the log only.
static bool accept_name(struct smtp_session *s, struct str argument)
{
	struct str name;
	if (!smtp_helo_parse(argument, &name)) {
		smtp_say_id(s, REPLY_SYNTAX);
		return false;
	}
	smtp_reset(s);
	smtp_enter(s, SMTP_READY);
	arena_reset(s->helo_arena);
	s->helo = arena_dup(s->helo_arena, name);
	return true;
}

void smtp_cmd_helo(struct smtp_session *s, struct str argument)
{
	if (!accept_name(s, argument))
		return;
	s->esmtp = false;
	conn_printf(s->conn, "250 %.*s\r\n", STR_FMT(s->settings->hostname));
}

void smtp_cmd_ehlo(struct smtp_session *s, struct str argument)
{
	if (!accept_name(s, argument))
		return;
	s->esmtp = true;
	bool tls = conn_tls(s->conn) != NULL;
	conn_printf(s->conn,
		"250-%.*s\r\n"
		"250-PIPELINING\r\n"
		"250-SIZE %lld\r\n",
		STR_FMT(s->settings->hostname), (long long)s->settings->message_size_max);
	if (!tls && smtp_server_has_tls(s->server))
		conn_write(s->conn, STR("250-STARTTLS\r\n"));
	if (smtp_is_submission(s) && smtp_may_plaintext(s) && s->login.n == 0)
		conn_printf(s->conn, "250-AUTH %.*s\r\n", STR_FMT(sasl_mechanisms(SASL_PLAINTEXT_OK)));
	conn_write(s->conn,
		STR("250-ENHANCEDSTATUSCODES\r\n"
		    "250-8BITMIME\r\n"
		    "250-SMTPUTF8\r\n"
		    "250 DSN\r\n"));
}
