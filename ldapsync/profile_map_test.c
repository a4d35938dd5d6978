// SPDX-License-Identifier: Apache-2.0
// Entries through a map: conditions, words, functions, what counts when several say something, what is refused, and where values say they come from.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile_search.h"
#include "profile_test.h"

#define USER "class phMailUser\n"

static void check(const char *const *lines, const struct profile_case *cases, size_t n)
{
	struct str own[32];
	struct settings_list map = {own, 0};
	for (; lines[map.n]; map.n++)
		own[map.n] = str_of_c(lines[map.n]);
	profile_check(SETTINGS_LDAP_PROFILE_NATIVE, &map, cases, n);
}
#define CHECK(lines, cases) check(lines, cases, sizeof cases / sizeof *cases)

static const char *const person[] = {"[objectClass=uniPerson] [!uniKind=robot] objectClass := phMailUser",
	"uniMail = mail", "uniState = phStatus: a=active l=nologin x=deleted", "lock = phStatus: 1=suspended 0=",
	"[uniKind=guest] uniFwd = phForwardAddress", "[objectClass=phMailUser] mailHost := mb1.uni.example", "noImap = phService: 1=-imap *=",
	"noPop = phService: 1=-pop3 *=", "old = -", "mailHost = -", NULL};

static void test_lines(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"a class, a copy, a constant", "objectClass: uniPerson\nuniMail: a@uni.example\n",
			USER "mail a@uni.example < uniMail\nmailHost mb1.uni.example < ldap_map [objectClass=phMailUser] mailHost := mb1.uni.example\n", ""},
		{"names and classes in any case, options", "objectclass: UNIPERSON\nUNImail;lang-de: a@uni.example\n",
			USER "mail a@uni.example < UNImail\nmailHost mb1.uni.example < ldap_map [objectClass=phMailUser] mailHost := mb1.uni.example\n", ""},
		{"a negated condition", "objectClass: uniPerson\nuniKind: Robot\nmail: a@uni.example\n", "class\nmail a@uni.example\n", ""},
		{"a condition on another attribute", "objectClass: phMailUser\nuniKind: guest\nuniFwd: b@else.example\n",
			USER "phForwardAddress b@else.example < uniFwd\nmailHost mb1.uni.example < ldap_map [objectClass=phMailUser] mailHost := mb1.uni.example\n", ""},
		{"and without it", "objectClass: uniPerson\nuniFwd: b@else.example\nold: x\n",
			USER "mailHost mb1.uni.example < ldap_map [objectClass=phMailUser] mailHost := mb1.uni.example\n", ""},
		{"an attribute that is left out", "objectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\nmailHost: mb9.uni.example\n",
			"class phMailDomain\nphDomainType local\nassociatedDomain uni.example\n", ""},
	};
	CHECK(person, cases);
}

static void test_what_counts(void **state)
{
	(void)state;
	static const char *const lines[] = {"a = phQuotaBytes", "b = phQuotaBytes", "c = mailLocalAddress", "lock = phStatus: 1=suspended 0=",
		"state = phStatus: a=active l=nologin x=deleted", "noImap = phService: 1=-imap *=", "noPop = phService: 1=-pop3 *=",
		"none = phService: 1=-imap,-pop3,-submission,-sieve", NULL};
	static const struct profile_case cases[] = {
		{"native first", "objectClass: phMailUser\na: 1\nphQuotaBytes: 3\nb: 2\n", USER "phQuotaBytes 3\n", ""},
		{"then lines in order", "objectClass: phMailUser\nb: 2\na: 1\n", USER "phQuotaBytes 1 < a\n", ""},
		{"several values of one", "objectClass: phMailUser\na: 1\na: 2\n", USER "phQuotaBytes 1 < a\nphQuotaBytes 2 < a\n",
			"a has several values and may have one\n"},
		{"all of many, each once", "objectClass: phMailUser\nc: x@uni.example\nmailLocalAddress: X@uni.example\nc: y@uni.example\n",
			USER "mailLocalAddress X@uni.example\nmailLocalAddress y@uni.example < c\n", ""},
		{"the most restrictive status", "objectClass: phMailUser\nstate: l\nlock: 1\n", USER "phStatus suspended < lock 1\n", ""},
		{"whoever says it", "objectClass: phMailUser\nstate: x\nlock: 1\nphStatus: disabled\n", USER "phStatus deleted < state x\n", ""},
		{"a word that is none", "objectClass: phMailUser\nphStatus: suspnded\nstate: x\n", USER "phStatus suspnded\n",
			"phStatus is no status: mail waits, and nobody logs in, until it is active, nologin, noreceive, hold, suspended, disabled or deleted\n"},
		{"also the entry", "objectClass: phMailUser\nstate: l\nlock: 0\nphStatus: disabled\n", USER "phStatus disabled\n", ""},
		{"services that go, of all", "objectClass: phMailUser\nnoImap: 1\nnoPop: 0\n",
			USER "phService pop3 < noImap 1\nphService submission < noImap 1\nphService sieve < noImap 1\n", ""},
		{"of those that are named", "objectClass: phMailUser\nnoImap: 1\nphService: imap\nphService: pop3\n", USER "phService pop3 < noImap 1\n", ""},
		{"none is left", "objectClass: phMailUser\nnone: 1\n", USER "phService none < none 1\n", ""},
		{"a word that no table has", "objectClass: phMailUser\nstate: ?\n", USER, "state is a word that the map has nothing for; give it one in ldap_map\n"},
	};
	CHECK(lines, cases);
}

