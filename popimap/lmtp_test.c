// SPDX-License-Identifier: Apache-2.0
// LMTP as a front-end sees it: one reply per recipient, keys believed from our nodes alone, refusals that tell the truth.
#include "test_store.h"

#include "ldapsync/directory_memory.h"
#include "lmtp_session.h"
#include "test_settings.h"

#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY "0123456789abcdef0123456789abcdef"

static struct popimap popimap;
static struct lmtp_service service = {.popimap = &popimap, .tls = TLS_SLOT_INIT, .local = LOCAL_SOCKET_NONE};
static struct settings_snapshot *settings;
static struct directory *directory;
static struct directory_memory *memory;

static struct directory *get_directory(void *arg)
{
	(void)arg;
	return directory;
}

static struct settings_snapshot *get_settings(void *arg)
{
	(void)arg;
	return settings_ref(settings);
}

// joe is test_id(1), ann test_id(2); far lives on another node, off may not receive. Wants a line for joe, and the two ids.
#define PEOPLE \
	"dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n" \
	"dn: cn=mx1\nobjectClass: phMailHost\ncn: mx1.uni.example\nphHostTlsPin: sha256:" PIN "\n\n" \
	"dn: cn=mx2\nobjectClass: phMailHost\ncn: mx2.uni.example\n\n" \
	"dn: uid=joe\nobjectClass: phMailUser\nuid: joe\nmail: joe@uni.example\nmailHost: mx1.uni.example\n%sphMailboxId: %s\n\n" \
	"dn: uid=ann\nobjectClass: phMailUser\nuid: ann\nmail: ann@uni.example\nmailHost: mx1.uni.example\nphMailboxId: %s\n\n" \
	"dn: uid=far\nobjectClass: phMailUser\nuid: far\nmail: far@uni.example\nmailHost: mx2.uni.example\n" \
	"phMailboxId: 000000000000000000000000000000fa\n\n" \
	"dn: uid=move\nobjectClass: phMailUser\nuid: move\nmail: move@uni.example\nmailHost: mx1.uni.example\n" \
	"phMoveState: copying\nphMailboxId: 000000000000000000000000000000fb\n\n" \
	"dn: uid=off\nobjectClass: phMailUser\nuid: off\nmail: off@uni.example\nmailHost: mx1.uni.example\nphStatus: disabled\n" \
	"phMailboxId: 000000000000000000000000000000fc\n"

static void load_directory(const char *joes_status)
{
	char joe[GUID_TEXT_BYTES], ann[GUID_TEXT_BYTES];
	static char ldif[4096];
	struct guid joe_id = test_id(1), ann_id = test_id(2);
	struct err err;
	guid_text(&joe_id, joe);
	guid_text(&ann_id, ann);
	snprintf(ldif, sizeof ldif, PEOPLE, joes_status, joe, ann);
	directory_close(&directory);
	directory = directory_memory_new(str_of_c(ldif), &memory, &err);
	if (directory == NULL)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	int failed = test_setup(state);
	load_directory("");
	settings = settings_of_text("hostname = mx1.uni.example\nlisten_submissions = {}\nlisten_imaps = {}\nlisten_pop3s = {}\nmessage_size_max = 65536\n"
		  "recipients_max = 4\nsmtp_errors_max = 6\n");
	log_set_level(LOG_LEVEL_ERROR);
	popimap = (struct popimap){.store = test_store, .directory = get_directory, .settings_get = get_settings};
	return failed;
}

static int teardown(void **state)
{
	directory_close(&directory);
	settings_unref(&settings);
	return test_teardown(state);
}

enum peer { TRUSTED, ELSEWHERE, NODE, OTHER_CERTIFICATE };

// Where a client waits for our reply (RFC 2920 section 3.1): behind LHLO and DATA.
static size_t pauses(struct str in, size_t *splits)
{
	size_t n = 0;
	for (struct str rest = in, line; str_next_line(&rest, &line);)
		if (str_starts(line, STR("LHLO ")) || str_eq(line, STR("DATA")))
			splits[n++] = in.n - rest.n;
	return n;
}

