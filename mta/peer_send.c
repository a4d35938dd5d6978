// SPDX-License-Identifier: Apache-2.0
// One transaction: MAIL, RCPT for each, DATA, the message, and what the peer says to each of them.
//
// Happy path: MAIL, all RCPT and DATA leave together where PIPELINING is offered; their replies come in order; after 354 the body
// and the dot; then one reply (SMTP) or one for each accepted recipient (LMTP). To a mailbox host of ours a small message goes
// whole, as one chunk behind its envelope (BDAT LAST, RFC 3030), and all replies come at its end: one turn of the network for a
// delivery, and one wake-up of each side. Not to the world, where a refused recipient is common and a second delivery is one too
// many. Failure: a 4xx or 5xx belongs to its recipient; MAIL's and DATA's belong to all that were not refused before. When the
// connection breaks, whoever has no answer is temporary: over LMTP it will be sent again under the same key, over SMTP it may
// arrive twice (RFC 1047). When the replies are out of step (354 not where it must be, one reply too many) nothing that was said
// is permanent.
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/must.h"
#include "mail/addr.h"
#include "mail/smtp.h"
#include "mail/smtp_data.h"
#include "peer_core.h"

enum {
	REPLY_KEPT_BYTES = 1000,
	COMMAND_BYTES_MAX = 16 << 10,
	ENCODE_BYTES = 16 << 10,
	SMALL_BYTES = 8 << 10,
	CHUNK_BYTES_MAX = 64 << 10, // of a message that goes before its recipients are accepted: what is kept in memory
};

struct send {
	struct peer *peer;
	struct peer_transaction *txn;
	size_t accepted;   // recipients that RCPT accepted
	bool utf8;         // the transaction is SMTPUTF8
	bool heard;        // a reply has come in this transaction
	bool whole;        // all of it may be out
	int64_t reply_ms;  // how long an envelope's replies are waited for
	struct err err;
};

// "550 5.1.1 text" on one line.
static struct str keep_reply(struct arena *arena, struct reply reply)
{
	struct buf text;
	buf_init(&text, REPLY_KEPT_BYTES);
	must(buf_reserve(&text, REPLY_KEPT_BYTES) != NULL);
	buf_add_u64(&text, (uint64_t)reply.code);
	if (reply.enhanced.n) {
		buf_add_byte(&text, ' ');
		buf_add(&text, reply.enhanced);
	}
	if (reply.text.n) {
		buf_add_byte(&text, ' ');
		buf_add(&text, str_upto(reply.text, text.max - text.n));
	}
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20)
			text.p[i] = ' ';
	struct str kept = arena_dup(arena, buf_str(&text));
	buf_fini(&text);
	return kept;
}

static enum peer_outcome outcome_of(struct reply reply)
{
	return reply_is_positive(&reply) ? PEER_ACCEPTED : reply_is_permanent(&reply) ? PEER_PERMANENT : PEER_TEMPORARY;
}

// A mailbox host of ours that wants none of MAIL itself (a pin or a network that is not set, a command it does not know) says
// that our nodes do not fit together: a fault of ours returns no mail (promise 3). Its word about the message, size and content,
// stands.
static enum peer_outcome outcome_of_mail(const struct peer *peer, struct reply reply)
{
	bool about_us = reply.code <= 504 || reply.code == 521 || reply.code == 530 || str_starts(reply.enhanced, STR("5.7."));
	return peer->config.lmtp && reply_is_permanent(&reply) && about_us ? PEER_TEMPORARY : outcome_of(reply);
}

static void set_outcome(struct send *s, struct peer_recipient *r, struct reply reply)
{
	r->outcome = outcome_of(reply);
	r->reply = keep_reply(s->txn->arena, reply);
}

// For all that have no final word yet.
static void set_rest(struct send *s, enum peer_outcome outcome, struct str reply, bool ours)
{
	for (size_t i = 0; i < s->txn->n; i++) {
		struct peer_recipient *r = &s->txn->to[i];
		if (r->outcome == PEER_ACCEPTED || r->outcome == PEER_UNTRIED) {
			r->outcome = outcome;
			r->reply = reply;
			r->ours = ours;
		}
	}
}

