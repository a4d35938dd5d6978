// SPDX-License-Identifier: Apache-2.0
// A whole session of SMTP: whatever a peer sends, and in whatever pieces, it hears replies and the same messages are taken; no
// message ever has a bare line end or a NUL, and every message that was begun is forgotten in the end.
//
// Input: one byte of choices, then what the peer sends.
// Covers: mail/dialogue.c mail/dialogue_commands.c mail/dialogue_message.c
#include "base/log.h"
#include "dialogue_toy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_messages(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		must(s.p[i] != '\0');
		must(s.p[i] != '\r' || (i + 1 < s.n && s.p[i + 1] == '\n'));
		must(s.p[i] != '\n' || (i > 0 && s.p[i - 1] == '\r'));
	}
}

static void play(struct toy *toy, uint8_t choices, struct str in, bool bytewise)
{
	*toy = (struct toy){.in = in, .waits = true, .bytewise = bytewise, .per_recipient = choices & 1,
		.newline = choices & 2 ? SMTP_NEWLINE_NORMALIZE : SMTP_NEWLINE_REJECT,
		.end = choices & 4 ? ERR_TIMEOUT : ERR_CLOSED};
	toy_run(toy);
	must(!toy->out.overflow && !toy->receiving && toy->begun == toy->forgotten && toy->taken <= toy->begun);
	must(str_starts(buf_str(&toy->out), STR("220 ")) && str_ends(buf_str(&toy->out), STR("\r\n")));
	check_messages(buf_str(&toy->messages));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct toy whole, pieces; // not on the stack: they are large
	if (size == 0)
		return 0;
	struct str in = str_of((const char *)data + 1, size - 1);
	log_set_level(LOG_LEVEL_ERROR);
	play(&whole, data[0], in, false);
	play(&pieces, data[0], in, true);
	// Only who sends ahead where it must wait can hear something else: that is noticed when it has come.
	if (str_find(buf_str(&whole.out), STR("554 5.5.0")) < 0 && str_find(buf_str(&pieces.out), STR("554 5.5.0")) < 0)
		must(str_eq(buf_str(&whole.out), buf_str(&pieces.out)) &&
			str_eq(buf_str(&whole.messages), buf_str(&pieces.messages)));
	toy_free(&whole);
	toy_free(&pieces);
	return 0;
}
