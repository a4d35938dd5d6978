// SPDX-License-Identifier: Apache-2.0
// Entries as blobs: what is written is read, what is damaged is refused as a whole; times; the table of attributes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/entry.h"

static const struct guid uuid = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static void make(struct buf *b)
{
	buf_init(b, 4096);
	entry_begin(b, &uuid, true, ENTRY_USER | ENTRY_RECIPIENT, STR("uid=a,dc=b"));
	entry_add(b, ATTR_PH_STATUS, STR("hold"));
	entry_add(b, ATTR_PH_FORWARD_ADDRESS, STR("x@y.example"));
	entry_add(b, ATTR_PH_FORWARD_ADDRESS, STR("z@y.example"));
	entry_add(b, ATTR_PH_FORWARD_KEEP_COPY, STR("true"));
	assert_true(entry_add(b, ATTR_MAIL, STR("a@b.example")));
}

static void test_round_trip(void **state)
{
	(void)state;
	struct buf b;
	struct entry entry;
	struct entry_cursor cursor = {0};
	struct str value;
	make(&b);
	assert_true(entry_decode(buf_str(&b), &entry));
	assert_true(guid_eq(&entry.uuid, &uuid) && entry.has_uuid && !entry.cut);
	assert_int_equal(entry.classes, ENTRY_USER | ENTRY_RECIPIENT);
	assert_true(str_eq(entry.dn, STR("uid=a,dc=b")));
	assert_true(str_eq(entry_first(&entry, ATTR_MAIL), STR("a@b.example")));
	assert_null(entry_first(&entry, ATTR_UID).p);
	assert_true(entry_flag(&entry, ATTR_PH_FORWARD_KEEP_COPY));
	assert_true(entry_next(&entry, ATTR_PH_FORWARD_ADDRESS, &cursor, &value));
	assert_true(entry_next(&entry, ATTR_PH_FORWARD_ADDRESS, &cursor, &value));
	assert_true(str_eq(value, STR("z@y.example")));
	assert_false(entry_next(&entry, ATTR_PH_FORWARD_ADDRESS, &cursor, &value));
	entry_mark_cut(&b);
	assert_true(entry_decode(buf_str(&b), &entry) && entry.cut && entry.has_uuid);
	buf_fini(&b);
}

static void test_seal(void **state)
{
	(void)state;
	struct buf b;
	struct entry plain, entry;
	char values[4096];
	make(&b);
	assert_true(entry_decode(buf_str(&b), &plain));
	struct str before = str_of(memcpy(values, plain.values.p, plain.values.n), plain.values.n);
	assert_true(entry_seal(&b));
	assert_true(entry_decode(buf_str(&b), &entry) && str_eq(entry.values, before) && str_eq(entry_first(&entry, ATTR_MAIL), STR("a@b.example")));
	for (size_t at = 0; at < b.n; at++) {
		for (unsigned bit = 1; bit < 0x100; bit <<= 1) {
			b.p[at] = (char)(b.p[at] ^ bit);
			assert_false(entry_decode(buf_str(&b), &entry));
			b.p[at] = (char)(b.p[at] ^ bit);
		}
	}
	for (size_t n = 0; n < b.n; n++)
		assert_false(entry_decode(str_upto(buf_str(&b), n), &entry));
	buf_fini(&b);
	buf_init(&b, 36); // no room for it
	entry_begin(&b, &uuid, true, ENTRY_USER, STR("uid=a,dc=b"));
	assert_false(entry_seal(&b));
	buf_fini(&b);
}

