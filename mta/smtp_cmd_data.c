// SPDX-License-Identifier: Apache-2.0
// DATA (RFC 5321 section 4.1.1.4): takes the message in as it streams and hands it to the queue. 250 is said only when the queue has it
// on disk (mta/queue.h); a verdict that does not come in time is 451, and the queue sees to it that the message then never counts.
//
// What streams in is decoded (mail/smtp_data.h), its header is held until it is complete (hops are counted, a submitted one is
// completed), and all goes to a spool that keeps 64 KiB in memory and the rest in a file. After a refusal the rest is still read to the
// final dot, so that none of it can be taken for commands.
#include "base/clock.h"
#include "base/must.h"
#include "mail/smtp_data.h"
#include "smtp_metrics.h"
#include "smtp_session.h"
#include "submission_header.h"
#include "targets.h"
#include "trace_header.h"

enum {
	CHUNK_BYTES = 8 << 10,
	HEADER_BYTES_MAX = 256 << 10, // of a message: 1,000 recipients with their names fit
};

// A message on its way in.
struct intake {
	struct smtp_session *s;
	struct spool *spool;      // owned; NULL after a refusal
	struct guid guid;
	struct buf header;        // held until complete
	bool header_done;
	bool refused;
	struct reply why;         // of refused
};

static void refuse(struct intake *in, struct reply why)
{
	if (in->refused)
		return;
	in->refused = true;
	in->why = why;
	spool_drop(&in->spool);
}

static void append(struct intake *in, struct str bytes)
{
	struct smtp_session *s = in->s;
	if (in->refused || bytes.n == 0)
		return;
	if (spool_bytes(in->spool) + bytes.n > (uint64_t)s->settings->message_size_max + TRACE_BYTES_MAX + SUBMISSION_HEADER_ADDED_BYTES) {
		refuse(in, reply_of(REPLY_TOO_BIG));
		return;
	}
	enum err_code code = spool_append(in->spool, bytes, &s->err);
	if (code) {
		log_error(&s->log_session, "cannot store a message", log_err(&s->err));
		refuse(in, reply_of_err(code));
	}
}

static void append_trace(struct intake *in)
{
	struct smtp_session *s = in->s;
	char id[GUID_SHORT_BYTES];
	struct buf field;
	buf_init(&field, TRACE_BYTES_MAX);
	const struct trace_facts facts = {
		.helo = s->helo,
		.peer = conn_peer(s->conn),
		.hostname = s->settings->hostname,
		.queue_id = guid_short(&in->guid, id),
		.tls = conn_tls(s->conn),
		.esmtp = s->esmtp,
		.login = s->login.n != 0,
		.smtputf8 = s->txn.mail.smtputf8,
		.only_recipient = s->txn.recipients_n == 1 ? &s->txn.recipients[0].rcpt.to : NULL,
		.wall_ms = clock_wall_ms(),
	};
	trace_received(&facts, &field);
	must(!field.overflow);
	append(in, buf_str(&field));
	buf_fini(&field);
}

static void append_submitted(struct intake *in, struct str header)
{
	struct smtp_session *s = in->s;
	struct buf fixed;
	const struct submission_facts facts = {
		.sender = &s->txn.mail.from, .hostname = s->settings->hostname, .guid = &in->guid, .wall_ms = clock_wall_ms()};
	buf_init(&fixed, header.n + SUBMISSION_HEADER_ADDED_BYTES);
	size_t body = submission_header_fix(header, &facts, &fixed);
	append(in, buf_str(&fixed));
	append(in, str_from(header, body));
	buf_fini(&fixed);
}

// The header is complete, or the message has ended, or it is too long to be one.
static void finish_header(struct intake *in)
{
	struct str header = buf_str(&in->header);
	in->header_done = true;
	if (trace_hops(header) > TRACE_HOPS_MAX)
		refuse(in, reply_of(REPLY_HOP_LIMIT));
	else if (!smtp_is_submission(in->s))
		append(in, header);
	else if (header.n > HEADER_BYTES_MAX)
		refuse(in, reply_with(REPLY_TOO_BIG, STR("the header of the message is too long")));
	else
		append_submitted(in, header);
	buf_release(&in->header);
}

// The empty line can only be where the new bytes are, or begin just before them.
static bool header_has_ended(const struct buf *header, size_t new_from)
{
	struct str whole = buf_str(header);
	return str_starts(whole, STR("\r\n")) || str_find(str_from(whole, new_from > 3 ? new_from - 3 : 0), STR("\r\n\r\n")) >= 0;
}

static void take(struct intake *in, struct str bytes)
{
	if (in->refused)
		return;
	if (in->header_done) {
		append(in, bytes);
		return;
	}
	size_t before = in->header.n;
	must(buf_add(&in->header, bytes));
	if (header_has_ended(&in->header, before) || in->header.n > HEADER_BYTES_MAX)
		finish_header(in);
}

