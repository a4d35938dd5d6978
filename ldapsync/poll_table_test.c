// SPDX-License-Identifier: Apache-2.0
// What a server had and has, and what servers name entries and changes by.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "poll_server.h"
#include "poll_table.h"

static struct guid id(unsigned n)
{
	return (struct guid){.b = {(uint8_t)(n * 37), (uint8_t)n, (uint8_t)(n >> 8)}};
}

static void add(struct poll_table *table, unsigned n, uint64_t digest)
{
	struct guid uuid = id(n);
	assert_true(poll_table_add(table, &uuid, digest));
}

static uint64_t find(const struct poll_table *table, unsigned n)
{
	struct guid uuid = id(n);
	return poll_table_find(table, &uuid);
}

static void count(void *context, const struct guid *uuid)
{
	unsigned *n = context;
	(void)uuid;
	++*n;
}

static void entries_are_found_merged_and_missed(void **state)
{
	(void)state;
	struct poll_table known = {0}, changes = {0};
	unsigned gone = 0;
	assert_int_equal(find(&known, 1), POLL_GONE);
	for (unsigned n = 0; n < 1000; n++)
		add(&known, n, 1000 + n);
	poll_table_sort(&known);
	for (unsigned n = 500; n < 1500; n += 5)
		add(&changes, n, n % 2 ? POLL_GONE : 5000 + n);
	poll_table_sort(&changes);
	poll_table_merge(&known, &changes);
	for (unsigned n = 0; n < 1500; n++) {
		uint64_t wanted = n < 1000 ? 1000 + n : POLL_GONE;
		if (n >= 500 && n % 5 == 0)
			wanted = n % 2 ? POLL_GONE : 5000 + n;
		assert_int_equal(find(&known, n), wanted);
	}
	poll_table_each_gone(&known, &changes, count, &gone);
	assert_int_equal(gone, known.n - 100); // the even ones of changes
	gone = 0;
	poll_table_each_gone(&changes, &known, count, &gone);
	assert_int_equal(gone, 100); // the odd ones
	assert_true(poll_table_eq(&known, &known) && poll_table_eq(&changes, &changes));
	assert_false(poll_table_eq(&known, &changes));
	changes.n = 0;
	poll_table_merge(&changes, &known);
	assert_true(poll_table_eq(&known, &changes));
	changes.v[7].digest++;
	assert_false(poll_table_eq(&known, &changes));
	poll_table_clear(&known);
	poll_table_clear(&changes);
}

static void what_changed_while_it_was_read_is_in_doubt(void **state)
{
	(void)state;
	struct poll_table table = {0}, none = {0};
	add(&table, 1, 7);
	add(&table, 2, 7);
	add(&table, 1, 8);
	add(&table, 2, 7);
	poll_table_sort(&table);
	poll_table_merge(&table, &none);
	assert_int_equal(table.n, 2);
	assert_int_equal(find(&table, 1), POLL_DOUBT);
	assert_int_equal(find(&table, 2), 7);
	poll_table_clear(&table);
}

// --- Servers ---

#define VALUE(name_text, text) {.name = STR(name_text), .value = STR(text)}
#define ENTRY(dn_text, values_) (struct raw_entry){.dn = STR(dn_text), .values = values_, .n_values = sizeof values_ / sizeof *values_}

