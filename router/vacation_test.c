// SPDX-License-Identifier: Apache-2.0
// Who is answered while somebody is away.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_vacation.h"

#define USER(name, more) \
	"dn: uid=" name ",dc=uni\nobjectClass: phMailUser\nuid: " name "\nmail: " name "@uni.example\nmailLocalAddress: " name ".b@uni.example\n" more "\n"

static const char ldif[] =
	USER("on", "phVacation: on\nphVacationText: away\nphVacationInterval: 2\n")
	USER("off", "phVacation: off\nphVacationText: away\n")
	USER("none", "phVacationText: away\n")
	USER("mute", "phVacation: on\n")
	USER("plan", "phVacation: scheduled\nphVacationStart: 20261101000000Z\nphVacationEnd: 20261201000000Z\nphVacationText: away\n"
		"phVacationSubject: In Rome\n")
	USER("past", "phVacation: scheduled\nphVacationEnd: 20261101000000Z\nphVacationText: away\n")
	USER("langs", "preferredLanguage: fr-CA, en;q=0.5\nphVacation: on\nphVacationText: plain\nphVacationText;lang-de: weg\nphVacationText;lang-en-GB: off\n"
		"phVacationText;x-a;lang-FR: parti\nphVacationSubject;lang-de: Weg\nphVacationSubject: Plain\n")
	USER("many", "phVacation: on\nphVacationText: away\nmailLocalAddress: m1@uni.example\nmailLocalAddress: m2@uni.example\n"
		"mailLocalAddress: m3@uni.example\nmailLocalAddress: m4@uni.example\n")
	USER("tagged", "phVacation: on\nphVacationText;lang-de: weg\nphVacationText;lang-en: off\n")
	USER("two", "phVacation: on\nphVacationText: away\nphVacationTextInternal: in Rome\nphVacationTextInternal;lang-de: in Rom\n")
	USER("inside", "phVacation: on\nphVacationTextInternal: in Rome\nmailLocalAddress: inside@other.example\n")
	"dn: dc=a\nobjectClass: phMailDomain\nassociatedDomain: alias.example\nphDomainType: alias\nphDomainAliasOf: uni.example\n"
	"phIncludeSubdomains: TRUE\n\n"
	"dn: dc=d\nobjectClass: phMailDomain\nassociatedDomain: dash.example\nphDomainType: local\nphSubaddressDelimiter: -\n\n"
	USER("dan", "phVacation: on\nphVacationText: away\nmailLocalAddress: dan@dash.example\n")
	USER("soon", "phVacation: scheduled\nphVacationStart: 20261224000000Z\nphVacationText: away\n");

enum { DAY_S = 24 * 3600 };

static int setup(void **state)
{
	(void)state;
	return people_setup(ldif);
}

static enum vacation_verdict decide_with(struct str delimiters, const char *user, const char *sender, const char *list, const char *header,
	int64_t answered_days, struct vacation_answer *answer)
{
	const struct vacation_facts facts = {.directory = directory, .user = find_user(user), .sender = address(sender),
		.list = str_of_c(list), .header = str_of_c(header),
		.delimiters = delimiters, .now_ms = now_ms, .last_answer_ms = answered_days < 0 ? 0 : now_ms - answered_days * DAY_S * 1000};
	return vacation_decide(arena, &facts, answer);
}

static enum vacation_verdict decide(const char *user, const char *sender, const char *list, const char *header, int64_t answered_days,
	struct vacation_answer *answer)
{
	return decide_with(STR("+"), user, sender, list, header, answered_days, answer);
}

#define TO_ON "To: On <ON.B+x@uni.example>\r\n"

