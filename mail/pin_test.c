// SPDX-License-Identifier: Apache-2.0
// What is a pin, and what is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/pin.h"

#define HEX_63 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEF"

static void only_a_whole_digest_is_a_pin(void **state)
{
	(void)state;
	const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"sha256:" HEX_63 "f", true}, {"SHA256:" HEX_63 "0", true}, {"sha256:" HEX_63, false}, {"sha256:" HEX_63 "ff", false},
		{"sha256:" HEX_63 "g", false}, {"sha1:" HEX_63 "f", false}, {HEX_63 "f", false}, {"sha256:", false}, {"", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(pin_is_one(str_of_c(cases[i].text)), cases[i].good);
}

static void the_pin_of_a_digest_is_one(void **state)
{
	(void)state;
	struct arena *arena = arena_new(1000);
	assert_true(str_eq(pin_of(arena, HEX_63 "f"), STR("sha256:" HEX_63 "f")));
	assert_int_equal(pin_of(arena, "").n, 0);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_a_whole_digest_is_a_pin), cmocka_unit_test(the_pin_of_a_digest_is_one)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