static void a_server_says_what_it_offers(void **state)
{
	(void)state;
	const struct raw_value root[] = {VALUE("supportedControl", "1.2.840.113556.1.4.319"), VALUE("supportedcontrol", "1.3.6.1.4.1.4203.1.9.1.1")};
	const struct raw_value dc[] = {VALUE("highestCommittedUSN", "12345"), VALUE("dsServiceName", "CN=NTDS Settings,CN=DC1")};
	const struct raw_value other_dc[] = {VALUE("highestCommittedUSN", "99"), VALUE("dsServiceName", "CN=NTDS Settings,CN=DC2")};
	struct poll_server server, other;
	poll_server_begin(&server, STR("ldap://one"));
	assert_false(server.has_controls);
	poll_server_root(&server, &ENTRY("", root));
	assert_true(server.has_controls && server.offers_sync && server.offers_pages && !server.offers_domain_scope && !server.counts);
	poll_server_begin(&server, STR("ldap://one"));
	poll_server_begin(&other, STR("ldap://one"));
	assert_true(guid_eq(&server.identity, &other.identity));
	poll_server_root(&server, &ENTRY("", dc));
	poll_server_root(&other, &ENTRY("", other_dc));
	assert_false(guid_eq(&server.identity, &other.identity)); // one name, two domain controllers
	assert_true(server.counts && server.usn == 12345);
}

static void assert_names(struct raw_entry base, bool counts, const char *id_setting, const char *mark_setting, const char *id_name,
	const char *mark_name)
{
	struct poll_server server;
	poll_server_begin(&server, STR("ldap://one"));
	server.counts = counts;
	poll_server_base(&server, &base, str_of_c(id_setting), str_of_c(mark_setting));
	assert_string_equal(server.id_name, id_name);
	assert_string_equal(server.mark_name, mark_name);
}

static void ids_and_marks_are_chosen_by_the_base(void **state)
{
	(void)state;
	static const struct raw_value slapd[] = {VALUE("entryUUID", "4d7a9f3e-2b1c-4f64-9a52-7d0c1b8e6f01"),
		VALUE("entryCSN", "20261122010203.000001Z#000000#001#000000"), VALUE("modifyTimestamp", "20261122010203Z")};
	static const struct raw_value ds[] = {VALUE("entryuuid", "4d7a9f3e-2b1c-4f64-9a52-7d0c1b8e6f01"),
		VALUE("nsUniqueId", "4d7a9f3e-2b1c4f64-9a527d0c-1b8e6f01"), VALUE("modifytimestamp", "20261122010203Z")};
	static const struct raw_value ad[] = {{.name = STR("objectGUID"), .value = {"\x3e\x9f\x7a\x4d\x1c\x2b\x64\x4f\x9a\x52\x7d\x0c\x1b\x8e\x6f\x01", 16}},
		VALUE("uSNChanged", "777"), VALUE("whenChanged", "20261122010203.0Z")};
	static const struct raw_value bare[] = {VALUE("dc", "uni"), VALUE("entryUUID", "none")};
	assert_names(ENTRY("dc=uni", slapd), false, "", "", "entryUUID", "entryCSN");
	assert_names(ENTRY("dc=uni", ds), false, "", "", "nsUniqueId", "modifyTimestamp");
	assert_names(ENTRY("dc=uni", ad), true, "", "", "objectGUID", "uSNChanged");
	assert_names(ENTRY("dc=uni", ad), false, "", "", "objectGUID", "whenChanged"); // without its count, the number is not to be trusted
	assert_names(ENTRY("dc=uni", bare), false, "", "", "", "");
	assert_names(ENTRY("dc=uni", slapd), false, "employeeNumber", "modifyTimestamp", "employeeNumber", "modifyTimestamp");
	// All name the same entry in the same way.
	const struct raw_entry each[] = {ENTRY("dc=uni", slapd), ENTRY("dc=uni", ds), ENTRY("dc=uni", ad)};
	static const char *const filters[] = {"(entryUUID=4d7a9f3e-2b1c-4f64-9a52-7d0c1b8e6f01)", "(nsUniqueId=4d7a9f3e-2b1c4f64-9a527d0c-1b8e6f01)",
		"(objectGUID=\\3e\\9f\\7a\\4d\\1c\\2b\\64\\4f\\9a\\52\\7d\\0c\\1b\\8e\\6f\\01)"};
	struct buf filter;
	buf_init(&filter, 200);
	for (size_t i = 0; i < 3; i++) {
		struct poll_server server;
		struct guid uuid;
		char text[GUID_TEXT_BYTES];
		poll_server_begin(&server, STR("ldap://one"));
		poll_server_base(&server, &each[i], STR_NONE, STR_NONE);
		assert_true(poll_server_id(&server, &each[i], &uuid));
		guid_text(&uuid, text);
		assert_string_equal(text, "4d7a9f3e2b1c4f649a527d0c1b8e6f01");
		buf_clear(&filter);
		assert_true(poll_server_id_filter(&server, &uuid, &filter));
		assert_string_equal(buf_c(&filter), filters[i]);
		server.ids = POLL_IDS_TEXT; // the id is no more than derived from what the server has
		assert_false(poll_server_id_filter(&server, &uuid, &filter));
		server.ids = each[i].values == ad ? POLL_IDS_GUID : POLL_IDS_HEX;
		assert_false(poll_server_id(&server, &ENTRY("dc=uni", bare), &uuid)); // by its DN
		assert_false(guid_is_zero(&uuid));
	}
	buf_fini(&filter);
}

