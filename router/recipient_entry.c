// SPDX-License-Identifier: Apache-2.0
// What an entry does with its mail: status, then forward, routing address, mailbox host; or the members of an alias, a group, a
// list.
#include <inttypes.h>

#include "base/clock.h"
#include "base/must.h"
#include "list.h"
#include "other_host.h"
#include "recipient_steps.h"
#include "router/host.h"
#include "router/service.h"

// --- Mailboxes ---

// The host of a user's mailbox, when it is one of ours. Inside a group or forward an unknown host is no reason to stop the
// others: the target is recorded, and the delivery waits until the host is known (router/host.h sends nothing before).
static bool find_host(struct decision *d, const struct decision_item *item, const struct entry *user, struct str *host_out)
{
	struct entry_cursor cursor = {0};
	struct str name, second, endpoint;
	const struct entry *host;
	if (!entry_next(user, ATTR_MAIL_HOST, &cursor, &name) || entry_next(user, ATTR_MAIL_HOST, &cursor, &second)) {
		decision_reason(d, "no host", user->dn, ATTR_MAIL_HOST, STR_NONE);
		decision_later(d, CAUSE_NO_HOST);
		return false;
	}
	*host_out = name;
	if (d->host.n && str_eq(d->host, name)) // the same as the member before
		return true;
	d->entries++;
	switch (host_has(d->directory, name, STR("lmtp"), d->scratch, &host, &endpoint)) {
	case HOST_FOUND:
		decision_reason(d, "host", host->dn, ATTR_PH_HOST_ENDPOINT, endpoint);
		d->host = arena_dup(d->work, name);
		return true;
	case HOST_UNKNOWN:
		decision_reason(d, "unknown host", user->dn, ATTR_MAIL_HOST, name);
		break;
	case HOST_UNAVAILABLE:
		decision_reason(d, "unavailable", user->dn, ATTR_MAIL_HOST, name);
		break;
	}
	if (item->depth > 0)
		return true;
	decision_later(d, CAUSE_NO_HOST);
	return false;
}

bool recipient_own_address(struct decision *d, const struct entry *user, struct addr *addr_out)
{
	static const enum attr by[] = {ATTR_MAIL, ATTR_MAIL_LOCAL_ADDRESS};
	for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
		struct entry_cursor cursor = {0};
		struct str text;
		while (entry_next(user, by[i], &cursor, &text))
			if (addr_parse(d->scratch, text, ADDR_UTF8 | ADDR_LONG_LOCAL, addr_out) == ADDR_OK)
				return true;
	}
	return false;
}

// addr: the address it was found by; NULL when by DN. What goes to the mailbox host is the primary address.
static void to_mailbox(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *addr,
	struct str detail)
{
	struct recipient_target target = {
		.kind = RECIPIENT_MAILBOX, .detail = detail, .list = item->list, .forwarder = item->forwarder};
	struct addr primary;
	if (other_host_takes(d, item, user, addr) || !find_host(d, item, user, &target.host))
		return;
	if (!entry_mailbox_id(user, &target.mailbox_id)) {
		decision_reason(d, "no mailbox id", user->dn, ATTR_PH_MAILBOX_ID, STR_NONE);
		decision_later(d, CAUSE_NO_ID);
		return;
	}
	struct str mail = entry_first(user, ATTR_MAIL);
	if (addr && str_eq(mail, addr->text))
		target.address = addr;
	else if (addr_parse(d->scratch, mail, ADDR_UTF8 | ADDR_LONG_LOCAL, &primary) == ADDR_OK)
		target.address = &primary;
	else if (addr)
		target.address = addr;
	else if (recipient_own_address(d, user, &primary))
		target.address = &primary;
	else {
		decision_reason(d, "no address", user->dn, ATTR_MAIL, STR_NONE);
		decision_gone(d, CAUSE_UNKNOWN);
		return;
	}
	decision_is(d, RECIPIENT_DELIVER);
	if (item->no_author && list_is_author(d, user))
		decision_reason(d, "own copy", user->dn, ATTR_MAIL, entry_first(user, ATTR_MAIL));
	else
		decision_target(d, &target);
}

