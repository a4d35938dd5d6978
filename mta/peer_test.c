// SPDX-License-Identifier: Apache-2.0
// The client's side of SMTP and LMTP against scripts: what a server says is played from memory, what we say is compared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/log.h"
#include "peer.h"

#define LMTP_HELLO "220 mb1 ready\r\n250-mb1\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 1000\r\n250 XPHKEY\r\n"
#define SMTP_HELLO "220 relay ready\r\n250-relay\r\n250-PIPELINING\r\n250 DSN\r\n"

enum { RECIPIENTS = 3 };

struct bench {
	struct arena *arena;
	struct buf said;
	struct peer *peer;
	struct item_message *message;
	struct item *items[RECIPIENTS];
	struct peer_recipient to[RECIPIENTS];
	size_t valid; // how often still_valid says yes
};

static bool body(void *arg, uint64_t offset, struct str *piece_out, struct err *err)
{
	struct bench *b = arg;
	(void)err;
	*piece_out = str_from(b->message->body, (size_t)offset);
	return true;
}

static bool still_valid(void *arg)
{
	struct bench *b = arg;
	return b->valid-- > 0;
}

static void fill(struct bench *b, uint8_t flags, const char *sender, const char *text, enum record_target target, const char *const *to)
{
	size_t bytes = strlen(text);
	bool open_end = bytes > 0 && (bytes < 2 || strcmp(text + bytes - 2, "\r\n") != 0);
	struct record_enter e = {.guid = {{1}}, .root = {{0xab}}, .flags = (uint8_t)(flags | (open_end ? RECORD_FLAG_OPEN_END : 0)),
		.sender = str_of_c(sender), .body_bytes = bytes};
	b->message = item_message_new(&e, 1, str_of_c(text));
	for (size_t i = 0; i < RECIPIENTS; i++) {
		struct record_recipient r = {.number = (uint32_t)i + 1, .target = target, .address = str_of_c(to[i]), .key = str_of_c(to[i]),
			.destination = STR("x"), .detail = i == 1 ? STR("lists") : STR_NONE};
		b->items[i] = item_new(b->message, &r);
		b->to[i].item = b->items[i];
	}
}

static const char *const plain[RECIPIENTS] = {"a@uni.example", "b@uni.example", "c@uni.example"};

static void begin(struct bench *b, bool lmtp, const char *script)
{
	memset(b, 0, sizeof *b);
	b->arena = arena_new(1 << 16);
	b->valid = 10;
	buf_init(&b->said, 1 << 18);
	struct conn_memory memory = {.input = str_of_c(script), .output = &b->said};
	struct conn *conn = conn_of_memory(&memory);
	struct peer_config config = {.lmtp = lmtp, .hostname = STR("mx.uni.example"), .host = STR("peer"), .reply_ms = 1000,
		.final_reply_ms = 1000};
	b->peer = peer_new(&conn, &config);
}

static void greet(struct bench *b)
{
	struct err err;
	if (peer_greet(b->peer, &err))
		fail_msg("%s", err.text);
	buf_clear(&b->said);
}

static void send_to(struct bench *b, size_t n)
{
	struct peer_transaction txn = {.arena = b->arena, .message = b->message, .to = b->to, .n = n, .body = body, .arg = b,
		.still_valid = still_valid};
	peer_send(b->peer, &txn);
}

static void end(struct bench *b)
{
	peer_quit(&b->peer);
	for (size_t i = 0; i < RECIPIENTS; i++)
		item_free(&b->items[i]);
	item_message_drop(&b->message);
	buf_fini(&b->said);
	arena_free(&b->arena);
}

static void assert_outcomes(const struct bench *b, enum peer_outcome first, enum peer_outcome second, enum peer_outcome third)
{
	assert_int_equal(b->to[0].outcome, first);
	assert_int_equal(b->to[1].outcome, second);
	assert_int_equal(b->to[2].outcome, third);
}

static void assert_reply(struct str reply, const char *want)
{
	char c[1200];
	assert_true(str_to_c(reply, c, sizeof c));
	assert_string_equal(c, want);
}

