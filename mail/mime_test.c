// SPDX-License-Identifier: Apache-2.0
// MIME: the bytes of each section of difficult messages, fields and parameters, bounds, and work that grows with the message only.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mail/charset.h"
#include "mail/mime.h"

struct section_case {
	const char *section;
	const char *want; // NULL: there is no such part
};

static struct arena *arena;

static struct str section_of(const struct mime *mime, const char *text)
{
	struct mime_section section;
	struct mime_slice slice;
	assert_true(mime_section_parse(str_of_c(text), &section));
	if (!mime_section_find(mime->nodes, mime->n, &section, &slice))
		return STR_NONE;
	assert_true(slice.at <= mime->message.n && slice.n <= mime->message.n - slice.at);
	return str_upto(str_from(mime->message, slice.at), slice.n);
}

static void sections(const char *message, const struct section_case *cases, size_t n)
{
	struct mime mime;
	arena_reset(arena);
	mime_parse(str_of_c(message), arena, &mime);
	for (size_t i = 0; i < n; i++) {
		struct str got = section_of(&mime, cases[i].section);
		if ((got.p == NULL) != (cases[i].want == NULL) || !str_eq(got, str_of_c(cases[i].want)))
			fail_msg("[%s] is \"%.*s\", expected \"%s\"", cases[i].section, STR_FMT(got), cases[i].want ? cases[i].want : "(none)");
	}
}

#define SECTIONS(message, ...) sections(message, (const struct section_case[]){__VA_ARGS__}, sizeof((const struct section_case[]){__VA_ARGS__}) / sizeof(struct section_case))

static void a_plain_message_has_one_part(void **state)
{
	(void)state;
	SECTIONS("From: a@b\r\nSubject: x\r\n\r\nHello\r\n",
	         {"", "From: a@b\r\nSubject: x\r\n\r\nHello\r\n"}, {"HEADER", "From: a@b\r\nSubject: x\r\n\r\n"}, {"TEXT", "Hello\r\n"},
	         {"1", "Hello\r\n"}, {"1.MIME", "From: a@b\r\nSubject: x\r\n\r\n"}, {"2", NULL}, {"1.1", NULL}, {"1.HEADER", NULL},
	         {"1.TEXT", NULL});
	SECTIONS("", {"", ""}, {"HEADER", ""}, {"TEXT", ""}, {"1", ""});
	SECTIONS("\r\n", {"HEADER", "\r\n"}, {"TEXT", ""});
	SECTIONS("A: b", {"HEADER", "A: b"}, {"TEXT", ""});
	SECTIONS("A: b\n\nbody\nbare", {"HEADER", "A: b\n\n"}, {"TEXT", "body\nbare"});
}

#define MIXED \
	"Content-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\npreamble\r\n--b 1\r\n\r\none\r\n--b 1\r\nContent-Type: text/html\r\n\r\n<p>\r\n\r\n--b 1--\r\nepilogue\r\n--b 1\r\nno part\r\n"

static void parts_end_before_the_line_end_of_the_boundary(void **state)
{
	(void)state;
	SECTIONS(MIXED, {"1", "one"}, {"1.MIME", "\r\n"}, {"2", "<p>\r\n"}, {"2.MIME", "Content-Type: text/html\r\n\r\n"}, {"3", NULL},
	         {"1.1", NULL}, {"2.TEXT", NULL});
	SECTIONS("Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x  \n\ntwo\n--x--", {"1", "one"}, {"2", "two"}, {"3", NULL});
	SECTIONS("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\nA: b\r\n--x\r\n\r\n--x\r\n\r\n\r\n--x--", {"1", ""}, {"1.MIME", ""},
	         {"2", ""}, {"2.MIME", "A: b\r\n"}, {"3", ""}, {"3.MIME", "\r\n"}, {"4", ""}, {"5", NULL});
	SECTIONS("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nnever ended\r\n", {"1", "never ended\r\n"});
}

