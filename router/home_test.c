// SPDX-License-Identifier: Apache-2.0
// Homes, senders and hosts, from a directory in memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/home.h"
#include "router/host.h"
#include "router/sender.h"
#include "test_world.h"

#define USER(name, number, more)                                                                                               \
	"dn: uid=" name ",dc=uni\nobjectClass: phMailUser\nuid: " name "\nmail: " name "@uni.example\n"                        \
	"entryUUID: 00000000-0000-0000-0000-0000000000" number "\n" more "\n"

static const char people[] =
	"dn: dc=d1\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
	"dn: dc=d2\nobjectClass: phMailDomain\nassociatedDomain: alias.example\nphDomainType: alias\nphDomainAliasOf: uni.example\n"
	"phIncludeSubdomains: TRUE\n\n"
	"dn: dc=d4\nobjectClass: phMailDomain\nassociatedDomain: twice.example\nphDomainType: alias\nphDomainAliasOf: alias.example\n\n"
	"dn: dc=d5\nobjectClass: phMailDomain\nassociatedDomain: above.example\nphDomainType: local\nphIncludeSubdomains: TRUE\n"
	"phSubaddressDelimiter: _\nphStatus: suspended\n\n"
	"dn: dc=d3\nobjectClass: phMailDomain\nassociatedDomain: dash.example\nphDomainType: local\nphSubaddressDelimiter: -\n\n"
	"dn: dc=t1\nobjectClass: phMailDomain\nassociatedDomain: torn.example\nphDomainType: local\nphStatus: suspended\n\n"
	"dn: dc=t2\nobjectClass: phMailDomain\nassociatedDomain: torn.example\nphDomainType: local\n\n"
	"dn: cn=mb1\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\nphHostTlsPin: sha256:aa\n"
	"phHostTlsPin: sha256:bb\n\n"
	"dn: cn=mb2\nobjectClass: phMailHost\ncn: mb2.uni.example\nphHostEndpoint: LMTP=inet:[2001:db8::1]:2400\nphHostState: down\n\n"
	"dn: cn=mb4\nobjectClass: phMailHost\ncn: mb4.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.4:24\nphHostState: ReadOnly\n\n"
	"dn: cn=mb5\nobjectClass: phMailHost\ncn: mb5.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.5:24\nphHostState: dwon\n\n"
	"dn: cn=mb6\nobjectClass: phMailHost\ncn: mb6.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.6:24\nphHostState: drain\n\n"
	"dn: cn=mb3\nobjectClass: phMailHost\ncn: mb3.uni.example\nphHostEndpoint: lmtp=unix:/x\nphHostEndpoint: lmtp=inet:2001:db8::1:24\n\n"
	USER("anna", "01", "mailHost: mb1.uni.example\nmailLocalAddress: anna@dash.example\nphIntlAddress: \xc3\x84nna@uni.example\n")
	USER("bob", "02", "mailHost: MB2.uni.example\nphSendAs: news@uni.example\nphSendAs: @brand.example\n")
	USER("eve", "03", "mailHost: evil.example\n")
	USER("sue", "04", "mailHost: mb1.uni.example\nphStatus: suspended\n")
	USER("nol", "05", "mailHost: mb1.uni.example\nphStatus: nologin\n")
	USER("hol", "06", "mailHost: mb1.uni.example\nphStatus: hold\n")
	USER("exp", "07", "mailHost: mb1.uni.example\nphExpires: 20200101000000Z\n")
	USER("non", "08", "")
	USER("cut", "0b", "mailHost: mb1.uni.example\nphMoveState: Cutover\nphMoveTo: mb2.uni.example\n")
	USER("cop", "0c", "mailHost: mb1.uni.example\nphMoveState: copying\nphMoveTo: mb2.uni.example\n")
	USER("one", "09", "mailHost: mb1.uni.example\nphMailboxId: 77777777777777777777777777777777\n")
	USER("two", "0a", "mailHost: mb1.uni.example\nphMailboxId: 77777777-7777-7777-7777-777777777777\n")
	USER("typ", "0d", "mailHost: mb1.uni.example\nphStatus: activ\nmailLocalAddress: eve@alias.example\n")
	"dn: uid=tor,dc=uni\nobjectClass: phMailUser\nuid: tor\nmail: tor@torn.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-00000000000e\n\n"
	"dn: uid=above,dc=uni\nobjectClass: phMailUser\nuid: above\nmail: sue@x.above.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-000000000020\n\n"
	"dn: cn=own\nobjectClass: phMailAlias\nmailLocalAddress: anna+own@uni.example\nrfc822MailMember: bob@uni.example\n\n"
	"dn: cn=info\nobjectClass: phMailAlias\nmailLocalAddress: info@uni.example\nrfc822MailMember: anna@uni.example\n"
	"phSendAsGrant: UID=anna, DC=uni\nentryUUID: 00000000-0000-0000-0000-000000000010\n\n"
	"dn: cn=office\nobjectClass: phMailGroup\nmail: office@uni.example\nmember: uid=bob,dc=uni\nphSendAsGrant: cn=office\n\n"
	"dn: cn=t1\nobjectClass: phMailAlias\nmailLocalAddress: twin@uni.example\n\n"
	"dn: cn=t2\nobjectClass: phMailAlias\nmailLocalAddress: twin@uni.example\n";

