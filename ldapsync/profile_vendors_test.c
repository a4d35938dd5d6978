// SPDX-License-Identifier: Apache-2.0
// The profiles courier, zimbra and ad: entries as these directories have them, and what they are natively.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile_test.h"

#define USER "class phMailUser\n"
#define CHECK(family, cases) profile_check(SETTINGS_LDAP_PROFILE_##family, NULL, cases, sizeof cases / sizeof *cases)

#define ACCOUNT "objectClass: CourierMailAccount\nhomeDirectory: /home/a\n"

static void test_courier(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"an account logs in with its address", ACCOUNT "mail: a@uni.example\nmailhost: mb1.uni.example\nmailbox: /var/mail/a\n",
			USER "phLoginAlias a@uni.example < mail\nmail a@uni.example\nmailHost mb1.uni.example\n", ""},
		{"switched off", ACCOUNT "disableimap: 1\ndisablepop3: 0\n",
			USER "phService pop3 < disableimap 1\nphService submission < disableimap 1\nphService sieve < disableimap 1\n", ""},
		{"all of it", ACCOUNT "disableimap: 1\ndisablepop3: 1\n",
			USER "phService submission < disablepop3 1\nphService sieve < disablepop3 1\n", ""},
		{"quota", ACCOUNT "quota: 10485760S,1000C\n",
			USER "phQuotaBytes 10485760 < quota 10485760S,1000C\nphQuotaMessages 1000 < quota 10485760S,1000C\n", ""},
		{"a quota that is none", ACCOUNT "quota: much\n", USER, "quota is no quota such as 10485760S,1000C\nquota is no quota such as 10485760S,1000C\n"},
		{"an account that is passed on", ACCOUNT "maildrop: b@else.example, c@else.example\n",
			USER "phForwardAddress b@else.example < maildrop b@else.example, c@else.example\n"
			"phForwardAddress c@else.example < maildrop b@else.example, c@else.example\n", ""},
		{"an alias", "objectClass: CourierMailAlias\nmail: team@uni.example\nmail: @old.example\nmaildrop: a@uni.example\nmaildrop: b@else.example\n",
			"class phMailAlias\nmailLocalAddress team@uni.example < mail\nmailLocalAddress @old.example < mail\n"
			"rfc822MailMember a@uni.example < maildrop\nrfc822MailMember b@else.example < maildrop\n", ""},
		{"an alias that lies", "objectClass: CourierMailAlias\nmail: x@uni.example\nmaildrop: |/bin/sh\n",
			"class phMailAlias\nmailLocalAddress x@uni.example < mail\n", "maildrop is a command or a file, not an address\n"},
	};
	CHECK(COURIER, cases);
}

#define ZIMBRA "objectClass: zimbraAccount\n"
#define ZIMBRA_KEEPS "phForwardKeepCopy TRUE < ldap_profile [objectClass=zimbraAccount] phForwardKeepCopy := TRUE\n"
#define ZIMBRA_CLASS "phClassOfService default < ldap_profile [objectClass=zimbraAccount] phClassOfService := default\n"
#define ZIMBRA_USUAL ZIMBRA_KEEPS ZIMBRA_CLASS

