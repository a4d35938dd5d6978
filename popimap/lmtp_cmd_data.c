// SPDX-License-Identifier: Apache-2.0
// DATA of LMTP: takes the message in as it streams, delivers it to all recipients at once, and says for each, in their order, what became of
// it (RFC 2033 section 4.2).
//
// Return-Path and Delivered-To are each recipient's own and stored apart from the shared body. After a failure the rest is still read to
// the final dot, so that none of it can be taken for commands; then every recipient hears of it.
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "lmtp_session.h"
#include "mail/header_emit.h"
#include "mail/smtp_data.h"
#include "popimap_metrics.h"

enum { CHUNK_BYTES = 16 << 10 };

// Why nobody gets the message; code 0: no reason.
struct refusal {
	struct reply reply;
};

static void take(struct lmtp_session *s, struct incoming *incoming, struct str bytes, struct refusal *refusal)
{
	if (refusal->reply.code)
		return;
	enum err_code code = incoming_add(incoming, bytes, &s->err);
	if (code == ERR_OK)
		return;
	refusal->reply = code == ERR_LIMIT ? reply_of(REPLY_TOO_BIG) : reply_of_err(code);
	if (code != ERR_LIMIT)
		log_error(&s->log, "cannot store a message", log_err(&s->err));
}

// Reads to the final dot. False when the connection is over; nothing was promised then.
static bool stream(struct lmtp_session *s, struct incoming *incoming, struct refusal *refusal)
{
	struct smtp_data_decoder decoder;
	struct buf decoded;
	enum err_code code = ERR_OK;
	enum reply_id why;
	bool normalize = s->settings->smtp_bare_newline == SETTINGS_BARE_NEWLINE_NORMALIZE;
	smtp_data_decoder_init(&decoder, normalize ? SMTP_NEWLINE_NORMALIZE : SMTP_NEWLINE_REJECT, 0);
	buf_init(&decoded, 2 * CHUNK_BYTES + 4);
	conn_set_deadline_ms(s->conn, clock_after_ms(s->settings->smtp_data_s * 1000));
	while (code == ERR_OK && !decoder.done) {
		struct str chunk;
		code = conn_peek(s->conn, &chunk, &s->err);
		if (code)
			break;
		conn_consume(s->conn, smtp_data_decode(&decoder, str_upto(chunk, CHUNK_BYTES), &decoded));
		take(s, incoming, buf_str(&decoded), refusal);
		buf_clear(&decoded);
	}
	conn_set_deadline_ms(s->conn, CLOCK_NEVER);
	buf_fini(&decoded);
	if (code == ERR_OK && refusal->reply.code == 0 && !smtp_data_verdict(&decoder, &why))
		refusal->reply = reply_of(why);
	if (code == ERR_TIMEOUT)
		lmtp_say_id(s, REPLY_TIMEOUT);
	else if (code == ERR_CANCELLED)
		lmtp_say_id(s, REPLY_CLOSING);
	else if (code)
		lmtp_enter(s, LMTP_ENDED);
	return code == ERR_OK;
}

// RFC 5321 section 4.4: Return-Path at final delivery, and nowhere before.
static struct str prefix_of(struct lmtp_session *s, const struct lmtp_recipient *recipient)
{
	struct buf lines;
	struct header_emit emit;
	buf_init(&lines, STORE_PREFIX_BYTES_MAX);
	header_emit_init(&emit, &lines);
	header_emit_path(&emit, STR("Return-Path"), &s->txn.mail.from);
	header_emit_raw(&emit, STR("Delivered-To"), recipient->rcpt.to.text);
	struct str prefix = arena_dup(s->txn.arena, emit.failed ? STR_NONE : buf_str(&lines));
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
		log_warning(&s->log, "delivery failed", log_str("guid", root_text), log_str("recipient", recipient->rcpt.to.text),
			log_str("mailbox", mailbox_text), log_err(&delivery->err));
	else
		log_info(&s->log, "message delivered", log_str("guid", root_text), log_str("recipient", recipient->rcpt.to.text),
			log_str("mailbox", mailbox_text), log_u64("uid", delivery->uid), log_bool("known", delivery->known));
	metric_add(delivery->code   ? &metric_popimap_lmtp_failed :
		   delivery->known  ? &metric_popimap_lmtp_known :
				      &metric_popimap_lmtp_delivered,
		1);
}

static void deliver(struct lmtp_session *s, struct incoming *incoming)
{
	struct lmtp_transaction *txn = &s->txn;
	struct delivery *deliveries = calloc(txn->recipients_n, sizeof *deliveries);
	must(deliveries != NULL);
	int64_t began_ms = clock_mono_exact_ms();
	for (size_t i = 0; i < txn->recipients_n; i++) {
		const struct lmtp_recipient *recipient = txn->recipients[i];
		bool keyed = recipient->rcpt.has_key;
		deliveries[i] = (struct delivery){
			.account = recipient->mailbox_id,
			.home = recipient->may_make,
			.root = txn->mail.root,
			.detail = keyed ? recipient->rcpt.key.detail : recipient->detail,
			.list = keyed ? recipient->rcpt.key.list : STR_NONE,
			.prefix = prefix_of(s, recipient),
			.body = incoming,
			.received = {.utc_s = clock_wall_ms() / 1000},
		};
	}
	store_deliver(s->service->popimap->store, deliveries, txn->recipients_n);
	metric_observe(&metric_popimap_lmtp_commit, (uint64_t)(clock_mono_exact_ms() - began_ms) * 1000);
	for (size_t i = 0; i < txn->recipients_n; i++) {
		report(s, txn->recipients[i], &deliveries[i]);
		lmtp_say(s, reply_of_delivery(&deliveries[i]));
	}
	free(deliveries);
}

void lmtp_cmd_data(struct lmtp_session *s, struct str argument)
{
	(void)argument;
	if (s->state != LMTP_IN_RCPT) { // RFC 2033 section 4.2: 503 when no RCPT was accepted
		lmtp_say_id(s, REPLY_NO_RECIPIENTS);
		lmtp_reset(s);
		return;
	}
	struct refusal refusal = {0};
	struct incoming *incoming = incoming_new(s->service->popimap->store, lmtp_bytes_max(s->settings));
	lmtp_say_id(s, REPLY_DATA);
	if (conn_flush(s->conn, &s->err)) {
		lmtp_enter(s, LMTP_ENDED);
	} else if (stream(s, incoming, &refusal)) {
		if (refusal.reply.code == 0)
			deliver(s, incoming);
		for (size_t i = 0; refusal.reply.code && i < s->txn.recipients_n; i++)
			lmtp_say(s, refusal.reply);
	}
	incoming_free(&incoming);
	lmtp_reset(s);
}
