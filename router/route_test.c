// SPDX-License-Identifier: Apache-2.0
// Routes as tables: a directory, an address, who sends; where it goes and by which rule. Decided as RCPT TO is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "ldapsync/directory_memory.h"
#include "router/recipient.h"
#include "router/route.h"

#define ROUTE(cn, key, more) "dn: cn=" cn ",ou=routes,dc=uni\nobjectClass: phMailRoute\ncn: " cn "\nphRouteKey: " key "\n" more "\n\n"
#define DOMAIN(name, type, more)                                                                                              \
	"dn: associatedDomain=" name ",dc=uni\nobjectClass: phMailDomain\nassociatedDomain: " name "\nphDomainType: " type "\n" more "\n"

static const char world_ldif[] =
	DOMAIN("uni.example", "local", "")
	DOMAIN("relay.example", "relay", "phIncludeSubdomains: TRUE\n")
	DOMAIN("own.example", "relay", "phRelayTransport: esmtp:[own-gw.example]:26\n")
	DOMAIN("split.example", "local", "phUnknownUser: relay\nphRelayTransport: esmtp:[old.example]\n")
	DOMAIN("mx.example", "relay", "phRelayTransport: esmtp:mail.mx.example\n")
	DOMAIN("bad.example", "relay", "phRelayTransport: carrier-pigeon:x\n")
	"dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"
	"dn: uid=anna,dc=uni\nobjectClass: phMailUser\nuid: anna\nmail: anna@uni.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-00000000000a\n\n"
	"dn: uid=fwd,dc=uni\nobjectClass: phMailUser\nuid: fwd\nmail: fwd@uni.example\nmailHost: mb1.uni.example\n"
	"phForwardAddress: x@thrown.example\nphForwardKeepCopy: TRUE\nentryUUID: 00000000-0000-0000-0000-00000000000b\n\n"
	ROUTE("local", "uni.example", "phRouteTarget: discard:") // not for local hosts
	ROUTE("one", "exact.example", "phRouteTarget: esmtp:[gw1.example]:25")
	ROUTE("below", ".exact.example", "phRouteTarget: esmtp:[gw2.example]:25")
	ROUTE("deep", ".a.exact.example", "phRouteTarget: esmtp:[gw3.example]:25")
	ROUTE("user", "boss@exact.example", "phRouteTarget: esmtp:[gw4.example]:25")
	ROUTE("detail", "boss+x@exact.example", "phRouteTarget: esmtp:[gw5.example]:25")
	ROUTE("literal", "[192.0.2.9]", "phRouteTarget: smtp::26")
	ROUTE("tls", "tls.example", "phRouteTarget: esmtp:[gw.tls.example]\nphRouteTls: verify\nphRouteOptions: tls_name=mx.tls.example")
	ROUTE("two", "two.example", "phRouteTarget: esmtp:[a.two.example],[b.two.example]\nphRouteTarget: esmtp:[c.two.example]:26")
	ROUTE("thrown", "thrown.example", "phRouteTarget: discard:")
	ROUTE("no", "no.example", "phRouteTarget: error:5.7.1:550 we send nothing there")
	ROUTE("later", "later.example", "phRouteTarget: error:4.7.1:450 not today")
	ROUTE("here", "here.example", "phRouteTarget: local:")
	ROUTE("tohim", "tohim.example", "phRouteTarget: local:anna")
	ROUTE("toaddr", "toaddr.example", "phRouteTarget: local:anna@uni.example")
	ROUTE("same", "same.example", "phRouteTarget: :")
	ROUTE("needsmx", "needsmx.example", "phRouteTarget: esmtp:mail.needsmx.example")
	ROUTE("nohop", "nohop.example", "phRouteTarget: esmtp:")
	ROUTE("dane", "dane.example", "phRouteTarget: esmtp:[gw.dane.example]\nphRouteTls: dane")
	ROUTE("option", "option.example", "phRouteTarget: esmtp:[gw.option.example]\nphRouteOptions: colour=red")
	ROUTE("empty", "empty.example", "description: no target")
	ROUTE("twin1", "twin.example", "phRouteTarget: discard:")
	ROUTE("twin2", "Twin.example", "phRouteTarget: esmtp:[gw1.example]")
	ROUTE("mailbox", "uni.relay.example", "phRouteTarget: esmtp:[gw.relay.example]")
	ROUTE("sender", "from:anna@uni.example", "phRouteTarget: esmtp:[anna-gw.example]")
	ROUTE("senders", "from:@uni.example", "phRouteTarget: esmtp:[uni-gw.example]");

static const char catch_all[] = ROUTE("rest", "*", "phRouteTarget: esmtp:[smart.example]:587\nphRouteTls: encrypt");

struct world {
	struct directory *directory, *with_catch_all;
	struct arena *arena;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	struct err err;
	world->arena = arena_new(64 << 20);
	world->directory = directory_memory_new(str_of_c(world_ldif), NULL, &err);
	world->with_catch_all =
		directory_memory_new(arena_printf(world->arena, "%s%s", world_ldif, catch_all), NULL, &err);
	assert_true(world->directory && world->with_catch_all);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	directory_close(&world->directory);
	directory_close(&world->with_catch_all);
	arena_free(&world->arena);
	free(world);
	return 0;
}