static void test_zimbra(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"addresses, host, id, log-ins",
			ZIMBRA "uid: a\nmail: a@uni.example\nmail: a.ahorn@uni.example\nzimbraMailDeliveryAddress: a@uni.example\nzimbraMailAlias: a.ahorn@uni.example\n"
			"zimbraMailCatchAllAddress: @old.example\nzimbraMailHost: mb1.uni.example\nzimbraId: 1b2c3d4e-0000-4000-8000-000000000001\n"
			"zimbraAllowFromAddress: office@uni.example\n",
			USER "phMailboxId 1b2c3d4e000040008000000000000001 < zimbraId\n" ZIMBRA_KEEPS "phSendAs office@uni.example < zimbraAllowFromAddress\n"
			"phLoginAlias a@uni.example < zimbraMailDeliveryAddress\nphLoginAlias a.ahorn@uni.example < zimbraMailAlias\n" ZIMBRA_CLASS
			"uid a\nmail a@uni.example < zimbraMailDeliveryAddress\nmailLocalAddress a@uni.example < mail\n"
			"mailLocalAddress a.ahorn@uni.example < mail\nmailLocalAddress @old.example < zimbraMailCatchAllAddress\nmailHost mb1.uni.example < zimbraMailHost\n",
			""},
		{"forwards of the administrator and of the owner, with a copy",
			ZIMBRA "zimbraMailForwardingAddress: x@else.example\nzimbraPrefMailForwardingAddress: y@else.example, z@else.example\n",
			USER "phForwardAddress x@else.example < zimbraMailForwardingAddress\n"
			"phForwardAddress y@else.example < zimbraPrefMailForwardingAddress y@else.example, z@else.example\n"
			"phForwardAddress z@else.example < zimbraPrefMailForwardingAddress y@else.example, z@else.example\n" ZIMBRA_USUAL, ""},
		{"and without", ZIMBRA "zimbraPrefMailForwardingAddress: y@else.example\nzimbraPrefMailLocalDeliveryDisabled: TRUE\n",
			USER "phForwardAddress y@else.example < zimbraPrefMailForwardingAddress\n"
			"phForwardKeepCopy FALSE < zimbraPrefMailLocalDeliveryDisabled TRUE\n" ZIMBRA_CLASS, ""},
		{"active", ZIMBRA "zimbraAccountStatus: active\nzimbraMailStatus: enabled\n", USER ZIMBRA_USUAL, ""},
		{"locked", ZIMBRA "zimbraAccountStatus: locked\n", USER "phStatus nologin < zimbraAccountStatus locked\n" ZIMBRA_USUAL, ""},
		{"lockout", ZIMBRA "zimbraAccountStatus: lockout\n", USER "phStatus nologin < zimbraAccountStatus lockout\n" ZIMBRA_USUAL, ""},
		{"maintenance", ZIMBRA "zimbraAccountStatus: maintenance\n",
			USER "phStatus hold < zimbraAccountStatus maintenance\nphService none < zimbraAccountStatus maintenance\n" ZIMBRA_USUAL, ""},
		{"maintenance of one who has no IMAP", ZIMBRA "zimbraAccountStatus: maintenance\nzimbraImapEnabled: FALSE\n",
			USER "phStatus hold < zimbraAccountStatus maintenance\nphService none < zimbraImapEnabled FALSE\n" ZIMBRA_USUAL, ""},
		{"pending", ZIMBRA "zimbraAccountStatus: pending\n", USER "phStatus disabled < zimbraAccountStatus pending\n" ZIMBRA_USUAL, ""},
		{"closed, whatever else", ZIMBRA "zimbraAccountStatus: closed\nzimbraMailStatus: disabled\n",
			USER "phStatus disabled < zimbraAccountStatus closed\n" ZIMBRA_USUAL, ""},
		{"no mail", ZIMBRA "zimbraMailStatus: disabled\n", USER "phStatus noreceive < zimbraMailStatus disabled\n" ZIMBRA_USUAL, ""},
		{"a status that is not known", ZIMBRA "zimbraAccountStatus: odd\n", USER ZIMBRA_USUAL,
			"zimbraAccountStatus is a word that the map has nothing for; give it one in ldap_map\n"},
		{"services, quota, class", ZIMBRA "zimbraImapEnabled: FALSE\nzimbraPop3Enabled: TRUE\nzimbraMailQuota: 1048576\nzimbraCOSId: c1\n",
			USER "phQuotaBytes 1048576 < zimbraMailQuota\nphService pop3 < zimbraImapEnabled FALSE\nphService submission < zimbraImapEnabled FALSE\n"
			"phService sieve < zimbraImapEnabled FALSE\n" ZIMBRA_KEEPS "phClassOfService c1 < zimbraCOSId\n", ""},
		{"no quota", ZIMBRA "zimbraMailQuota: 0\n", USER "phQuotaBytes -1 < zimbraMailQuota 0\n" ZIMBRA_USUAL, ""},
		{"away", ZIMBRA "zimbraPrefOutOfOfficeReplyEnabled: TRUE\nzimbraPrefOutOfOfficeReply: Back soon.\nzimbraPrefOutOfOfficeFromDate: 20260701000000Z\n"
			"zimbraPrefOutOfOfficeUntilDate: 20260801000000Z\n",
			USER ZIMBRA_KEEPS "phVacation scheduled < zimbraPrefOutOfOfficeReplyEnabled TRUE\n"
			"phVacationStart 20260701000000Z < zimbraPrefOutOfOfficeFromDate\nphVacationEnd 20260801000000Z < zimbraPrefOutOfOfficeUntilDate\n"
			"phVacationText Back soon. < zimbraPrefOutOfOfficeReply\n" ZIMBRA_CLASS, ""},
		{"a distribution list: what forwards accounts is its members",
			"objectClass: zimbraDistributionList\nmail: team@uni.example\nzimbraMailAlias: group@uni.example\nzimbraMailForwardingAddress: a@uni.example\n"
			"zimbraMailStatus: enabled\n",
			"class phMailGroup\nmail team@uni.example\nmailLocalAddress group@uni.example < zimbraMailAlias\n"
			"rfc822MailMember a@uni.example < zimbraMailForwardingAddress\n", ""},
		{"one whose answers go to it", "objectClass: zimbraDistributionList\nmail: team@uni.example\nzimbraPrefReplyToEnabled: TRUE\n",
			"class phMailGroup\nphListReplyTo list < ldap_profile [!objectClass=zimbraAccount] [zimbraPrefReplyToEnabled=TRUE] phListReplyTo := list\n"
			"mail team@uni.example\n", ""},
		{"or to an address", "objectClass: zimbraDistributionList\nmail: team@uni.example\nzimbraPrefReplyToEnabled: TRUE\n"
			"zimbraPrefReplyToAddress: desk@uni.example\n",
			"class phMailGroup\nphListReplyTo desk@uni.example < zimbraPrefReplyToAddress\nmail team@uni.example\n", ""},
		{"or to who wrote", "objectClass: zimbraDistributionList\nmail: team@uni.example\nzimbraPrefReplyToEnabled: FALSE\n"
			"zimbraPrefReplyToAddress: desk@uni.example\n",
			"class phMailGroup\nmail team@uni.example\n", ""},
		{"one that takes no mail", "objectClass: zimbraDistributionList\nmail: team@uni.example\nzimbraMailStatus: disabled\n",
			"class phMailGroup\nphStatus disabled < zimbraMailStatus\nmail team@uni.example\n", ""},
		{"a domain", "objectClass: zimbraDomain\nzimbraDomainName: uni.example\nzimbraDomainType: local\nzimbraMailCatchAllForwardingAddress: a@uni.example\n",
			"class phMailDomain\nphDomainType local < zimbraDomainType\nphCatchAll a@uni.example < zimbraMailCatchAllForwardingAddress\n"
			"associatedDomain uni.example < zimbraDomainName\n", ""},
		{"an alias domain", "objectClass: zimbraDomain\nzimbraDomainName: old.example\nzimbraDomainType: alias\nzimbraMailCatchAllForwardingAddress: @uni.example\n",
			"class phMailDomain\nphDomainType alias < zimbraDomainType\nphDomainAliasOf uni.example < zimbraMailCatchAllForwardingAddress @uni.example\n"
			"associatedDomain old.example < zimbraDomainName\n", ""},
		{"a class of service", "objectClass: zimbraCOS\ncn: default\nzimbraId: e00428a1\nzimbraMailQuota: 5\n",
			"class phClassOfServiceEntry\nphQuotaBytes 5 < zimbraMailQuota\ncn e00428a1 < zimbraId\ncn default\n", ""},
		{"values that lie", ZIMBRA "zimbraPrefMailForwardingAddress: |/bin/sh\nzimbraMailHost: ../x\nzimbraMailQuota: all\n", USER ZIMBRA_USUAL,
			"zimbraMailHost is not a domain name\nzimbraPrefMailForwardingAddress is a command or a file, not an address\n"
			"zimbraMailQuota is neither a whole number nor -1\n"},
	};
	CHECK(ZIMBRA, cases);
}

