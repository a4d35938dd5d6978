// SPDX-License-Identifier: Apache-2.0
// The access table: what an administrator says of clients, senders and recipients (sendmail's access map).
//
//     const struct access_table table = {.directory = directory, .rules = rules, .delimiters = s->delimiter};
//     struct access access;
//     access_client(&table, conn_peer(conn), arena, &access);     // before the greeting
//     access_sender(&table, &mail_from, arena, &access);          // at MAIL
//     access_recipient(&table, &rcpt_to, arena, &access);         // at RCPT: recipient_decide() asks it
//     if (access.refuses)
//         reply(access.reply); ...
//
// The most special key counts, wherever it stands (router/rules.h): of a client the longest network; of an address the whole
// address, without its detail, its domain, each domain above, then "user@". SKIP ends the search. Only connection and envelope
// are looked at, never a header. OK and RELAY at one place say nothing about another: a client with OK still has its sender
// looked at. What cannot be decided (two entries for a key, an action that is none, a file with a wrong row) is refused for now.
// A table without rows of a tag costs nothing.
//
// Pure; results live in the arena (under 4 KiB) or with rules.
#ifndef ROUTER_ACCESS_H
#define ROUTER_ACCESS_H

#include "base/netaddr.h"
#include "mail/access_rule.h"
#include "mail/addr.h"
#include "router/rules.h"

// Names of a client's certificate that was verified (struct conn_tls_peer). Borrowed.
struct access_certificate {
	struct str issuer, subject;
	const struct str *names; // DNS names
	size_t names_n;
};

struct access_table {
	struct directory *directory;
	const struct rules *rules; // NULL: no file
	struct str delimiters;     // of details
};

struct access {
	bool found;          // some row has said something
	bool refuses;        // with reply: REJECT, ERROR, or a doubt
	bool relays;         // RELAY: from this client, to this recipient
	bool asks_subject;   // SUBJECT, of an issuer
	bool discards;
	struct str quarantine; // why it is held; empty: it is not
	struct reply reply;
	struct str entry;    // where the row stands: a DN, or FILE:LINE
	const char *attribute;
	struct str value;    // its action
	struct str key;      // that was found
};

void access_client(const struct access_table *table, const struct netaddr *client, struct arena *arena,
	struct access *access_out);
// May it relay (relays)? Its issuer, its subject where the issuer's row is SUBJECT, its names. refuses: cannot know now; nobody
// is turned away for a certificate.
void access_certificate(const struct access_table *table, const struct access_certificate *certificate, struct arena *arena,
	struct access *access_out);
void access_sender(const struct access_table *table, const struct addr *sender, struct arena *arena, struct access *access_out);
void access_recipient(const struct access_table *table, const struct addr *recipient, struct arena *arena,
	struct access *access_out);

#endif