static void connection_failed(struct send *s, const char *while_what)
{
	s->peer->broken = true;
	set_rest(s, PEER_TEMPORARY,
		arena_printf(s->txn->arena, "451 4.4.2 %s: %s", while_what, s->err.text), true);
}

// The peer's replies cannot be told apart any more: nobody is bounced or taken for delivered on their word.
static void out_of_step(struct send *s, const char *why)
{
	s->peer->broken = true;
	for (size_t i = 0; i < s->txn->n; i++) {
		struct peer_recipient *r = &s->txn->to[i];
		if (r->outcome == PEER_TEMPORARY)
			continue;
		r->outcome = PEER_TEMPORARY;
		r->reply = arena_printf(s->txn->arena, "451 4.5.0 its replies are out of step: %s", why);
		r->ours = true;
	}
	log_warning(s->peer->config.log, "a peer's replies are out of step", log_str("host", s->peer->config.host),
		log_c("reason", why));
}

// --- May it go there at all? ---

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

// Non-ASCII in the header, and anywhere. Reads the body, all of it where the header says nothing.
static bool scan_body(struct send *s, bool *header_8bit_out, bool *body_8bit_out)
{
	bool in_header = true;
	*header_8bit_out = *body_8bit_out = false;
	for (uint64_t at = 0; at < s->txn->message->body_bytes;) {
		struct str piece;
		if (!s->txn->body(s->txn->arg, at, &piece, &s->err))
			return false;
		at += piece.n;
		if (in_header) {
			ptrdiff_t end = str_find(piece, STR("\r\n\r\n"));
			*header_8bit_out |= !is_ascii(end < 0 ? piece : str_upto(piece, (size_t)end));
			in_header = end < 0;
		}
		if (!is_ascii(piece)) {
			*body_8bit_out = true;
			if (!in_header)
				return true;
		}
	}
	return true;
}

static bool envelope_is_ascii(const struct peer_transaction *txn)
{
	bool ascii = is_ascii(txn->message->sender);
	for (size_t i = 0; i < txn->n; i++)
		ascii = ascii && is_ascii(txn->to[i].item->r.address);
	return ascii;
}

// A next hop that lacks what the message needs is a reason to return it, not to mangle it (RFC 6531 section 3.5, RFC 6152 section
// 3).
static bool fits_peer(struct send *s)
{
	const struct item_message *m = s->txn->message;
	struct peer *peer = s->peer;
	if (peer->size_max && m->body_bytes > peer->size_max) {
		// we took it, so a node of ours with a smaller message_size_max is our fault: it waits for the operator
		if (peer->config.lmtp) {
			log_error(peer->config.log, "a mailbox host takes less than message_size_max here",
				log_str("host", peer->config.host), log_u64("size_max", peer->size_max),
				log_u64("size_bytes", m->body_bytes));
			set_rest(s, PEER_TEMPORARY, STR("451 4.3.5 the mailbox host is set to take less than we do"), true);
			return false;
		}
		set_rest(s, PEER_PERMANENT, STR("552 5.3.4 message is too big for the next hop"), true);
		return false;
	}
	bool lacks_utf8 = (m->flags & RECORD_FLAG_UTF8) && !(peer->extensions & PEER_UTF8);
	bool lacks_8bit = (m->flags & RECORD_FLAG_8BIT) && !(peer->extensions & PEER_8BITMIME);
	s->utf8 = (m->flags & RECORD_FLAG_UTF8) && !lacks_utf8;
	if (!lacks_utf8 && !lacks_8bit)
		return true;
	bool header_8bit, body_8bit;
	if (!scan_body(s, &header_8bit, &body_8bit)) {
		set_rest(s, PEER_TEMPORARY, arena_printf(s->txn->arena, "451 4.3.0 %s", s->err.text), true);
		return false;
	}
	if (lacks_utf8 && (header_8bit || !envelope_is_ascii(s->txn))) {
		set_rest(s, PEER_PERMANENT, STR("550 5.6.7 the next hop does not support SMTPUTF8"), true);
		return false;
	}
	if (lacks_8bit && body_8bit) {
		set_rest(s, PEER_PERMANENT, STR("554 5.6.3 the next hop does not support 8BITMIME"), true);
		return false;
	}
	return true;
}