struct question {
	const char *address, *sender;
	bool guest, no_relayhost, catch_all;
};

static struct recipient_verdict decide(struct world *world, struct question q)
{
	struct addr addr, sender;
	struct recipient_verdict verdict;
	assert_int_equal(addr_parse(world->arena, str_of_c(q.address), ADDR_UTF8, &addr), ADDR_OK);
	assert_int_equal(addr_parse(world->arena, str_of_c(q.sender ? q.sender : "x@else.example"), ADDR_UTF8, &sender), ADDR_OK);
	struct recipient_query query = {.recipient = &addr, .sender = &sender, .authenticated = !q.guest, .delimiters = STR("+"),
		.relayhost = q.no_relayhost ? STR_NONE : STR("relayhost.example:25"), .default_domain = STR("uni.example")};
	recipient_decide(q.catch_all ? world->with_catch_all : world->directory, &query, world->arena, &verdict);
	return verdict;
}

static const struct recipient_reason *reason(const struct recipient_verdict *verdict, const char *rule)
{
	for (size_t i = 0; i < verdict->n_reasons; i++)
		if (strcmp(verdict->reasons[i].rule, rule) == 0)
			return &verdict->reasons[i];
	return NULL;
}

static struct str hosts(struct world *world, const struct recipient_verdict *verdict)
{
	struct buf b;
	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < verdict->n_targets; i++)
		buf_printf(&b, "%s%.*s", i ? " " : "", STR_FMT(verdict->targets[i].host));
	struct str text = arena_dup(world->arena, buf_str(&b));
	buf_fini(&b);
	return text;
}

#define RELAYHOST "relayhost.example:25"

