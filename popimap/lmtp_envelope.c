// SPDX-License-Identifier: Apache-2.0
// MAIL and RCPT of LMTP: who sends, which of our mailboxes is meant. Whether a mailbox is here, router/home.h decides.
#include "base/must.h"
#include "lmtp_away.h"
#include "lmtp_session.h"
#include "popimap_metrics.h"
#include "router/home.h"
#include "router/service.h"

// A key from somebody who is not one of our nodes could suppress mail: it is refused, and an operator hears of it (THREATS
// key-forge).
static bool key_is_believed(struct lmtp_session *s, struct reply *why_out)
{
	switch (s->peer_kind) {
	case LMTP_NODE:
		return true;
	case LMTP_UNSURE:
		*why_out = reply_of(REPLY_DEFERRED);
		return false;
	case LMTP_STRANGER:
		metric_add(&metric_popimap_lmtp_forged, 1);
		log_error(&s->d.who.log, "delivery key from a peer that is not one of our nodes: refused");
		*why_out = reply_of(REPLY_KEY_REFUSED);
		return false;
	}
	unreachable("enum lmtp_peer");
}

struct reply lmtp_sender(struct dialogue *d, struct smtp_mail *mail)
{
	struct lmtp_session *s = d->session;
	struct reply why;
	if (mail->has_key && !key_is_believed(s, &why))
		return why;
	if (!mail->has_key)
		mail->root = guid_new(); // from another MTA: at least once
	return reply_of(REPLY_SENDER_OK);
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
	home_of_recipient(popimap->directory(popimap->arg), &rules, to, s->d.txn.arena, home_out);
}

// What was delivered before the account was closed, moved or became doubtful is a success: the front-end asks only because our
// reply was lost (ARCHITECTURE 5). The mailbox is asked, not the directory.
static bool was_delivered(struct lmtp_session *s, struct lmtp_recipient *recipient, const struct home *home)
{
	const struct smtp_rcpt *rcpt = &recipient->rcpt;
	if (!s->d.txn.mail.has_key || !rcpt->has_key || home->entry == NULL ||
		!entry_mailbox_id(home->entry, &recipient->mailbox_id))
		return false;
	return store_knows(s->service->popimap->store, &recipient->mailbox_id, &s->d.txn.mail.root, rcpt->key.detail,
		rcpt->key.list);
}

// phMaxMessageBytes of the mailbox, against the size that MAIL says: our front-ends say it. What they added to the message counts
// for nobody.
static bool is_too_large(struct lmtp_session *s, const struct lmtp_recipient *recipient, const struct home *home)
{
	const struct smtp_mail *mail = &s->d.txn.mail;
	bool is_of_list = recipient->rcpt.has_key && recipient->rcpt.key.list.n > 0;
	const uint64_t added = LMTP_ADDED_BYTES_MAX + (is_of_list ? LMTP_LIST_BYTES_MAX : 0);
	struct popimap *popimap = s->service->popimap;
	struct service_grant max;
	if (service_number(popimap->directory(popimap->arg), home->entry, ATTR_PH_MAX_MESSAGE_BYTES, s->d.txn.arena, &max) !=
			SERVICE_SET ||
		max.value == SERVICE_UNLIMITED)
		return false;
	return max.value == 0 || (mail->has_size && mail->size_bytes > (uint64_t)max.value + added);
}

struct reply lmtp_recipient(struct dialogue *d, void *one)
{
	struct lmtp_session *s = d->session;
	struct lmtp_recipient *recipient = one;
	struct home home;
	struct reply why;
	if (recipient->rcpt.has_key && !key_is_believed(s, &why))
		return why;
	find_home(s, &recipient->rcpt.to, &home);
	struct reply reply = reply_of_home(&home);
	bool too_large = home.answer == HOME_HERE && is_too_large(s, recipient, &home);
	if (too_large)
		reply = (struct reply){
			.code = 552, .enhanced = STR("5.2.3"), .text = STR("message is larger than this mailbox takes")};
	if (home.answer == HOME_HERE && !too_large) {
		recipient->mailbox_id = home.mailbox_id;
		recipient->may_make = popimap_may_make(&home, &recipient->home);
		recipient->detail = home.detail;
		recipient->quota =
			popimap_quota(s->service->popimap->directory(s->service->popimap->arg), &home, s->settings, d->txn.arena);
		lmtp_away_look(s, recipient, &home);
	} else if (was_delivered(s, recipient, &home)) {
		return reply_of(REPLY_RECIPIENT_OK);
	} else {
		log_info(&d->who.log, "recipient refused", log_str("recipient", recipient->rcpt.to.text),
			log_u64("code", (uint64_t)reply.code), log_str("reason", reply.text));
	}
	return reply;
}