// What a session answers, as a C string in static memory.
static const char *play(enum peer peer, const char *in, bool bytewise)
{
	static struct buf out;
	size_t splits[16];
	struct conn_memory script = {.input = str_of_c(in), .splits = splits, .splits_n = pauses(str_of_c(in), splits), .output = &out};
	struct err err;
	if (bytewise)
		script.splits_n = CONN_MEMORY_BYTEWISE;
	buf_fini(&out);
	buf_init(&out, 1 << 20);
	must(netaddr_parse(peer == TRUSTED ? STR("127.0.0.1:9") : STR("192.0.2.1:9"), 0, &script.peer));
	must(netaddr_parse(STR("127.0.0.1:24"), 0, &script.local));
	script.peer_spki = peer == NODE ? PIN : "ff";
	struct conn *conn = conn_of_memory(&script);
	if (peer == NODE || peer == OTHER_CERTIFICATE)
		must(conn_tls_accept(conn, NULL, NULL, &err) == ERR_OK);
	lmtp_serve(conn, &service);
	return buf_c(&out);
}

// The replies after those to LHLO, codes and enhanced codes only: "250 2.1.0, 250 2.1.5".
static const char *codes(enum peer peer, const char *in)
{
	static char text[1024];
	const char *from = strstr(play(peer, in, false), "\r\n250 ");
	size_t n = 0;
	text[0] = '\0';
	for (struct str rest = str_of_c(from ? from + 2 : ""), line; str_next_line(&rest, &line);) {
		struct str first, second = STR_NONE, other, tail = line;
		if (!str_cut(line, ' ', &first, &tail) || str_eq(tail, STR("SMTPUTF8")))
			continue;
		if (!str_cut(tail, ' ', &second, &other) || str_index(second, '.') < 0)
			second = STR_NONE;
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s%s%.*s", n ? ", " : "", STR_FMT(first), second.n ? " " : "",
			STR_FMT(second));
	}
	return text;
}

static unsigned messages_of(unsigned mailbox)
{
	struct mailbox *mb = test_mailbox(mailbox);
	unsigned n = test_status(mb, "INBOX").messages;
	test_close(&mb);
	return n;
}

#define LHLO "LHLO front.uni.example\r\n"
#define TO(who) "RCPT TO:<" who "@uni.example>\r\n"
#define MESSAGE "DATA\r\nSubject: x\r\n\r\n..dot\r\nline\r\n.\r\n"

static void each_recipient_has_its_reply(void **state)
{
	(void)state;
	static const char script[] = LHLO "MAIL FROM:<a@else.example>\r\n" TO("joe+lists") TO("nobody") TO("ann") MESSAGE "QUIT\r\n";
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		const char *out = play(TRUSTED, script, bytewise);
		if (strcmp(out, "220 mx1.uni.example LMTP Posthouse\r\n"
				"250-mx1.uni.example\r\n250-PIPELINING\r\n250-SIZE 196608\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n"
				"250-CHUNKING\r\n250 SMTPUTF8\r\n250 2.1.0 sender accepted\r\n250 2.1.5 recipient accepted\r\n550 5.1.1 no such user here\r\n"
				"250 2.1.5 recipient accepted\r\n354 end data with <CR><LF>.<CR><LF>\r\n250 2.0.0 delivered\r\n"
				"250 2.0.0 delivered\r\n221 2.0.0 goodbye\r\n") != 0)
			fail_msg("%s", out);
	}
	struct mailbox *mb = test_mailbox(1);
	struct message m = test_fetch(mb, test_status(mb, "INBOX").id, 1, FETCH_TEXT);
	assert_true(str_eq(m.text, STR("Return-Path: <a@else.example>\r\nDelivered-To: joe+lists@uni.example\r\nSubject: x\r\n\r\n.dot\r\nline\r\n")));
	test_close(&mb);
	assert_int_equal(messages_of(1), 2); // without a key each is a delivery of its own
	assert_int_equal(messages_of(2), 2);
}

static void refusals_tell_the_truth(void **state)
{
	(void)state;
	static const char script[] = LHLO "MAIL FROM:<>\r\n" TO("nobody") TO("far") TO("off");
	assert_string_equal(codes(TRUSTED, script), "250 2.1.0, 550 5.1.1, 451 4.3.5, 550 5.7.1");
	directory_memory_set_status(memory, &(struct directory_status){.version = 2, .complete = true, .fresh = false});
	assert_string_equal(codes(TRUSTED, script), "250 2.1.0, 451 4.3.0, 451 4.3.5, 451 4.3.0");
	directory_memory_set_status(memory, &(struct directory_status){.complete = false});
	assert_string_equal(codes(TRUSTED, script), "250 2.1.0, 451 4.3.0, 451 4.3.0, 451 4.3.0");
}