static void a_filter_for_what_has_changed(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum poll_marks marks;
		const char *value;
		int64_t mark;
		const char *filter;
	} cases[] = {
		{"modifyTimestamp", POLL_MARKS_TIME, "20261122010203Z", 1795309323000, "(modifyTimestamp>=20261122010203Z)"},
		{"whenChanged", POLL_MARKS_TIME, "20261122010203.0Z", 1795309323000, "(whenChanged>=20261122010203.0Z)"},
		{"entryCSN", POLL_MARKS_CSN, "20261122010203.500000Z#000000#001#000000", 1795309323000,
			"(entryCSN>=20261122010203.000000Z#000000#000#000000)"},
		{"uSNChanged", POLL_MARKS_USN, "777", 777, "(uSNChanged>=777)"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct poll_server server = {.marks = cases[i].marks};
		const struct raw_value value = {.name = str_of_c(cases[i].name), .value = str_of_c(cases[i].value)};
		const struct raw_entry entry = {.dn = STR("dc=uni"), .values = &value, .n_values = 1};
		int64_t mark;
		struct buf filter;
		buf_init(&filter, 200);
		assert_true(str_to_c(str_of_c(cases[i].name), server.mark_name, sizeof server.mark_name));
		assert_true(poll_server_mark(&server, &entry, &mark));
		assert_int_equal(mark, cases[i].mark);
		poll_server_since(&server, mark, &filter);
		assert_string_equal(buf_c(&filter), cases[i].filter);
		buf_clear(&filter);
		poll_server_since(&server, -5, &filter); // the overlap goes below the beginning of time
		poll_server_since(&server, INT64_MAX, &filter);
		buf_fini(&filter);
		const struct raw_value bad = {.name = value.name, .value = STR("soon")};
		assert_false(poll_server_mark(&server, &(struct raw_entry){.values = &bad, .n_values = 1}, &mark));
	}
}

static void a_digest_tells_names_and_marks(void **state)
{
	(void)state;
	const struct raw_value then[] = {VALUE("modifyTimestamp", "20261122010203Z"), VALUE("mail", "a@uni")};
	const struct raw_value now[] = {VALUE("modifyTimestamp", "20261122010204Z")};
	struct poll_server server = {.marks = POLL_MARKS_TIME, .mark_name = "modifyTimestamp"};
	uint64_t one = poll_server_digest(&server, &ENTRY("uid=a", then));
	assert_true(one >= POLL_DIGEST_MIN);
	assert_true(one != poll_server_digest(&server, &ENTRY("uid=b", then)));
	assert_true(one != poll_server_digest(&server, &ENTRY("uid=a", now)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_found_merged_and_missed),
		cmocka_unit_test(what_changed_while_it_was_read_is_in_doubt),
		cmocka_unit_test(a_server_says_what_it_offers),
		cmocka_unit_test(ids_and_marks_are_chosen_by_the_base),
		cmocka_unit_test(a_filter_for_what_has_changed),
		cmocka_unit_test(a_digest_tells_names_and_marks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
