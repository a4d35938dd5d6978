// SPDX-License-Identifier: Apache-2.0
// Which of its cursors an up-to-dateness vector gives, and what is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ad_cursors.h"

#define ONE "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
#define TWO "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
#define N1 "\x01\x02\0\0\0\0\0\0" // 513
#define TIME "\0\0\0\0\0\0\0\0"
#define ONE_TEXT "33221100554477668899aabbccddeeff#00000000000000000513"

static const char xml[] = "<DS_REPL_CURSOR>\n\t<uuidSourceDsaInvocationID>00112233-4455-6677-8899-aabbccddeeff</uuidSourceDsaInvocationID>\n"
			  "\t<usnAttributeFilter>513</usnAttributeFilter>\n</DS_REPL_CURSOR>\n";

static void assert_picks(struct str value, const char *wanted)
{
	struct csns ours, theirs = {0};
	assert_true(csns_parse(STR("33221100554477668899aabbccddeeff#00000000000000000009"), &ours));
	assert_int_equal(ad_cursors_pick(&theirs, &ours, value), wanted != NULL);
	assert_int_equal(theirs.n, wanted && wanted[0]);
	if (theirs.n)
		assert_true(str_eq(csns_at(&theirs, 0), str_of_c(wanted)));
}

static void those_that_are_wanted(void **state)
{
	(void)state;
	assert_picks(STR("\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0" TWO N1 TIME ONE N1 TIME), ONE_TEXT);
	assert_picks(STR("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0" ONE N1 TWO N1), ONE_TEXT);
	assert_picks(STR("\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0" TWO N1 TIME), "");
	assert_picks(STR("\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "");
	assert_picks(str_of_c(xml), ONE_TEXT);
}

static void what_is_none(void **state)
{
	(void)state;
	assert_picks(STR(""), NULL);
	assert_picks(STR("\2\0\0\0"), NULL);
	assert_picks(STR("\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), NULL);
	assert_picks(STR("\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0" ONE N1 TIME), NULL);
	assert_picks(STR("\2\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0" ONE N1 TIME), NULL);
	assert_picks(STR("<DS_REPL_CURSOR></DS_REPL_CURSOR>"), NULL);
	assert_picks(STR("<uuidSourceDsaInvocationID>00112233-4455-6677-8899-aabbccddeeff</uuidSourceDsaInvocationID><usnAttributeFilter>-1</u>"), NULL);
	assert_picks(STR("<uuidSourceDsaInvocationID>x</uuidSourceDsaInvocationID><usnAttributeFilter>1</u>"), NULL);
	assert_picks(STR("<uuidSourceDsaInvocationID>"), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_that_are_wanted),
		cmocka_unit_test(what_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
