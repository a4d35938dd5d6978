// SPDX-License-Identifier: Apache-2.0
// Loading LDIF files into a real shadow: what is there after good, changed, damaged, lying, large files.
#include <sys/stat.h>

#include "base/file.h"
#include "test_place.h"

static void test_load_and_look_up(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_UNAVAILABLE); // never complete: never NONE
	assert_false(directory_status(place->directory).complete);
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna.berg@uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_MAIL_HOST, "mb1.uni.example");
	assert_true(match.entry->classes & ENTRY_USER);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "nobody@uni.example", &match), DIRECTORY_NONE);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "*@uni.example", &match), DIRECTORY_NONE);
	assert_int_equal(find(place, DIRECTORY_DOMAIN, "uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_HOST, "mb1.uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_PIN, "sha256:00", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_LOGIN, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_DN, "UID=Anna, ou=People,DC=uni", &match), DIRECTORY_FOUND);
	struct guid id;
	assert_true(entry_mailbox_id(match.entry, &id));
	assert_int_equal(directory_find(place->directory, DIRECTORY_MAILBOX, guid_bytes(&id), place->arena, &match), DIRECTORY_FOUND);
	assert_int_equal(directory_find(place->directory, DIRECTORY_UUID, guid_bytes(&id), place->arena, &match), DIRECTORY_FOUND);
	struct directory_status status = directory_status(place->directory);
	assert_true(status.complete && status.fresh && status.version == 1 && status.entries == 3 && status.age_s >= 0);
}

// What only an authenticator may see is not in the shadow, in no byte of it.
static void test_no_hash_in_the_shadow(void **state)
{
	struct place *place = *state;
	struct err err;
	load(place, DOMAIN HOST ANNA);
	struct directory_match match;
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_false(entry_has(match.entry, ATTR_USER_PASSWORD) || entry_has(match.entry, ATTR_PH_SCRAM));
	struct buf bytes;
	int dir;
	buf_init(&bytes, 64 << 20);
	assert_int_equal(file_dir_open(str_of_c(place->dir), &dir, &err), ERR_OK);
	assert_int_equal(file_read(dir, STR("shadow.db"), &bytes, &err), ERR_OK);
	assert_int_equal(file_read(dir, STR("shadow.db-wal"), &bytes, &err), ERR_OK);
	assert_true(str_find(buf_str(&bytes), STR("anna@uni.example")) >= 0);
	assert_true(str_find(buf_str(&bytes), STR("{SSHA}")) < 0);
	assert_true(str_find(buf_str(&bytes), STR("SCRAM-SHA-256$")) < 0);
	file_close(dir);
	buf_fini(&bytes);
}

static void test_diff(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN HOST ANNA);
	assert_int_equal(report.counters.added, 3);
	report = load(place, "# the same in another order\n" ANNA HOST DOMAIN);
	assert_int_equal(report.counters.unchanged, 3);
	assert_int_equal(report.counters.added + report.counters.changed + report.counters.deleted, 0);
	assert_int_equal(directory_status(place->directory).version, 1);
	struct err err;
	assert_int_equal(load_ldif(&place->images, place->ldif_path, NULL, &report, &err), LOAD_UNCHANGED);
	// A rename of the entry and of an address: the uuid is the entry.
	report = load(place, DOMAIN HOST
		"dn: uid=berg,ou=people,dc=uni\nobjectClass: phMailUser\nuid: berg\nmail: berg@uni.example\nmailHost: mb2.uni.example\n"
		"entryUUID: 11111111-1111-1111-1111-111111111111\n");
	assert_int_equal(report.counters.changed, 1);
	assert_int_equal(report.counters.moved, 1);
	assert_int_equal(report.counters.deleted, 0);
	assert_int_equal(directory_status(place->directory).version, 2);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_NONE);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "berg@uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(find(place, DIRECTORY_DN, "uid=anna,ou=people,dc=uni", &match), DIRECTORY_NONE);
	report = load(place, DOMAIN HOST);
	assert_int_equal(report.counters.deleted, 1);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "berg@uni.example", &match), DIRECTORY_NONE);
}

static void assert_load_fails(struct place *place, const char *text, const char *error)
{
	struct load_report report;
	struct directory_match match;
	struct err err = {0};
	write_ldif(place, text);
	assert_int_equal(load_ldif(&place->images, place->ldif_path, NULL, &report, &err), LOAD_FAILED);
	if (str_find(str_of_c(err.text), str_of_c(error)) < 0)
		fail_msg("error is \"%s\", not \"%s\"", err.text, error);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND); // the old view serves
	assert_false(directory_status(place->directory).fresh);                                        // but nobody is unknown for good
	assert_true(directory_status(place->directory).complete);
}

