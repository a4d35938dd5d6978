// SPDX-License-Identifier: Apache-2.0
// The structures of RFC 4533, against bytes as slapd and 389-ds write them (OpenLDAP writes lengths of four bytes).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sync_wire.h"

#define UUID "0123456789abcdef"
#define BYTES(literal) str_of("" literal, sizeof(literal) - 1)

// A copy without a byte after it, so that ASan sees a read beyond.
static struct str exact(struct str bytes)
{
	char *copy = malloc(bytes.n ? bytes.n : 1);
	assert_non_null(copy);
	memcpy(copy, bytes.p, bytes.n);
	return str_of(copy, bytes.n);
}

static void drop(struct str copy)
{
	free((char *)(uintptr_t)copy.p);
}

static void requests(void **state)
{
	(void)state;
	struct buf value;
	buf_init(&value, 1000);
	assert_true(sync_request_add(&value, STR_NONE, false));
	assert_true(str_eq(buf_str(&value), BYTES("\x30\x03\x0a\x01\x03")));
	buf_clear(&value);
	assert_true(sync_request_add(&value, STR("abc"), true));
	assert_true(str_eq(buf_str(&value), BYTES("\x30\x0b\x0a\x01\x03\x04\x03" "abc\x01\x01\xff")));
	char cookie[300];
	memset(cookie, 'c', sizeof cookie);
	buf_clear(&value);
	assert_true(sync_request_add(&value, str_of(cookie, sizeof cookie), false));
	assert_true(str_eq(str_upto(buf_str(&value), 11), BYTES("\x30\x82\x01\x33\x0a\x01\x03\x04\x82\x01\x2c")));
	assert_int_equal(value.n, 11 + sizeof cookie);
	buf_fini(&value);
	buf_init(&value, 10);
	assert_false(sync_request_add(&value, STR("longer than that"), false));
	buf_fini(&value);
}

