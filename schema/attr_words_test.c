// SPDX-License-Identifier: Apache-2.0
// Words of attributes: what is one of them, and what is said of others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/attr_words.h"

static void test_words(void **state)
{
	(void)state;
	assert_null(attr_words_wrong(ATTR_PH_VACATION, STR("off")));
	assert_null(attr_words_wrong(ATTR_PH_VACATION, STR("Scheduled")));
	assert_string_equal(attr_words_wrong(ATTR_PH_VACATION, STR("TRUE")), "is none of off, on, scheduled");
	assert_non_null(attr_words_wrong(ATTR_PH_VACATION, STR("off,")));
	assert_non_null(attr_words_wrong(ATTR_PH_VACATION, STR("")));
	assert_non_null(attr_words_wrong(ATTR_PH_LIST_POST_POLICY, STR("memebrs")));
	assert_null(attr_words_wrong(ATTR_PH_LIST_POST_POLICY, STR("members")));
	assert_null(attr_words_wrong(ATTR_PH_UNKNOWN_USER, STR("relay")));
	assert_null(attr_words_wrong(ATTR_PH_LIST_REPLY_TO, STR("List")));
	assert_null(attr_words_wrong(ATTR_PH_LIST_REPLY_TO, STR("desk@uni.example")));
	assert_string_equal(attr_words_wrong(ATTR_PH_LIST_REPLY_TO, STR("poster")), "is none of sender, list, an address");
	assert_null(attr_words_wrong(ATTR_MAIL, STR("off"))); // has no words
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