static void lmtp_answers_each_recipient(void **state)
{
	(void)state;
	struct bench b;
	begin(&b, true, LMTP_HELLO "250 ok\r\n250 ok\r\n550 5.1.1 no such user\r\n250 ok\r\n354 go\r\n250 2.0.0 stored\r\n452 4.2.2 full\r\n");
	fill(&b, 0, "s@else.example", "Subject: x\r\n\r\n.dot\r\n", RECORD_TO_MAILBOX, plain);
	greet(&b);
	assert_true(peer_has_key(b.peer));
	send_to(&b, 3);
	assert_outcomes(&b, PEER_ACCEPTED, PEER_PERMANENT, PEER_TEMPORARY);
	assert_reply(b.to[0].reply, "250 2.0.0 stored");
	assert_reply(b.to[1].reply, "550 5.1.1 no such user");
	assert_reply(b.to[2].reply, "452 4.2.2 full");
	assert_true(peer_is_usable(b.peer));
	assert_string_equal(buf_c(&b.said),
		"MAIL FROM:<s@else.example> SIZE=20 XPHKEY=ab000000000000000000000000000000\r\n"
		"RCPT TO:<a@uni.example> XPHRCPT=,\r\n"
		"RCPT TO:<b@uni.example> XPHRCPT=lists,\r\n"
		"RCPT TO:<c@uni.example> XPHRCPT=,\r\n"
		"DATA\r\n"
		"Subject: x\r\n\r\n..dot\r\n.\r\n");
	end(&b);
}

#define CHUNK_HELLO "220 mb1 ready\r\n250-mb1\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 XPHKEY\r\n"

