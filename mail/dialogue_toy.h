// SPDX-License-Identifier: Apache-2.0
// A protocol over the dialogue for its test and its fuzzer: it takes everybody but "nobody" and keeps the messages that it takes.
//
// A message that contains "refuse!" is refused where that is, one that contains "at-end" at its end; the sender "full" finds no
// room. The client waits for replies where it must (toy.waits), as RFC 2920 section 3.1 asks.
#ifndef DIALOGUE_TOY_H
#define DIALOGUE_TOY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "mail/dialogue.h"

enum { TOY_MESSAGE_BYTES_MAX = 1000, TOY_WAITS_MAX = 64 };

struct toy {
	struct str in;
	bool waits, bytewise, per_recipient;
	enum smtp_newline newline;
	enum err_code end;   // of the script
	struct dialogue d;
	struct buf message;  // that comes in
	struct buf messages; // that were taken, each in brackets
	struct buf out;      // all that was said
	char codes[2048];    // of all replies
	unsigned begun, taken, forgotten;
	bool receiving;
};

static struct metric toy_metric = {.kind = METRIC_COUNTER, .name = "toy"};

static bool toy_may_run(struct dialogue *d, const struct dialogue_command *row, struct reply *why_out)
{
	(void)d, (void)row, (void)why_out;
	return true;
}

static void toy_offer(struct dialogue *d)
{
	conn_write(d->conn, STR("250-TOY\r\n"));
}

static struct reply toy_sender(struct dialogue *d, struct smtp_mail *mail)
{
	(void)d, (void)mail;
	return reply_of(REPLY_SENDER_OK);
}

static struct reply toy_recipient(struct dialogue *d, void *recipient)
{
	const struct smtp_rcpt *rcpt = recipient;
	must(d->state == DIALOGUE_IN_MAIL || d->state == DIALOGUE_IN_RCPT);
	return reply_of(str_starts(rcpt->to.text, STR("nobody@")) ? REPLY_UNKNOWN_USER : REPLY_RECIPIENT_OK);
}

static bool toy_begin(struct dialogue *d, struct reply *why_out)
{
	struct toy *toy = d->session;
	must(!toy->receiving && d->txn.recipients_n > 0);
	if (str_starts(d->txn.mail.from.text, STR("full@"))) {
		*why_out = reply_of(REPLY_NO_SPACE);
		return false;
	}
	toy->receiving = true;
	toy->begun++;
	return true;
}

static void toy_take(struct dialogue *d, struct str bytes)
{
	struct toy *toy = d->session;
	must(toy->receiving && !d->refused && bytes.n <= DIALOGUE_PORTION_BYTES_MAX);
	size_t room = TOY_MESSAGE_BYTES_MAX - toy->message.n; // what comes first decides, in whatever pieces it comes
	must(buf_add(&toy->message, str_upto(bytes, room)));
	if (str_find(buf_str(&toy->message), STR("refuse!")) >= 0)
		dialogue_refuse(d, reply_of(REPLY_NO_SPACE));
	else if (bytes.n > room)
		dialogue_refuse(d, reply_of(REPLY_TOO_BIG));
}

static void toy_finish(struct dialogue *d)
{
	struct toy *toy = d->session;
	must(toy->receiving && !d->refused);
	if (str_find(buf_str(&toy->message), STR("at-end")) >= 0) {
		dialogue_refuse(d, reply_of(REPLY_LOCAL_FAULT));
		return;
	}
	toy->taken++;
	buf_add_byte(&toy->messages, '[');
	buf_add(&toy->messages, buf_str(&toy->message));
	buf_add_byte(&toy->messages, ']');
	for (size_t n = toy->per_recipient ? d->txn.recipients_n : 1; n; n--)
		dialogue_say_id(d, REPLY_OK);
}

static void toy_forget(struct dialogue *d)
{
	struct toy *toy = d->session;
	toy->forgotten += toy->receiving;
	toy->receiving = false;
	buf_clear(&toy->message);
}

static void toy_read_codes(struct toy *toy)
{
	size_t n = 0;
	for (struct str rest = buf_str(&toy->out), line; str_next_line(&rest, &line);) {
		must(line.n >= 4 && (line.p[3] == ' ' || line.p[3] == '-'));
		if (line.p[3] == ' ' && n + 5 < sizeof toy->codes)
			n += (size_t)snprintf(toy->codes + n, sizeof toy->codes - n, "%s%.3s", n ? " " : "", line.p);
	}
}

// Where a client waits: behind EHLO and DATA.
static size_t toy_pauses(const struct toy *toy, size_t *splits)
{
	size_t n = 0;
	for (struct str rest = toy->in, line; toy->waits && str_next_line(&rest, &line) && n < TOY_WAITS_MAX;)
		if (str_starts(line, STR("EHLO ")) || str_eq(line, STR("DATA")) || str_ends(line, STR("STARTTLS")))
			splits[n++] = toy->in.n - rest.n;
	return n;
}