// --- The envelope ---

static unsigned parameters(const struct send *s)
{
	unsigned extensions = s->peer->extensions, accepted = 0;
	if (extensions & PEER_SIZE)
		accepted |= SMTP_PARAM_SIZE;
	if (extensions & PEER_8BITMIME)
		accepted |= SMTP_PARAM_BODY;
	if (extensions & PEER_DSN)
		accepted |= SMTP_PARAM_DSN;
	if (extensions & PEER_KEY)
		accepted |= SMTP_PARAM_KEY;
	if (s->utf8)
		accepted |= SMTP_PARAM_UTF8;
	return accepted;
}

static bool format_mail(struct send *s, struct buf *out)
{
	const struct item_message *m = s->txn->message;
	struct smtp_mail mail = {.has_size = true, .size_bytes = m->body_bytes, .smtputf8 = s->utf8, .from = addr_null(),
		.body = m->flags & RECORD_FLAG_8BIT ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT,
		.ret = m->flags & RECORD_FLAG_RET_FULL   ? SMTP_RET_FULL
		       : m->flags & RECORD_FLAG_RET_HDRS ? SMTP_RET_HDRS
							 : SMTP_RET_NONE,
		.has_envid = m->envid.n > 0, .envid = m->envid, .has_key = true, .root = m->root};
	if (m->sender.n && addr_parse(s->txn->arena, m->sender, ADDR_UTF8 | ADDR_LONG_LOCAL, &mail.from) != ADDR_OK)
		return false;
	return buf_add(out, STR("MAIL ")) && smtp_mail_format(&mail, parameters(s), out) && buf_add(out, STR("\r\n"));
}

static unsigned notify_of(uint8_t notify)
{
	return (notify & RECORD_NOTIFY_NEVER ? SMTP_NOTIFY_NEVER : 0u) |
	       (notify & RECORD_NOTIFY_SUCCESS ? SMTP_NOTIFY_SUCCESS : 0u) |
	       (notify & RECORD_NOTIFY_FAILURE ? SMTP_NOTIFY_FAILURE : 0u) |
	       (notify & RECORD_NOTIFY_DELAY ? SMTP_NOTIFY_DELAY : 0u);
}

static bool format_rcpt(struct send *s, const struct item *item, struct buf *out)
{
	bool is_ours = item->r.target == RECORD_TO_MAILBOX;
	struct smtp_rcpt rcpt = {
		.has_key = is_ours, .key = {.detail = is_ours ? item->r.detail : STR_NONE, .list = item->r.list}};
	// Reports about mailboxes of ours are written here, where the envelope is known in full; the world takes DSN over.
	if (item->r.target == RECORD_TO_RELAY) {
		rcpt.notify = notify_of(item->r.notify);
		str_cut(item->r.orcpt, ';', &rcpt.orcpt_type, &rcpt.orcpt);
	}
	if (addr_parse(s->txn->arena, item->r.address, ADDR_UTF8 | ADDR_LONG_LOCAL, &rcpt.to) != ADDR_OK)
		return false;
	return buf_add(out, STR("RCPT ")) && smtp_rcpt_format(&rcpt, parameters(s), out) && buf_add(out, STR("\r\n"));
}

static bool write_command(struct send *s, bool ok, struct buf *line)
{
	ok = ok && !line->overflow;
	if (ok)
		conn_write(s->peer->conn, buf_str(line));
	buf_clear(line);
	return ok;
}

// A kept connection that its other end closed since the message before: nobody has an outcome, nobody needs one.
static bool went_away(const struct send *s)
{
	return s->peer->used && !s->heard && (s->err.code == ERR_CLOSED || s->err.code == ERR_IO);
}

