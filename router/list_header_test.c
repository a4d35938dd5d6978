// SPDX-License-Identifier: Apache-2.0
// The header of a list's copies as tables: what the entry says, and what becomes of what the author wrote.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail/header.h"
#include "router/list_header.h"
#include "router/recipient.h"
#include "test_world.h"

#define LIST(name) "\ndn: cn=" name ",dc=uni\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: " name "\nmember: uid=anna,dc=uni\n"
#define GROUP(name) "\ndn: cn=" name ",dc=uni\nobjectClass: phMailGroup\ncn: " name "\nmember: uid=anna,dc=uni\n"

static const char world_ldif[] =
	"dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
	"dn: dc=bu\nobjectClass: phMailDomain\nassociatedDomain: xn--bcher-kva.example\nphDomainType: local\n\n"
	"dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"
	"dn: uid=anna,dc=uni\nobjectClass: phMailUser\nuid: anna\nmail: anna@uni.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-00000000000a\n"
	LIST("news") "mail: News@uni.example\nmailLocalAddress: n@uni.example\ndisplayName: Institute, \"news\"\nphListPostPolicy: listed\n"
	"phListReplyTo: list\nphListSubjectTag: [news]\n"
	LIST("plain") "mail: plain@uni.example\n"
	LIST("closed") "mail: closed@uni.example\nphListPostPolicy: nobody\nphListReplyTo: desk@uni.example\n"
	LIST("found") "mail: found@uni.example\nmemberURL: ldap:///dc=uni??one?(uid=anna)\nphListReplyTo: sender\n"
	LIST("typo") "mail: typo@uni.example\nphListReplyTo: poster\n"
	LIST("odd") "mail: \"a b/c%.\"@uni.example\ndisplayName:: w5xiZXI=\n"
	LIST("intl") "phIntlAddress:: YsO8Y2hlckBiw7xjaGVyLmV4YW1wbGU=\nphListReplyTo: list\n"
	LIST("ordered") "mail: ordered@uni.example\nphListPostPolicy: moderated\nphListModeratorAddress: anna@uni.example\n"
	GROUP("group") "mail: group@uni.example\nowner: uid=anna,dc=uni\n"
	GROUP("tagged") "mail: tagged@uni.example\nowner: uid=anna,dc=uni\nphListSubjectTag: T:\n";

static int setup(void **state)
{
	return world_setup(state, world_ldif);
}

static struct recipient_verdict expand(struct world *world, const char *to, bool moderated)
{
	struct addr recipient, from;
	struct recipient_verdict verdict;
	assert_int_equal(addr_parse(world->arena, str_of_c(to), ADDR_UTF8, &recipient), ADDR_OK);
	assert_int_equal(addr_parse(world->arena, STR("anna@uni.example"), 0, &from), ADDR_OK);
	const struct recipient_query query = {.recipient = &recipient, .sender = &from, .lists = RECIPIENT_LISTS_NOW, .moderated = moderated,
		.default_domain = STR("uni.example"), .entries_max = RECIPIENT_ENTRIES_MAX};
	recipient_decide(world->directory, &query, world->arena, &verdict);
	return verdict;
}

static void assert_text(struct str got, const char *expected)
{
	if (!str_eq(got, str_of_c(expected)))
		fail_msg("got:\n%.*s\nexpected:\n%s", STR_FMT(got), expected);
}


// The fields as one reads them: a field a line.
static struct str unfolded(struct world *world, struct str fields)
{
	struct header_walk walk;
	struct header_field field;
	struct str text = STR("");
	header_walk_init(&walk, fields);
	while (header_walk_next(&walk, &field)) {
		struct str body = header_unfold(world->arena, field.body);
		text = arena_printf(world->arena, "%.*s%.*s: %.*s\n", STR_FMT(text), STR_FMT(field.name), STR_FMT(body));
	}
	return text;
}