static void test_functions(void **state)
{
	(void)state;
	static const char *const lines[] = {"p = mail: prefix SMTP:", "p = mailLocalAddress: prefix smtp:", "s = phLoginAlias: suffix @uni.example",
		"f = phForwardAddress: split ,", "uac = phStatus: bit 2 disabled", "kb = phQuotaBytes: times 1024", "q = phQuotaBytes: quota-bytes",
		"q = phQuotaMessages: quota-messages", "ft = phExpires: filetime", "d = phExpires: days", "sec = phVacationStart: seconds",
		"g = phMailboxId: guid", "z = phMaxRecipients: 0=-1 *=*", NULL};
	static const struct profile_case cases[] = {
		{"prefix: case counts", "objectClass: phMailUser\np: SMTP:a@uni.example\np: smtp:b@uni.example\np: X500:/o=x\n",
			USER "mail a@uni.example < p SMTP:a@uni.example\nmailLocalAddress b@uni.example < p smtp:b@uni.example\n", ""},
		{"suffix", "objectClass: phMailUser\ns: anna\ns: b@else.example\n",
			USER "phLoginAlias anna@uni.example < s anna\nphLoginAlias b@else.example < s\n", ""},
		{"split", "objectClass: phMailUser\nf: a@x.example, b@x.example,,\n",
			USER "phForwardAddress a@x.example < f a@x.example, b@x.example,,\nphForwardAddress b@x.example < f a@x.example, b@x.example,,\n", ""},
		{"bit", "objectClass: phMailUser\nuac: 514\n", USER "phStatus disabled < uac 514\n", ""},
		{"another bit", "objectClass: phMailUser\nuac: 512\n", USER, ""},
		{"bit of a negative number", "objectClass: phMailUser\nuac: -2147483646\n", USER "phStatus disabled < uac -2147483646\n", ""},
		{"bit of no number", "objectClass: phMailUser\nuac: x\n", USER, "uac is not a whole number\n"},
		{"times", "objectClass: phMailUser\nkb: 10\n", USER "phQuotaBytes 10240 < kb 10\n", ""},
		{"times of -1", "objectClass: phMailUser\nkb: -1\n", USER "phQuotaBytes -1 < kb\n", ""},
		{"times beyond", "objectClass: phMailUser\nkb: 9223372036854775807\n", USER, "kb is too large a number\n"},
		{"quota", "objectClass: phMailUser\nq: 10485760S,1000C\n",
			USER "phQuotaBytes 10485760 < q 10485760S,1000C\nphQuotaMessages 1000 < q 10485760S,1000C\n", ""},
		{"quota of bytes", "objectClass: phMailUser\nq: 5\n", USER "phQuotaBytes 5 < q\n", ""},
		{"no quota", "objectClass: phMailUser\nq: 0S\n", USER "phQuotaBytes -1 < q 0S\n", ""},
		{"bad quota", "objectClass: phMailUser\nq: 5X\n", USER, "q is no quota such as 10485760S,1000C\nq is no quota such as 10485760S,1000C\n"},
		{"filetime", "objectClass: phMailUser\nft: 133801632000000000\n", USER "phExpires 20250101000000Z < ft 133801632000000000\n", ""},
		{"filetime that never comes", "objectClass: phMailUser\nft: 9223372036854775807\nft: 0\n", USER, ""},
		{"days", "objectClass: phMailUser\nd: 20089\n", USER "phExpires 20250101000000Z < d 20089\n", ""},
		{"days until the last year that a machine knows", "objectClass: phMailUser\nd: 784352270735\n", USER, ""},
		{"days beyond all", "objectClass: phMailUser\nd: 9223372036854775807\n", USER, ""},
		{"seconds", "objectClass: phMailUser\nsec: 1735689600\n", USER "phVacationStart 20250101000000Z < sec 1735689600\n", ""},
		{"guid", "objectClass: phMailUser\ng:: AAECAwQFBgcICQoLDA0ODw==\n", USER "phMailboxId 03020100050407060809" "0a0b0c0d0e0f < g\n", ""},
		{"no guid", "objectClass: phMailUser\ng: x\n", USER, "g is not a UUID\n"},
		{"the value itself", "objectClass: phMailUser\nz: 7\n", USER "phMaxRecipients 7 < z\n", ""},
		{"or a word", "objectClass: phMailUser\nz: 0\n", USER "phMaxRecipients -1 < z 0\n", ""},
	};
	CHECK(lines, cases);
}

