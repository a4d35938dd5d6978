// SPDX-License-Identifier: Apache-2.0
// Filters and URLs against one entry; what is granted by a class of service.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ldapsync/directory_memory.h"
#include "member_url.h"
#include "ldapsync/credentials.h"
#include "router/service.h"

static const char ldif[] =
	"dn: uid=anna,ou=People,dc=uni,dc=example\nobjectClass: inetOrgPerson\nobjectClass: phMailUser\nuid: anna\ncn: Anna  Berg\n"
	"cn: \xc3\x84nna\nmail: Anna@Uni.example\nmailHost: mb1.uni.example\nphQuotaBytes: 1000\nphExpires: 20300101000000Z\n"
	"phForwardKeepCopy: TRUE\nphSendAsGrant: uid=bob,dc=uni\nphMailboxId: 00000000000000000000000000000001\nphClassOfService: Staff\n"
	"phVacationSubject: Away*\n\n"
	"dn: cn=staff,dc=uni\nobjectClass: phClassOfServiceEntry\ncn: STAFF\nphQuotaBytes: 77\nphQuotaMessages: -1\nphService: imap\n\n"
	"dn: uid=bob,dc=uni\nobjectClass: phMailUser\nuid: bob\nmail: bob@uni.example\nphMailboxId: 00000000000000000000000000000002\n"
	"phClassOfService: none\n";

static struct directory *directory;
static struct arena *arena;
static const struct entry *anna, *bob;

static const struct entry *find(const char *address)
{
	struct directory_match match;
	assert_int_equal(directory_find(directory, DIRECTORY_ADDRESS, str_of_c(address), arena, &match), DIRECTORY_FOUND);
	return match.entry;
}

static int setup(void **state)
{
	struct err err;
	(void)state;
	arena = arena_new(1 << 20);
	directory = directory_memory_new(str_of_c(ldif), NULL, &err);
	assert_non_null(directory);
	anna = find("anna@uni.example");
	bob = find("bob@uni.example");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	directory_close(&directory);
	arena_free(&arena);
	return 0;
}

enum { NO, YES, BAD };

static void test_filters(void **state)
{
	static const struct {
		const char *filter;
		int expected;
	} rows[] = {
		{"(objectClass=*)", YES}, {"(objectClass=PHMAILUSER)", YES}, {"(objectclass=phMailList)", NO}, {"(objectClass=inetOrgPerson)", BAD},
		{"(objectClass=)", BAD}, {"(uid=ANNA)", YES}, {"(uid=ann)", NO}, {"(uid=*)", YES}, {"(mailRoutingAddress=*)", NO},
		{"(mail=anna@uni.example)", YES}, {"(mail=anna@UNI.EXAMPLE)", YES}, {"(mail=*@uni.example)", YES}, {"(mail=a*@*.ex*ple)", YES},
		{"(mail=*x*)", YES}, {"(mail=*xx*)", NO}, {"(mail=a*a@uni.example)", YES}, {"(mail=anna@*anna@uni.example)", NO},
		{"(cn=\xc3\xa4NNA)", YES}, {"(cn=\\c3\\a4nna)", YES}, {"(cn=\\zz)", BAD}, {"(cn=\xc3\x84*)", YES}, {"(cn=\\2a)", NO},
		{"(phVacationSubject=Away\\2a)", YES}, {"(phVacationSubject=away\\2a)", NO}, {"(phVacationSubject=Aw*\\2a)", YES},
		{"(phQuotaBytes>=1000)", YES}, {"(phQuotaBytes>=1001)", NO}, {"(phQuotaBytes<=999)", NO}, {"(phQuotaBytes=01000)", YES},
		{"(phQuotaBytes>=-5)", YES}, {"(phQuotaBytes>=x)", BAD}, {"(phQuotaBytes=1*)", BAD}, {"(uid>=a)", BAD},
		{"(phExpires>=20291231235959Z)", YES}, {"(phExpires<=20291231235959Z)", NO}, {"(phForwardKeepCopy=true)", YES},
		{"(phSendAsGrant=UID=bob, dc=uni)", YES}, {"(phSendAsGrant=uid=b*)", BAD}, {"(&(uid=anna)(mailHost=mb1.uni.example))", YES},
		{"(&(uid=anna)(!(mailHost=mb1.uni.example)))", NO}, {"(|(uid=x)(uid=anna))", YES}, {"(|(uid=x)(uid=y))", NO},
		{"(!(uid=x))", YES}, {"(&)", YES}, {"(|)", NO}, {"(!)", BAD}, {"(!(uid=x)(uid=y))", BAD}, {"", BAD}, {"(", BAD}, {"()", BAD},
		{"uid=anna", BAD}, {"(uid=anna", BAD}, {"(uid=anna))", BAD}, {"(uid=anna)(uid=anna)", BAD}, {"(&(uid=anna)", BAD}, {"(=x)", BAD},
		{"(uid~=anna)", BAD}, {"(uid:caseExactMatch:=anna)", BAD}, {"(departmentNumber=5)", BAD}, {"(userPassword=*)", BAD}, {"(uid=)", BAD},
		{"(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(uid=x))))))))))))))))))", BAD},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct filter *filter;
		const char *wrong = filter_parse(arena, str_of_c(rows[i].filter), &filter);
		int got = wrong ? BAD : filter_matches(filter, anna, arena) ? YES : NO;
		if (got != rows[i].expected)
			fail_msg("%s: %d (%s)", rows[i].filter, got, wrong ? wrong : "");
	}
}

