// SPDX-License-Identifier: Apache-2.0
// LDAP search filters (RFC 4515) over entries of the shadow: the members of a list by memberURL.
//
//     const char *wrong = filter_parse(arena, STR("(&(objectClass=phMailUser)(mailHost=mb1.uni.example))"), &filter);
//     if (wrong == NULL && filter_matches(filter, entry, scratch)) ...
//
// And, or, not; equality, presence, substrings; >= and <= of numbers and times. Attributes are those that the shadow holds
// (schema/attr.def); of objectClass our own classes, and "*". What the shadow cannot answer (another attribute or class, ~=,
// extensible matching, an order of strings) is refused when parsed and never taken for "no": a list that lost half its members
// would look like one that works. Pure.
#ifndef ROUTER_FILTER_H
#define ROUTER_FILTER_H

#include "base/arena.h"
#include "schema/entry.h"

enum { FILTER_DEPTH_MAX = 16, FILTER_BYTES_MAX = 8192 };

struct filter;

// NULL: understood, and *filter_out lives in the arena; else what is wrong, a literal. text is decoded already (RFC 4516).
const char *filter_parse(struct arena *arena, struct str text, const struct filter **filter_out);

// scratch: a few KiB an entry; the caller resets it.
bool filter_matches(const struct filter *filter, const struct entry *entry, struct arena *scratch);

#endif
