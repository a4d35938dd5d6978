// SPDX-License-Identifier: Apache-2.0
// What a POP3 client may send, over a maildrop with two messages: the answers do not depend on the pieces in which it came, and
// only QUIT removes (RFC 1939 section 6).
// Covers: popimap/pop3_session.c popimap/pop3_commands.c popimap/pop3_cmd_auth.c popimap/pop3_cmd_drop.c popimap/pop3_drop.c
#include "fuzz_wire.h"

static const char dotted[] = "Subject: dots\r\n\r\n.\r\n..\r\nlast";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_open();
	return 0;
}

static unsigned messages_after(struct str script, size_t splits_n, struct buf *out)
{
	fuzz_renew();
	struct mailbox *mb = test_mailbox(1);
	test_append(mb, "INBOX", str_of_c(test_message), 0);
	test_append(mb, "INBOX", str_of_c(dotted), 0);
	fuzz_check_lines(fuzz_play(pop3_serve, &wire_service, &(struct fuzz_script){.in = script, .splits_n = splits_n}, out));
	unsigned messages = test_status(mb, "INBOX").messages;
	test_close(&mb);
	return messages;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, bytewise;
	struct str script = str_of((const char *)data, size);
	unsigned messages = messages_after(script, 0, &whole);
	must(messages == messages_after(script, CONN_MEMORY_BYTEWISE, &bytewise));
	fuzz_must_be_same(buf_str(&whole), buf_str(&bytewise));
	must(messages == 2 || fuzz_has_nocase(script, STR("QUIT")));
	must(messages == 2 || fuzz_has_nocase(script, STR("DELE")));
	buf_fini(&whole);
	buf_fini(&bytewise);
	return 0;
}