static void test_urls(void **state)
{
	static const struct {
		const char *url;
		int expected;
	} rows[] = {
		{"ldap:///ou=people,dc=uni,dc=example??sub", YES}, {"LDAP:///dc=uni, DC=example??sub?(uid=anna)", YES},
		{"ldap:///ou=people,dc=uni,dc=example??one", YES}, {"ldap:///dc=uni,dc=example??one", NO},
		{"ldap:///uid=anna,ou=people,dc=uni,dc=example", YES}, {"ldap:///ou=people,dc=uni,dc=example??base", NO},
		{"ldap:///ou=people,dc=uni,dc=example", NO}, {"ldap:///??sub?(uid=anna)", YES}, {"ldap:///", NO},
		{"ldap:///ou=students,dc=uni,dc=example??sub", NO}, {"ldap:///dc=uni,dc=example?mail,cn?sub?(cn=%c3%84nna)", YES},
		{"ldap:///ou=people%2cdc=uni%2Cdc=example??sub", YES}, {"ldap:///%zz??sub", BAD}, {"ldap:///dc=uni??deep", BAD},
		{"ldap://ldap.uni.example/dc=uni??sub", BAD}, {"ldaps:///dc=uni??sub", BAD}, {"http://x/", BAD}, {"ldap:///dc=uni??sub?uid=x", BAD},
		{"ldap:///dc=uni,dc=example??sub?(uid=anna)?x=1", YES}, {"ldap:///dc=uni,dc=example??sub?(uid=anna)?!x=1", BAD},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct member_url url;
		const char *wrong = member_url_parse(arena, str_of_c(rows[i].url), &url);
		int got = wrong ? BAD : member_url_matches(&url, anna, arena) ? YES : NO;
		if (got != rows[i].expected)
			fail_msg("%s: %d (%s)", rows[i].url, got, wrong ? wrong : "");
	}
}

static void test_class_of_service(void **state)
{
	struct service_grant grant;
	struct service_class class;
	struct credentials_class none = {0}, of_login, missing = {.is_missing = true};
	bool later;
	(void)state;
	assert_int_equal(service_number(directory, anna, ATTR_PH_QUOTA_BYTES, arena, &grant), SERVICE_SET);
	assert_int_equal(grant.value, 1000); // the entry before its class
	assert_int_equal(service_number(directory, anna, ATTR_PH_QUOTA_MESSAGES, arena, &grant), SERVICE_SET);
	assert_int_equal(grant.value, SERVICE_UNLIMITED);
	assert_true(str_eq(grant.entry, STR("cn=staff,dc=uni")));
	assert_int_equal(service_number(directory, anna, ATTR_PH_SUBMIT_RATE, arena, &grant), SERVICE_UNSET);
	assert_int_equal(service_number(directory, bob, ATTR_PH_QUOTA_BYTES, arena, &grant), SERVICE_MISSING); // a class that nobody has
	assert_int_equal(service_class(directory, anna, arena, &class), SERVICE_SET);
	of_login = (struct credentials_class){.entry = class.entry};
	assert_null(credentials_forbid(anna, &of_login, STR("IMAP"), &later));
	assert_non_null(credentials_forbid(anna, &of_login, STR("pop3"), &later));
	assert_false(later);
	assert_int_equal(service_class(directory, bob, arena, &class), SERVICE_MISSING);
	assert_true(str_eq(class.missing, entry_first(bob, ATTR_PH_CLASS_OF_SERVICE)));
	assert_null(credentials_forbid(bob, &none, STR("pop3"), &later));
	assert_non_null(credentials_forbid(bob, &missing, STR("pop3"), &later));
	assert_true(later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_class_of_service),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
