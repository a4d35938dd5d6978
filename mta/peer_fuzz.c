// SPDX-License-Identifier: Apache-2.0
// A server that says anything to our client: the first byte says which protocol, which message and in which pieces it talks, the
// rest is what it says. Whoever counts as accepted or refused was answered so; what we say is commands of ours, with our line
// ends.
// Covers: mta/peer.c mta/peer_send.c
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LMTP = 1, BYTEWISE = 2, EIGHT_BIT = 4, UTF8 = 8, LARGE = 16, TLS_MUST = 32, WRAPPED = 64, RECIPIENTS = 3, ROUNDS = 2,
LARGE_BYTES = 20000 };

static struct str body_text; // of the message that is sent

static bool read_body(void *arg, uint64_t offset, struct str *piece_out, struct err *err)
{
	(void)arg;
	(void)err;
	*piece_out = str_upto(str_from(body_text, (size_t)offset), 4000);
	return true;
}

static void make_body(unsigned flags, struct buf *text)
{
	buf_add_c(text, flags & UTF8 ? "Subject: gr\xc3\xbc\xc3\x9f\r\n\r\n" : "Subject: x\r\n\r\n.dot\r\n");
	if (flags & EIGHT_BIT)
		buf_add_c(text, "\xe4\xf6\r\n");
	while ((flags & LARGE) && text->n < LARGE_BYTES)
		buf_add_c(text, "a line of a larger message, which leaves in more than one piece\r\n");
	body_text = buf_str(text);
}

static void check_recipient(const struct peer_recipient *to)
{
	switch (to->outcome) {
	case PEER_ACCEPTED:
		must(to->reply.n >= 3 && to->reply.p[0] == '2' && !to->ours);
		break;
	case PEER_TEMPORARY:
		must(to->reply.n >= 3 && (to->ours ? to->reply.p[0] == '4' : chr_is_digit(to->reply.p[0])));
		break;
	case PEER_PERMANENT:
		must(to->reply.n >= 3 && to->reply.p[0] == '5');
		break;
	case PEER_UNTRIED:
		must(to->reply.n == 0);
		break;
	}
	for (size_t i = 0; i < to->reply.n; i++)
		must((unsigned char)to->reply.p[i] >= 0x20);
}

static void send_to(struct peer *peer, struct item_message *message, struct item **items)
{
	struct peer_recipient to[RECIPIENTS];
	struct arena *arena = arena_new(1 << 20);
	for (size_t i = 0; i < RECIPIENTS; i++)
		to[i] = (struct peer_recipient){.item = items[i]};
	struct peer_transaction txn = {.arena = arena, .message = message, .to = to, .n = RECIPIENTS, .body = read_body};
	peer_send(peer, &txn);
	for (size_t i = 0; i < RECIPIENTS; i++) {
		check_recipient(&to[i]);
		must(to[i].outcome != PEER_UNTRIED || !peer_is_usable(peer));
	}
	arena_free(&arena);
}

static void check_said(struct str said)
{
	must(said.n == 0 || str_ends(said, STR("\r\n")));
	for (size_t i = 0; i < said.n; i++) {
		must(said.p[i] != '\n' || (i > 0 && said.p[i - 1] == '\r'));
		must(said.p[i] != '\0');
	}
}

static void talk(struct conn *conn, unsigned flags, struct item_message *message, struct item **items)
{
	struct peer_config config = {.lmtp = flags & LMTP, .hostname = STR("mx.uni.example"), .host = STR("peer"),
	.reply_ms = 1000,
		.final_reply_ms = 1000, .tls = flags & TLS_MUST ? PEER_TLS_MUST : PEER_TLS_NONE,
		.line_bytes_max = flags & WRAPPED ? 64 : 0};
	struct err err;
	struct peer *peer = peer_new(&conn, &config);
	if (peer_greet(peer, &err) == ERR_OK)
		for (int i = 0; i < ROUNDS && peer_is_usable(peer); i++)
			send_to(peer, message, items);
	else
		must(!peer_is_usable(peer) || err.code != ERR_OK);
	peer_quit(&peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	unsigned flags = data[0];
	struct buf said, text;
	buf_init(&said, 1 << 20);
	buf_init(&text, 2 * LARGE_BYTES);
	make_body(flags, &text);
	struct record_enter enter = {.guid = {{1}}, .root = {{0xab}}, .sender = STR("s@else.example"), .body_bytes = text.n,
		.flags = (flags & EIGHT_BIT ? RECORD_FLAG_8BIT : 0) | (flags & UTF8 ? RECORD_FLAG_UTF8 : 0),
		.envid = STR("id+7")};
	struct item_message *message = item_message_new(&enter, 1, STR_NONE);
	struct item *items[RECIPIENTS];
	static const struct str addresses[RECIPIENTS] = {
		STR("a@uni.example"), STR("\"b c\"@uni.example"), STR("d@xn--nxasmq6b.example")};
	for (uint32_t i = 0; i < RECIPIENTS; i++) {
		struct record_recipient r = {.number = i + 1, .target = flags & LMTP ? RECORD_TO_MAILBOX : RECORD_TO_RELAY,
		.address = addresses[i],
			.key = addresses[i], .destination = STR("x"), .orcpt = STR("rfc822;old@uni.example"),
			.notify = RECORD_NOTIFY_DELAY};
		items[i] = item_new(message, &r);
	}
	struct conn_memory script = {.input = str_of((const char *)data + 1, size - 1), .output = &said,
		.splits_n = flags & BYTEWISE ? CONN_MEMORY_BYTEWISE : 0};
	talk(conn_of_memory(&script), flags, message, items);
	check_said(buf_str(&said));
	for (size_t i = 0; i < RECIPIENTS; i++)
		item_free(&items[i]);
	item_message_drop(&message);
	buf_fini(&said);
	buf_fini(&text);
	return 0;
}