static void test_verdicts(void **state)
{
	static const struct {
		const char *user, *sender, *list, *header;
		int days; // since the last answer; -1: never
		enum vacation_verdict verdict;
	} rows[] = {
		{"on", "pat@else.example", "", TO_ON, -1, VACATION_ANSWER},
		{"on", "pat@else.example", "", "cc: a@b.example, on@uni.example\r\nSubject: x\r\n", -1, VACATION_ANSWER},
		{"off", "pat@else.example", "", "To: off@uni.example\r\n", -1, VACATION_OFF},
		{"none", "pat@else.example", "", "To: none@uni.example\r\n", -1, VACATION_OFF},
		{"mute", "pat@else.example", "", "To: mute@uni.example\r\n", -1, VACATION_NO_TEXT},
		{"plan", "pat@else.example", "", "To: plan@uni.example\r\n", -1, VACATION_ANSWER},
		{"past", "pat@else.example", "", "To: past@uni.example\r\n", -1, VACATION_NOT_NOW},
		{"soon", "pat@else.example", "", "To: soon@uni.example\r\n", -1, VACATION_NOT_NOW},
		{"on", "", "", TO_ON, -1, VACATION_NULL_SENDER},
		{"on", "on.b+y@uni.example", "", TO_ON, -1, VACATION_OWN_ADDRESS},
		{"on", "Mailer-Daemon@else.example", "", TO_ON, -1, VACATION_PROGRAM},
		{"on", "owner-news@else.example", "", TO_ON, -1, VACATION_PROGRAM},
		{"on", "news-REQUEST@else.example", "", TO_ON, -1, VACATION_PROGRAM},
		{"on", "news-bounces@else.example", "", TO_ON, -1, VACATION_PROGRAM},
		{"on", "no-reply@else.example", "", TO_ON, -1, VACATION_PROGRAM},
		{"on", "pat@else.example", "news@uni.example", TO_ON, -1, VACATION_LIST},
		{"on", "pat@else.example", "", TO_ON "List-Id: <x.example>\r\n", -1, VACATION_LIST},
		{"on", "pat@else.example", "", TO_ON "list-unsubscribe: <mailto:x>\r\n", -1, VACATION_LIST},
		{"on", "pat@else.example", "", TO_ON "Precedence:  Bulk \r\n", -1, VACATION_BULK},
		{"on", "pat@else.example", "", TO_ON "Precedence: first-class\r\n", -1, VACATION_ANSWER},
		{"on", "pat@else.example", "", TO_ON "X-Auto-Response-Suppress: DR, oof\r\n", -1, VACATION_BULK},
		{"on", "pat@else.example", "", "Auto-Submitted: auto-replied\r\n" TO_ON, -1, VACATION_AUTOMATIC},
		{"on", "pat@else.example", "", "Auto-Submitted:\r\n auto-generated (x)\r\n" TO_ON, -1, VACATION_AUTOMATIC},
		{"on", "pat@else.example", "", "Auto-Submitted: (by hand) No\r\n" TO_ON, -1, VACATION_ANSWER},
		{"on", "pat@else.example", "", "Auto-Submitted: no; x=y\r\n" TO_ON, -1, VACATION_ANSWER},
		{"on", "pat@else.example", "", "Auto-Submitted: nobody\r\n" TO_ON, -1, VACATION_AUTOMATIC},
		{"on", "pat@else.example", "", "To: everybody@uni.example\r\n", -1, VACATION_NOT_ADDRESSED},
		{"on", "pat@else.example", "", "Subject: To: on@uni.example\r\n\r\nTo: on@uni.example\r\n", -1, VACATION_NOT_ADDRESSED},
		{"on", "pat@else.example", "", "", -1, VACATION_NOT_ADDRESSED},
		{"on", "pat@else.example", "", TO_ON, 1, VACATION_ANSWERED},
		{"on", "pat@else.example", "", TO_ON, 2, VACATION_ANSWER},
		{"plan", "pat@else.example", "", "To: plan@uni.example\r\n", 6, VACATION_ANSWERED}, // 7 days
		{"plan", "pat@else.example", "", "To: plan@uni.example\r\n", 7, VACATION_ANSWER},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vacation_answer answer;
		enum vacation_verdict got =
			decide(rows[i].user, rows[i].sender, rows[i].list, rows[i].header, rows[i].days, &answer);
		if (got != rows[i].verdict)
			fail_msg("row %zu, %s from %s: %s", i, rows[i].user, rows[i].sender, vacation_why(got));
		arena_reset(arena);
	}
}

static void test_answer(void **state)
{
	struct vacation_answer answer;
	(void)state;
	assert_int_equal(decide("on", "Pat@Else.example", "", "Message-ID: <1@x>\r\nSubject: =?utf-8?q?K=C3=A4se?=\r\n today\r\n" TO_ON, -1, &answer),
		VACATION_ANSWER);
	assert_true(str_eq(answer.to->text, STR("Pat@Else.example")));
	assert_true(str_eq(answer.correspondent, STR("pat@else.example")));
	assert_true(str_eq(answer.subject, STR("Auto: K\xc3\xa4se today")));
	assert_true(str_eq(answer.text, STR("away")));
	assert_true(str_eq(answer.in_reply_to, STR("<1@x>")));
	assert_int_equal(answer.again_ms - now_ms, (int64_t)2 * DAY_S * 1000);
	assert_int_equal(decide("plan", "pat@else.example", "", "Subject: x\r\nTo: plan@uni.example\r\n", -1, &answer), VACATION_ANSWER);
	assert_true(str_eq(answer.subject, STR("In Rome")));
}