static void test_mailbox_id(void **state)
{
	(void)state;
	struct buf b;
	struct entry entry;
	struct guid id;
	buf_init(&b, 4096);
	entry_begin(&b, &uuid, true, ENTRY_USER, STR("uid=a"));
	assert_true(entry_decode(buf_str(&b), &entry) && entry_mailbox_id(&entry, &id) && guid_eq(&id, &uuid));
	entry_add(&b, ATTR_PH_MAILBOX_ID, STR("000102030405060708090a0b0c0d0e0f"));
	assert_true(entry_decode(buf_str(&b), &entry) && entry_mailbox_id(&entry, &id));
	assert_int_equal(id.b[15], 0x0f);
	buf_clear(&b);
	entry_begin(&b, &uuid, false, ENTRY_USER, STR("uid=a")); // the uuid is made up: no mailbox hangs on it
	assert_true(entry_decode(buf_str(&b), &entry));
	assert_false(entry_mailbox_id(&entry, &id));
	buf_fini(&b);
}

// Every cut, and every changed byte of the head, either fails or gives an entry that can be walked.
static void test_damage(void **state)
{
	(void)state;
	struct buf b;
	struct entry entry;
	make(&b);
	size_t whole = 0;
	for (size_t n = 0; n < b.n; n++)
		whole += entry_decode(str_of(b.p, n), &entry);
	assert_int_equal(whole, 5); // after the head and after each value but the last
	b.p[0] = 2; // a newer version
	assert_false(entry_decode(buf_str(&b), &entry));
	b.p[0] = 1;
	b.p[1] = 4; // an unknown flag
	assert_false(entry_decode(buf_str(&b), &entry));
	buf_fini(&b);
	buf_init(&b, 4096);
	entry_begin(&b, &uuid, true, 0, STR("uid=a"));
	entry_add(&b, ATTR_MAIL, STR("a"));
	entry_add(&b, ATTR_UID, STR("b")); // out of order
	assert_false(entry_decode(buf_str(&b), &entry));
	buf_clear(&b);
	entry_begin(&b, &uuid, true, 0, STR("uid=a"));
	entry_add(&b, (enum attr)3, STR("a")); // no such attribute
	assert_false(entry_decode(buf_str(&b), &entry));
	buf_fini(&b);
}

static void test_times(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t wall_ms; // -1: none
	} rows[] = {
		{"20261121190000Z", 1795287600000},
		{"20261121190000.5Z", 1795287600000},
		{"202611211900Z", 1795287600000},
		{"2026112119Z", 1795287600000},
		{"20261121200000+0100", 1795287600000},
		{"20261121140000-05", 1795287600000},
		{"19700101000000Z", 0},
		{"20261121190000", -1},
		{"20261321190000Z", -1},
		{"20261100190000Z", -1},
		{"2026112125Z", -1},
		{"20261121190000.Z", -1},
		{"20261121190000+0", -1},
		{"tomorrow", -1},
		{"", -1},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t got = -1;
		if (!entry_time_parse(str_of_c(rows[i].text), &got))
			got = -1;
		if (got != rows[i].wall_ms)
			fail_msg("%s: %lld", rows[i].text, (long long)got);
	}
}

static void test_attributes(void **state)
{
	(void)state;
	unsigned last = 0, rows = 0;
	for (unsigned number = 0; number <= ATTR_NUMBER_MAX; number++) {
		const struct attr_info *info = attr_by_number(number);
		if (info == NULL)
			continue;
		rows++;
		assert_int_equal(info->attr, number);
		assert_true(number > last);
		last = number;
		assert_ptr_equal(attr_by_name(str_of_c(info->name)), info); // names are unique
		// Whatever verifies a password is in the credentials alone.
		bool is_secret = info->attr == ATTR_USER_PASSWORD || info->attr == ATTR_PH_SCRAM || info->attr == ATTR_PH_APP_PASSWORD;
		assert_int_equal(is_secret, info->where == ATTR_IN_CREDENTIALS);
	}
	assert_true(rows > 80);
	assert_ptr_equal(attr_by_name(STR("MAILHOST")), attr_by_number(ATTR_MAIL_HOST));
	assert_null(attr_by_name(STR("mailHostX")));
	assert_null(attr_by_number(100000));
	assert_string_equal(attr_name(ATTR_NONE), "");
	assert_int_equal(attr_class_by_name(STR("phmailuser")), ENTRY_USER);
	assert_int_equal(attr_class_by_name(STR("person")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_mailbox_id),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_attributes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