static void what_the_entry_says(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *to, *fields, *reply_to, *tag;
	} rows[] = {
		// Its first address, however it was written to. Most readers of a list for named senders may not post.
		{"n@uni.example",
			"List-Id: \"Institute, \\\"news\\\"\" <news.uni.example>\nList-Owner: <mailto:owner-News@uni.example>\n"
			"List-Help: <mailto:News-request@uni.example?subject=help>\nList-Subscribe: <mailto:News-request@uni.example?subject=subscribe>\n"
			"List-Unsubscribe: <mailto:News-request@uni.example?subject=unsubscribe>\nDelivered-To: News@uni.example\n",
			"News@uni.example", "[news]"},
		{"plain@uni.example",
			"List-Id: <plain.uni.example>\nList-Post: <mailto:plain@uni.example>\nList-Owner: <mailto:owner-plain@uni.example>\n"
			"List-Help: <mailto:plain-request@uni.example?subject=help>\nList-Subscribe: <mailto:plain-request@uni.example?subject=subscribe>\n"
			"List-Unsubscribe: <mailto:plain-request@uni.example?subject=unsubscribe>\nDelivered-To: plain@uni.example\n",
			"", ""},
		{"closed@uni.example",
			"List-Id: <closed.uni.example>\nList-Post: NO\nList-Owner: <mailto:owner-closed@uni.example>\n"
			"List-Help: <mailto:closed-request@uni.example?subject=help>\nList-Subscribe: <mailto:closed-request@uni.example?subject=subscribe>\n"
			"List-Unsubscribe: <mailto:closed-request@uni.example?subject=unsubscribe>\nDelivered-To: closed@uni.example\n",
			"desk@uni.example", ""},
		// Nobody joins or leaves whom a URL finds.
		{"found@uni.example",
			"List-Id: <found.uni.example>\nList-Post: <mailto:found@uni.example>\nList-Owner: <mailto:owner-found@uni.example>\n"
			"List-Help: <mailto:found-request@uni.example?subject=help>\nDelivered-To: found@uni.example\n",
			"", ""},
		// A local part that is no label and no URL.
		{"\"a b/c%.\"@uni.example",
			"List-Id: =?utf-8?q?=C3=9Cber?= <a%20b/c%25%2E.uni.example>\nList-Post: <mailto:%22a%20b%2Fc%25.%22@uni.example>\n"
			"List-Owner: <mailto:%22owner-a%20b%2Fc%25.%22@uni.example>\n"
			"List-Help: <mailto:%22a%20b%2Fc%25.-request%22@uni.example?subject=help>\n"
			"List-Subscribe: <mailto:%22a%20b%2Fc%25.-request%22@uni.example?subject=subscribe>\n"
			"List-Unsubscribe: <mailto:%22a%20b%2Fc%25.-request%22@uni.example?subject=unsubscribe>\nDelivered-To: \"a b/c%.\"@uni.example\n",
			"", ""},
		{"b\xc3\xbc" "cher@b\xc3\xbc" "cher.example",
			"List-Id: <b%C3%BCcher.xn--bcher-kva.example>\nList-Post: <mailto:b%C3%BCcher@xn--bcher-kva.example>\n"
			"List-Owner: <mailto:owner-b%C3%BCcher@xn--bcher-kva.example>\n"
			"List-Help: <mailto:b%C3%BCcher-request@xn--bcher-kva.example?subject=help>\n"
			"List-Subscribe: <mailto:b%C3%BCcher-request@xn--bcher-kva.example?subject=subscribe>\n"
			"List-Unsubscribe: <mailto:b%C3%BCcher-request@xn--bcher-kva.example?subject=unsubscribe>\n"
			"Delivered-To: b%C3%BCcher@xn--bcher-kva.example\n",
			"b\xc3\xbc" "cher@b\xc3\xbc" "cher.example", ""},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct recipient_verdict v = expand(world, rows[i].to, false);
		assert_int_equal(v.code, 250);
		assert_non_null(v.header);
		assert_text(unfolded(world, v.header->fields), rows[i].fields);
		assert_text(v.header->reply_to, rows[i].reply_to);
		assert_text(v.header->tag, rows[i].tag);
	}
}

static const struct recipient_reason *reason_of(const struct recipient_verdict *v, const char *rule)
{
	for (size_t i = 0; i < v->n_reasons; i++)
		if (strcmp(v->reasons[i].rule, rule) == 0)
			return &v->reasons[i];
	return NULL;
}

static void a_group_is_left_as_it_is(void **state)
{
	struct world *world = *state;
	struct recipient_verdict group = expand(world, "group@uni.example", false), tagged = expand(world, "tagged@uni.example", false);
	assert_true(group.is_list && group.owner.n > 0 && group.header == NULL);
	assert_non_null(tagged.header); // the attribute asks for it
	assert_text(tagged.header->tag, "T:");
}

static void why_says_so(void **state)
{
	struct world *world = *state;
	struct recipient_verdict v = expand(world, "typo@uni.example", false);
	assert_text(v.header->reply_to, "");
	assert_text(reason_of(&v, "list reply")->value, "poster");
	assert_string_equal(reason_of(&v, "list reply")->attribute, "phListReplyTo");
	assert_text(reason_of(&v, "list field")->value, "List-Id: <typo.uni.example>");
	v = expand(world, "n@uni.example", false);
	assert_text(reason_of(&v, "list tag")->value, "[news]");
	assert_non_null(expand(world, "ordered@uni.example", true).header); // to see a loop of what its moderators get
}

// --- The author's header ---

