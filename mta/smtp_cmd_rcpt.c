// SPDX-License-Identifier: Apache-2.0
// RCPT TO (RFC 5321 section 4.1.1.3): parses, asks router/recipient.h, replies. What happens to an address is decided there, not here.
#include "base/clock.h"
#include "base/must.h"
#include "smtp_metrics.h"
#include "router/recipient.h"
#include "smtp_session.h"

// Room for one more; false over the limits of a transaction.
static struct smtp_recipient *add_recipient(struct smtp_transaction *txn)
{
	if (txn->recipients_n == txn->recipients_size) {
		size_t size = txn->recipients_size ? txn->recipients_size * 2 : 8;
		struct smtp_recipient *grown = arena_array(txn->arena, size, sizeof *grown);
		if (grown == NULL)
			return NULL;
		if (txn->recipients_n)
			memcpy(grown, txn->recipients, txn->recipients_n * sizeof *grown);
		txn->recipients = grown;
		txn->recipients_size = size;
	}
	return &txn->recipients[txn->recipients_n];
}

static bool within_budget(struct smtp_session *s)
{
	if ((int64_t)s->txn.recipients_n >= s->settings->recipients_max) {
		smtp_say_id(s, REPLY_TOO_MANY_RECIPIENTS);
		return false;
	}
	if (s->login.n && !submit_rate_take(s->server->submit_rate, s->account, 1, s->settings->submission_recipients_hour_max, clock_mono_ms())) {
		log_warning(&s->log_session, "hourly budget of recipients used up", log_str("login", s->login));
		smtp_say(s, (struct reply){.code = 452, .enhanced = STR("4.7.1"), .text = STR("too many recipients in one hour, try again later")});
		return false;
	}
	return true;
}

static bool accepts(enum recipient_outcome outcome)
{
	switch (outcome) {
	case RECIPIENT_DELIVER:
	case RECIPIENT_EXPAND:
	case RECIPIENT_FORWARD:
	case RECIPIENT_RELAY:
		return true;
	case RECIPIENT_REFUSE:
	case RECIPIENT_DEFER:
		return false;
	}
	unreachable("recipient outcome");
}

void smtp_cmd_rcpt(struct smtp_session *s, struct str argument)
{
	struct smtp_recipient *recipient = add_recipient(&s->txn);
	if (recipient == NULL) {
		smtp_say_id(s, REPLY_TOO_MANY_RECIPIENTS);
		return;
	}
	enum smtp_result result = smtp_rcpt_parse(s->txn.arena, argument, smtp_is_submission(s) ? SMTP_FOR_SUBMISSION : SMTP_FOR_MX,
		s->txn.mail.smtputf8, &recipient->rcpt);
	if (result != SMTP_OK) {
		smtp_say_id(s, smtp_reply(result));
		return;
	}
	if (!within_budget(s))
		return;
	struct recipient_verdict *verdict = arena_alloc(s->txn.arena, sizeof *verdict);
	if (verdict == NULL) {
		smtp_say_id(s, REPLY_TOO_MANY_RECIPIENTS);
		return;
	}
	smtp_server_decide(s->server, s->settings, &recipient->rcpt.to, s->login.n != 0, s->txn.arena, verdict);
	if (!accepts(verdict->outcome)) {
		metric_add(verdict->code < 500 ? &metric_mta_rcpt_deferred : &metric_mta_rcpt_refused, 1);
		log_info(&s->log_session, "recipient refused", log_str("sender", s->txn.mail.from.text),
			log_str("recipient", recipient->rcpt.to.text), log_u64("code", (uint64_t)verdict->code),
			log_str("enhanced", verdict->enhanced), log_str("reason", verdict->text));
		smtp_say(s, (struct reply){.code = verdict->code, .enhanced = verdict->enhanced, .text = verdict->text});
		return;
	}
	recipient->verdict = verdict;
	s->txn.recipients_n++;
	s->txn.targets_n += verdict->n_targets;
	metric_add(&metric_mta_rcpt_accepted, 1);
	smtp_enter(s, SMTP_IN_RCPT);
	smtp_say_id(s, REPLY_RECIPIENT_OK);
}