static int setup(void **state)
{
	return world_setup(state, people);
}

static void make_stale(struct world *world)
{
	directory_memory_set_status(world->memory, &(struct directory_status){.complete = true, .fresh = false});
}

#define ACCOUNT(number) "000000000000000000000000000000" number

static const struct str served[] = {{"mb1.uni.example", 15}};
static const struct home_rules rules = {.serves = served, .n_serves = 1, .delimiters = {"+", 1}};

static const struct log_in_row {
	const char *account;
	enum home_answer answer, stale;
	const char *host;
} log_ins[] = {
	{ACCOUNT("01"), HOME_HERE, HOME_HERE, "mb1.uni.example"},
	{ACCOUNT("02"), HOME_ELSEWHERE, HOME_ELSEWHERE, "mb2.uni.example"},
	{ACCOUNT("03"), HOME_UNAVAILABLE, HOME_UNAVAILABLE, NULL}, // host-allow: no password is sent there
	{ACCOUNT("04"), HOME_REFUSED, HOME_UNAVAILABLE, NULL},
	{ACCOUNT("05"), HOME_REFUSED, HOME_UNAVAILABLE, NULL},
	{ACCOUNT("06"), HOME_HERE, HOME_HERE, "mb1.uni.example"},
	{ACCOUNT("07"), HOME_REFUSED, HOME_UNAVAILABLE, NULL},
	{ACCOUNT("0d"), HOME_HELD, HOME_HELD, NULL}, // a word that is no status
	{ACCOUNT("08"), HOME_UNAVAILABLE, HOME_UNAVAILABLE, NULL},
	{ACCOUNT("09"), HOME_UNAVAILABLE, HOME_UNAVAILABLE, NULL}, // two entries, one mailbox
	{ACCOUNT("0a"), HOME_UNAVAILABLE, HOME_UNAVAILABLE, NULL},
	{ACCOUNT("0e"), HOME_UNAVAILABLE, HOME_UNAVAILABLE, NULL}, // two entries for the domain, and one is suspended
	{ACCOUNT("20"), HOME_REFUSED, HOME_UNAVAILABLE, NULL}, // the domain above is suspended
	{ACCOUNT("10"), HOME_NONE, HOME_UNAVAILABLE, NULL}, // an alias has no mailbox
	{ACCOUNT("ff"), HOME_NONE, HOME_UNAVAILABLE, NULL},
	{"anna", HOME_NONE, HOME_UNAVAILABLE, NULL},
};

static void test_home_of_account(void **state)
{
	struct world *world = *state;
	struct home home;
	for (int stale = 0; stale < 2; stale++) {
		for (size_t i = 0; i < sizeof log_ins / sizeof *log_ins; i++) {
			const struct log_in_row *row = &log_ins[i];
			home_of_account(world->directory, &rules, str_of_c(row->account), world->arena, &home);
			enum home_answer expected = stale ? row->stale : row->answer;
			if (home.answer != expected)
				fail_msg("%s: %d, not %d: %s", row->account, home.answer, expected, home.text);
			if (row->host)
				assert_true(str_eq(home.host, str_of_c(row->host)));
			assert_non_null(home.text);
		}
		make_stale(world);
	}
}