#define AD_USER "objectClass: person\nobjectClass: user\n"

static void test_ad(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"addresses and log-ins",
			AD_USER "sAMAccountName: anna\nuserPrincipalName: anna@ad.uni.example\nmail: a@uni.example\nproxyAddresses: SMTP:a@uni.example\n"
			"proxyAddresses: smtp:a.ahorn@uni.example\nproxyAddresses: X500:/o=uni/cn=a\nobjectGUID:: AAECAwQFBgcICQoLDA0ODw==\n",
			USER "phLoginAlias anna@ad.uni.example < userPrincipalName\nuid anna < sAMAccountName\nmail a@uni.example\n"
			"mailLocalAddress a@uni.example < proxyAddresses SMTP:a@uni.example\n"
			"mailLocalAddress a.ahorn@uni.example < proxyAddresses smtp:a.ahorn@uni.example\n", ""},
		{"the primary address where mail has none", AD_USER "proxyAddresses: smtp:b@uni.example\nproxyAddresses: SMTP:a@uni.example\n",
			USER "mail a@uni.example < proxyAddresses SMTP:a@uni.example\nmailLocalAddress a@uni.example < proxyAddresses SMTP:a@uni.example\n"
			"mailLocalAddress b@uni.example < proxyAddresses smtp:b@uni.example\n", ""},
		{"disabled: a normal account (512) with bit 2", AD_USER "mail: a@uni.example\nuserAccountControl: 514\n",
			USER "phStatus disabled < userAccountControl 514\nmail a@uni.example\n", ""},
		{"not disabled", AD_USER "mail: a@uni.example\nuserAccountControl: 66048\n", USER "mail a@uni.example\n", ""},
		{"a shared mailbox", AD_USER "mail: a@uni.example\nuserAccountControl: 514\nmsExchRecipientTypeDetails: 4\n",
			USER "phStatus nologin < userAccountControl 514\nmail a@uni.example\n", ""},
		{"a user whose mailbox is elsewhere", AD_USER "mail: a@uni.example\ntargetAddress: SMTP:a@cloud.example\n",
			USER "phForwardAddress a@cloud.example < targetAddress SMTP:a@cloud.example\nmail a@uni.example\n", ""},
		{"a forward with a copy", AD_USER "mail: a@uni.example\nmsExchGenericForwardingAddress: smtp:a@else.example\ndeliverAndRedirect: TRUE\n",
			USER "phForwardAddress a@else.example < msExchGenericForwardingAddress smtp:a@else.example\nphForwardKeepCopy TRUE < deliverAndRedirect\n"
			"mail a@uni.example\n", ""},
		{"a forward to another entry", AD_USER "mail: a@uni.example\naltRecipient: CN=b,DC=uni\ndeliverAndRedirect: TRUE\n",
			USER "phForwardKeepCopy TRUE < deliverAndRedirect\nphForwardDN CN=b,DC=uni < altRecipient\nmail a@uni.example\n", ""},
		{"who may not write to it", "objectClass: group\nmail: team@uni.example\ndLMemSubmitPerms: cn=g,dc=uni\nunauthOrig: cn=b,dc=uni\ndLMemRejectPerms: cn=h,dc=uni\n",
			"class phMailGroup\nphListAllowedSenderDN cn=g,dc=uni < dLMemSubmitPerms\nphListDeniedSenderDN cn=b,dc=uni < unauthOrig\n"
			"phListDeniedSenderDN cn=h,dc=uni < dLMemRejectPerms\nmail team@uni.example\n", ""},
		{"limits", AD_USER "mail: a@uni.example\nmDBOverHardQuotaLimit: 1024\ndelivContLength: 10240\nmsExchRecipLimit: 50\n",
			USER "phQuotaBytes 1048576 < mDBOverHardQuotaLimit 1024\nphMaxMessageBytes 10485760 < delivContLength 10240\n"
			"phMaxRecipients 50 < msExchRecipLimit\nmail a@uni.example\n", ""},
		{"limits of the database count", AD_USER "mail: a@uni.example\nmDBOverHardQuotaLimit: 1024\nmDBUseDefaults: TRUE\n",
			USER "mail a@uni.example\n", ""},
		{"a computer is a user there", AD_USER "objectClass: computer\nsAMAccountName: PC$\n", "", ""},
		{"a user without mail", AD_USER "sAMAccountName: svc\n", "", ""},
		{"a group", "objectClass: group\nmail: team@uni.example\nmember: cn=a,dc=uni\nproxyAddresses: smtp:t@uni.example\n",
			"class phMailGroup\nmail team@uni.example\nmailLocalAddress t@uni.example < proxyAddresses smtp:t@uni.example\nmember cn=a,dc=uni\n", ""},
		{"who may write to it", "objectClass: group\nmail: team@uni.example\nmember: cn=a,dc=uni\nauthOrig: cn=a,dc=uni\nmsExchRequireAuthToSendTo: TRUE\n",
			"class phMailGroup\nphListAllowedSenderDN cn=a,dc=uni < authOrig\nphListRequireAuth TRUE < msExchRequireAuthToSendTo\n"
			"mail team@uni.example\nmember cn=a,dc=uni\n", ""},
		{"a group with an owner who gets the reports", "objectClass: group\nmail: team@uni.example\nmanagedBy: cn=a,dc=uni\nreportToOwner: TRUE\n",
			"class phMailGroup\nmail team@uni.example\nowner cn=a,dc=uni < managedBy\n", ""},
		{"and one whose reports go to who wrote", "objectClass: group\nmail: team@uni.example\nmanagedBy: cn=a,dc=uni\nreportToOriginator: TRUE\n",
			"class phMailGroup\nmail team@uni.example\n", ""},
		{"a moderated group", "objectClass: group\nmail: team@uni.example\nmsExchEnableModeration: TRUE\nmsExchModeratedByLink: cn=a,dc=uni\n"
			"msExchBypassModerationLink: cn=b,dc=uni\nmsExchBypassModerationFromDLMembersLink: cn=g,dc=uni\nauthOrig: cn=c,dc=uni\ndLMemSubmitPerms: cn=h,dc=uni\n",
			"class phMailGroup\nphListPostPolicy moderated < ldap_profile [objectClass=group] [msExchEnableModeration=TRUE] phListPostPolicy := moderated\n"
			"phListAllowedSenderDN cn=b,dc=uni < msExchBypassModerationLink\nphListAllowedSenderDN cn=g,dc=uni < msExchBypassModerationFromDLMembersLink\n"
			"phListModerator cn=a,dc=uni < msExchModeratedByLink\nmail team@uni.example\n", ""},
		{"a dynamic list waits", "objectClass: msExchDynamicDistributionList\nmail: dyn@uni.example\nmsExchDynamicDLFilter: (x=y)\n",
			"class phMailGroup\nphStatus hold < ldap_profile [objectClass=msExchDynamicDistributionList] phStatus := hold\nmail dyn@uni.example\n", ""},
		{"a large group, of which the server gave a part", "objectClass: group\nmail: all@uni.example\nmember;range=0-1499: cn=a,dc=uni\n",
			"class phMailGroup\nmail all@uni.example\n",
			" is given with a part of its values (range=): of it only its addresses are kept, and mail for them waits\n"},
		{"and one that came whole", "objectClass: group\nmail: all@uni.example\nmember;range=0-*: cn=a,dc=uni\n",
			"class phMailGroup\nmail all@uni.example\nmember cn=a,dc=uni\n", ""},
		{"a contact", "objectClass: contact\nmail: x@else.example\ntargetAddress: SMTP:x@else.example\n",
			"class phMailAlias\nmail x@else.example\nrfc822MailMember x@else.example < targetAddress SMTP:x@else.example\n", ""},
		{"an accepted domain", "objectClass: msExchAcceptedDomain\nmsExchAcceptedDomainName: uni.example\n",
			"class phMailDomain\nphDomainType local < ldap_profile [objectClass=msExchAcceptedDomain] phDomainType := local\n"
			"associatedDomain uni.example < msExchAcceptedDomainName\n", ""},
		{"values that lie", AD_USER "mail: a@uni.example\nproxyAddresses: smtp:|/bin/sh\nuserAccountControl: x\nobjectGUID: short\n",
			USER "mail a@uni.example\n", "objectGUID is not a UUID\nuserAccountControl is not a whole number\n"
			"proxyAddresses is a command or a file, not an address\n"},
	};
	CHECK(AD, cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_courier), cmocka_unit_test(test_zimbra), cmocka_unit_test(test_ad)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
