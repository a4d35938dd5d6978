// SPDX-License-Identifier: Apache-2.0
// Where RCPT TO is decided.
//
// The order, as sendmail's ruleset 0 has it: the address is made plain; its domain says whether it is ours; the address is looked
// up, then without its detail, then as its domain ("@domain"), then by the domain's rules (catch-all, alias domain, relay,
// postmaster and roles); the entry that is found is applied: status, forward, mailbox, members. What an entry names is looked up
// the same way.
//
// Failure modes: a doubt (two owners, no host, a shadow that is not complete or not fresh, too many members) defers the whole
// recipient, because a 250 for half of a group loses the other half; what is certainly gone (an unknown member) is left out and
// named in the reasons; when nothing is left, the recipient is refused.
//
// Called by mta for each RCPT (on a fiber; large groups on a worker) and by `posthouse why`. recipient_address.c has the rules up
// to the entry, recipient_entry.c what an entry says; decision.c keeps the books.
#include "router/recipient.h"

#include "base/clock.h"
#include "base/must.h"
#include "list.h"
#include "outside.h"
#include "recipient_steps.h"
#include "router/list_answers.h"

const char *recipient_outcome_name(enum recipient_outcome outcome)
{
	static const char *const names[] = {
#define OUTCOME_NAME(outcome, name) [outcome] = name,
		RECIPIENT_OUTCOMES(OUTCOME_NAME)
#undef OUTCOME_NAME
	};
	return names[outcome];
}

const char *recipient_rule_text(const char *rule)
{
	static const char *const rows[][2] = {
#define RULE_ROW(rule, text) {rule, text},
		RECIPIENT_RULES(RULE_ROW)
#undef RULE_ROW
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i][0], rule) == 0)
			return rows[i][1];
	return NULL;
}

// --- The recipient and what it names ---

static void look_at_dn(struct decision *d, struct decision_item *item)
{
	const struct entry *entry;
	enum decision_found found = decision_find(d, DIRECTORY_DN, item->text, &entry);
	if (found == DECISION_SOMEBODY) {
		recipient_entry(d, item, entry, NULL, STR_NONE);
	} else if (found == DECISION_NOBODY) {
		decision_reason(d, "unknown member", STR_NONE, ATTR_MEMBER, item->text);
		decision_gone(d, CAUSE_UNKNOWN);
	}
}

