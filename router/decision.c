// SPDX-License-Identifier: Apache-2.0
// Book-keeping of a decision. Everything that grows lives in arenas that end with it; only reasons and targets reach the
// caller's.
#include "decision.h"

#include <stdlib.h>

#include "base/must.h"

enum {
	WORK_BYTES_MAX = 512 << 20,
	SCRATCH_BYTES_MAX = 64 << 20, // one group entry and what is parsed of it
	SEEN_ROOM = 16,
};

static const struct {
	int code;
	const char *enhanced, *text;
} causes[] = {
#define DECISION_ROW(cause, code_, enhanced_, text_) [cause] = {code_, enhanced_, text_},
	DECISION_CAUSES(DECISION_ROW)
#undef DECISION_ROW
};

void decision_begin(struct decision *d, struct directory *directory, const struct recipient_query *query, struct arena *arena)
{
	*d = (struct decision){.directory = directory, .query = query, .arena = arena};
	d->work = arena_new_ready(WORK_BYTES_MAX);
	d->scratch = arena_new_ready(SCRATCH_BYTES_MAX);
	d->end = &d->first;
	d->arena_before = arena_used(arena);
	d->entries_max = query->entries_max ? query->entries_max : RECIPIENT_ENTRIES_FIBER;
	directory_begin(directory);
	d->shadow = directory_status(directory);
}

// --- Arrays and sets ---

static void *grow(struct decision *d, void *array, size_t n, size_t *room, size_t size)
{
	size_t bigger = *room ? 2 * *room : 4;
	if (n < *room)
		return array;
	void *grown = arena_array(d->work, bigger, size);
	must(grown != NULL); // bounded by entries_max
	if (n)
		memcpy(grown, array, n * size);
	*room = bigger;
	return grown;
}

// Adds a hash; false when it was there. 64 bits over at most some hundred thousand: that two clash, and one loses its copy, has a
// chance of one in 10^9.
static bool add_seen(struct decision *d, uint64_t hash)
{
	hash = hash ? hash : 1;
	if (2 * d->n_seen >= d->room_seen) {
		size_t old_room = d->room_seen;
		uint64_t *old = d->seen;
		d->room_seen = old_room ? 2 * old_room : SEEN_ROOM;
		d->seen = arena_array(d->work, d->room_seen, sizeof *d->seen);
		must(d->seen != NULL);
		d->n_seen = 0;
		for (size_t i = 0; i < old_room; i++)
			if (old[i])
				add_seen(d, old[i]);
	}
	size_t at = (size_t)hash & (d->room_seen - 1);
	for (; d->seen[at]; at = (at + 1) & (d->room_seen - 1))
		if (d->seen[at] == hash)
			return false;
	d->seen[at] = hash;
	d->n_seen++;
	return true;
}

bool decision_once(struct decision *d, const struct decision_item *item, const struct guid *entry)
{
	uint64_t hash;
	memcpy(&hash, entry->b, sizeof hash);
	return add_seen(d, (hash ^ str_hash(guid_bytes(entry))) + (item->list.n ? str_hash(item->list) : 0));
}

// --- Outcome ---

void decision_reason_of(struct decision *d, const char *rule, struct str entry, const char *attribute, struct str value)
{
	if (d->n_reasons == RECIPIENT_REASONS_MAX)
		return;
	d->reasons = grow(d, d->reasons, d->n_reasons, &d->room_reasons, sizeof *d->reasons);
	d->reasons[d->n_reasons++] = (struct recipient_reason){
		.rule = rule, .entry = arena_dup(d->arena, entry), .attribute = attribute, .value = arena_dup(d->arena, value)};
}

void decision_reason(struct decision *d, const char *rule, struct str entry, enum attr attr, struct str value)
{
	decision_reason_of(d, rule, entry, attr_name(attr), value);
}

void decision_later(struct decision *d, enum decision_cause cause)
{
	if (d->later == CAUSE_NONE)
		d->later = cause;
}