static void states(void **state)
{
	(void)state;
	const struct {
		struct str bytes;
		bool good;
		enum sync_change change;
		const char *cookie; // NULL: none
	} cases[] = {
		{BYTES("\x30\x15\x0a\x01\x01\x04\x10" UUID), true, SYNC_ADD, NULL},
		{BYTES("\x30\x84\x00\x00\x00\x15\x0a\x01\x03\x04\x10" UUID), true, SYNC_DELETE, NULL},
		{BYTES("\x30\x1a\x0a\x01\x02\x04\x10" UUID "\x04\x03" "abc"), true, SYNC_MODIFY, "abc"},
		{BYTES("\x30\x17\x0a\x01\x00\x04\x10" UUID "\x04\x00"), true, SYNC_PRESENT, ""},
		{BYTES("\x30\x15\x0a\x01\x04\x04\x10" UUID), false, 0, NULL},               // no such state
		{BYTES("\x30\x14\x0a\x01\x01\x04\x0f" "0123456789abcde"), false, 0, NULL},   // 15 bytes
		{BYTES("\x30\x16\x0a\x01\x01\x04\x10" UUID), false, 0, NULL},               // cut
		{BYTES("\x30\x15\x0a\x01\x01\x04\x10" UUID "x"), false, 0, NULL},           // bytes after it
		{BYTES("\x30\x80\x0a\x01\x01\x04\x10" UUID "\0\0"), false, 0, NULL},        // indefinite length
		{BYTES("\x30\x85\x00\x00\x00\x00\x15\x0a\x01\x01\x04\x10" UUID), false, 0, NULL},
		{BYTES("\x30\x84\xff\xff\xff\xff\x0a\x01\x01\x04\x10" UUID), false, 0, NULL},
		{BYTES(""), false, 0, NULL},
		{BYTES("\x30"), false, 0, NULL},
		{BYTES("\x30\x84"), false, 0, NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sync_state parsed;
		struct str bytes = exact(cases[i].bytes);
		if (sync_state_parse(bytes, &parsed) != cases[i].good)
			fail_msg("case %zu", i);
		if (cases[i].good) {
			assert_int_equal(parsed.change, cases[i].change);
			assert_memory_equal(parsed.uuid.b, UUID, 16);
			assert_int_equal(parsed.cookie.p != NULL, cases[i].cookie != NULL);
			assert_true(str_eq(parsed.cookie, cases[i].cookie ? str_of_c(cases[i].cookie) : STR_NONE));
		}
		drop(bytes);
	}
}

static void infos(void **state)
{
	(void)state;
	const struct {
		struct str bytes;
		struct sync_info info;
		bool good;
	} cases[] = {
		{BYTES("\x80\x03" "abc"), {SYNC_NEW_COOKIE, .cookie = STR("abc")}, true},
		{BYTES("\xa1\x05\x04\x03" "abc"), {SYNC_REFRESH_DELETE, .cookie = STR("abc"), .refresh_done = true}, true},
		{BYTES("\xa2\x00"), {SYNC_REFRESH_PRESENT, .refresh_done = true}, true},
		{BYTES("\xa2\x03\x01\x01\x00"), {SYNC_REFRESH_PRESENT, .refresh_done = false}, true},
		{BYTES("\xa3\x02\x31\x00"), {SYNC_ID_SET}, true},
		{BYTES("\xa3\x17\x01\x01\xff\x31\x12\x04\x10" UUID), {SYNC_ID_SET, .refresh_deletes = true}, true},
		{BYTES("\xa3\x19\x04\x03" "abc\x31\x12\x04\x10" UUID), {SYNC_ID_SET, .cookie = STR("abc")}, true},
		{BYTES("\xa3\x13\x31\x11\x04\x0f" "0123456789abcde"), {0}, false},
		{BYTES("\xa3\x03\x04\x01" "a"), {0}, false}, // no set
		{BYTES("\xa2\x04\x01\x02\x00\x00"), {0}, false},
		{BYTES("\xa4\x00"), {0}, false},
		{BYTES("\x80\x04" "abc"), {0}, false},
		{BYTES(""), {0}, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sync_info parsed;
		struct str bytes = exact(cases[i].bytes);
		if (sync_info_parse(bytes, &parsed) != cases[i].good)
			fail_msg("case %zu", i);
		if (cases[i].good) {
			assert_int_equal(parsed.kind, cases[i].info.kind);
			assert_true(str_eq(parsed.cookie, cases[i].info.cookie));
			assert_int_equal(parsed.refresh_done, cases[i].info.refresh_done);
			assert_int_equal(parsed.refresh_deletes, cases[i].info.refresh_deletes);
		}
		drop(bytes);
	}
	struct sync_info set;
	struct guid uuid;
	assert_true(sync_info_parse(BYTES("\xa3\x26\x31\x24\x04\x10" UUID "\x04\x10" "fedcba9876543210"), &set));
	assert_true(sync_uuid_next(&set.uuids, &uuid));
	assert_memory_equal(uuid.b, UUID, 16);
	assert_true(sync_uuid_next(&set.uuids, &uuid));
	assert_memory_equal(uuid.b, "fedcba9876543210", 16);
	assert_false(sync_uuid_next(&set.uuids, &uuid));
}

static void elements(void **state)
{
	(void)state;
	struct str rest = BYTES("\x04\x81\x02" "ab\x31\x00"), content;
	assert_false(sync_wire_take(&rest, SYNC_WIRE_SET, &content));
	assert_true(sync_wire_take(&rest, SYNC_WIRE_OCTETS, &content));
	assert_true(str_eq(content, STR("ab")));
	assert_true(sync_wire_take(&rest, SYNC_WIRE_SET, &content));
	assert_int_equal(content.n, 0);
	assert_false(sync_wire_take(&rest, SYNC_WIRE_SET, &content));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests), cmocka_unit_test(states), cmocka_unit_test(infos), cmocka_unit_test(elements)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
