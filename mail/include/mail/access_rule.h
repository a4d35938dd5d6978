// SPDX-License-Identifier: Apache-2.0
// A row of an access table: whom it is about, and what becomes of them. The syntax of phAccessKey and phAccessAction, which is
// that of sendmail's access map.
//
//     struct access_rule_keys keys;
//     const char *wrong = access_rule_keys(arena, STR("Connect:192.0.2"), &keys);      // "connect:4/24/192.0.2.0"
//     struct access_rule rule;
//     wrong = access_rule_action(arena, STR("ERROR:5.7.1:550 go away"), &rule);
//
// Keys, with a tag that says what is compared:
//     Connect:192.0.2.7  Connect:192.0.2  Connect:192.0.2.0/25  Connect:IPv6:2001:db8  Connect:2001:db8::/32    clients
//     From:user@dom  From:dom  From:.dom  From:user@  From:<>    envelope senders: this one, dom and what is below it, what is
//                                                                below it, any domain, the empty one
//     To:user@dom  To:dom  To:.dom  To:user@                     envelope recipients
//     CERTIssuer:/C=DE/O=Uni/CN=Uni+20CA                         client certificates, as sendmail has them: who has vouched for
//                                                                it (RELAY: for all that he vouches for; SUBJECT: its subject
//                                                                is asked about)
//     CERTSubject:/C=DE/O=Uni/CN=mail.dept.example               its subject; counts where the row of its issuer is SUBJECT
//     CERTName:mail.dept.example                                 a DNS name that it is for, whoever vouches for it (ours)
//
// Names of certificates are written as struct conn_tls_peer has them (base/conn.h), in any case; "/" in a value is +2F, so that
// no value passes for two. They are about relaying alone. Only the names of a certificate that tls_ca_file vouches for are asked
// about.
//
// Without a tag: a network is Connect:, anything else is From:, and a domain with RELAY also lets mail be relayed to it. Names of
// clients need DNS and are refused (Connect:host.example), and so are sendmail's other tags; access_rule_tag() knows which of
// them a table may have all the same.
//
// Actions: OK, RELAY, SUBJECT, REJECT, DISCARD, SKIP, QUARANTINE:why, ERROR:d.s.n:code text, code text (mail/rule_reply.h).
//
// Pure; results live in the arena. Functions that return a const char * give NULL when all is well, else a sentence for whoever
// wrote the rule.
#ifndef MAIL_ACCESS_RULE_H
#define MAIL_ACCESS_RULE_H

#include "base/arena.h"
#include "mail/reply.h"

enum {
	ACCESS_RULE_KEYS_MAX = 2,
	ACCESS_RULE_RELAY_BITS_MIN = 8, // a network that may relay has at least so long a prefix: "everybody" is nobody
};

// The keys of one row, as they are stored and looked up: "connect:4/BITS/ADDRESS", "connect:6/BITS/ADDRESS", "from:", "to:" with
// an address (addr.key), "user@", ".domain" or "domain", "from:<>"; "relay:" with a domain, for one without a tag; "certissuer:",
// "certsubject:" with access_rule_certificate(), "certname:" with a domain.
struct access_rule_keys {
	struct str v[ACCESS_RULE_KEYS_MAX];
	size_t n;
};
const char *access_rule_keys(struct arena *arena, struct str text, struct access_rule_keys *keys_out);

// A subject in the one spelling that keys have: lower case, and escaped where it must be. As an administrator or a certificate
// writes it.
struct str access_rule_certificate(struct arena *arena, struct str subject);

// Whose the tag of a key is. sendmail has more of them than we. Of some nothing is missing when their rows are left out (IDLE:
// pauses before the greeting, rates of clients), of others something is. Not OURS: *tag_out is the tag, *instead_out why nothing
// is missing or what to do instead. A key without a tag is OURS.
enum access_rule_tag { ACCESS_RULE_TAG_OURS, ACCESS_RULE_TAG_IDLE, ACCESS_RULE_TAG_OTHER };
enum access_rule_tag access_rule_tag(struct str key, struct str *tag_out, const char **instead_out);

enum access_rule_action {
	ACCESS_RULE_OK,         // goes on, although a less special row says otherwise; lets nothing be relayed
	ACCESS_RULE_RELAY,      // and may be relayed: from this client, to this domain
	ACCESS_RULE_SUBJECT,    // of CERTIssuer: its subjects are asked about
	ACCESS_RULE_REJECT,
	ACCESS_RULE_DISCARD,    // accepted and thrown away
	ACCESS_RULE_SKIP,       // as if no row were there, the less special ones neither
	ACCESS_RULE_QUARANTINE, // accepted and held
	ACCESS_RULE_ERROR,      // REJECT in the administrator's words
};

struct access_rule {
	enum access_rule_action action;
	struct reply reply; // REJECT, ERROR
	struct str why;     // QUARANTINE
};
const char *access_rule_action(struct arena *arena, struct str text, struct access_rule *rule_out);

// What is wrong with a row as a whole: RELAY for everybody, for a sender, who is whoever he says he is, or for a user in any
// domain; anything but RELAY for a certificate, SUBJECT for anything but an issuer.
const char *access_rule_check(const struct access_rule_keys *keys, const struct access_rule *rule);

#endif
