// SPDX-License-Identifier: Apache-2.0
// Who sends and who receives: MAIL and RCPT (RFC 5321 sections 4.1.1.2 and 4.1.1.3). On a submission service, who may send as
// whom is decided here; what happens to a recipient, router/recipient.h decides.
#include "base/clock.h"
#include "base/must.h"
#include "mta/queue.h"
#include "router/sender.h"
#include "smtp_access.h"
#include "smtp_metrics.h"
#include "smtp_session.h"

// 553 unless the login may use this sender (RFC 6409 section 6.1). The null sender is nobody's identity and stays allowed: it is
// what read receipts carry.
static struct reply may_send(struct smtp_session *s, const struct addr *from)
{
	if (smtp_is_of_mailboxes(s)) // what they make is no mail that anybody is told about (RFC 3834 section 3.3)
		return reply_of(addr_is_null(from) ? REPLY_SENDER_OK : REPLY_NOT_YOUR_ADDRESS);
	if (!s->service->submission || addr_is_null(from))
		return reply_of(REPLY_SENDER_OK);
	struct directory *directory = s->server->directory(s->server->arg);
	switch (sender_check(directory, s->account, from, s->settings->delimiter, s->d.txn.arena, NULL)) {
	case SENDER_ALLOWED:
		return reply_of(REPLY_SENDER_OK);
	case SENDER_REFUSED:
		log_info(&s->d.who.log, "sender refused", log_str("login", s->login), log_str("sender", from->text));
		return reply_of(REPLY_NOT_YOUR_ADDRESS);
	case SENDER_UNAVAILABLE:
		return reply_of(REPLY_LOCAL_FAULT);
	}
	unreachable("sender answer");
}

// --- Limits of the directory ---

static bool is_over(int64_t max, uint64_t n)
{
	return max != SERVICE_UNLIMITED && n > (uint64_t)max;
}

// Of who has logged in, for this message; and is what MAIL says of its size within them (RFC 1870 section 6.1)?
static bool find_limits(struct smtp_session *s, const struct smtp_mail *mail, struct reply *why_out)
{
	struct directory *directory = s->server->directory(s->server->arg);
	s->may = (struct service_submission){SERVICE_UNLIMITED, SERVICE_UNLIMITED, SERVICE_UNLIMITED};
	enum service_sending sending = s->login.n ? service_submission(directory, s->account,
							    s->settings->submission_recipients_hour_max, s->d.txn.arena, &s->may)
						  : SERVICE_MAY_SEND;
	switch (sending) {
	case SERVICE_MAY_SEND:
		break;
	case SERVICE_MAY_NOT_SEND:
		log_info(&s->d.who.log, "sender refused: may not send", log_str("login", s->login));
		*why_out = (struct reply){.code = 550, .enhanced = STR("5.7.1"), .text = STR("you may not send messages")};
		return false;
	case SERVICE_CANNOT_KNOW:
		*why_out = reply_of(REPLY_LOCAL_FAULT);
		return false;
	}
	return !mail->has_size || smtp_may_take(s, mail->size_bytes, why_out);
}

bool smtp_may_take(const struct smtp_session *s, uint64_t bytes, struct reply *why_out)
{
	const struct dialogue_transaction *txn = &s->d.txn;
	size_t refusing = 0;
	if (is_over(s->may.message_bytes_max, bytes)) {
		log_info(&s->d.who.log, "message refused: larger than its sender may send", log_str("login", s->login),
			log_u64("size_bytes", bytes), log_u64("max", (uint64_t)s->may.message_bytes_max));
		*why_out = reply_with(REPLY_TOO_BIG, STR("message is larger than you may send"));
		return false;
	}
	for (size_t i = 0; i < txn->recipients_n; i++) {
		const struct smtp_recipient *recipient = txn->recipients[i];
		refusing += recipient->verdict.bytes_max && bytes > recipient->verdict.bytes_max;
	}
	if (refusing == 0 || refusing < txn->recipients_n)
		return true; // the others get it; these are refused at their mailbox or list, and the sender gets a report
	log_info(&s->d.who.log, "message refused: larger than its recipients take", log_u64("size_bytes", bytes));
	*why_out =
		(struct reply){.code = 552, .enhanced = STR("5.2.3"), .text = STR("message is larger than its recipients take")};
	return false;
}

// Recipients of one message, and of an hour.
static bool may_add_recipient(struct smtp_session *s, struct reply *why_out)
{
	if (is_over(s->may.recipients_max, s->d.txn.recipients_n + 1)) {
		*why_out = reply_with(REPLY_TOO_MANY_RECIPIENTS, STR("you may not send to more recipients at a time"));
		return false;
	}
	if (s->login.n == 0 || s->may.hour_max == SERVICE_UNLIMITED ||
		hour_rate_take(s->server->submit_rate, s->account, 1, s->may.hour_max, clock_mono_ms()))
		return true;
	log_warning(&s->d.who.log, "hourly budget of recipients used up", log_str("login", s->login),
		log_u64("max", (uint64_t)s->may.hour_max));
	*why_out = (struct reply){
		.code = 450, .enhanced = STR("4.7.1"), .text = STR("too many recipients in one hour, try again later")};
	return false;
}