// --- Entries ---

// Is all of it known, and what say phStatus and phExpires? False when mail stops here.
bool recipient_status_accepts(struct decision *d, const struct decision_item *item, const struct entry *entry, bool is_relayed)
{
	enum entry_status status = entry_status(entry);
	enum entry_status_answer answer = entry_status_row(status)->mail;
	if (entry->cut) {
		decision_reason(d, "too large", entry->dn, ATTR_NONE, STR_NONE);
		decision_later(d, CAUSE_TOO_BIG);
		return false;
	}
	if (answer != ENTRY_STATUS_YES)
		decision_reason(d, status == ENTRY_STATUS_BAD ? "bad status" : "status", entry->dn, ATTR_PH_STATUS,
			entry_first(entry, ATTR_PH_STATUS));
	if (answer == ENTRY_STATUS_NO) {
		decision_gone(d, CAUSE_DISABLED);
		return false;
	}
	if (answer == ENTRY_STATUS_LATER && (item->depth == 0 || is_relayed)) {
		decision_later(d, CAUSE_HOLD); // one member on hold does not hold a group: its mailbox host defers it
		return false;
	}
	if (entry_is_expired(entry, clock_wall_ms())) {
		decision_reason(d, "expired", entry->dn, ATTR_PH_EXPIRES, entry_first(entry, ATTR_PH_EXPIRES));
		decision_gone(d, CAUSE_DISABLED);
		return false;
	}
	return true;
}

// phMaxMessageBytes of the recipient itself. That of a member is its mailbox host's matter, who tells the sender of this one
// alone; that of a list in a list is asked with its policy.
static bool size_accepts(struct decision *d, const struct decision_item *item, const struct entry *entry)
{
	struct service_grant grant;
	if (item->parent)
		return true;
	d->entries++;
	switch (service_number(d->directory, entry, ATTR_PH_MAX_MESSAGE_BYTES, d->scratch, &grant)) {
	case SERVICE_UNSET:
		return true;
	case SERVICE_MISSING:
		decision_reason(d, "missing class", entry->dn, ATTR_PH_CLASS_OF_SERVICE, entry_first(entry,
			ATTR_PH_CLASS_OF_SERVICE));
		return true;
	case SERVICE_UNAVAILABLE:
		decision_reason(d, "unavailable", entry->dn, ATTR_PH_CLASS_OF_SERVICE, entry_first(entry,
			ATTR_PH_CLASS_OF_SERVICE));
		decision_later(d, CAUSE_UNAVAILABLE);
		return false;
	case SERVICE_SET:
		break;
	}
	if (grant.value == SERVICE_UNLIMITED)
		return true;
	d->bytes_max = (uint64_t)grant.value;
	decision_reason(d, "size limit", grant.entry, ATTR_PH_MAX_MESSAGE_BYTES, arena_printf(d->scratch, "%" PRIi64,
		grant.value));
	if (d->bytes_max > 0 && d->query->message_bytes <= d->bytes_max)
		return true;
	decision_gone(d, CAUSE_SIZE);
	return false;
}

size_t recipient_add_values(struct decision *d, struct decision_item *item, const struct entry *entry, enum attr attr,
	const char *rule)
{
	const struct attr_info *info = attr_by_number((unsigned)attr);
	struct entry_cursor cursor = {0};
	struct str value;
	size_t n = 0;
	for (; entry_next(entry, attr, &cursor, &value) && !d->too_big; n++) {
		if (decision_has_enough(d, n))
			break;
		decision_reason(d, rule, entry->dn, attr, value);
		decision_add(d, item, value, info->check == ATTR_CHECK_NAME);
	}
	return n;
}

struct str recipient_key(struct decision *d, const struct entry *entry, const struct addr *addr)
{
	struct addr first;
	if (recipient_own_address(d, entry, &first))
		return arena_dup(d->work, first.key);
	return addr ? arena_dup(d->work, addr->key) : STR_NONE;
}

