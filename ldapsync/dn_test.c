// SPDX-License-Identifier: Apache-2.0
// DNs: which spellings are one, which are not, which are none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dn.h"

static bool same(const char *a, const char *b)
{
	struct guid x = dn_key(str_of_c(a)), y = dn_key(str_of_c(b));
	return guid_eq(&x, &y);
}

static void test_one_dn(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"uid=anna,dc=uni", "UID=Anna,DC=UNI"},
		{"uid=anna,dc=uni", " uid = anna , dc = uni "},
		{"uid=anna,dc=uni", "uid=anna;dc=uni"},
		{"cn=A  B,dc=uni", "cn=a b,dc=uni"},
		{"cn=a\\,b,dc=uni", "cn=a\\2Cb,dc=uni"},
		{"cn=a\\,b,dc=uni", "cn=\"a,b\",dc=uni"},
		{"cn=a+uid=b,dc=uni", "uid=b+cn=a,dc=uni"},
		{"cn=\xc3\xbc,dc=uni", "cn=\\C3\\BC,dc=uni"},
		{"cn=\xc3\x9c,dc=uni", "cn=\xc3\xbc,dc=uni"},
		{"cn=u\xcc\x88,dc=uni", "cn=\xc3\xbc,dc=uni"}, // composed and decomposed
		{"cn=  A  b c , dc=uni", "cn=\\41   b \\63,dc=uni"}, // with escapes and without
		{"cn=,dc=uni", "cn=\"\",dc=uni"},
		{"o=a+o=b,cn= x y", "o=b+o=a,cn=\\78  y"},
		{"not a dn", "not a dn"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!same(rows[i][0], rows[i][1]))
			fail_msg("\"%s\" and \"%s\"", rows[i][0], rows[i][1]);
}

static void test_other_dns(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"uid=anna,dc=uni", "uid=anna,dc=uni,dc=example"},
		{"uid=anna,dc=uni", "dc=uni,uid=anna"},
		{"uid=anna,dc=uni", "uid=anna\\,dc\\=uni"},       // one RDN
		{"uid=us\\,dc\\=evil,dc=uni", "uid=us,dc=evil,dc=uni"}, // threat dn-inj
		{"cn=a+uid=b,dc=uni", "cn=a,uid=b,dc=uni"},
		{"cn=a\\ ,dc=uni", "cn=a,dc=uni"}, // an escaped space belongs to the value
		{"uid=anna", "cn=anna"},
		{"", "x"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (same(rows[i][0], rows[i][1]))
			fail_msg("\"%s\" and \"%s\"", rows[i][0], rows[i][1]);
}

static void test_validity(void **state)
{
	(void)state;
	static const char *const good[] = {"uid=a", "uid=a,dc=b", "2.5.4.3=x", "cn=,dc=b", "cn=#0402,dc=b", "cn=a=b,dc=c", "cn=a\\,", "cn=a\\\\\\,"};
	static const char *const bad[] = {"", " ", "anna", "=a", "u id=a", "uid=\"a", "uid=a\\", "uid=a,,dc=b", "uid=a,b", "uid=a,", "uid=a,dc=b; ", "uid=a\\\\,", "uid=a\\, b,",
		"a=1+b=2+c=3+d=4+e=5+f=6+g=7+h=8+i=9"};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!dn_is_valid(str_of_c(good[i])))
			fail_msg("\"%s\"", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (dn_is_valid(str_of_c(bad[i])))
			fail_msg("\"%s\"", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_dn),
		cmocka_unit_test(test_other_dns),
		cmocka_unit_test(test_validity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
