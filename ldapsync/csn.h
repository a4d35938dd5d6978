// SPDX-License-Identifier: Apache-2.0
// How far a copy of a directory is: of each server that changes are made on, its origin, the last change that is held. OpenLDAP
// says so by CSNs (contextCSN), 389-ds by its replica update vector (nsds50ruv), Active Directory by numbers of each invocation
// (ad_cursors.h).
//
//     csns_parse_cookie(STR("rid=000,csn=20261122010203.000001Z#000000#001#000000"), &theirs)
//     csns_merge(&ours, &theirs);                   // never goes back (I3)
//     if (!csns_dominate(&provider, &ours)) ...     // the provider has not all that we have (I4)
//
// Each form has its origin and its order in its text, and those of one origin are in the order of their texts:
//
//     20261122010203.000001Z#000000#001#000000                40: time, count, SID, mod
//     6b02c458000200010000                                    20: seconds since 1970, count, replica id, count
//     0f1e2d3c4b5a69788796a5b4c3d2e1f0#00000000000000012345   53: invocation id in hexadecimal, number
//
// A vector holds one form only: those of different kinds of servers cannot be compared, and none has what another holds. Pure.
#ifndef LDAPSYNC_CSN_H
#define LDAPSYNC_CSN_H

#include "base/buf.h"

enum csn_form { CSN_OPENLDAP, CSN_RUV, CSN_USN, CSN_FORMS };

enum {
	CSN_BYTES = 40,     // of OpenLDAP
	CSN_BYTES_MAX = 53, // of any form
	CSNS_MAX = 48,      // SIDs; OpenLDAP has 4095, a directory with more than a handful of masters has none that work
	CSNS_BYTES = CSNS_MAX * CSN_BYTES, // of all; 96 replica ids, 36 invocations
	CSNS_TEXT_BYTES_MAX = CSNS_BYTES + 96,
};

struct csns { // ascending by origin; {0} holds nothing
	enum csn_form form; // of all of them, while n is not 0
	size_t n;
	char v[CSNS_BYTES];
};

// Takes one CSN in, unless a later one of its origin is there. False when it is none or of another form, or there is no room for
// its origin.
bool csns_add(struct csns *csns, struct str csn);

// The same of the form CSN_USN: the number of an invocation, whose id is as it is on the wire.
enum { CSN_INVOCATION_BYTES = 16 };
bool csns_add_usn(struct csns *csns, const uint8_t invocation[CSN_INVOCATION_BYTES], uint64_t number);

// The i-th, and what of it names its origin.
struct str csns_at(const struct csns *csns, size_t i);
struct str csns_origin(const struct csns *csns, size_t i);

// "A;B" as csns_print writes it and cookies have it; "" is none. False when it is not that; *csns_out is then untouched.
bool csns_parse(struct str text, struct csns *csns_out);
bool csns_print(const struct csns *csns, struct buf *text);

// The field csn= of an OpenLDAP cookie, whose fields are separated by commas. False when the cookie has no such field, or a bad
// one.
bool csns_parse_cookie(struct str cookie, struct csns *csns_out);

// The later of each origin. False when there is no room for all, or the forms differ.
bool csns_merge(struct csns *into, const struct csns *from);

// Keeps those that were given out by this time (wall clock). A server whose clock is wrong gives out others, and no true change
// follows them for long. Numbers have no time: all of them.
void csns_keep_until(struct csns *csns, int64_t wall_ms);

// Keeps those whose origin the server knows, or that were given out after this time.
void csns_keep_known(struct csns *csns, const struct csns *server, int64_t wall_ms);

// Has a, for every origin of b, a CSN that is not older? Everybody dominates nothing.
bool csns_dominate(const struct csns *a, const struct csns *b);
bool csns_eq(const struct csns *a, const struct csns *b);

#endif
