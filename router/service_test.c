// SPDX-License-Identifier: Apache-2.0
// What an account is granted: by itself, by its class, by a class that is not there; what phStatus forbids, wherever it is asked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "ldapsync/credentials.h"
#include "router/home.h"
#include "router/recipient.h"
#include "router/service.h"
#include "test_world.h"

#define USER(name, number, more)                                                                                               \
	"dn: uid=" name ",dc=uni\nobjectClass: phMailUser\nuid: " name "\nmail: " name "@uni.example\nmailHost: mb1.uni.example\n" \
	"entryUUID: 00000000-0000-0000-0000-0000000000" number "\n" more "\n"

#define PEOPLE                                                                                                                 \
	"dn: dc=d1\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"                         \
	"dn: cn=mb1\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"                 \
	"dn: cn=staff\nobjectClass: phClassOfServiceEntry\ncn: Staff\nphQuotaBytes: 77\nphService: imap\n\n"                   \
	USER("anna", "01", "phClassOfService: STAFF\n")                                                                        \
	USER("typo", "02", "phClassOfService: staf\n")                                                                         \
	USER("own", "03", "phClassOfService: staf\nphQuotaBytes: 5\nphService: pop3\nphMaxMessageBytes: 9\nphMaxRecipients: 9\n" \
			  "phSubmitRate: 9\n")                                                                                 \
	USER("dflt", "04", "phClassOfService: Default\n")                                                                      \
	USER("none", "05", "")                                                                                                 \
	USER("mute", "06", "phMaxRecipients: 0\n")                                                                             \
	USER("idle", "07", "phSubmitRate: 0\n")                                                                                \
	USER("void", "08", "phMaxMessageBytes: 0\n")                                                                           \
	USER("open", "09", "phSubmitRate: -1\nphMaxRecipients: -1\nphMaxMessageBytes: -1\n")                                   \
	USER("shut", "0a", "phStatus: suspended\n")                                                                            \
	USER("past", "0b", "phExpires: 20200101000000Z\n")                                                                     \
	USER("slip", "0c", "phStatus: activ\n")                                                                                \
	"dn: uid=torn,dc=uni\nobjectClass: phMailUser\nuid: torn\nmail: torn@torn.example\nmailHost: mb1.uni.example\n"       \
	"entryUUID: 00000000-0000-0000-0000-00000000000d\n\n"                                                                 \
	"dn: dc=t1\nobjectClass: phMailDomain\nassociatedDomain: torn.example\nphDomainType: local\nphStatus: suspended\n\n" \
	"dn: dc=t2\nobjectClass: phMailDomain\nassociatedDomain: torn.example\nphDomainType: local\n"

#define ACCOUNT(number) "000000000000000000000000000000" number
#define DEFAULT_CLASS "\ndn: cn=default\nobjectClass: phClassOfServiceEntry\ncn: default\nphQuotaBytes: 33\nphService: imap\n"

static int setup(void **state)
{
	return world_setup(state, PEOPLE);
}

static int setup_with_default(void **state)
{
	return world_setup(state, PEOPLE DEFAULT_CLASS);
}

static const struct entry *find(struct world *world, const char *name)
{
	struct directory_match match;
	struct str key = arena_printf(world->arena, "%s@uni.example", name);
	assert_int_equal(directory_find(world->directory, DIRECTORY_ADDRESS, key, world->arena, &match), DIRECTORY_FOUND);
	return match.entry;
}

// May they log in over IMAP and POP3? 'l' means not now.
static const struct class_row {
	const char *name;
	enum service_answer quota;
	int64_t bytes;
	char imap, pop3;
	enum service_sending sends;
} without_default[] = {
	{"anna", SERVICE_SET, 77, 'y', 'n', SERVICE_MAY_SEND},
	{"typo", SERVICE_MISSING, 0, 'l', 'l', SERVICE_CANNOT_KNOW},
	{"own", SERVICE_SET, 5, 'n', 'y', SERVICE_MAY_SEND},
	{"dflt", SERVICE_UNSET, 0, 'y', 'y', SERVICE_MAY_SEND}, // the zimbra profile names it for everybody
	{"none", SERVICE_UNSET, 0, 'y', 'y', SERVICE_MAY_SEND},
}, with_default[] = {
	{"anna", SERVICE_SET, 77, 'y', 'n', SERVICE_MAY_SEND},
	{"typo", SERVICE_SET, 33, 'y', 'n', SERVICE_MAY_SEND},
	{"own", SERVICE_SET, 5, 'n', 'y', SERVICE_MAY_SEND},
	{"dflt", SERVICE_SET, 33, 'y', 'n', SERVICE_MAY_SEND},
	{"none", SERVICE_UNSET, 0, 'y', 'y', SERVICE_MAY_SEND},
};

static char may_log_in(struct world *world, const struct entry *entry, const char *service)
{
	struct service_class class;
	bool later;
	enum service_answer answer = service_class(world->directory, entry, world->arena, &class);
	const struct credentials_class of_login = {.entry = class.entry, .is_missing = answer == SERVICE_MISSING};
	if (credentials_forbid(entry, &of_login, str_of_c(service), &later) == NULL)
		return 'y';
	return later ? 'l' : 'n';
}

