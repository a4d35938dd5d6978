// SPDX-License-Identifier: Apache-2.0
// End to end: messages go in over SMTP until all of them are seen over IMAP. One clock over all of it.
//
// Watchers log in first. Polling (STATUS) begins only after the last message was accepted, so that it costs the server little and
// delivery is not measured with readers in its way: at once, then after 10 ms, after 20 more, and so on up to every 250 ms. So a
// short delay is measured as exactly as a long one, and a server that needs long is not asked often.
#include "stats.h"
#include "text.h"
#include "workloads.h"

#include <stdio.h>

enum { POLL_FIRST_US = 10000, POLL_US = 250000 };

static long complete, sent_to_each;
static struct histogram arrival;
static uint64_t injected_us;

static enum step watch(struct client *c)
{
	BEGIN(c->place);
	AWAIT_STEP(c->place, imap_login(c, c->id));
	client_say(c, "a STATUS INBOX (MESSAGES)\r\n");
	AWAIT(c->place, imap_reply(c));
	EXPECT(c, SAID_OK, "STATUS");
	c->base = c->imap.messages;
	client_is_open(c);
	c->poll_step_us = POLL_FIRST_US;
	for (;;) {
		AWAIT(c->place, client_poll && stats_now_us() >= c->poll_us);
		client_say(c, "a STATUS INBOX (MESSAGES)\r\n");
		AWAIT(c->place, imap_reply(c));
		EXPECT(c, SAID_OK, "STATUS");
		if (c->imap.messages - c->base >= sent_to_each)
			break;
		c->poll_us = stats_now_us() + c->poll_step_us;
		c->poll_step_us = c->poll_step_us < POLL_US / 2 ? 2 * c->poll_step_us : POLL_US;
	}
	complete++;
	totals.end_us = stats_now_us();
	stats_add(&arrival, totals.end_us - totals.start_us);
	client_say(c, "a LOGOUT\r\n");
	AWAIT(c->place, imap_reply(c));
	END;
}

static bool all_watch(void)
{
	return client_opened >= opt.users;
}

static bool all_seen(void)
{
	if (!client_poll && totals.ok + totals.err >= opt.operations) {
		client_poll = 1;
		injected_us = totals.end_us;
	}
	return complete >= opt.users;
}

void e2e_run(void)
{
	static struct sockaddr_storage smtp, imap;
	if (!opt.imap_server)
		client_die("e2e needs --imap-server");
	client_resolve(opt.server, &smtp);
	client_resolve(opt.imap_server, &imap);
	sent_to_each = opt.operations / opt.users;
	opt.operations = sent_to_each * opt.users;
	if (!sent_to_each)
		client_die("e2e: fewer operations than users");
	client_add(opt.users, watch, &imap, TLS_NONE, true);
	client_run(all_watch);
	if (client_opened < opt.users)
		client_die("e2e: only %ld of %ld watchers are logged in", client_opened, opt.users);
	totals.start_us = totals.end_us = stats_now_us();
	opt.opening = opt.connections;
	client_add(opt.connections, smtp_dialogue, &smtp, opt.tls, false);
	client_run(all_seen);
	totals.timed_out = complete < opt.users;
	double in_s = stats_seconds(totals.start_us, injected_us), all_s = stats_seconds(totals.start_us, totals.end_us);
	char extra[256];
	snprintf(extra, sizeof extra, "conns=%ld size=%ld mailboxes=%ld complete=%ld inject_secs=%.3f queue_lag_s=%.3f",
		opt.connections, opt.message_bytes, opt.users, complete, in_s, all_s - in_s);
	stats_result(opt.workload, totals.ok, all_s, &arrival, extra);
}
