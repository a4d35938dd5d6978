// SPDX-License-Identifier: Apache-2.0
// The command line: a table of options, and the two things that are done with it.
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct options opt = {
	.connections = 10,
	.operations = 1000,
	.message_bytes = 4096,
	.users = 1000,
	.user_first = 1,
	.address = "u%05d@uni.example",
	.unknown_address = "nobody%07d@uni.example",
	.sender = "load@sender.example",
	.password = "secret",
	.word = "xylophonist",
	.folder = ".",
	.usage_files = "",
	.ldap_base = "ou=people,dc=uni,dc=example",
	.ldap_bind = "",
	.recipients = 1,
	.opening = 50,
	.seconds_max = 120,
	.hold_s = 10,
};

enum kind { TEXT, NUMBER, SECONDS, FLAG };

static const struct row {
	int letter;
	const char *name;
	enum kind kind;
	void *target;
	long min; // of a NUMBER
	const char *help;
} rows[] = {
	{'a', "server", TEXT, &opt.server, 0, "HOST:PORT under load"},
	{'A', "imap-server", TEXT, &opt.imap_server, 0, "e2e: HOST:PORT where the mail is to be seen"},
	{'c', "connections", NUMBER, &opt.connections, 1, "how many at a time"},
	{'n', "operations", NUMBER, &opt.operations, 1, "how many in all"},
	{'k', "per-connection", NUMBER, &opt.per_connection, 0, "operations, then a new connection; 0: no limit"},
	{'s', "size", NUMBER, &opt.message_bytes, 512, "bytes of a message, its header included"},
	{'r', "recipients", NUMBER, &opt.recipients, 1, "of a message; rcpt: between MAIL FROM and RSET"},
	{'x', "unknown", NUMBER, &opt.unknown_percent, 0, "rcpt, ldap: per cent of addresses that nobody has"},
	{'P', "pipelining", FLAG, &opt.pipelining, 0, "SMTP, LMTP: RFC 2920"},
	{'S', "starttls", FLAG, &opt.starttls, 0, "TLS by STARTTLS"},
	{'I', "implicit-tls", FLAG, &opt.implicit_tls, 0, "TLS from the start"},
	{'u', "users", NUMBER, &opt.users, 1, "to spread over"},
	{'o', "first-user", NUMBER, &opt.user_first, 0, "number of the first of them"},
	{'f', "address", TEXT, &opt.address, 0, "of a user; %05d: the number"},
	{'F', "login", TEXT, &opt.login, 0, "of a user (as --address)"},
	{'B', "unknown-address", TEXT, &opt.unknown_address, 0, "that nobody has"},
	{'m', "sender", TEXT, &opt.sender, 0, "of the envelope"},
	{'p', "password", TEXT, &opt.password, 0, "of all users"},
	{'w', "word", TEXT, &opt.word, 0, "in every tenth message, to be searched for"},
	{'t', "seconds", SECONDS, &opt.seconds_max, 0, "stop then, whatever was done"},
	{'H', "hold", SECONDS, &opt.hold_s, 0, "smtp-idle, imap-idle: how long, after all are open"},
	{'j', "opening", NUMBER, &opt.opening, 1, "connections being opened at a time"},
	{'b', "ldap-base", TEXT, &opt.ldap_base, 0, "ldap: where to search"},
	{'d', "ldap-bind", TEXT, &opt.ldap_bind, 0, "ldap: who binds; empty: nobody"},
	{'U', "usage", TEXT, &opt.usage_files, 0, "imap-fetch: FILE,FILE: cpuacct.usage or cpu.stat of the servers"},
	{'D', "folder", TEXT, &opt.folder, 0, "fsfile: where the files are made"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static bool number(const char *text, long min, long *out)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < min || value > INT_MAX)
		return false;
	*out = value;
	return true;
}

static bool seconds(const char *text, double *out)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end || !isfinite(value) || value <= 0 || value > 86400)
		return false;
	*out = value;
	return true;
}

static bool take(const struct row *row, const char *text)
{
	switch (row->kind) {
	case TEXT:
		*(const char **)row->target = text;
		return true;
	case FLAG:
		*(bool *)row->target = true;
		return true;
	case NUMBER:
		return number(text, row->min, row->target);
	case SECONDS:
		return seconds(text, row->target);
	}
	return false;
}

bool options_parse(int argc, char **argv)
{
	struct option known[ROWS + 1] = {0};
	char letters[2 * ROWS + 1];
	size_t n = 0;
	for (size_t i = 0; i < ROWS; i++) {
		int argument = rows[i].kind == FLAG ? no_argument : required_argument;
		known[i] = (struct option){rows[i].name, argument, NULL, rows[i].letter};
		letters[n++] = (char)rows[i].letter;
		if (rows[i].kind != FLAG)
			letters[n++] = ':';
	}
	letters[n] = 0;
	optind = 2;
	int letter;
	while ((letter = getopt_long(argc, argv, letters, known, NULL)) != -1) {
		const struct row *row = NULL;
		for (size_t i = 0; i < ROWS; i++)
			if (rows[i].letter == letter)
				row = &rows[i];
		if (!row)
			return false; // getopt has said it
		if (!take(row, optarg)) {
			fprintf(stderr, "mailload: --%s: not possible: %s\n", row->name, optarg);
			return false;
		}
	}
	if (optind != argc) {
		fprintf(stderr, "mailload: what is %s?\n", argv[optind]);
		return false;
	}
	if (!opt.login)
		opt.login = opt.address;
	opt.tls = opt.implicit_tls ? TLS_IMPLICIT : opt.starttls ? TLS_STARTTLS : TLS_NONE;
	return true;
}

static void describe_default(FILE *out, const struct row *row)
{
	switch (row->kind) {
	case TEXT:
		if (*(const char **)row->target && **(const char **)row->target)
			fprintf(out, " (%s)", *(const char **)row->target);
		break;
	case NUMBER:
		fprintf(out, " (%ld)", *(const long *)row->target);
		break;
	case SECONDS:
		fprintf(out, " (%g)", *(const double *)row->target);
		break;
	case FLAG:
		break;
	}
}

void options_describe(FILE *out)
{
	for (size_t i = 0; i < ROWS; i++) {
		static const char *const value[] = {[TEXT] = "TEXT", [NUMBER] = "N", [SECONDS] = "S", [FLAG] = ""};
		char name[40];
		snprintf(name, sizeof name, "--%s %s", rows[i].name, value[rows[i].kind]);
		fprintf(out, "  -%c, %-24s %s", rows[i].letter, name, rows[i].help);
		describe_default(out, &rows[i]);
		fputc('\n', out);
	}
}