static bool flush(struct send *s)
{
	if (conn_flush(s->peer->conn, &s->err) == ERR_OK)
		return true;
	if (went_away(s))
		s->peer->broken = true;
	else
		connection_failed(s, "sending the envelope");
	return false;
}

// All lines of the envelope; false when one cannot be written, which no peer is to blame for.
static bool write_envelope(struct send *s, struct buf *line)
{
	bool ok = write_command(s, format_mail(s, line), line);
	for (size_t i = 0; i < s->txn->n && ok; i++)
		ok = write_command(s, format_rcpt(s, s->txn->to[i].item, line), line);
	return ok;
}

static bool read_mail_reply(struct send *s, struct reply *reply)
{
	if (peer_read_reply(s->peer, s->reply_ms, reply, &s->err)) {
		if (!went_away(s))
			connection_failed(s, "waiting for the reply to MAIL");
		return false;
	}
	s->heard = true;
	return true;
}

static bool read_envelope_replies(struct send *s)
{
	struct reply reply;
	if (!read_mail_reply(s, &reply))
		return false;
	bool mail_ok = reply_is_positive(&reply);
	if (!mail_ok && !(s->peer->used && s->peer->closing)) // not if it had said goodbye since the message before
		set_rest(s, outcome_of_mail(s->peer, reply), keep_reply(s->txn->arena, reply), false);
	if (!mail_ok && s->peer->closing)
		s->peer->broken = true;
	for (size_t i = 0; i < s->txn->n && !s->peer->broken; i++) {
		if (peer_read_reply(s->peer, s->reply_ms, &reply, &s->err)) {
			connection_failed(s, "waiting for the reply to RCPT");
			return false;
		}
		if (mail_ok && reply.code >= 300 && reply.code < 400) {
			out_of_step(s, "3xx to RCPT");
			return false;
		}
		if (mail_ok)
			set_outcome(s, &s->txn->to[i], reply);
		s->accepted += mail_ok && reply_is_positive(&reply);
	}
	return !s->peer->broken;
}

// Without PIPELINING each command waits for its reply.
static bool envelope_step_by_step(struct send *s, struct buf *line)
{
	struct reply reply;
	if (!write_command(s, format_mail(s, line), line) || !flush(s) || !read_mail_reply(s, &reply))
		return false;
	if (!reply_is_positive(&reply)) {
		if (!(s->peer->used && s->peer->closing))
			set_rest(s, outcome_of_mail(s->peer, reply), keep_reply(s->txn->arena, reply), false);
		return !s->peer->closing;
	}
	for (size_t i = 0; i < s->txn->n; i++) {
		if (!write_command(s, format_rcpt(s, s->txn->to[i].item, line), line) || !flush(s))
			return false;
		if (peer_read_reply(s->peer, s->peer->config.reply_ms, &reply, &s->err)) {
			connection_failed(s, "waiting for the reply to RCPT");
			return false;
		}
		set_outcome(s, &s->txn->to[i], reply);
		s->accepted += reply_is_positive(&reply);
	}
	return true;
}

// --- The message ---

static bool write_body(struct send *s)
{
	struct peer *peer = s->peer;
	struct smtp_data_encoder encoder;
	struct buf out;
	bool ok = true, small = s->txn->message->body_bytes <= SMALL_BYTES;
	smtp_data_encoder_init(&encoder, peer->config.line_bytes_max);
	buf_init(&out, 3 * ENCODE_BYTES + 64);
	for (uint64_t at = 0; at < s->txn->message->body_bytes && ok;) {
		struct str piece;
		ok = s->txn->body(s->txn->arg, at, &piece, &s->err);
		if (!ok)
			break;
		at += piece.n;
		while (piece.n > 0) {
			must(smtp_data_encode(&encoder, str_upto(piece, ENCODE_BYTES), &out));
			if (small)
				conn_write(peer->conn, buf_str(&out)); // leaves with its dot
			else
				conn_write_through(peer->conn, buf_str(&out));
			buf_clear(&out);
			piece = str_from(piece, ENCODE_BYTES);
		}
	}
	if (ok && s->txn->still_valid && !s->txn->still_valid(s->txn->arg))
		ok = err_set(&s->err, ERR_TIMEOUT, "the attempt is not valid any more") == ERR_OK;
	if (ok) {
		must(smtp_data_encode_end(&encoder, &out));
		s->whole = true;
		conn_write(peer->conn, buf_str(&out));
		ok = conn_flush(peer->conn, &s->err) == ERR_OK;
	}
	buf_fini(&out);
	if (!ok)
		connection_failed(s, "sending the message"); // without its dot it is none
	return ok;
}

