// SPDX-License-Identifier: Apache-2.0
// MAIL FROM (RFC 5321 section 4.1.1.2): begins a transaction. On a submission service, who may send as whom is decided here.
#include "base/must.h"
#include "mta/queue.h"
#include "router/sender.h"
#include "smtp_session.h"

// 553 unless the login may use this sender (RFC 6409 section 6.1). The null sender is nobody's identity and stays allowed: it is what
// read receipts carry.
static bool may_send(struct smtp_session *s, const struct addr *from)
{
	if (!smtp_is_submission(s) || addr_is_null(from))
		return true;
	struct directory *directory = s->server->directory(s->server->arg);
	switch (sender_check(directory, s->account, from, s->settings->delimiter, s->txn.arena, NULL)) {
	case SENDER_ALLOWED:
		return true;
	case SENDER_REFUSED:
		log_info(&s->log_session, "sender refused", log_str("login", s->login), log_str("sender", from->text));
		smtp_say_id(s, REPLY_NOT_YOUR_ADDRESS);
		return false;
	case SENDER_UNAVAILABLE:
		smtp_say_id(s, REPLY_LOCAL_FAULT);
		return false;
	}
	unreachable("sender answer");
}

void smtp_cmd_mail(struct smtp_session *s, struct str argument)
{
	struct smtp_mail mail;
	enum smtp_result result =
		smtp_mail_parse(s->txn.arena, argument, smtp_is_submission(s) ? SMTP_FOR_SUBMISSION : SMTP_FOR_MX, &mail);
	if (result != SMTP_OK) {
		smtp_say_id(s, smtp_reply(result));
		smtp_reset(s);
		return;
	}
	if (mail.has_size && mail.size_bytes > (uint64_t)s->settings->message_size_max) {
		smtp_say_id(s, REPLY_TOO_BIG); // RFC 1870 section 6.1: before the client sends it all
		smtp_reset(s);
		return;
	}
	enum err_code code = queue_accepts(s->server->queue, &s->err);
	if (code) {
		smtp_say(s, reply_of_err(code));
		smtp_reset(s);
		return;
	}
	if (!may_send(s, &mail.from)) {
		smtp_reset(s);
		return;
	}
	s->txn.mail = mail;
	smtp_enter(s, SMTP_IN_MAIL);
	smtp_say_id(s, REPLY_SENDER_OK);
}