static const struct dialogue_command toy_rows[] = {
	{STR("HELO"), dialogue_cmd_helo, DIALOGUE_ANY, DIALOGUE_SYNCHRONISES, NULL},
	{STR("EHLO"), dialogue_cmd_ehlo, DIALOGUE_ANY, DIALOGUE_SYNCHRONISES, NULL},
	{STR("MAIL"), dialogue_cmd_mail, DIALOGUE_BIT(DIALOGUE_READY), 0, NULL},
	{STR("RCPT"), dialogue_cmd_rcpt, DIALOGUE_BIT(DIALOGUE_IN_MAIL) | DIALOGUE_BIT(DIALOGUE_IN_RCPT), 0, NULL},
	{STR("DATA"), dialogue_cmd_data, DIALOGUE_BIT(DIALOGUE_IN_MAIL) | DIALOGUE_BIT(DIALOGUE_IN_RCPT),
		DIALOGUE_NO_ARGUMENT | DIALOGUE_SYNCHRONISES, NULL},
	{STR("BDAT"), dialogue_cmd_bdat, DIALOGUE_ANY, 0, NULL},
	{STR("RSET"), dialogue_cmd_rset, DIALOGUE_ANY, DIALOGUE_NO_ARGUMENT, NULL},
	{STR("NOOP"), dialogue_cmd_noop, DIALOGUE_ANY, 0, NULL},
	{STR("VRFY"), dialogue_cmd_vrfy, DIALOGUE_ANY, 0, NULL},
	{STR("HELP"), dialogue_cmd_help, DIALOGUE_ANY, 0, NULL},
	{STR("EXPN"), dialogue_cmd_not_implemented, DIALOGUE_ANY, 0, &toy_metric},
	{STR("QUIT"), dialogue_cmd_quit, DIALOGUE_ANY, 0, NULL},
	{STR("STARTTLS"), dialogue_cmd_starttls, DIALOGUE_BIT(DIALOGUE_READY), DIALOGUE_NO_ARGUMENT, NULL},
};

// Plays toy->in. The result is in toy, which toy_free ends.
static void toy_run(struct toy *toy)
{
	static const struct str forbidden[] = {STR("GET"), STR("POST")};
	const struct dialogue_protocol protocol = {
		.name = "TOY",
		.rows = toy_rows,
		.rows_n = sizeof toy_rows / sizeof *toy_rows,
		.metrics = {&toy_metric, &toy_metric, &toy_metric, &toy_metric, &toy_metric, &toy_metric, &toy_metric,
			&toy_metric, &toy_metric},
		.per_recipient = toy->per_recipient,
		.forgives = toy->per_recipient,
		.recipient_bytes = sizeof(struct smtp_rcpt),
		.may_run = toy_may_run,
		.offer = toy_offer,
		.sender = toy_sender,
		.recipient = toy_recipient,
		.begin = toy_begin,
		.take = toy_take,
		.finish = toy_finish,
		.forget = toy_forget,
	};
	const struct dialogue_config config = {
		.protocol = &protocol,
		.session = toy,
		.hostname = STR("mx.example"),
		.forbidden = forbidden,
		.forbidden_n = sizeof forbidden / sizeof *forbidden,
		.newline = toy->newline,
		.parameters = SMTP_FOR_MX,
		.line_bytes_max = 512,
		.message_bytes_max = TOY_MESSAGE_BYTES_MAX,
		.recipients_max = 3,
		.transaction_bytes_max = 1 << 20,
		.errors_max = 5,
		.greet_pause_ms = -1,
		.idle_ms = 300000,
		.session_ms = 3600000,
		.message_ms = 1800000,
	};
	size_t splits[TOY_WAITS_MAX];
	struct conn_memory script = {
		.input = toy->in, .splits = splits, .splits_n = toy_pauses(toy, splits), .output = &toy->out, .end = toy->end};
	if (toy->bytewise)
		script.splits_n = CONN_MEMORY_BYTEWISE;
	must(netaddr_parse(STR("192.0.2.1:9"), 0, &script.peer) && netaddr_parse(STR("127.0.0.1:25"), 0, &script.local));
	buf_init(&toy->message, TOY_MESSAGE_BYTES_MAX);
	buf_init(&toy->messages, 1 << 20);
	buf_init(&toy->out, 1 << 20);
	dialogue_init(&toy->d, conn_of_memory(&script), &config);
	dialogue_run(&toy->d);
	dialogue_fini(&toy->d);
	toy_read_codes(toy);
}

static void toy_free(struct toy *toy)
{
	buf_fini(&toy->message);
	buf_fini(&toy->messages);
	buf_fini(&toy->out);
}

#endif