static const struct delivery_row {
	const char *address;
	enum home_answer answer;
	const char *detail;
} deliveries[] = {
	{"anna@uni.example", HOME_HERE, ""},
	{"Anna+Sub.Folder@uni.example", HOME_HERE, "Sub.Folder"},
	{"anna-x+y@dash.example", HOME_HERE, "x+y"},
	{"anna+x@dash.example", HOME_NONE, ""},
	{"bob@uni.example", HOME_ELSEWHERE, ""},
	{"hol@uni.example", HOME_HELD, ""},
	{"typ@uni.example", HOME_HELD, ""},
	{"cut@uni.example", HOME_HELD, ""}, // nobody writes while the last delta is copied
	{"cop@uni.example", HOME_HERE, ""},
	{"sue@uni.example", HOME_REFUSED, ""},
	{"nol@uni.example", HOME_HERE, ""},
	{"info@uni.example", HOME_NONE, ""}, // not followed here
	{"twin@uni.example", HOME_UNAVAILABLE, ""},
	{"tor@torn.example", HOME_UNAVAILABLE, ""}, // two entries for the domain
	{"nobody@uni.example", HOME_NONE, ""},
};

static void test_home_of_recipient(void **state)
{
	struct world *world = *state;
	for (size_t i = 0; i < sizeof deliveries / sizeof *deliveries; i++) {
		struct addr addr;
		struct home home;
		assert_int_equal(addr_parse(world->arena, str_of_c(deliveries[i].address), ADDR_UTF8, &addr), ADDR_OK);
		home_of_recipient(world->directory, &rules, &addr, world->arena, &home);
		if (home.answer != deliveries[i].answer)
			fail_msg("%s: %d: %s", deliveries[i].address, home.answer, home.text);
		assert_true(str_eq(home.detail, str_of_c(deliveries[i].detail)));
		if (home.answer == HOME_HERE)
			assert_false(guid_is_zero(&home.mailbox_id));
	}
}

// Without `serves` a node serves its own name.
static void test_hostname_serves(void **state)
{
	struct world *world = *state;
	struct home home;
	struct home_rules own = {.hostname = STR("MB2.uni.example")};
	home_of_account(world->directory, &own, STR(ACCOUNT("02")), world->arena, &home);
	assert_int_equal(home.answer, HOME_HERE);
	home_of_account(world->directory, &own, STR(ACCOUNT("01")), world->arena, &home);
	assert_int_equal(home.answer, HOME_ELSEWHERE);
}

// Threat sender-login.
static const struct sender_row {
	const char *account, *sender;
	enum sender_answer answer;
	const char *attribute;
} senders[] = {
	{ACCOUNT("01"), "anna@uni.example", SENDER_ALLOWED, "mail"},
	{ACCOUNT("01"), "ANNA+x@UNI.example", SENDER_ALLOWED, "mail"},
	{ACCOUNT("01"), "anna@alias.example", SENDER_ALLOWED, "mail"},
	{ACCOUNT("01"), "anna-y@dash.example", SENDER_ALLOWED, "mailLocalAddress"},
	{ACCOUNT("01"), "\xc3\xa4nna@uni.example", SENDER_ALLOWED, "phIntlAddress"},
	{ACCOUNT("01"), "info@uni.example", SENDER_ALLOWED, "phSendAsGrant"},
	{ACCOUNT("0d"), "eve@alias.example", SENDER_ALLOWED, "mailLocalAddress"},
	{ACCOUNT("03"), "eve@alias.example", SENDER_REFUSED, ""}, // hers in the domain that it is an alias of, and somebody else's here
	{ACCOUNT("03"), "eve+x@alias.example", SENDER_REFUSED, ""},
	{ACCOUNT("01"), "bob@uni.example", SENDER_REFUSED, ""},
	{ACCOUNT("01"), "office@uni.example", SENDER_REFUSED, ""},
	{ACCOUNT("01"), "x@brand.example", SENDER_REFUSED, ""},
	{ACCOUNT("01"), "nobody@uni.example", SENDER_REFUSED, ""},
	{ACCOUNT("01"), "twin@uni.example", SENDER_UNAVAILABLE, ""},
	{ACCOUNT("01"), "\"anna@uni.example\"@else.example", SENDER_REFUSED, ""},
	{ACCOUNT("01"), "anna@twice.example", SENDER_ALLOWED, "mail"}, // an alias of an alias
	{ACCOUNT("01"), "anna@x.alias.example", SENDER_ALLOWED, "mail"},
	{ACCOUNT("01"), "anna@x.uni.example", SENDER_REFUSED, ""}, // uni.example includes none
	{ACCOUNT("20"), "sue@x.above.example", SENDER_ALLOWED, "mail"},
	{ACCOUNT("20"), "sue_d@x.above.example", SENDER_ALLOWED, "mail"},
	{ACCOUNT("20"), "sue+d@x.above.example", SENDER_REFUSED, ""},
	{ACCOUNT("01"), "anna+own@uni.example", SENDER_REFUSED, ""}, // somebody's own
	{ACCOUNT("02"), "news@uni.example", SENDER_ALLOWED, "phSendAs"},
	{ACCOUNT("02"), "whoever@brand.example", SENDER_ALLOWED, "phSendAs"},
	{ACCOUNT("02"), "x@sub.brand.example", SENDER_REFUSED, ""},
	{ACCOUNT("02"), "office@uni.example", SENDER_ALLOWED, "phSendAsGrant"}, // a member of the group that has the grant
	{ACCOUNT("02"), "info@uni.example", SENDER_REFUSED, ""},
	{ACCOUNT("ff"), "anna@uni.example", SENDER_UNAVAILABLE, ""},
};