static void a_multipart_without_parts_has_an_empty_one(void **state)
{
	(void)state;
	SECTIONS("Content-Type: multipart/mixed; boundary=x\r\n\r\nonly a preamble\r\n", {"1", ""}, {"1.MIME", ""}, {"2", NULL},
	         {"TEXT", "only a preamble\r\n"});
	SECTIONS("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x--\r\n", {"1", ""}, {"2", NULL});
	// Without a usable boundary it is text (RFC 2045 section 5.2).
	SECTIONS("Content-Type: multipart/mixed\r\n\r\ntext\r\n", {"1", "text\r\n"});
	SECTIONS("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\ntext\r\n", {"1", "--\r\n\r\ntext\r\n"});
}

static void boundaries_that_look_alike_are_told_apart(void **state)
{
	(void)state;
	const char *message = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/alternative; boundary=xy\r\n\r\n"
			      "--xy\r\n\r\nfirst\r\n--xy\r\n\r\nsecond\r\n--xy--\r\nepilogue\r\n--x\r\n\r\nthird\r\n--x--\r\n";
	SECTIONS(message, {"1.1", "first"}, {"1.2", "second"}, {"1.3", NULL}, {"2", "third"}, {"3", NULL});
	// The outer boundary ends inner ones that never were.
	SECTIONS("Content-Type: multipart/mixed; boundary=xy\r\n\r\n--xy\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--xy\r\n\r\nb\r\n--xy--\r\n",
	         {"1.1", "a"}, {"1", "--x\r\n\r\na"}, {"2", "b"});
	// The same boundary twice: the innermost counts.
	SECTIONS("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--\r\n--x\r\n\r\nb\r\n",
	         {"1.1", "a"}, {"2", "b\r\n"});
	SECTIONS("Content-Type: multipart/mixed; boundary=\"x--\"\r\n\r\n--x--\r\n\r\na\r\n--x----\r\n", {"1", "a"}, {"2", NULL});
}

#define RFC822 \
	"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninside\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\ndeep\r\n--i--\r\nend\r\n--o--\r\n"

static void messages_inside_are_numbered_through(void **state)
{
	(void)state;
	SECTIONS(RFC822, {"1", "Subject: in\r\n\r\ninside"}, {"1.HEADER", "Subject: in\r\n\r\n"}, {"1.TEXT", "inside"}, {"1.1", "inside"},
	         {"1.1.MIME", "Subject: in\r\n\r\n"}, {"1.2", NULL}, {"1.1.1", NULL}, {"1.MIME", "Content-Type: message/rfc822\r\n\r\n"},
	         {"2.HEADER", "Content-Type: multipart/mixed; boundary=i\r\n\r\n"}, {"2.1", "deep"}, {"2.TEXT", "--i\r\n\r\ndeep\r\n--i--\r\nend"},
	         {"2.1.1", NULL}, {"2.2", NULL});
	// A message that is a message.
	SECTIONS("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nbody", {"1", "A: b\r\n\r\nbody"}, {"1.HEADER", "A: b\r\n\r\n"}, {"1.1", "body"},
	         {"HEADER", "Content-Type: message/rfc822\r\n\r\n"}, {"2", NULL});
	SECTIONS("Content-Type: message/rfc822\r\n", {"1", ""}, {"1.HEADER", ""}, {"1.1", ""});
	SECTIONS("Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: d\r\n\r\nbody\r\n--x\r\nContent-Type: text/plain\r\n\r\nt\r\n--x--\r\n",
	         {"1.HEADER", "Subject: d\r\n\r\n"}, {"1.TEXT", "body"}, {"2", "t"}, {"2.HEADER", NULL});
}

