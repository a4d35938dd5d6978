// SPDX-License-Identifier: Apache-2.0
// SMTP and LMTP commands, a line each; the first byte says which parameters are known. What MAIL and RCPT take can be sent on and
// is taken again as the same; the length of a chunk is what its digits say.
// Covers: mail/smtp.c mail/xtext.c mail/lmtp.c
#include "base/must.h"
#include "chars.h"
#include "mail/smtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ALL = SMTP_FOR_LMTP | SMTP_PARAM_AUTH };

static void check_mail(struct arena *arena, struct str argument, unsigned accepted)
{
	struct smtp_mail mail, again;
	struct buf out, twice;
	if (smtp_mail_parse(arena, argument, accepted, &mail) != SMTP_OK)
		return;
	buf_init(&out, 1 << 16);
	buf_init(&twice, 1 << 16);
	must(smtp_mail_format(&mail, ALL, &out) && !chars_any_control(buf_str(&out)));
	must(smtp_mail_parse(arena, buf_str(&out), ALL, &again) == SMTP_OK && addr_same(&again.from, &mail.from));
	must(smtp_mail_format(&again, ALL, &twice) && str_eq(buf_str(&twice), buf_str(&out)));
	buf_fini(&out);
	buf_fini(&twice);
}

static void check_rcpt(struct arena *arena, struct str argument, unsigned accepted)
{
	struct smtp_rcpt rcpt, again;
	struct buf out, twice;
	if (smtp_rcpt_parse(arena, argument, accepted, true, &rcpt) != SMTP_OK)
		return;
	buf_init(&out, 1 << 16);
	buf_init(&twice, 1 << 16);
	must(smtp_rcpt_format(&rcpt, ALL, &out) && !chars_any_control(buf_str(&out)));
	must(smtp_rcpt_parse(arena, buf_str(&out), ALL, true, &again) == SMTP_OK && addr_same(&again.to, &rcpt.to));
	must(smtp_rcpt_format(&again, ALL, &twice) && str_eq(buf_str(&twice), buf_str(&out)));
	buf_fini(&out);
	buf_fini(&twice);
}

static void check_chunk(struct str argument)
{
	struct smtp_chunk chunk;
	struct str digits = argument, last;
	uint64_t bytes;
	if (smtp_chunk_parse(argument, &chunk) != SMTP_OK)
		return;
	must(chunk.bytes <= SMTP_CHUNK_BYTES_MAX && str_cut(argument, ' ', &digits, &last) == chunk.last);
	must(str_to_u64(digits, UINT64_MAX, &bytes) && bytes == chunk.bytes);
}

static void check_line(struct arena *arena, struct str line, unsigned accepted)
{
	struct smtp_command command;
	struct str name;
	enum smtp_result result = smtp_command_parse(line, &command);
	if (result != SMTP_OK) {
		must(reply_of(smtp_reply(result)).code >= 400);
		return;
	}
	must(command.verb.n > 0);
	check_mail(arena, command.argument, accepted);
	check_rcpt(arena, command.argument, accepted);
	check_chunk(command.argument);
	if (smtp_helo_parse(command.argument, &name))
		must(name.n && name.n <= 255 && !chars_any_control(name) && str_index(name, ' ') < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct arena *arena = arena_new(1 << 20);
	struct str rest = str_of((const char *)data + 1, size - 1), line;
	while (str_next_line(&rest, &line)) {
		check_line(arena, line, data[0]);
		arena_reset(arena);
	}
	arena_free(&arena);
	return 0;
}
