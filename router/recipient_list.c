// SPDX-License-Identifier: Apache-2.0
// A list or group that a decision meets: who may post, and is it expanded now, or a target of its own.
//
// At RCPT a list is one target, which the queue expands once the message is accepted. Then, and for whoever asks why, its members
// are looked up; lists among them belong to it (list.h), and stop here only when they refuse this sender.
#include <inttypes.h>

#include "base/must.h"
#include "list.h"
#include "recipient_steps.h"

// The address of a group: the one it was found by, else its first.
static bool address_of(struct decision *d, const struct entry *group, const struct addr *found, struct addr *addr_out)
{
	if (found)
		*addr_out = *found;
	return found || addr_parse(d->scratch, entry_first(group, ATTR_MAIL), ADDR_UTF8 | ADDR_LONG_LOCAL, addr_out) == ADDR_OK;
}

// Is it what a message was accepted for?
static bool is_expanded_now(const struct decision *d, const struct decision_item *item)
{
	enum recipient_lists lists = d->query->lists;
	return item->parent == NULL && (lists == RECIPIENT_LISTS_NOW || lists == RECIPIENT_LISTS_INLINE);
}

// Does a list above have it?
static bool is_in_list(const struct decision_item *item)
{
	return item->list.n > 0 && item->forwarder.n == 0;
}

static void add_target(struct decision *d, const struct decision_item *item, const struct addr *addr, bool moderated,
	struct str refusal)
{
	decision_target(d, &(struct recipient_target){.kind = RECIPIENT_LIST, .address = addr, .list = item->list,
				   .forwarder = item->forwarder, .moderated = moderated, .refusal = refusal});
}

// It sends copies: what they carry.
static void begin_list(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *addr,
	struct str owner)
{
	item->list = recipient_key(d, group, addr); // its copies are its own: part of the delivery key
	item->no_author = entry_flag(group, ATTR_PH_LIST_SUPPRESS_SENDER);
	if (owner.n)
		decision_reason(d, "owner sender", group->dn,
			entry_has(group, ATTR_PH_LIST_ERRORS_TO) ? ATTR_PH_LIST_ERRORS_TO : ATTR_NONE, owner);
	const struct list_header *header = list_header_of(d, group, addr);
	if (item->parent == NULL) {
		d->is_list = true;
		d->owner = arena_dup(d->arena, owner);
		d->header = header;
	}
}

// A refusal inside a list is for the list's owner to hear; of the recipient itself, or in a group, it is the sender's.
static void turn_away(struct decision *d, const struct decision_item *item, const struct entry *group, const struct addr *found,
	enum decision_cause cause)
{
	struct addr addr;
	struct str refusal = decision_refusal(d, cause);
	if (is_in_list(item) && d->query->lists != RECIPIENT_LISTS_ALL && refusal.n && address_of(d, group, found, &addr))
		add_target(d, item, &addr, false, refusal);
	else
		decision_gone(d, cause);
}

// To its moderators: by a message of the list's own, as reports about them are its owner's; in the message that a list sent at
// once, for an end to lists that moderate each other.
static void ask_moderators(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *found)
{
	struct addr addr;
	struct str owner;
	enum recipient_lists lists = d->query->lists;
	bool has_address = address_of(d, group, found, &addr);
	bool at_rcpt = lists == RECIPIENT_LISTS_LATER && item->parent == NULL;
	if (has_address && !at_rcpt && (lists == RECIPIENT_LISTS_LATER || lists == RECIPIENT_LISTS_NOW)) {
		decision_reason(d, "list", group->dn, ATTR_NONE, addr.text);
		add_target(d, item, &addr, true, STR_NONE);
		return;
	}
	if (lists == RECIPIENT_LISTS_ALL && has_address && !is_in_list(item) && list_is_one(d, group, &addr, &owner))
		begin_list(d, item, group, &addr, owner);
	// if none of them is there, recipient.c tries the owners, and makes one target of them at RCPT
	if (item->parent == NULL) {
		d->moderated = decision_keep_entry(d, group);
		if (has_address)
			d->moderated_addr = addr_copy(d->work, &addr);
	} else if (has_address) {
		item->list = recipient_key(d, group, &addr);
	}
	item->no_author = false; // a moderator who wrote it is no moderator who has read it
	list_add_moderators(d, item, group);
}

// phMaxMessageBytes of a list in a list.
static bool is_too_large(struct decision *d, const struct decision_item *item, const struct entry *group)
{
	uint64_t max;
	struct str text = entry_first(group, ATTR_PH_MAX_MESSAGE_BYTES);
	if (!is_in_list(item) || !text.p || !str_to_u64(text, INT64_MAX, &max))
		return false;
	decision_reason(d, "size limit", group->dn, ATTR_PH_MAX_MESSAGE_BYTES, text);
	return max == 0 || d->query->message_bytes > max;
}

// False: its members are the next.
static bool stops_at_policy(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *found)
{
	enum decision_cause cause = CAUSE_SIZE;
	enum list_post answer = is_too_large(d, item, group) ? LIST_POST_REFUSED : list_may_post(d, item, group, &cause);
	switch (answer) {
	case LIST_POST_ALLOWED:
		return false;
	case LIST_POST_REFUSED:
		turn_away(d, item, group, found, cause);
		return true;
	case LIST_POST_LATER:
		return true;
	case LIST_POST_MODERATED:
		ask_moderators(d, item, group, found);
		return true;
	}
	unreachable("list_post");
}

bool recipient_stops_at_list(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *found)
{
	struct addr addr;
	struct str owner;
	enum recipient_lists lists = d->query->lists;
	bool now = is_expanded_now(d, item), moderated = now && d->query->moderated;
	bool open = now || (found && addr_is_postmaster(found)); // RFC 5321 section 4.5.1: whatever its policy is
	if (!open && stops_at_policy(d, item, group, found))
		return true;
	if (is_in_list(item)) { // it is one with the list above
		item->no_author = item->no_author || entry_flag(group, ATTR_PH_LIST_SUPPRESS_SENDER);
		return false;
	}
	if (!address_of(d, group, found, &addr) || !list_is_one(d, group, &addr, &owner))
		return false;
	if (lists == RECIPIENT_LISTS_LATER || (lists == RECIPIENT_LISTS_NOW && !now)) {
		if (lists == RECIPIENT_LISTS_LATER && !recipient_reaches_somebody(d, group, &addr))
			return true;
		decision_reason(d, "list", group->dn, ATTR_NONE, addr.text);
		add_target(d, item, &addr, false, STR_NONE);
		return true;
	}
	begin_list(d, item, group, &addr, owner);
	if (moderated)
		ask_moderators(d, item, group, found);
	return moderated;
}
