// SPDX-License-Identifier: Apache-2.0
// ENVELOPE, BODY and BODYSTRUCTURE against the examples of RFC 3501 and RFC 9051, and against what real mail does to them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mail/envelope.h"

static void expect(struct buf *b, const char *want)
{
	if (!str_eq(buf_str(b), str_of_c(want)))
		fail_msg("got      %.*s\nexpected %s", STR_FMT(buf_str(b)), want);
	buf_clear(b);
}

static void envelope_is(const char *header, const char *want)
{
	struct buf b;
	buf_init(&b, ENVELOPE_BYTES_MAX);
	assert_true(envelope_add(str_of_c(header), &b));
	expect(&b, want);
	buf_fini(&b);
}

static void structure_is(struct str message, bool with_extensions, const char *want)
{
	struct arena *arena = arena_new(MIME_ARENA_BYTES);
	struct mime mime;
	struct buf b;
	buf_init(&b, ENVELOPE_STRUCTURE_BYTES_MAX);
	mime_parse(message, arena, &mime);
	assert_true(bodystructure_add(&mime, with_extensions, &b));
	expect(&b, want);
	buf_fini(&b);
	arena_free(&arena);
}

// RFC 3501 section 8.
static void the_envelope_of_rfc_3501(void **state)
{
	(void)state;
	envelope_is("Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n"
	            "Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n"
	            "Cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
	            "Message-Id: <B27397-0100000@cac.washington.edu>\r\nMIME-Version: 1.0\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n",
	            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
	            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) "
	            "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
	            "\"<B27397-0100000@cac.washington.edu>\")");
}