// To a mailbox host of ours a small message goes with its envelope, and its octets as they are.
static void lmtp_sends_a_small_message_at_once(void **state)
{
	(void)state;
	static const struct {
		const char *replies;
		enum peer_outcome want[RECIPIENTS];
		bool usable;
	} cases[] = {
		{"250 ok\r\n250 ok\r\n550 5.1.1 no such user\r\n250 ok\r\n250 2.0.0 stored\r\n452 4.2.2 full\r\n",
			{PEER_ACCEPTED, PEER_PERMANENT, PEER_TEMPORARY}, true},
		{"250 ok\r\n550 no\r\n451 later\r\n550 no\r\n503 5.5.1 no recipients\r\n", {PEER_PERMANENT, PEER_TEMPORARY, PEER_PERMANENT}, true},
		{"552 5.3.4 too big\r\n503 no\r\n503 no\r\n503 no\r\n503 no\r\n", {PEER_PERMANENT, PEER_PERMANENT, PEER_PERMANENT}, true},
		{"530 5.7.0 not one of our nodes\r\n530 no\r\n530 no\r\n530 no\r\n503 no\r\n", {PEER_TEMPORARY, PEER_TEMPORARY, PEER_TEMPORARY}, true},
		// it breaks: before the envelope's replies, and in the middle of the final ones
		{"", {PEER_TEMPORARY, PEER_TEMPORARY, PEER_TEMPORARY}, false},
		{"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n250 2.0.0 stored\r\n", {PEER_ACCEPTED, PEER_PERMANENT, PEER_TEMPORARY}, false},
		// out of step: one too many, one taken for nobody, a request to go on
		{"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n250 ok\r\n", {PEER_TEMPORARY, PEER_TEMPORARY, PEER_TEMPORARY}, false},
		{"250 ok\r\n550 no\r\n550 no\r\n550 no\r\n250 stored\r\n", {PEER_TEMPORARY, PEER_TEMPORARY, PEER_TEMPORARY}, false},
		{"250 ok\r\n550 no\r\n550 no\r\n550 no\r\n503 no\r\n503 no\r\n", {PEER_TEMPORARY, PEER_TEMPORARY, PEER_TEMPORARY}, false},
		{"250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n250 stored\r\n", {PEER_TEMPORARY, PEER_TEMPORARY, PEER_TEMPORARY}, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char script[1000];
		struct bench b;
		snprintf(script, sizeof script, "%s%s", CHUNK_HELLO, cases[i].replies);
		begin(&b, true, script);
		fill(&b, 0, "s@else.example", "Subject: x\r\n\r\n.dot\r\n", RECORD_TO_MAILBOX, plain);
		greet(&b);
		send_to(&b, 3);
		assert_outcomes(&b, cases[i].want[0], cases[i].want[1], cases[i].want[2]);
		assert_int_equal(peer_is_usable(b.peer), cases[i].usable);
		assert_string_equal(buf_c(&b.said),
			"MAIL FROM:<s@else.example> XPHKEY=ab000000000000000000000000000000\r\n"
			"RCPT TO:<a@uni.example> XPHRCPT=,\r\n"
			"RCPT TO:<b@uni.example> XPHRCPT=lists,\r\n"
			"RCPT TO:<c@uni.example> XPHRCPT=,\r\n"
			"BDAT 20 LAST\r\nSubject: x\r\n\r\n.dot\r\n");
		end(&b);
	}
}

// A last line without an end gets one, as by DATA, whatever the size of the message; an empty message stays empty.
static void a_chunk_ends_with_a_line_end(void **state)
{
	(void)state;
	static const struct {
		const char *text, *chunk;
	} cases[] = {{"x\r\n", "BDAT 3 LAST\r\nx\r\n"}, {"x", "BDAT 3 LAST\r\nx\r\n"}, {"Subject: x\r\n\r\nend\n", "BDAT 20 LAST\r\nSubject: x\r\n\r\nend\n\r\n"},
		{"", "BDAT 0 LAST\r\n"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bench b;
		begin(&b, true, CHUNK_HELLO "250 ok\r\n250 ok\r\n250 stored\r\n");
		fill(&b, 0, "s@else.example", cases[i].text, RECORD_TO_MAILBOX, plain);
		greet(&b);
		send_to(&b, 1);
		assert_int_equal(b.to[0].outcome, PEER_ACCEPTED);
		assert_true(str_ends(buf_str(&b.said), str_of_c(cases[i].chunk)));
		end(&b);
	}
}

// Where a second delivery would be one (SMTP; LMTP without the key) and where the message is large, nothing goes before it is asked for.
static void what_is_not_known_to_be_wanted_waits_for_354(void **state)
{
	(void)state;
	static char large[(64 << 10) + 2];
	memset(large, 'x', sizeof large - 1);
	static const struct {
		bool lmtp;
		const char *hello, *text;
	} cases[] = {
		{true, CHUNK_HELLO, large},
		{true, "220 mb1 ready\r\n250-mb1\r\n250-CHUNKING\r\n250 PIPELINING\r\n", "x\r\n"},
		{false, CHUNK_HELLO, "x\r\n"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char script[1000];
		struct bench b;
		snprintf(script, sizeof script, "%s250 ok\r\n250 ok\r\n354 go\r\n250 stored\r\n", cases[i].hello);
		begin(&b, cases[i].lmtp, script);
		fill(&b, 0, "s@else.example", cases[i].text, RECORD_TO_MAILBOX, plain);
		greet(&b);
		send_to(&b, 1);
		assert_int_equal(b.to[0].outcome, PEER_ACCEPTED);
		assert_true(str_find(buf_str(&b.said), STR("\r\nDATA\r\n")) > 0 && str_find(buf_str(&b.said), STR("BDAT")) < 0);
		end(&b);
	}
}

static void our_own_nodes_that_do_not_fit_bounce_nothing(void **state)
{
	(void)state;
	static const struct {
		bool lmtp;
		const char *reply;
		enum peer_outcome want;
	} rows[] = {
		{true, "530 5.7.0 not one of our nodes", PEER_TEMPORARY},
		{true, "550 5.7.1 delivery key refused", PEER_TEMPORARY},
		{true, "503 5.5.1 bad sequence", PEER_TEMPORARY},
		{true, "552 5.3.4 message too big", PEER_PERMANENT},
		{false, "530 5.7.0 log in first", PEER_PERMANENT},
		{false, "550 5.7.1 not from you", PEER_PERMANENT},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bench b;
		char script[1000];
		snprintf(script, sizeof script, "%s%s\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n250 ok\r\n",
			rows[i].lmtp ? LMTP_HELLO : SMTP_HELLO, rows[i].reply);
		begin(&b, rows[i].lmtp, script);
		fill(&b, 0, "s@else.example", "Subject: x\r\n\r\nx\r\n", rows[i].lmtp ? RECORD_TO_MAILBOX : RECORD_TO_RELAY, plain);
		greet(&b);
		send_to(&b, 3);
		assert_outcomes(&b, rows[i].want, rows[i].want, rows[i].want);
		assert_reply(b.to[2].reply, rows[i].reply);
		end(&b);
	}
}

static void a_reply_that_does_not_come_is_temporary(void **state)
{
	(void)state;
	struct bench b;
	begin(&b, true, LMTP_HELLO "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 stored\r\n");
	fill(&b, 0, "", "x\r\n", RECORD_TO_MAILBOX, plain);
	greet(&b);
	send_to(&b, 3);
	assert_outcomes(&b, PEER_ACCEPTED, PEER_TEMPORARY, PEER_TEMPORARY);
	assert_true(b.to[1].ours);
	assert_false(peer_is_usable(b.peer));
	end(&b);
}

static void replies_out_of_step_bounce_nobody(void **state)
{
	(void)state;
	static const char *const scripts[] = {
		// one too many after the message: whose is which?
		LMTP_HELLO "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n550 no\r\n250 stored\r\n250 stored\r\n250 stored\r\n",
		// one too many before it
		LMTP_HELLO "250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n250 ok\r\n354 go\r\n250 stored\r\n250 stored\r\n",
		// 354 where a recipient's reply must be
		LMTP_HELLO "250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n250 stored\r\n",
		// 354 after the message
		LMTP_HELLO "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n550 no\r\n354 go\r\n250 stored\r\n",
	};
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		struct bench b;
		begin(&b, true, scripts[i]);
		fill(&b, 0, "s@else.example", "x\r\n", RECORD_TO_MAILBOX, plain);
		greet(&b);
		send_to(&b, 3);
		assert_outcomes(&b, PEER_TEMPORARY, PEER_TEMPORARY, PEER_TEMPORARY);
		assert_false(peer_is_usable(b.peer));
		end(&b);
	}
}

static void the_word_on_mail_is_for_all(void **state)
{
	(void)state;
	struct bench b;
	begin(&b, true, LMTP_HELLO "554 5.6.0 not this\r\n503 no\r\n503 no\r\n503 no\r\n503 no\r\n250 reset\r\n");
	fill(&b, 0, "s@else.example", "x\r\n", RECORD_TO_MAILBOX, plain);
	greet(&b);
	send_to(&b, 3);
	assert_outcomes(&b, PEER_PERMANENT, PEER_PERMANENT, PEER_PERMANENT);
	assert_reply(b.to[2].reply, "554 5.6.0 not this");
	assert_true(peer_is_usable(b.peer));
	end(&b);
}

static void data_that_nobody_may_have_is_empty(void **state)
{
	(void)state;
	struct bench b;
	begin(&b, true, LMTP_HELLO "250 ok\r\n550 no\r\n451 later\r\n550 no\r\n354 go\r\n503 no recipients\r\n");
	fill(&b, 0, "s@else.example", "secret\r\n", RECORD_TO_MAILBOX, plain);
	greet(&b);
	send_to(&b, 3);
	assert_outcomes(&b, PEER_PERMANENT, PEER_TEMPORARY, PEER_PERMANENT);
	assert_true(str_find(buf_str(&b.said), STR("secret")) < 0);
	assert_true(str_ends(buf_str(&b.said), STR("DATA\r\n.\r\n")));
	end(&b);
}

static void a_kept_connection_that_closed_costs_nothing(void **state)
{
	(void)state;
	static const char *const ends[] = {"", "421 4.3.2 closing\r\n"};
	for (size_t i = 0; i < 2; i++) {
		char script[512];
		struct bench b;
		snprintf(script, sizeof script, "%s250 ok\r\n250 ok\r\n354 go\r\n250 stored\r\n%s", LMTP_HELLO, ends[i]);
		begin(&b, false, script);
		fill(&b, 0, "s@else.example", "x\r\n", RECORD_TO_MAILBOX, plain);
		greet(&b);
		send_to(&b, 1);
		assert_int_equal(b.to[0].outcome, PEER_ACCEPTED);
		if (peer_is_usable(b.peer)) {
			send_to(&b, 2);
			assert_int_equal(b.to[0].outcome, PEER_UNTRIED);
			assert_int_equal(b.to[1].outcome, PEER_UNTRIED);
		}
		assert_false(peer_is_usable(b.peer));
		end(&b);
	}
}

static void without_pipelining_each_reply_is_awaited(void **state)
{
	(void)state;
	struct bench b;
	begin(&b, false, "220 old\r\n502 what\r\n250 old\r\n250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n250 queued\r\n");
	fill(&b, 0, "s@else.example", "x\r\n", RECORD_TO_RELAY, plain);
	greet(&b);
	send_to(&b, 3);
	assert_outcomes(&b, PEER_ACCEPTED, PEER_PERMANENT, PEER_ACCEPTED);
	assert_true(peer_is_usable(b.peer));
	end(&b);
}

static void smtp_has_one_reply_for_all(void **state)
{
	(void)state;
	struct bench b;
	begin(&b, false, SMTP_HELLO "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n550 5.7.1 spam\r\n");
	fill(&b, RECORD_FLAG_RET_HDRS, "s@else.example", "x\r\n", RECORD_TO_RELAY, plain);
	b.items[0]->r.notify = RECORD_NOTIFY_SUCCESS | RECORD_NOTIFY_DELAY;
	b.items[0]->r.orcpt = STR("rfc822;o@uni.example");
	greet(&b);
	assert_true(peer_has_dsn(b.peer));
	send_to(&b, 3);
	assert_outcomes(&b, PEER_PERMANENT, PEER_PERMANENT, PEER_PERMANENT);
	assert_true(str_starts(buf_str(&b.said), STR("MAIL FROM:<s@else.example> RET=HDRS\r\n"
						     "RCPT TO:<a@uni.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o@uni.example\r\n")));
	end(&b);
}

// Threat utf8-nohop, and its neighbours.
static void what_does_not_fit_the_next_hop_is_returned(void **state)
{
	(void)state;
	static const char *const odd[RECIPIENTS] = {"\xc3\xbc@uni.example", "b@uni.example", "c@uni.example"};
	static const struct {
		uint8_t flags;
		const char *text;
		const char *const *to;
		const char *want; // NULL: it goes out
	} cases[] = {
		{RECORD_FLAG_UTF8, "Subject: x\r\n\r\nx\r\n", plain, NULL},
		{RECORD_FLAG_UTF8, "Subject: x\r\n\r\nx\r\n", odd, "550 5.6.7 the next hop does not support SMTPUTF8"},
		{RECORD_FLAG_UTF8, "Subject: \xc3\xbc\r\n\r\nx\r\n", plain, "550 5.6.7 the next hop does not support SMTPUTF8"},
		{RECORD_FLAG_8BIT, "Subject: x\r\n\r\n\xfc\r\n", plain, "554 5.6.3 the next hop does not support 8BITMIME"},
		{RECORD_FLAG_8BIT, "Subject: x\r\n\r\nx\r\n", plain, NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bench b;
		begin(&b, false, SMTP_HELLO "250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n");
		fill(&b, cases[i].flags, "s@else.example", cases[i].text, RECORD_TO_RELAY, cases[i].to);
		greet(&b);
		send_to(&b, 1);
		assert_int_equal(b.to[0].outcome, cases[i].want ? PEER_PERMANENT : PEER_ACCEPTED);
		if (cases[i].want) {
			assert_reply(b.to[0].reply, cases[i].want);
			assert_int_equal(b.said.n, 0);
		} else {
			assert_true(str_find(buf_str(&b.said), STR("SMTPUTF8")) < 0);
		}
		end(&b);
	}
}

// The world's limit is the sender's to hear; that of a node of ours is our fault, and waits for the operator.
static void a_message_over_their_size_is_returned_or_waits(void **state)
{
	(void)state;
	static const struct {
		bool lmtp;
		const char *hello;
		enum peer_outcome want;
		const char *reply;
	} rows[] = {
		{true, LMTP_HELLO, PEER_TEMPORARY, "451 4.3.5 the mailbox host is set to take less than we do"},
		{false, "220 mx ready\r\n250-mx\r\n250 SIZE 1000\r\n", PEER_PERMANENT, "552 5.3.4 message is too big for the next hop"},
	};
	char text[1500];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bench b;
		struct buf logged;
		buf_init(&logged, 1 << 16);
		log_capture_begin(&logged);
		begin(&b, rows[i].lmtp, rows[i].hello);
		fill(&b, 0, "s@else.example", text, rows[i].lmtp ? RECORD_TO_MAILBOX : RECORD_TO_RELAY, plain);
		greet(&b);
		send_to(&b, 3);
		assert_outcomes(&b, rows[i].want, rows[i].want, rows[i].want);
		assert_reply(b.to[0].reply, rows[i].reply);
		log_capture_end();
		assert_int_equal(str_find(buf_str(&logged), STR("level=error")) >= 0, rows[i].lmtp);
		buf_fini(&logged);
		end(&b);
	}
}

static void an_attempt_that_is_over_sends_no_dot(void **state)
{
	(void)state;
	struct bench b;
	begin(&b, false, SMTP_HELLO "250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n");
	fill(&b, 0, "s@else.example", "x\r\n", RECORD_TO_RELAY, plain);
	b.valid = 1; // before MAIL, not before the dot
	greet(&b);
	send_to(&b, 1);
	assert_int_equal(b.to[0].outcome, PEER_TEMPORARY);
	assert_false(str_ends(buf_str(&b.said), STR("\r\n.\r\n")));
	assert_false(peer_is_usable(b.peer));
	end(&b);
}

static void a_server_that_is_none_is_left(void **state)
{
	(void)state;
	static const struct {
		const char *script;
		enum err_code want;
	} cases[] = {
		{"", ERR_CLOSED},
		{"SSH-2.0-x\r\n", ERR_PROTOCOL},
		{"421 4.3.2 not now\r\n", ERR_BUSY},
		{"554 5.7.1 go away\r\n", ERR_BUSY},
		{"220 ready\r\n451 not now\r\n", ERR_BUSY},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bench b;
		begin(&b, true, cases[i].script);
		assert_int_equal(peer_greet(b.peer, NULL), cases[i].want);
		assert_false(peer_is_usable(b.peer));
		end(&b);
	}
}

// Threat stls-strip: nothing of a message goes to a server that should offer TLS and does not.
static void tls_that_must_be_is_not_left_out(void **state)
{
	(void)state;
	struct bench b;
	struct err err;
	memset(&b, 0, sizeof b);
	buf_init(&b.said, 4096);
	struct conn_memory memory = {.input = STR(LMTP_HELLO), .output = &b.said};
	struct conn *conn = conn_of_memory(&memory);
	struct str pin = STR("sha256:00");
	struct peer_config config = {.lmtp = true, .hostname = STR("mx"), .host = STR("peer"), .tls = PEER_TLS_PINNED, .pins = &pin, .pins_n = 1,
		.reply_ms = 1000, .final_reply_ms = 1000};
	b.peer = peer_new(&conn, &config);
	assert_int_equal(peer_greet(b.peer, &err), ERR_TLS);
	assert_true(peer_tls_failed(b.peer));
	assert_true(str_find(buf_str(&b.said), STR("MAIL")) < 0);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lmtp_answers_each_recipient),
		cmocka_unit_test(lmtp_sends_a_small_message_at_once),
		cmocka_unit_test(a_chunk_ends_with_a_line_end),
		cmocka_unit_test(what_is_not_known_to_be_wanted_waits_for_354),
		cmocka_unit_test(our_own_nodes_that_do_not_fit_bounce_nothing),
		cmocka_unit_test(a_reply_that_does_not_come_is_temporary),
		cmocka_unit_test(replies_out_of_step_bounce_nobody),
		cmocka_unit_test(the_word_on_mail_is_for_all),
		cmocka_unit_test(data_that_nobody_may_have_is_empty),
		cmocka_unit_test(a_kept_connection_that_closed_costs_nothing),
		cmocka_unit_test(without_pipelining_each_reply_is_awaited),
		cmocka_unit_test(smtp_has_one_reply_for_all),
		cmocka_unit_test(what_does_not_fit_the_next_hop_is_returned),
		cmocka_unit_test(a_message_over_their_size_is_returned_or_waits),
		cmocka_unit_test(an_attempt_that_is_over_sends_no_dot),
		cmocka_unit_test(a_server_that_is_none_is_left),
		cmocka_unit_test(tls_that_must_be_is_not_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
