// SPDX-License-Identifier: Apache-2.0
// POP3 sessions over a scripted wire: every command, and PROTOCOLS 81 to 89.
#include "test_wire.h"

#define GREETING "+OK mx1.uni.example Posthouse ready\r\n"
#define LOGIN "USER joe\r\nPASS secret\r\n"
#define LOGGED_IN GREETING "+OK password?\r\n+OK maildrop is open\r\n"

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

// Somebody else: a digit expunges that UID, "d" delivers.
static void somebody(char which)
{
	struct err err = {0};
	struct uid_list gone;
	if (which == 'd') {
		put(test_message);
		return;
	}
	const uint32_t inbox = test_status(mb, "INBOX").id, uid = (uint32_t)(which - '0');
	assert_int_equal(message_remove(mb, inbox, &uid, 1, test_arena, &gone, &err), ERR_OK);
}

static void expect(const char *in, const char *pattern)
{
	struct buf b;
	struct str out = wire_play(pop3_serve, in, somebody, &b);
	if (!wire_fits(pattern, out))
		fail_msg("script:\n%s\nexpected:\n%s\ngot:\n%.*s", in, pattern, STR_FMT(out));
	buf_fini(&b);
}

static void strangers(void **state)
{
	(void)state;
	expect("CAPA\r\nSTAT\r\nXYZZY\r\nPASS x\r\nUSER\r\nQUIT now\r\nNOOP\r\nQUIT\r\nCAPA\r\n",
		GREETING "+OK capabilities\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUSER\r\nSASL SCRAM-SHA-256 PLAIN LOGIN\r\n"
			 "IMPLEMENTATION Posthouse\r\n.\r\n-ERR log in first\r\n-ERR unknown command\r\n-ERR USER comes first\r\n"
			 "-ERR an argument is missing\r\n-ERR no argument here\r\n-ERR log in first\r\n+OK goodbye\r\n");
}

// Threat auth-clear.
static void no_password_in_the_clear(void **state)
{
	(void)state;
	const struct wire_run run = {
		.serve = pop3_serve,
		.in = "CAPA\r\nUSER joe\r\nPASS secret\r\nAUTH PLAIN joe\r\nSTLS\r\n",
		.stranger = true,
	};
	wire_expect(&run, GREETING "+OK capabilities\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nIMPLEMENTATION Posthouse\r\n"
				   ".\r\n-ERR start TLS first\r\n-ERR start TLS first\r\n-ERR start TLS first\r\n-ERR TLS is not available\r\n");
}

static void failures_are_alike(void **state)
{
	(void)state;
	expect("USER joe\r\nPASS wrong\r\nUSER nobody\r\nPASS secret\r\nUSER broken\r\nPASS x\r\nAUTH PLAIN nobody\r\n" LOGIN,
		GREETING "+OK password?\r\n-ERR [AUTH] authentication failed\r\n+OK password?\r\n-ERR [AUTH] authentication failed\r\n"
			 "+OK password?\r\n-ERR [SYS/TEMP] ~\r\n-ERR [AUTH] authentication failed\r\n");
	assert_int_equal(wire_penalties, 1 + 2 + 3);
}

static void authenticates(void **state)
{
	(void)state;
	expect("AUTH PLAIN joe\r\nSTAT\r\nUSER joe\r\n", GREETING "+OK maildrop is open\r\n+OK 0 0\r\n-ERR not now\r\n");
	expect("AUTH plain\r\njoe\r\nQUIT\r\n", GREETING "+ \r\n+OK maildrop is open\r\n+OK goodbye\r\n");
	expect("AUTH\r\nAUTH PLAIN\r\n*\r\nAUTH GSSAPI\r\n",
		GREETING "-ERR mechanism?\r\n+ \r\n-ERR authentication aborted\r\n-ERR mechanism not supported\r\n");
}

// PROTOCOLS 81: one session has the maildrop; the lock goes with it.
static void one_session_at_a_time(void **state)
{
	(void)state;
	struct mailbox *other = test_mailbox(1);
	assert_true(mailbox_lock_maildrop(other));
	expect(LOGIN "STAT\r\n", GREETING "+OK password?\r\n-ERR [IN-USE] another session has the maildrop\r\n-ERR log in first\r\n");
	test_close(&other);
	expect(LOGIN, LOGGED_IN);
	expect(LOGIN, LOGGED_IN);
}

