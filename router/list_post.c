// SPDX-License-Identifier: Apache-2.0
// Who may post to a list.
//
// Whether a sender is a member is looked up from the sender's side: its entry's DN and addresses against the values of the list,
// then of the groups in it, breadth first. Large lists cost one comparison a member and a look-up a member DN, counted as
// look-ups of the decision: beyond entries_max the decision is too big for a fiber and is made again on a worker.
#include "base/must.h"
#include "list.h"
#include "member_url.h"
#include "our_domain.h"
#include "recipient_steps.h"

enum {
	PROBE_BYTES_MAX = 64 << 20, // one entry at a time
	GROUPS_MAX = 1000,          // looked through for one sender
};

// --- The sender, and which values mean him ---

struct poster {
	const struct addr *addr;
	struct our_domain_spellings spellings;
	const struct entry *entries[2]; // of the address, of the log-in
	size_t n;
	// and the lists and groups that the message comes through, upward from here; NULL: it comes to this one itself
	const struct decision_item *via;
};

// The next list or group at or above via.
static const struct decision_item *group_at(const struct decision_item *via)
{
	while (via && via->dn.n == 0)
		via = via->parent;
	return via;
}

// Whose is the address, in whichever spelling? False: cannot know now, which was said.
static bool find_owner(struct decision *d, struct poster *p)
{
	const struct directory_match *owner = &p->spellings.owner;
	enum directory_answer answer = our_domain_spell(d->directory, p->addr, d->query->delimiters, d->scratch, &p->spellings);
	d->entries += p->spellings.n;
	switch (answer) {
	case DIRECTORY_FOUND:
		p->entries[p->n++] = owner->entry;
		return true;
	case DIRECTORY_NONE:
		return true;
	case DIRECTORY_AMBIGUOUS:
		decision_reason(d, "ambiguous", owner->entry->dn, ATTR_NONE, p->addr->text);
		decision_reason(d, "ambiguous", owner->other->dn, ATTR_NONE, p->addr->text);
		decision_later(d, CAUSE_AMBIGUOUS);
		return false;
	case DIRECTORY_UNAVAILABLE:
		decision_reason(d, "unavailable", STR_NONE, ATTR_NONE, str_of_c(directory_trouble(d->directory)));
		decision_later(d, CAUSE_UNAVAILABLE);
		return false;
	}
	unreachable("directory_answer");
}

// False: cannot know now, which was said.
static bool find_poster(struct decision *d, struct poster *p)
{
	struct guid account;
	const struct entry *entry;
	*p = (struct poster){.addr = d->query->sender};
	if (!find_owner(d, p))
		return false;
	if (d->query->account.n == 0 || !guid_parse(d->query->account, &account))
		return true;
	enum decision_found found = decision_find(d, DIRECTORY_UUID, guid_bytes(&account), &entry);
	if (found == DECISION_SOMEBODY)
		p->entries[p->n++] = entry;
	return found != DECISION_DOUBT;
}

static bool is_key(struct decision *d, struct str value, struct str key)
{
	struct addr addr;
	if (value.n == key.n && str_eq_nocase(value, key))
		return true;
	for (size_t i = 0; i < value.n; i++) // a spelling beyond ASCII
		if ((unsigned char)value.p[i] >= 0x80)
			return addr_parse(d->scratch, value, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) == ADDR_OK &&
			       str_eq(addr.key, key);
	return false;
}

static bool is_address_of(struct decision *d, const struct entry *entry, struct str value)
{
	static const enum attr by[] = {ATTR_MAIL, ATTR_MAIL_LOCAL_ADDRESS, ATTR_PH_INTL_ADDRESS};
	for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
		struct entry_cursor cursor = {0};
		struct str own;
		while (entry_next(entry, by[i], &cursor, &own))
			if (is_key(d, value, own))
				return true;
	}
	return false;
}

// An address or "@domain".
static bool is_poster(struct decision *d, const struct poster *p, struct str value)
{
	bool is_domain = str_starts(value, STR("@"));
	for (size_t i = 0; i < p->spellings.n; i++)
		if (is_domain ? str_eq_nocase(str_from(value, 1), p->spellings.v[i].domain.key) :
				is_key(d, value, p->spellings.v[i].key))
			return true;
	for (size_t i = 0; !is_domain && p->spellings.n && i < p->n; i++)
		if (is_address_of(d, p->entries[i], value))
			return true;
	return false;
}

// A list that it comes through, by its address.
static bool is_via(struct decision *d, const struct poster *p, struct str value)
{
	for (const struct decision_item *via = group_at(p->via); via; via = group_at(via->parent))
		if (is_key(d, value, via->key))
			return true;
	return false;
}

