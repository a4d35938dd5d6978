// SPDX-License-Identifier: Apache-2.0
// AUTH (RFC 4954), on the submission services only. The dialogue is router/login.h's; here are SMTP's replies.
#include "base/must.h"
#include "router/login.h"
#include "smtp_metrics.h"
#include "smtp_session.h"

static void logged_in(struct smtp_session *s, const struct login_attempt *attempt)
{
	s->login = arena_dup(s->login_arena, attempt->login);
	s->account = arena_dup(s->login_arena, attempt->account);
	log_info(&s->log_session, "logged in", log_str("login", s->login), log_bool("tls", conn_tls(s->conn) != NULL));
	smtp_say_id(s, REPLY_AUTH_OK);
}

static void failed(struct smtp_session *s, const struct login_attempt *attempt, enum reply_id id)
{
	s->auth_failures++;
	metric_add(&metric_mta_smtp_auth_failed, 1);
	log_info(&s->log_session, "log-in failed", log_str("login", attempt->login), log_c("reason", attempt->reason));
	smtp_say_id(s, id);
}

static void answer(struct smtp_session *s, const struct login_attempt *attempt, enum sasl_outcome outcome)
{
	switch (outcome) {
	case SASL_DONE:
		logged_in(s, attempt);
		return;
	case SASL_FAILED:
		login_penalty(s->auth_failures);
		failed(s, attempt, REPLY_AUTH_FAILED);
		return;
	case SASL_TEMPFAIL:
		failed(s, attempt, REPLY_AUTH_TEMPORARY);
		return;
	case SASL_ABORTED:
		failed(s, attempt, REPLY_AUTH_ABORTED);
		return;
	case SASL_BAD_MECH:
		failed(s, attempt, REPLY_AUTH_MECHANISM);
		return;
	case SASL_BAD_DATA:
		failed(s, attempt, REPLY_SYNTAX);
		return;
	case SASL_CHALLENGE:
		break;
	}
	unreachable("outcome of a log-in");
}

void smtp_cmd_auth(struct smtp_session *s, struct str argument)
{
	struct str mechanism = argument, initial = STR_NONE;
	bool has_initial = str_cut(argument, ' ', &mechanism, &initial);
	if (s->login.n) { // RFC 4954 section 4: once a session
		smtp_say_id(s, REPLY_BAD_SEQUENCE);
		return;
	}
	if (!smtp_may_plaintext(s)) {
		smtp_say_id(s, smtp_server_has_tls(s->server) ? REPLY_TLS_REQUIRED : REPLY_AUTH_CLEARTEXT);
		return;
	}
	struct login_attempt attempt;
	enum sasl_outcome outcome;
	login_begin(s->server->login, STR("smtp"), s->conn, true, &attempt);
	enum err_code code = login_converse(&attempt, STR("334 "), mechanism, has_initial ? &initial : NULL, &outcome, &s->err);
	if (code == ERR_OK)
		answer(s, &attempt, outcome);
	else if (code == ERR_TIMEOUT)
		smtp_say_id(s, REPLY_TIMEOUT);
	else if (code == ERR_CANCELLED)
		smtp_say_id(s, REPLY_CLOSING);
	else
		smtp_enter(s, SMTP_ENDED);
	login_end(&attempt);
	if ((int64_t)s->auth_failures >= s->settings->auth_failures_max && s->state != SMTP_ENDED)
		smtp_say_id(s, REPLY_TOO_MANY_ERRORS);
}
