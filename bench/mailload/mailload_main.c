// SPDX-License-Identifier: Apache-2.0
// mailload: load on mail servers, for bench/run and by hand. One thread, one epoll loop, many connections.
#include "options.h"
#include "stats.h"
#include "text.h"
#include "workloads.h"

#include <string.h>

enum { LINE_BYTES = 16 << 10, BULK_BYTES = 256 << 10 };

static const struct workload {
	const char *name;
	void (*run)(void);
	size_t in_bytes;
	bool local; // needs no --server
	const char *help;
} workloads[] = {
	{"smtp", smtp_run, LINE_BYTES, false, "messages in"},
	{"lmtp", smtp_run_lmtp, LINE_BYTES, false, "the same over LMTP"},
	{"submit", smtp_run_submission, LINE_BYTES, false, "a session each: STARTTLS, AUTH PLAIN, one message, QUIT"},
	{"rcpt", rcpt_run, LINE_BYTES, false, "RCPT TO alone"},
	{"smtp-idle", smtp_run_idle, LINE_BYTES, false, "EHLO, then hold the connections"},
	{"imap-login", imap_run_login, LINE_BYTES, false, "a session each: LOGIN, SELECT, LOGOUT"},
	{"imap-append", imap_run_append, LINE_BYTES, false, "APPEND to INBOX"},
	{"imap-fetch", fetch_run, BULK_BYTES, false, "read one mailbox: metadata twice, bodies, SEARCH TEXT, STORE"},
	{"imap-idle", imap_run_idle, LINE_BYTES, false, "LOGIN, SELECT, IDLE, then hold the connections"},
	{"pop3", pop3_run, LINE_BYTES, false, "a session each: STAT, UIDL, RETR of all, QUIT"},
	{"e2e", e2e_run, LINE_BYTES, false, "messages in over SMTP until all are seen over IMAP"},
	{"ldap", ldap_run, LINE_BYTES, false, "search by mail"},
	{"echo", machine_run_echo, LINE_BYTES, false, "turns over loopback, with an echod"},
	{"echod", machine_run_echod, LINE_BYTES, false, "answers echo"},
	{"fsfile", machine_run_files, LINE_BYTES, true, "durable files in --folder"},
};
enum { WORKLOADS = sizeof workloads / sizeof *workloads };

static void help(FILE *out)
{
	fputs("usage: mailload WORKLOAD --server HOST:PORT [options]\n", out);
	for (int i = 0; i < WORKLOADS; i++)
		fprintf(out, "  %-12s %s\n", workloads[i].name, workloads[i].help);
	fputs("options, and what they are without being given:\n", out);
	options_describe(out);
	fputs("Prints RESULT lines, key=value: cpu of mailload itself as client_cpu_s, latencies as p50_ms and so on.\n"
	      "Ends with 1 when an operation failed or the time was up, with 2 when it could not run.\n",
		out);
}

int main(int argc, char **argv)
{
	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		help(argc < 2 ? stderr : stdout);
		return argc < 2 ? 2 : 0;
	}
	const struct workload *workload = NULL;
	for (int i = 0; i < WORKLOADS; i++)
		if (!strcmp(workloads[i].name, argv[1]))
			workload = &workloads[i];
	if (!workload) {
		fprintf(stderr, "mailload: no workload %s; --help lists them\n", argv[1]);
		return 2;
	}
	if (!options_parse(argc, argv))
		return 2;
	if (!opt.server && !workload->local)
		client_die("--server HOST:PORT is needed");
	opt.workload = workload->name;
	client_setup(workload->in_bytes);
	text_setup();
	workload->run();
	return totals.err > 0 || totals.timed_out ? 1 : 0;
}