// Threat evil-attr: what a value becomes is checked as any other, and the complaint names the attribute of the directory.
static void test_evil(void **state)
{
	(void)state;
	static const char *const lines[] = {"fwd = phForwardAddress", "host = mailHost", "p = mail: prefix SMTP:", "f = phForwardAddress: split ,", NULL};
	static const struct profile_case cases[] = {
		{"a command", "objectClass: phMailUser\nfwd: |/bin/sh\n", USER, "fwd is a command or a file, not an address\n"},
		{"behind a prefix", "objectClass: phMailUser\np: SMTP:|/bin/sh\n", USER, "p is a command or a file, not an address\n"},
		{"between commas", "objectClass: phMailUser\nf: a@x.example,/etc/passwd\n", USER "phForwardAddress a@x.example < f a@x.example,/etc/passwd\n",
			"f is a command or a file, not an address\n"},
		{"a line end", "objectClass: phMailUser\nfwd:: YUB4LmV4YW1wbGUNCkJjYzogYkB4LmV4YW1wbGU=\n", USER, "fwd has control characters\n"},
		{"a host that is a path", "objectClass: phMailUser\nhost: ../../x\n", USER, "host is not a domain name\n"},
		{"an origin from outside", "objectClass: phMailUser\nuid: a\nfwd: a@x.example\n(origin): 25\x1f" "evil\n",
			USER "phForwardAddress a@x.example < fwd\nuid a\n", ""},
	};
	CHECK(lines, cases);
}

static void test_domain(void **state)
{
	(void)state;
	static const char *const lines[] = {"[objectClass=uniDomain] objectClass := phMailDomain", "uniName = associatedDomain",
		"[objectClass=uniDomain] phDomainType := local", "uniRealm = phAuthRealm", NULL};
	static const struct profile_case cases[] = {
		{"a domain", "objectClass: uniDomain\nuniName: Uni.example\nuniRealm: login.example\n",
			"class phMailDomain\nphDomainType local < ldap_map [objectClass=uniDomain] phDomainType := local\nphAuthRealm login.example < uniRealm\n"
			"associatedDomain uni.example < uniName\n", ""},
	};
	CHECK(lines, cases);
}

