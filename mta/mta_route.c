// SPDX-License-Identifier: Apache-2.0
// Where mail that waits goes now.
//
// A mailbox that is still there keeps its mail: it goes to the host that the directory names today, and what its owner's
// addresses and forwards say since does not count, because they were asked when it was accepted. Of a mailbox that is gone, and
// of an outside address, the recorded address is decided again, as RCPT would: by the route of today, into the mailbox or alias
// that it has become, or to nobody.
#include "mta_route.h"

#include "base/must.h"
#include "item.h"
#include "mail/route_rule.h"
#include "router/home.h"
#include "router/recipient.h"
#include "smtp_server.h"
#include "targets.h"

static enum queue_route_answer to_host(const struct record_recipient *r, struct str host, struct queue_route *out)
{
	out->to = *r;
	out->to.original = STR_NONE;
	out->to.destination = host;
	return str_eq(host, r->destination) ? QUEUE_ROUTE_SAME : QUEUE_ROUTE_OTHER;
}

// Its host asks for the mailbox by an address that it has.
static enum queue_route_answer to_home(struct arena *arena, const struct record_recipient *r, struct str host, struct str mail,
	struct queue_route *out)
{
	struct addr primary;
	enum queue_route_answer answer = to_host(r, host, out);
	if (addr_parse(arena, mail, ADDR_UTF8 | ADDR_LONG_LOCAL, &primary) != ADDR_OK || str_eq(primary.text, r->address))
		return answer;
	out->to.address = primary.text;
	out->to.key = primary.key;
	out->to.original = r->original.n ? STR_NONE : r->address;
	return QUEUE_ROUTE_OTHER;
}

// What the address has become: one other target, or several, which the queue expands.
static enum queue_route_answer replaced(const struct record_recipient *r, const struct addr *asked,
	const struct record_recipients *now, struct queue_route *out)
{
	if (now->n == 1) {
		out->to = now->v[0];
	} else {
		out->to = *r;
		out->to.address = asked->text;
		out->to.key = asked->key;
		out->to.target = RECORD_TO_EXPAND;
		out->to.destination = STR(RECORD_EXPAND_DESTINATION);
		out->to.mailbox_id = out->to.detail = out->to.stands_for = STR_NONE;
	}
	out->to.original = r->original.n ? STR_NONE : r->address;
	return QUEUE_ROUTE_OTHER;
}

static enum queue_route_answer of_targets(const struct record_recipient *r, const struct addr *asked,
	const struct record_recipients *now, struct queue_route *out)
{
	for (size_t i = 0; i < now->n; i++)
		if (item_same_target(r, &now->v[i]))
			return to_host(r, now->v[i].destination, out);
	return replaced(r, asked, now, out);
}

static enum queue_route_answer of_verdict(struct arena *arena, const struct record_recipient *r, const struct smtp_rcpt *rcpt,
	const struct recipient_verdict *verdict, struct queue_route *out)
{
	struct record_recipients now = {NULL, 0};
	if (!verdict->shadow.complete)
		return QUEUE_ROUTE_SAME; // nothing is known to have changed
	if (!targets_to_records(arena, rcpt, verdict, &now)) {
		out->reply = STR("451 4.3.0 too many recipients behind this address");
		return QUEUE_ROUTE_LATER;
	}
	out->reply = arena_printf(arena, "%d %.*s %.*s", verdict->code, STR_FMT(verdict->enhanced), STR_FMT(verdict->text));
	if (verdict->code >= 500)
		return QUEUE_ROUTE_NOBODY;
	return verdict->code >= 400 || now.n == 0 ? QUEUE_ROUTE_LATER : of_targets(r, &rcpt->to, &now, out);
}

// Sent by its owner's mailHost to what the entry says, it is the owner's: by itself the routing address would go another way.
static struct str address_of(const struct record_recipient *r)
{
	return r->stands_for.n ? r->stands_for : r->address;
}

static enum queue_route_answer decide_address(struct smtp_server *server, struct arena *arena,
	const struct queue_route_query *query, struct queue_route *out)
{
	struct settings_snapshot *snapshot;
	struct smtp_rcpt rcpt = {.notify = 0};
	struct addr sender = addr_null();
	struct recipient_verdict verdict;
	struct recipient_query asked = {.recipient = &rcpt.to, .sender = &sender, .authenticated = true, .waits = true};
	if (addr_parse(arena, address_of(query->recipient), ADDR_UTF8 | ADDR_LONG_LOCAL, &rcpt.to) != ADDR_OK)
		return QUEUE_ROUTE_SAME;
	if (query->sender.n && addr_parse(arena, query->sender, ADDR_UTF8 | ADDR_LONG_LOCAL, &sender) != ADDR_OK)
		asked.sender = NULL;
	snapshot = server->settings_get(server->arg);
	smtp_server_decide(server, settings_of(snapshot), &asked, arena, &verdict);
	settings_unref(&snapshot);
	return of_verdict(arena, query->recipient, &rcpt, &verdict, out);
}

// What a rule throws away ends at once; if it was held first, the rule still stands.
static bool is_thrown_away(const struct record_recipient *r)
{
	return r->target == RECORD_TO_RELAY && str_starts(r->destination, STR("discard:"));
}

enum queue_route_answer mta_route(void *arg, struct arena *arena, const struct queue_route_query *query,
	struct queue_route *route_out)
{
	struct smtp_server *server = arg;
	const struct record_recipient *r = query->recipient;
	struct str host, mail;
	struct guid mailbox;
	*route_out = (struct queue_route){.to = *r};
	if (r->target == RECORD_TO_EXPAND || is_thrown_away(r))
		return QUEUE_ROUTE_SAME;
	if (r->target == RECORD_TO_RELAY || !guid_parse(r->mailbox_id, &mailbox))
		return decide_address(server, arena, query, route_out);
	switch (home_of_mailbox(server->directory(server->arg), &mailbox, arena, &host, &mail)) {
	case DIRECTORY_FOUND:
		return to_home(arena, r, host, mail, route_out);
	case DIRECTORY_NONE:
		return decide_address(server, arena, query, route_out);
	case DIRECTORY_AMBIGUOUS: // the host that it came in for knows whose it is
	case DIRECTORY_UNAVAILABLE:
		return QUEUE_ROUTE_SAME;
	}
	unreachable("directory_answer");
}

// A reload may bring other settings and tables; both counts only grow.
uint64_t mta_route_world(void *arg)
{
	struct smtp_server *server = arg;
	struct directory_status status = directory_status(server->directory(server->arg));
	return status.complete ? status.version << 20 ^ atomic_load_explicit(&server->reloads, memory_order_relaxed) : 0;
}