static void look_at_address(struct decision *d, struct decision_item *item)
{
	struct addr addr;
	struct domain domain;
	if (item->addr)
		addr = *item->addr;
	else if (addr_parse(d->scratch, item->text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK) {
		decision_reason(d, "bad address", STR_NONE, ATTR_NONE,
			item->text); // the intake lets none through; a pattern may make one
		decision_gone(d, CAUSE_UNKNOWN);
		return;
	}
	if (addr.routed)
		decision_reason(d, "route dropped", STR_NONE, ATTR_NONE, addr.text);
	if (addr.domain.kind == DOMAIN_NONE) { // <postmaster>
		if (domain_parse(d->scratch, d->query->default_domain, DOMAIN_UTF8, &domain) != DOMAIN_OK ||
			addr_with_domain(d->scratch, &addr, &domain, &addr) != ADDR_OK) {
			decision_reason(d, "no postmaster", STR_NONE, ATTR_NONE, addr.text);
			decision_later(d, CAUSE_NO_POSTMASTER);
			return;
		}
		decision_reason(d, "postmaster", STR_NONE, ATTR_NONE, addr.text);
	}
	recipient_address(d, item, addr);
}

static void look_at(struct decision *d, struct decision_item *item)
{
	d->in_list = item->list.n > 0;
	if (item->addr && !outside_admits(d, item)) // the recipient itself
		return;
	if (item->depth > RECIPIENT_DEPTH_MAX) {
		decision_reason(d, "too deep", STR_NONE, ATTR_NONE, item->text);
		decision_gone(d, CAUSE_LOOP);
	} else if (item->is_dn) {
		look_at_dn(d, item);
	} else {
		look_at_address(d, item);
	}
}

// --- Does a list reach anybody? ---

static void probe(struct decision *d, const struct entry *list, const struct addr *addr, enum decision_probe how,
	struct decision *probe_out)
{
	struct recipient_query query = *d->query;
	struct decision_item *item;
	query.recipient = addr;
	// who may post was asked; lists in it turn this sender away when they are expanded, and its owner hears it,
	query.sender = NULL;
	// and so do those that take no message of this size: the answer is that of the list, whatever comes
	query.message_bytes = 0;
	query.lists = RECIPIENT_LISTS_ALL;
	query.entries_max = d->entries < d->entries_max ? d->entries_max - d->entries : 1;
	decision_begin(probe_out, d->directory, &query, d->arena);
	probe_out->probe = how;
	decision_add(probe_out, NULL, addr->text, false);
	if ((item = decision_next(probe_out))) // taken, or the list would be found by its address once more
		recipient_entry(probe_out, item, list, addr, STR_NONE);
	while (probe_out->n_targets == 0 && probe_out->entries < DECISION_PROBE_ENTRIES && (item = decision_next(probe_out)))
		look_at(probe_out, item);
	probe_out->probe_left |= probe_out->n_targets == 0 && decision_next(probe_out) != NULL;
	probe_out->query = d->query;
}

// What the probe has found, as if it had been found by d.
static bool conclude(struct decision *d, const struct decision *probed)
{
	if (probed->too_big || probed->n_targets > 0 || probed->probe_left) {
		d->too_big |= probed->too_big;
		return !probed->too_big;
	}
	for (size_t i = 0; i < probed->n_reasons; i++) {
		const struct recipient_reason *reason = &probed->reasons[i];
		decision_reason_of(d, reason->rule, reason->entry, reason->attribute, reason->value);
	}
	if (probed->later == CAUSE_RULE_NOW)
		decision_says(d, &probed->said_later);
	else if (probed->later != CAUSE_NONE)
		decision_later(d, probed->later);
	else if (probed->gone == CAUSE_RULE)
		decision_says(d, &probed->said_gone);
	else
		decision_gone(d, probed->gone == CAUSE_NONE ? CAUSE_EMPTY : probed->gone);
	return false;
}

// Of mail that waits no way is no refusal, so that its answers are others.
static struct list_answers *answers_of(const struct decision *d)
{
	return d->query->waits ? NULL : d->query->answers;
}

// What is sure, and was dear. The words of a rule are not kept.
static void remember(const struct decision *d, const struct entry *list, const struct decision *probed)
{
	struct list_answers *answers = answers_of(d);
	bool reaches = probed->n_targets > 0 || probed->probe_left;
	bool sure = !probed->too_big && (reaches || (probed->later == CAUSE_NONE && probed->gone != CAUSE_RULE));
	bool dear = probed->probe_walks > 0 || probed->entries > DECISION_PROBE_VALUES;
	if (answers && sure && dear)
		list_answers_keep(answers, &list->uuid, d->shadow.version, clock_wall_ms(),
			reaches ? CAUSE_NONE : probed->gone == CAUSE_NONE ? CAUSE_EMPTY : probed->gone);
}

static bool is_remembered(struct decision *d, const struct entry *list, bool *reaches_out)
{
	struct list_answers *answers = answers_of(d);
	unsigned cause;
	if (answers == NULL || !list_answers_find(answers, &list->uuid, d->shadow.version, clock_wall_ms(), &cause))
		return false;
	*reaches_out = cause == CAUSE_NONE;
	if (cause != CAUSE_NONE) {
		decision_reason(d, "reaches nobody", list->dn, ATTR_NONE, STR_NONE);
		decision_gone(d, (enum decision_cause)cause);
	}
	return true;
}

bool recipient_reaches_somebody(struct decision *d, const struct entry *list, const struct addr *addr)
{
	struct decision probed;
	bool reaches;
	if (is_remembered(d, list, &reaches))
		return reaches;
	probe(d, list, addr, DECISION_PROBE_NAMED, &probed);
	d->entries += probed.entries;
	if (probed.n_targets == 0 && (probed.probe_urls_left || probed.probe_left)) {
		decision_drop(&probed);
		if (d->entries_max <= RECIPIENT_ENTRIES_FIBER) { // the shadow is read whole, or a thousand entries
			d->too_big = true;
			return false;
		}
		probe(d, list, addr, DECISION_PROBE_ALL, &probed);
		d->entries += probed.entries;
	}
	remember(d, list, &probed);
	reaches = conclude(d, &probed);
	decision_drop(&probed);
	return reaches;
}

// --- The whole ---

// One target for many, and for moderators, whose copies are the list's.
static void gather(struct decision *d)
{
	const struct addr *recipient = d->query->recipient;
	if (d->moderated.dn.n && d->moderated_addr.text.n)
		decision_only_target(d, "list",
			&(struct recipient_target){.kind = RECIPIENT_LIST, .address = &d->moderated_addr, .moderated = true});
	else if (recipient->domain.kind == DOMAIN_NAME && d->n_targets > RECIPIENT_TARGETS_MAX)
		decision_only_target(d, "many", &(struct recipient_target){.kind = RECIPIENT_LIST, .address = recipient});
}

void recipient_decide(struct directory *directory, const struct recipient_query *query, struct arena *arena,
	struct recipient_verdict *verdict_out)
{
	struct decision d;
	struct decision_item *item;
	decision_begin(&d, directory, query, arena);
	if (!d.shadow.complete) {
		decision_reason(&d, "unavailable", STR_NONE, ATTR_NONE, str_of_c(directory_trouble(directory)));
		decision_later(&d, CAUSE_UNAVAILABLE);
	} else if ((item = decision_add(&d, NULL, query->recipient->text, false))) {
		item->addr = query->recipient;
	}
	do
		while ((item = decision_next(&d)))
			look_at(&d, item);
	while (list_try_moderators(&d) || recipient_try_role(&d));
	if (query->lists == RECIPIENT_LISTS_LATER && d.n_targets > 0)
		gather(&d);
	decision_end(&d, verdict_out);
}
