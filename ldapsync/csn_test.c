// SPDX-License-Identifier: Apache-2.0
// Vectors of CSNs never go back (I3), and a server that lacks one of them is seen (I4).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "csn.h"
#include "ruv.h"

#define A1 "20261122010203.000001Z#000000#001#000000"
#define A2 "20261122010203.000002Z#000000#001#000000"
#define A3 "20261122010203.000002Z#00000a#001#000000"
#define B1 "20251122010203.000001Z#000000#002#000000"
#define B2 "20261122010204.000001Z#000000#002#000000"
// 389-ds: seconds, count, replica id, count. Active Directory: invocation id, number.
#define R1 "6b02c458000200010000"
#define R2 "6b02c458000a00010000"
#define S1 "6b02c458000200020000"
#define S0 "00000000000000020000"
#define U1 "0f1e2d3c4b5a69788796a5b4c3d2e1f0#00000000000000000099"
#define U2 "0f1e2d3c4b5a69788796a5b4c3d2e1f0#00000000000000000100"

static struct csns of(const char *text)
{
	struct csns csns;
	assert_true(csns_parse(str_of_c(text), &csns));
	return csns;
}

static void assert_is(const struct csns *csns, const char *text)
{
	struct buf printed;
	buf_init(&printed, CSNS_TEXT_BYTES_MAX);
	assert_true(csns_print(csns, &printed));
	assert_string_equal(buf_c(&printed), text);
	buf_fini(&printed);
}

static void they_are_parsed_or_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"x", A1 ";", ";" A1, "20261122010203.000001Z#000000#001#00000", "20261122010203.000001Z#000000#001#00000g", "20261122010203Z#000000#001#000000",
		"20261122010203.000001Z#000000#01#0000000", "20261122010203.000001z#000000#001#000000", A1 "," B1,
	};
	struct csns csns = {0};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (csns_parse(str_of_c(bad[i]), &csns))
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(csns.n, 0);
	struct csns both = of(B1 ";" A1);
	assert_int_equal(both.n, 2);
	assert_true(str_eq(csns_origin(&both, 0), STR("001")));
	assert_is(&both, A1 ";" B1);
	csns = of("20261122010203.000001Z#000000#ABC#000000");
	assert_true(str_eq(csns_origin(&csns, 0), STR("abc")));
	assert_is(&csns, "20261122010203.000001Z#000000#abc#000000");
}

