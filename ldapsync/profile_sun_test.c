// SPDX-License-Identifier: Apache-2.0
// sun: each line of the profile, and values that lie.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile_test.h"

static void test_people(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"addresses", "objectClass: inetMailUser\nuid: ann\nmail: ann@uni.example\nmailAlternateAddress: a@uni.example\nmailEquivalentAddress: b@uni.example\nmailHost: mb1.uni.example\nmailDeliveryOption: mailbox\nmailUserStatus: active\ninetUserStatus: active\n",
			"class phMailUser\nphStatus active < inetUserStatus\nuid ann\nmail ann@uni.example\nmailLocalAddress a@uni.example < mailAlternateAddress\nmailLocalAddress b@uni.example < mailEquivalentAddress\nmailHost mb1.uni.example\n", ""},
		{"a forward and the mailbox", "objectClass: inetMailUser\nmailDeliveryOption: mailbox\nmailDeliveryOption: forward\nmailForwardingAddress: x@else.example\n",
			"class phMailUser\nphForwardAddress x@else.example < mailForwardingAddress\nphForwardKeepCopy TRUE < mailDeliveryOption mailbox\n", ""},
		{"a forward alone", "objectClass: inetMailUser\nmailDeliveryOption: forward\nmailForwardingAddress: x@else.example\n",
			"class phMailUser\nphForwardAddress x@else.example < mailForwardingAddress\n", ""},
		{"an address that is not in use", "objectClass: inetMailUser\nmailDeliveryOption: mailbox\nmailForwardingAddress: x@else.example\n",
			"class phMailUser\n", ""},
		{"inactive", "objectClass: inetMailUser\nmailUserStatus: inactive\n",
			"class phMailUser\nphStatus hold < mailUserStatus inactive\nphService none < mailUserStatus inactive\n", ""},
		{"over quota", "objectClass: inetMailUser\nmailUserStatus: overquota\n",
			"class phMailUser\nphStatus hold < mailUserStatus overquota\n", ""},
		{"deleted before all", "objectClass: inetMailUser\nmailUserStatus: active\ninetUserStatus: deleted\n",
			"class phMailUser\nphStatus deleted < inetUserStatus\nphService none < inetUserStatus deleted\n", ""},
		{"a word that is none", "objectClass: inetMailUser\nmailUserStatus: asleep\n",
			"class phMailUser\nphStatus hold < mailUserStatus asleep\nphService none < mailUserStatus asleep\n", ""},
		{"held by its delivery", "objectClass: inetMailUser\nmailDeliveryOption: hold\n",
			"class phMailUser\nphStatus hold < mailDeliveryOption\n", ""},
		{"quota", "objectClass: inetMailUser\nmailQuota: 1000\nmailMsgQuota: -1\n",
			"class phMailUser\nphQuotaBytes 1000 < mailQuota\nphQuotaMessages -1 < mailMsgQuota\n", ""},
		{"quota of the default", "objectClass: inetMailUser\nmailQuota: -2\n",
			"class phMailUser\n", ""},
		{"a list for those who have logged in", "objectClass: inetMailGroup\nmail: g@uni.example\nmgrpBroadcasterPolicy: AUTH_REQ\n"
			"mgrpBroadcasterPolicy: OR\nmgrpRequestTo: mailto:keeper@uni.example\n",
			"class phMailGroup\nphListRequestAddress keeper@uni.example < mgrpRequestTo mailto:keeper@uni.example\n"
			"phListRequireAuth TRUE < mgrpBroadcasterPolicy AUTH_REQ\nmail g@uni.example\n", ""},
		{"a list with no such policy", "objectClass: inetMailGroup\nmail: g@uni.example\nmgrpBroadcasterPolicy: NO_REQUIREMENTS\n",
			"class phMailGroup\nmail g@uni.example\n", ""},
		{"away for colleagues", "objectClass: inetMailUser\nmailDeliveryOption: mailbox\nmailDeliveryOption: autoreply\n"
			"mailAutoReplyText: gone\nmailAutoReplyTextInternal: in Rome\nmailAutoReplyTimeOut: 25\n",
			"class phMailUser\nphVacation on < mailDeliveryOption autoreply\nphVacationText gone < mailAutoReplyText\n"
			"phVacationInterval 2 < mailAutoReplyTimeOut 25\nphVacationTextInternal in Rome < mailAutoReplyTextInternal\n", ""},
		{"away", "objectClass: inetMailUser\nmailDeliveryOption: mailbox\nmailDeliveryOption: autoreply\nmailAutoReplyText: gone\nmailAutoReplySubject: away\n",
			"class phMailUser\nphVacation on < mailDeliveryOption autoreply\nphVacationSubject away < mailAutoReplySubject\nphVacationText gone < mailAutoReplyText\n", ""},
		{"away for a while", "objectClass: inetMailUser\nmailDeliveryOption: autoreply\nvacationStartDate: 20260801000000Z\nvacationEndDate: 20260901000000Z\n",
			"class phMailUser\nphVacation scheduled < ldap_profile [mailDeliveryOption=autoreply] phVacation := scheduled\nphVacationStart 20260801000000Z < vacationStartDate\nphVacationEnd 20260901000000Z < vacationEndDate\n", ""},
	};
	profile_check(SETTINGS_LDAP_PROFILE_SUN, NULL, cases, sizeof cases / sizeof *cases);
}

