// SPDX-License-Identifier: Apache-2.0
// One client reads one mailbox: a RESULT line for each command, whose rate is messages of the mailbox a second.
#include "stats.h"
#include "workloads.h"

#include <stdio.h>

static const char METADATA[] = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)";

static struct phase {
	const char *name, *command;
	bool search;
	uint64_t us, cpu_ns, bytes;
	long messages, hits, runs;
} phases[] = {
	{"select", "SELECT INBOX"},
	{"fetch-meta", METADATA},
	{"fetch-meta-again", METADATA},
	{"fetch-body", "FETCH 1:* (BODY.PEEK[])"},
	{"search-text", "SEARCH TEXT", true},
	{"store-seen", "STORE 1:* +FLAGS (\\Seen)"},
	{"store-unseen", "STORE 1:* -FLAGS (\\Seen)"},
};
enum { PHASES = sizeof phases / sizeof *phases };

static uint64_t begin_cpu_ns; // means something for one client only

static void begin_phase(struct client *c)
{
	const struct phase *phase = &phases[c->phase];
	begin_cpu_ns = stats_server_cpu_ns();
	c->begin_us = stats_now_us();
	c->imap.fetched = c->imap.found = 0;
	c->payload_bytes = 0;
	client_say(c, "a %s%s%s\r\n", phase->command, phase->search ? " " : "", phase->search ? opt.word : "");
}

static void end_phase(struct client *c)
{
	struct phase *phase = &phases[c->phase];
	phase->us += stats_now_us() - c->begin_us;
	phase->cpu_ns += stats_server_cpu_ns() - begin_cpu_ns;
	phase->bytes += c->payload_bytes;
	phase->messages += c->imap.exists;
	phase->hits += phase->search ? c->imap.found : c->imap.fetched;
	phase->runs++;
}

static enum step dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT_STEP(c->place, imap_login(c, c->op));
	for (c->phase = 0; c->phase < PHASES; c->phase++) {
		begin_phase(c);
		AWAIT(c->place, imap_reply(c));
		EXPECT(c, SAID_OK, phases[c->phase].name);
		end_phase(c);
	}
	client_say(c, "a LOGOUT\r\n");
	AWAIT(c->place, imap_reply(c));
	EXPECT(c, SAID_OK, "LOGOUT");
	client_op_done(c);
	END;
}

// The mean, where several clients have read.
static void tell(const struct phase *phase)
{
	static struct histogram one;
	char extra[128], name[64];
	long runs = phase->runs ? phase->runs : 1;
	double seconds = (double)phase->us / 1e6 / (double)runs, cpu_s = (double)phase->cpu_ns / 1e9 / (double)runs;
	double megabytes = (double)phase->bytes / 1e6 / (double)runs;
	one = (struct histogram){0};
	stats_add(&one, phase->us / (uint64_t)runs);
	snprintf(name, sizeof name, "imap-%s", phase->name);
	snprintf(extra, sizeof extra, "conns=%ld hits=%ld server_cpu_s=%.4f mb_s=%.2f", opt.connections,
		phase->hits / runs, cpu_s, seconds > 0 ? megabytes / seconds : 0);
	stats_result(name, phase->messages / runs, seconds, &one, extra);
}

void fetch_run(void)
{
	static struct sockaddr_storage to;
	client_resolve(opt.server, &to);
	opt.operations = opt.opening = opt.connections;
	client_add(opt.connections, dialogue, &to, opt.tls, false);
	client_run(NULL);
	for (int i = 0; i < PHASES; i++)
		tell(&phases[i]);
}