void decision_gone(struct decision *d, enum decision_cause cause)
{
	bool is_fresh = d->shadow.complete && d->shadow.fresh;
	if (!is_fresh) {
		decision_reason(d, "stale", STR_NONE, ATTR_NONE, STR_NONE);
		decision_later(d, d->shadow.complete ? CAUSE_STALE : CAUSE_UNAVAILABLE);
	} else if (d->gone == CAUSE_NONE) {
		d->gone = d->in_list && (cause == CAUSE_UNKNOWN || cause == CAUSE_DISABLED) ? CAUSE_EMPTY : cause;
	}
}

void decision_says(struct decision *d, const struct reply *reply)
{
	bool gone = reply->code >= 500;
	bool first = gone ? d->gone == CAUSE_NONE : d->later == CAUSE_NONE;
	if (gone)
		decision_gone(d, CAUSE_RULE);
	else
		decision_later(d, CAUSE_RULE_NOW);
	if (first)
		*(gone ? &d->said_gone : &d->said_later) = (struct reply){.code = reply->code,
			.enhanced = arena_dup(d->arena, reply->enhanced), .text = arena_dup(d->arena, reply->text)};
}

struct str decision_refusal(struct decision *d, enum decision_cause cause)
{
	if (!d->shadow.complete || !d->shadow.fresh)
		return STR_NONE;
	return arena_printf(d->work, "%d %s %s", causes[cause].code, causes[cause].enhanced, causes[cause].text);
}

void decision_is(struct decision *d, enum recipient_outcome outcome)
{
	if (!d->has_outcome)
		d->outcome = outcome;
	d->has_outcome = true;
}

enum decision_found decision_find(struct decision *d, enum directory_key kind, struct str key, const struct entry **entry_out)
{
	struct directory_match match;
	struct str shown = kind == DIRECTORY_DN ? STR_NONE : key;
	if (d->entries++ >= d->entries_max) {
		d->too_big = true;
		return DECISION_DOUBT;
	}
	switch (directory_find(d->directory, kind, key, d->scratch, &match)) {
	case DIRECTORY_FOUND:
		*entry_out = match.entry;
		return DECISION_SOMEBODY;
	case DIRECTORY_NONE:
		return DECISION_NOBODY;
	case DIRECTORY_UNAVAILABLE:
		decision_reason(d, "unavailable", STR_NONE, ATTR_NONE, str_of_c(directory_trouble(d->directory)));
		decision_later(d, CAUSE_UNAVAILABLE);
		return DECISION_DOUBT;
	case DIRECTORY_AMBIGUOUS:
		decision_reason(d, "ambiguous", match.entry->dn, ATTR_NONE, shown);
		decision_reason(d, "ambiguous", match.other->dn, ATTR_NONE, shown);
		decision_later(d, CAUSE_AMBIGUOUS);
		return DECISION_DOUBT;
	}
	unreachable("directory_answer");
}

struct entry decision_keep_entry(struct decision *d, const struct entry *entry)
{
	struct entry kept = *entry;
	kept.dn = arena_dup(d->work, entry->dn);
	kept.values = arena_dup(d->work, entry->values);
	must(!arena_overflowed(d->work)); // bounded by entries_max
	return kept;
}

void decision_keep_domain(struct decision *d, struct str key, const struct entry *domain)
{
	d->domain_key = arena_dup(d->work, key);
	d->domain = decision_keep_entry(d, domain);
}

// --- Items ---

struct decision_item *decision_add(struct decision *d, struct decision_item *parent, struct str text, bool is_dn)
{
	struct decision_item *item = arena_alloc(d->work, sizeof *item);
	struct str copy = arena_dup(d->work, text);
	// Each is looked up once its turn comes; to remember more than may be looked up would only cost time.
	if (item == NULL || copy.p == NULL || d->items++ >= d->entries_max) {
		d->too_big = true;
		return NULL;
	}
	*item = (struct decision_item){.parent = parent, .text = copy, .is_dn = is_dn};
	if (parent) {
		item->depth = parent->depth + 1;
		item->list = parent->list;
		item->forwarder = parent->forwarder;
		item->no_author = parent->no_author;
	}
	*d->end = item;
	d->end = &item->next;
	return item;
}

