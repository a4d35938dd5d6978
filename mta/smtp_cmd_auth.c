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
	log_info(&s->d.who.log, "logged in", log_str("login", s->login), log_bool("tls", conn_tls(s->d.conn) != NULL));
	dialogue_say_id(&s->d, REPLY_AUTH_OK);
}

static void failed(struct smtp_session *s, const struct login_attempt *attempt, enum reply_id id)
{
	s->auth_failures++;
	metric_add(&metric_mta_smtp_auth_failed, 1);
	log_info(&s->d.who.log, "log-in failed", log_str("login", attempt->login), log_c("reason", attempt->reason));
	dialogue_say_id(&s->d, id);
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

void smtp_cmd_auth(struct dialogue *d, struct str argument)
{
	struct smtp_session *s = d->session;
	struct str mechanism = argument, initial = STR_NONE;
	bool has_initial = str_cut(argument, ' ', &mechanism, &initial);
	if (s->login.n) { // RFC 4954 section 4: once a session
		dialogue_say_id(&s->d, REPLY_BAD_SEQUENCE);
		return;
	}
	if (!smtp_may_plaintext(s)) {
		dialogue_say_id(&s->d, tls_slot_is_set(&s->server->tls) ? REPLY_TLS_REQUIRED : REPLY_AUTH_CLEARTEXT);
		return;
	}
	struct login_attempt attempt;
	enum sasl_outcome outcome;
	login_begin(s->server->login, STR("smtp"), s->d.conn, true, &attempt);
	enum err_code code = login_converse(&attempt, STR("334 "), mechanism, has_initial ? &initial : NULL, &outcome, &d->err);
	if (code == ERR_OK)
		answer(s, &attempt, outcome);
	else
		dialogue_reading_failed(d, code);
	login_end(&attempt);
	if ((int64_t)s->auth_failures >= s->settings->auth_failures_max && d->state != DIALOGUE_ENDED)
		dialogue_say_id(&s->d, REPLY_TOO_MANY_ERRORS);
}
