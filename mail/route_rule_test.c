// SPDX-License-Identifier: Apache-2.0
// Rows of route tables as tables: what is written, what is stored and followed; replies of rules.

#include <stdio.h>

#include "mail/route_rule.h"
#include "mail/rule_reply.h"
#include "test_arena.h"

static void equal(struct str got, const char *wanted, const char *of)
{
	if (!str_eq(got, str_of_c(wanted)))
		fail_msg("%s: \"%.*s\" and not \"%s\"", of, STR_FMT(got), wanted);
}

static const struct {
	const char *text, *key; // NULL: refused
} keys[] = {
	{"uni.example", "uni.example"}, {"Uni.Example.", "uni.example"}, {"@uni.example", "uni.example"}, {".uni.example", ".uni.example"},
	{".", "."}, {"*", "."}, {" . ", "."}, {"User@Uni.Example", "user@uni.example"}, {"user+x@uni.example", "user+x@uni.example"},
	{"[192.0.2.1]", "[192.0.2.1]"}, {"[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"}, {"[2001:db8::1]", "[ipv6:2001:db8::1]"},
	{"b\xc3\xbc" "cher.example", "xn--bcher-kva.example"}, {"From:Ann@Uni.Example", "from:ann@uni.example"},
	{"from:@uni.example", "from:@uni.example"}, {"From: uni.example", "from:@uni.example"},
	{"", NULL}, {"a b", NULL}, {"..", NULL}, {"[300.0.0.1]", NULL}, {"[]", NULL}, {"user@", NULL}, {"*.uni.example", NULL}, {"from:", NULL},
	{"192.0.2.1", NULL},
};

static void keys_have_one_spelling(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct str key;
		const char *wrong = route_rule_key(arena, str_of_c(keys[i].text), &key);
		if ((wrong == NULL) != (keys[i].key != NULL))
			fail_msg("\"%s\": %s", keys[i].text, wrong ? wrong : "accepted");
		if (keys[i].key)
			equal(key, keys[i].key, keys[i].text);
	}
}

static const struct {
	const char *value, *text; // text: of the destination; NULL: refused
	bool mx;
} relays[] = {
	{"esmtp:[gw.example]:2525", "esmtp:[gw.example]:2525", false},
	{"esmtp:[gw.example]", "esmtp:[gw.example]:25", false},
	{"SMTP:[GW.Example.]", "esmtp:[gw.example]:25", false},
	{"relay:[gw.example]", "esmtp:[gw.example]:25", false},
	{":[gw.example]", "esmtp:[gw.example]:25", false}, // transport(5): only the next hop changes
	{"esmtp:[192.0.2.1]:26", "esmtp:[192.0.2.1]:26", false},
	{"esmtp:192.0.2.1", "esmtp:[192.0.2.1]:25", false}, // an address has no MX records
	{"esmtp:[2001:db8::1]:26", "esmtp:[2001:db8::1]:26", false},
	{"esmtp:[IPv6:2001:db8::1]", "esmtp:[2001:db8::1]:25", false},
	{"esmtp:gw.example", "esmtp:gw.example:25", true},
	{"esmtp:gw.example:26", "esmtp:gw.example:26", true},
	{"esmtp:", "esmtp::25", true},
	{"smtp::26", "esmtp::26", true},
	{"esmtp:[a.example]:26,[b.example]", "esmtp:[a.example]:26,[b.example]:25", false},
	{"esmtp:[a.example], [b.example]:27", "esmtp:[a.example]:25,[b.example]:27", false},
	{"esmtp:[a.example]:[b.example]", "esmtp:[a.example]:25,[b.example]:25", false}, // sendmail's list
	{"esmtp:a.example:b.example", "esmtp:a.example:25,b.example:25", true},
	{"esmtp:[gw.example] tls=verify", "esmtp:[gw.example]:25;tls=verify", false},
	{"esmtp:[192.0.2.1] tls=verify tls_name=GW.example", "esmtp:[192.0.2.1]:25;tls=verify;tls_name=gw.example", false},
	{"esmtp:[gw.example] tls=none", "esmtp:[gw.example]:25;tls=none", false},
	{"esmtp:[gw.example] tls=may", "esmtp:[gw.example]:25", false},
	{"esmtp:[gw.example] tls=fingerprint=sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF",
		"esmtp:[gw.example]:25;tls=fingerprint=sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", false},
	{"discard:", "discard:", false}, {"discard:spam trap", "discard:", false},
	{"", NULL, false}, {"gw.example", NULL, false}, {"[gw.example]:25", NULL, false}, {"uucp:gw", NULL, false},
	{"esmtp:[gw.example", NULL, false}, {"esmtp:[gw.example]x", NULL, false}, {"esmtp:[gw.example]:0", NULL, false},
	{"esmtp:[gw.example]:65536", NULL, false}, {"esmtp:[gw.example]:25x", NULL, false}, {"esmtp:%1.example", NULL, false},
	{"esmtp:[a b]", NULL, false}, {"esmtp:[gw.example] tls=dane", NULL, false}, {"esmtp:[gw.example] tls=yes", NULL, false},
	{"esmtp:[gw.example] colour=red", NULL, false}, {"esmtp:[gw.example] tls=fingerprint=sha1:00", NULL, false},
	{"esmtp:[a],[b],[c],[d],[e],[f],[g],[h],[i]", NULL, false},
};