static void a_mailbox_on_the_move_is_not_made(void **state)
{
	(void)state;
	assert_string_equal(codes(TRUSTED, LHLO "MAIL FROM:<>\r\n" TO("move") MESSAGE), "250 2.1.0, 250 2.1.5, 354, 451 4.3.0");
}

static void keys_are_believed_from_nodes_alone(void **state)
{
	(void)state;
	static const char keyed[] = LHLO "MAIL FROM:<> XPHKEY=" KEY "\r\nRCPT TO:<joe@uni.example> XPHRCPT=,\r\n" MESSAGE;
	assert_string_equal(codes(TRUSTED, LHLO "MAIL FROM:<> XPHKEY=" KEY "\r\n" TO("joe") "DATA\r\n"), "550 5.7.1, 503 5.5.1, 503 5.5.1");
	assert_int_equal(messages_of(1), 0);
	assert_string_equal(codes(NODE, keyed), "250 2.1.0, 250 2.1.5, 354, 250 2.0.0");
	assert_non_null(strstr(play(NODE, keyed, false), "250-XPHKEY\r\n"));
	assert_non_null(strstr(play(NODE, keyed, false), "250 2.0.0 delivered before\r\n"));
	assert_int_equal(messages_of(1), 1);
	// A key of the recipient alone is one too.
	assert_string_equal(codes(TRUSTED, LHLO "MAIL FROM:<>\r\nRCPT TO:<joe@uni.example> XPHRCPT=,\r\n"), "250 2.1.0, 550 5.7.1");
	directory_memory_set_status(memory, &(struct directory_status){.complete = false});
	assert_string_equal(codes(NODE, LHLO "MAIL FROM:<> XPHKEY=" KEY "\r\n"), "451 4.3.0"); // never 5xx to a node of ours
}

static void one_mailbox_twice_gets_one_message(void **state)
{
	(void)state;
	assert_string_equal(codes(NODE, LHLO "MAIL FROM:<> XPHKEY=" KEY "\r\n"
				       "RCPT TO:<joe@uni.example> XPHRCPT=,\r\n"
				       "RCPT TO:<Joe@Uni.Example> XPHRCPT=,\r\n"
				       "RCPT TO:<joe@uni.example> XPHRCPT=,all@uni.example\r\n" MESSAGE),
		"250 2.1.0, 250 2.1.5, 250 2.1.5, 250 2.1.5, 354, 250 2.0.0, 250 2.0.0, 250 2.0.0");
	assert_int_equal(messages_of(1), 2); // the list's copy is another one
}

// The reply to the first delivery was lost, and meanwhile the account was closed.
static void a_known_key_comes_before_any_refusal(void **state)
{
	(void)state;
	static const char keyed[] = LHLO "MAIL FROM:<> XPHKEY=" KEY "\r\nRCPT TO:<joe@uni.example> XPHRCPT=,\r\n" MESSAGE;
	assert_string_equal(codes(NODE, keyed), "250 2.1.0, 250 2.1.5, 354, 250 2.0.0");
	load_directory("phStatus: disabled\n");
	assert_string_equal(codes(NODE, keyed), "250 2.1.0, 250 2.1.5, 354, 250 2.0.0");
	assert_string_equal(codes(NODE, LHLO "MAIL FROM:<> XPHKEY=" KEY "\r\nRCPT TO:<joe@uni.example> XPHRCPT=other,\r\n"),
		"250 2.1.0, 550 5.7.1");
	assert_int_equal(messages_of(1), 1);
}

static void strangers_deliver_nothing(void **state)
{
	(void)state;
	assert_string_equal(codes(ELSEWHERE, LHLO "MAIL FROM:<>\r\n"), "530 5.7.0");
	assert_string_equal(codes(OTHER_CERTIFICATE, LHLO "MAIL FROM:<>\r\n"), "530 5.7.0");
	assert_string_equal(codes(NODE, LHLO "MAIL FROM:<>\r\n" TO("joe") MESSAGE), "250 2.1.0, 250 2.1.5, 354, 250 2.0.0");
}

