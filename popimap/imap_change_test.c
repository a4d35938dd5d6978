// SPDX-License-Identifier: Apache-2.0
// IMAP sessions that change a mailbox, or see others change it: flags, expunges, copies, appends, searches, IDLE.
#include "test_wire.h"

static struct mailbox *mb;

static int setup(void **state)
{
	int failed = wire_setup(state);
	mb = test_mailbox(1);
	return failed;
}

static int teardown(void **state)
{
	test_close(&mb);
	return wire_teardown(state);
}

static void put(const char *text)
{
	test_append(mb, "INBOX", str_of_c(text), 0);
}

static void put_many(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(test_message);
}

// Somebody else: "d" delivers, "1" to "9" expunges that UID, "s" marks UID 2 as read, "X" deletes the folder Gone. "w": nobody, the
// client waits for an answer.
static void somebody(char which)
{
	struct err err = {0};
	struct uid_list gone;
	const uint32_t inbox = test_status(mb, "INBOX").id;
	if (which == 'w')
		return;
	if (which == 'd') {
		put(test_message);
	} else if (which == 's') {
		test_flag(mb, inbox, 2, FLAG_ADD, FLAG_SEEN);
	} else if (which == 'X') {
		const struct mailbox_name name = test_name("Gone");
		assert_int_equal(folder_delete(mb, &name, &err), ERR_OK);
	} else {
		const uint32_t uid = (uint32_t)(which - '0');
		assert_int_equal(message_remove(mb, inbox, &uid, 1, test_arena, &gone, &err), ERR_OK);
	}
}

// What comes after SELECT in a session in INBOX, with somebody else at work.
static void expect(const char *in, const char *pattern)
{
	struct buf script, b;
	buf_init(&script, 1 << 20);
	buf_add_c(&script, "l LOGIN joe secret\r\ns SELECT INBOX\r\n");
	buf_add_c(&script, in);
	struct str out = wire_play(imap_serve, buf_c(&script), somebody, &b);
	ptrdiff_t at = str_find(out, STR("s OK ["));
	if (at < 0)
		fail_msg("not selected:\n%.*s", STR_FMT(out));
	out = str_from(out, (size_t)at);
	out = str_from(out, (size_t)str_index(out, '\n') + 1);
	if (!wire_fits(pattern, out))
		fail_msg("script:\n%s\nexpected:\n%s\ngot:\n%.*s", in, pattern, STR_FMT(out));
	buf_fini(&b);
	buf_fini(&script);
}

// --- Flags ---

static void flags_change_by_name(void **state)
{
	(void)state;
	put_many(2);
	expect("a STORE 1 +FLAGS (\\Seen)\r\nb STORE 1:2 FLAGS \\Flagged\r\nc UID STORE 1 -FLAGS.SILENT (\\Flagged)\r\n"
	       "d STORE 1 +FLAGS ($Forwarded \\Draft)\r\ne FETCH 1 FLAGS\r\nf STORE 3 FLAGS ()\r\ng STORE 1 XFLAGS ()\r\n"
	       "h STORE 1 +FLAGS \\Recent\r\ni NOOP\r\nj UID STORE 99 +FLAGS \\Seen\r\n",
		"* 1 FETCH (FLAGS (\\Seen \\Recent))\r\na OK done\r\n"
		"* 1 FETCH (FLAGS (\\Flagged \\Recent))\r\n* 2 FETCH (FLAGS (\\Flagged \\Recent))\r\nb OK done\r\nc OK done\r\n"
		"* FLAGS (~ $Forwarded)\r\n* OK [PERMANENTFLAGS (~ $Forwarded \\*)] ~\r\n"
		"* 1 FETCH (FLAGS (\\Draft \\Recent $Forwarded))\r\nd OK done\r\n* 1 FETCH (FLAGS (\\Draft \\Recent $Forwarded))\r\ne OK done\r\n"
		"f BAD no such message number\r\ng BAD ~\r\nh BAD this flag cannot be set\r\ni OK done\r\nj OK done\r\n");
}

// Another session's flags are told, one's own are not told twice (PROTOCOLS 15).
static void others_flags_are_told(void **state)
{
	(void)state;
	put_many(2);
	expect("a NOOP\r\n\1sb NOOP\r\nc STORE 2 +FLAGS.SILENT \\Deleted\r\nd NOOP\r\n",
		"a OK done\r\n* 2 FETCH (FLAGS (\\Seen \\Recent))\r\nb OK done\r\nc OK done\r\nd OK done\r\n");
}