static void test_laser(void **state)
{
	(void)state;
	static const struct profile_case cases[] = {
		{"a recipient", "objectClass: inetLocalMailRecipient\ncn: a\nmailLocalAddress: a@uni.example\nmailHost: MX.dept.example\nmailRoutingAddress: a@dept.example\n",
			USER "phMailHostRelay TRUE < ldap_profile [objectClass=inetLocalMailRecipient] phMailHostRelay := TRUE\nmailLocalAddress a@uni.example\n"
			"mailHost mx.dept.example\nmailRoutingAddress a@dept.example\ncn a\n", ""},
		{"no relay where the entry says so", "objectClass: inetLocalMailRecipient\nphMailHostRelay: FALSE\n", USER "phMailHostRelay FALSE\n", ""},
		{"a printer", "objectClass: device\ncn: p\n", "", ""},
	};
	profile_check(SETTINGS_LDAP_PROFILE_LASER, NULL, cases, sizeof cases / sizeof *cases);
}

// A line of one's own in the place of a profile's, and one that leaves its source out.
static void test_in_place(void **state)
{
	(void)state;
	struct str own[] = {STR("accountStatus = phStatus: gone=hold *=active"), STR("mailQuotaSize = -"), STR("y = mailLocalAddress: catchall all")};
	struct settings_list map = {own, 3};
	static const struct profile_case cases[] = {
		{"in its place", "objectClass: qmailUser\naccountStatus: disabled\nmailQuotaCount: 5\n", USER "phStatus active < accountStatus disabled\nphQuotaMessages 5 < mailQuotaCount\n", ""},
		{"left out", "objectClass: qmailUser\naccountStatus: gone\nmailQuotaSize: 5\n", USER "phStatus hold < accountStatus gone\n", ""},
		{"catchall", "objectClass: qmailUser\ny: All@uni.example\ny: allow@uni.example\n",
			USER "mailLocalAddress @uni.example < y All@uni.example\n", ""},
	};
	profile_check(SETTINGS_LDAP_PROFILE_QMAIL_LDAP, &map, cases, sizeof cases / sizeof *cases);
}

static bool asks_for(const struct profile_search *search, const char *name)
{
	for (size_t i = 0; search->attributes[i]; i++)
		if (strcmp(search->attributes[i], name) == 0)
			return true;
	return false;
}

// What a server is asked for follows from the lines.
static void test_search(void **state)
{
	struct str own[] = {STR("[objectClass=uni(Person] [!uniKind=robot] objectClass := phMailUser"), STR("[uniMail] objectClass := phMailAlias"),
		STR("uniMail = MAIL"), STR("uniRealm = phAuthRealm"), STR("[!x] objectClass := phMailGroup")};
	struct settings_list map = {own, 5};
	struct profile *profile = profile_new(SETTINGS_LDAP_PROFILE_LASER, &map);
	struct arena *arena = arena_new(PROFILE_SEARCH_BYTES);
	struct profile_search search;
	(void)state;
	profile_search_all(profile, true, arena, &search);
	assert_string_equal(search.filter, "(|(objectClass=phMailRecipient)(objectClass=phMailUser)(objectClass=phMailAlias)(objectClass=phMailList)"
		"(objectClass=phMailGroup)(objectClass=phMailDomain)(objectClass=phMailHost)(objectClass=phMailRoute)(objectClass=phMailAccess)"
		"(objectClass=phClassOfServiceEntry)(&(objectClass=uni\\28Person))(&(uniMail=*))(&(objectClass=inetLocalMailRecipient))(mail=*)(member=*))");
	assert_true(asks_for(&search, "uniMail") && asks_for(&search, "uniKind") && asks_for(&search, "mail") && asks_for(&search, "objectClass"));
	assert_false(asks_for(&search, "MAIL") || asks_for(&search, "(origin)"));
	profile_search_realms(profile, arena, &search);
	assert_string_equal(search.filter, "(|(&(objectClass=phMailDomain)(phAuthRealm=*))(uniRealm=*))");
	assert_true(asks_for(&search, "uniRealm") && asks_for(&search, "associatedDomain"));
	profile_search_all(NULL, false, arena, &search);
	assert_true(asks_for(&search, "mailHost") && !asks_for(&search, "userPassword") && !asks_for(&search, "pw"));
	arena_free(&arena);
	profile_free(&profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_what_counts), cmocka_unit_test(test_functions), cmocka_unit_test(test_evil),
		cmocka_unit_test(test_domain), cmocka_unit_test(test_laser), cmocka_unit_test(test_in_place), cmocka_unit_test(test_search),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