static const struct row {
	struct question q;
	enum recipient_outcome outcome;
	int code;
	const char *hosts; // or, of a refusal, its text
	const char *rule;
} rows[] = {
	// the order of keys
	{{"x@exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw1.example]:25", "route"},
	{{"X@Exact.Example."}, RECIPIENT_RELAY, 250, "esmtp:[gw1.example]:25", "route"},
	{{"x@b.exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw2.example]:25", "route"},
	{{"x@c.b.exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw2.example]:25", "route"},
	{{"x@b.a.exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw3.example]:25", "route"},
	{{"x@a.exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw2.example]:25", "route"}, // .a.exact.example is for what is below it
	{{"boss@exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw4.example]:25", "route"},
	{{"Boss+y@exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw4.example]:25", "route"},
	{{"boss+x@exact.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw5.example]:25", "route"},
	{{"x@notexact.example"}, RECIPIENT_RELAY, 250, RELAYHOST, "outside"},
	{{"x@[192.0.2.9]"}, RECIPIENT_RELAY, 250, "esmtp:[192.0.2.9]:26", "route"}, // smtp::26 connects to the literal
	{{"x@[192.0.2.10]"}, RECIPIENT_REFUSE, 550, "mail to address literals is not accepted here", "literal"},
	{{"x@[192.0.2.9]", .guest = true}, RECIPIENT_REFUSE, 550, "mail to address literals is not accepted here", "literal"},
	{{"x@else.example", .catch_all = true}, RECIPIENT_RELAY, 250, "esmtp:[smart.example]:587;tls=encrypt", "route"},
	{{"x@[192.0.2.10]", .catch_all = true}, RECIPIENT_REFUSE, 550, "mail to address literals is not accepted here", "literal"},
	// not for local hosts
	{{"anna@uni.example"}, RECIPIENT_DELIVER, 250, "mb1.uni.example", "mailbox"},
	{{"nobody@uni.example", .catch_all = true}, RECIPIENT_REFUSE, 550, "no such user here", "unknown user"},
	// what a row can say
	{{"x@tls.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw.tls.example]:25;tls=verify;tls_name=mx.tls.example", "route"},
	{{"x@two.example"}, RECIPIENT_RELAY, 250, "esmtp:[a.two.example]:25,[b.two.example]:25,[c.two.example]:26", "route"},
	{{"x@thrown.example"}, RECIPIENT_DISCARD, 250, "discard:", "discarded"},
	{{"x@no.example"}, RECIPIENT_REFUSE, 550, "we send nothing there", "route"},
	{{"x@later.example"}, RECIPIENT_DEFER, 450, "not today", "route"},
	{{"anna@here.example"}, RECIPIENT_EXPAND, 250, "mb1.uni.example", "mailbox"},
	{{"zoe@here.example"}, RECIPIENT_REFUSE, 550, "no such user here", "unknown user"},
	{{"zoe@tohim.example"}, RECIPIENT_EXPAND, 250, "mb1.uni.example", "mailbox"},
	{{"zoe@toaddr.example"}, RECIPIENT_EXPAND, 250, "mb1.uni.example", "mailbox"},
	{{"x@same.example"}, RECIPIENT_RELAY, 250, RELAYHOST, "outside"},
	{{"x@same.example", .catch_all = true}, RECIPIENT_RELAY, 250, RELAYHOST, "outside"}, // the search has ended
	{{"fwd@uni.example", .guest = true}, RECIPIENT_FORWARD, 250, "mb1.uni.example discard:", "discarded"},
	// a doubt is never another way
	{{"x@needsmx.example"}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	{{"x@nohop.example"}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	{{"x@dane.example"}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	{{"x@option.example"}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	{{"x@empty.example"}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	{{"x@twin.example"}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	// domains of ours that are elsewhere
	{{"x@own.example", .guest = true}, RECIPIENT_RELAY, 250, "esmtp:[own-gw.example]:26", "relay transport"},
	{{"x@own.example", .guest = true, .catch_all = true}, RECIPIENT_RELAY, 250, "esmtp:[own-gw.example]:26", "relay transport"},
	{{"x@split.example", .guest = true}, RECIPIENT_RELAY, 250, "esmtp:[old.example]:25", "relay transport"},
	{{"x@relay.example", .guest = true}, RECIPIENT_RELAY, 250, RELAYHOST, "outside"},
	{{"x@uni.relay.example", .guest = true}, RECIPIENT_RELAY, 250, "esmtp:[gw.relay.example]:25", "route"},
	{{"x@mx.example", .guest = true}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	{{"x@bad.example", .guest = true}, RECIPIENT_DEFER, 451, "the way to this domain is not set up completely, try again later", "bad route"},
	{{"u%evil.example@own.example", .guest = true}, RECIPIENT_REFUSE, 550, "addresses with a route in their local part are not relayed", "old form"},
	// precedence: route table, sender, relayhost
	{{"x@else.example", "anna@uni.example"}, RECIPIENT_RELAY, 250, "esmtp:[anna-gw.example]:25", "sender route"},
	{{"x@else.example", "Bob@uni.example"}, RECIPIENT_RELAY, 250, "esmtp:[uni-gw.example]:25", "sender route"},
	{{"x@exact.example", "anna@uni.example"}, RECIPIENT_RELAY, 250, "esmtp:[gw1.example]:25", "route"},
	{{"x@own.example", "anna@uni.example"}, RECIPIENT_RELAY, 250, "esmtp:[own-gw.example]:26", "relay transport"},
	{{"x@same.example", "anna@uni.example"}, RECIPIENT_RELAY, 250, "esmtp:[anna-gw.example]:25", "sender route"},
	{{"x@else.example", .no_relayhost = true}, RECIPIENT_REFUSE, 550, "this server sends no mail to outside addresses", "no relayhost"},
	{{"x@exact.example", .no_relayhost = true}, RECIPIENT_RELAY, 250, "esmtp:[gw1.example]:25", "route"},
	// a route is no permission
	{{"x@exact.example", .guest = true}, RECIPIENT_REFUSE, 550, "relay access denied", "relay refused"},
	{{"x@thrown.example", .guest = true}, RECIPIENT_REFUSE, 550, "relay access denied", "relay refused"},
	{{"x@here.example", .guest = true}, RECIPIENT_REFUSE, 550, "relay access denied", "relay refused"},
	{{"x@else.example", "anna@uni.example", .guest = true}, RECIPIENT_REFUSE, 550, "relay access denied", "relay refused"},
};

static void rows_of_the_table(void **state)
{
	struct world *world = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		struct recipient_verdict v = decide(world, row->q);
		struct str got = v.n_targets ? hosts(world, &v) : v.text;
		if (v.outcome != row->outcome || v.code != row->code || !str_eq(got, str_of_c(row->hosts)) || reason(&v, row->rule) == NULL)
			fail_msg("%s (row %zu): %s %d \"%.*s\", reason %s %s", row->q.address, i, recipient_outcome_name(v.outcome), v.code,
				STR_FMT(got), row->rule, reason(&v, row->rule) ? "given" : "missing");
	}
}

static void reasons_name_entry_attribute_and_value(void **state)
{
	struct world *world = *state;
	struct recipient_verdict v = decide(world, (struct question){"x@c.b.exact.example"});
	const struct recipient_reason *route = reason(&v, "route");
	assert_non_null(route);
	assert_true(str_eq(route->entry, STR("cn=below,ou=routes,dc=uni")));
	assert_string_equal(route->attribute, "phRouteTarget");
	assert_true(str_eq(route->value, STR("esmtp:[gw2.example]:25")));
	v = decide(world, (struct question){"x@own.example", .guest = true});
	route = reason(&v, "relay transport");
	assert_non_null(route);
	assert_string_equal(route->attribute, "phRelayTransport");
	assert_true(str_eq(route->entry, STR("associatedDomain=own.example,dc=uni")));
	v = decide(world, (struct question){"x@dane.example"});
	assert_true(str_find(reason(&v, "bad route")->value, STR("DNSSEC")) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_the_table),
		cmocka_unit_test(reasons_name_entry_attribute_and_value),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
