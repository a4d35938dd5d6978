// SPDX-License-Identifier: Apache-2.0
// POP3 on the open maildrop (RFC 1939 sections 5 and 7): STAT, LIST, UIDL, RETR, TOP, DELE, NOOP, RSET.
#include "pop3_session.h"
#include "popimap_metrics.h"

void pop3_cmd_stat(struct pop3_session *s, struct str argument)
{
	uint64_t bytes = 0, count = 0;
	(void)argument;
	for (size_t i = 0; i < s->n; i++)
		if (!s->messages[i].deleted) {
			bytes += s->messages[i].bytes;
			count++;
		}
	s->bad_in_a_row = 0;
	conn_printf(s->conn, "+OK %llu %llu\r\n", (unsigned long long)count, (unsigned long long)bytes);
}

static void write_size(struct pop3_session *s, const struct pop3_message *message, const char *before)
{
	conn_printf(s->conn, "%s%zu %llu\r\n", before, (size_t)(message - s->messages) + 1, (unsigned long long)message->bytes);
}

// Unique in the maildrop, and the same in every session and on every node that the mailbox moves to (PROTOCOLS 84).
static void write_uidl(struct pop3_session *s, const struct pop3_message *message, const char *before)
{
	conn_printf(s->conn, "%s%zu %u.%u\r\n", before, (size_t)(message - s->messages) + 1, s->uidvalidity, message->uid);
}

// One message's line behind "+OK ", or all of them.
static void listing(struct pop3_session *s, struct str argument,
	void (*write)(struct pop3_session *s, const struct pop3_message *message, const char *before))
{
	if (argument.n) {
		const struct pop3_message *message = pop3_message_of(s, argument);
		if (message)
			write(s, message, "+OK ");
		return;
	}
	pop3_ok(s, "listing follows");
	for (size_t i = 0; i < s->n; i++)
		if (!s->messages[i].deleted)
			write(s, &s->messages[i], "");
	conn_write(s->conn, STR(".\r\n"));
}

void pop3_cmd_list(struct pop3_session *s, struct str argument)
{
	listing(s, argument, write_size);
}

void pop3_cmd_uidl(struct pop3_session *s, struct str argument)
{
	listing(s, argument, write_uidl);
}

void pop3_cmd_retr(struct pop3_session *s, struct str argument)
{
	struct pop3_message *message = pop3_message_of(s, argument);
	if (message == NULL)
		return;
	message->retrieved = true;
	metric_add(&metric_popimap_pop3_retrieved, 1);
	pop3_send(s, message, UINT64_MAX);
}

void pop3_cmd_top(struct pop3_session *s, struct str argument)
{
	struct str number = argument, lines = STR_NONE;
	uint64_t n;
	if (!str_cut(argument, ' ', &number, &lines) || !str_to_u64(str_trim(lines), UINT32_MAX, &n)) {
		pop3_err(s, "TOP takes a message and a number of lines");
		return;
	}
	const struct pop3_message *message = pop3_message_of(s, number);
	if (message)
		pop3_send(s, message, n);
}

void pop3_cmd_dele(struct pop3_session *s, struct str argument)
{
	struct pop3_message *message = pop3_message_of(s, argument);
	if (message == NULL)
		return;
	message->deleted = true;
	pop3_ok(s, "marked");
}

void pop3_cmd_noop(struct pop3_session *s, struct str argument)
{
	(void)argument;
	pop3_ok(s, "done");
}

void pop3_cmd_rset(struct pop3_session *s, struct str argument)
{
	(void)argument;
	for (size_t i = 0; i < s->n; i++)
		s->messages[i].deleted = false;
	pop3_ok(s, "no message is marked");
}