static void envelopes_of_odd_headers(void **state)
{
	(void)state;
	envelope_is("", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
	// Absent is NIL, empty is "" (PROTOCOLS 58).
	envelope_is("Subject:\r\nDate: \r\nTo:\r\n\r\n", "(\"\" \"\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	// Sender and Reply-To of their own; an empty one is From.
	envelope_is("From: a@b\r\nSender: c@d\r\nReply-To:\r\n",
	            "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)");
	// Groups: a NIL host starts one and NILs end it.
	envelope_is("To: A Group:Ed Jones <joe@where.test>,john@one.test;\r\nCc: Undisclosed recipients:;\r\n",
	            "(NIL NIL NIL NIL NIL ((NIL NIL \"A Group\" NIL)(\"Ed Jones\" NIL \"joe\" \"where.test\")(NIL NIL \"john\" \"one.test\")(NIL NIL NIL NIL)) "
	            "((NIL NIL \"Undisclosed recipients\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)");
	// Folding goes, quotes are escaped, 8-bit text is a literal, a NUL is none.
	envelope_is("Subject: one\r\n two \"three\\\"\r\n", "(NIL \"one two \\\"three\\\\\\\"\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is("Subject: f\xc3\xbcnf\r\n", "(NIL {5}\r\nf\xc3\xbcnf NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is("Subject: =?utf-8?q?f=C3=BCnf?=\r\n", "(NIL \"=?utf-8?q?f=C3=BCnf?=\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is("From: \"Gray, Terry \\\"T\\\"\" <gray@x>\r\n",
	            "(NIL NIL ((\"Gray, Terry \\\"T\\\"\" NIL \"gray\" \"x\")) ((\"Gray, Terry \\\"T\\\"\" NIL \"gray\" \"x\")) "
	            "((\"Gray, Terry \\\"T\\\"\" NIL \"gray\" \"x\")) NIL NIL NIL NIL NIL)");
	// An address without a domain is not a group: its host is "".
	envelope_is("To: root\r\n", "(NIL NIL NIL NIL NIL ((NIL NIL \"root\" \"\")) NIL NIL NIL NIL)");
	envelope_is("To: <@relay.test:u@x.test>\r\n", "(NIL NIL NIL NIL NIL ((NIL \"@relay.test\" \"u\" \"x.test\")) NIL NIL NIL NIL)");
	// Words without an address are a name; what follows a domain is no part of it.
	envelope_is("To: Ann Example\r\n", "(NIL NIL NIL NIL NIL ((\"Ann Example\" NIL \"\" \"\")) NIL NIL NIL NIL)");
	envelope_is("To: a@b c@d, e@f>\r\n", "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"e\" \"f\")) NIL NIL NIL NIL)");
	// White space that people see is one space.
	envelope_is("Subject: a\r\n\tb  c\r\nTo: \" A\r\n\t B \" <a@b>\r\n", "(NIL \"a b c\" NIL NIL NIL ((\"A B\" NIL \"a\" \"b\")) NIL NIL NIL NIL)");
	// The first Subject and From count; To is joined.
	envelope_is("Subject: a\r\nSubject: b\r\nFrom: a@b\r\nFrom: c@d\r\nTo: e@f\r\nTo: g@h\r\n",
	            "(NIL \"a\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"e\" \"f\")(NIL NIL \"g\" \"h\")) NIL NIL NIL NIL)");
}

// A part with that many bytes in that many lines.
static void add_lines(struct buf *b, size_t bytes, size_t lines)
{
	size_t each = bytes / lines, rest = bytes - each * lines;
	for (size_t i = 0; i < lines; i++) {
		for (size_t j = 2; j < each + (i == 0 ? rest : 0); j++)
			buf_add_byte(b, 'x');
		buf_add(b, STR("\r\n"));
	}
}

// RFC 3501 section 7.4.2: the two-part message in the description of BODYSTRUCTURE.
static void the_body_of_rfc_3501(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 64 << 10);
	buf_add(&b, STR("Content-Type: MULTIPART/MIXED; BOUNDARY=x\r\n\r\n--x\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n"));
	add_lines(&b, 1152, 23);
	buf_add(&b, STR("\r\n--x\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME=cc.diff\r\nContent-Transfer-Encoding: BASE64\r\n"
	                "Content-ID: <960723163407.20117h@cac.washington.edu>\r\nContent-Description: Compiler diff\r\n\r\n"));
	add_lines(&b, 4554, 73);
	buf_add(&b, STR("\r\n--x--\r\n"));
	structure_is(buf_str(&b), false,
	             "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7bit\" 1152 23)"
	             "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" "
	             "\"Compiler diff\" \"BASE64\" 4554 73) \"MIXED\")");
	structure_is(buf_str(&b), true,
	             "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7bit\" 1152 23 NIL NIL NIL NIL)"
	             "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" "
	             "\"Compiler diff\" \"BASE64\" 4554 73 NIL NIL NIL NIL) \"MIXED\" (\"BOUNDARY\" \"x\") NIL NIL NIL)");
	buf_fini(&b);
}

static void structures_of_odd_messages(void **state)
{
	(void)state;
	const struct {
		struct str message;
		bool with_extensions;
		const char *want;
	} cases[] = {
		{STR("\r\nHi\r\n"), false, "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 1)"},
		{STR(""), true, "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)"},
		{STR("Content-Type: text/html; x=y\r\n\r\n"), false, "(\"text\" \"html\" (\"x\" \"y\" \"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)"},
		{STR("Content-Type: multipart/mixed; boundary=x\r\n\r\nno part"), false,
	         "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0) \"mixed\")"},
		{STR("Content-Type: image/png; name*=utf-8''%C3%BC.png\r\nContent-Transfer-Encoding: base64\r\nContent-MD5: abc==\r\n"
	             "Content-Disposition: attachment; filename=\"a \\\"b\\\".png\"; size=3\r\nContent-Language: de\r\nContent-Location: http://x/\r\n\r\nAAAA\r\n"),
	         true,
	         "(\"image\" \"png\" (\"name*\" \"utf-8''%C3%BC.png\") NIL NIL \"base64\" 6 \"abc==\" "
	         "(\"attachment\" (\"filename\" \"a \\\"b\\\".png\" \"size\" \"3\")) (\"de\") \"http://x/\")"},
		{STR("Content-Type: image/png\r\nContent-Disposition: inline\r\n\r\n"), true,
	         "(\"image\" \"png\" NIL NIL NIL \"7bit\" 0 NIL (\"inline\" NIL) NIL NIL)"},
		{STR("Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: d\r\nFrom: a@b\r\n\r\nbody\r\n--x--\r\n"), false,
	         "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 29 (NIL \"d\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL) "
	         "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 0) 3) \"digest\")"},
		{STR("Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\na\r\n--y--\r\n"), false,
	         "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 62 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) "
	         "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0) \"mixed\") 6)"},
		{STR("Content-Type: message/partial; id=x; number=1\r\n\r\n"), false, "(\"message\" \"partial\" (\"id\" \"x\" \"number\" \"1\") NIL NIL \"7bit\" 0)"},
		{STR("Content-Type: Text/X-Y; Name*1=b%; Name*0*=utf-8''a%20; x*0=1; x*2=3; CHARSET*0=utf; charset*1=-8\r\n\r\n"), false,
	         "(\"Text\" \"X-Y\" (\"Name*\" \"utf-8''a%20b%25\" \"x*0\" \"1\" \"x*2\" \"3\" \"CHARSET\" \"utf-8\") NIL NIL \"7bit\" 0 0)"},
		{STR("Content-Type: multipart/mixed\r\n\r\ntext\r\n"), false, "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 1)"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		structure_is(cases[i].message, cases[i].with_extensions, cases[i].want);
}

// addr-list: 100,000 addresses; what does not fit the bounds is left out, and the parentheses still match.
static void a_hundred_thousand_addresses_are_bounded(void **state)
{
	(void)state;
	struct buf header, b;
	buf_init(&header, 8 << 20);
	buf_init(&b, ENVELOPE_BYTES_MAX);
	buf_add(&header, STR("From: "));
	for (unsigned i = 0; i < 100000; i++)
		buf_printf(&header, "user%u@uni.example,\r\n ", i);
	assert_true(envelope_add(buf_str(&header), &b));
	assert_true(str_ends(buf_str(&b), STR(" NIL NIL NIL NIL NIL)")));
	buf_clear(&header);
	buf_clear(&b);
	for (unsigned i = 0; i < 100000; i++)
		buf_add(&header, STR("To: a@b\r\n"));
	assert_true(envelope_add(buf_str(&header), &b));
	buf_fini(&header);
	buf_fini(&b);
}

// Each message inside brings an envelope.
static void envelopes_inside_have_a_bound_in_all(void **state)
{
	(void)state;
	struct buf message, b;
	struct arena *arena = arena_new(MIME_ARENA_BYTES);
	struct mime mime;
	buf_init(&message, 32 << 20);
	buf_init(&b, ENVELOPE_STRUCTURE_BYTES_MAX);
	buf_add(&message, STR("Content-Type: multipart/digest; boundary=x\r\n\r\n"));
	for (unsigned i = 0; i < 4000; i++) {
		buf_add(&message, STR("--x\r\n\r\nFrom: "));
		for (unsigned j = 0; j < 200; j++)
			buf_add(&message, STR("a@b,"));
		buf_add(&message, STR("\r\n\r\n"));
	}
	mime_parse(buf_str(&message), arena, &mime);
	assert_int_equal(mime.n, 8001);
	assert_true(bodystructure_add(&mime, true, &b));
	assert_true(str_find(buf_str(&b), STR("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)")) > 0);
	buf_fini(&message);
	buf_fini(&b);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_envelope_of_rfc_3501),
		cmocka_unit_test(envelopes_of_odd_headers),
		cmocka_unit_test(the_body_of_rfc_3501),
		cmocka_unit_test(structures_of_odd_messages),
		cmocka_unit_test(a_hundred_thousand_addresses_are_bounded),
		cmocka_unit_test(envelopes_inside_have_a_bound_in_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