// PROTOCOLS 84, 85, 86. A last line without its end gets one, which counts.
static void shows_the_maildrop(void **state)
{
	(void)state;
	put(test_message);
	put(".a\r\n\r\n..\r\nb\r\n");
	put("Subject: no end");
	expect(LOGIN "STAT\r\nLIST\r\nLIST 2\r\nLIST 4\r\nUIDL\r\nUIDL 1\r\nRETR 2\r\nRETR 3\r\nRETR 0\r\nRETR x\r\n",
		LOGGED_IN "+OK 3 #\r\n+OK ~\r\n1 #\r\n2 13\r\n3 17\r\n.\r\n+OK 2 13\r\n-ERR no such message\r\n+OK ~\r\n1 #.1\r\n2 #.2\r\n3 #.3\r\n.\r\n"
			  "+OK 1 #.1\r\n+OK 13 octets\r\n..a\r\n\r\n...\r\nb\r\n.\r\n+OK 17 octets\r\nSubject: no end\r\n.\r\n-ERR ~\r\n-ERR ~\r\n");
}

// PROTOCOLS 87.
static void top(void **state)
{
	(void)state;
	put("A: 1\r\nB: 2\r\n\r\n.one\r\ntwo\r\nthree\r\n");
	expect(LOGIN "TOP 1 0\r\nTOP 1 2\r\nTOP 1 99\r\nTOP 1\r\nTOP 2 1\r\nTOP 1 x\r\n",
		LOGGED_IN "+OK ~\r\nA: 1\r\nB: 2\r\n\r\n.\r\n+OK ~\r\nA: 1\r\nB: 2\r\n\r\n..one\r\ntwo\r\n.\r\n"
			  "+OK ~\r\nA: 1\r\nB: 2\r\n\r\n..one\r\ntwo\r\nthree\r\n.\r\n-ERR ~\r\n-ERR no such message\r\n-ERR ~\r\n");
}

// PROTOCOLS 82: only QUIT removes.
static void quit_removes(void **state)
{
	(void)state;
	put(test_message);
	put(test_message);
	expect(LOGIN "DELE 1\r\nDELE 1\r\nSTAT\r\nLIST\r\nRETR 1\r\n",
		LOGGED_IN "+OK marked\r\n-ERR no such message\r\n+OK 1 #\r\n+OK ~\r\n2 #\r\n.\r\n-ERR no such message\r\n");
	assert_int_equal(test_status(mb, "INBOX").messages, 2);
	expect(LOGIN "DELE 2\r\nRSET\r\nDELE 1\r\nRETR 2\r\nNOOP\r\nQUIT\r\n",
		LOGGED_IN "+OK marked\r\n+OK ~\r\n+OK marked\r\n+OK ~\r\nFrom: ~\r\nTo: ~\r\nSubject: ~\r\nMessage-ID: ~\r\nDate: ~\r\n\r\n"
			  "First line\r\n..second\r\n.\r\n+OK done\r\n+OK goodbye\r\n");
	const struct folder_info info = test_status(mb, "INBOX");
	assert_int_equal(info.messages, 1);
	assert_int_equal(info.unseen, 0);
	assert_true(test_fetch(mb, info.id, 2, 0).found);
}

// PROTOCOLS 83 and 89: the numbers stay, a message that IMAP removed is still readable or fails alone.
static void a_snapshot(void **state)
{
	(void)state;
	put(test_message);
	put(test_message);
	expect(LOGIN "\0011\1dSTAT\r\nLIST 2\r\nTOP 1 0\r\nLIST 3\r\nDELE 1\r\nQUIT\r\n",
		LOGGED_IN "+OK 2 #\r\n+OK 2 #\r\n+OK ~\r\nFrom: ~\r\nTo: ~\r\nSubject: ~\r\nMessage-ID: ~\r\nDate: ~\r\n\r\n.\r\n-ERR ~\r\n+OK marked\r\n"
			  "+OK goodbye\r\n");
	assert_int_equal(test_status(mb, "INBOX").messages, 2);
}