// LMTP: one for each accepted recipient, in order. SMTP: one for all of them.
static void read_final_replies(struct send *s)
{
	struct peer *peer = s->peer;
	struct reply reply;
	bool first = true;
	for (size_t i = 0; i < s->txn->n; i++) {
		struct peer_recipient *r = &s->txn->to[i];
		if (r->outcome != PEER_ACCEPTED)
			continue;
		if ((first || peer->config.lmtp) && peer_read_reply(peer, peer->config.final_reply_ms, &reply, &s->err)) {
			// Those before have their answer; this one and those behind it have none.
			for (size_t k = i; k < s->txn->n; k++)
				if (s->txn->to[k].outcome == PEER_ACCEPTED) {
					s->txn->to[k].outcome = PEER_TEMPORARY;
					s->txn->to[k].reply = arena_printf(s->txn->arena,
						"451 4.4.2 waiting for the final reply: %s", s->err.text);
					s->txn->to[k].ours = true;
				}
			return;
		}
		first = false;
		if (reply.code >= 300 && reply.code < 400) {
			out_of_step(s, "3xx after the message");
			return;
		}
		set_outcome(s, r, reply);
	}
	if (!conn_has_input(peer->conn) || peer->closing)
		return;
	if (peer->config.lmtp)
		out_of_step(s, "more replies than recipients");
	else
		peer->broken = true; // there was one reply to be had, and it was the first
}

// DATA's own reply. True when the message is to be sent.
static bool read_data_reply(struct send *s)
{
	struct reply reply;
	if (peer_read_reply(s->peer, s->peer->config.reply_ms, &reply, &s->err)) {
		connection_failed(s, "waiting for the reply to DATA");
		return false;
	}
	if (reply.code == 354)
		return true;
	if (reply.code < 400)
		out_of_step(s, "no 354 to DATA");
	else if (s->accepted > 0)
		set_rest(s, outcome_of(reply), keep_reply(s->txn->arena, reply), false);
	return false;
}

// 354 although all were refused: the empty message that it asks for now, and its replies, are nobody's (RFC 5321 section 3.3).
static void send_nothing(struct send *s)
{
	struct reply reply;
	conn_write(s->peer->conn, STR(".\r\n"));
	if (conn_flush(s->peer->conn, &s->err) || peer_read_reply(s->peer, s->peer->config.reply_ms, &reply, &s->err))
		s->peer->broken = true;
	if (conn_has_input(s->peer->conn))
		s->peer->broken = true;
}

static void reset(struct send *s)
{
	struct reply reply;
	if (s->peer->broken || s->peer->closing)
		return;
	if (peer_command(s->peer, STR("RSET"), &reply, &s->err) || !reply_is_positive(&reply))
		s->peer->broken = true;
}

// A line of the envelope could not be written: half of it may be out.
static void cannot_be_written(struct send *s)
{
	if (s->peer->broken || s->peer->closing)
		return;
	set_rest(s, PEER_PERMANENT, STR("550 5.6.7 an address cannot be written for this next hop"), true);
	s->peer->broken = true;
}

static void run(struct send *s, struct buf *line)
{
	struct peer *peer = s->peer;
	bool pipelining = peer->extensions & PEER_PIPELINING, ok;
	if (pipelining) {
		ok = write_envelope(s, line);
		if (ok)
			conn_write(peer->conn, STR("DATA\r\n"));
		ok = ok && flush(s) && read_envelope_replies(s);
	} else {
		ok = envelope_step_by_step(s, line);
	}
	if (!ok) {
		cannot_be_written(s);
		return;
	}
	if (!pipelining && s->accepted == 0) {
		reset(s);
		return;
	}
	if (!pipelining) {
		conn_write(peer->conn, STR("DATA\r\n"));
		if (!flush(s))
			return;
	}
	if (!read_data_reply(s)) {
		reset(s);
		return;
	}
	if (s->accepted == 0)
		send_nothing(s);
	else if (write_body(s))
		read_final_replies(s);
}

