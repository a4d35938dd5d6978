// SPDX-License-Identifier: Apache-2.0
// The domain of an address, as the directory has it, and which addresses therefore mean the same: what RCPT TO follows, for all
// who must not say otherwise of the same address (who may send as whom, who may post, where the mailbox is).
//
//     struct directory_match match;
//     if (our_domain_find(directory, addr.domain.key, arena, &match) == DIRECTORY_FOUND)
//             delimiters = our_domain_delimiters(match.entry, s->delimiter);
//
//     struct our_domain_spellings spellings;
//     switch (our_domain_spell(directory, &sender, s->delimiter, arena, &spellings)) {
//     case DIRECTORY_FOUND:  ... spellings.owner.entry has the address, under the last of spellings.v ...
//     case DIRECTORY_NONE:   ... nobody has it; spellings.v are what was looked for ...
//     case DIRECTORY_AMBIGUOUS: case DIRECTORY_UNAVAILABLE: ... cannot know now ...
//     }
//
// Pure; results live in the arena.
#ifndef ROUTER_OUR_DOMAIN_H
#define ROUTER_OUR_DOMAIN_H

#include "ldapsync/directory.h"
#include "mail/addr.h"

enum {
	OUR_DOMAIN_ALIASES_MAX = 8, // alias domains of alias domains
	OUR_DOMAIN_SPELLINGS_MAX = 2 * OUR_DOMAIN_ALIASES_MAX,
};

// An entry that was found by name, for the domain key: is it its own, or does it include its subdomains?
bool our_domain_covers(const struct entry *domain, struct str name, struct str key);

// The name above; false when there is none.
bool our_domain_above(struct str *name);

// The entry of the domain, or of one above it that includes its subdomains.
enum directory_answer our_domain_find(struct directory *directory, struct str key, struct arena *arena,
	struct directory_match *match_out);

// phSubaddressDelimiter of the domain (NULL: none is known), else the setting.
struct str our_domain_delimiters(const struct entry *domain, struct str setting);

bool our_domain_is_alias(const struct entry *domain);

// The address in the domain that this one is an alias of; false when that is not said.
bool our_domain_follow(const struct entry *domain, const struct addr *addr, struct arena *arena, struct addr *addr_out);

struct our_domain_spellings {
	struct addr *v; // the address itself, without its detail, and both in the domain that its own is an alias of, and so on
	size_t n;
	struct directory_match owner; // who has the last of them: FOUND. AMBIGUOUS: both who say so, of it or of its domain
};

// The spellings of an address up to the first that somebody has, who is its owner: he may have one in an alias domain alone.
// delimiters: where a domain has none of its own. An empty address, and <postmaster>, have no spelling.
enum directory_answer our_domain_spell(struct directory *directory, const struct addr *addr, struct str delimiters,
	struct arena *arena, struct our_domain_spellings *spellings_out);

#endif
