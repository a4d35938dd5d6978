// SPDX-License-Identifier: Apache-2.0
// Client and sender together, as the access table has them.
#include "router/session.h"

#include "mail/route_rule.h"

void session_client(const struct access_table *table, const struct netaddr *client, struct arena *arena,
	struct session_access *access_out)
{
	access_client(table, client, arena, &access_out->client);
	access_out->sender = (struct access){.attribute = ""};
}

void session_sender(const struct access_table *table, const struct addr *sender, struct arena *arena,
	struct session_access *access)
{
	access->sender = (struct access){.attribute = ""};
	if (sender)
		access_sender(table, sender, arena, &access->sender);
}

struct str session_quarantine(const struct session_access *access)
{
	return access->client.quarantine.n ? access->client.quarantine : access->sender.quarantine;
}

static void throw_away(const struct addr *to, struct arena *arena, struct recipient_verdict *verdict)
{
	struct recipient_target *target = arena_alloc(arena, sizeof *target);
	verdict->outcome = RECIPIENT_DISCARD;
	verdict->n_targets = 0; // without memory for it: the end of the transaction finds out
	if (target == NULL)
		return;
	*target = (struct recipient_target){.kind = RECIPIENT_OUTSIDE,
		.address = to,
		.host = route_rule_text(arena, &(struct route_rule){.kind = ROUTE_RULE_DISCARD})};
	verdict->targets = target;
	verdict->n_targets = 1;
}

static void put_before(const char *rule, const struct access *access, struct arena *arena, struct recipient_verdict *verdict)
{
	struct recipient_reason *reasons = access->found ? arena_array(arena, verdict->n_reasons + 1, sizeof *reasons) : NULL;
	if (reasons == NULL)
		return;
	reasons[0] = (struct recipient_reason){
		.rule = rule, .entry = access->entry, .attribute = access->attribute, .value = access->value};
	for (size_t i = 0; i < verdict->n_reasons; i++)
		reasons[i + 1] = verdict->reasons[i];
	verdict->reasons = reasons;
	verdict->n_reasons++;
}

void session_apply(const struct session_access *access, const struct addr *to, struct arena *arena,
	struct recipient_verdict *verdict)
{
	struct str held = session_quarantine(access);
	if (verdict->code < 400 && (access->client.discards || access->sender.discards))
		throw_away(to, arena, verdict);
	if (verdict->code < 400 && held.n)
		verdict->quarantine = held;
	put_before("access sender", &access->sender, arena, verdict);
	put_before("access client", &access->client, arena, verdict);
}

bool session_refuses(const struct session_access *access, struct directory *directory, struct arena *arena,
	struct recipient_verdict *verdict_out)
{
	const struct access *by = access->client.refuses ? &access->client : &access->sender;
	if (!by->refuses)
		return false;
	*verdict_out = (struct recipient_verdict){.outcome = by->reply.code < 500 ? RECIPIENT_DEFER : RECIPIENT_REFUSE,
		.code = by->reply.code,
		.enhanced = by->reply.enhanced,
		.text = by->reply.text,
		.shadow = directory_status(directory)};
	put_before(by == &access->client ? "access client" : "access sender", by, arena, verdict_out);
	return true;
}