static void sections_are_read_as_imap_writes_them(void **state)
{
	(void)state;
	struct mime_section section;
	const char *const bad[] = {"MIME", "0", "01", "1.", "1..2", ".1", "1.0", "1.X", "X", "1.HEADER.FIELD", "4294967296", "-1", "1 ", "1.MIME.1",
		"1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (mime_section_parse(str_of_c(bad[i]), &section))
			fail_msg("%s was taken", bad[i]);
	assert_true(mime_section_parse(STR("12.3.header.Fields.not"), &section));
	assert_int_equal(section.kind, MIME_SECTION_FIELDS_NOT);
	assert_int_equal(section.path_n, 2);
	assert_int_equal(section.path[0], 12);
	assert_true(mime_section_parse(STR("4294967295"), &section));
}

static void header_fields_keep_order_folding_and_blank_line(void **state)
{
	(void)state;
	const struct str names[] = {STR("SUBJECT"), STR("Date"), STR("x")};
	static const struct {
		const char *header;
		size_t names_n;
		bool with_not;
		const char *picked;
	} cases[] = {
		{"Subject: one\r\n two\r\nFrom: a@b\r\nX: y\r\nsubject: again\r\n\r\n", 3, false, "Subject: one\r\n two\r\nX: y\r\nsubject: again\r\n\r\n"},
		{"Subject: one\r\n two\r\nFrom: a@b\r\nX: y\r\nsubject: again\r\nno field\r\n\r\n", 3, true, "From: a@b\r\nno field\r\n\r\n"},
		{"Subject: one\r\n two\r\nFrom: a@b\r\n\r\n", 0, false, "\r\n"},
		{"X: y", 3, false, "X: y"},
		{"", 3, false, ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (size_t step = 1; step < 100; step += 7) { // in whatever steps
			struct mime_filter filter;
			struct buf b;
			buf_init(&b, 1000);
			mime_filter_init(&filter, str_of_c(cases[i].header), names, cases[i].names_n, cases[i].with_not);
			while (mime_filter_more(&filter, step, &b))
				;
			mime_filter_fini(&filter);
			assert_true(str_eq(buf_str(&b), str_of_c(cases[i].picked)));
			buf_fini(&b);
		}
	}
}

static void lines_are_counted_per_part(void **state)
{
	(void)state;
	struct mime mime;
	arena_reset(arena);
	mime_parse(STR(MIXED), arena, &mime);
	assert_int_equal(mime.n, 3);
	assert_int_equal(mime.nodes[1].body_lines, 0); // "one": its line end is the boundary's
	assert_int_equal(mime.nodes[2].body_lines, 1);
	assert_int_equal(mime.nodes[0].body_lines, 13);
	mime_parse(STR(RFC822), arena, &mime);
	assert_int_equal(mime.nodes[1].body_lines, 2); // message/rfc822: its header counts
}

// ---- fields ----

static const struct mime_details *details_of(const char *header)
{
	struct mime *mime = ARENA_NEW(arena, struct mime);
	mime_parse(arena_printf(arena, "%s\r\n\r\nbody\r\n", header), arena, mime);
	return &mime->details[0];
}

static void types_are_read_liberally(void **state)
{
	(void)state;
	const struct {
		const char *header, *type, *subtype;
	} cases[] = {
		{"Subject: none", "text", "plain"},
		{"Content-Type: image/Png", "image", "Png"},
		{"content-type : (why) Text (not) / (here) HTML (or there)", "Text", "HTML"},
		{"Content-Type: text", "text", "plain"},
		{"Content-Type: text/", "text", "plain"},
		{"Content-Type: /html", "text", "plain"},
		{"Content-Type:", "text", "plain"},
		{"Content-Type:\r\n application/pdf;", "application", "pdf"},
		{"Content-Type: image/png\r\nContent-Type: text/html", "image", "png"}, // the first counts
		{"Content-Type: text/html (unclosed", "text", "html"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		arena_reset(arena);
		const struct mime_details *details = details_of(cases[i].header);
		if (!str_eq(details->type, str_of_c(cases[i].type)) || !str_eq(details->subtype, str_of_c(cases[i].subtype)))
			fail_msg("%s: %.*s/%.*s", cases[i].header, STR_FMT(details->type), STR_FMT(details->subtype));
	}
}

static void parameters_are_found_in_all_their_forms(void **state)
{
	(void)state;
	const struct {
		const char *params, *want;
	} cases[] = {
		{"name=plain.txt", "plain.txt"},
		{"NAME = \"quo\\\"ted; x\"", "quo\"ted; x"},
		{"name=my file.txt; x=y", "my file.txt"},
		{"x=y; ; name=a (comment)", "a"},
		{"x=y z=a; name=b", "b"},
		{"=x; \"y\" z; name=b", "b"},
		{"name=\"not closed", "not closed"},
		{"name=\"fol\r\n ded\"", "fol ded"},
		{"name==?iso-8859-1?q?=FC?=", "\xc3\xbc"},
		{"name=\"=?utf-8?q?=C3=BC?=\"", "\xc3\xbc"},
		{"name*=utf-8'de'%C3%BC%zz", "\xc3\xbc%zz"},
		{"name*=iso-8859-1''%fc", "\xc3\xbc"},
		{"name*=x-unknown''a%41", "aA"},
		{"name*0=one; name*1=\" two\"; name*2=three", "one twothree"},
		{"name*1=two; name*0*=utf-8''%C3; name*1*=%BC; name*3=lost", "\xc3\xbc"},
		{"name=plain; name*=utf-8''extended", "extended"},
		{"name=", ""},
		{"name", NULL},
		{"nam=x", NULL},
		{"name*1=x", NULL},
		{"names=x; name *=y", NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		arena_reset(arena);
		struct str header = arena_printf(arena, "Content-Type: text/plain; %s", cases[i].params), value;
		const struct mime_details *details = details_of(header.p);
		bool found = mime_param(&details->params, STR("Name"), arena, &value);
		if (found != (cases[i].want != NULL) || (found && !str_eq(value, str_of_c(cases[i].want))))
			fail_msg("%s: \"%.*s\"", cases[i].params, found ? (int)value.n : 6, found ? value.p : "(none)");
	}
}

static void a_boundary_is_never_decoded(void **state)
{
	(void)state;
	SECTIONS("Content-Type: multipart/mixed; boundary=\"=?utf-8?q?x?=\"\r\n\r\n--=?utf-8?q?x?=\r\n\r\na\r\n", {"1", "a\r\n"});
	SECTIONS("Content-Type: multipart/mixed; boundary*0=ab; boundary*1=cd\r\n\r\n--abcd\r\n\r\na\r\n", {"1", "a\r\n"});
}

static void other_fields_are_there_or_not(void **state)
{
	(void)state;
	arena_reset(arena);
	const struct mime_details *d = details_of("Content-ID: <a@b>\r\nContent-Description:\r\nContent-Disposition: Attachment; filename=x\r\n"
						  "Content-Language: de, en-GB\r\nContent-Transfer-Encoding: Base64 (x)\r\nContent-MD5: abc");
	assert_true(str_eq(d->id, STR("<a@b>")));
	assert_true(d->description.p != NULL && d->description.n == 0);
	assert_true(d->location.p == NULL);
	assert_true(str_eq(d->disposition, STR("Attachment")) && d->disposition_params.n == 1);
	assert_int_equal(d->languages_n, 2);
	assert_true(str_eq(d->languages[1], STR("en-GB")));
	assert_true(str_eq(d->encoding, STR("Base64")));
}

// ---- bounds ----

static struct str repeated(struct buf *b, const char *before, const char *each, size_t times)
{
	buf_add_c(b, before);
	for (size_t i = 0; i < times; i++)
		buf_add_c(b, each);
	assert_false(b->overflow);
	return buf_str(b);
}

// mime-bomb: 100,000 parts; the last part allowed takes the rest, and the work is that of a pass.
static void a_hundred_thousand_parts_are_bounded(void **state)
{
	(void)state;
	struct buf b;
	struct mime mime;
	buf_init(&b, 16 << 20);
	arena_reset(arena);
	struct str message = repeated(&b, "Content-Type: multipart/mixed; boundary=x\r\n\r\n", "--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\ntext\r\n", 100000);
	mime_parse(message, arena, &mime);
	assert_int_equal(mime.n, MIME_PARTS_MAX);
	assert_true(mime.bounded);
	assert_false(arena_overflowed(arena));
	assert_true(mime.work <= 3 * message.n);
	const struct mime_node *last = &mime.nodes[mime.n - 1];
	assert_int_equal(last->body_at + last->body_bytes, message.n);
	assert_true(str_eq(mime.details[mime.n - 1].type, STR("application")));
	buf_fini(&b);
}

// Multiparts within multiparts, each with its boundary, and then lines that are almost all of them.
static void nested_similar_boundaries_are_bounded(void **state)
{
	(void)state;
	struct buf b;
	struct mime mime;
	buf_init(&b, 16 << 20);
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&b, "Content-Type: multipart/mixed; boundary=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%04u\"\r\n\r\n"
		           "--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%04u\r\n", i, i);
	for (unsigned i = 0; i < 20000; i++)
		buf_add_c(&b, "--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaax\r\n");
	assert_false(b.overflow);
	arena_reset(arena);
	mime_parse(buf_str(&b), arena, &mime);
	assert_int_equal(mime.n, MIME_DEPTH_MAX + 1);
	assert_true(mime.bounded);
	assert_true(mime.work <= (MIME_DEPTH_MAX + 3) * b.n);
	buf_fini(&b);
}

static void a_chain_of_messages_is_bounded(void **state)
{
	(void)state;
	struct buf b;
	struct mime mime;
	buf_init(&b, 16 << 20);
	arena_reset(arena);
	struct str message = repeated(&b, "", "Content-Type: message/rfc822\r\n\r\n", 100000);
	mime_parse(message, arena, &mime);
	assert_int_equal(mime.n, MIME_DEPTH_MAX + 1);
	assert_int_equal(mime.nodes[mime.n - 1].depth, MIME_DEPTH_MAX);
	assert_int_equal(mime.nodes[mime.n - 1].kind, MIME_LEAF);
	assert_true(mime.bounded);
	buf_fini(&b);
}

static void a_header_without_end_is_read_up_to_its_bound(void **state)
{
	(void)state;
	struct buf b;
	struct mime mime;
	buf_init(&b, 16 << 20);
	arena_reset(arena);
	struct str message = repeated(&b, "Content-Type: text/html; a=b", ";\r\n x=y", 100000);
	mime_parse(message, arena, &mime);
	assert_true(mime.bounded && str_eq(mime.details[0].subtype, STR("plain")));
	assert_int_equal(mime.nodes[0].header_bytes, message.n);
	buf_clear(&b);
	message = repeated(&b, "Content-Type: text/html", "; a=b", 1000);
	mime_parse(message, arena, &mime);
	assert_int_equal(mime.details[0].params.n, MIME_PARAMS_MAX);
	buf_fini(&b);
}

static void a_small_arena_lowers_the_bounds(void **state)
{
	(void)state;
	struct buf b;
	struct mime mime;
	struct arena *small = arena_new(64 << 10);
	buf_init(&b, 16 << 20);
	struct str message = repeated(&b, "Content-Type: multipart/mixed; boundary=x\r\n\r\n", "--x\r\n\r\ntext\r\n", 10000);
	mime_parse(message, small, &mime);
	assert_true(mime.n > 10 && mime.n < 1000 && mime.bounded);
	assert_int_equal(mime.nodes[mime.n - 1].body_at + mime.nodes[mime.n - 1].body_bytes, message.n);
	arena_free(&small);
	buf_fini(&b);
}

static int set_up(void **state)
{
	(void)state;
	charset_preload();
	arena = arena_new(MIME_ARENA_BYTES);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_message_has_one_part),
		cmocka_unit_test(parts_end_before_the_line_end_of_the_boundary),
		cmocka_unit_test(a_multipart_without_parts_has_an_empty_one),
		cmocka_unit_test(boundaries_that_look_alike_are_told_apart),
		cmocka_unit_test(messages_inside_are_numbered_through),
		cmocka_unit_test(sections_are_read_as_imap_writes_them),
		cmocka_unit_test(header_fields_keep_order_folding_and_blank_line),
		cmocka_unit_test(lines_are_counted_per_part),
		cmocka_unit_test(types_are_read_liberally),
		cmocka_unit_test(parameters_are_found_in_all_their_forms),
		cmocka_unit_test(a_boundary_is_never_decoded),
		cmocka_unit_test(other_fields_are_there_or_not),
		cmocka_unit_test(a_hundred_thousand_parts_are_bounded),
		cmocka_unit_test(nested_similar_boundaries_are_bounded),
		cmocka_unit_test(a_chain_of_messages_is_bounded),
		cmocka_unit_test(a_header_without_end_is_read_up_to_its_bound),
		cmocka_unit_test(a_small_arena_lowers_the_bounds),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