static struct str fixed(struct world *world, const struct list_header *list, struct str message, bool is_utf8)
{
	struct buf out;
	buf_init(&out, message.n + LIST_HEADER_ADDED_BYTES_MAX);
	size_t rest = list_header_fix(list, message, true, is_utf8, &out);
	assert_false(out.overflow);
	struct str text = arena_printf(world->arena, "%.*s%.*s", STR_FMT(buf_str(&out)), STR_FMT(str_from(message, rest)));
	buf_fini(&out);
	return text;
}

#define TOP "List-Id: <x.uni.example>\r\n"
#define LONG "0123456789012345678901234567890123456789012345678901234567890123"

static void what_the_author_wrote(void **state)
{
	struct world *world = *state;
	static const struct list_header plain = {.id = STR("x.uni.example"), .delivered_to = STR("x@uni.example"), .fields = STR(TOP)};
	static const struct list_header tag = {.fields = STR(TOP), .tag = STR("[x]")};
	static const struct list_header umlaut = {.fields = STR(TOP), .tag = STR("[\xc3\xbc]")};
	static const struct list_header reply = {.fields = STR(TOP), .reply_to = STR("x@uni.example"), .reply_to_key = STR("x@uni.example"),
		.reply_to_ascii = STR("x@uni.example")};
	static const struct list_header intl = {.fields = STR(TOP), .reply_to = STR("\xc3\xbc@uni.example"), .reply_to_key = STR("\xc3\xbc@uni.example")};
	static const struct {
		const struct list_header *list;
		const char *message, *expected;
		bool is_utf8;
	} rows[] = {
		// Only on top: each byte below is as it was, and a signature holds.
		{&plain, "Received: a\r\nDKIM-Signature: b;\r\n c\r\nSubject:  d \r\nfrom : e\n\r\nbody\r\n",
			TOP "Precedence: list\r\nReceived: a\r\nDKIM-Signature: b;\r\n c\r\nSubject:  d \r\nfrom : e\n\r\nbody\r\n", false},
		{&plain, "precedence: bulk\r\n\r\nList-Id: in the body\r\n", TOP "precedence: bulk\r\n\r\nList-Id: in the body\r\n", false},
		{&plain, "", TOP "Precedence: list\r\n", false},
		{&plain, " no header\r\n\r\nx", TOP "\r\n no header\r\n\r\nx", false},
		{&plain, "Subject: no end", TOP "Precedence: list\r\nSubject: no end", false},
		// Another list's.
		{&plain, "Precedence: list\r\nList-Id: <other.example>\r\nX: 1\r\nLIST-UNSUBSCRIBE: <mailto:\r\n a@b>\r\nList-Unsubscribe-Post: x\r\nlist-post: NO\r\n\r\n",
			TOP "Precedence: list\r\nX: 1\r\n\r\n", false},
		{&tag, "Subject: hello\r\n\r\nx", TOP "Precedence: list\r\nSubject: [x] hello\r\n\r\nx", false},
		{&tag, "Subject: Re: hello\r\n\r\n", TOP "Precedence: list\r\nSubject: [x] Re: hello\r\n\r\n", false},
		{&tag, "Subject: Re: [X] hello\r\n\r\n", TOP "Precedence: list\r\nSubject: Re: [X] hello\r\n\r\n", false},
		{&tag, "Subject: Re: =?utf-8?b?W3hdIMO8?=\r\n\r\n", TOP "Precedence: list\r\nSubject: Re: =?utf-8?b?W3hdIMO8?=\r\n\r\n", false},
		{&tag, "Subject:\r\n\r\n", TOP "Precedence: list\r\nSubject: [x]\r\n\r\n", false},
		{&tag, "To: y\r\n\r\n", TOP "Precedence: list\r\nSubject: [x]\r\nTo: y\r\n\r\n", false},
		{&tag, "SUBJECT: one\r\nSubject: two\r\n\r\n", TOP "Precedence: list\r\nSubject: [x] one\r\nSubject: two\r\n\r\n", false},
		{&tag, "Subject:\r\n folded\r\n\tmore\r\n\r\n", TOP "Precedence: list\r\nSubject: [x] folded\r\n\tmore\r\n\r\n", false},
		{&tag, "Subject: =?utf-8?q?=C3=BC?=\r\n\r\n", TOP "Precedence: list\r\nSubject: [x] =?utf-8?q?=C3=BC?=\r\n\r\n", false},
		{&tag, "Subject: " LONG LONG "\r\n\r\n", TOP "Precedence: list\r\nSubject: [x]\r\n " LONG LONG "\r\n\r\n", false},
		{&tag, "Subject: \xc3\xbc\r\n\r\n", TOP "Precedence: list\r\nSubject: [x] \xc3\xbc\r\n\r\n", true},
		{&umlaut, "Subject: hello\r\n\r\n", TOP "Precedence: list\r\nSubject: =?utf-8?b?W8O8XQ==?= hello\r\n\r\n", false},
		// The space between two encoded words is not shown: the first has it.
		{&umlaut, "Subject: =?utf-8?q?=C3=BC?=\r\n\r\n", TOP "Precedence: list\r\nSubject: =?utf-8?b?W8O8XSA=?= =?utf-8?q?=C3=BC?=\r\n\r\n", false},
		{&umlaut, "Subject: Re: =?iso-8859-1?q?=5B=FC=5D?= x\r\n\r\n",
			TOP "Precedence: list\r\nSubject: Re: =?iso-8859-1?q?=5B=FC=5D?= x\r\n\r\n", false},
		{&reply, "From: a@b\r\n\r\n", TOP "Precedence: list\r\nReply-To: x@uni.example\r\nFrom: a@b\r\n\r\n", false},
		{&reply, "Reply-To: A <a@b.example>\r\n\r\n", TOP "Precedence: list\r\nReply-To: x@uni.example,\r\n A <a@b.example>\r\n\r\n", false},
		{&reply, "reply-to: a@b.example,\r\n\t\"X\" <X@UNI.example>\r\n\r\n", TOP "Precedence: list\r\nreply-to: a@b.example,\r\n\t\"X\" <X@UNI.example>\r\n\r\n", false},
		// What is no list of addresses stays out of ours.
		{&reply, "Reply-To: \"open\r\n\r\n", TOP "Precedence: list\r\nReply-To: x@uni.example\r\n\r\n", false},
		{&reply, "Reply-To: (a <a@b.example>\r\n\r\n", TOP "Precedence: list\r\nReply-To: x@uni.example\r\n\r\n", false},
		{&reply, "Reply-To:\r\n\r\n", TOP "Precedence: list\r\nReply-To: x@uni.example\r\n\r\n", false},
		{&intl, "Reply-To: a@b.example\r\n\r\n", TOP "Precedence: list\r\nReply-To: a@b.example\r\n\r\n", false},
		{&intl, "To: b\r\n\r\n", TOP "Precedence: list\r\nReply-To: \xc3\xbc@uni.example\r\nTo: b\r\n\r\n", true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_text(fixed(world, rows[i].list, str_of_c(rows[i].message), rows[i].is_utf8), rows[i].expected);
}

static void a_header_without_an_end_gets_fields_only(void **state)
{
	(void)state;
	static const struct list_header list = {.fields = STR(TOP), .tag = STR("[x]")};
	struct buf out;
	buf_init(&out, 1000 + LIST_HEADER_ADDED_BYTES_MAX);
	assert_int_equal(list_header_fix(&list, STR("Subject: y\r\nTo: "), false, false, &out), 0);
	assert_text(buf_str(&out), TOP);
	buf_fini(&out);
}

static void a_loop_is_seen(void **state)
{
	(void)state;
	static const struct list_header list = {.id = STR("x.uni.example"), .delivered_to = STR("x@uni.example")};
	static const struct {
		const char *start;
		bool came_back;
	} rows[] = {
		{"List-Id: <x.uni.example>\r\n\r\n", true},
		{"To: y\r\nLIST-ID:\r\n \"X <y>\"\r\n <X.uni.example>\r\n\r\n", true},
		{"List-Id: x.uni.example\r\n\r\n", true},
		{"Delivered-To: X@uni.example \r\nList-Id: <other.example>\r\n\r\n", true},
		{"List-Id: <xx.uni.example>\r\nDelivered-To: y@uni.example\r\n\r\n", false},
		{"List-Id: <x.uni.example>\r\nDelivered-To: x.uni@example\r\n\r\n", false}, // another list has this id, too
		{"To: x@uni.example\r\n\r\nList-Id: <x.uni.example>\r\n", false},
		{"", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(list_header_came_back(&list, str_of_c(rows[i].start)), rows[i].came_back);
}

// A tag of more than one encoded word is cut between characters.
static void a_long_tag(void **state)
{
	struct world *world = *state;
	char text[LIST_HEADER_TAG_BYTES_MAX];
	for (size_t i = 0; i < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	const struct list_header list = {.tag = str_of(text, sizeof text)};
	struct str out = fixed(world, &list, STR("Subject: =?utf-8?q?a?=\r\n\r\n"), false);
	struct header_field field;
	assert_true(header_find(out, STR("Subject"), &field));
	assert_text(header_text(world->arena, field.body), arena_printf(world->arena, "%.*s a", STR_FMT(list.tag)).p);
	struct str rest = out, line;
	while (str_next_line(&rest, &line))
		assert_true(line.n <= 78);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_entry_says, setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_group_is_left_as_it_is, setup, world_teardown),
		cmocka_unit_test_setup_teardown(why_says_so, setup, world_teardown),
		cmocka_unit_test_setup_teardown(what_the_author_wrote, setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_header_without_an_end_gets_fields_only, setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_loop_is_seen, setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_long_tag, setup, world_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
