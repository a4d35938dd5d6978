// SPDX-License-Identifier: Apache-2.0
// An envelope and a message in one piece.
#include "outbox_data.h"

bool outbox_data_write(const struct outbox_data *data, struct buf *out)
{
	unsigned parameters = data->mail.smtputf8 ? SMTP_PARAM_UTF8 : 0;
	bool ok = smtp_mail_format(&data->mail, parameters, out) && buf_add(out, STR("\r\n")) &&
		  smtp_rcpt_format(&data->rcpt, parameters, out) && buf_add(out, STR("\r\n\r\n")) && buf_add(out, data->message);
	return ok && !out->overflow;
}

bool outbox_data_read(struct arena *arena, struct str bytes, struct outbox_data *data_out)
{
	struct outbox_data data = {.message = bytes};
	struct str from, to, empty;
	if (!str_next_line(&data.message, &from) || !str_next_line(&data.message, &to) || !str_next_line(&data.message, &empty) ||
		empty.n)
		return false;
	if (smtp_mail_parse(arena, from, SMTP_PARAM_UTF8, &data.mail) != SMTP_OK ||
		smtp_rcpt_parse(arena, to, SMTP_PARAM_UTF8, data.mail.smtputf8, &data.rcpt) != SMTP_OK)
		return false;
	*data_out = data;
	return true;
}
