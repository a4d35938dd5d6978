// SPDX-License-Identifier: Apache-2.0
// Lists: whom memberURL finds, who runs them.
#include "list.h"

#include "base/must.h"
#include "member_url.h"
#include "recipient_steps.h"

// --- Members by URL ---

struct finding {
	struct decision *d;
	struct decision_item *item;
	const struct member_url *url;
	struct arena *scratch;
	size_t n;
};

// Whoever may receive mail.
static bool find_member(void *arg, const struct entry *entry)
{
	enum { NOBODY = ENTRY_DOMAIN | ENTRY_HOST | ENTRY_ROUTE | ENTRY_ACCESS | ENTRY_CLASS_OF_SERVICE };
	struct finding *f = arg;
	arena_reset(f->scratch);
	if (!(entry->classes & NOBODY) && member_url_matches(f->url, entry, f->scratch)) {
		decision_add(f->d, f->item, entry->dn, true);
		f->n++;
	}
	return !f->d->too_big && !decision_has_enough(f->d, f->n);
}

size_t list_add_by_url(struct decision *d, struct decision_item *item, const struct entry *list)
{
	enum { SCRATCH_BYTES = 8 << 20 };
	struct entry_cursor cursor = {0};
	struct str text;
	struct member_url url;
	struct finding f = {.d = d, .item = item, .url = &url};
	while (entry_next(list, ATTR_MEMBER_URL, &cursor, &text) && !d->too_big) {
		const char *wrong = member_url_parse(d->scratch, text, &url);
		if (wrong) {
			decision_reason(d, "bad member URL", list->dn, ATTR_MEMBER_URL, text);
			decision_reason(d, "bad member URL", list->dn, ATTR_MEMBER_URL, arena_printf(d->scratch, "the URL %s",
				wrong));
			decision_later(d, CAUSE_LIST);
			continue;
		}
		if (d->entries_max <= RECIPIENT_ENTRIES_FIBER) {
			d->too_big = true;
			break;
		}
		decision_reason(d, "member URL", list->dn, ATTR_MEMBER_URL, text);
		d->probe_walks++;
		f.scratch = arena_new(SCRATCH_BYTES);
		if (directory_each(d->directory, find_member, &f) != DIRECTORY_FOUND)
			decision_later(d, CAUSE_UNAVAILABLE);
		arena_free(&f.scratch);
	}
	return f.n;
}

// --- Who runs it ---

static bool has_owner(const struct entry *entry)
{
	return entry_has(entry, ATTR_PH_LIST_OWNER_ADDRESS) || entry_has(entry, ATTR_OWNER);
}

// By what the entry has, whatever other entries there are.
static bool says_it_is_one(const struct entry *entry)
{
	return (entry->classes & ENTRY_LIST) || entry_has(entry, ATTR_PH_LIST_ERRORS_TO) || has_owner(entry) ||
	       entry_has(entry, ATTR_MEMBER_URL);
}

bool list_is_one(struct decision *d, const struct entry *entry, const struct addr *addr, struct str *owner_out)
{
	const struct entry *other;
	struct addr owner;
	struct str errors_to = entry_first(entry, ATTR_PH_LIST_ERRORS_TO);
	bool from_nobody = d->query->sender && addr_is_null(d->query->sender);
	bool is_list = says_it_is_one(entry);
	*owner_out = STR_NONE;
	bool fits = addr_with_local(d->scratch, addr, arena_printf(d->scratch, "owner-%.*s", STR_FMT(addr->local)), &owner) ==
		    ADDR_OK;
	if (!is_list) // sendmail's owner-x: an entry of its own
		is_list = fits && decision_find(d, DIRECTORY_ADDRESS, owner.key, &other) == DECISION_SOMEBODY;
	if (is_list && !from_nobody)
		*owner_out = errors_to.p ? errors_to : fits ? owner.text : STR_NONE;
	return is_list;
}

