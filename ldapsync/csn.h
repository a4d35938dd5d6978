// SPDX-License-Identifier: Apache-2.0
// OpenLDAP's change numbers: one CSN for each server that changes are made on (its SID). Together they say how far a copy is.
//
//     csns_parse_cookie(STR("rid=000,csn=20261122010203.000001Z#000000#001#000000"), &theirs)
//     csns_merge(&ours, &theirs);                   // never goes back (I3)
//     if (!csns_dominate(&provider, &ours)) ...     // the provider has not all that we have (I4)
//
// A CSN is "YYYYmmddHHMMSS.uuuuuuZ#count#SID#mod", 40 characters; those of one SID are in the order of their text. Pure.
#ifndef LDAPSYNC_CSN_H
#define LDAPSYNC_CSN_H

#include "base/buf.h"

enum {
	CSN_BYTES = 40,
	CSNS_MAX = 48, // SIDs; OpenLDAP has 4095, a directory with more than a handful of masters has none that work
	CSNS_TEXT_BYTES_MAX = CSNS_MAX * (CSN_BYTES + 1),
};

struct csn {
	uint16_t sid;
	char text[CSN_BYTES];
};

struct csns { // ascending by SID; {0} holds nothing
	size_t n;
	struct csn v[CSNS_MAX];
};

// Takes one CSN in, unless a later one of its SID is there. False when it is none, or there is no room for its SID.
bool csns_add(struct csns *csns, struct str csn);

// "A;B" as csns_print writes it and cookies have it; "" is none. False when it is not that; *csns_out is then untouched.
bool csns_parse(struct str text, struct csns *csns_out);
bool csns_print(const struct csns *csns, struct buf *text);

// The field csn= of an OpenLDAP cookie, whose fields are separated by commas. False when the cookie has no such field, or a bad
// one.
bool csns_parse_cookie(struct str cookie, struct csns *csns_out);

// The later of each SID. False when there is no room for all.
bool csns_merge(struct csns *into, const struct csns *from);

// Those that were given out by this time (wall clock). A server whose clock is wrong gives out others, and no true change follows
// them for long.
struct csns csns_until(const struct csns *csns, int64_t wall_ms);

// Has a, for every SID of b, a CSN that is not older? Everybody dominates nothing.
bool csns_dominate(const struct csns *a, const struct csns *b);
bool csns_eq(const struct csns *a, const struct csns *b);

#endif
