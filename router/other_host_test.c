// SPDX-License-Identifier: Apache-2.0
// Every row of sendmail's ldap_routing table, from entries of its schema (profile laser): mailHost × mailRoutingAddress, full address, then @domain, detail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "router/recipient.h"
#include "schema/profile.h"
#include "test_world.h"

#define LASER(name) "dn: cn=" name ",dc=uni\nobjectClass: inetLocalMailRecipient\ncn: " name "\nmailLocalAddress: " name "@uni.example\n"
#define ID(n) "entryUUID: 00000000-0000-0000-0000-0000000000" n "\n\n"

static const char people[] =
	"dn: associatedDomain=uni.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
	"dn: associatedDomain=wide.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: wide.example\nphDomainType: local\n\n"
	"dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:127.0.0.1:24\n\n"
	"dn: cn=bare,dc=uni\nobjectClass: phMailHost\ncn: bare.uni.example\n\n"
	"dn: cn=gw,dc=uni\nobjectClass: phMailRoute\ncn: gw\nphRouteKey: routed.dept.example\nphRouteTarget: esmtp:[gw.uni.example]:2525\n\n"
	"dn: cn=mx,dc=uni\nobjectClass: phMailRoute\ncn: mx\nphRouteKey: .mx.example\nphRouteTarget: esmtp:mx.example\n\n"
	"dn: cn=no,dc=uni\nobjectClass: phMailRoute\ncn: no\nphRouteKey: closed.example\nphRouteTarget: error:5.7.1:550 closed for the summer\n\n"
	LASER("here") "mailHost: mb1.uni.example\n" ID("01")
	LASER("heremoved") "mailHost: mb1.uni.example\nmailRoutingAddress: here@uni.example\n" ID("02")
	LASER("there") "mailHost: mail.dept.example\n" ID("03")
	LASER("theremoved") "mailHost: mail.dept.example\nmailRoutingAddress: t@dept.example\n" ID("04")
	LASER("moved") "mailRoutingAddress: m@else.example\n" ID("05")
	LASER("movedhere") "mailRoutingAddress: here@uni.example\n" ID("06")
	LASER("nowhere") ID("07")
	LASER("routed") "mailHost: routed.dept.example\n" ID("08")
	LASER("needsmx") "mailHost: a.mx.example\n" ID("09")
	LASER("closed") "mailHost: closed.example\n" ID("10")
	LASER("twohosts") "mailHost: mail.dept.example\nmailHost: mb1.uni.example\n" ID("11")
	LASER("tworoutes") "mailHost: mb1.uni.example\nmailRoutingAddress: a@else.example\nmailRoutingAddress: b@else.example\n" ID("12")
	LASER("tworoutesthere") "mailHost: mail.dept.example\nmailRoutingAddress: a@else.example\nmailRoutingAddress: b@else.example\n" ID("13")
	LASER("twin") "mailHost: mail.dept.example\n" ID("14")
	"dn: cn=twin2,dc=uni\nobjectClass: inetLocalMailRecipient\nmailLocalAddress: twin@uni.example\nmailHost: mb1.uni.example\n" ID("15")
	LASER("self") "mailHost: mx1.uni.example\n" ID("16")
	LASER("alsoself") "mailHost: old.uni.example\n" ID("17")
	LASER("bare") "mailHost: bare.uni.example\n" ID("18")
	LASER("off") "mailHost: mail.dept.example\nphStatus: disabled\n" ID("19")
	"dn: cn=wide,dc=uni\nobjectClass: inetLocalMailRecipient\nmailLocalAddress: @wide.example\nmailHost: mail.dept.example\n" ID("20")
	LASER("fwd") "mailHost: mail.dept.example\nphForwardAddress: here@uni.example\nphForwardKeepCopy: TRUE\n" ID("21")
	"dn: cn=all,dc=uni\nobjectClass: phMailGroup\ncn: all\nmail: all@uni.example\nmember: cn=there,dc=uni\nmember: cn=here,dc=uni\n"
	"rfc822MailMember: theremoved@uni.example\n\n"
	"dn: cn=plain,dc=uni\nobjectClass: phMailUser\nmail: plain@uni.example\nmailHost: mail.dept.example\n" ID("22");

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	struct err err;
	struct profile *laser = profile_new(SETTINGS_LDAP_PROFILE_LASER, NULL);
	world->arena = arena_new(WORLD_BYTES_MAX);
	world->directory = directory_memory_mapped(str_of_c(people), laser, &world->memory, &err);
	assert_non_null(world->directory);
	profile_free(&laser);
	*state = world;
	return 0;
}