// x of owner-x and x-request.
static bool split_role(const struct addr *addr, struct str *name_out, bool *request_out)
{
	struct str owner = STR("owner-"), request = STR("-request"), local = addr->local;
	*request_out = !str_starts_nocase(local, owner);
	if (local.n <= (*request_out ? request.n : owner.n))
		return false;
	*name_out = *request_out ? str_upto(local, local.n - request.n) : str_from(local, owner.n);
	return !*request_out || str_eq_nocase(str_from(local, local.n - request.n), request);
}

static bool reach(struct decision *d, struct decision_item *item, const struct entry *list, const struct addr *addr, bool request)
{
	static const enum attr by[] = {ATTR_PH_LIST_REQUEST_ADDRESS, ATTR_PH_LIST_OWNER_ADDRESS, ATTR_OWNER};
	const char *rule = request ? "list request" : "list owner";
	size_t n = 0;
	if (!says_it_is_one(list) && !(request && entry_has(list, ATTR_PH_LIST_REQUEST_ADDRESS)))
		return false;
	decision_is(d, RECIPIENT_EXPAND);
	for (size_t i = request ? 0 : 1; i < sizeof by / sizeof *by && n == 0; i++)
		n = recipient_add_values(d, item, list, by[i], rule);
	if (n == 0) {
		struct str postmaster = arena_printf(d->scratch, "postmaster@%.*s", STR_FMT(addr->domain.key));
		decision_reason(d, rule, list->dn, ATTR_NONE, postmaster);
		decision_add(d, item, postmaster, false);
	}
	return true;
}

bool list_try_role(struct decision *d, struct decision_item *item, const struct addr *addr)
{
	const struct entry *list;
	struct addr base;
	struct str name;
	bool request;
	if (!split_role(addr, &name, &request) || addr_with_local(d->scratch, addr, name, &base) != ADDR_OK)
		return false;
	enum decision_found found = decision_find(d, DIRECTORY_ADDRESS, base.key, &list);
	if (found == DECISION_SOMEBODY)
		return !(list->classes & ENTRY_USER) && reach(d, item, list, addr, request);
	return found == DECISION_DOUBT;
}

// --- Who moderates it ---

static size_t add_owners(struct decision *d, struct decision_item *item, const struct entry *list)
{
	size_t n = recipient_add_values(d, item, list, ATTR_PH_LIST_OWNER_ADDRESS, "moderator");
	return n ? n : recipient_add_values(d, item, list, ATTR_OWNER, "moderator");
}

void list_add_moderators(struct decision *d, struct decision_item *item, const struct entry *list)
{
	decision_is(d, RECIPIENT_EXPAND);
	size_t n = recipient_add_values(d, item, list, ATTR_PH_LIST_MODERATOR_ADDRESS, "moderator");
	n += recipient_add_values(d, item, list, ATTR_PH_LIST_MODERATOR, "moderator");
	if (n > 0 || add_owners(d, item, list) > 0 || d->too_big)
		return;
	decision_reason(d, "no members", list->dn, ATTR_PH_LIST_MODERATOR, STR_NONE);
	if (d->moderated.dn.n == 0) // else list_try_moderators sees to it
		decision_later(d, CAUSE_LIST);
}

bool list_try_moderators(struct decision *d)
{
	if (d->moderated.dn.n == 0 || d->n_targets > 0 || d->too_big || d->later != CAUSE_NONE)
		return false;
	struct decision_item *top = decision_top(d);
	top->list = d->is_list ? recipient_key(d, &d->moderated, &d->moderated_addr) : STR_NONE;
	if (d->moderated_tries++ == 0 && add_owners(d, top, &d->moderated) > 0)
		return true;
	decision_reason(d, "no moderator", d->moderated.dn, ATTR_PH_LIST_MODERATOR, STR_NONE);
	d->moderated.dn = STR_NONE; // whoever reads a role in their place gets the message as it is
	if (d->role_domain.dn.n == 0)
		decision_later(d, CAUSE_LIST);
	return false;
}