struct decision_item *decision_top(struct decision *d)
{
	struct decision_item *top = arena_must(d->work, sizeof *top);
	*top = (struct decision_item){0};
	return top;
}

struct decision_item *decision_next(struct decision *d)
{
	struct decision_item *item = d->first;
	if (item == NULL || d->too_big)
		return NULL;
	d->first = item->next;
	if (d->first == NULL)
		d->end = &d->first;
	arena_reset(d->scratch);
	return item;
}

bool decision_is_loop(const struct decision_item *item, const struct guid *entry)
{
	for (item = item->parent; item; item = item->parent)
		if (guid_eq(&item->entry, entry))
			return true;
	return false;
}

// --- Targets ---

static uint64_t hash_of(const struct recipient_target *target)
{
	uint64_t hash = str_hash(target->kind == RECIPIENT_MAILBOX ? guid_bytes(&target->mailbox_id) : target->address->key);
	hash = hash * 31 + str_hash(target->detail);
	if (target->kind == RECIPIENT_LIST) // it has one message of its own, whoever leads there
		return hash + (uint64_t)target->kind;
	return hash * 31 + str_hash(target->list) + (uint64_t)target->kind;
}

// Of 100,000 members most share a host, a list and a domain: what is the same as before is not copied again.
static inline struct str keep_str(struct decision *d, struct str text, struct str before)
{
	if (text.n == 0)
		return text.p ? STR("") : text;
	return str_eq(text, before) ? before : arena_dup(d->arena, text);
}

// Not addr_copy(): here the arena's cap is no bug. NULL over it.
static const struct addr *keep_addr(struct decision *d, const struct addr *addr, const struct addr *before)
{
	static const struct addr none = {0};
	const struct addr *other = before ? before : &none;
	struct addr *kept = arena_alloc(d->arena, sizeof *kept);
	if (kept == NULL)
		return NULL;
	*kept = *addr;
	kept->text = keep_str(d, addr->text, STR_NONE);
	kept->key = keep_str(d, addr->key, kept->text);
	kept->local =
		str_starts(kept->text, addr->local) ? str_upto(kept->text, addr->local.n) : keep_str(d, addr->local, STR_NONE);
	kept->domain.text = keep_str(d, addr->domain.text, other->domain.text);
	kept->domain.key = keep_str(d, addr->domain.key, other->domain.key);
	return kept;
}

// On the heap, where it can be made larger without a second copy that stays.
static void make_room(struct decision *d)
{
	if (d->n_targets < d->room_targets)
		return;
	d->room_targets = d->room_targets ? 2 * d->room_targets : 2;
	d->targets = realloc(d->targets, d->room_targets * sizeof *d->targets); // bounded by entries_max
	must(d->targets != NULL);
}

void decision_target(struct decision *d, const struct recipient_target *target)
{
	static const struct recipient_target none = {0};
	if (!add_seen(d, hash_of(target)))
		return;
	make_room(d);
	const struct recipient_target *before = d->n_targets ? &d->targets[d->n_targets - 1] : &none;
	struct recipient_target *copy = &d->targets[d->n_targets];
	const struct addr *address = keep_addr(d, target->address, before->address);
	if (address == NULL)
		return; // decision_end sees it
	*copy = *target;
	copy->address = address;
	copy->host = keep_str(d, target->host, before->host);
	copy->detail = keep_str(d, target->detail, before->detail);
	copy->list = keep_str(d, target->list, before->list);
	copy->forwarder = keep_str(d, target->forwarder, before->forwarder);
	copy->stands_for = keep_str(d, target->stands_for, before->stands_for);
	copy->refusal = keep_str(d, target->refusal, before->refusal);
	d->n_targets++;
}