static void cookies_are_taken_apart(void **state)
{
	(void)state;
	const struct {
		const char *cookie, *csns; // NULL: none
	} cases[] = {
		{"rid=000,csn=" A1, A1},
		{"rid=001,sid=002,csn=" A1 ";" B1 ",delcsn=" B2, A1 ";" B1},
		{"csn=" A1, A1},
		{"rid=000", NULL},
		{"rid=000,csn=", NULL},
		{"rid=000,xcsn=" A1, NULL},
		{"rid=000,csn=" A1 ";x", NULL},
		{"rid=000,csn=" R1, NULL},
		{"rid=000,csn=" A1 ";" R1, NULL},
		{"ldap.example:389#cn=manager:dc=x:(objectClass=*)#12", NULL}, // of 389-ds
		{"", NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct csns csns;
		assert_int_equal(csns_parse_cookie(str_of_c(cases[i].cookie), &csns), cases[i].csns != NULL);
		if (cases[i].csns)
			assert_is(&csns, cases[i].csns);
	}
}

static void a_merge_never_goes_back(void **state)
{
	(void)state;
	const struct {
		const char *held, *came, *then;
	} cases[] = {
		{"", A1, A1},
		{A1, "", A1},
		{A2, A1, A2},
		{A1, A2, A2},
		{A2, A3, A3},
		{A1 ";" B2, A2, A2 ";" B2}, // a change of one SID leaves the other (the persist phase names only this one)
		{A2 ";" B1, A1 ";" B2, A2 ";" B2},
		{R1 ";" S1, R2 ";" S0, R2 ";" S1},
		{U2, U1, U2},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct csns held = of(cases[i].held), came = of(cases[i].came);
		assert_true(csns_merge(&held, &came));
		assert_is(&held, cases[i].then);
	}
}

static void who_lacks_one_does_not_dominate(void **state)
{
	(void)state;
	const struct {
		const char *a, *b;
		bool dominates;
	} cases[] = {
		{"", "", true}, {A1, "", true}, {"", A1, false}, {A1, A1, true}, {A2, A1, true}, {A1, A2, false}, {A2 ";" B1, A1, true}, {A2, A1 ";" B1, false},
		{A2 ";" B1, A1 ";" B2, false}, {A2 ";" B2, A1 ";" B2, true}, {B2, A1, false},
		{R1, S0, true}, {R2, R1, true}, {R1, R2, false}, {R2, R2 ";" S1, false}, {U2, U1, true}, {U1, U2, false}, {A1, R1, false}, {R1, A1, false},
		{U1, R1, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct csns a = of(cases[i].a), b = of(cases[i].b);
		if (csns_dominate(&a, &b) != cases[i].dominates)
			fail_msg("case %zu", i);
		assert_int_equal(csns_eq(&a, &b), cases[i].dominates && csns_dominate(&b, &a));
	}
}

static void those_from_the_future_are_told_apart(void **state)
{
	(void)state;
	struct csns csns;
	const int64_t at_ms = 1795312923000; // 2026-11-22 02:02:03
	assert_true(csns_parse(STR("20261122020203.999999Z#000000#001#000000;20261122020204.000000Z#000000#002#000000;"
				   "20991231235959.000000Z#000000#003#000000"), &csns));
	struct csns kept = csns;
	csns_keep_until(&kept, at_ms);
	assert_is(&kept, "20261122020203.999999Z#000000#001#000000");
	kept = csns;
	csns_keep_until(&kept, at_ms + 1000);
	assert_int_equal(kept.n, 2);
	kept = csns;
	csns_keep_until(&kept, at_ms - 1000);
	assert_int_equal(kept.n, 0);
}

static void of_other_forms_too(void **state)
{
	(void)state;
	struct csns csns = of(R1 ";" S0), kept = csns;
	csns_keep_until(&kept, INT64_C(0x6b02c458) * 1000);
	assert_true(csns_eq(&kept, &csns));
	kept = csns;
	csns_keep_until(&kept, INT64_C(0x6b02c457) * 1000);
	assert_is(&kept, S0);
	csns = of(U1);
	kept = csns;
	csns_keep_until(&kept, 0);
	assert_is(&kept, U1);
}

static void vectors_are_of_one_form(void **state)
{
	(void)state;
	struct csns a = of(A1), r = of(R1), u = of(U1);
	assert_false(csns_merge(&a, &r));
	assert_false(csns_merge(&r, &u));
	assert_is(&a, A1);
	assert_false(csns_add(&a, STR(U1)));
}

static void who_is_not_known_any_more_is_told_apart(void **state)
{
	(void)state;
	struct csns csns = of(R1 ";" S1), server = of(R2), kept = csns;
	csns_keep_known(&kept, &server, INT64_C(0x6b02c459) * 1000);
	assert_is(&kept, R1);
	kept = csns;
	csns_keep_known(&kept, &server, INT64_C(0x6b02c457) * 1000); // too new
	assert_is(&kept, R1 ";" S1);
	server = of(R1 ";" S0);
	kept = csns;
	csns_keep_known(&kept, &server, INT64_C(0x6b02c459) * 1000);
	assert_is(&kept, R1 ";" S1);
}

static void values_of_nsds50ruv(void **state)
{
	(void)state;
	const struct {
		const char *value, *csn; // NULL: none
	} cases[] = {
		{"{replicageneration} 6b02c458000000010000", "6b02c458000000000001"},
		{"{replica 1 ldap://ldap1.uni.example:389} 6b02c458000200010000 6b02c45d000300010000", "6b02c45d000300010000"},
		{"{replica 1 ldap://ldap1.uni.example:389} 6b02c458000200010000 6b02c45d000300010000 6b02c45d", "6b02c45d000300010000"},
		{"{replica 65534} 6B02C458000200FFFE0000 6B02C45D0003FFFE0000", "6b02c45d0003fffe0000"},
		{"{replica 2 ldap://ldap1.uni.example:389}", S0},
		{"{replica 2 ldap://ldap1.uni.example:389} ", S0},
		{"{replica 2 ldap://[::1]:389} 6b02c458000200010000 6b02c45d000300010000", NULL}, // of another
		{"{replica 0 ldap://x} 6b02c458000200000000 6b02c45d000300000000", NULL},
		{"{replica 65535 ldap://x}", NULL},
		{"{replica x ldap://x}", NULL},
		{"{replica 1 ldap://x} 6b02c458000200010000", NULL},
		{"{replica 1 ldap://x} 6b02c458000200010000 6b02c45d00030001000g", NULL},
		{"{replicageneration}", NULL},
		{"{replicageneration} 6b02c45800000001000", NULL},
		{"{replica 1", NULL},
		{"", NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct csns csns = {0};
		if (ruv_add(&csns, str_of_c(cases[i].value)) != (cases[i].csn != NULL))
			fail_msg("%s", cases[i].value);
		assert_int_equal(csns.n, cases[i].csn != NULL);
		if (cases[i].csn)
			assert_is(&csns, cases[i].csn);
	}
}

static void too_many_are_refused(void **state)
{
	(void)state;
	struct csns csns = {0};
	char text[64];
	for (int i = 0; i < CSNS_MAX; i++) {
		snprintf(text, sizeof text, "20261122010203.000001Z#000000#%03x#000000", CSNS_MAX - i);
		assert_true(csns_add(&csns, str_of_c(text)));
	}
	assert_false(csns_add(&csns, STR("20261122010203.000001Z#000000#fff#000000")));
	assert_true(csns_add(&csns, STR("20271122010203.000001Z#000000#001#000000")));
	assert_int_equal(csns.n, CSNS_MAX);
	for (int i = 0; i < CSNS_MAX; i++) {
		snprintf(text, sizeof text, "%03x", i + 1);
		assert_true(str_eq(csns_origin(&csns, (size_t)i), str_of_c(text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_parsed_or_refused),
		cmocka_unit_test(cookies_are_taken_apart),
		cmocka_unit_test(a_merge_never_goes_back),
		cmocka_unit_test(who_lacks_one_does_not_dominate),
		cmocka_unit_test(those_from_the_future_are_told_apart),
		cmocka_unit_test(of_other_forms_too),
		cmocka_unit_test(vectors_are_of_one_form),
		cmocka_unit_test(who_is_not_known_any_more_is_told_apart),
		cmocka_unit_test(values_of_nsds50ruv),
		cmocka_unit_test(too_many_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