// A silent change on top of somebody else's: the client is told what it cannot know, of that message alone and once.
static void silence_does_not_cover_others(void **state)
{
	(void)state;
	put_many(2);
	expect("a NOOP\r\n\1sb STORE 1:2 +FLAGS.SILENT \\Deleted\r\nc NOOP\r\nd STORE 1:2 -FLAGS.SILENT \\Deleted\r\n",
		"a OK done\r\n* 2 FETCH (FLAGS (\\Deleted \\Seen \\Recent))\r\nb OK done\r\nc OK done\r\nd OK done\r\n");
}

// A session that has just changed flags knows all there is, but only if nobody else changed anything before it.
static void own_changes_do_not_hide_others(void **state)
{
	(void)state;
	put_many(3);
	expect("a NOOP\r\n\1sb STORE 1 +FLAGS.SILENT \\Flagged\r\n\1dc UID STORE 1 -FLAGS.SILENT \\Flagged\r\n\1dd FETCH 3 BODY[TEXT]\r\n"
	       "e STORE 1 +FLAGS.SILENT \\Flagged\r\nf NOOP\r\n\0014g NOOP\r\n",
		"a OK done\r\n* 2 FETCH (FLAGS (\\Seen \\Recent))\r\nb OK done\r\n* 4 EXISTS\r\n* 4 RECENT\r\nc OK done\r\n"
		"* 3 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {21}\r\nFirst line\r\n.second\r\n)\r\n* 5 EXISTS\r\n* 5 RECENT\r\nd OK done\r\n"
		"e OK done\r\nf OK done\r\n* 4 EXPUNGE\r\ng OK done\r\n");
}

// --- Numbers ---

// PROTOCOLS 1, 2, 14: no EXPUNGE while numbers are in use; the message stays readable under its number until then.
static void expunges_are_held(void **state)
{
	(void)state;
	put_many(3);
	expect("a NOOP\r\n\0011b FETCH 1:3 UID\r\nc STORE 3 +FLAGS.SILENT \\Seen\r\nd SEARCH ALL\r\ne FETCH 1 BODY.PEEK[TEXT]\r\n"
	       "f NOOP\r\ng FETCH 1:* UID\r\n",
		"a OK done\r\n* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\nb OK done\r\nc OK done\r\n"
		"* SEARCH 1 2 3\r\nd OK done\r\n* 1 FETCH (BODY[TEXT] {21}\r\nFirst line\r\n.second\r\n)\r\ne OK done\r\n"
		"* 1 EXPUNGE\r\nf OK done\r\n* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 3)\r\ng OK done\r\n");
}

static void uid_commands_release_them(void **state)
{
	(void)state;
	put_many(4);
	expect("a NOOP\r\n\0011\0013b UID FETCH 2 UID\r\nc FETCH 1:* UID\r\n",
		"a OK done\r\n* 2 FETCH (UID 2)\r\n* 1 EXPUNGE\r\n* 2 EXPUNGE\r\nb OK done\r\n"
		"* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 4)\r\nc OK done\r\n");
}

// PROTOCOLS 4: EXISTS counts what is held too, and comes before anything about the new message.
static void arrivals_are_told(void **state)
{
	(void)state;
	put_many(2);
	expect("a NOOP\r\n\1d\0011b FETCH 1 UID\r\nc FETCH 3 UID\r\n\1dd NOOP\r\ne FETCH 1:* UID\r\n",
		"a OK done\r\n* 1 FETCH (UID 1)\r\n* 3 EXISTS\r\n* 3 RECENT\r\nb OK done\r\n* 3 FETCH (UID 3)\r\nc OK done\r\n"
		"* 1 EXPUNGE\r\n* 3 EXISTS\r\n* 3 RECENT\r\nd OK done\r\n* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 3)\r\n* 3 FETCH (UID 4)\r\n"
		"e OK done\r\n");
}

// Came and went between two looks: never told of.
static void a_short_visit(void **state)
{
	(void)state;
	put_many(1);
	expect("a NOOP\r\n\1d\0012b NOOP\r\n\1dc NOOP\r\n", "a OK done\r\nb OK done\r\n* 2 EXISTS\r\n* 2 RECENT\r\nc OK done\r\n");
}

// PROTOCOLS 11.
static void stars_in_nothing(void **state)
{
	(void)state;
	expect("a FETCH * FLAGS\r\nb UID FETCH * FLAGS\r\nc FETCH 1:* FLAGS\r\nd UID FETCH 1:* FLAGS\r\ne SEARCH *\r\nf SEARCH UID *\r\n"
	       "g SEARCH ALL\r\nh EXPUNGE\r\ni COPY 1 INBOX\r\nj UID COPY 1 INBOX\r\n",
		"a BAD ~\r\nb OK done\r\nc BAD ~\r\nd OK done\r\ne BAD ~\r\n* SEARCH\r\nf OK done\r\n* SEARCH\r\ng OK done\r\nh OK expunged\r\n"
		"i BAD ~\r\nj OK nothing to do\r\n");
}

