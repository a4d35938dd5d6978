// SPDX-License-Identifier: Apache-2.0
// RCPT TO alone: what it costs to say who is known here. Never a DATA.
#include "stats.h"
#include "text.h"
#include "workloads.h"

static void say_rcpt(struct client *c, long op)
{
	client_say(c, "RCPT TO:<%s>\r\n", text_is_unknown(op) ? text_unknown(op) : text_address(op));
}

// After so many unknown recipients a server closes the session: then the same operation goes on with another.
static bool closed_on_us(const struct client *c)
{
	totals.dropped += c->code == 421;
	return c->code == 421;
}

// Counts one reply; false when another connection is needed.
static bool count_reply(struct client *c, long op)
{
	if (closed_on_us(c))
		return false;
	switch (c->code / 100) {
	case 2:
		totals.mismatch += text_is_unknown(op);
		break;
	case 5:
		totals.rejected++;
		totals.mismatch += !text_is_unknown(op);
		break;
	default:
		totals.tempfail++;
	}
	client_op_done(c);
	return true;
}

// All of a batch in one packet: operation batch_first, and the n from batch_next on.
static void say_batch(struct client *c)
{
	c->batch_first = c->op;
	c->begin_us = stats_now_us();
	say_rcpt(c, c->op);
	long op;
	for (c->n = 0; c->n + 1 < opt.recipients && (op = client_next_op()) >= 0; c->n++) {
		if (!c->n)
			c->batch_next = op; // taken in one go, so they follow each other
		say_rcpt(c, op);
	}
}

static enum step dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT(c->place, smtp_reply(c));
	EXPECT(c, 220, "greeting");
	client_say(c, "EHLO load.sender.example\r\n");
	AWAIT(c->place, smtp_reply(c));
	EXPECT(c, 250, "EHLO");
	for (c->done = 0; c->op >= 0; c->done++) {
		if (c->done) {
			client_say(c, "RSET\r\n");
			AWAIT(c->place, smtp_reply(c));
			if (closed_on_us(c))
				return STEP_DONE;
			EXPECT(c, 250, "RSET");
		}
		client_say(c, "MAIL FROM:<%s>\r\n", opt.sender);
		AWAIT(c->place, smtp_reply(c));
		EXPECT(c, 250, "MAIL FROM");
		if (opt.pipelining) {
			say_batch(c);
			for (c->i = 0; c->i <= c->n; c->i++) {
				AWAIT(c->place, smtp_reply(c));
				if (!count_reply(c, c->i ? c->batch_next + c->i - 1 : c->batch_first)) {
					totals.err += c->n - c->i; // asked and never answered
					return STEP_DONE;
				}
			}
			c->op = client_next_op();
			continue;
		}
		for (c->i = 0; c->op >= 0 && c->i < opt.recipients; c->i++) {
			c->begin_us = stats_now_us();
			say_rcpt(c, c->op);
			AWAIT(c->place, smtp_reply(c));
			if (!count_reply(c, c->op))
				return STEP_DONE; // the same operation, on another connection
			c->op = client_next_op();
		}
	}
	client_say(c, "QUIT\r\n");
	AWAIT(c->place, smtp_reply(c));
	END;
}

void rcpt_run(void)
{
	workload_run(dialogue);
}