static void limits_hold(void **state)
{
	(void)state;
	static char script[300000];
	size_t n = (size_t)snprintf(script, sizeof script, LHLO "MAIL FROM:<>\r\n" TO("joe") TO("ann") "DATA\r\n");
	while (n < 200000)
		n += (size_t)snprintf(script + n, sizeof script - n, "%064d\r\n", 0);
	snprintf(script + n, sizeof script - n, ".\r\nNOOP\r\n");
	assert_string_equal(codes(TRUSTED, script), "250 2.1.0, 250 2.1.5, 250 2.1.5, 354, 552 5.3.4, 552 5.3.4, 250 2.0.0");
	assert_int_equal(messages_of(1), 0);
	assert_string_equal(codes(TRUSTED, LHLO "MAIL FROM:<> SIZE=1000000\r\n"), "552 5.3.4");
	assert_string_equal(codes(TRUSTED, LHLO "MAIL FROM:<>\r\n" TO("joe") TO("joe+1") TO("joe+2") TO("joe+3") TO("joe+4")),
		"250 2.1.0, 250 2.1.5, 250 2.1.5, 250 2.1.5, 250 2.1.5, 452 4.5.3");
}

static void commands_come_in_order(void **state)
{
	(void)state;
	assert_string_equal(codes(TRUSTED, LHLO "RCPT TO:<joe@uni.example>\r\nMAIL FROM:<>\r\nDATA\r\nMAIL FROM:<>\r\nRSET\r\n"),
		"503 5.5.1, 250 2.1.0, 554 5.5.1, 250 2.1.0, 250 2.0.0");
	assert_non_null(strstr(play(TRUSTED, "EHLO x\r\n", false), "500 5.5.1 this is LMTP"));
	assert_non_null(strstr(play(TRUSTED, "MAIL FROM:<>\r\n", false), "503 5.5.1"));
	assert_string_equal(codes(TRUSTED, LHLO "MAIL FROM:<a b>\r\nMAIL FROM:<a@b> FOO=1\r\nNOOP\r\nBDAT x\r\nNOOP\r\n"),
		"501 5.1.7, 555 5.5.4, 250 2.0.0, 501 5.5.4");
	assert_string_equal(codes(TRUSTED, LHLO "a\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\n"),
		"500 5.5.1, 500 5.5.1, 500 5.5.1, 500 5.5.1, 500 5.5.1, 500 5.5.1, 421 4.7.0");
}

static void chunks_keep_their_octets(void **state)
{
	(void)state;
	static const char script[] = LHLO "MAIL FROM:<a@else.example>\r\n" TO("joe") TO("nobody") TO("ann")
		"BDAT 14\r\nSubject: x\r\n\r\nBDAT 8\r\n.\r\n..\r\nxBDAT 0 LAST\r\nNOOP\r\n";
	assert_string_equal(codes(TRUSTED, script),
		"250 2.1.0, 250 2.1.5, 550 5.1.1, 250 2.1.5, 250 2.0.0, 250 2.0.0, 250 2.0.0, 250 2.0.0, 250 2.0.0");
	assert_int_equal(messages_of(2), 1);
	struct mailbox *mb = test_mailbox(1);
	struct message m = test_fetch(mb, test_status(mb, "INBOX").id, 1, FETCH_TEXT);
	assert_true(str_eq(m.text, STR("Return-Path: <a@else.example>\r\nDelivered-To: joe@uni.example\r\nSubject: x\r\n\r\n.\r\n..\r\nx")));
	test_close(&mb);
}

static void bare_newlines_are_no_ends(void **state)
{
	(void)state;
	assert_string_equal(codes(TRUSTED, LHLO "MAIL FROM:<>\r\n" TO("joe") "DATA\r\nSubject: x\r\n\r\na\n.\nMAIL FROM:<evil@x>\r\n.\r\nNOOP\r\n"),
		"250 2.1.0, 250 2.1.5, 354, 550 5.5.2, 250 2.0.0");
	assert_int_equal(messages_of(1), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_recipient_has_its_reply),
		TEST(refusals_tell_the_truth),
		TEST(a_mailbox_on_the_move_is_not_made),
		TEST(keys_are_believed_from_nodes_alone),
		TEST(one_mailbox_twice_gets_one_message),
		TEST(a_known_key_comes_before_any_refusal),
		TEST(strangers_deliver_nothing),
		TEST(limits_hold),
		TEST(commands_come_in_order),
		TEST(chunks_keep_their_octets),
		TEST(bare_newlines_are_no_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