static const struct row {
	const char *address;
	bool keep_detail;
	int code;
	const char *targets;
	const char *rule; // one that must be among the reasons; NULL: none
} rows[] = {
	// mailHost × mailRoutingAddress
	{"here@uni.example", false, 250, "here@uni.example mb1.uni.example", "host"},
	{"heremoved@uni.example", false, 250, "here@uni.example mb1.uni.example", "routing address"},
	{"there@uni.example", false, 250, "there@uni.example esmtp:[mail.dept.example]:25", "other host"},
	{"theremoved@uni.example", false, 250, "t@dept.example esmtp:[mail.dept.example]:25", "other host"},
	{"moved@uni.example", false, 250, "m@else.example smart.example:25", "routing address"},
	{"movedhere@uni.example", false, 250, "here@uni.example mb1.uni.example", "routing address"},
	{"nowhere@uni.example", false, 451, "", "no host"},
	{"unknown@uni.example", false, 550, "", "unknown user"},
	// the route table is asked for the other host, not for the address
	{"routed@uni.example", false, 250, "routed@uni.example esmtp:[gw.uni.example]:2525", "route"},
	{"needsmx@uni.example", false, 451, "", "bad route"},
	{"closed@uni.example", false, 550, "", "route"},
	// doubts
	{"twohosts@uni.example", false, 451, "", "several values"},
	{"tworoutes@uni.example", false, 451, "", "several values"},
	{"tworoutesthere@uni.example", false, 451, "", "several values"},
	{"twin@uni.example", false, 451, "", "ambiguous"},
	// this node is no other host, and a host of ours without an endpoint neither
	{"self@uni.example", false, 451, "", "unknown host"},
	{"alsoself@uni.example", false, 451, "", "unknown host"},
	{"bare@uni.example", false, 451, "", "unknown host"},
	{"off@uni.example", false, 550, "", "status"},
	// @domain
	{"anybody@wide.example", false, 250, "anybody@wide.example esmtp:[mail.dept.example]:25", "other host"},
	{"any%body@wide.example", false, 550, "", "old form"},
	// detail: looked up without it; the original keeps it, a routing address gets it when it is to be preserved
	{"there+x@uni.example", false, 250, "there+x@uni.example esmtp:[mail.dept.example]:25", "detail"},
	{"here+x@uni.example", false, 250, "here@uni.example mb1.uni.example +x", "detail"},
	{"heremoved+x@uni.example", false, 250, "here@uni.example mb1.uni.example", "detail"},
	{"heremoved+x@uni.example", true, 250, "here@uni.example mb1.uni.example +x", "detail"},
	{"moved+X@uni.example", true, 250, "m+X@else.example smart.example:25", "routing address"},
	{"moved+X@uni.example", false, 250, "m@else.example smart.example:25", "routing address"},
	// a copy that is kept, members of a group
	{"fwd@uni.example", false, 250, "fwd@uni.example esmtp:[mail.dept.example]:25;here@uni.example mb1.uni.example", "keep copy"},
	{"all@uni.example", false, 250, "t@dept.example esmtp:[mail.dept.example]:25;there@uni.example esmtp:[mail.dept.example]:25;"
		"here@uni.example mb1.uni.example", "other host"},
	// threat host-allow: not for an entry that does not say so
	{"plain@uni.example", false, 451, "", "unknown host"},
};

static struct recipient_verdict decide(struct world *world, const struct row *row)
{
	static const struct str serves[] = {{"old.uni.example", 15}};
	static const struct home_rules here = {.serves = serves, .n_serves = 1, .hostname = {"mx1.uni.example", 15}};
	struct addr addr;
	struct recipient_verdict verdict;
	assert_int_equal(addr_parse(world->arena, str_of_c(row->address), ADDR_UTF8, &addr), ADDR_OK);
	const struct recipient_query query = {.recipient = &addr, .delimiters = STR("+"), .relayhost = STR("smart.example:25"),
		.default_domain = STR("uni.example"), .here = &here, .keep_detail = row->keep_detail};
	recipient_decide(world->directory, &query, world->arena, &verdict);
	return verdict;
}

static struct str describe(struct world *world, const struct recipient_verdict *v)
{
	struct str text = STR("");
	for (size_t i = 0; i < v->n_targets; i++) {
		const struct recipient_target *t = &v->targets[i];
		text = arena_printf(world->arena, "%.*s%s%.*s %.*s%s%.*s", STR_FMT(text), i ? ";" : "", STR_FMT(t->address->text), STR_FMT(t->host),
			t->detail.n ? " +" : "", STR_FMT(t->detail));
	}
	return text;
}

static void test_table(void **state)
{
	struct world *world = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct recipient_verdict v = decide(world, &rows[i]);
		struct str targets = describe(world, &v);
		bool has_rule = false;
		for (size_t j = 0; j < v.n_reasons; j++)
			has_rule = has_rule || strcmp(v.reasons[j].rule, rows[i].rule) == 0;
		if (v.code == rows[i].code && str_eq(targets, str_of_c(rows[i].targets)) && has_rule)
			continue;
		for (size_t j = 0; j < v.n_reasons; j++)
			print_error("  %s: %.*s %s=%.*s\n", v.reasons[j].rule, STR_FMT(v.reasons[j].entry), v.reasons[j].attribute,
				STR_FMT(v.reasons[j].value));
		fail_msg("%s: %d, targets \"%.*s\"", rows[i].address, v.code, STR_FMT(targets));
	}
}

// Threat lag: from a shadow that is not fresh nothing is refused for good.
static void test_stale(void **state)
{
	struct world *world = *state;
	directory_memory_set_status(world->memory, &(struct directory_status){.version = 5, .complete = true, .fresh = false});
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_true(decide(world, &rows[i]).code < 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, world_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