static bool is_poster_uuid(const struct poster *p, const struct guid *uuid)
{
	for (size_t i = 0; i < p->n; i++)
		if (guid_eq(&p->entries[i]->uuid, uuid))
			return true;
	for (const struct decision_item *via = group_at(p->via); via; via = group_at(via->parent))
		if (guid_eq(&via->entry, uuid))
			return true;
	return false;
}

static bool names_address(struct decision *d, const struct poster *p, const struct entry *entry, enum attr attr,
	struct str *value_out)
{
	struct entry_cursor cursor = {0};
	while (entry_next(entry, attr, &cursor, value_out))
		if (is_poster(d, p, *value_out) || is_via(d, p, *value_out))
			return true;
	return false;
}

// As written: most are.
static bool names_dn(const struct poster *p, const struct entry *entry, enum attr attr, struct str *value_out)
{
	struct entry_cursor cursor = {0};
	while (entry_next(entry, attr, &cursor, value_out)) {
		for (size_t i = 0; i < p->n; i++)
			if (str_eq_nocase(*value_out, p->entries[i]->dn))
				return true;
		for (const struct decision_item *via = group_at(p->via); via; via = group_at(via->parent))
			if (str_eq_nocase(*value_out, via->dn))
				return true;
	}
	return false;
}

// --- Through groups ---

struct search {
	struct decision *d;
	const struct poster *p;
	struct arena *probe;   // one entry
	struct str *groups;    // DNs that are still to be looked at
	struct guid *seen;
	size_t n, room, at, n_seen;
	bool unsure;           // a look-up failed; decision_find has said so
};

static void add_group(struct search *s, const struct entry *group, struct str dn)
{
	for (size_t i = 0; i < s->n_seen; i++)
		if (guid_eq(&s->seen[i], &group->uuid))
			return;
	if (s->n_seen == GROUPS_MAX) {
		s->d->too_big = s->unsure = true;
		return;
	}
	s->seen[s->n_seen++] = group->uuid;
	s->groups[s->n++] = arena_dup(s->d->work, dn);
}

// With what is found in an arena of its own. What cannot be known now makes the search unsure.
static bool find_into(struct search *s, struct arena *arena, struct str dn, const struct entry **entry_out)
{
	struct arena *scratch = s->d->scratch;
	s->d->scratch = arena;
	enum decision_found found = decision_find(s->d, DIRECTORY_DN, dn, entry_out);
	s->d->scratch = scratch;
	s->unsure |= found == DECISION_DOUBT;
	return found == DECISION_SOMEBODY;
}

static bool look_at(struct search *s, struct str dn)
{
	const struct entry *entry;
	struct str value;
	bool found = false;
	if (find_into(s, s->probe, dn, &entry)) {
		struct arena *scratch = s->d->scratch;
		s->d->scratch = s->probe;
		found = is_poster_uuid(s->p, &entry->uuid) || names_dn(s->p, entry, ATTR_MEMBER, &value) ||
			names_address(s->d, s->p, entry, ATTR_RFC822_MAIL_MEMBER, &value);
		s->d->scratch = scratch;
		if (!found && entry->cut) { // he may be among those who did not fit
			decision_reason(s->d, "too large", entry->dn, ATTR_NONE, STR_NONE);
			decision_later(s->d, CAUSE_TOO_BIG);
			s->unsure = true;
		} else if (!found && entry_has(entry, ATTR_MEMBER)) {
			add_group(s, entry, dn);
		}
	}
	arena_reset(s->probe);
	return found;
}

static bool look_through(struct search *s, const struct entry *entry, enum attr attr, struct str *value_out)
{
	struct entry_cursor cursor = {0};
	struct str value;
	while (!s->unsure && entry_next(entry, attr, &cursor, &value))
		if (look_at(s, value)) {
			*value_out = value;
			return true;
		}
	return false;
}

// Does the attribute name the poster, or a group that he is in? value_out: the value of entry that leads to him. *unsure_out:
// cannot know now.
static bool leads_to(struct decision *d, const struct poster *p, const struct entry *entry, enum attr attr, struct str *value_out,
	bool *unsure_out)
{
	*unsure_out = false;
	if (p->n == 0 && group_at(p->via) == NULL)
		return false;
	if (names_dn(p, entry, attr, value_out))
		return true;
	struct search s = {.d = d, .p = p, .probe = arena_new(PROBE_BYTES_MAX)};
	s.groups = arena_must(d->work, GROUPS_MAX * sizeof *s.groups);
	s.seen = arena_must(d->work, GROUPS_MAX * sizeof *s.seen);
	bool found = look_through(&s, entry, attr, value_out);
	while (!found && !s.unsure && s.at < s.n) {
		const struct entry *group;
		struct str dn = s.groups[s.at++], value;
		struct arena *outer = arena_new(PROBE_BYTES_MAX); // the group stays while its members come and go
		if (find_into(&s, outer, dn, &group) && look_through(&s, group, ATTR_MEMBER, &value)) {
			*value_out = dn;
			found = true;
		}
		arena_free(&outer);
	}
	arena_free(&s.probe);
	*unsure_out = s.unsure && !found;
	return found;
}