static void the_folder_goes(void **state)
{
	struct err err = {0};
	const struct mailbox_name name = test_name("Gone");
	(void)state;
	assert_int_equal(folder_create(mb, &name, FOLDER_USE_NONE, &err), ERR_OK);
	expect("a SELECT Gone\r\n\1Xb NOOP\r\nc NOOP\r\n",
		"* OK [CLOSED] ~\r\n* FLAGS ~\r\n* OK ~\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK ~\r\n* OK ~\r\na OK ~\r\n"
		"* BYE the selected mailbox was deleted\r\n");
}

// --- Removing and copying ---

static void expunge(void **state)
{
	(void)state;
	put_many(4);
	expect("a STORE 1:3 +FLAGS.SILENT \\Deleted\r\nb UID EXPUNGE 2:9\r\nc EXPUNGE\r\nd FETCH 1:* UID\r\ne UID EXPUNGE 1\r\nf UID EXPUNGE\r\n",
		"a OK done\r\n* 2 EXPUNGE\r\n* 2 EXPUNGE\r\nb OK expunged\r\n* 1 EXPUNGE\r\nc OK expunged\r\n* 1 FETCH (UID 4)\r\nd OK done\r\n"
		"e OK nothing to do\r\nf BAD ~\r\n");
}

// PROTOCOLS 72: CLOSE is silent.
static void closing_expunges(void **state)
{
	(void)state;
	put_many(2);
	expect("a STORE 1 +FLAGS.SILENT \\Deleted\r\nb CLOSE\r\nc STATUS INBOX (MESSAGES)\r\n",
		"a OK done\r\nb OK closed\r\n* STATUS \"INBOX\" (MESSAGES 1)\r\nc OK done\r\n");
	// But not after EXAMINE, and UNSELECT never does.
	expect("a STORE 1 +FLAGS.SILENT \\Deleted\r\nb EXAMINE INBOX\r\nc CLOSE\r\nd STATUS INBOX (MESSAGES)\r\n",
		"a OK done\r\n* OK [CLOSED] ~\r\n* FLAGS ~\r\n* OK ~\r\n* 1 EXISTS\r\n* # RECENT\r\n* OK ~\r\n* OK ~\r\n* OK ~\r\nb OK ~\r\nc OK closed\r\n"
		"* STATUS \"INBOX\" (MESSAGES 1)\r\nd OK done\r\n");
	expect("a STORE 1 +FLAGS.SILENT \\Deleted\r\nb UNSELECT\r\nc STATUS INBOX (MESSAGES)\r\n",
		"a OK done\r\nb OK unselected\r\n* STATUS \"INBOX\" (MESSAGES 1)\r\nc OK done\r\n");
}

// RFC 4315, RFC 6851: PROTOCOLS 70 and 71.
static void copies_and_moves(void **state)
{
	(void)state;
	put_many(5);
	expect("a COPY 2:3,5 Sent\r\nb COPY 1 Nope\r\nc MOVE 1,3 Trash\r\nd UID MOVE 99 Trash\r\ne FETCH 1:* UID\r\n"
	       "f STATUS Trash (MESSAGES)\r\ng UID COPY 2 INBOX\r\n",
		"a OK [COPYUID # 2:3,5 1:3] copied\r\nb NO [TRYCREATE] no such mailbox\r\n"
		"* OK [COPYUID # 1,3 1:2] moved\r\n* 1 EXPUNGE\r\n* 2 EXPUNGE\r\nc OK moved\r\nd OK nothing to do\r\n"
		"* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 4)\r\n* 3 FETCH (UID 5)\r\ne OK done\r\n"
		"* STATUS \"Trash\" (MESSAGES 2)\r\nf OK done\r\n* 4 EXISTS\r\n* 4 RECENT\r\ng OK [COPYUID # 2 6] copied\r\n");
}

// --- Appending ---

static void append(void **state)
{
	(void)state;
	expect("a APPEND INBOX (\\Seen $Note) \" 1-Feb-1994 21:52:25 -0800\" {9+}\r\nA: b\n\nc\r\n\r\nb FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])\r\n"
	       "c APPEND Sent {4}\r\nabcd\r\n",
		"* 1 EXISTS\r\n* 1 RECENT\r\n* FLAGS ~\r\n* OK ~\r\na OK [APPENDUID # 1] appended\r\n"
		"* 1 FETCH (FLAGS (\\Seen \\Recent $Note) INTERNALDATE \" 1-Feb-1994 21:52:25 -0800\" RFC822.SIZE 9 BODY[] {9}\r\nA: b\n\nc\r\n)\r\n"
		"b OK done\r\n+ go ahead\r\nc OK [APPENDUID # 1] appended\r\n");
}

