// SPDX-License-Identifier: Apache-2.0
// IMAP sessions from greeting to goodbye over a scripted wire: every command, and the traps of PROTOCOLS 1.
#include "test_wire.h"

#define GREETING "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE~\r\n"
#define LOGIN "l LOGIN joe secret\r\n"
#define LOGGED_IN GREETING "l OK [CAPABILITY IMAP4rev1 ~\r\n"
#define SELECT LOGIN "s SELECT INBOX\r\n"
#define SELECTED(exists, recent)                                                                                             \
	LOGGED_IN "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"                                                \
		  "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] flags that are kept\r\n"            \
		  "* " exists " EXISTS\r\n* " recent " RECENT\r\n"

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

static void expect(const char *in, const char *pattern)
{
	const struct wire_run run = {.serve = imap_serve, .in = in};
	wire_expect(&run, pattern);
}

// The answers that follow a log-in and a SELECT of INBOX that must go well.
static void expect_selected(const char *in, const char *pattern)
{
	struct buf script, b;
	buf_init(&script, 1 << 20);
	buf_add_c(&script, SELECT);
	buf_add_c(&script, in);
	const struct wire_run run = {.serve = imap_serve, .in = buf_c(&script)};
	struct str out = wire_run(&run, &b);
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

static void put(const char *folder, const char *text)
{
	test_append(mb, folder, str_of_c(text), 0);
}

static void put_many(const char *folder, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(folder, test_message);
}

// --- Before the log-in ---

static void wire_stranger(void **state)
{
	(void)state;
	expect("a CAPABILITY\r\nb NOOP\r\nc SELECT INBOX\r\nd XYZZY\r\ne LOGOUT\r\n",
		GREETING "* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=~\r\na OK done\r\nb OK done\r\nc BAD log in first\r\n"
			 "d BAD unknown command\r\n* BYE logging out\r\ne OK goodbye\r\n");
	// RFC 2971: believed in nothing.
	expect("a ID (\"name\" \"x\" \"remote-host\" NIL)\r\nb ID NIL\r\nc ID (\"a\")\r\n",
		GREETING "* ID (\"name\" \"Posthouse\")\r\na OK done\r\n* ID (\"name\" \"Posthouse\")\r\nb OK done\r\nc BAD ~\r\n");
}

// Threat auth-clear: no password in the clear from a network that nobody trusts.
static void wire_privacy(void **state)
{
	(void)state;
	const struct wire_run run = {
		.serve = imap_serve,
		.in = "a LOGIN joe secret\r\nb AUTHENTICATE PLAIN joe\r\n",
		.stranger = true,
	};
	wire_expect(&run, "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE LOGINDISABLED] ~\r\n"
			  "a NO [PRIVACYREQUIRED] start TLS first\r\nb NO [PRIVACYREQUIRED] start TLS first\r\n");
}

// PROTOCOLS 28: one answer for both, and an end to guessing.
static void wire_failures(void **state)
{
	(void)state;
	expect("a LOGIN joe wrong\r\nb LOGIN nobody secret\r\nc LOGIN broken x\r\nd LOGIN joe wrong\r\ne LOGIN joe secret\r\n",
		GREETING "a NO [AUTHENTICATIONFAILED] authentication failed\r\nb NO [AUTHENTICATIONFAILED] authentication failed\r\n"
			 "c NO [UNAVAILABLE] ~\r\nd NO [AUTHENTICATIONFAILED] authentication failed\r\n* BYE too many failed log-ins\r\n");
	assert_int_equal(wire_penalties, 1 + 2 + 3);
}

static void wire_authenticate(void **state)
{
	(void)state;
	expect("a AUTHENTICATE PLAIN joe\r\nb LOGIN joe secret\r\n",
		GREETING "a OK [CAPABILITY IMAP4rev1 ~\r\nb BAD not now: wrong state\r\n");
	expect("a AUTHENTICATE plain\r\njoe\r\nb NOOP\r\n", GREETING "+ \r\na OK [CAPABILITY ~\r\nb OK done\r\n");
	expect("a AUTHENTICATE PLAIN\r\n*\r\nb AUTHENTICATE GSSAPI\r\nc AUTHENTICATE\r\n",
		GREETING "+ \r\na BAD authentication aborted\r\nb NO [CANNOT] mechanism not supported\r\nc BAD ~\r\n");
}

// A user whose mailbox is elsewhere, or who has none here: nothing is opened, nothing is made.
static void wire_not_here(void **state)
{
	(void)state;
	wire_configure(WIRE_SETTINGS "hostname = mx2.uni.example\n");
	expect("a LOGIN joe secret\r\n", "~\r\na NO [UNAVAILABLE] mailbox is on another node\r\n");
}

// --- Reading commands ---

// Threat lit-reject: what we do not take is thrown away or ends the session; it never runs.
// As from a client that waits for each answer.
static void expect_bytewise(const char *in, const char *pattern)
{
	const struct wire_run run = {.serve = imap_serve, .in = in, .bytewise = true};
	wire_expect(&run, pattern);
}

static void wire_literals(void **state)
{
	(void)state;
	expect("l LOGIN {3}\r\njoe {6+}\r\nsecret\r\nb NOOP\r\n", GREETING "+ go ahead\r\nl OK ~\r\nb OK done\r\n");
	// Synchronising: refused, the client does not send it, the next line is a command. If it was sent all the same, nothing is one.
	expect_bytewise("a LOGIN {99999}\r\nb NOOP\r\n", GREETING "a BAD literal too large\r\nb OK done\r\n");
	expect("a LOGIN {99999}\r\nb NOOP\r\n", GREETING "a BAD literal too large\r\n* BYE [CLIENTBUG] ~\r\n");
	// Non-synchronising and small enough to skip: its bytes look like commands and are none.
	expect("a NOOP {16385+}\r\nb LOGOUT\r\n", GREETING "* BYE [TOOBIG] literal too large\r\n");
	expect(LOGIN "a SUBSCRIBE {8+}\r\nx LOGOUT {200000+}\r\nb LOGOUT\r\n", LOGGED_IN "* BYE [TOOBIG] literal too large\r\n");
	expect_bytewise("a LOGIN ~{3}\r\nb NOOP\r\n", GREETING "a BAD no binary literals here\r\nb OK done\r\n");
	expect("a LOGIN ~{8+}\r\nx LOGOUT secret\r\nb NOOP\r\n", GREETING "a BAD no binary literals here\r\nb OK done\r\n");
	expect("a LOGIN {99999999999999999999+}\r\nb NOOP\r\n", GREETING "* BYE [TOOBIG] literal too large\r\n");
}

static void wire_bytewise(void **state)
{
	(void)state;
	const struct wire_run run = {
		.serve = imap_serve,
		.in = "l LOGIN {3}\r\njoe {6+}\r\nsecret\r\nb NOOP\r\nc LOGOUT\r\n",
		.bytewise = true,
	};
	wire_expect(&run, GREETING "+ go ahead\r\nl OK ~\r\nb OK done\r\n* BYE logging out\r\nc OK goodbye\r\n");
}

static void wire_junk(void **state)
{
	(void)state;
	expect("\r\na\r\n* NOOP\r\na  NOOP\r\na NOOP x\r\n+ NOOP\r\na NOOP \r\n",
		GREETING "* BAD ~\r\na BAD ~\r\n* BAD ~\r\na BAD ~\r\na BAD ~\r\n* BAD ~\r\na OK done\r\n");
	struct buf script;
	buf_init(&script, 1 << 20);
	for (int i = 0; i < 70 << 10; i++)
		buf_add_byte(&script, 'x');
	buf_add_c(&script, "\r\na NOOP\r\n");
	expect(buf_c(&script), GREETING "* BYE line too long\r\n");
	buf_clear(&script);
	for (int i = 0; i < 30; i++)
		buf_add_c(&script, "GET / HTTP/1.1\r\n");
	const struct wire_run run = {.serve = imap_serve, .in = buf_c(&script)};
	struct buf b;
	assert_true(str_ends(wire_run(&run, &b), STR("* BYE [CLIENTBUG] too many bad commands\r\n")));
	buf_fini(&b);
	buf_fini(&script);
}

static void wire_ends(void **state)
{
	(void)state;
	struct wire_run run = {.serve = imap_serve, .in = "a NOOP\r\n", .end = ERR_TIMEOUT};
	wire_expect(&run, GREETING "a OK done\r\n* BYE autologout, idle for too long\r\n");
	run.end = ERR_CANCELLED;
	wire_expect(&run, GREETING "a OK done\r\n* BYE [UNAVAILABLE] server is stopping\r\n");
}

// --- Folders ---

static void wire_folders(void **state)
{
	(void)state;
	expect(LOGIN "a CREATE Work/2026/\r\nb CREATE Work\r\nc CREATE inbox\r\nd CREATE \"Entw&APw-rfe\"\r\n"
		     "e LIST \"\" Work*\r\nf LIST \"\" Entw%\r\ng RENAME Work Job\r\nh LIST \"\" J*\r\ni DELETE Job\r\nj LIST \"\" Job\r\n"
		     "k DELETE Job\r\nm DELETE INBOX\r\nn DELETE Nope\r\n",
		LOGGED_IN "a OK created\r\nb NO [ALREADYEXISTS] ~\r\nc NO [ALREADYEXISTS] ~\r\nd OK created\r\n"
			  "* LIST (\\HasChildren) \"/\" \"Work\"\r\n* LIST (\\HasNoChildren) \"/\" \"Work/2026\"\r\ne OK done\r\n"
			  "* LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe\"\r\nf OK done\r\ng OK renamed\r\n"
			  "* LIST (\\HasChildren) \"/\" \"Job\"\r\n* LIST (\\HasNoChildren) \"/\" \"Job/2026\"\r\n"
			  "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"\r\nh OK done\r\n"
			  "i OK deleted\r\n* LIST (\\HasChildren \\Noselect) \"/\" \"Job\"\r\nj OK done\r\nk NO [CANNOT] ~\r\n"
			  "m NO [CANNOT] ~\r\nn NO [NONEXISTENT] ~\r\n");
}

// Threat box-path.
static void wire_bad_names(void **state)
{
	(void)state;
	expect(LOGIN "a CREATE ../x\r\nb SELECT \"a/../../etc\"\r\nc CREATE {3+}\r\na\0b\r\n", LOGGED_IN "a BAD ~\r\nb BAD ~\r\n");
	expect(LOGIN "a CREATE &AGE-\r\nb LIST \"\" &AGE-\r\nc CREATE \"a//b\"\r\nd DELETE \"\"\r\ne CREATE a*\r\nf CREATE \"a%\"\r\n",
		LOGGED_IN "a BAD ~\r\nb BAD ~\r\nc BAD ~\r\nd BAD ~\r\ne BAD ~\r\nf BAD ~\r\n");
}

static void list_shows(void **state)
{
	(void)state;
	expect(LOGIN "a LIST \"\" \"\"\r\nb LIST \"\" inbox\r\nc LIST \"\" %\r\nd NAMESPACE\r\n",
		LOGGED_IN "* LIST (\\Noselect) \"/\" \"\"\r\na OK done\r\n* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\nb OK done\r\n"
			  "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n"
			  "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\r\n* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"\r\n"
			  "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\r\n* LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"\r\nc OK done\r\n"
			  "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\nd OK done\r\n");
}

// PROTOCOLS 36 and 39: subscriptions outlive folders, and "%" shows the parent of a subscribed child.
static void wire_lsub(void **state)
{
	(void)state;
	expect(LOGIN "a CREATE A/B\r\nb SUBSCRIBE A/B\r\nc LSUB \"\" A*\r\nd LSUB \"\" A%\r\ne DELETE A/B\r\nf LSUB \"\" A/*\r\n"
		     "g UNSUBSCRIBE A/B\r\nh LSUB \"\" A/*\r\n",
		LOGGED_IN "a OK created\r\nb OK subscribed\r\n* LSUB () \"/\" \"A/B\"\r\nc OK done\r\n"
			  "* LSUB (\\Noselect) \"/\" \"A\"\r\nd OK done\r\ne OK deleted\r\n"
			  "* LSUB (\\Noselect) \"/\" \"A/B\"\r\nf OK done\r\ng OK unsubscribed\r\nh OK done\r\n");
}

static void wire_status(void **state)
{
	(void)state;
	put_many("INBOX", 2);
	expect(LOGIN "a STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)\r\nb STATUS Nope (MESSAGES)\r\nc STATUS INBOX (X)\r\n"
		     "d STATUS INBOX ()\r\n",
		LOGGED_IN "* STATUS \"INBOX\" (MESSAGES 2 RECENT 2 UIDNEXT 3 UIDVALIDITY # UNSEEN 2)\r\na OK done\r\n"
			  "b NO [NONEXISTENT] ~\r\nc BAD ~\r\nd BAD ~\r\n");
}

// PROTOCOLS 33: the messages move, INBOX stays, its children stay.
static void rename_inbox(void **state)
{
	(void)state;
	put_many("INBOX", 2);
	expect(LOGIN "a CREATE INBOX/Sub\r\nb RENAME InBox Old\r\nc STATUS Old (MESSAGES)\r\nd STATUS INBOX (MESSAGES)\r\ne LIST \"\" INBOX*\r\n"
		     "f RENAME Nope X\r\ng RENAME Old Sent\r\nh RENAME Old Old/Below\r\ni RENAME Old INBOX\r\n",
		LOGGED_IN "a OK created\r\nb OK renamed\r\n* STATUS \"Old\" (MESSAGES 2)\r\nc OK done\r\n* STATUS \"INBOX\" (MESSAGES 0)\r\nd OK done\r\n"
			  "* LIST (\\HasChildren) \"/\" \"INBOX\"\r\n* LIST (\\HasNoChildren) \"/\" \"INBOX/Sub\"\r\ne OK done\r\n"
			  "f NO [NONEXISTENT] ~\r\ng NO [ALREADYEXISTS] ~\r\nh NO [CANNOT] ~\r\ni NO [ALREADYEXISTS] ~\r\n");
}

// PROTOCOLS 8: a name that is made again is not the same mailbox.
static void made_again(void **state)
{
	struct buf b;
	(void)state;
	const struct wire_run run = {
		.serve = imap_serve,
		.in = LOGIN "a CREATE X\r\nb STATUS X (UIDVALIDITY)\r\nc DELETE X\r\nd CREATE X\r\ne STATUS X (UIDVALIDITY)\r\n",
	};
	struct str rest = wire_run(&run, &b), line, first = STR_NONE, second = STR_NONE;
	while (str_next_line(&rest, &line))
		if (str_starts(line, STR("* STATUS"))) {
			first = second;
			second = line;
		}
	assert_true(first.n > 0 && !str_eq(first, second));
	buf_fini(&b);
}

// --- Selecting ---

static void wire_select(void **state)
{
	(void)state;
	put_many("INBOX", 3);
	expect(SELECT, SELECTED("3", "3") "* OK [UNSEEN 1] ~\r\n* OK [UIDVALIDITY #] ~\r\n* OK [UIDNEXT 4] ~\r\ns OK [READ-WRITE] selected\r\n");
	// \Recent went to the session before (PROTOCOLS 13).
	expect(SELECT, SELECTED("3", "0") "* OK [UNSEEN 1] ~\r\n* OK [UIDVALIDITY #] ~\r\n* OK [UIDNEXT 4] ~\r\ns OK [READ-WRITE] selected\r\n");
	// A failed SELECT leaves nothing selected (PROTOCOLS 20).
	expect_selected("a SELECT Nope\r\nb FETCH 1 FLAGS\r\nc CLOSE\r\n",
		"* OK [CLOSED] ~\r\na NO [NONEXISTENT] ~\r\nb BAD not now: wrong state\r\nc BAD not now: wrong state\r\n");
	// PROTOCOLS 44.
	expect_selected("a STATUS INBOX (MESSAGES UNSEEN)\r\n", "* STATUS \"INBOX\" (MESSAGES 3 UNSEEN 3)\r\na OK done\r\n");
	expect_selected("a UNSELECT\r\nb UNSELECT\r\n", "a OK unselected\r\nb BAD ~\r\n");
}

static void wire_examine(void **state)
{
	(void)state;
	put_many("INBOX", 1);
	expect(LOGIN "a EXAMINE INBOX\r\nb STORE 1 +FLAGS \\Deleted\r\nc FETCH 1 BODY[TEXT]\r\nd FETCH 1 FLAGS\r\ne EXPUNGE\r\nf CLOSE\r\n",
		LOGGED_IN "* FLAGS ~\r\n* OK [PERMANENTFLAGS ()] ~\r\n* 1 EXISTS\r\n* 1 RECENT\r\n* OK [UNSEEN 1] ~\r\n"
			  "* OK [UIDVALIDITY #] ~\r\n* OK [UIDNEXT 2] ~\r\na OK [READ-ONLY] selected\r\nb NO [READ-ONLY] ~\r\n"
			  "* 1 FETCH (BODY[TEXT] {21}\r\nFirst line\r\n.second\r\n)\r\nc OK done\r\n* 1 FETCH (FLAGS (\\Recent))\r\nd OK done\r\n"
			  "e NO [READ-ONLY] ~\r\nf OK closed\r\n");
}

// --- Fetching ---

static void wire_fetch(void **state)
{
	(void)state;
	put_many("INBOX", 2);
	expect_selected("a FETCH 1 (UID RFC822.SIZE INTERNALDATE)\r\nb FETCH 2:1 UID\r\nc UID FETCH 999:* FLAGS\r\nd UID FETCH 7 FLAGS\r\n"
			"e FETCH 3 UID\r\nf FETCH 0 UID\r\n",
		"* 1 FETCH (UID 1 INTERNALDATE \" 8-Sep-2001 20:46:40 -0500\" RFC822.SIZE #)\r\na OK done\r\n"
		"* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\nb OK done\r\n"
		"* 2 FETCH (UID 2 FLAGS (\\Recent))\r\nc OK done\r\nd OK done\r\ne BAD no such message number\r\nf BAD ~\r\n");
}

static void wire_fetch_sections(void **state)
{
	(void)state;
	put("INBOX", test_message);
	expect_selected("a FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT TO)] BODY.PEEK[TEXT]<6.4> BODY.PEEK[]<100000.5> BODY.PEEK[2])\r\n"
			"b FETCH 1 FLAGS\r\nc FETCH 1 BODY[1]\r\nd FETCH 1 BODY[1]\r\ne FETCH 1 RFC822.HEADER\r\n",
		"* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT TO)] {39}\r\nTo: bob@uni.example\r\nSubject: hello\r\n\r\n BODY[TEXT]<6> {4}\r\n"
		"line BODY[]<100000> {0}\r\n BODY[2] NIL)\r\na OK done\r\n* 1 FETCH (FLAGS (\\Recent))\r\nb OK done\r\n"
		"* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[1] {21}\r\nFirst line\r\n.second\r\n)\r\nc OK done\r\n"
		"* 1 FETCH (BODY[1] {21}\r\nFirst line\r\n.second\r\n)\r\nd OK done\r\n* 1 FETCH (RFC822.HEADER {#}\r\n~\r\n~\r\n~\r\n~\r\n~\r\n\r\n)\r\n"
		"e OK done\r\n");
}

static void wire_fetch_cached(void **state)
{
	(void)state;
	put("INBOX", test_message);
	expect_selected("a FETCH 1 ENVELOPE\r\nb FETCH 1 BODYSTRUCTURE\r\nc FETCH 1 FULL\r\n",
		"* 1 FETCH (ENVELOPE (\"Sat, 21 Nov 2026 19:44:15 +0100\" \"hello\" ((\"Ada\" NIL \"ada\" \"uni.example\")) ~\r\na OK done\r\n"
		"* 1 FETCH (BODYSTRUCTURE (\"text\" \"plain\" ~ 21 2 ~\r\nb OK done\r\n"
		"* 1 FETCH (FLAGS (\\Recent) INTERNALDATE ~ RFC822.SIZE ~ ENVELOPE ~ BODY ~\r\nc OK done\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(wire_stranger),   TEST(wire_privacy),      TEST(wire_failures), TEST(wire_authenticate), TEST(wire_not_here),
		TEST(wire_literals),   TEST(wire_bytewise),     TEST(wire_junk),     TEST(wire_ends),         TEST(wire_folders),
		TEST(rename_inbox),    TEST(made_again),
		TEST(wire_bad_names),  TEST(list_shows),         TEST(wire_lsub),     TEST(wire_status),       TEST(wire_select),
		TEST(wire_examine),    TEST(wire_fetch),        TEST(wire_fetch_sections), TEST(wire_fetch_cached),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
