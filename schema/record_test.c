// SPDX-License-Identifier: Apache-2.0
// Records: what is written is what is read, in one way only; and what is damaged is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "schema/record.h"

static struct guid guid_of(uint8_t c)
{
	struct guid guid;
	memset(guid.b, c, sizeof guid.b);
	return guid;
}

#define DIGEST STR("0123456789abcdef0123456789abcdef")

static struct record_recipient two[] = {
	{.number = 1, .target = RECORD_TO_MAILBOX, .notify = RECORD_NOTIFY_FAILURE, .address = STR("u@uni.example"), .key = STR("u@uni.example"),
		.original = STR("alias@uni.example"), .destination = STR("mail1.uni.example"),
		.mailbox_id = STR("00112233445566778899aabbccddeeff"), .detail = STR("lists")},
	{.number = 7, .target = RECORD_TO_RELAY, .address = STR("x@else.example"), .key = STR("x@else.example"),
		.orcpt = STR("rfc822;x@else.example"), .destination = STR("relayhost"), .stands_for = STR("u2@uni.example")},
};

static struct record enter_record(void)
{
	return (struct record){.type = RECORD_ENTER,
		.enter = {.guid = guid_of(1), .root = guid_of(1), .flags = RECORD_FLAG_UTF8, .sender = STR("s@else.example"),
			.received_ms = 1795000000000, .body_bytes = 4711, .digest = DIGEST, .recipients = {two, 2}}};
}

static void encode(const struct record *record, struct buf *out)
{
	buf_init(out, RECORD_BYTES_MAX);
	assert_true(record_encode(record, out));
}

static void enter_round_trips(void **state)
{
	(void)state;
	struct record record = enter_record(), back;
	struct buf bytes;
	struct arena *arena = arena_new(1 << 16);
	encode(&record, &bytes);
	assert_int_equal(record_decode(arena, buf_str(&bytes), &back, NULL), ERR_OK);
	assert_int_equal(back.type, RECORD_ENTER);
	assert_true(guid_eq(&back.enter.guid, &record.enter.guid));
	assert_true(guid_is_zero(&back.enter.parent));
	assert_int_equal(back.enter.received_ms, 1795000000000);
	assert_int_equal(back.enter.recipients.n, 2);
	assert_true(str_eq(back.enter.recipients.v[0].original, STR("alias@uni.example")));
	assert_int_equal(back.enter.recipients.v[1].number, 7);
	assert_int_equal(back.enter.recipients.v[1].target, RECORD_TO_RELAY);
	assert_true(str_eq(back.enter.recipients.v[1].orcpt, STR("rfc822;x@else.example")));
	assert_true(str_eq(back.enter.recipients.v[1].stands_for, STR("u2@uni.example")));
	arena_free(&arena);
	buf_fini(&bytes);
}

static void results_carry_what_they_beget(void **state)
{
	(void)state;
	struct record_one_result one[] = {
		{.guid = guid_of(2), .number = 1, .outcome = RECORD_BOUNCED, .reply = STR("550 5.1.1 no such user")},
		{.guid = guid_of(2), .number = 2, .outcome = RECORD_DEFERRED, .next_try_ms = 9, .waited_s = 60, .reply = STR("451 later")},
	};
	struct record_enter dsn = enter_record().enter;
	dsn.kind = RECORD_DSN;
	dsn.parent = guid_of(2);
	struct record record = {.type = RECORD_RESULT, .result = {.attempt = 41, .at_ms = 5, .results = {one, 2}, .begets = {&dsn, 1}}}, back;
	struct buf bytes, again;
	struct arena *arena = arena_new(1 << 16);
	encode(&record, &bytes);
	assert_int_equal(record_decode(arena, buf_str(&bytes), &back, NULL), ERR_OK);
	assert_int_equal(back.result.attempt, 41);
	assert_int_equal(back.result.results.v[1].waited_s, 60);
	assert_int_equal(back.result.begets.v[0].kind, RECORD_DSN);
	assert_int_equal(back.result.begets.v[0].recipients.n, 2);
	encode(&back, &again);
	assert_true(str_eq(buf_str(&bytes), buf_str(&again)));
	arena_free(&arena);
	buf_fini(&again);
	buf_fini(&bytes);
}