// A large message, and lines that pieces cut: what is sent is what is stored.
static void large_messages(void **state)
{
	struct buf text, expected;
	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&expected, 1 << 20);
	buf_add_c(&text, "A: b\r\n\r\n");
	for (int i = 0; i < 12000; i++)
		buf_printf(&text, "..%05d.\r\n", i);
	struct str rest = buf_str(&text), line;
	while (str_next_line(&rest, &line))
		buf_printf(&expected, "%s%.*s\r\n", line.n && line.p[0] == '.' ? "." : "", STR_FMT(line));
	test_append(mb, "INBOX", buf_str(&text), 0);
	struct buf b;
	struct str out = wire_play(pop3_serve, LOGIN "RETR 1\r\n", somebody, &b);
	buf_add_c(&expected, ".\r\n");
	assert_true(str_ends(out, buf_str(&expected)));
	buf_fini(&b);
	buf_fini(&text);
	buf_fini(&expected);
}

// How a client fetches its mail. What is sent is what was there at the log-in, also where a message is marked, expunged, large or empty.
static void one_after_the_other(void **state)
{
	struct buf large;
	(void)state;
	buf_init(&large, 1 << 20);
	buf_add_c(&large, "A: large\r\n\r\n");
	for (int i = 0; i < 40000; i++)
		buf_add_byte(&large, 'x');
	buf_add_c(&large, "\r\n");
	put("A: 1\r\n\r\n.one\r\n.\r\n");
	put("A: 2\r\n\r\ntwo.\r\n..");
	put("A: 3\r\n\r\nthree\r\n");
	put("A: 4\r\n\r\nfour\r\n");
	put(buf_c(&large));
	put("A: 6\r\n\r\nsix\r\n");
	put("A: 7\r\n\r\n777\r\n"); // of the size of the one before
	expect(LOGIN "DELE 4\r\nRETR 1\r\nRETR 2\r\n\1" "3RETR 3\r\nRETR 4\r\nRETR 5\r\nRETR 6\r\nRETR 7\r\nTOP 7 0\r\nRETR 2\r\nRETR 8\r\n",
		LOGGED_IN "+OK marked\r\n+OK 17 octets\r\nA: 1\r\n\r\n..one\r\n..\r\n.\r\n+OK 18 octets\r\nA: 2\r\n\r\ntwo.\r\n...\r\n.\r\n"
			  "+OK 15 octets\r\nA: 3\r\n\r\nthree\r\n.\r\n-ERR no such message\r\n+OK 40014 octets\r\nA: large\r\n\r\n~\r\n.\r\n"
			  "+OK 13 octets\r\nA: 6\r\n\r\nsix\r\n.\r\n+OK 13 octets\r\nA: 7\r\n\r\n777\r\n.\r\n+OK 13 octets\r\nA: 7\r\n\r\n.\r\n"
			  "+OK 18 octets\r\nA: 2\r\n\r\ntwo.\r\n...\r\n.\r\n-ERR no such message\r\n");
	buf_fini(&large);
}

static void junk(void **state)
{
	struct buf script, b;
	(void)state;
	buf_init(&script, 1 << 20);
	for (int i = 0; i < 20000; i++)
		buf_add_byte(&script, 'x');
	buf_add_c(&script, "\r\nCAPA x\r\n");
	for (int i = 0; i < 100; i++)
		buf_add_c(&script, "POST / HTTP/1.1\r\n");
	struct str out = wire_play(pop3_serve, buf_c(&script), somebody, &b);
	assert_true(str_starts(out, STR(GREETING "-ERR line too long\r\n-ERR no argument here\r\n-ERR unknown command\r\n")));
	assert_true(out.n < 1000); // it ended long before the hundredth
	buf_fini(&b);
	buf_fini(&script);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(strangers),             TEST(no_password_in_the_clear), TEST(failures_are_alike), TEST(authenticates),
		TEST(one_session_at_a_time), TEST(shows_the_maildrop),       TEST(top),                TEST(quit_removes),
		TEST(a_snapshot),            TEST(large_messages),           TEST(one_after_the_other), TEST(junk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