// --- Envelope and message at once ---

// Only where the key makes a second delivery none: when the connection breaks nobody knows whether the message was whole.
static bool goes_at_once(const struct send *s)
{
	const unsigned needed = PEER_PIPELINING | PEER_CHUNKING | PEER_KEY;
	return s->peer->config.lmtp && (s->peer->extensions & needed) == needed && s->txn->message->body_bytes <= CHUNK_BYTES_MAX;
}

// A message that came by BDAT may end in the middle of a line; it gets the line end that DATA would give it, so that what is
// stored does not depend on its size or its next hop.
static struct str missing_end(const struct item_message *message)
{
	return message->flags & RECORD_FLAG_OPEN_END ? STR("\r\n") : STR_NONE;
}

static bool write_chunk(struct send *s)
{
	struct peer *peer = s->peer;
	struct str missing = missing_end(s->txn->message);
	s->whole = true;
	conn_printf(peer->conn, "BDAT %" PRIu64 " LAST\r\n", s->txn->message->body_bytes + missing.n);
	for (uint64_t at = 0; at < s->txn->message->body_bytes;) {
		struct str piece;
		if (!s->txn->body(s->txn->arg, at, &piece, &s->err)) {
			connection_failed(s, "sending the message"); // shorter than its chunk it is none
			return false;
		}
		piece = str_upto(piece, s->txn->message->body_bytes - at);
		at += piece.n;
		if (s->txn->message->body_bytes <= SMALL_BYTES)
			conn_write(peer->conn, piece); // leaves with its envelope
		else
			conn_write_through(peer->conn, piece);
	}
	conn_write(peer->conn, missing);
	return flush(s);
}

// What is said to a chunk without recipients: one reply, and not yes.
static void read_reply_to_nobody(struct send *s)
{
	struct reply reply;
	if (peer_read_reply(s->peer, s->peer->config.final_reply_ms, &reply, &s->err) == ERR_OK && reply.code < 400)
		out_of_step(s, "a message without recipients was taken");
	else if (conn_has_input(s->peer->conn))
		out_of_step(s, "more replies than commands");
}

static void run_at_once(struct send *s, struct buf *line)
{
	s->reply_ms = s->peer->config.final_reply_ms; // the server need not answer before it has all
	if (!write_envelope(s, line)) {
		cannot_be_written(s);
		return;
	}
	if (!write_chunk(s) || !read_envelope_replies(s))
		return;
	if (s->accepted > 0)
		read_final_replies(s);
	else
		read_reply_to_nobody(s);
}

void peer_send(struct peer *peer, struct peer_transaction *txn)
{
	struct send s = {.peer = peer, .txn = txn, .reply_ms = peer->config.reply_ms};
	for (size_t i = 0; i < txn->n; i++) {
		txn->to[i].outcome = PEER_UNTRIED;
		txn->to[i].reply = STR_NONE;
		txn->to[i].ours = txn->to[i].doubt = false;
	}
	must(peer_is_usable(peer) && txn->n > 0);
	if (txn->still_valid && !txn->still_valid(txn->arg)) {
		set_rest(&s, PEER_TEMPORARY, STR("451 4.4.2 the attempt is not valid any more"), true);
		return;
	}
	if (fits_peer(&s)) {
		struct buf line;
		buf_init(&line, COMMAND_BYTES_MAX);
		if (goes_at_once(&s))
			run_at_once(&s, &line);
		else
			run(&s, &line);
		buf_fini(&line);
		peer->used = true;
	}
	for (size_t i = 0; i < txn->n; i++)
		txn->to[i].doubt = s.whole && txn->to[i].outcome == PEER_TEMPORARY && txn->to[i].ours;
}
