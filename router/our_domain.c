// SPDX-License-Identifier: Apache-2.0
// The domains of the directory: subdomains, delimiters, aliases.
#include "our_domain.h"

#include "base/must.h"

bool our_domain_covers(const struct entry *domain, struct str name, struct str key)
{
	return name.n == key.n || entry_flag(domain, ATTR_PH_INCLUDE_SUBDOMAINS);
}

bool our_domain_above(struct str *name)
{
	struct str label;
	return str_cut(*name, '.', &label, name);
}

enum directory_answer our_domain_find(struct directory *directory, struct str key, struct arena *arena,
	struct directory_match *match_out)
{
	struct str name = key;
	do {
		enum directory_answer answer = directory_find(directory, DIRECTORY_DOMAIN, name, arena, match_out);
		if (answer != DIRECTORY_NONE && (answer != DIRECTORY_FOUND || our_domain_covers(match_out->entry, name, key)))
			return answer;
	} while (our_domain_above(&name));
	return DIRECTORY_NONE;
}

struct str our_domain_delimiters(const struct entry *domain, struct str setting)
{
	struct str own = domain ? entry_first(domain, ATTR_PH_SUBADDRESS_DELIMITER) : STR_NONE;
	return own.p ? own : setting;
}

bool our_domain_is_alias(const struct entry *domain)
{
	return str_eq_nocase(entry_first(domain, ATTR_PH_DOMAIN_TYPE), STR("alias"));
}

bool our_domain_follow(const struct entry *domain, const struct addr *addr, struct arena *arena, struct addr *addr_out)
{
	struct str target = entry_first(domain, ATTR_PH_DOMAIN_ALIAS_OF);
	struct domain parsed;
	return target.p && domain_parse(arena, target, DOMAIN_UTF8, &parsed) == DOMAIN_OK &&
	       addr_with_domain(arena, addr, &parsed, addr_out) == ADDR_OK;
}

// --- Spellings ---

// One more, and who has it.
static enum directory_answer add_spelling(struct directory *directory, const struct addr *addr, struct arena *arena,
	struct our_domain_spellings *spellings)
{
	spellings->v[spellings->n++] = *addr;
	return directory_find(directory, DIRECTORY_ADDRESS, addr->key, arena, &spellings->owner);
}

enum directory_answer our_domain_spell(struct directory *directory, const struct addr *addr, struct str delimiters,
	struct arena *arena, struct our_domain_spellings *spellings_out)
{
	struct addr here = *addr, base, there;
	struct str detail;
	struct our_domain_spellings spellings = {.v = arena_array(arena, OUR_DOMAIN_SPELLINGS_MAX, sizeof *spellings.v)};
	enum directory_answer answer = spellings.v ? DIRECTORY_NONE : DIRECTORY_UNAVAILABLE;
	bool more = spellings.v && !addr_is_null(addr) && addr->domain.kind != DOMAIN_NONE;
	for (unsigned domains = 0; more && domains < OUR_DOMAIN_ALIASES_MAX; domains++) {
		struct directory_match of_domain;
		enum directory_answer known = our_domain_find(directory, here.domain.key, arena, &of_domain);
		const struct entry *domain = known == DIRECTORY_FOUND ? of_domain.entry : NULL;
		answer = add_spelling(directory, &here, arena, &spellings);
		struct str own = our_domain_delimiters(domain, delimiters);
		if (answer == DIRECTORY_NONE && addr_detail(arena, &here, own, &base, &detail))
			answer = add_spelling(directory, &base, arena, &spellings);
		if (answer == DIRECTORY_NONE && known != DIRECTORY_FOUND) {
			answer = known;
			spellings.owner = of_domain;
		}
		more = answer == DIRECTORY_NONE && domain && our_domain_is_alias(domain) &&
		       our_domain_follow(domain, &here, arena, &there);
		here = more ? there : here;
	}
	*spellings_out = spellings;
	return answer;
}
