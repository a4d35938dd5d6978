// SPDX-License-Identifier: Apache-2.0
// Which bytes a value may have, wherever in it they are (threat evil-attr).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "value.h"

enum { LENGTH_MAX = 20, SCRATCH_BYTES = 64 << 10 };

static void no_control_comes_through_at_any_place(void **state)
{
	(void)state;
	struct arena *scratch = arena_new(SCRATCH_BYTES);
	for (size_t n = 1; n <= LENGTH_MAX; n++)
		for (size_t at = 0; at < n; at++)
			for (unsigned byte = 0; byte < 256; byte++) {
				char text[LENGTH_MAX];
				struct value value;
				memset(text, 'a', n);
				text[at] = (char)byte;
				const char *wrong = value_check(ATTR_CHECK_ANY, str_of(text, n), scratch, &value);
				bool good = byte >= 0x20 && byte < 0x7f; // alone, no byte from 0x80 on is UTF-8
				assert_int_equal(wrong == NULL, good);
				assert_null(value_check(ATTR_CHECK_RAW, str_of(text, n), scratch, &value));
			}
	arena_free(&scratch);
}

static void utf8_comes_through_without_c1_controls(void **state)
{
	(void)state;
	struct arena *scratch = arena_new(SCRATCH_BYTES);
	struct value value;
	assert_null(value_check(ATTR_CHECK_ANY, STR("J\xc3\xbcrgen Stra\xc3\x9f" "e"), scratch, &value));
	assert_string_equal(value_check(ATTR_CHECK_ANY, STR("a\xc2\x85" "b"), scratch, &value), "has control characters");
	assert_string_equal(value_check(ATTR_CHECK_ANY, STR("12345678\xc3"), scratch, &value), "is not UTF-8");
	assert_string_equal(value_check(ATTR_CHECK_ANY, STR("J\xc3\xbcrgen\r\nX: y"), scratch, &value), "has control characters");
	arena_free(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_control_comes_through_at_any_place),
		cmocka_unit_test(utf8_comes_through_without_c1_controls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
