// SPDX-License-Identifier: Apache-2.0
// What the replies of a queue mean for the message that it is handed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/must.h"
#include "handover.h"

static enum handover_outcome hand_over(const struct handover_config *config, const char *replies, struct err *err)
{
	struct buf said;
	struct outbox_data data = {.mail.from = addr_null(), .message = STR("Subject: x\r\n\r\ny\r\n")};
	struct arena *arena = arena_new(4096);
	struct handover *h;
	char script[1024];
	int n = snprintf(script, sizeof script, "220 mx ESMTP\r\n250 mx\r\n%s", replies);
	must(n > 0 && (size_t)n < sizeof script);
	buf_init(&said, 64 << 10);
	const struct conn_memory memory = {.input = str_of(script, (size_t)n), .output = &said};
	struct conn *conn = conn_of_memory(&memory);
	assert_int_equal(addr_parse(arena, STR("pat@else.example"), 0, &data.rcpt.to), ADDR_OK);
	assert_int_equal(handover_over(&conn, config, &h, err), ERR_OK);
	enum handover_outcome outcome = handover_send(h, &data, err);
	handover_close(&h);
	buf_fini(&said);
	arena_free(&arena);
	return outcome;
}

#define MAIL_OK "250 2.1.0 ok\r\n"
#define RCPT_OK MAIL_OK "250 2.1.5 ok\r\n"
#define RESET "250 2.0.0 ok\r\n"

static void test_outcomes(void **state)
{
	static const struct {
		const char *replies;
		enum handover_outcome local, remote; // the front-end of this node; one of submit_servers
	} rows[] = {
		{RCPT_OK "354 go\r\n250 2.0.0 queued as X\r\n", HANDOVER_TAKEN, HANDOVER_TAKEN},
		{"451 4.3.0 later\r\n" RESET, HANDOVER_BROKEN, HANDOVER_BROKEN},
		{"550 5.7.1 not you\r\n" RESET, HANDOVER_BROKEN, HANDOVER_BROKEN},
		{MAIL_OK "550 5.1.1 no such user\r\n" RESET, HANDOVER_REFUSED, HANDOVER_REFUSED},
		{MAIL_OK "550 relay not permitted\r\n" RESET, HANDOVER_REFUSED, HANDOVER_LATER},
		{MAIL_OK "451 4.7.1 later\r\n" RESET, HANDOVER_LATER, HANDOVER_LATER},
		{MAIL_OK "550 5.7.1 relaying denied\r\n" RESET, HANDOVER_REFUSED, HANDOVER_LATER},
		{MAIL_OK "554 5.7.54 unable to relay\r\n" RESET, HANDOVER_REFUSED, HANDOVER_LATER},
		{RCPT_OK "354 go\r\n554 5.7.1 content refused\r\n", HANDOVER_REFUSED, HANDOVER_REFUSED},
	};
	static const struct handover_config local = {.hostname = {"mb1", 3}, .local = {"/run/x", 6}, .reply_ms = 1000};
	static const struct handover_config remote = {.hostname = {"mb1", 3}, .host = {"mx", 2}, .port = 25, .reply_ms = 1000};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = {0};
		enum handover_outcome here = hand_over(&local, rows[i].replies, &err), there = hand_over(&remote, rows[i].replies, &err);
		if (here != rows[i].local || there != rows[i].remote)
			fail_msg("row %zu: %d, %d: %s", i, (int)here, (int)there, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
