// SPDX-License-Identifier: Apache-2.0
// A message on its way into the queue: taken in as it streams, its header held until it is complete (hops are counted, a
// submitted one is completed), all in a spool that keeps 64 KiB in memory and the rest in a file. 250 is said only when the queue
// has it on disk (mta/queue.h); a verdict that does not come in time is 451, and the queue sees to it that the message then never
// counts.
#include "base/clock.h"
#include "base/must.h"
#include "smtp_metrics.h"
#include "smtp_session.h"
#include "submission_header.h"
#include "targets.h"
#include "trace_header.h"

enum {
	HEADER_BYTES_MAX = 256 << 10, // of a message: 1,000 recipients with their names fit
};

static void refuse(struct smtp_session *s, struct reply why)
{
	dialogue_refuse(&s->d, why);
	spool_drop(&s->intake.spool);
}

static void append(struct smtp_session *s, struct str bytes)
{
	struct spool *spool = s->intake.spool;
	if (spool == NULL || bytes.n == 0)
		return;
	if (spool_bytes(spool) + bytes.n >
		(uint64_t)s->settings->message_size_max + TRACE_BYTES_MAX + SUBMISSION_HEADER_ADDED_BYTES) {
		refuse(s, reply_of(REPLY_TOO_BIG));
		return;
	}
	enum err_code code = spool_append(spool, bytes, &s->d.err);
	if (code) {
		log_error(&s->d.who.log, "cannot store a message", log_err(&s->d.err));
		refuse(s, reply_of_err(code));
	}
}

static void append_trace(struct smtp_session *s)
{
	const struct dialogue *d = &s->d;
	const struct smtp_recipient *first = d->txn.recipients[0];
	char id[GUID_SHORT_BYTES];
	struct buf field;
	buf_init(&field, TRACE_BYTES_MAX);
	const struct trace_facts facts = {
		.helo = d->helo,
		.peer = conn_peer(d->conn),
		.hostname = s->settings->hostname,
		.queue_id = guid_short(&s->intake.guid, id),
		.tls = conn_tls(d->conn),
		.esmtp = d->esmtp,
		.login = s->login.n != 0,
		.mailboxes = smtp_is_of_mailboxes(s),
		.smtputf8 = d->txn.mail.smtputf8,
		.only_recipient = d->txn.recipients_n == 1 ? &first->rcpt.to : NULL,
		.wall_ms = clock_wall_ms(),
	};
	trace_received(&facts, &field);
	must(!field.overflow);
	append(s, buf_str(&field));
	buf_fini(&field);
}

static void append_submitted(struct smtp_session *s, struct str header)
{
	struct buf fixed;
	const struct submission_facts facts = {.sender = &s->d.txn.mail.from,
		.hostname = s->settings->hostname,
		.guid = &s->intake.guid,
		.wall_ms = clock_wall_ms()};
	buf_init(&fixed, header.n + SUBMISSION_HEADER_ADDED_BYTES);
	size_t body = submission_header_fix(header, &facts, &fixed);
	append(s, buf_str(&fixed));
	append(s, str_from(header, body));
	buf_fini(&fixed);
}

// The header is complete, or the message has ended, or it is too long to be one.
static void finish_header(struct smtp_session *s)
{
	struct str header = buf_str(&s->intake.header);
	s->intake.header_done = true;
	if (trace_hops(header) > TRACE_HOPS_MAX)
		refuse(s, reply_of(REPLY_HOP_LIMIT));
	else if (!s->service->submission)
		append(s, header);
	else if (header.n > HEADER_BYTES_MAX)
		refuse(s, reply_with(REPLY_TOO_BIG, STR("the header of the message is too long")));
	else
		append_submitted(s, header);
	buf_release(&s->intake.header);
}

// The empty line can only be where the new bytes are, or begin just before them.
static bool header_has_ended(const struct buf *header, size_t new_from)
{
	struct str whole = buf_str(header);
	return str_starts(whole, STR("\r\n")) || str_find(str_from(whole, new_from > 3 ? new_from - 3 : 0), STR("\r\n\r\n")) >= 0;
}

void smtp_message_take(struct dialogue *d, struct str bytes)
{
	struct smtp_session *s = d->session;
	struct buf *header = &s->intake.header;
	s->intake.taken_bytes += bytes.n;
	if (s->intake.header_done) {
		append(s, bytes);
		return;
	}
	size_t before = header->n;
	must(buf_add(header, bytes));
	if (header_has_ended(header, before) || header->n > HEADER_BYTES_MAX)
		finish_header(s);
}