static void apply_user(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *addr,
	struct str detail)
{
	if (entry_has(user, ATTR_PH_FORWARD_ADDRESS) || entry_has(user, ATTR_PH_FORWARD_DN)) {
		struct str outer = item->forwarder;
		decision_is(d, RECIPIENT_FORWARD);
		item->forwarder = recipient_key(d, user, addr);
		recipient_add_values(d, item, user, ATTR_PH_FORWARD_ADDRESS, "forward");
		recipient_add_values(d, item, user, ATTR_PH_FORWARD_DN, "forward");
		item->forwarder = outer; // the copy that is kept belongs to this message
		if (!entry_flag(user, ATTR_PH_FORWARD_KEEP_COPY))
			return;
		decision_reason(d, "keep copy", user->dn, ATTR_PH_FORWARD_KEEP_COPY, entry_first(user,
			ATTR_PH_FORWARD_KEEP_COPY));
	} else if (entry_has(user, ATTR_MAIL_ROUTING_ADDRESS)) {
		if (!other_host_takes(d, item, user, addr))
			other_host_route(d, item, user, addr, detail);
		return;
	}
	to_mailbox(d, item, user, addr, detail);
}

// Aliases, groups and lists: everybody they name.
static void apply_group(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *addr)
{
	static const enum attr named[] = {
		ATTR_RFC822_MAIL_MEMBER, ATTR_MEMBER, ATTR_MAIL_ROUTING_ADDRESS, ATTR_PH_FORWARD_ADDRESS};
	size_t n = 0;
	decision_is(d, RECIPIENT_EXPAND);
	item->dn = arena_dup(d->work, group->dn);
	item->key = recipient_key(d, group, addr);
	if (recipient_stops_at_list(d, item, group, addr))
		return;
	for (size_t i = 0; i < sizeof named / sizeof *named; i++)
		n += recipient_add_values(d, item, group, named[i], group->classes & ENTRY_ALIAS ? "alias" : "member");
	if (d->probe == DECISION_PROBE_NAMED && n > 0 && entry_has(group, ATTR_MEMBER_URL)) // they cost a walk through the shadow
		d->probe_urls_left = true;
	else
		n += list_add_by_url(d, item, group);
	if (n == 0 && !d->too_big) {
		decision_reason(d, "no members", group->dn, ATTR_NONE, STR_NONE);
		decision_gone(d, CAUSE_EMPTY);
	}
}

// A person or group of the directory that is not ours, named as a member: by its address.
static void apply_stranger(struct decision *d, struct decision_item *item, const struct entry *entry)
{
	if (recipient_add_values(d, item, entry, ATTR_MEMBER, "member") > 0)
		return;
	struct str mail = entry_first(entry, ATTR_MAIL);
	if (mail.p) {
		decision_reason(d, "member's address", entry->dn, ATTR_MAIL, mail);
		decision_add(d, item, mail, false);
		return;
	}
	decision_reason(d, "no address", entry->dn, ATTR_MAIL, STR_NONE);
	decision_gone(d, CAUSE_UNKNOWN);
}

void recipient_entry(struct decision *d, struct decision_item *item, const struct entry *entry, const struct addr *addr,
	struct str detail)
{
	item->entry = entry->uuid;
	if (decision_is_loop(item, &entry->uuid)) {
		// A forward that comes home ends in the mailbox: that keeps a copy. An alias that comes home has no more to say.
		decision_reason(d, "loop", entry->dn, ATTR_NONE, item->text);
		if (entry->classes & ENTRY_USER)
			to_mailbox(d, item, entry, addr, detail);
		else
			decision_gone(d, CAUSE_LOOP);
		return;
	}
	if (!decision_once(d, item, &entry->uuid))
		return;
	if (!recipient_status_accepts(d, item, entry, false) || !size_accepts(d, item, entry))
		return;
	if (entry->classes & ENTRY_USER)
		apply_user(d, item, entry, addr, detail);
	else if (entry->classes & (ENTRY_ALIAS | ENTRY_GROUP | ENTRY_LIST | ENTRY_RECIPIENT))
		apply_group(d, item, entry, addr);
	else
		apply_stranger(d, item, entry);
}
