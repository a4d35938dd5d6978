// SPDX-License-Identifier: Apache-2.0
// Lines of a map: what is read of them, and what is said of those that are wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "schema/profile.h"

static int setup(void **state)
{
	*state = arena_new(1 << 20);
	return 0;
}

static int teardown(void **state)
{
	struct arena *arena = *state;
	arena_free(&arena);
	return 0;
}

static void test_good(void **state)
{
	struct arena *arena = *state;
	struct profile_line line;
	struct str at;
	assert_null(profile_line_parse(arena, STR("mailAlternateAddress=MAILlocalADDRESS"), &line, &at));
	assert_true(str_eq(line.source, STR("mailAlternateAddress")) && str_eq(line.name, STR("mailLocalAddress")));
	assert_int_equal(line.how, PROFILE_COPY);
	assert_null(profile_line_parse(arena, STR(" [objectClass=person][!kind = guest]  employeeStatus = phStatus:  a=active b=disabled *= "), &line, &at));
	assert_int_equal(line.n_conditions, 2);
	assert_true(line.conditions[1].negated && str_eq(line.conditions[1].value, STR("guest")));
	assert_int_equal(line.n_words, 3);
	assert_true(str_eq(line.words[1].to, STR("disabled")) && line.words[2].to.n == 0);
	assert_null(profile_line_parse(arena, STR("userAccountControl = phStatus: bit 2 disabled"), &line, &at));
	assert_true(line.how == PROFILE_BIT && line.number == 2 && str_eq(line.argument, STR("disabled")));
	assert_null(profile_line_parse(arena, STR("proxyAddresses = mail: prefix SMTP:"), &line, &at));
	assert_true(line.how == PROFILE_PREFIX && str_eq(line.argument, STR("SMTP:")));
	assert_null(profile_line_parse(arena, STR("[mail] mailHost := mb1.uni.example"), &line, &at));
	assert_true(line.source.n == 0 && line.attr->attr == ATTR_MAIL_HOST && str_eq(line.argument, STR("mb1.uni.example")));
	assert_null(profile_line_parse(arena, STR("[objectClass=person] objectClass := phMailUser"), &line, &at));
	assert_int_equal(line.target, PROFILE_TO_CLASS);
	assert_null(profile_line_parse(arena, STR("mail = -"), &line, &at));
	assert_int_equal(line.target, PROFILE_TO_NOTHING);
	assert_null(profile_line_parse(arena, STR("objectGUID = entryUUID: guid"), &line, &at));
	assert_int_equal(line.target, PROFILE_TO_UUID);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *line, *at, *part;
	} rows[] = {
		{"", "", "no line of a map"},
		{"mail", "mail", "no line of a map"},
		{"mail = mial", "mial", "no attribute of ours"},
		{"mail = (origin)", "(origin)", "no attribute of ours"},
		{"mail;lang-de = mail", "mail;lang-de", "options and OIDs"},
		{"2.16.840.1.113730.3.1.13 = mailLocalAddress", "2.16.840.1.113730.3.1.13", "options and OIDs"},
		{"objectClass = phStatus", "objectClass", "not mapped by ="},
		{"x = objectClass", "objectClass", "not mapped by ="},
		{"objectClass := phMailUser", "objectClass := phMailUser", "every entry"},
		{"[a=b] objectClass := inetOrgPerson", "inetOrgPerson", "no class of ours"},
		{"[a=b objectClass := phMailUser", "[a=b objectClass := phMailUser", "without its ]"},
		{"[] mail = mail", "", "no condition"},
		{"[a=] mail = mail", "a=", "compares with nothing"},
		{"[a][b][c][d][e] mail = mail", "e", "too many"},
		{"x = phStatus: a=activ", "activ", "no phStatus"},
		{"x = phStatus: a=active a=disabled", "a=disabled", "there twice"},
		{"x = phStatus: a", "a", "neither a pair of words"},
		{"x = phStatus:", "x = phStatus:", "nothing after the colon"},
		{"x = phStatus: a=active b", "b", "no pair of words"},
		{"x = phStatus: bit disabled", "bit", "needs the number of a bit"},
		{"x = phStatus: bit 64 disabled", "bit", "needs the number of a bit"},
		{"x = phStatus: bit 2 off", "off", "no phStatus"},
		{"x = phQuotaBytes: times", "times", "needs a number"},
		{"x = phQuotaBytes: quota-bytes 7", "7", "too much"},
		{"x = phService: 1=-smtp", "-smtp", "no phService"},
		{"x = phForwardKeepCopy: a=yes", "yes", "neither TRUE nor FALSE"},
		{"x = phForwardAddress: split ab", "ab", "not one character"},
		{"mailHost :=", "mailHost :=", "gives nothing"},
		{"phForwardKeepCopy := 1", "1", "neither TRUE nor FALSE"},
		{"m\xc3\xa4il = mail", "", "printable ASCII"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct profile_line line = {.how = PROFILE_GUID};
		struct str at = STR("?");
		const char *wrong = profile_line_parse(*state, str_of_c(rows[i].line), &line, &at);
		if (wrong == NULL)
			fail_msg("\"%s\" is taken", rows[i].line);
		if (str_find(str_of_c(wrong), str_of_c(rows[i].part)) < 0 || !str_eq(at, str_of_c(rows[i].at)))
			fail_msg("\"%s\": \"%.*s\" %s", rows[i].line, STR_FMT(at), wrong);
		assert_int_equal(line.how, PROFILE_GUID); // untouched
	}
}

// A profile is known by all of its lines: a change of one makes ldapsync load everything again.
static void test_hash(void **state)
{
	struct str lines[] = {STR("x = phStatus: a=active"), STR("mail = -")};
	struct settings_list map = {lines, 1};
	(void)state;
	struct profile *native = profile_new(SETTINGS_LDAP_PROFILE_NATIVE, NULL), *one = profile_new(SETTINGS_LDAP_PROFILE_NATIVE, &map);
	map.n = 2;
	struct profile *two = profile_new(SETTINGS_LDAP_PROFILE_NATIVE, &map);
	assert_true(profile_is_native(native) && guid_is_zero(&native->hash));
	assert_false(profile_is_native(one));
	assert_false(guid_eq(&one->hash, &two->hash));
	assert_true(profile_names(two, STR("MAIL")) && profile_names(one, STR("phstatus")));
	assert_false(profile_names(one, STR("mail")));
	profile_free(&native);
	profile_free(&one);
	profile_free(&two);
	assert_null(two);
}

// Every profile that we ship parses (profile_new aborts otherwise) and has a name.
static void test_families(void **state)
{
	(void)state;
	for (int family = 0; profile_name(family); family++) {
		struct profile *profile = profile_new(family, NULL);
		assert_int_equal(profile_is_native(profile), family == SETTINGS_LDAP_PROFILE_NATIVE);
		profile_free(&profile);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
