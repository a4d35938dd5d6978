// SPDX-License-Identifier: Apache-2.0
// POP3 (RFC 1939): a session that reads the whole maildrop and deletes nothing, so that the next one sees the same.
#include "stats.h"
#include "text.h"
#include "workloads.h"

#include <stdlib.h>
#include <string.h>

static bool status(struct client *c)
{
	if (!client_line(c))
		return false;
	c->code = c->head[0] == '+' ? SAID_OK : SAID_NO;
	return true;
}

// Passes over the lines of an answer; true once its final dot has come.
static bool body(struct client *c)
{
	for (;;) {
		size_t there;
		const char *p = client_input(c, &there), *newline = memchr(p, '\n', there);
		if (!newline)
			return false;
		size_t n = (size_t)(newline - p) + 1;
		bool last = n == 3 && p[0] == '.';
		client_took(c, n);
		totals.body_bytes += n;
		if (last)
			return true;
	}
}

static enum step dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT(c->place, status(c));
	EXPECT(c, SAID_OK, "greeting");
	client_say(c, "USER %s\r\n", text_login(c->op));
	AWAIT(c->place, status(c));
	EXPECT(c, SAID_OK, "USER");
	client_say(c, "PASS %s\r\n", opt.password);
	AWAIT(c->place, status(c));
	EXPECT(c, SAID_OK, "PASS");
	client_say(c, "STAT\r\n");
	AWAIT(c->place, status(c));
	EXPECT(c, SAID_OK, "STAT");
	c->n = strtol(c->head + 4, NULL, 10);
	client_say(c, "UIDL\r\n");
	AWAIT(c->place, status(c));
	EXPECT(c, SAID_OK, "UIDL");
	AWAIT(c->place, body(c));
	for (c->i = 1; c->i <= c->n; c->i++) {
		client_say(c, "RETR %ld\r\n", c->i);
		AWAIT(c->place, status(c));
		EXPECT(c, SAID_OK, "RETR");
		AWAIT(c->place, body(c));
	}
	client_say(c, "QUIT\r\n");
	AWAIT(c->place, status(c));
	totals.mismatch += opt.recipients > 1 && c->n != opt.recipients; // --recipients: how many messages there should be
	client_op_done(c);
	END;
}

void pop3_run(void)
{
	workload_run(dialogue);
}
