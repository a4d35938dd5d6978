// SPDX-License-Identifier: Apache-2.0
// The answer of somebody who is away, byte for byte; and that nothing from the directory or from the message gets out of its
// place.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/header.h"
#include "mail/transfer.h"
#include "test_vacation.h"

#define USER(name, more) "dn: uid=" name ",dc=uni\nobjectClass: phMailUser\nuid: " name "\nphVacation: on\n" more "\n"

static const char ldif[] =
	USER("ann", "mail: ann@uni.example\ndisplayName: Ann O'Neill\ncn: other\nphVacationSubject: Away\nphVacationText: I am away.\n")
	USER("joe", "mail: joe@uni.example\ncn:: SsO2cmcgS8O2bmln\nphVacationText:: SWNoIGJpbiBpbiBLw7Zsbi4KCkpvZSAK\n")
	USER("bare", "mailLocalAddress: bare@uni.example\nphVacationText: away\n");

static int setup(void **state)
{
	(void)state;
	return people_setup(ldif);
}

// The message, in the arena; empty when it cannot be written.
static struct str write_for(const char *user, const char *to, struct vacation_answer answer, bool *utf8_out)
{
	struct buf out;
	answer.to = address(to);
	const struct vacation_letter letter = {.user = find_user(user), .recipient = address("bare@uni.example"), .answer = &answer,
		.hostname = STR("mx.uni.example"), .guid = {{1, 2}}, .now_ms = now_ms};
	buf_init(&out, VACATION_MESSAGE_BYTES_MAX);
	bool ok = vacation_write(arena, &letter, &out, utf8_out);
	struct str message = ok ? arena_dup(arena, buf_str(&out)) : STR("");
	buf_fini(&out);
	return message;
}

static void assert_text(struct str got, const char *want)
{
	if (!str_eq(got, str_of_c(want)))
		fail_msg("%.*s", STR_FMT(got));
}

static void test_bytes(void **state)
{
	bool utf8;
	(void)state;
	assert_text(write_for("ann", "pat@else.example",
			    (struct vacation_answer){.subject = STR("Away"), .text = STR("I am away.\nAnn"), .in_reply_to = STR("<2@x>"),
				    .references = STR("<1@x> <2@x>")},
			    &utf8),
		"From: Ann O'Neill <ann@uni.example>\r\nTo: <pat@else.example>\r\nSubject: Away\r\nDate: Sat, 21 Nov 2026 18:44:15 +0000\r\n"
		"Message-ID: <01020000000000000000000000000000@mx.uni.example>\r\nIn-Reply-To: <2@x>\r\nReferences: <1@x> <2@x>\r\n"
		"Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nI am away.\r\nAnn\r\n");
	assert_false(utf8);
	assert_text(write_for("joe", "pat@else.example",
			    (struct vacation_answer){.subject = STR("K\xc3\xb6ln"), .text = STR("Ich bin in K\xc3\xb6ln.\n\nJoe \n")}, &utf8),
		"From: =?utf-8?q?J=C3=B6rg_K=C3=B6nig?= <joe@uni.example>\r\nTo: <pat@else.example>\r\nSubject: =?utf-8?q?K=C3=B6ln?=\r\n"
		"Date: Sat, 21 Nov 2026 18:44:15 +0000\r\nMessage-ID: <01020000000000000000000000000000@mx.uni.example>\r\n"
		"Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		"Ich bin in K=C3=B6ln.\r\n\r\nJoe=20\r\n");
	assert_false(utf8);
}

static void test_author(void **state)
{
	bool utf8;
	(void)state;
	struct str message = write_for("bare", "p\xc3\xa4t@else.example", (struct vacation_answer){.subject = STR("x"), .text = STR("y")}, &utf8);
	assert_true(str_starts(message, STR("From: <bare@uni.example>\r\nTo: <p\xc3\xa4t@else.example>\r\n")));
	assert_true(utf8);
}

// Fields in order, by their first letters.
static void check_shape(struct str message)
{
	static const char *const names[] = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version",
		"Content-Type", "Content-Transfer-Encoding"};
	struct header_walk walk;
	struct header_field field;
	size_t n = 0;
	header_walk_init(&walk, message);
	for (; header_walk_next(&walk, &field); n++) {
		assert_true(n < sizeof names / sizeof *names);
		assert_true(str_eq(field.name, str_of_c(names[n])));
	}
	assert_int_equal(n, sizeof names / sizeof *names);
	for (struct str rest = message, line; str_next_line(&rest, &line);)
		assert_true(line.n <= 998 && str_index(line, '\r') < 0 && str_index(line, '\0') < 0);
	for (size_t i = 0; i < message.n; i++)
		assert_true((unsigned char)message.p[i] < 0x80 && (message.p[i] != '\n' || message.p[i - 1] == '\r'));
}

// THREATS evil-attr, for subject and text.
static void test_hostile(void **state)
{
	static const struct str texts[] = {STR("x\r\nBcc: all@uni.example\r\n\r\nbody"), STR("\r\n.\r\nMAIL FROM:<x@y>\r\n"), STR("\0\x01\x7f\x1b[2J"),
		STR("\xff\xfe\xc3"), STR("From here\n.\n..\n"), STR("=?utf-8?q?=0D=0ABcc:x?="), STR("\n"), STR("\xe2\x80\xa8 \xe2\x80\xae evil")};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		bool utf8;
		struct str message = write_for("ann", "pat@else.example", (struct vacation_answer){.subject = texts[i], .text = texts[i]}, &utf8);
		assert_true(message.n > 0);
		check_shape(message);
		arena_reset(arena);
	}
}

static void test_bounded(void **state)
{
	bool utf8;
	char *long_text = arena_must(arena, 1 << 20);
	(void)state;
	for (size_t i = 0; i < 1 << 20; i++)
		long_text[i] = "\xc3\xa4"[i % 2];
	struct str text = str_of(long_text, 1 << 20);
	struct str message = write_for("ann", "pat@else.example", (struct vacation_answer){.subject = text, .text = text}, &utf8), back;
	struct buf out;
	assert_true(message.n > VACATION_TEXT_BYTES_MAX && message.n <= VACATION_MESSAGE_BYTES_MAX);
	check_shape(message);
	buf_init(&out, 1 << 20);
	assert_true(transfer_decode(MIME_QUOTED_PRINTABLE, str_from(message, header_body_start(message)), &out));
	back = str_trim(buf_str(&out));
	assert_true(back.n <= VACATION_TEXT_BYTES_MAX && back.n > VACATION_TEXT_BYTES_MAX - 4 && str_is_utf8(back));
	buf_fini(&out);
}

// What the decision has left may be too little for the message.
static void test_full_arena(void **state)
{
	bool written = false, utf8;
	(void)state;
	for (size_t bytes_max = 64; !written && bytes_max < 64 << 10; bytes_max += 64) {
		struct arena *small = arena_new(bytes_max);
		const struct vacation_answer answer = {.to = address("pat@else.example"), .subject = STR("x"), .text = STR("y")};
		const struct vacation_letter letter = {.user = find_user("ann"), .recipient = answer.to, .answer = &answer,
			.hostname = STR("mx.uni.example"), .guid = {{1, 2}}, .now_ms = now_ms};
		struct buf out;
		buf_init(&out, VACATION_MESSAGE_BYTES_MAX);
		written = vacation_write(small, &letter, &out, &utf8);
		assert_int_equal(written, !arena_overflowed(small));
		buf_fini(&out);
		arena_free(&small);
		arena_reset(arena);
	}
	assert_true(written);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_author),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_full_arena),
	};
	return cmocka_run_group_tests(tests, setup, people_teardown);
}
