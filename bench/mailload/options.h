// SPDX-License-Identifier: Apache-2.0
// What was asked for on the command line: one struct, read by all, written once before anything starts.
//
// The options are rows of a table in options.c (letter, long name, default, text), from which parsing and --help come.
#ifndef MAILLOAD_OPTIONS_H
#define MAILLOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum tls_mode { TLS_NONE, TLS_STARTTLS, TLS_IMPLICIT };

struct options {
	const char *workload;
	const char *server;      // host:port under load
	const char *imap_server; // e2e: host:port where the mail is to be seen
	long connections;
	long operations;
	long message_bytes;
	long users;
	long user_first;
	const char *address;         // pattern: %d or %05d stands for the user's number
	const char *login;           // pattern; NULL: as address
	const char *unknown_address; // pattern of an address that nobody has
	const char *sender;
	const char *password;
	const char *word; // every tenth message has it
	const char *folder;
	const char *usage_files; // counters of control groups, joined by commas; empty: none
	const char *ldap_base;
	const char *ldap_bind;
	long per_connection; // operations, 0: no limit
	long recipients;     // of a message, or between MAIL FROM and RSET
	long unknown_percent;
	long opening; // connections being opened at a time
	double seconds_max;
	double hold_s;
	bool pipelining;
	bool starttls;
	bool implicit_tls;

	// Set by the workload.
	enum tls_mode tls;
	bool auth;
	bool lmtp;
};

extern struct options opt;

// Reads argv from its third word on. False when something is wrong; what was said on stderr.
bool options_parse(int argc, char **argv);

// The lines of --help, one for each option.
void options_describe(FILE *out);

#endif