static void relays_become_destinations_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof relays / sizeof *relays; i++) {
		struct route_rule rule = ROUTE_RULE_NONE, again;
		const char *wrong = route_rule_value(arena, str_of_c(relays[i].value), &rule);
		if ((wrong == NULL) != (relays[i].text != NULL))
			fail_msg("\"%s\": %s", relays[i].value, wrong ? wrong : "accepted");
		if (wrong)
			continue;
		struct str text = route_rule_text(arena, &rule);
		equal(text, relays[i].text, relays[i].value);
		assert_int_equal(route_rule_needs_mx(&rule), relays[i].mx);
		assert_true(route_rule_is_text(text) && route_rule_of_text(arena, text, &again));
		equal(route_rule_text(arena, &again), relays[i].text, "read again");
	}
	struct route_rule rule;
	assert_false(route_rule_is_text(STR("mb1.uni.example")));
	assert_false(route_rule_of_text(arena, STR("smart.example:25"), &rule));
}

static void without_next_hop_the_domain_of_the_recipient_is_taken(void **state)
{
	(void)state;
	static const struct {
		const char *address, *text;
	} rows[] = {{"a@else.example", "esmtp:else.example:26"}, {"a@[192.0.2.7]", "esmtp:[192.0.2.7]:26"}, {"a@[IPv6:2001:db8::7]", "esmtp:[2001:db8::7]:26"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct route_rule rule = ROUTE_RULE_NONE;
		struct addr addr;
		assert_null(route_rule_target(arena, STR("smtp::26"), &rule));
		assert_int_equal(addr_parse(arena, str_of_c(rows[i].address), 0, &addr), ADDR_OK);
		route_rule_complete(arena, &addr.domain, &rule);
		equal(route_rule_text(arena, &rule), rows[i].text, rows[i].address);
	}
}

static void several_values_are_one_list(void **state)
{
	(void)state;
	struct route_rule rule = ROUTE_RULE_NONE;
	assert_null(route_rule_target(arena, STR("esmtp:[a.example]"), &rule));
	assert_null(route_rule_target(arena, STR("esmtp:[b.example]"), &rule));
	equal(route_rule_text(arena, &rule), "esmtp:[a.example]:25,[b.example]:25", "two values");
	assert_non_null(route_rule_target(arena, STR("discard:"), &rule));
}

static void local_names_a_user_or_none(void **state)
{
	(void)state;
	static const struct {
		const char *value, *user;
	} rows[] = {{"local:", ""}, {"local:ann", "ann"}, {"local:ann@uni.example", "ann@uni.example"}, {"local:a b", NULL}, {"local:@x", NULL}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct route_rule rule = ROUTE_RULE_NONE;
		const char *wrong = route_rule_target(arena, str_of_c(rows[i].value), &rule);
		assert_int_equal(wrong == NULL, rows[i].user != NULL);
		if (wrong)
			continue;
		assert_int_equal(rule.kind, ROUTE_RULE_LOCAL);
		equal(rule.user, rows[i].user, rows[i].value);
	}
}

static const struct {
	const char *value;
	int code; // 0: refused
	const char *enhanced, *text;
} replies[] = {
	{"error:5.7.1:550 not here", 550, "5.7.1", "not here"},
	{"error:5.1.2:553 \"no such domain\"", 553, "5.1.2", "no such domain"},
	{"error:\"550 5.2.1 gone\"", 550, "5.2.1", "gone"},
	{"error:550 gone", 550, "5.7.1", "gone"},
	{"error:450 4.2.2 mailbox full", 450, "4.2.2", "mailbox full"},
	{"error:4.2.2:450 mailbox full", 450, "4.2.2", "mailbox full"},
	{"error:5.1.2 bad domain", 550, "5.1.2", "bad domain"}, // transport(5)
	{"error:we do not do this", 550, "5.7.1", "we do not do this"},
	{"error:", 550, "5.7.1", "refused by policy"},
	{"error:nouser", 550, "5.1.1", "no such user"},
	{"error:nohost No such domain here", 550, "5.1.2", "No such domain here"},
	{"error:tempfail", 450, "4.4.0", "try again later"},
	{"retry:later", 450, "4.7.1", "later"},
	{"retry:", 450, "4.7.1", "refused by policy"},
	{"retry:550 never", 0, NULL, NULL}, {"error:250 fine", 0, NULL, NULL}, {"error:5.7.1:450 both", 0, NULL, NULL},
	{"error:600 x", 0, NULL, NULL}, {"error:550 b\xc3\xb6se", 0, NULL, NULL}, {"error:550 a\r\n250 b", 0, NULL, NULL},
};

static void errors_become_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		struct route_rule rule = ROUTE_RULE_NONE;
		const char *wrong = route_rule_value(arena, str_of_c(replies[i].value), &rule);
		if ((wrong == NULL) != (replies[i].code != 0))
			fail_msg("\"%s\": %s", replies[i].value, wrong ? wrong : "accepted");
		if (wrong)
			continue;
		assert_int_equal(rule.kind, ROUTE_RULE_ERROR);
		assert_int_equal(rule.reply.code, replies[i].code);
		equal(rule.reply.enhanced, replies[i].enhanced, replies[i].value);
		equal(rule.reply.text, replies[i].text, replies[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_have_one_spelling),
		cmocka_unit_test(relays_become_destinations_and_back),
		cmocka_unit_test(without_next_hop_the_domain_of_the_recipient_is_taken),
		cmocka_unit_test(several_values_are_one_list),
		cmocka_unit_test(local_names_a_user_or_none),
		cmocka_unit_test(errors_become_replies),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
