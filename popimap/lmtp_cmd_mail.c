// SPDX-License-Identifier: Apache-2.0
// MAIL and RCPT of LMTP: who sends, which of our mailboxes is meant. Whether a mailbox is here, router/home.h decides.
#include "base/must.h"
#include "lmtp_session.h"
#include "popimap_metrics.h"
#include "router/home.h"

// A key from somebody who is not one of our nodes could suppress mail: it is refused, and an operator hears of it (THREATS key-forge).
// False when the reply was given.
static bool key_is_believed(struct lmtp_session *s)
{
	switch (s->peer_kind) {
	case LMTP_NODE:
		return true;
	case LMTP_UNSURE:
		lmtp_say_id(s, REPLY_DEFERRED);
		return false;
	case LMTP_STRANGER:
		metric_add(&metric_popimap_lmtp_forged, 1);
		log_error(&s->log, "delivery key from a peer that is not one of our nodes: refused");
		lmtp_say_id(s, REPLY_KEY_REFUSED);
		return false;
	}
	unreachable("enum lmtp_peer");
}

void lmtp_cmd_mail(struct lmtp_session *s, struct str argument)
{
	struct smtp_mail mail;
	enum smtp_result result = smtp_mail_parse(s->txn.arena, argument, SMTP_FOR_LMTP, &mail);
	if (result != SMTP_OK) {
		lmtp_say_id(s, smtp_reply(result));
		lmtp_reset(s);
		return;
	}
	if (mail.has_key && !key_is_believed(s)) {
		lmtp_reset(s);
		return;
	}
	if (mail.has_size && mail.size_bytes > lmtp_bytes_max(s->settings)) {
		lmtp_say_id(s, REPLY_TOO_BIG);
		lmtp_reset(s);
		return;
	}
	if (!mail.has_key)
		mail.root = guid_new(); // from another MTA: at least once
	s->txn.mail = mail;
	lmtp_enter(s, LMTP_IN_MAIL);
	lmtp_say_id(s, REPLY_SENDER_OK);
}

// Room for one more; NULL over the limits of a transaction.
static struct lmtp_recipient *new_recipient(struct lmtp_transaction *txn)
{
	if (txn->recipients_n == txn->recipients_size) {
		size_t size = txn->recipients_size ? 2 * txn->recipients_size : 8;
		struct lmtp_recipient **grown = arena_array(txn->arena, size, sizeof *grown);
		if (grown == NULL)
			return NULL;
		if (txn->recipients_n)
			memcpy(grown, txn->recipients, txn->recipients_n * sizeof *grown);
		txn->recipients = grown;
		txn->recipients_size = size;
	}
	return arena_alloc(txn->arena, sizeof(struct lmtp_recipient));
}

static struct reply reply_of_home(const struct home *home)
{
	switch (home->answer) {
	case HOME_HERE:
		return reply_of(REPLY_RECIPIENT_OK);
	case HOME_ELSEWHERE: // the front-end's directory is older, or younger, than ours
		return reply_of(REPLY_NOT_MINE);
	case HOME_NONE: // said only by a complete and fresh shadow
		return reply_of(REPLY_UNKNOWN_USER);
	case HOME_REFUSED:
		return reply_with(REPLY_REFUSED, str_of_c(home->text));
	case HOME_HELD:
	case HOME_UNAVAILABLE:
		return reply_with(REPLY_DEFERRED, str_of_c(home->text));
	}
	unreachable("enum home_answer");
}

static void find_home(struct lmtp_session *s, const struct addr *to, struct home *home_out)
{
	struct popimap *popimap = s->service->popimap;
	const struct home_rules rules = {
		.serves = s->settings->serves.v,
		.n_serves = s->settings->serves.n,
		.hostname = s->settings->hostname,
		.delimiters = s->settings->delimiter,
	};
	home_of_recipient(popimap->directory(popimap->arg), &rules, to, s->txn.arena, home_out);
}

// What was delivered before the account was closed, moved or became doubtful is a success: the front-end asks only because our reply was
// lost (ARCHITECTURE 5). The mailbox is asked, not the directory.
static bool was_delivered(struct lmtp_session *s, struct lmtp_recipient *recipient, const struct home *home)
{
	const struct smtp_rcpt *rcpt = &recipient->rcpt;
	if (!s->txn.mail.has_key || !rcpt->has_key || home->entry == NULL || !entry_mailbox_id(home->entry, &recipient->mailbox_id))
		return false;
	return store_knows(s->service->popimap->store, &recipient->mailbox_id, &s->txn.mail.root, rcpt->key.detail, rcpt->key.list);
}

static void accept(struct lmtp_session *s, struct lmtp_recipient *recipient)
{
	s->txn.recipients[s->txn.recipients_n++] = recipient;
	lmtp_enter(s, LMTP_IN_RCPT);
	lmtp_say_id(s, REPLY_RECIPIENT_OK);
}

void lmtp_cmd_rcpt(struct lmtp_session *s, struct str argument)
{
	struct lmtp_transaction *txn = &s->txn;
	struct lmtp_recipient *recipient = (int64_t)txn->recipients_n < s->settings->recipients_max ? new_recipient(txn) : NULL;
	if (recipient == NULL) {
		lmtp_say_id(s, REPLY_TOO_MANY_RECIPIENTS);
		return;
	}
	enum smtp_result result = smtp_rcpt_parse(txn->arena, argument, SMTP_FOR_LMTP, txn->mail.smtputf8, &recipient->rcpt);
	if (result != SMTP_OK) {
		lmtp_say_id(s, smtp_reply(result));
		return;
	}
	if (recipient->rcpt.has_key && !key_is_believed(s))
		return;
	struct home home;
	find_home(s, &recipient->rcpt.to, &home);
	if (home.answer == HOME_HERE) {
		recipient->mailbox_id = home.mailbox_id;
		recipient->may_make = popimap_may_make(&home, &recipient->home);
		recipient->detail = home.detail;
		accept(s, recipient);
	} else if (was_delivered(s, recipient, &home)) {
		accept(s, recipient);
	} else {
		struct reply reply = reply_of_home(&home);
		log_info(&s->log, "recipient refused", log_str("recipient", recipient->rcpt.to.text), log_u64("code", (uint64_t)reply.code),
			log_c("reason", home.text));
		lmtp_say(s, reply);
	}
}