static void test_senders(void **state)
{
	struct world *world = *state;
	struct sender_why why;
	for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
		struct addr addr;
		assert_int_equal(addr_parse(world->arena, str_of_c(senders[i].sender), ADDR_UTF8, &addr), ADDR_OK);
		enum sender_answer got = sender_check(world->directory, str_of_c(senders[i].account), &addr, STR("+"), world->arena, &why);
		if (got != senders[i].answer || strcmp(why.attribute, senders[i].attribute) != 0)
			fail_msg("%s as %s: %d by \"%s\"", senders[i].account, senders[i].sender, got, why.attribute);
	}
	struct addr null = addr_null();
	assert_int_equal(sender_check(world->directory, STR(ACCOUNT("01")), &null, STR("+"), world->arena, NULL), SENDER_ALLOWED);
	make_stale(world);
	struct addr other;
	assert_int_equal(addr_parse(world->arena, STR("bob@uni.example"), 0, &other), ADDR_OK);
	assert_int_equal(sender_check(world->directory, STR(ACCOUNT("01")), &other, STR("+"), world->arena, NULL), SENDER_UNAVAILABLE);
}

static void test_hosts(void **state)
{
	struct world *world = *state;
	struct host host;
	assert_int_equal(host_find(world->directory, STR("mb1.uni.example"), STR("lmtp"), world->arena, &host), HOST_FOUND);
	assert_string_equal(host.endpoint.host.p, "192.0.2.1");
	assert_int_equal(host.endpoint.port, 24);
	assert_int_equal(host.waits_by.n, 0);
	assert_int_equal(host.n_pins, 2);
	assert_true(str_eq(host.pins[1], STR("sha256:bb")));
	assert_int_equal(host_find(world->directory, STR("mb2.uni.example"), STR("lmtp"), world->arena, &host), HOST_FOUND);
	assert_string_equal(host.endpoint.host.p, "2001:db8::1");
	assert_true(str_eq(host.waits_by, STR("down")));
	static const struct str waiting[] = {STR("mb4.uni.example"), STR("mb5.uni.example")};
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(host_find(world->directory, waiting[i], STR("lmtp"), world->arena, &host), HOST_FOUND);
		assert_int_not_equal(host.waits_by.n, 0);
	}
	assert_int_equal(host_find(world->directory, STR("mb6.uni.example"), STR("lmtp"), world->arena, &host), HOST_FOUND);
	assert_int_equal(host.waits_by.n, 0);
	assert_int_equal(host_find(world->directory, STR("mb1.uni.example"), STR("imap"), world->arena, &host), HOST_UNKNOWN);
	assert_int_equal(host_find(world->directory, STR("mb3.uni.example"), STR("lmtp"), world->arena, &host), HOST_UNKNOWN);
	assert_int_equal(host_find(world->directory, STR("evil.example"), STR("lmtp"), world->arena, &host), HOST_UNKNOWN);
	struct str name;
	assert_int_equal(host_by_pin(world->directory, STR("sha256:bb"), world->arena, &name), HOST_FOUND);
	assert_true(str_eq(name, STR("mb1.uni.example")));
	assert_int_equal(host_by_pin(world->directory, STR("sha256:cc"), world->arena, NULL), HOST_UNKNOWN);
	directory_memory_set_status(world->memory, &(struct directory_status){.complete = false});
	assert_int_equal(host_find(world->directory, STR("mb1.uni.example"), STR("lmtp"), world->arena, &host), HOST_UNAVAILABLE);
	assert_int_equal(host_by_pin(world->directory, STR("sha256:bb"), world->arena, NULL), HOST_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_home_of_account, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_home_of_recipient, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_hostname_serves, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_senders, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_hosts, setup, world_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
