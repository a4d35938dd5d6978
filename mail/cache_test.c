// SPDX-License-Identifier: Apache-2.0
// The cache beside a message: what was built is read back, part table and all; what is damaged is refused; subjects of RFC 5256.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mail/cache.h"
#include "mail/charset.h"
#include "subject.h"

static const char message_text[] =
	"Date: Sat, 21 Nov 2026 19:44:15 +0100\r\nFrom: \"A. Nna\" <Anna@uni.example>\r\nTo: Group: bob@x.test, c@d;\r\nCc: e@f\r\n"
	"Subject: Re: [list] =?utf-8?q?f=C3=BCnf?=  \t days (fwd)\r\nMessage-ID: <id-3@uni.example>\r\n"
	"References: <id-1@uni.example>\r\n <id-2@uni.example>\r\nIn-Reply-To: <other@x>\r\n"
	"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninside\r\n"
	"--o\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
	"--i\r\n\r\ndeep\r\n--i--\r\nend\r\n--o--\r\n";

static void what_was_built_is_read_back(void **state)
{
	(void)state;
	const struct str message = str_of_c(message_text);
	struct buf b;
	struct cache cache;
	buf_init(&b, CACHE_BYTES_MAX);
	assert_true(cache_build(message, &b));
	assert_int_equal(cache_open(buf_str(&b), &cache, NULL), ERR_OK);
	assert_true(str_starts(cache.envelope, STR("(\"Sat, 21 Nov 2026 19:44:15 +0100\" ")));
	assert_true(str_ends(cache.envelope, STR("\"<id-3@uni.example>\")")));
	assert_true(str_ends(cache.body, STR("\"mixed\")")));
	assert_true(str_ends(cache.bodystructure, STR("\"mixed\" (\"boundary\" \"o\") NIL NIL NIL)")));
	assert_true(str_eq(cache.message_id, STR("id-3@uni.example")));
	assert_true(str_eq(cache.base_subject, STR("f\xc3\xbcnf days")));
	assert_true(cache.subject_is_reply && cache.sent_known && !cache.bounded);
	assert_int_equal(cache.sent, 1795286655);
	assert_true(str_eq(cache.from, STR("Anna")) && str_eq(cache.to, STR("bob")) && str_eq(cache.cc, STR("e")));
	struct str rest = cache.references_raw, id;
	assert_int_equal(cache.references_n, 2);
	assert_true(cache_reference(&rest, &id) && str_eq(id, STR("id-1@uni.example")));
	assert_true(cache_reference(&rest, &id) && str_eq(id, STR("id-2@uni.example")));
	assert_false(cache_reference(&rest, &id));

	struct arena *arena = arena_new(MIME_ARENA_BYTES);
	struct mime mime;
	const struct mime_node *nodes;
	size_t n;
	mime_parse(message, arena, &mime);
	assert_int_equal(cache_nodes(&cache, message.n, arena, &nodes, &n, NULL), ERR_OK);
	assert_int_equal(n, mime.n);
	assert_memory_equal(nodes, mime.nodes, n * sizeof *nodes);
	// The table serves a section without the message.
	struct mime_section section;
	struct mime_slice slice;
	assert_true(mime_section_parse(STR("3.1"), &section) && mime_section_find(nodes, n, &section, &slice));
	assert_true(str_eq(str_upto(str_from(message, slice.at), slice.n), STR("deep")));
	// A shorter message than the one it was made of: the table is damaged.
	assert_int_equal(cache_nodes(&cache, message.n - 1, arena, &nodes, &n, NULL), ERR_CORRUPT);
	arena_free(&arena);
	buf_fini(&b);
}

static void an_empty_message_has_a_cache(void **state)
{
	(void)state;
	struct buf b;
	struct cache cache;
	const struct mime_node *nodes;
	size_t n;
	struct arena *arena = arena_new(64 << 10);
	buf_init(&b, CACHE_BYTES_MAX);
	assert_true(cache_build(STR(""), &b));
	assert_int_equal(cache_open(buf_str(&b), &cache, NULL), ERR_OK);
	assert_false(cache.sent_known);
	assert_int_equal(cache.message_id.n + cache.base_subject.n + cache.references_n, 0);
	assert_int_equal(cache_nodes(&cache, 0, arena, &nodes, &n, NULL), ERR_OK);
	assert_int_equal(n, 1);
	arena_free(&arena);
	buf_fini(&b);
}

