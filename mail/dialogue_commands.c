// SPDX-License-Identifier: Apache-2.0
// The commands that SMTP and LMTP have in common, the message apart.
#include <string.h>

#include "dialogue_private.h"

// A greeting in the middle of a session clears the transaction (RFC 5321 section 4.1.4). The name is kept for Received and the
// log only.
static bool accept_name(struct dialogue *d, struct str argument)
{
	struct str name;
	if (!smtp_helo_parse(argument, &name)) {
		dialogue_say_id(d, REPLY_SYNTAX);
		return false;
	}
	dialogue_reset(d);
	dialogue_enter(d, DIALOGUE_READY);
	arena_reset(d->helo_arena);
	d->helo = arena_dup(d->helo_arena, name);
	return true;
}

void dialogue_cmd_helo(struct dialogue *d, struct str argument)
{
	if (!accept_name(d, argument))
		return;
	d->esmtp = false;
	conn_printf(d->conn, "250 %.*s\r\n", STR_FMT(d->config.hostname));
}

static bool has_tls(const struct dialogue *d)
{
	return d->config.tls && tls_slot_is_set(d->config.tls);
}

void dialogue_cmd_ehlo(struct dialogue *d, struct str argument)
{
	if (!accept_name(d, argument))
		return;
	d->esmtp = true;
	conn_printf(d->conn, "250-%.*s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n", STR_FMT(d->config.hostname),
		(unsigned long long)d->config.message_bytes_max);
	if (conn_tls(d->conn) == NULL && has_tls(d))
		conn_write(d->conn, STR("250-STARTTLS\r\n"));
	d->config.protocol->offer(d);
	conn_write(d->conn, STR("250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"));
}

// RFC 3207: afterwards nothing that was said before counts, and nothing that was sent ahead is read.
void dialogue_cmd_starttls(struct dialogue *d, struct str argument)
{
	(void)argument;
	if (conn_tls(d->conn)) {
		dialogue_say_id(d, REPLY_BAD_SEQUENCE);
		return;
	}
	if (!has_tls(d)) {
		dialogue_say_id(d, REPLY_TLS_UNAVAILABLE);
		return;
	}
	dialogue_say_id(d, REPLY_READY_TLS);
	if (conn_flush(d->conn, &d->err) || !dialogue_start_tls(d)) {
		dialogue_enter(d, DIALOGUE_ENDED);
		return;
	}
	dialogue_reset(d); // RFC 3207 section 4.2: forget what the client said in the clear
	d->helo = STR_NONE;
	d->esmtp = false;
	if (d->config.protocol->forget_peer)
		d->config.protocol->forget_peer(d);
	dialogue_enter(d, DIALOGUE_CONNECTED);
}

static struct reply sender(struct dialogue *d, struct str argument, struct smtp_mail *mail_out)
{
	enum smtp_result result = smtp_mail_parse(d->txn.arena, argument, d->config.parameters, mail_out);
	if (result != SMTP_OK)
		return reply_of(smtp_reply(result));
	if (mail_out->has_size && mail_out->size_bytes > d->config.message_bytes_max)
		return reply_of(REPLY_TOO_BIG); // RFC 1870 section 6.1: before the client sends it all
	return d->config.protocol->sender(d, mail_out);
}

void dialogue_cmd_mail(struct dialogue *d, struct str argument)
{
	struct smtp_mail mail;
	struct reply reply = sender(d, argument, &mail);
	if (reply_is_positive(&reply)) {
		d->txn.mail = mail;
		dialogue_enter(d, DIALOGUE_IN_MAIL);
		dialogue_say(d, reply);
	} else {
		dialogue_say(d, reply); // its text may live in the transaction
		dialogue_reset(d);
	}
}

// Room for one more in the list; false over the memory of a transaction.
static bool has_room(struct dialogue_transaction *txn)
{
	if (txn->recipients_n < txn->recipients_size)
		return true;
	size_t size = txn->recipients_size ? 2 * txn->recipients_size : 8;
	void **grown = arena_array(txn->arena, size, sizeof *grown);
	if (grown == NULL)
		return false;
	if (txn->recipients_n)
		memcpy(grown, txn->recipients, txn->recipients_n * sizeof *grown);
	txn->recipients = grown;
	txn->recipients_size = size;
	return true;
}

static struct reply recipient(struct dialogue *d, struct str argument)
{
	struct dialogue_transaction *txn = &d->txn;
	void *one = has_room(txn) ? arena_alloc(txn->arena, d->config.protocol->recipient_bytes) : NULL;
	if (one == NULL)
		return reply_of(REPLY_TOO_MANY_RECIPIENTS);
	enum smtp_result result = smtp_rcpt_parse(txn->arena, argument, d->config.parameters, txn->mail.smtputf8, one);
	if (result != SMTP_OK)
		return reply_of(smtp_reply(result));
	if (txn->recipients_n >= d->config.recipients_max)
		return reply_of(REPLY_TOO_MANY_RECIPIENTS);
	struct reply reply = d->config.protocol->recipient(d, one);
	if (reply_is_positive(&reply))
		txn->recipients[txn->recipients_n++] = one;
	return reply;
}

void dialogue_cmd_rcpt(struct dialogue *d, struct str argument)
{
	struct reply reply = recipient(d, argument);
	if (reply_is_positive(&reply))
		dialogue_enter(d, DIALOGUE_IN_RCPT);
	dialogue_say(d, reply);
}

void dialogue_cmd_rset(struct dialogue *d, struct str argument)
{
	(void)argument;
	dialogue_reset(d);
	dialogue_say_id(d, REPLY_OK);
}

void dialogue_cmd_noop(struct dialogue *d, struct str argument)
{
	(void)argument;
	dialogue_say_id(d, REPLY_OK);
}

void dialogue_cmd_vrfy(struct dialogue *d, struct str argument)
{
	dialogue_say_id(d, argument.n ? REPLY_VRFY : REPLY_SYNTAX);
}

void dialogue_cmd_help(struct dialogue *d, struct str argument)
{
	(void)argument;
	dialogue_say(d, (struct reply){.code = 214, .enhanced = STR("2.0.0"), .text = STR("see RFC 5321")});
}

void dialogue_cmd_quit(struct dialogue *d, struct str argument)
{
	(void)argument;
	dialogue_say_id(d, REPLY_BYE);
	conn_peer_is_done(d->conn);
	dialogue_enter(d, DIALOGUE_ENDED);
}

void dialogue_cmd_not_implemented(struct dialogue *d, struct str argument)
{
	(void)argument;
	dialogue_say_id(d, REPLY_NOT_IMPLEMENTED);
}