// --- Who may post ---

static void may_post(struct decision *d, const struct entry *list, enum attr attr, struct str value)
{
	decision_reason(d, "may post", list->dn, attr, value);
}

enum named {
	NAMED_NOT,
	NAMED,
	NAMED_UNSURE, // cannot know now; the look-up has said why
};

// By attributes that name him, himself or through groups.
static enum named is_named(struct decision *d, const struct poster *p, const struct entry *list, enum attr addresses,
	enum attr names)
{
	struct str value;
	bool unsure;
	if (names_address(d, p, list, addresses, &value)) {
		may_post(d, list, addresses, value);
		return NAMED;
	}
	if (leads_to(d, p, list, names, &value, &unsure)) {
		may_post(d, list, names, value);
		return NAMED;
	}
	return unsure ? NAMED_UNSURE : NAMED_NOT;
}

// By URLs; `why` gives the rule when one finds him. One that cannot be asked may be about him.
static enum named is_found_by_url(struct decision *d, const struct poster *p, const struct entry *list, enum attr attr,
	struct str *url_out)
{
	enum named named = NAMED_NOT;
	struct entry_cursor cursor = {0};
	struct member_url url;
	while (entry_next(list, attr, &cursor, url_out)) {
		const char *wrong = member_url_parse(d->scratch, *url_out, &url);
		if (wrong) {
			decision_reason(d, "bad member URL", list->dn, attr, *url_out);
			decision_reason(d, "bad member URL", list->dn, attr, arena_printf(d->scratch, "the URL %s", wrong));
			named = NAMED_UNSURE;
			continue;
		}
		for (size_t i = 0; i < p->n; i++)
			if (member_url_matches(&url, p->entries[i], d->scratch))
				return NAMED;
	}
	return named;
}

// Of who may post.
static enum named may_post_by_url(struct decision *d, const struct poster *p, const struct entry *list, enum attr attr)
{
	struct str url;
	enum named named = is_found_by_url(d, p, list, attr, &url);
	if (named == NAMED)
		may_post(d, list, attr, url);
	return named;
}

enum list_policy list_policy_of(const struct entry *list)
{
	static const char *const words[] = {"anyone", "internal", "members", "listed", "moderated", "nobody"};
	struct str word = entry_first(list, ATTR_PH_LIST_POST_POLICY);
	for (size_t i = 0; word.p && i < sizeof words / sizeof *words; i++)
		if (str_eq_nocase(word, str_of_c(words[i])))
			return (enum list_policy)i;
	if (word.p)
		return LIST_POLICY_BAD;
	bool any = entry_has(list, ATTR_PH_LIST_ALLOWED_SENDER) || entry_has(list, ATTR_PH_LIST_ALLOWED_SENDER_DN) ||
		   entry_has(list, ATTR_PH_LIST_ALLOWED_SENDER_URL);
	return any ? LIST_POLICY_LISTED : LIST_POLICY_ANYONE;
}

static enum list_post refuse(struct decision *d, const struct entry *list, enum attr attr, struct str value,
	enum decision_cause cause, enum decision_cause *cause_out)
{
	decision_reason(d, "may not post", list->dn, attr, value);
	*cause_out = cause;
	return LIST_POST_REFUSED;
}

static enum list_post by_policy(struct decision *d, const struct entry *list, const struct poster *p,
	enum decision_cause *cause_out)
{
	struct str word = entry_first(list, ATTR_PH_LIST_POST_POLICY);
	enum named named = NAMED_NOT;
	switch (list_policy_of(list)) {
	case LIST_POLICY_ANYONE:
		return LIST_POST_ALLOWED;
	case LIST_POLICY_INTERNAL:
		named = d->query->authenticated ? NAMED : NAMED_NOT;
		break;
	case LIST_POLICY_MEMBERS:
		named = may_post_by_url(d, p, list, ATTR_MEMBER_URL); // what is wrong with one the expansion says
		if (named != NAMED)
			named = is_named(d, p, list, ATTR_RFC822_MAIL_MEMBER, ATTR_MEMBER);
		break;
	case LIST_POLICY_LISTED:
	case LIST_POLICY_NOBODY:
		break;
	case LIST_POLICY_MODERATED:
		return LIST_POST_MODERATED;
	case LIST_POLICY_BAD:
		decision_reason(d, "post policy", list->dn, ATTR_PH_LIST_POST_POLICY, word);
		decision_later(d, CAUSE_LIST);
		return LIST_POST_LATER;
	}
	if (named != NAMED_NOT)
		return named == NAMED ? LIST_POST_ALLOWED : LIST_POST_LATER;
	return refuse(d, list, word.p ? ATTR_PH_LIST_POST_POLICY : ATTR_PH_LIST_ALLOWED_SENDER, word, CAUSE_POST, cause_out);
}

