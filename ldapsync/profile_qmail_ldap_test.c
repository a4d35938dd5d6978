// SPDX-License-Identifier: Apache-2.0
// qmail-ldap: each line of the profile, and values that lie.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile_test.h"

#define USER "objectClass: qmailUser\n"
#define GROUP "objectClass: qmailUser\nobjectClass: qmailGroup\n"
#define IS_USER "class phMailUser\n"
#define IS_GROUP "class phMailGroup\n"

static void test_users(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"addresses and host", USER "mail: a@uni.example\nmailAlternateAddress: b@uni.example\nmailAlternateAddress: catchall@uni.example\nmailHost: mb1.uni.example\n",
			IS_USER "mail a@uni.example\nmailLocalAddress b@uni.example < mailAlternateAddress\n"
			"mailLocalAddress catchall@uni.example < mailAlternateAddress\n"
			"mailLocalAddress @uni.example < mailAlternateAddress catchall@uni.example\nmailHost mb1.uni.example\n", ""},
		{"a forward keeps the copy", USER "mailForwardingAddress: x@else.example\nmailForwardingAddress: y@else.example\n",
			IS_USER "phForwardAddress x@else.example < mailForwardingAddress\nphForwardAddress y@else.example < mailForwardingAddress\n"
			"phForwardKeepCopy TRUE < ldap_profile [mailForwardingAddress] phForwardKeepCopy := TRUE\n", ""},
		{"forward only", USER "mailForwardingAddress: x@else.example\ndeliveryMode: forwardonly\ndeliveryMode: normal\n",
			IS_USER "phForwardAddress x@else.example < mailForwardingAddress\nphForwardKeepCopy FALSE < deliveryMode forwardonly\n", ""},
		{"no local delivery", USER "mailForwardingAddress: x@else.example\ndeliveryMode: nolocal\n",
			IS_USER "phForwardAddress x@else.example < mailForwardingAddress\nphForwardKeepCopy FALSE < deliveryMode nolocal\n", ""},
		{"local delivery", USER "mailForwardingAddress: x@else.example\ndeliveryMode: LocalDelivery\n",
			IS_USER "phForwardAddress x@else.example < mailForwardingAddress\nphForwardKeepCopy TRUE < deliveryMode LocalDelivery\n", ""},
		{"no forward", USER "mailForwardingAddress: x@else.example\ndeliveryMode: noforward\n",
			IS_USER "phForwardKeepCopy TRUE < ldap_profile [mailForwardingAddress] phForwardKeepCopy := TRUE\n", ""},
		{"a reply", USER "deliveryMode: reply\nmailReplyText: away until May\n", IS_USER "phVacation on < deliveryMode reply\nphVacationText away until May < mailReplyText\n", ""},
		{"active", USER "accountStatus: active\n", IS_USER "phStatus active < accountStatus\n", ""},
		{"no access", USER "accountStatus: nopop\n", IS_USER "phStatus nologin < accountStatus nopop\n", ""},
		{"disabled", USER "accountStatus: Disabled\n", IS_USER "phStatus disabled < accountStatus\n", ""},
		{"deleted", USER "accountStatus: deleted\n", IS_USER "phStatus deleted < accountStatus\n", ""},
		{"quota", USER "mailQuotaSize: 1000000\nmailQuotaCount: 0\nmailSizeMax: 5000\n",
			IS_USER "phQuotaBytes 1000000 < mailQuotaSize\nphQuotaMessages -1 < mailQuotaCount 0\nphMaxMessageBytes 5000 < mailSizeMax\n", ""},
		{"no limit", USER "mailQuotaSize: 0\nmailSizeMax: 0\n", IS_USER "phQuotaBytes -1 < mailQuotaSize 0\n", ""},
	};
	profile_check(SETTINGS_LDAP_PROFILE_QMAIL_LDAP, NULL, cases, sizeof cases / sizeof *cases);
}

static void test_groups(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"members", GROUP "mail: g@uni.example\ndnmember: uid=a,dc=uni\nrfc822member: x@else.example\n",
			IS_GROUP "mail g@uni.example\nrfc822MailMember x@else.example < rfc822member\nmember uid=a,dc=uni < dnmember\n", ""},
		{"for members only", GROUP "membersonly: TRUE\n", IS_GROUP "phListPostPolicy members < ldap_profile [membersonly=TRUE] phListPostPolicy := members\n", ""},
		{"for all", GROUP "membersonly: FALSE\n", IS_GROUP, ""},
		{"for those who are named", GROUP "membersonly: TRUE\nrfc822sender: x@else.example\ndnsender: uid=a,dc=uni\n",
			IS_GROUP "phListPostPolicy listed < ldap_profile [membersonly=TRUE] [dnsender] phListPostPolicy := listed\n"
			"phListAllowedSender x@else.example < rfc822sender\nphListAllowedSenderDN uid=a,dc=uni < dnsender\n", ""},
		{"moderated", GROUP "membersonly: TRUE\ndnmoderator: uid=a,dc=uni\nrfc822moderator: b@uni.example\n",
			IS_GROUP "phListPostPolicy moderated < ldap_profile [dnmoderator] phListPostPolicy := moderated\nphListModerator uid=a,dc=uni < dnmoderator\n"
			"phListModeratorAddress b@uni.example < rfc822moderator\n", ""},
		{"members that cannot be known", GROUP "filtermember: (employeeType=x)\n", IS_GROUP "phStatus hold < ldap_profile [filtermember] phStatus := hold\n", ""},
	};
	profile_check(SETTINGS_LDAP_PROFILE_QMAIL_LDAP, NULL, cases, sizeof cases / sizeof *cases);
}

// Threat evil-attr.
static void test_lies(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"a program", USER "mailForwardingAddress: |/bin/sh\ndeliveryMode: forwardonly\n", IS_USER "phForwardKeepCopy FALSE < deliveryMode forwardonly\n",
			"mailForwardingAddress is a command or a file, not an address\n"},
		{"a path", USER "mailHost: ../../etc\nmailAlternateAddress: /etc/passwd\n", IS_USER,
			"mailHost is not a domain name\nmailAlternateAddress is a command or a file, not an address\n"},
		{"a status of its own", USER "accountStatus: gone\n", IS_USER, "accountStatus is a word that the map has nothing for; give it one in ldap_map\n"},
		{"a quota of words", USER "mailQuotaSize: much\n", IS_USER, "mailQuotaSize is neither a whole number nor -1\n"},
	};
	profile_check(SETTINGS_LDAP_PROFILE_QMAIL_LDAP, NULL, cases, sizeof cases / sizeof *cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_users), cmocka_unit_test(test_groups), cmocka_unit_test(test_lies)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
