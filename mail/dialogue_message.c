// SPDX-License-Identifier: Apache-2.0
// How a message comes in: DATA (RFC 5321 section 4.1.1.4). What it is made of and where the bytes go is the protocol's; here is that all of it is
// read to its end, decoded, bounded in time, and answered.
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

// Reads to the final dot. False when the connection is over; nothing was promised then.
static bool stream(struct dialogue *d, struct smtp_data_decoder *decoder)
{
	struct buf decoded;
	enum err_code code = ERR_OK;
	buf_init(&decoded, DIALOGUE_PORTION_BYTES_MAX);
	conn_set_deadline_ms(d->conn, clock_after_ms(d->config.message_ms));
	while (code == ERR_OK && !decoder->done) {
		struct str chunk;
		code = conn_peek(d->conn, &chunk, &d->err);
		if (code)
			break;
		conn_consume(d->conn, smtp_data_decode(decoder, str_upto(chunk, CHUNK_BYTES), &decoded));
		if (!d->refused)
			d->config.protocol->take(d, buf_str(&decoded));
		buf_clear(&decoded);
	}
	conn_set_deadline_ms(d->conn, CLOCK_NEVER);
	buf_fini(&decoded);
	if (code)
		dialogue_reading_failed(d, code);
	return code == ERR_OK;
}

// The message is complete: it is taken, or everybody hears why not.
static void answer(struct dialogue *d, const struct smtp_data_decoder *decoder)
{
	enum reply_id why;
	if (!smtp_data_verdict(decoder, &why))
		dialogue_refuse(d, reply_of(why));
	if (!d->refused)
		d->config.protocol->finish(d);
	if (!d->refused)
		return;
	log_info(&d->who.log, "message refused", log_str("sender", d->txn.mail.from.text), log_str("reason", d->why.text));
	for (size_t n = d->config.protocol->per_recipient ? d->txn.recipients_n : 1; n; n--)
		dialogue_say(d, d->why);
}

void dialogue_cmd_data(struct dialogue *d, struct str argument)
{
	struct smtp_data_decoder decoder;
	struct reply why;
	(void)argument;
	smtp_data_decoder_init(&decoder, d->config.newline, 0);
	if (d->state != DIALOGUE_IN_RCPT) { // RFC 5321 section 3.3, RFC 2033 section 4.2: when no RCPT was accepted
		dialogue_say_id(d, REPLY_NO_RECIPIENTS);
	} else if (!d->config.protocol->begin(d, &why)) {
		dialogue_say(d, why);
	} else {
		dialogue_say_id(d, REPLY_DATA);
		if (conn_flush(d->conn, &d->err))
			dialogue_enter(d, DIALOGUE_ENDED);
		else if (stream(d, &decoder))
			answer(d, &decoder);
	}
	dialogue_reset(d);
}