// Those whom the list names may post whatever the policy, but for nobody; moderators need no moderator. Lists above speak where
// they are named as senders: as a member or a moderator they would be readers.
static enum named is_exempt(struct decision *d, const struct entry *list, struct poster *p)
{
	if (list_policy_of(list) == LIST_POLICY_NOBODY)
		return NAMED_NOT;
	enum named named = is_named(d, p, list, ATTR_PH_LIST_ALLOWED_SENDER, ATTR_PH_LIST_ALLOWED_SENDER_DN);
	p->via = NULL;
	if (named == NAMED_NOT)
		named = is_named(d, p, list, ATTR_PH_LIST_MODERATOR_ADDRESS, ATTR_PH_LIST_MODERATOR);
	if (named != NAMED_NOT)
		return named;
	named = may_post_by_url(d, p, list, ATTR_PH_LIST_ALLOWED_SENDER_URL);
	if (named == NAMED_UNSURE)
		decision_later(d, CAUSE_LIST);
	return named;
}

static enum named is_denied(struct decision *d, const struct poster *p, const struct entry *list, enum attr *by_out,
	struct str *value_out)
{
	bool unsure;
	*by_out = ATTR_PH_LIST_DENIED_SENDER;
	if (names_address(d, p, list, *by_out, value_out))
		return NAMED;
	*by_out = ATTR_PH_LIST_DENIED_SENDER_DN;
	if (leads_to(d, p, list, *by_out, value_out, &unsure))
		return NAMED;
	if (unsure)
		return NAMED_UNSURE;
	*by_out = ATTR_PH_LIST_DENIED_SENDER_URL;
	enum named named = is_found_by_url(d, p, list, *by_out, value_out);
	if (named == NAMED_UNSURE)
		decision_later(d, CAUSE_LIST);
	return named;
}

enum list_post list_may_post(struct decision *d, const struct decision_item *item, const struct entry *list,
	enum decision_cause *cause_out)
{
	static const enum attr rules[] = {ATTR_PH_LIST_POST_POLICY, ATTR_PH_LIST_ALLOWED_SENDER, ATTR_PH_LIST_DENIED_SENDER,
		ATTR_PH_LIST_ALLOWED_SENDER_DN, ATTR_PH_LIST_REQUIRE_AUTH, ATTR_PH_LIST_DENIED_SENDER_DN,
		ATTR_PH_LIST_ALLOWED_SENDER_URL, ATTR_PH_LIST_DENIED_SENDER_URL};
	size_t n = 0;
	struct poster p;
	struct str value;
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		n += entry_has(list, rules[i]);
	if (n == 0)
		return LIST_POST_ALLOWED;
	if (entry_has(list, ATTR_PH_LIST_POST_POLICY))
		decision_reason(d, "post policy", list->dn, ATTR_PH_LIST_POST_POLICY, entry_first(list,
			ATTR_PH_LIST_POST_POLICY));
	if (d->query->sender == NULL)
		return LIST_POST_ALLOWED;
	if (entry_flag(list, ATTR_PH_LIST_REQUIRE_AUTH) && !d->query->authenticated)
		return refuse(d, list, ATTR_PH_LIST_REQUIRE_AUTH, STR("TRUE"), CAUSE_POST_LOGIN, cause_out);
	if (!find_poster(d, &p))
		return LIST_POST_LATER;
	p.via = item->forwarder.n ? NULL : item->parent; // a member's own forward speaks for no list
	enum attr by;
	switch (is_denied(d, &p, list, &by, &value)) {
	case NAMED:
		return refuse(d, list, by, value, CAUSE_POST, cause_out);
	case NAMED_UNSURE:
		return LIST_POST_LATER;
	case NAMED_NOT:
		break;
	}
	enum named exempt = is_exempt(d, list, &p);
	if (exempt != NAMED_NOT)
		return exempt == NAMED ? LIST_POST_ALLOWED : LIST_POST_LATER;
	p.via = NULL;
	return by_policy(d, list, &p, cause_out);
}

bool list_is_author(struct decision *d, const struct entry *user)
{
	struct our_domain_spellings spellings;
	if (d->query->sender == NULL)
		return false;
	if (!d->has_author &&
		our_domain_spell(d->directory, d->query->sender, d->query->delimiters, d->scratch, &spellings) == DIRECTORY_FOUND)
		d->author = spellings.owner.entry->uuid;
	d->has_author = true;
	return !guid_is_zero(&d->author) && guid_eq(&d->author, &user->uuid);
}