static void test_damaged_files(void **state)
{
	struct place *place = *state;
	load(place, DOMAIN HOST ANNA);
	assert_load_fails(place, DOMAIN HOST "dn: uid=x,dc=uni\nobjectClass phMailUser\n", "people.ldif:13: not \"attribute: value\"");
	assert_load_fails(place, DOMAIN HOST "dn: uid=x,dc=uni\nmail:: ???\n", "people.ldif:13: bad base64");
	assert_load_fails(place, " folded\n", "people.ldif:1: a continuation");
	assert_load_fails(place, "dn: uid=x,dc=uni\nuserPassword:< file:///etc/shadow\n", "people.ldif:2: a value from a URL");
	assert_load_fails(place, "dn: uid=x,dc=uni\nchangetype: delete\n", "people.ldif:2: a change record");
	assert_load_fails(place, "mail: a@b\n", "people.ldif:1: an entry begins with");
	assert_load_fails(place, "\x7f\x45LF\x02\x01\x01", "people.ldif:1: ");
	assert_load_fails(place, "", "holds no entry of ours"); // cut to nothing: nobody deletes everybody by accident
	assert_load_fails(place, "version: 2\n", "version 1");
	unlink(place->ldif_path);
	struct load_report report;
	struct err err;
	assert_int_equal(load_ldif(&place->images, place->ldif_path, NULL, &report, &err), LOAD_FAILED);
	load(place, DOMAIN HOST ANNA);
	assert_true(directory_status(place->directory).fresh);
	assert_int_equal(directory_status(place->directory).version, 1); // nothing changed meanwhile
}

static void test_folding_and_base64(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	load(place, "version: 1\r\n# comment\r\n  goes on\r\ndn:: dWlkPWLDvHJnZXIsZGM9dW5p\r\nobjectClass: phMail\r\n User\r\n"
		    "mail;x-work: bu\r\n erger@uni.exam\r\n ple\r\ncn:: QsO8cmdlcg==\r\nphMailboxId: 22222222222222222222222222222222\r\n");
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "buerger@uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_CN, "B\xc3\xbcrger");
	assert_true(str_eq(match.entry->dn, STR("uid=b\xc3\xbcrger,dc=uni")));
	assert_int_equal(find(place, DIRECTORY_DN, "uid=B\\C3\\9CRGER,dc=uni", &match), DIRECTORY_FOUND);
}

// Threat evil-attr: refused when read, reported with its place.
static void test_evil_attr(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN
		"dn: uid=eve,dc=uni\nobjectClass: phMailUser\nuid: eve\nmail: eve@uni.example\nphForwardAddress: |/bin/sh\n"
		"phForwardAddress: \"|/bin/sh\"@uni.example\nphForwardAddress: /etc/passwd\nphForwardAddress: :include:/etc/passwd\n"
		"phForwardAddress:: YUBiLmV4YW1wbGUNCkJjYzogeEB5\nphForwardAddress: good@else.example\n"
		"mailHost:: bWIxLnVuaS5leGFtcGxlDQpRVUlU\nphMailboxId: ../../etc\nentryUUID: 33333333-3333-3333-3333-333333333333\n");
	assert_int_equal(report.complaints.refused, 8); // seven values, and the mailbox without an id
	assert_true(str_find(buf_str(&place->log), STR("line=10")) >= 0);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "eve@uni.example", &match), DIRECTORY_FOUND);
	struct entry_cursor cursor = {0};
	struct str value;
	assert_true(entry_next(match.entry, ATTR_PH_FORWARD_ADDRESS, &cursor, &value));
	assert_true(str_eq(value, STR("good@else.example")));
	assert_false(entry_next(match.entry, ATTR_PH_FORWARD_ADDRESS, &cursor, &value));
	assert_false(entry_has(match.entry, ATTR_MAIL_HOST));
	struct guid id;
	assert_false(entry_mailbox_id(match.entry, &id)); // a bad phMailboxId is not replaced by another mailbox
}

