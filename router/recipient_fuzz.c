// SPDX-License-Identifier: Apache-2.0
// Any directory, any recipient: the first line is the address, the rest LDIF. A verdict is whole and the same twice; what is not
// from a complete and fresh shadow is never final; a mailbox is at home where the front-end would send it.
// Covers: router/recipient.c router/recipient_address.c router/recipient_entry.c router/recipient_list.c router/list.c router/list_post.c router/decision.c router/outside.c router/other_host.c router/relay.c router/route.c router/access.c router/host.c router/home.c router/sender.c router/our_domain.c ldapsync/directory_memory.c
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "mail/route_rule.h"
#include "ldapsync/directory_memory.h"
#include "router/home.h"
#include "router/host.h"
#include "router/recipient.h"
#include "router/sender.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 8 << 20, ENTRIES_MAX = 300, ENTRIES_OF_LISTS_MAX = RECIPIENT_ENTRIES_FIBER + 1, ACCOUNTS = 6 };

static void check_target(const struct recipient_target *target, struct arena *arena)
{
	struct addr again;
	struct route_rule route;
	must(addr_parse(arena, target->address->text, ADDR_UTF8 | ADDR_LONG_LOCAL, &again) == ADDR_OK &&
		addr_same(&again, target->address));
	must((target->host.n > 0) == (target->kind != RECIPIENT_LIST));
	switch (target->kind) {
	case RECIPIENT_MAILBOX:
		must(!guid_is_zero(&target->mailbox_id));
		return;
	case RECIPIENT_OUTSIDE:
		must(guid_is_zero(&target->mailbox_id));
		must(str_eq(target->host, STR("relay.example:25")) || route_rule_of_text(arena, target->host, &route));
		return;
	case RECIPIENT_LIST:
		must(guid_is_zero(&target->mailbox_id));
		return;
	}
	unreachable("kind of target");
}

static void decide_as(struct directory *directory, const struct addr *to, bool authenticated, enum recipient_lists lists,
	struct arena *arena, struct recipient_verdict *out)
{
	struct addr author;
	bool named = addr_parse(arena, STR("anna@uni.example"), 0, &author) == ADDR_OK;
	must(named);
	const struct access_table table = {.directory = directory, .delimiters = STR("+")};
	struct str key = STR("sha256:00");
	struct netaddr_net net = {.addr = {.family = NETADDR_IPV4, .ip = {198, 51, 100}}, .bits = 24};
	const struct settings_list keys = {&key, 1};
	const struct settings_networks networks = {&net, 1};
	struct relay_client client = {.address = {.family = NETADDR_IPV4, .ip = {192, 0, 2, 7}}, .networks = &networks,
		.certificate = STR("sha256:11"), .certificates = &keys}; // of which it has none
	struct access access, of_sender;
	access_client(&table, &client.address, arena, &access);
	access_sender(&table, &author, arena, &of_sender);
	must(!of_sender.relays && (!access.refuses || (access.reply.code >= 400 && access.reply.code < 600)));
	client.access = &access;
	static const struct home_rules here = {.hostname = {"mx.uni.example", 14}};
	const struct recipient_query query = {.recipient = to, .client = lists == RECIPIENT_LISTS_NOW ? NULL : &client,
		.sender = lists == RECIPIENT_LISTS_ALL ? NULL : &author,
		.authenticated = authenticated, .lists = lists, .delimiters = STR("+"),
		.here = &here, .keep_detail = authenticated,
		.relayhost = STR("relay.example:25"), .default_domain = STR("uni.example"),
		.entries_max = lists == RECIPIENT_LISTS_NOW ? ENTRIES_OF_LISTS_MAX : ENTRIES_MAX,
		.moderated = lists == RECIPIENT_LISTS_INLINE, .message_bytes = authenticated ? 100000 : 0};
	recipient_decide(directory, &query, arena, out);
	for (size_t i = 0; i < out->n_targets; i++) // only what a list sends is refused in parts
		must(out->targets[i].refusal.n == 0 ||
			(out->is_list && (lists == RECIPIENT_LISTS_NOW || lists == RECIPIENT_LISTS_INLINE)));
	must(out->enhanced.n >= 5 && out->enhanced.p[0] == '0' + out->code / 100 && str_is_printable(out->text));
	switch (out->outcome) {
	case RECIPIENT_DELIVER:
	case RECIPIENT_EXPAND:
	case RECIPIENT_FORWARD:
	case RECIPIENT_RELAY:
	case RECIPIENT_DISCARD:
		must(out->code == 250 && out->n_targets > 0);
		break;
	case RECIPIENT_REFUSE:
		must(out->code >= 500 && out->n_targets == 0 && out->shadow.complete && out->shadow.fresh);
		break;
	case RECIPIENT_DEFER:
		must(out->code >= 400 && out->code < 500 && out->n_targets == 0);
		break;
	}
	for (size_t i = 0; i < out->n_targets; i++)
		check_target(&out->targets[i], arena);
	for (size_t i = 0; i < out->n_reasons; i++)
		must(recipient_rule_text(out->reasons[i].rule) != NULL);
}

static void decide(struct directory *directory, const struct addr *to, bool authenticated, struct arena *arena,
	struct recipient_verdict *out)
{
	decide_as(directory, to, authenticated, RECIPIENT_LISTS_LATER, arena, out);
}