// PROTOCOLS 24, 47, 80: refused before the "+"; what comes all the same is no command.
static void append_refused(void **state)
{
	(void)state;
	expect("a APPEND Nope {10}\r\n\1wb APPEND Nope {8+}\r\nx LOGOUT\r\nc APPEND INBOX {100001}\r\n\1wd APPEND INBOX {0}\r\n\1w"
	       "e APPEND ../x {3}\r\n\1wf APPEND INBOX (\\Nope) {3+}\r\nabc\r\nh NOOP\r\n",
		"a NO [TRYCREATE] ~\r\nb NO [TRYCREATE] ~\r\nc NO [TOOBIG] ~\r\nd NO [CANNOT] no message\r\ne BAD ~\r\nf BAD ~\r\nh OK done\r\n");
	// A client that does not wait: what it sent is the literal, and what comes behind that nobody can know.
	expect("a APPEND Nope {10}\r\nx LOGOUT\r\nb NOOP\r\n", "a NO [TRYCREATE] ~\r\n* BYE [CLIENTBUG] ~\r\n");
	expect("a APPEND INBOX {3}\r\nabc\r\nb NOOP\r\n", "+ ~\r\n* 1 EXISTS\r\n* 1 RECENT\r\na OK ~\r\nb OK done\r\n");
}

static void append_one_only(void **state)
{
	(void)state;
	expect("a APPEND INBOX {3+}\r\nabc {8+}\r\nx LOGOUT\r\nb APPEND INBOX {3+}\r\nabc x\r\nc APPEND {5+}\r\nINBOX {3+}\r\nabc\r\nd APPEND INBOX abc\r\n",
		"a BAD one message only\r\nb BAD one message only\r\n* 1 EXISTS\r\n* 1 RECENT\r\nc OK [APPENDUID # 1] ~\r\nd BAD ~\r\n");
}

// --- Searching ---

#define ISO "From: =?iso-8859-1?q?J=FCrgen?= <j@uni.example>\r\nSubject: =?utf-8?b?w4RwZmVs?= pie\r\nDate: 1 Feb 1994 23:59:59 -0800\r\n"          \
	    "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nein sch=F6ner =\r\nTag\r\n"

