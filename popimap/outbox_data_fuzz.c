// SPDX-License-Identifier: Apache-2.0
// What a row of the outbox holds: any bytes. What is read is written again to the same, and a queue is told one sender, one
// recipient and one message, whatever the bytes are.
// Covers: popimap/outbox_data.c
#include "base/must.h"
#include "handover.h"
#include "mail/smtp_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 << 10 };

static const struct str queue = STR("220 mx ESMTP\r\n250-mx\r\n250 SMTPUTF8\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n250 "
				    "2.0.0 queued as X\r\n221 bye\r\n");

// Lines before the message are the five commands; the message ends where its dot is.
static void check_said(struct str said, const struct outbox_data *data)
{
	static const struct str verbs[] = {STR("EHLO "), STR("MAIL FROM:"), STR("RCPT TO:"), STR("DATA")};
	struct smtp_data_decoder decoder;
	struct buf message;
	struct str line;
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		must(str_next_line(&said, &line) && str_starts(line, verbs[i]));
	buf_init(&message, 2 * said.n + 4);
	smtp_data_decoder_init(&decoder, SMTP_NEWLINE_NORMALIZE, 0);
	said = str_from(said, smtp_data_decode(&decoder, said, &message));
	size_t nuls = 0; // dropped
	for (size_t i = 0; i < data->message.n; i++)
		nuls += data->message.p[i] == '\0';
	must(decoder.done && !decoder.bare_lf && !decoder.bare_cr && message.n + nuls >= data->message.n);
	must(str_eq(said, STR("QUIT\r\n")));
	buf_fini(&message);
}

static void hand_over(const struct outbox_data *data)
{
	static const struct handover_config config = {.hostname = {"mb1", 3}, .reply_ms = 1000};
	struct buf said;
	struct handover *h;
	struct err err;
	const struct conn_memory script = {.input = queue, .output = &said};
	buf_init(&said, 8 << 20);
	struct conn *conn = conn_of_memory(&script);
	must(handover_over(&conn, &config, &h, &err) == ERR_OK);
	must(handover_send(h, data, &err) == HANDOVER_TAKEN);
	handover_close(&h);
	check_said(buf_str(&said), data);
	buf_fini(&said);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct outbox_data data, again;
	struct buf first, second;
	buf_init(&first, 2 * size + 4096);
	buf_init(&second, 2 * size + 4096);
	if (outbox_data_read(arena, str_of((const char *)bytes, size), &data)) {
		must(outbox_data_write(&data, &first));
		must(outbox_data_read(arena, buf_str(&first), &again));
		must(outbox_data_write(&again, &second) && str_eq(buf_str(&first), buf_str(&second)));
		hand_over(&data);
	}
	buf_fini(&first);
	buf_fini(&second);
	arena_free(&arena);
	return 0;
}
