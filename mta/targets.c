// SPDX-License-Identifier: Apache-2.0
// From the router's targets to the queue's records.
#include "targets.h"

#include "base/must.h"

static uint8_t notify_of(unsigned notify)
{
	unsigned flags = 0;
	if (notify & SMTP_NOTIFY_NEVER)
		flags |= RECORD_NOTIFY_NEVER;
	if (notify & SMTP_NOTIFY_SUCCESS)
		flags |= RECORD_NOTIFY_SUCCESS;
	if (notify & SMTP_NOTIFY_FAILURE)
		flags |= RECORD_NOTIFY_FAILURE;
	if (notify & SMTP_NOTIFY_DELAY)
		flags |= RECORD_NOTIFY_DELAY;
	return (uint8_t)flags;
}

// What the queue is to ask for of a list (schema/record.h).
static struct str detail_of(struct arena *arena, const struct recipient_target *target)
{
	if (target->refusal.n)
		return arena_printf(arena, RECORD_EXPAND_REFUSED "%.*s", STR_FMT(target->refusal));
	return target->moderated ? STR(RECORD_EXPAND_MODERATED) : target->detail;
}

static enum record_target kind_of(enum recipient_target_kind kind)
{
	switch (kind) {
	case RECIPIENT_MAILBOX:
		return RECORD_TO_MAILBOX;
	case RECIPIENT_OUTSIDE:
		return RECORD_TO_RELAY;
	case RECIPIENT_LIST:
		return RECORD_TO_EXPAND;
	}
	unreachable("kind of a target");
}

void target_to_record(struct arena *arena, const struct smtp_rcpt *rcpt, const struct recipient_target *target,
	struct record_recipient *record_out)
{
	*record_out = (struct record_recipient){
		.target = kind_of(target->kind),
		.notify = notify_of(rcpt->notify),
		.address = target->address->text,
		.key = target->address->key,
		.original = addr_same(&rcpt->to, target->address) ? STR_NONE : rcpt->to.text,
		.destination = target->kind == RECIPIENT_LIST ? STR(RECORD_EXPAND_DESTINATION) : target->host,
		.detail = detail_of(arena, target),
		.list = target->list,
		.stands_for = target->stands_for,
	};
	if (rcpt->orcpt.n)
		record_out->orcpt = arena_printf(arena, "%.*s;%.*s", STR_FMT(rcpt->orcpt_type), STR_FMT(rcpt->orcpt));
	if (target->kind == RECIPIENT_MAILBOX) {
		char text[GUID_TEXT_BYTES];
		record_out->mailbox_id = arena_dup(arena, guid_text(&target->mailbox_id, text));
	}
}

bool targets_to_records(struct arena *arena, const struct smtp_rcpt *rcpt, const struct recipient_verdict *verdict,
	struct record_recipients *records_out)
{
	struct record_recipients records = {
		arena_array(arena, verdict->n_targets ? verdict->n_targets : 1, sizeof *records.v), verdict->n_targets};
	for (size_t i = 0; records.v && i < records.n; i++)
		target_to_record(arena, rcpt, &verdict->targets[i], &records.v[i]);
	if (arena_overflowed(arena))
		return false;
	*records_out = records;
	return true;
}
