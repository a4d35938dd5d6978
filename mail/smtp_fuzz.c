// SPDX-License-Identifier: Apache-2.0
// SMTP lines: what MAIL and RCPT take can be sent on and is taken again as the same; replies are read without harm and written on lines that fit.
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

static void check_replies(struct str in)
{
	struct reply_reader reader;
	struct str rest = in, line;
	struct buf out;
	reply_reader_init(&reader);
	buf_init(&out, 1 << 18);
	while (str_next_line(&rest, &line)) {
		if (reply_reader_line(&reader, line) != REPLY_READ_DONE)
			continue;
		struct reply reply = reply_reader_reply(&reader);
		must(reply.code >= 200 && reply.code <= 599);
		reply_has_keyword(reply, STR("SIZE"), NULL);
		buf_clear(&out);
		must(reply_format(reply, &out));
		struct str lines = buf_str(&out), one;
		while (str_next_line(&lines, &one))
			must(one.n <= 510 && str_is_printable(one));
	}
	buf_fini(&out);
	reply_reader_fini(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(1 << 20);
	struct smtp_command command;
	struct str name;
	unsigned accepted = size ? data[0] : 0;
	struct str line = str_of((const char *)data + (size ? 1 : 0), size ? size - 1 : 0);
	if (smtp_command_parse(line, &command) == SMTP_OK) {
		must(command.verb.n > 0);
		check_mail(arena, command.argument, accepted);
		check_rcpt(arena, command.argument, accepted);
		smtp_helo_parse(command.argument, &name);
	}
	check_replies(line);
	arena_free(&arena);
	return 0;
}