void decision_only_target(struct decision *d, const char *rule, const struct recipient_target *target)
{
	d->n_targets = 0;
	if (d->n_reasons == RECIPIENT_REASONS_MAX)
		d->n_reasons--;
	decision_reason(d, rule, STR_NONE, ATTR_NONE, target->address->text);
	decision_target(d, target);
}

bool decision_has_enough(struct decision *d, size_t n)
{
	bool enough = d->probe && n >= (d->probe == DECISION_PROBE_ALL ? DECISION_PROBE_VALUES_ALL : DECISION_PROBE_VALUES);
	d->probe_left |= enough;
	return enough;
}

// --- The verdict ---

static enum decision_cause cause_of(const struct decision *d)
{
	if (d->too_big)
		return CAUSE_TOO_BIG;
	if (d->later != CAUSE_NONE)
		return d->later;
	if (d->n_targets > 0)
		return CAUSE_NONE;
	if (d->gone != CAUSE_NONE)
		return d->gone;
	return d->shadow.fresh ? CAUSE_EMPTY : CAUSE_STALE;
}

// Copies an array of n elements to the results; NULL when it does not fit.
static void *keep(struct decision *d, const void *array, size_t n, size_t size)
{
	void *kept = arena_array(d->arena, n ? n : 1, size);
	if (kept && n)
		memcpy(kept, array, n * size);
	return kept;
}

void decision_drop(struct decision *d)
{
	directory_end(d->directory);
	free(d->targets);
	arena_free(&d->work);
	arena_free(&d->scratch);
}

void decision_end(struct decision *d, struct recipient_verdict *verdict_out)
{
	// What could not be read on the way may have been a rule that refuses, or one that lets through.
	if (d->shadow.complete && !directory_status(d->directory).complete) {
		decision_reason(d, "unavailable", STR_NONE, ATTR_NONE, str_of_c(directory_trouble(d->directory)));
		decision_later(d, CAUSE_UNAVAILABLE);
	}
	enum decision_cause cause = cause_of(d);
	struct recipient_verdict verdict = {.shadow = d->shadow, .too_big = d->too_big, .owner = d->owner, .is_list = d->is_list,
		.header = d->header, .bytes_max = d->bytes_max};
	verdict.reasons = keep(d, d->reasons, d->n_reasons, sizeof *d->reasons);
	verdict.n_reasons = verdict.reasons ? d->n_reasons : 0;
	if (cause == CAUSE_NONE) {
		verdict.targets = keep(d, d->targets, d->n_targets, sizeof *d->targets);
		verdict.n_targets = verdict.targets ? d->n_targets : 0;
	}
	if (arena_overflowed(d->arena)) { // a cut list of targets would lose mail
		cause = CAUSE_TOO_BIG;
		verdict = (struct recipient_verdict){.shadow = d->shadow, .too_big = d->too_big};
	}
	if (d->access.quarantine.n && verdict.n_targets > 0)
		verdict.quarantine = arena_dup(d->arena, d->access.quarantine);
	verdict.code = causes[cause].code;
	verdict.enhanced = str_of_c(causes[cause].enhanced);
	verdict.text = str_of_c(causes[cause].text);
	if (cause == CAUSE_RULE || cause == CAUSE_RULE_NOW) {
		const struct reply *said = cause == CAUSE_RULE ? &d->said_gone : &d->said_later;
		verdict.code = said->code;
		verdict.enhanced = said->enhanced;
		verdict.text = said->text;
	}
	verdict.outcome = verdict.code >= 500 ? RECIPIENT_REFUSE : verdict.code >= 400 ? RECIPIENT_DEFER : d->outcome;
	verdict.held_bytes = arena_used(d->work) + arena_used(d->arena) - d->arena_before + d->room_targets * sizeof *d->targets;
	decision_drop(d);
	*verdict_out = verdict;
}
