// SPDX-License-Identifier: Apache-2.0
// SMTP (RFC 5321), LMTP (RFC 2033) and submission (RFC 6409): messages in. One dialogue: they differ in few lines.
#include "stats.h"
#include "text.h"
#include "workloads.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

bool smtp_reply(struct client *c)
{
	while (client_line(c)) {
		bool is_reply = c->head_bytes >= 4 && isdigit((unsigned char)c->head[0]);
		if (is_reply && c->head[3] == '-')
			continue;
		c->code = is_reply ? (int)strtol(c->head, NULL, 10) : -1;
		return true;
	}
	return false;
}

static void say_auth_plain(struct client *c, const char *login)
{
	unsigned char plain[600], base64[900];
	int n = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, login, 0, opt.password);
	if (n < 0 || (size_t)n >= sizeof plain)
		client_die("login too long");
	EVP_EncodeBlock(base64, plain, n);
	client_say(c, "AUTH PLAIN %s\r\n", (const char *)base64);
}

// Greeting to log-in.
static enum step begin(struct client *c)
{
	BEGIN(c->login_place);
	AWAIT(c->login_place, smtp_reply(c));
	EXPECT(c, 220, "greeting");
	client_say(c, "%s load.sender.example\r\n", opt.lmtp ? "LHLO" : "EHLO");
	AWAIT(c->login_place, smtp_reply(c));
	EXPECT(c, 250, "EHLO");
	if (c->tls == TLS_STARTTLS) {
		client_say(c, "STARTTLS\r\n");
		AWAIT(c->login_place, smtp_reply(c));
		EXPECT(c, 220, "STARTTLS");
		AWAIT(c->login_place, client_tls_up(c));
		client_say(c, "EHLO load.sender.example\r\n");
		AWAIT(c->login_place, smtp_reply(c));
		EXPECT(c, 250, "EHLO after STARTTLS");
	}
	if (opt.auth) {
		say_auth_plain(c, text_login(c->op));
		AWAIT(c->login_place, smtp_reply(c));
		EXPECT(c, 235, "AUTH PLAIN");
	}
	END;
}

// MAIL to DATA, a reply for each or one wait for all.
static enum step envelope(struct client *c)
{
	BEGIN(c->phase);
	client_say(c, "MAIL FROM:<%s>\r\n", text_sender(c->op));
	if (!opt.pipelining) {
		AWAIT(c->phase, smtp_reply(c));
		EXPECT(c, 250, "MAIL FROM");
	}
	for (c->i = 0; c->i < opt.recipients; c->i++) {
		client_say(c, "RCPT TO:<%s>\r\n", text_address(c->op * opt.recipients + c->i));
		if (!opt.pipelining) {
			AWAIT(c->phase, smtp_reply(c));
			EXPECT(c, 250, "RCPT TO");
		}
	}
	client_say(c, "DATA\r\n");
	for (c->i = 0; opt.pipelining && c->i <= opt.recipients; c->i++) {
		AWAIT(c->phase, smtp_reply(c));
		EXPECT(c, 250, "MAIL FROM or RCPT TO");
	}
	AWAIT(c->phase, smtp_reply(c));
	EXPECT(c, 354, "DATA");
	END;
}

enum step smtp_dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT_STEP(c->place, begin(c));
	for (c->done = 0; c->op >= 0; c->done++) {
		// With one message on a connection the clock runs from its opening.
		if (c->done || opt.per_connection != 1)
			c->begin_us = stats_now_us();
		c->phase = 0;
		AWAIT_STEP(c->place, envelope(c));
		text_send(c, c->op);
		client_say(c, ".\r\n");
		for (c->i = 0; c->i < (opt.lmtp ? opt.recipients : 1); c->i++) {
			AWAIT(c->place, smtp_reply(c));
			EXPECT(c, 250, "end of DATA");
		}
		if (!opt.auth)
			client_op_done(c);
		if (opt.per_connection && c->done + 1 >= opt.per_connection)
			break;
		c->op = client_next_op();
	}
	client_say(c, "QUIT\r\n");
	AWAIT(c->place, smtp_reply(c));
	if (opt.auth)
		client_op_done(c); // a submission is a session, to the reply to QUIT
	END;
}

static enum step idle_dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT_STEP(c->place, begin(c));
	client_is_open(c);
	client_op_done(c);
	AWAIT(c->place, (client_took(c, c->in_bytes - c->in_pos), false));
	END;
}

void smtp_run(void)
{
	workload_run(smtp_dialogue);
}

void smtp_run_lmtp(void)
{
	opt.lmtp = true;
	workload_run(smtp_dialogue);
}

void smtp_run_submission(void)
{
	if (opt.tls == TLS_NONE)
		opt.tls = TLS_STARTTLS;
	opt.auth = true;
	opt.per_connection = 1;
	workload_run(smtp_dialogue);
}

void smtp_run_idle(void)
{
	workload_hold(idle_dialogue);
}