static void every_cut_is_refused(void **state)
{
	(void)state;
	struct record record = enter_record(), back;
	record.enter.recipients.n = 1; // between two, a cut is another record
	struct buf bytes;
	struct arena *arena = arena_new(1 << 16);
	encode(&record, &bytes);
	for (size_t n = 0; n < bytes.n; n++) {
		arena_reset(arena);
		assert_int_equal(record_decode(arena, str_upto(buf_str(&bytes), n), &back, NULL), ERR_CORRUPT);
	}
	buf_add_byte(&bytes, 0);
	assert_int_equal(record_decode(arena, buf_str(&bytes), &back, NULL), ERR_CORRUPT);
	arena_free(&arena);
	buf_fini(&bytes);
}

// type u16, version, flags, then fields.
static void odd_encodings_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct str bytes;
		enum err_code want;
	} cases[] = {
		{"unknown type", STR("\x10\0\1\0"), ERR_VERSION},
		{"ROUTE of nobody", STR("\x0d\0\1\0\1\x08\5\0\0\0\0\0\0\0"), ERR_CORRUPT},
		{"REQUEUE of nothing", STR("\x0f\0\1\0\1\x10\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\2\x08\5\0\0\0\0\0\0\0"), ERR_CORRUPT},
		{"type 0", STR("\0\0\1\0"), ERR_VERSION},
		{"a later version", STR("\x0b\0\2\0\1\4\2\0\0\0"), ERR_VERSION},
		{"flags", STR("\x0b\0\1\1\1\4\2\0\0\0"), ERR_CORRUPT},
		{"POLICY", STR("\x0b\0\1\0\1\4\2\0\0\0"), ERR_OK},
		{"over its limit", STR("\x0b\0\1\0\1\4\x0a\0\0\0"), ERR_CORRUPT},
		{"wrong width", STR("\x0b\0\1\0\1\3\2\0\0"), ERR_CORRUPT},
		{"length not minimal", STR("\x0b\0\1\0\1\x84\0\2\0\0\0"), ERR_CORRUPT},
		{"unknown tag", STR("\x0b\0\1\0\1\4\2\0\0\0\2\1\1"), ERR_CORRUPT},
		{"a field twice", STR("\x0b\0\1\0\1\4\2\0\0\0\1\4\2\0\0\0"), ERR_CORRUPT},
		{"missing", STR("\x0b\0\1\0"), ERR_CORRUPT},
		{"RETIRED", STR("\x0c\0\1\0"), ERR_OK},
		{"RETIRED with a field", STR("\x0c\0\1\0\1\1\1"), ERR_CORRUPT},
		{"zero guid", STR("\2\0\1\0\1\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), ERR_CORRUPT},
	};
	struct arena *arena = arena_new(1 << 16);
	struct record back;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (record_decode(arena, cases[i].bytes, &back, NULL) != cases[i].want)
			fail_msg("%s", cases[i].what);
	arena_free(&arena);
}

static void numbers_of_recipients_ascend(void **state)
{
	(void)state;
	struct record record = enter_record(), back;
	struct buf bytes;
	struct arena *arena = arena_new(1 << 16);
	encode(&record, &bytes);
	ptrdiff_t at = str_find(buf_str(&bytes), STR("\1\4\7\0\0\0"));
	assert_true(at > 0);
	bytes.p[at + 2] = 1;
	assert_int_equal(record_decode(arena, buf_str(&bytes), &back, NULL), ERR_CORRUPT);
	arena_free(&arena);
	buf_fini(&bytes);
}

static void a_record_over_the_cap_adds_nothing(void **state)
{
	(void)state;
	struct record record = enter_record();
	struct buf bytes;
	buf_init(&bytes, 64);
	assert_false(record_encode(&record, &bytes));
	assert_int_equal(bytes.n, 0);
	buf_fini(&bytes);
}

static void a_list_over_the_arena_is_a_limit(void **state)
{
	(void)state;
	struct record record = enter_record(), back;
	struct buf bytes;
	struct arena *arena = arena_new(64);
	encode(&record, &bytes);
	assert_int_equal(record_decode(arena, buf_str(&bytes), &back, NULL), ERR_LIMIT);
	arena_free(&arena);
	buf_fini(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enter_round_trips),
		cmocka_unit_test(results_carry_what_they_beget),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(odd_encodings_are_refused),
		cmocka_unit_test(numbers_of_recipients_ascend),
		cmocka_unit_test(a_record_over_the_cap_adds_nothing),
		cmocka_unit_test(a_list_over_the_arena_is_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