struct reply smtp_sender(struct dialogue *d, struct smtp_mail *mail)
{
	struct smtp_session *s = d->session;
	struct reply why;
	enum err_code code = queue_accepts(s->server->queue, &d->err);
	if (code)
		return reply_of_err(code);
	if (!smtp_is_of_mailboxes(s) && !smtp_access_sender(s, &mail->from, &why))
		return why;
	struct reply reply = may_send(s, &mail->from);
	return reply_is_positive(&reply) && !find_limits(s, mail, &why) ? why : reply;
}

static bool accepts(enum recipient_outcome outcome)
{
	switch (outcome) {
	case RECIPIENT_DELIVER:
	case RECIPIENT_EXPAND:
	case RECIPIENT_FORWARD:
	case RECIPIENT_RELAY:
	case RECIPIENT_DISCARD:
		return true;
	case RECIPIENT_REFUSE:
	case RECIPIENT_DEFER:
		return false;
	}
	unreachable("recipient outcome");
}

// Who may be guessing: strangers. A network that is trusted sends for many.
static bool is_stranger(const struct smtp_session *s)
{
	return s->login.n == 0 && !smtp_is_of_mailboxes(s) &&
	       !settings_networks_have(&s->settings->trusted_networks, conn_peer(s->d.conn));
}

// Who has asked for too many unknown recipients hears the same of all, known or not.
static bool is_guessing(const struct smtp_session *s)
{
	char text[NETADDR_TEXT_BYTES];
	return is_stranger(s) && hour_rate_is_used_up(s->server->unknown_rate, hour_rate_key(conn_peer(s->d.conn), text),
		s->settings->smtp_unknown_hour_max, clock_mono_ms());
}

static void count_unknown(const struct smtp_session *s)
{
	char text[NETADDR_TEXT_BYTES];
	int64_t max = s->settings->smtp_unknown_hour_max, now_ms = clock_mono_ms();
	if (!is_stranger(s))
		return;
	struct str key = hour_rate_key(conn_peer(s->d.conn), text);
	if (hour_rate_take(s->server->unknown_rate, key, 1, max, now_ms) &&
		hour_rate_is_used_up(s->server->unknown_rate, key, max, now_ms))
		log_warning(&s->d.who.log, "too many unknown recipients from one address: it is told nothing more for a while",
			log_str("address", key), log_u64("max", (uint64_t)max));
}

struct reply smtp_recipient(struct dialogue *d, void *one)
{
	struct smtp_session *s = d->session;
	struct smtp_recipient *recipient = one;
	struct recipient_verdict *verdict = &recipient->verdict;
	struct reply why;
	if (!may_add_recipient(s, &why))
		return why;
	if (is_guessing(s)) {
		metric_add(&metric_mta_rcpt_guessing, 1);
		return (struct reply){.code = 450,
			.enhanced = STR("4.7.1"),
			.text = STR("too many unknown recipients from your address, try again later")};
	}
	const struct relay_client client = smtp_access_relay(s);
	const struct recipient_query query = {.recipient = &recipient->rcpt.to, .sender = &d->txn.mail.from,
		.account = s->account,
		.authenticated = s->login.n != 0, .client = &client, .rules = s->rules, .answers = s->server->list_answers,
		.message_bytes = d->txn.mail.has_size ? d->txn.mail.size_bytes : 0};
	smtp_server_decide(s->server, s->settings, &query, d->txn.arena, verdict);
	if (!accepts(verdict->outcome)) {
		if (str_eq(verdict->enhanced, STR("5.1.1")) || str_eq(verdict->enhanced, STR("4.1.1"))) // phUnknownUser: tempfail
			count_unknown(s);
		metric_add(verdict->code < 500 ? &metric_mta_rcpt_deferred : &metric_mta_rcpt_refused, 1);
		log_info(&d->who.log, "recipient refused", log_str("sender", d->txn.mail.from.text),
			log_str("recipient", recipient->rcpt.to.text), log_u64("code", (uint64_t)verdict->code),
			log_str("enhanced", verdict->enhanced), log_str("reason", verdict->text));
		smtp_access_log_certificate(s, verdict);
		return (struct reply){.code = verdict->code, .enhanced = verdict->enhanced, .text = verdict->text};
	}
	smtp_access_accepted(s, &recipient->rcpt.to, verdict);
	s->targets_n += verdict->n_targets;
	metric_add(&metric_mta_rcpt_accepted, 1);
	return reply_of(REPLY_RECIPIENT_OK);
}
