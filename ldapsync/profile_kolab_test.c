// SPDX-License-Identifier: Apache-2.0
// kolab: each line of the profile, and values that lie.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile_test.h"

#define USER "class phMailUser\n"
#define PERSON "objectClass: kolabInetOrgPerson\n"

static void test_people(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"addresses, which are log-ins too", PERSON "uid: a\nmail: a@uni.example\nalias: b@uni.example\nmailHost: mb1.uni.example\n",
			USER "phLoginAlias a@uni.example < mail\nphLoginAlias b@uni.example < alias\nuid a\nmail a@uni.example\n"
			"mailLocalAddress b@uni.example < alias\nmailHost mb1.uni.example\n", ""},
		{"the server of Kolab 2", PERSON "kolabHomeServer: mb1.uni.example\n", USER "mailHost mb1.uni.example < kolabHomeServer\n", ""},
		{"both servers", PERSON "kolabHomeServer: old.uni.example\nmailHost: mb1.uni.example\n", USER "mailHost mb1.uni.example\n", ""},
		{"quota in KiB", PERSON "mailQuota: 100\n", USER "phQuotaBytes 102400 < mailQuota 100\n", ""},
		{"quota in MiB", PERSON "cyrus-userquota: 2\n", USER "phQuotaBytes 2097152 < cyrus-userquota 2\n", ""},
		{"KiB before MiB", PERSON "cyrus-userquota: 2\nmailQuota: 1\n", USER "phQuotaBytes 1024 < mailQuota 1\n", ""},
		{"no quota", PERSON "mailQuota: 0\n", USER, ""},
		{"a quota that is none", PERSON "mailQuota: much\n", USER, "mailQuota is neither a whole number nor -1\n"},
		{"marked to be deleted", PERSON "kolabDeleteflag: mb1.uni.example\n",
			USER "phStatus deleted < ldap_profile [kolabDeleteflag] phStatus := deleted\n", ""},
		{"a status", PERSON "inetUserStatus: Inactive\n", USER "phStatus disabled < inetUserStatus Inactive\n", ""},
		{"a status of bits", PERSON "inetUserStatus: 51\n", USER "phStatus hold < inetUserStatus 51\n", ""},
		{"delegates", PERSON "kolabDelegate: uid=b,dc=uni\n", USER "phSendAsGrant uid=b,dc=uni < kolabDelegate\n", ""},
		{"delegates by address", PERSON "kolabDelegate: b@uni.example\n", USER, "kolabDelegate is not a DN\n"},
		{"a forward of somebody who has no mailbox", "objectClass: mailRecipient\nmailForwardingAddress: x@else.example\n",
			USER "phForwardAddress x@else.example < mailForwardingAddress\n", ""},
		{"of somebody who has one it is not", PERSON "objectClass: mailRecipient\nmailForwardingAddress: x@else.example\n", USER, ""},
		{"a forward that lies", "objectClass: mailRecipient\nmailForwardingAddress: |/bin/sh\n", USER,
			"mailForwardingAddress is a command or a file, not an address\n"},
	};
	profile_check(SETTINGS_LDAP_PROFILE_KOLAB, NULL, cases, sizeof cases / sizeof *cases);
}

static void test_others(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"a group", "objectClass: kolabGroupOfUniqueNames\nmail: g@uni.example\nuniqueMember: uid=a,dc=uni\n",
			"class phMailGroup\nmail g@uni.example\nmember uid=a,dc=uni < uniqueMember\n", ""},
		{"a group of Kolab 2", "objectClass: kolabGroupOfNames\nmail: g@uni.example\nmember: uid=a,dc=uni\n",
			"class phMailGroup\nmail g@uni.example\nmember uid=a,dc=uni\n", ""},
		{"who may post", "objectClass: kolabGroupOfUniqueNames\nkolabAllowSMTPSender: x@else.example\n",
			"class phMailGroup\nphListAllowedSender x@else.example < kolabAllowSMTPSender\n", ""},
		{"a pattern of who may post opens nothing", "objectClass: kolabGroupOfUniqueNames\nkolabAllowSMTPSender: .else.example\n",
			"class phMailGroup\nphListPostPolicy (phListAllowedSender not readable)\n",
			"kolabAllowSMTPSender not an address: local-part@domain is expected\n"},
		{"a shared folder", "objectClass: kolabSharedFolder\nmail: f@uni.example\nalias: g@uni.example\n",
			USER "phStatus hold < ldap_profile [objectClass=kolabSharedFolder] phStatus := hold\nmail f@uni.example\n"
			"mailLocalAddress g@uni.example < alias\n", ""},
		{"a domain", "objectClass: domainRelatedObject\nassociatedDomain: uni.example\ninetDomainStatus: deleted\n",
			"class phMailDomain\nphStatus deleted < inetDomainStatus\n"
			"phDomainType local < ldap_profile [objectClass=domainRelatedObject] phDomainType := local\nassociatedDomain uni.example\n", ""},
	};
	profile_check(SETTINGS_LDAP_PROFILE_KOLAB, NULL, cases, sizeof cases / sizeof *cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_people),
		cmocka_unit_test(test_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
