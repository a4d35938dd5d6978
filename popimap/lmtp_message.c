// SPDX-License-Identifier: Apache-2.0
// A message of LMTP: taken in as it streams, delivered to all recipients at once; then for each, in their order, what became of
// it (RFC 2033 section 4.2). Return-Path and Delivered-To are each recipient's own and stored apart from the shared body.
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "lmtp_away.h"
#include "lmtp_session.h"
#include "mail/header_emit.h"
#include "popimap_metrics.h"

bool lmtp_message_begin(struct dialogue *d, struct reply *why_out)
{
	struct lmtp_session *s = d->session;
	(void)why_out;
	s->incoming = incoming_new(s->service->popimap->store, d->config.message_bytes_max);
	lmtp_away_begin(s);
	return true;
}

void lmtp_message_take(struct dialogue *d, struct str bytes)
{
	struct lmtp_session *s = d->session;
	lmtp_away_take(s, bytes);
	enum err_code code = incoming_add(s->incoming, bytes, &d->err);
	if (code == ERR_LIMIT) {
		dialogue_refuse(d, reply_of(REPLY_TOO_BIG));
	} else if (code) {
		log_error(&d->who.log, "cannot store a message", log_err(&d->err));
		dialogue_refuse(d, reply_of_err(code));
	}
}

// RFC 5321 section 4.4: Return-Path at final delivery, and nowhere before.
static struct str prefix_of(struct lmtp_session *s, const struct lmtp_recipient *recipient)
{
	struct buf lines;
	struct header_emit emit;
	buf_init(&lines, STORE_PREFIX_BYTES_MAX);
	header_emit_init(&emit, &lines);
	header_emit_path(&emit, STR("Return-Path"), &s->d.txn.mail.from);
	header_emit_raw(&emit, STR("Delivered-To"), recipient->rcpt.to.text);
	struct str prefix = arena_dup(s->d.txn.arena, emit.failed ? STR_NONE : buf_str(&lines));
	buf_fini(&lines);
	return prefix;
}

static struct reply reply_of_delivery(const struct delivery *delivery)
{
	switch (delivery->code) {
	case ERR_OK:
		return reply_with(REPLY_OK, delivery->known ? STR("delivered before") : STR("delivered"));
	case ERR_BUSY:
		return reply_of(REPLY_MAILBOX_MOVING);
	default:
		return reply_of_err(delivery->code);
	}
}

static void report(struct lmtp_session *s, const struct lmtp_recipient *recipient, const struct delivery *delivery)
{
	char root[GUID_TEXT_BYTES], mailbox[GUID_TEXT_BYTES];
	struct str root_text = guid_text(&delivery->root, root), mailbox_text = guid_text(&delivery->account, mailbox);
	if (delivery->code)
		log_warning(&s->d.who.log, "delivery failed", log_str("guid", root_text),
			log_str("recipient", recipient->rcpt.to.text), log_str("mailbox", mailbox_text), log_err(&delivery->err));
	else
		log_info(&s->d.who.log, "message delivered", log_str("guid", root_text),
			log_str("recipient", recipient->rcpt.to.text), log_str("mailbox", mailbox_text),
			log_u64("uid", delivery->uid), log_bool("known", delivery->known));
	metric_add(delivery->code   ? &metric_popimap_lmtp_failed :
		   delivery->known  ? &metric_popimap_lmtp_known :
				      &metric_popimap_lmtp_delivered,
		1);
}

void lmtp_message_finish(struct dialogue *d)
{
	struct lmtp_session *s = d->session;
	const struct dialogue_transaction *txn = &d->txn;
	struct delivery *deliveries = calloc(txn->recipients_n, sizeof *deliveries);
	must(deliveries != NULL);
	int64_t began_ms = clock_mono_exact_ms();
	for (size_t i = 0; i < txn->recipients_n; i++) {
		const struct lmtp_recipient *recipient = txn->recipients[i];
		bool keyed = recipient->rcpt.has_key;
		deliveries[i] = (struct delivery){
			.account = recipient->mailbox_id,
			.home = recipient->may_make,
			.quota = recipient->quota,
			.root = txn->mail.root,
			.detail = keyed ? recipient->rcpt.key.detail : recipient->detail,
			.list = keyed ? recipient->rcpt.key.list : STR_NONE,
			.prefix = prefix_of(s, recipient),
			.body = s->incoming,
			.received = {.utc_s = clock_wall_ms() / 1000},
		};
	}
	struct lmtp_answers *answers = lmtp_away_decide(s, deliveries);
	store_deliver(s->service->popimap->store, deliveries, txn->recipients_n);
	metric_observe(&metric_popimap_lmtp_commit, (uint64_t)(clock_mono_exact_ms() - began_ms) * 1000);
	for (size_t i = 0; i < txn->recipients_n; i++) {
		report(s, txn->recipients[i], &deliveries[i]);
		dialogue_say(d, reply_of_delivery(&deliveries[i]));
	}
	lmtp_away_end(s, deliveries, &answers);
	free(deliveries);
}

void lmtp_message_forget(struct dialogue *d)
{
	struct lmtp_session *s = d->session;
	incoming_free(&s->incoming);
	lmtp_away_forget(s);
}