static void test_groups(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"members", "objectClass: inetMailGroup\nmail: g@uni.example\nuniqueMember: uid=a,dc=uni\nmgrpRFC822MailMember: x@else.example\nmgrpDeliverTo: ldap:///dc=uni??sub?(uid=b)\n",
			"class phMailGroup\nmail g@uni.example\nrfc822MailMember x@else.example < mgrpRFC822MailMember\nmember uid=a,dc=uni < uniqueMember\nmemberURL ldap:///dc=uni??sub?(uid=b) < mgrpDeliverTo\n", ""},
		{"who may post", "objectClass: inetMailGroup\nmgrpAllowedBroadcaster: mailto:a@uni.example\nmgrpDisallowedBroadcaster: mailto:b@uni.example\nmgrpErrorsTo: mailto:o@uni.example\nmgrpMsgMaxSize: 5000\n",
			"class phMailGroup\nphMaxMessageBytes 5000 < mgrpMsgMaxSize\nphListPostPolicy listed < ldap_profile [mgrpAllowedBroadcaster] phListPostPolicy := listed\nphListAllowedSender a@uni.example < mgrpAllowedBroadcaster mailto:a@uni.example\nphListDeniedSender b@uni.example < mgrpDisallowedBroadcaster mailto:b@uni.example\nphListErrorsTo o@uni.example < mgrpErrorsTo mailto:o@uni.example\n", ""},
		{"who may post, as entries, searches and domains", "objectClass: inetMailGroup\nmgrpAllowedBroadcaster: ldap:///uid=a%2Cdc=uni\nmgrpAllowedBroadcaster: LDAP://ds.uni.example:389/cn=b,dc=uni??base\nmgrpAllowedBroadcaster: ldap:///dc=uni??sub?(uid=c)\nmgrpDisallowedBroadcaster: ldap:///uid=d,dc=uni\nmgrpDisallowedBroadcaster: ldap:///dc=uni??one?(uid=e)\nmgrpAllowedDomain: good.example\nmgrpDisallowedDomain: @bad.example\n",
			"class phMailGroup\nphListPostPolicy listed < ldap_profile [mgrpAllowedBroadcaster] phListPostPolicy := listed\nphListAllowedSender @good.example < mgrpAllowedDomain good.example\nphListDeniedSender @bad.example < mgrpDisallowedDomain\nphListAllowedSenderDN uid=a,dc=uni < mgrpAllowedBroadcaster ldap:///uid=a%2Cdc=uni\nphListDeniedSenderDN uid=d,dc=uni < mgrpDisallowedBroadcaster ldap:///uid=d,dc=uni\nphListAllowedSenderURL LDAP://ds.uni.example:389/cn=b,dc=uni??base < mgrpAllowedBroadcaster\nphListAllowedSenderURL ldap:///dc=uni??sub?(uid=c) < mgrpAllowedBroadcaster\nphListDeniedSenderURL ldap:///dc=uni??one?(uid=e) < mgrpDisallowedBroadcaster\n", ""},
		{"a domain that is switched off", "objectClass: mailDomain\nsunPreferredDomain: uni.example\ninetDomainStatus: active\nmailDomainStatus: disabled\n",
			"class phMailDomain\nphStatus disabled < mailDomainStatus\nphDomainType local < ldap_profile [objectClass=mailDomain] phDomainType := local\nassociatedDomain uni.example < sunPreferredDomain\n", ""},
		{"one that is inactive", "objectClass: mailDomain\nsunPreferredDomain: uni.example\ninetDomainStatus: inactive\nmailDomainStatus: active\n",
			"class phMailDomain\nphStatus hold < inetDomainStatus inactive\nphDomainType local < ldap_profile [objectClass=mailDomain] phDomainType := local\nassociatedDomain uni.example < sunPreferredDomain\n", ""},
		{"moderated", "objectClass: inetMailGroup\nmgrpModerator: mailto:m@uni.example\n",
			"class phMailGroup\nphListPostPolicy moderated < ldap_profile [mgrpModerator] phListPostPolicy := moderated\nphListModeratorAddress m@uni.example < mgrpModerator mailto:m@uni.example\n", ""},
		{"inactive", "objectClass: inetMailGroup\ninetMailGroupStatus: inactive\n",
			"class phMailGroup\nphStatus hold < inetMailGroupStatus inactive\n", ""},
		{"a domain", "objectClass: mailDomain\nsunPreferredDomain: uni.example\nmailDomainCatchAllAddress: all@uni.example\n",
			"class phMailDomain\nphDomainType local < ldap_profile [objectClass=mailDomain] phDomainType := local\nphCatchAll all@uni.example < mailDomainCatchAllAddress\nassociatedDomain uni.example < sunPreferredDomain\n", ""},
	};
	profile_check(SETTINGS_LDAP_PROFILE_SUN, NULL, cases, sizeof cases / sizeof *cases);
}

// Threat evil-attr.
static void test_lies(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"a command", "objectClass: inetMailUser\nmailDeliveryOption: forward\nmailForwardingAddress: |/bin/sh\nmailHost: x y\n",
			"class phMailUser\n", "mailHost is not a domain name\nmailForwardingAddress is a command or a file, not an address\n"},
		{"a URL that is none", "objectClass: inetMailGroup\nmgrpAllowedBroadcaster: ldap:///uid=%zz\nmgrpAllowedBroadcaster: ldap:x\n",
			"class phMailGroup\nphListPostPolicy listed < ldap_profile [mgrpAllowedBroadcaster] phListPostPolicy := listed\n", "mgrpAllowedBroadcaster is no LDAP URL\n"},
		{"behind mailto", "objectClass: inetMailGroup\nmgrpErrorsTo: mailto:/etc/passwd\n",
			"class phMailGroup\n", "mgrpErrorsTo is a command or a file, not an address\n"},
	};
	profile_check(SETTINGS_LDAP_PROFILE_SUN, NULL, cases, sizeof cases / sizeof *cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_people), cmocka_unit_test(test_groups), cmocka_unit_test(test_lies)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