// Reads to the final dot. False when the connection is over; nothing was promised then.
static bool stream(struct intake *in, struct smtp_data_decoder *decoder)
{
	struct smtp_session *s = in->s;
	struct buf decoded;
	enum err_code code = ERR_OK;
	buf_init(&decoded, 2 * CHUNK_BYTES + 4);
	conn_set_deadline_ms(s->conn, clock_after_ms(s->settings->smtp_data_s * 1000));
	while (code == ERR_OK && !decoder->done) {
		struct str chunk;
		code = conn_peek(s->conn, &chunk, &s->err);
		if (code)
			break;
		size_t used = smtp_data_decode(decoder, str_upto(chunk, CHUNK_BYTES), &decoded);
		conn_consume(s->conn, used);
		take(in, buf_str(&decoded));
		buf_clear(&decoded);
	}
	conn_set_deadline_ms(s->conn, CLOCK_NEVER);
	buf_fini(&decoded);
	if (code == ERR_TIMEOUT)
		smtp_say_id(s, REPLY_TIMEOUT);
	else if (code == ERR_CANCELLED)
		smtp_say_id(s, REPLY_CLOSING);
	else if (code)
		smtp_enter(s, SMTP_ENDED);
	return code == ERR_OK;
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
static struct record_recipient *list_targets(struct smtp_transaction *txn)
{
	struct record_recipient *list = arena_array(txn->arena, txn->targets_n, sizeof *list);
	size_t n = 0;
	if (list == NULL)
		return NULL;
	for (size_t i = 0; i < txn->recipients_n; i++) {
		const struct smtp_recipient *recipient = &txn->recipients[i];
		for (size_t k = 0; k < recipient->verdict->n_targets; k++)
			target_to_record(txn->arena, &recipient->rcpt, &recipient->verdict->targets[k], &list[n++]);
	}
	return arena_overflowed(txn->arena) ? NULL : list;
}

static void enter(struct intake *in)
{
	struct smtp_session *s = in->s;
	struct smtp_transaction *txn = &s->txn;
	char id[GUID_SHORT_BYTES];
	const struct queue_message message = {
		.sender = txn->mail.from.text,
		.envid = txn->mail.envid,
		.source = s->login.n ? s->login : str_of_c(s->peer),
		.flags = flags_of(&txn->mail),
		.recipients = list_targets(txn),
		.n = txn->targets_n,
	};
	if (message.recipients == NULL) {
		smtp_say_id(s, REPLY_TOO_MANY_RECIPIENTS);
		return;
	}
	guid_short(&in->guid, id);
	uint64_t bytes = spool_bytes(in->spool);
	int64_t began_ms = clock_mono_ms();
	enum queue_verdict verdict = queue_enter(s->server->queue, &message, &in->spool, &s->err);
	metric_observe(&metric_mta_commit, (uint64_t)(clock_mono_ms() - began_ms) * 1000);
	switch (verdict) {
	case QUEUE_COMMITTED: {
		struct str text = arena_printf(txn->arena, "queued as %s", id);
		metric_add(&metric_mta_accepted, 1);
		log_info(&s->log_session, "message accepted", log_c("queue_id", id), log_str("sender", txn->mail.from.text),
			log_u64("size_bytes", bytes), log_u64("recipients", txn->recipients_n), log_u64("targets", txn->targets_n),
			log_str("login", s->login));
		smtp_say(s, text.p ? reply_with(REPLY_OK, text) : reply_of(REPLY_OK));
		return;
	}
	case QUEUE_REFUSED:
		log_warning(&s->log_session, "queue refused a message", log_c("queue_id", id), log_err(&s->err));
		smtp_say(s, reply_of_err(s->err.code));
		return;
	case QUEUE_UNKNOWN:
		log_error(&s->log_session, "commit did not come in time: message is being cancelled", log_c("queue_id", id));
		smtp_say_id(s, REPLY_NOT_COMMITTED);
		return;
	}
	unreachable("queue verdict");
}

static void receive(struct intake *in)
{
	struct smtp_session *s = in->s;
	struct smtp_data_decoder decoder;
	smtp_data_decoder_init(&decoder,
		s->settings->smtp_bare_newline == SETTINGS_BARE_NEWLINE_NORMALIZE ? SMTP_NEWLINE_NORMALIZE : SMTP_NEWLINE_REJECT, 0);
	append_trace(in);
	if (!stream(in, &decoder))
		return;
	enum reply_id why;
	if (!smtp_data_verdict(&decoder, &why))
		refuse(in, reply_of(why));
	if (!in->refused && !in->header_done)
		finish_header(in);
	if (in->refused) {
		log_info(&s->log_session, "message refused", log_str("sender", s->txn.mail.from.text), log_str("reason", in->why.text));
		smtp_say(s, in->why);
	} else {
		enter(in);
	}
}

void smtp_cmd_data(struct smtp_session *s, struct str argument)
{
	(void)argument;
	struct intake in = {.s = s};
	if (s->state != SMTP_IN_RCPT) {
		smtp_say_id(s, REPLY_NO_RECIPIENTS);
		smtp_reset(s);
		return;
	}
	enum err_code code = spool_open(s->server->queue, &in.spool, &s->err);
	if (code) {
		smtp_say(s, reply_of_err(code));
		smtp_reset(s);
		return;
	}
	in.guid = spool_guid(in.spool);
	buf_init(&in.header, HEADER_BYTES_MAX + 3 * CHUNK_BYTES);
	smtp_say_id(s, REPLY_DATA);
	if (conn_flush(s->conn, &s->err) == ERR_OK)
		receive(&in);
	else
		smtp_enter(s, SMTP_ENDED);
	buf_fini(&in.header);
	spool_drop(&in.spool);
	smtp_reset(s);
}
