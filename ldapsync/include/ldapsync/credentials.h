// SPDX-License-Identifier: Apache-2.0
// The credentials file: what a log-in is checked against. A file of its own, so that a node that never authenticates never has a
// hash.
//
//     struct credentials *credentials = credentials_open(path, STR("uni.example"));      // "…/credentials/credentials.db"
//     struct sasl_config config = {.lookup = credentials_lookup, .context = credentials, .secret = ...};
//     sasl_library_init(&config, &err);
//     ...
//     if (outcome == SASL_DONE)                                     // account names the entry: 32 hex digits of its uuid
//         home_of_account(..., sasl_session_account(session), ...);     // router/home.h, router/sender.h
//
// The login is "user" (in the default realm) or "user@realm"; user is uid or phLoginAlias of a phMailUser, the realm is
// phAuthRealm of the domain of its mail address, else that domain. Two entries with one login: nobody gets in, SASL_UNAVAILABLE.
//
// Any number of threads; a look-up takes microseconds under a lock, and may read from the disk: worker threads only. A missing or
// not yet complete file is SASL_UNAVAILABLE and tried again. Readers need the group `posthouse-auth` (FORMATS section 3).
#ifndef LDAPSYNC_CREDENTIALS_H
#define LDAPSYNC_CREDENTIALS_H

#include "mail/sasl.h"
#include "schema/entry.h"

struct credentials;

// Never fails: see above. Both strings are copied.
struct credentials *credentials_open(const char *path, struct str default_realm);
void credentials_close(struct credentials **credentials);

// The class of service of an entry (phClassOfService).
struct credentials_class {
	const struct entry *entry; // NULL: none
	bool is_missing;           // it names one that nobody has, and nobody has "default", which would stand in
};

// Why nobody may log in to a service (submission, imap, pop3, sieve) as this entry now; NULL: he may. phStatus forbids it as
// schema/entry_status.h has it, so does phExpires when it has passed, and phService that has values but not the service: those of
// the entry, else of the class; the value none grants nothing. What a class grants that nobody has is not known: without
// phService of the entry's own it forbids them all. *later_out: a status or a class that is mistyped, so that it is said to be
// for now, and nobody is asked for another password. The text is a literal.
const char *credentials_forbid(const struct entry *entry, const struct credentials_class *class, struct str service,
	bool *later_out);

// A sasl_lookup_fn; context is the struct credentials. allowed is false when credentials_forbid says so ("smtp" asks for
// submission, "pop" for pop3). passwords are the userPassword values and the phAppPassword values for the service.
enum sasl_lookup credentials_lookup(void *context, struct str service, struct str login, struct arena *arena,
	struct sasl_credentials *out);

#endif