static void every_cut_and_other_versions_are_refused(void **state)
{
	(void)state;
	struct buf b;
	struct cache cache;
	const struct mime_node *nodes;
	size_t n;
	struct arena *arena = arena_new(1 << 20);
	buf_init(&b, CACHE_BYTES_MAX);
	assert_true(cache_build(str_of_c(message_text), &b));
	for (size_t cut = 0; cut < b.n; cut++) {
		struct str part = str_upto(buf_str(&b), cut);
		arena_reset(arena);
		bool good = cache_open(part, &cache, NULL) == ERR_OK &&
		            cache_nodes(&cache, sizeof message_text - 1, arena, &nodes, &n, NULL) == ERR_OK;
		assert_false(good);
	}
	buf_add_byte(&b, 'x');
	assert_int_equal(cache_open(buf_str(&b), &cache, NULL), ERR_OK);
	assert_int_equal(cache_nodes(&cache, sizeof message_text - 1, arena, &nodes, &n, NULL), ERR_CORRUPT);
	b.p[0] = CACHE_VERSION + 1;
	assert_int_equal(cache_open(buf_str(&b), &cache, NULL), ERR_VERSION);
	arena_free(&arena);
	buf_fini(&b);
}

static void replies_without_references_name_their_parent(void **state)
{
	(void)state;
	struct buf b;
	struct cache cache;
	struct str id;
	buf_init(&b, CACHE_BYTES_MAX);
	assert_true(cache_build(STR("In-Reply-To: <a@b> <c@d>\r\nReferences: none\r\n\r\n"), &b));
	assert_int_equal(cache_open(buf_str(&b), &cache, NULL), ERR_OK);
	assert_int_equal(cache.references_n, 1);
	struct str rest = cache.references_raw;
	assert_true(cache_reference(&rest, &id) && str_eq(id, STR("a@b")));
	buf_fini(&b);
}

// The worst that the bounds allow still fits: the store relies on it.
static void no_message_has_a_cache_over_the_cap(void **state)
{
	(void)state;
	struct buf message, b;
	buf_init(&message, 64 << 20);
	buf_init(&b, CACHE_BYTES_MAX);
	buf_add(&message, STR("From: "));
	for (unsigned i = 0; i < 300000; i++)
		buf_add(&message, STR("\xff@\xff,"));
	buf_add(&message, STR("\r\nReferences: "));
	for (unsigned i = 0; i < 100000; i++)
		buf_printf(&message, "<%u@x>\r\n ", i);
	buf_add(&message, STR("\r\nContent-Type: multipart/digest; boundary=x\r\n\r\n"));
	for (unsigned i = 0; i < 6000; i++) {
		buf_add(&message, STR("--x\r\nContent-Type: message/rfc822;a=\xff;b=\xff;c=\xff;d=\xff;e=\xff;f=\xff;g=\xff\r\n\r\nFrom: "));
		for (unsigned j = 0; j < 100; j++)
			buf_add(&message, STR("\xff@\xff,"));
		buf_add(&message, STR("\r\n\r\n"));
	}
	assert_false(message.overflow);
	assert_true(cache_build(buf_str(&message), &b));
	struct cache cache;
	assert_int_equal(cache_open(buf_str(&b), &cache, NULL), ERR_OK);
	assert_true(cache.bounded && cache.references_n == CACHE_REFERENCES_MAX);
	buf_fini(&message);
	buf_fini(&b);
}

static void base_subjects_of_rfc_5256(void **state)
{
	(void)state;
	const struct {
		const char *text, *want;
		bool is_reply;
	} cases[] = {
		{"hello", "hello", false},
		{"  hello \t world ", "hello world", false},
		{"Re: hello", "hello", true},
		{"RE : re: Fwd: FW: hello", "hello", true},
		{"Re[2]: hello", "hello", true},
		{"re [list] : hello", "hello", true},
		{"[list] hello", "hello", false},
		{"[list] [other] Re: [third] hello", "hello", true},
		{"hello (fwd)", "hello", true},
		{"hello (fwd) (FWD) ", "hello", true},
		{"[fwd: hello]", "hello", true},
		{"[Fwd: Re: [list] hello (fwd)]", "hello", true},
		{"[list]", "[list]", false},
		{"[a] [b]", "[b]", false},
		{"Re:", "", true},
		{"regarding: x", "regarding: x", false},
		{"[unclosed Re: x", "[unclosed Re: x", false},
		{"[[x] y", "[[x] y", false},
		{"Aw: hello", "Aw: hello", false},
		{"", "", false},
	};
	char out[SUBJECT_BYTES_MAX];
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool is_reply;
		size_t n = subject_base(str_of_c(cases[i].text), out, &is_reply);
		if (!str_eq(str_of(out, n), str_of_c(cases[i].want)) || is_reply != cases[i].is_reply)
			fail_msg("\"%s\" gives \"%.*s\", %d", cases[i].text, (int)n, out, is_reply);
	}
}

static int set_up(void **state)
{
	(void)state;
	charset_preload();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_built_is_read_back),
		cmocka_unit_test(an_empty_message_has_a_cache),
		cmocka_unit_test(every_cut_and_other_versions_are_refused),
		cmocka_unit_test(replies_without_references_name_their_parent),
		cmocka_unit_test(no_message_has_a_cache_over_the_cap),
		cmocka_unit_test(base_subjects_of_rfc_5256),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
