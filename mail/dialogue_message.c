// SPDX-License-Identifier: Apache-2.0
// How a message comes in: DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030). What it is made of and where the bytes go is the
// protocol's; here is that all of it is read to its end, decoded, bounded in time, and answered.
//
//     DATA            begin, 354, decode to the final dot ───────────────────────────► finish, reply
//     BDAT n          begin, decode n octets, 250 ─► IN_BDAT ─► BDAT n … ─► BDAT n LAST ─┘
//
// The state is IN_RCPT while DATA streams and IN_BDAT for chunks, so a session that ends in the middle forgets the message.
#include "base/clock.h"
#include "base/must.h"
#include "dialogue_private.h"

enum { CHUNK_BYTES = (DIALOGUE_PORTION_BYTES_MAX - 4) / 2 }; // what smtp_data_decode may make of it fits a portion

void dialogue_refuse(struct dialogue *d, struct reply why)
{
	if (d->refused)
		return;
	d->refused = true;
	d->why = why;
}

// A portion of what was decoded: to the protocol, unless the message is refused or there is none (BDAT at a wrong time).
static void take(struct dialogue *d, struct str decoded)
{
	if (!d->refused && (d->state == DIALOGUE_IN_RCPT || d->state == DIALOGUE_IN_BDAT))
		d->config.protocol->take(d, decoded);
}

// What the octets themselves forbid. Asked at the end of the message and of each chunk, so that the reason does not depend on how
// the network cut them.
static void judge(struct dialogue *d)
{
	enum reply_id why;
	if (!smtp_data_verdict(&d->decoder, &why))
		dialogue_refuse(d, reply_of(why));
}

// Reads at most so many octets, or to the final dot. False when the connection is over; nothing was promised then.
static bool stream(struct dialogue *d, uint64_t bytes)
{
	struct buf decoded;
	enum err_code code = ERR_OK;
	buf_init(&decoded, DIALOGUE_PORTION_BYTES_MAX);
	conn_set_deadline_ms(d->conn, d->message_ends_ms);
	while (code == ERR_OK && bytes && !d->decoder.done) {
		struct str chunk;
		// replies to what was sent ahead of BDAT: the client may wait for them now
		code = conn_flush_before_wait(d->conn, &d->err);
		if (code == ERR_OK)
			code = conn_peek(d->conn, &chunk, &d->err);
		if (code)
			break;
		size_t used = smtp_data_decode(&d->decoder, str_upto(chunk, bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES),
			&decoded);
		conn_consume(d->conn, used);
		bytes -= used;
		take(d, buf_str(&decoded));
		buf_clear(&decoded);
	}
	conn_set_deadline_ms(d->conn, d->ends_ms);
	buf_fini(&decoded);
	if (code)
		dialogue_reading_failed(d, code);
	return code == ERR_OK;
}

// Why the message is not taken. However many chunks were on their way already, it is one error of the peer's.
static void say_why(struct dialogue *d)
{
	unsigned errors = d->errors;
	dialogue_say(d, d->why);
	if (d->told)
		d->errors = errors;
	d->told = true;
}

// The message is complete: it is taken, or everybody hears why not.
static void answer(struct dialogue *d)
{
	judge(d);
	if (!d->refused)
		d->config.protocol->finish(d);
	if (!d->refused)
		return;
	log_info(&d->who.log, "message refused", log_str("sender", d->txn.mail.from.text), log_str("reason", d->why.text));
	size_t replies = d->config.protocol->per_recipient && d->txn.recipients_n ? d->txn.recipients_n : 1;
	while (replies--)
		say_why(d);
}

void dialogue_cmd_data(struct dialogue *d, struct str argument)
{
	struct reply why;
	(void)argument;
	if (d->state != DIALOGUE_IN_RCPT) { // RFC 5321 section 3.3, RFC 2033 section 4.2: when no RCPT was accepted
		dialogue_say_id(d, REPLY_NO_RECIPIENTS);
	} else if (!d->config.protocol->begin(d, &why)) {
		dialogue_say(d, why);
	} else {
		smtp_data_decoder_init(&d->decoder, d->config.newline, 0);
		dialogue_say_id(d, REPLY_DATA);
		d->message_ends_ms = clock_after_ms(d->config.message_ms);
		if (conn_flush(d->conn, &d->err))
			dialogue_enter(d, DIALOGUE_ENDED);
		else if (stream(d, UINT64_MAX))
			answer(d);
	}
	dialogue_reset(d);
}

// The first chunk of a message, or one that comes when there can be none.
static void begin_chunks(struct dialogue *d)
{
	struct reply why;
	smtp_data_decoder_init_chunks(&d->decoder, d->config.newline, 0);
	d->message_ends_ms = clock_after_ms(d->config.message_ms);
	if (d->state != DIALOGUE_IN_RCPT && d->state != DIALOGUE_IN_MAIL)
		return;
	if (d->state == DIALOGUE_IN_MAIL)
		dialogue_refuse(d, reply_of(REPLY_NO_RECIPIENTS));
	else if (!d->config.protocol->begin(d, &why))
		dialogue_refuse(d, why);
	dialogue_enter(d, DIALOGUE_IN_BDAT);
}

static void end_chunks(struct dialogue *d)
{
	struct buf rest;
	buf_init(&rest, 1);
	smtp_data_decode_end(&d->decoder, &rest);
	take(d, buf_str(&rest));
	buf_fini(&rest);
	answer(d);
	dialogue_reset(d);
}

static void say_chunk(struct dialogue *d)
{
	judge(d);
	if (d->refused)
		say_why(d);
	else
		dialogue_say_id(d, REPLY_CHUNK_OK);
}

void dialogue_cmd_bdat(struct dialogue *d, struct str argument)
{
	struct smtp_chunk chunk;
	enum smtp_result result = smtp_chunk_parse(argument, &chunk);
	if (result != SMTP_OK) { // what comes may be the chunk, and is never read as commands (THREATS bdat-len)
		dialogue_say_id(d, smtp_reply(result));
		dialogue_enter(d, DIALOGUE_ENDED);
		return;
	}
	if (d->state != DIALOGUE_IN_BDAT)
		begin_chunks(d);
	if (!stream(d, chunk.bytes)) // THREATS bdat-reject: read in any case
		return;
	if (d->state != DIALOGUE_IN_BDAT)
		dialogue_say_id(d, REPLY_BAD_SEQUENCE);
	else if (chunk.last)
		end_chunks(d);
	else
		say_chunk(d);
}