static void test_languages(void **state)
{
	static const struct {
		const char *user, *header, *text, *subject, *lang;
	} rows[] = {
		{"langs", "", "parti", "Plain", "FR"}, // his own
		{"langs", "Accept-Language: de\r\n", "weg", "Weg", "de"},
		{"langs", "Accept-Language: it, *, de-CH;q=0.8,\r\n en\r\n", "weg", "Weg", "de"},
		{"langs", "Accept-Language: en\r\n", "off", "Plain", "en-GB"},
		{"langs", "Content-Language: de\r\n", "weg", "Weg", "de"},
		{"langs", "Accept-Language: en-GB\r\nContent-Language: de\r\n", "off", "Plain", "en-GB"},
		{"langs", "Accept-Language: d\r\n", "parti", "Plain", "FR"},
		{"tagged", "Accept-Language: it\r\n", "weg", "Auto: ", "de"},
		{"tagged", "Accept-Language: EN\r\n", "off", "Auto: ", "en"},
		{"on", "Accept-Language: de\r\n", "away", "Auto: ", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vacation_answer answer;
		const char *header = arena_printf(arena, "To: %s@uni.example\r\n%s", rows[i].user, rows[i].header).p;
		assert_int_equal(decide(rows[i].user, "pat@else.example", "", header, -1, &answer), VACATION_ANSWER);
		if (!str_eq(answer.text, str_of_c(rows[i].text)) || !str_eq(answer.subject, str_of_c(rows[i].subject)) || !str_eq(answer.lang, str_of_c(rows[i].lang)))
			fail_msg("row %zu: %.*s, %.*s, %.*s", i, STR_FMT(answer.text), STR_FMT(answer.subject), STR_FMT(answer.lang));
		arena_reset(arena);
	}
}

// on-call is somebody else, unless "-" begins a detail.
static void test_delimiters(void **state)
{
	static const struct {
		const char *delimiters, *sender, *header;
		enum vacation_verdict verdict;
	} rows[] = {
		{"+", "on-call@uni.example", "To: on@uni.example\r\n", VACATION_ANSWER},
		{"+", "on+call@uni.example", "To: on@uni.example\r\n", VACATION_OWN_ADDRESS},
		{"-", "on-call@uni.example", "To: on@uni.example\r\n", VACATION_OWN_ADDRESS},
		{"", "on+call@uni.example", "To: on@uni.example\r\n", VACATION_ANSWER},
		{"+", "pat@else.example", "To: on-call@uni.example\r\n", VACATION_NOT_ADDRESSED},
		{"+", "pat@else.example", "To: on+call@uni.example\r\n", VACATION_ANSWER},
		{"+-", "pat@else.example", "To: on-call@uni.example\r\n", VACATION_ANSWER},
		{"", "pat@else.example", "To: on+call@uni.example\r\n", VACATION_NOT_ADDRESSED},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vacation_answer answer;
		enum vacation_verdict got =
			decide_with(str_of_c(rows[i].delimiters), "on", rows[i].sender, "", rows[i].header, -1, &answer);
		if (got != rows[i].verdict)
			fail_msg("row %zu: %s", i, vacation_why(got));
		arena_reset(arena);
	}
}

// An address means whom RCPT TO finds by it: by a domain that is an alias, by the delimiters of its own domain.
static void test_spellings(void **state)
{
	static const struct {
		const char *user, *sender, *header;
		enum vacation_verdict verdict;
	} rows[] = {
		{"on", "pat@else.example", "To: on@alias.example\r\n", VACATION_ANSWER},
		{"on", "pat@else.example", "Cc: pat@else.example, on.b+x@sub.alias.example\r\n", VACATION_ANSWER},
		{"on", "pat@else.example", "To: off@alias.example\r\n", VACATION_NOT_ADDRESSED},
		{"on", "on@alias.example", TO_ON, VACATION_OWN_ADDRESS},
		{"on", "off@alias.example", TO_ON, VACATION_ANSWER},
		{"dan", "pat@else.example", "To: dan-x@dash.example\r\n", VACATION_ANSWER},
		{"dan", "pat@else.example", "To: dan+x@dash.example\r\n", VACATION_NOT_ADDRESSED},
		{"dan", "pat@else.example", "To: dan+x@uni.example\r\n", VACATION_ANSWER},
		{"dan", "pat@else.example", "To: dan-x@uni.example\r\n", VACATION_NOT_ADDRESSED},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vacation_answer answer;
		enum vacation_verdict got = decide(rows[i].user, rows[i].sender, "", rows[i].header, -1, &answer);
		if (got != rows[i].verdict)
			fail_msg("row %zu: %s", i, vacation_why(got));
		arena_reset(arena);
	}
}

// As many addresses as a header can hold that is looked at, in fields of so many, and the user's behind them.
static struct str crowded_header(size_t addresses, size_t each)
{
	static const struct str one = STR("a_b@c,");
	struct buf b;
	buf_init(&b, 64 << 10);
	buf_add_c(&b, "Message-ID: <1@x>\r\nReferences:");
	for (size_t i = 0; i < 1200; i++)
		buf_printf(&b, "\r\n <%zu@x>", i);
	for (size_t i = 0; i < addresses && b.n + 64 < b.max; i++) {
		buf_add_c(&b, i % each == 0 ? "\r\nTo: " : "");
		buf_add(&b, one);
	}
	buf_add_c(&b, "\r\nCc: many@uni.example\r\n\r\n");
	struct str header = arena_dup(arena, buf_str(&b));
	buf_fini(&b);
	return header;
}

// Whatever is in the header, there is a verdict, and memory for the message when it is an answer.
static void test_crowded_header(void **state)
{
	static const struct {
		size_t addresses, each;
		enum vacation_verdict verdict;
	} rows[] = {
		{900, 900, VACATION_ANSWER},
		{999, 100, VACATION_ANSWER},
		{1000, 1000, VACATION_TOO_LONG},
		{20000, 20000, VACATION_TOO_LONG},
		{20000, 900, VACATION_TOO_LONG},
		{20000, 1, VACATION_TOO_LONG},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vacation_answer answer;
		struct buf out;
		bool utf8;
		const char *header = crowded_header(rows[i].addresses, rows[i].each).p;
		enum vacation_verdict got = decide_with(STR("+_"), "many", "pat@else.example", "", header, -1, &answer);
		if (got == VACATION_ANSWER) {
			const struct vacation_letter letter = {.user = find_user("many"), .answer = &answer, .hostname = STR("mx.uni.example"),
				.guid = {{1, 2}}, .now_ms = now_ms};
			buf_init(&out, VACATION_MESSAGE_BYTES_MAX);
			assert_true(vacation_write(arena, &letter, &out, &utf8));
			buf_fini(&out);
		}
		if (got != rows[i].verdict)
			fail_msg("row %zu: %s", i, vacation_why(got));
		assert_false(arena_overflowed(arena));
		arena_reset(arena);
	}
}

// An arena that is full gives no answer, wherever it fills up, and no message.
static void test_full_arena(void **state)
{
	bool answered = false;
	(void)state;
	for (size_t bytes_max = 1 << 10; !answered && bytes_max < 1 << 20; bytes_max += 16) {
		struct vacation_answer answer = {.to = NULL};
		struct addr from;
		struct arena *small = arena_new(bytes_max);
		assert_int_equal(addr_parse(arena, STR("pat@else.example"), 0, &from), ADDR_OK);
		const struct vacation_facts facts = {.directory = directory, .user = find_user("many"), .sender = &from, .now_ms = now_ms,
			.header = STR("To: a_b@c, a_b@d\r\nCc: many@uni.example\r\nSubject: x\r\nReferences: <1@x> <2@x>\r\n\r\n")};
		answered = vacation_decide(small, &facts, &answer) == VACATION_ANSWER;
		assert_int_equal(answered, !arena_overflowed(small));
		assert_int_equal(answered, answer.to != NULL);
		arena_free(&small);
		arena_reset(arena);
	}
	assert_true(answered);
}

static void colleagues_have_a_text_of_their_own(void **state)
{
	struct vacation_answer answer;
	(void)state;
	assert_int_equal(decide("two", "joe@UNI.example", "", "To: two@uni.example\r\n\r\n", -1, &answer), VACATION_ANSWER);
	assert_true(str_eq(answer.text, STR("in Rome")));
	assert_int_equal(decide("two", "joe@uni.example", "", "To: two@uni.example\r\nAccept-Language: de\r\n\r\n", -1, &answer), VACATION_ANSWER);
	assert_true(str_eq(answer.text, STR("in Rom")));
	assert_int_equal(decide("two", "joe@sub.uni.example", "", "To: two@uni.example\r\n\r\n", -1, &answer), VACATION_ANSWER);
	assert_true(str_eq(answer.text, STR("away")));
	assert_int_equal(decide("two", "joe@alias.example", "", "To: two@uni.example\r\n\r\n", -1, &answer), VACATION_ANSWER);
	assert_true(str_eq(answer.text, STR("in Rome")));
	assert_int_equal(decide("inside", "joe@other.example", "", "To: inside@uni.example\r\n\r\n", -1, &answer), VACATION_ANSWER);
	assert_int_equal(decide("inside", "joe@else.example", "", "To: inside@uni.example\r\n\r\n", -1, &answer), VACATION_NO_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(colleagues_have_a_text_of_their_own),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_languages),
		cmocka_unit_test(test_delimiters),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_crowded_header),
		cmocka_unit_test(test_full_arena),
	};
	return cmocka_run_group_tests(tests, setup, people_teardown);
}