// A list that was accepted is expanded by its address: into no list that is itself, and as everybody who asks why is told.
static void check_lists(struct directory *directory, const struct recipient_verdict *verdict, struct arena *arena)
{
	for (size_t i = 0; i < verdict->n_targets; i++) {
		struct recipient_verdict now, all;
		if (verdict->targets[i].kind != RECIPIENT_LIST)
			continue;
		decide_as(directory, verdict->targets[i].address, false, RECIPIENT_LISTS_NOW, arena, &now);
		decide_as(directory, verdict->targets[i].address, false, RECIPIENT_LISTS_ALL, arena, &all);
		must(now.outcome != RECIPIENT_DELIVER && all.outcome != RECIPIENT_DELIVER);
		for (size_t k = 0; k < all.n_targets; k++)
			must(all.targets[k].kind != RECIPIENT_LIST);
	}
}

// The node that the only target of a delivery is on takes it as its own (router/home.h).
static void check_home(struct directory *directory, const struct recipient_verdict *verdict, struct arena *arena)
{
	if (verdict->outcome != RECIPIENT_DELIVER || verdict->n_targets != 1 || verdict->targets[0].kind != RECIPIENT_MAILBOX)
		return;
	const struct recipient_target *target = &verdict->targets[0];
	const struct home_rules rules = {.serves = &target->host, .n_serves = 1, .delimiters = STR("+")};
	struct home home;
	struct host host;
	char account[GUID_TEXT_BYTES];
	home_of_recipient(directory, &rules, target->address, arena, &home);
	must(home.answer != HOME_HERE || guid_eq(&home.mailbox_id, &target->mailbox_id));
	home_of_account(directory, &rules, guid_text(&target->mailbox_id, account), arena, &home);
	must(home.answer != HOME_HERE || guid_eq(&home.mailbox_id, &target->mailbox_id));
	must(host_find(directory, target->host, STR("lmtp"), arena, &host) == HOST_FOUND && host.endpoint.port &&
		host.endpoint.host.n);
	for (size_t i = 0; i < host.n_pins; i++)
		must(host_by_pin(directory, host.pins[i], arena, NULL) != HOST_UNAVAILABLE);
}

static void check_answer(const struct home *home, bool fresh)
{
	switch (home->answer) {
	case HOME_HERE:
	case HOME_ELSEWHERE:
		must(!guid_is_zero(&home->mailbox_id) && home->host.n > 0 && home->entry != NULL);
		break;
	case HOME_NONE:
	case HOME_REFUSED:
		must(fresh && home->text != NULL);
		break;
	case HOME_HELD:
	case HOME_UNAVAILABLE:
		must(home->text != NULL);
		break;
	}
}

// Whoever logs in, and whoever a node is asked to take mail for, whatever the front-end thinks.
static void check_node(struct directory *directory, const struct addr *to, bool fresh, struct arena *arena)
{
	static const struct home_rules here = {.hostname = STR("mb1.uni.example"), .delimiters = STR("+")},
		elsewhere = {.hostname = STR("mb2.uni.example"), .delimiters = STR("+-")};
	struct home home;
	if (to->domain.kind != DOMAIN_NONE) {
		home_of_recipient(directory, &here, to, arena, &home);
		check_answer(&home, fresh);
	}
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		char account[GUID_TEXT_BYTES];
		struct sender_why why;
		snprintf(account, sizeof account, "000000000000000000000000000000%02x", 0x0a + i);
		home_of_account(directory, i % 2 ? &here : &elsewhere, str_of_c(account), arena, &home);
		check_answer(&home, fresh);
		enum sender_answer answer = to->domain.kind == DOMAIN_NONE ? SENDER_UNAVAILABLE :
			sender_check(directory, str_of_c(account), to, STR("+"), arena, &why);
		must(answer != SENDER_REFUSED || fresh);
		must(answer != SENDER_ALLOWED || (*why.attribute && why.entry.n && why.value.n));
	}
}

static void check(struct directory *directory, struct directory_memory *memory, const struct addr *to, struct arena *arena)
{
	struct recipient_verdict first, again, stale;
	decide(directory, to, false, arena, &first);
	decide(directory, to, false, arena, &again);
	must(first.outcome == again.outcome && first.code == again.code && first.n_targets == again.n_targets &&
		first.n_reasons == again.n_reasons);
	check_lists(directory, &first, arena);
	check_home(directory, &first, arena);
	check_node(directory, to, true, arena);
	decide(directory, to, true, arena, &again); // who logged in may send where a stranger may not, and nowhere less
	must(first.code >= 400 || again.code < 400);
	directory_memory_set_status(memory, &(struct directory_status){.version = 2, .complete = true, .fresh = false});
	decide(directory, to, false, arena, &stale);
	check_node(directory, to, false, arena);
	must(stale.code < 500 && (stale.code >= 400 || first.code < 400)); // a member who is gone may not be gone
	directory_memory_set_status(memory, &(struct directory_status){.version = 3});
	decide(directory, to, false, arena, &stale);
	check_node(directory, to, false, arena);
	must(stale.code >= 400 && stale.code < 500);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct clock_fake now = {.mono_ms = 1000, .wall_ms = 1795286655000};
	struct str text, ldif;
	struct directory_memory *memory;
	struct addr to;
	struct err err;
	if (!str_cut(str_of((const char *)data, size), '\n', &text, &ldif))
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	clock_inject(&now);
	struct arena *arena = arena_new(ARENA_BYTES);
	struct directory *directory = directory_memory_new(ldif, &memory, &err);
	struct str path = arena_printf(arena, "<%.*s>", STR_FMT(text));
	if (directory && addr_parse_path(arena, &path, ADDR_UTF8 | ADDR_ALLOW_POSTMASTER, &to) == ADDR_OK)
		check(directory, memory, &to, arena);
	directory_close(&directory);
	arena_free(&arena);
	clock_inject(NULL);
	return 0;
}