static void test_two_owners(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN ANNA
		"dn: uid=anna2,dc=uni\nobjectClass: phMailUser\nuid: anna2\nmail: anna.berg@uni.example\n"
		"entryUUID: 44444444-4444-4444-4444-444444444444\n");
	assert_int_equal(report.complaints.conflicts, 1);
	assert_true(str_find(buf_str(&place->log), STR("anna.berg@uni.example")) >= 0);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna.berg@uni.example", &match), DIRECTORY_AMBIGUOUS);
	assert_non_null(match.entry);
	assert_non_null(match.other);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	load(place, DOMAIN ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna.berg@uni.example", &match), DIRECTORY_FOUND);
	// Two logins are a conflict, one certificate for two hosts is none.
	report = load(place, DOMAIN ANNA HOST
		"dn: cn=mb2\nobjectClass: phMailHost\ncn: mb2\nphHostTlsPin: sha256:00\n\n"
		"dn: uid=x\nobjectClass: phMailUser\nuid: Anna\nmail: x@uni.example\nphMailboxId: 99999999999999999999999999999999\n");
	assert_int_equal(report.complaints.conflicts, 1);
	assert_int_equal(find(place, DIRECTORY_LOGIN, "anna@uni.example", &match), DIRECTORY_AMBIGUOUS);
}

static void test_hosts_of_one_node_share_its_pin(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct load_report report = load(place, DOMAIN HOST "dn: cn=mb2,ou=hosts,dc=uni\nobjectClass: phMailHost\ncn: mb2.uni.example\n"
		"phHostEndpoint: lmtp=inet:127.0.0.1:24\nphHostTlsPin: sha256:00\n\n");
	assert_int_equal(report.complaints.conflicts, 0);
	assert_int_equal(find(place, DIRECTORY_PIN, "sha256:00", &match), DIRECTORY_AMBIGUOUS);
}

static void test_one_uuid_twice(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct guid id;
	load(place, DOMAIN ANNA
		"dn: uid=copy,dc=uni\nobjectClass: phMailUser\nuid: copy\nmail: copy@uni.example\n"
		"entryUUID: 11111111-1111-1111-1111-111111111111\n");
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_true(entry_mailbox_id(match.entry, &id));
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "copy@uni.example", &match), DIRECTORY_FOUND); // known, but without a mailbox
	assert_false(entry_mailbox_id(match.entry, &id));
}

// ThreadSanitizer has nothing to find in one thread's large load.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MANY 10000
#endif
#endif
#ifndef MANY
#define MANY 100000
#endif

// Whoever is a recipient is one; only log-ins are gone.
static void test_without_secrets(void **state)
{
	struct place *place = *state;
	struct directory_match match;
	struct image_state secrets;
	struct err err;
	place->images.without_secrets = true;
	load(place, DOMAIN HOST ANNA);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "anna@uni.example", &match), DIRECTORY_FOUND);
	assert_int_equal(image_state(place->images.credentials, &secrets, &err), ERR_OK);
	assert_int_equal(secrets.entries, 0);
	place->images.without_secrets = false;
	load(place, DOMAIN HOST ANNA); // the same, and yet not what is there
	assert_int_equal(image_state(place->images.credentials, &secrets, &err), ERR_OK);
	assert_int_equal(secrets.entries, 1);
}

static void test_many(void **state)
{
	struct place *place = *state;
	struct load_report report;
	struct directory_match match;
	struct stat st;
	enum { USERS = MANY };
	write_many(place, USERS, "mb1.uni.example");
	load_many(place, &report);
	assert_int_equal(report.entries, USERS + 2);
	assert_int_equal(find(place, DIRECTORY_ADDRESS, "user.number.9999@uni.example", &match), DIRECTORY_FOUND);
	assert_value(match.entry, ATTR_UID, "u09999");
	assert_int_equal(stat(place->shadow_path, &st), 0);
	assert_true(st.st_size / USERS > 100 && st.st_size / USERS <= 800);
	for (unsigned n = 0; n < USERS; n += 997) { // its keys were written in several runs
		char address[64];
		snprintf(address, sizeof address, "u%05u@uni.example", n);
		assert_int_equal(find(place, DIRECTORY_ADDRESS, address, &match), DIRECTORY_FOUND);
		arena_reset(place->arena);
	}
	write_many(place, USERS / 10, "mb1.uni.example");
	load_many(place, &report);
	assert_int_equal(report.counters.deleted, USERS - USERS / 10);
	assert_int_equal(report.counters.unchanged, USERS / 10 + 2);
	assert_int_equal(report.counters.recipients.gone, 2 * (USERS - USERS / 10)); // two addresses each
	assert_int_equal(report.counters.recipients.before, 2 * USERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_load_and_look_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_hash_in_the_shadow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_diff, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folding_and_base64, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evil_attr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts_of_one_node_share_its_pin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_uuid_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