static void search(void **state)
{
	(void)state;
	put(test_message);
	put(ISO);
	put("Subject: x\r\nX-Empty:\r\n\r\nb\r\n");
	static const struct {
		const char *keys, *numbers;
	} cases[] = {
		{"ALL", " 1 2 3"},
		{"SUBJECT {6+}\r\n\xC3\xA4PFEL", " 2"},
		{"CHARSET ISO-8859-1 SUBJECT {5+}\r\n\xC4" "pfel", " 2"},
		{"FROM {7+}\r\nj\xC3\xBC" "rgen", " 2"},
		{"BODY {8+}\r\nSCH\xC3\x96NER", " 2"},
		{"BODY \"sch=F6ner\"", ""},
		{"BODY \"ner Tag\"", " 2"},
		{"TEXT \"first LINE\"", " 1"},
		{"TEXT hello", " 1"},
		{"BODY hello", ""},
		{"HEADER X-Empty \"\"", " 3"},
		{"HEADER message-id 1@uni", " 1"},
		{"SENTON 1-Feb-1994", " 2"},
		{"SENTBEFORE 2-Feb-1994", " 2"},
		{"SENTSINCE 21-Nov-2026", " 1"},
		{"ON 8-Sep-2001", " 1 2 3"},
		{"SINCE 9-Sep-2001", ""},
		{"NOT (SUBJECT x)", " 1 2"},
		{"OR SUBJECT hello SUBJECT x", " 1 3"},
		{"2:* UID 1:2", " 2"},
		{"SMALLER 50", " 3"},
		{"LARGER 50", " 1 2"},
		{"NEW", " 1 2 3"},
		{"SEEN", ""},
		{"UNKEYWORD $X KEYWORD $Y", ""},
		{"TO bob CC x", ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char in[200], pattern[200];
		snprintf(in, sizeof in, "f EXAMINE INBOX\r\na SEARCH %s\r\n", cases[i].keys);
		snprintf(pattern, sizeof pattern, "* OK ~\r\n* FLAGS ~\r\n* OK ~\r\n* 3 EXISTS\r\n* # RECENT\r\n* OK ~\r\n* OK ~\r\n* OK ~\r\nf OK ~\r\n"
						  "* SEARCH%s\r\na OK done\r\n", cases[i].numbers);
		if (strcmp(cases[i].keys, "NEW") == 0)
			continue;
		expect(in, pattern);
	}
	expect("a SEARCH CHARSET x-nope SUBJECT a\r\nb SEARCH 4\r\nc SEARCH FROM\r\nd UID SEARCH UID 3:9\r\n",
		"a NO [BADCHARSET (US-ASCII UTF-8)] ~\r\nb BAD ~\r\nc BAD ~\r\n* SEARCH 3\r\nd OK done\r\n");
}

// --- IDLE ---

// PROTOCOLS 16: what came before IDLE is told at its start, what comes during it at once; only DONE ends it.
static void idle(void **state)
{
	(void)state;
	put_many(2);
	expect("a NOOP\r\n\1db IDLE\r\n\2d\0021\2sDONE\r\nc IDLE\r\nNOOP\r\nd NOOP\r\n",
		"a OK done\r\n+ idling\r\n* 3 EXISTS\r\n* 3 RECENT\r\n* 4 EXISTS\r\n* 4 RECENT\r\n* 1 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n"
		"b OK done\r\n+ idling\r\nc BAD DONE expected\r\nd OK done\r\n");
}

// PROTOCOLS 17: a line every two minutes, and the end after imap_idle_s, not before.
static void idle_for_long(void **state)
{
	(void)state;
	expect("a IDLE\r\n\3\3\3DONE\r\n", "+ idling\r\n* OK still here\r\n* OK still here\r\n* OK still here\r\na OK done\r\n");
	struct buf b;
	struct str out = wire_play(
		imap_serve, "l LOGIN joe secret\r\na IDLE\r\n\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3", somebody, &b);
	assert_true(str_ends(out, STR("* OK still here\r\n* BYE autologout, idle for too long\r\n")));
	assert_true(wire_clock.mono_ms >= 1000 + 1800 * 1000 && wire_clock.mono_ms < 1000 + 2000 * 1000);
	buf_fini(&b);
}

static void deleting_what_is_selected(void **state)
{
	(void)state;
	expect("a CREATE Gone\r\nb SELECT Gone\r\nc DELETE Gone\r\nd CLOSE\r\ne SELECT INBOX\r\nf DELETE Sent\r\ng CHECK\r\n",
		"a OK created\r\n* OK [CLOSED] ~\r\n* FLAGS ~\r\n* OK ~\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK ~\r\n* OK ~\r\nb OK ~\r\n"
		"* OK [CLOSED] the selected mailbox was deleted\r\nc OK deleted\r\nd BAD ~\r\n"
		"* FLAGS ~\r\n* OK ~\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK ~\r\n* OK ~\r\ne OK ~\r\nf OK deleted\r\ng OK done\r\n");
}

// A large message goes out in pieces and arrives whole.
static void large_messages(void **state)
{
	struct buf text, b;
	(void)state;
	buf_init(&text, 1 << 20);
	buf_add_c(&text, "Subject: large\r\n\r\n");
	for (int i = 0; i < 20000; i++)
		buf_printf(&text, "line %05d\r\n", i);
	test_append(mb, "INBOX", buf_str(&text), 0);
	struct str out = wire_play(imap_serve,
		"l LOGIN joe secret\r\ns SELECT INBOX\r\na FETCH 1 BODY.PEEK[]\r\nb FETCH 1 BODY.PEEK[TEXT]<120000.22>\r\nc SEARCH BODY \"line 19999\"\r\n",
		somebody, &b);
	assert_true(str_find(out, buf_str(&text)) >= 0);
	assert_true(str_find(out, STR("* SEARCH 1\r\n")) >= 0);
	assert_true(str_find(out, STR("<120000> {22}\r\nline 10000\r\nline 10001)")) >= 0);
	buf_fini(&b);
	buf_fini(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(flags_change_by_name), TEST(others_flags_are_told), TEST(silence_does_not_cover_others), TEST(own_changes_do_not_hide_others),
		TEST(expunges_are_held), TEST(uid_commands_release_them),
		TEST(arrivals_are_told),    TEST(a_short_visit),         TEST(stars_in_nothing),  TEST(the_folder_goes),
		TEST(expunge),              TEST(closing_expunges),      TEST(copies_and_moves),  TEST(append),
		TEST(append_refused),       TEST(append_one_only),       TEST(search),            TEST(idle),
		TEST(large_messages),       TEST(idle_for_long),         TEST(deleting_what_is_selected),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
