// SPDX-License-Identifier: Apache-2.0
// memberURL: members of a list by an LDAP URL (RFC 4516), "ldap:///ou=people,dc=uni,dc=example??sub?(mailHost=mb1.uni.example)".
//
// Asked of the shadow, never of a server, so a URL that names one is refused, as are extensions that it calls critical and
// filters that the shadow cannot answer (filter.h). The attributes of a URL do not matter. Pure.
#ifndef ROUTER_MEMBER_URL_H
#define ROUTER_MEMBER_URL_H

#include "filter.h"

enum member_url_scope { MEMBER_URL_BASE, MEMBER_URL_ONE, MEMBER_URL_SUB };

struct member_url {
	struct guid base;    // directory_dn_key(); zero: the root
	enum member_url_scope scope;
	const struct filter *filter;
};

// NULL: understood; else what is wrong, a literal that goes on after "the URL". In the arena.
const char *member_url_parse(struct arena *arena, struct str text, struct member_url *url_out);

bool member_url_matches(const struct member_url *url, const struct entry *entry, struct arena *scratch);

#endif