static void check_classes(struct world *world, const struct class_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct entry *entry = find(world, rows[i].name);
		struct service_grant grant = {0};
		struct service_submission may;
		char account[GUID_TEXT_BYTES];
		assert_int_equal(service_number(world->directory, entry, ATTR_PH_QUOTA_BYTES, world->arena, &grant), rows[i].quota);
		if (grant.value != rows[i].bytes)
			fail_msg("%s: quota %lld", rows[i].name, (long long)grant.value);
		if (may_log_in(world, entry, "imap") != rows[i].imap || may_log_in(world, entry, "pop3") != rows[i].pop3)
			fail_msg("%s: log-in", rows[i].name);
		if (service_submission(world->directory, guid_text(&entry->uuid, account), 1000, world->arena, &may) != rows[i].sends)
			fail_msg("%s: sending", rows[i].name);
	}
}

static void test_a_class_that_nobody_has(void **state)
{
	check_classes(*state, without_default, sizeof without_default / sizeof *without_default);
}

static void test_the_class_default_stands_in(void **state)
{
	check_classes(*state, with_default, sizeof with_default / sizeof *with_default);
}

static void test_sending(void **state)
{
	static const struct {
		const char *account;
		enum service_sending fresh, stale;
	} rows[] = {
		{ACCOUNT("01"), SERVICE_MAY_SEND, SERVICE_MAY_SEND},
		{ACCOUNT("06"), SERVICE_MAY_NOT_SEND, SERVICE_CANNOT_KNOW},
		{ACCOUNT("07"), SERVICE_MAY_NOT_SEND, SERVICE_CANNOT_KNOW},
		{ACCOUNT("08"), SERVICE_MAY_NOT_SEND, SERVICE_CANNOT_KNOW},
		{ACCOUNT("09"), SERVICE_MAY_SEND, SERVICE_MAY_SEND},
		{ACCOUNT("0a"), SERVICE_MAY_NOT_SEND, SERVICE_CANNOT_KNOW},
		{ACCOUNT("0b"), SERVICE_MAY_NOT_SEND, SERVICE_CANNOT_KNOW},
		{ACCOUNT("0c"), SERVICE_CANNOT_KNOW, SERVICE_CANNOT_KNOW},
		{ACCOUNT("0d"), SERVICE_CANNOT_KNOW, SERVICE_CANNOT_KNOW}, // two entries for the domain, and one is suspended
		{ACCOUNT("ff"), SERVICE_CANNOT_KNOW, SERVICE_CANNOT_KNOW},
		{"anna", SERVICE_CANNOT_KNOW, SERVICE_CANNOT_KNOW},
	};
	struct world *world = *state;
	struct service_submission may;
	for (int stale = 0; stale < 2; stale++) {
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
			enum service_sending got = service_submission(world->directory, str_of_c(rows[i].account), 1000, world->arena, &may);
			if (got != (stale ? rows[i].stale : rows[i].fresh))
				fail_msg("%s: %d", rows[i].account, got);
		}
		directory_memory_set_status(world->memory, &(struct directory_status){.complete = true, .fresh = false});
	}
}

// Each place that asks about phStatus, against the one table.
static void test_status_is_one_table(void **state)
{
	static const struct str served = {"mb1.uni.example", 15};
	static const struct home_rules here = {.serves = &served, .n_serves = 1};
	static const struct {
		enum entry_status status;
		const char *word;
	} statuses[] = {
#define ROW(status, word, log_in, mail, text) {status, word},
		ENTRY_STATUSES(ROW)
#undef ROW
	};
	static const enum home_answer homes[] = {[ENTRY_STATUS_YES] = HOME_HERE, [ENTRY_STATUS_LATER] = HOME_HELD, [ENTRY_STATUS_NO] = HOME_REFUSED};
	static const int codes[] = {[ENTRY_STATUS_YES] = 250, [ENTRY_STATUS_LATER] = 450, [ENTRY_STATUS_NO] = 550};
	static const char answers[] = {[ENTRY_STATUS_YES] = 'y', [ENTRY_STATUS_LATER] = 'l', [ENTRY_STATUS_NO] = 'n'};
	(void)state;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		void *made;
		char *whole;
		assert_true(asprintf(&whole, PEOPLE "\n" USER("x", "aa", "phStatus: %s\n"), statuses[i].word[0] ? statuses[i].word : "activ") > 0);
		world_setup(&made, whole);
		free(whole);
		struct world *world = made;
		const struct entry_status_row *row = entry_status_row(statuses[i].status);
		struct home home;
		struct addr addr;
		struct recipient_verdict verdict;
		assert_int_equal(addr_parse(world->arena, STR("x@uni.example"), 0, &addr), ADDR_OK);
		home_of_account(world->directory, &here, STR(ACCOUNT("aa")), world->arena, &home);
		assert_int_equal(home.answer, homes[row->log_in]);
		home_of_recipient(world->directory, &here, &addr, world->arena, &home);
		assert_int_equal(home.answer, homes[row->mail]);
		recipient_decide(world->directory, &(struct recipient_query){.recipient = &addr}, world->arena, &verdict);
		assert_int_equal(verdict.code, codes[row->mail]);
		assert_int_equal(may_log_in(world, find(world, "x"), "imap"), answers[row->log_in]);
		world_teardown(&made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_class_that_nobody_has, setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_the_class_default_stands_in, setup_with_default, world_teardown),
		cmocka_unit_test_setup_teardown(test_sending, setup, world_teardown),
		cmocka_unit_test(test_status_is_one_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