static uint8_t flags_of(const struct smtp_mail *mail)
{
	unsigned flags = 0;
	if (mail->smtputf8)
		flags |= RECORD_FLAG_UTF8;
	if (mail->body == SMTP_BODY_8BITMIME)
		flags |= RECORD_FLAG_8BIT;
	if (mail->ret == SMTP_RET_FULL)
		flags |= RECORD_FLAG_RET_FULL;
	if (mail->ret == SMTP_RET_HDRS)
		flags |= RECORD_FLAG_RET_HDRS;
	return (uint8_t)flags;
}

// The targets of all recipients, as the queue records them; NULL over the transaction's memory.
static struct record_recipient *list_targets(const struct smtp_session *s)
{
	const struct dialogue_transaction *txn = &s->d.txn;
	struct record_recipient *list = arena_array(txn->arena, s->targets_n, sizeof *list);
	size_t n = 0;
	if (list == NULL)
		return NULL;
	for (size_t i = 0; i < txn->recipients_n; i++) {
		const struct smtp_recipient *recipient = txn->recipients[i];
		for (size_t k = 0; k < recipient->verdict.n_targets; k++)
			target_to_record(txn->arena, &recipient->rcpt, &recipient->verdict.targets[k], &list[n++]);
	}
	return arena_overflowed(txn->arena) ? NULL : list;
}

static void enter(struct smtp_session *s)
{
	struct dialogue *d = &s->d;
	const struct dialogue_transaction *txn = &d->txn;
	char id[GUID_SHORT_BYTES];
	const struct queue_message message = {
		.root = txn->mail.has_key ? txn->mail.root : (struct guid){{0}},
		.sender = txn->mail.from.text,
		.envid = txn->mail.envid,
		.source = s->login.n ? s->login : str_of_c(d->who.peer),
		.flags = (uint8_t)(flags_of(&txn->mail) | (s->login.n ? RECORD_FLAG_LOGIN : 0u)),
		.held = s->quarantine,
		.recipients = list_targets(s),
		.n = s->targets_n,
	};
	if (message.recipients == NULL) {
		dialogue_say_id(d, REPLY_TOO_MANY_RECIPIENTS);
		return;
	}
	guid_short(&s->intake.guid, id);
	uint64_t bytes = spool_bytes(s->intake.spool);
	int64_t began_ms = clock_mono_ms();
	enum queue_verdict verdict = queue_enter(s->server->queue, &message, &s->intake.spool, &d->err);
	metric_observe(&metric_mta_commit, (uint64_t)(clock_mono_ms() - began_ms) * 1000);
	switch (verdict) {
	case QUEUE_COMMITTED: {
		struct str text = arena_printf(txn->arena, "queued as %s", id);
		metric_add(&metric_mta_accepted, 1);
		log_info(&d->who.log, "message accepted", log_c("queue_id", id), log_str("sender", txn->mail.from.text),
			log_u64("size_bytes", bytes), log_u64("recipients", txn->recipients_n), log_u64("targets", s->targets_n),
			log_str("login", s->login), log_str("held", s->quarantine));
		dialogue_say(d, text.p ? reply_with(REPLY_OK, text) : reply_of(REPLY_OK));
		return;
	}
	case QUEUE_REFUSED:
		log_warning(&s->d.who.log, "queue refused a message", log_c("queue_id", id), log_err(&s->d.err));
		dialogue_say(d, reply_of_err(d->err.code));
		return;
	case QUEUE_UNKNOWN:
		log_error(&s->d.who.log, "commit did not come in time: message is being cancelled", log_c("queue_id", id));
		dialogue_say_id(d, REPLY_NOT_COMMITTED);
		return;
	}
	unreachable("queue verdict");
}

bool smtp_message_begin(struct dialogue *d, struct reply *why_out)
{
	struct smtp_session *s = d->session;
	enum err_code code = spool_open(s->server->queue, &s->intake.spool, &d->err);
	if (code) {
		*why_out = reply_of_err(code);
		return false;
	}
	s->intake.guid = spool_guid(s->intake.spool);
	buf_init(&s->intake.header, HEADER_BYTES_MAX + DIALOGUE_PORTION_BYTES_MAX);
	append_trace(s);
	return true;
}

void smtp_message_finish(struct dialogue *d)
{
	struct smtp_session *s = d->session;
	struct reply why;
	if (!s->intake.header_done)
		finish_header(s);
	if (!d->refused && !smtp_may_take(s, s->intake.taken_bytes, &why))
		refuse(s, why);
	if (!d->refused)
		enter(s);
}

void smtp_message_forget(struct dialogue *d)
{
	struct smtp_session *s = d->session;
	buf_fini(&s->intake.header);
	spool_drop(&s->intake.spool);
	s->intake = (struct smtp_intake){0};
	s->targets_n = 0;
	s->quarantine = STR_NONE;
	s->access.sender = (struct access){.attribute = ""};
}
