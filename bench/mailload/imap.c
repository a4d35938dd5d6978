// SPDX-License-Identifier: Apache-2.0
// IMAP (RFC 3501): reading replies of any length, logging in, and the workloads that are short: login, append, idle.
#include "stats.h"
#include "text.h"
#include "workloads.h"

#include <stdlib.h>
#include <string.h>

// Keeps the beginning of a response in head, and the end of the line in tail.
static void keep(struct client *c, const char *p, size_t n)
{
	if (!c->imap.continued && c->head_bytes < sizeof c->head - 1) {
		size_t room = sizeof c->head - 1 - c->head_bytes, k = n < room ? n : room;
		memcpy(c->head + c->head_bytes, p, k);
		c->head_bytes += k;
		c->head[c->head_bytes] = 0;
	}
	size_t room = sizeof c->imap.tail, k = n < room ? n : room, old = c->imap.tail_bytes;
	if (old > room - k)
		old = room - k;
	memmove(c->imap.tail, c->imap.tail + c->imap.tail_bytes - old, old);
	memcpy(c->imap.tail + old, p + n - k, k);
	c->imap.tail_bytes = old + k;
	for (size_t i = 0; !strncmp(c->head, "* SEARCH", 8) && i < n; i++)
		c->imap.found += p[i] == ' ';
}

// Does the line end in {n} CRLF? Then n octets follow, and then more of the line.
static bool literal_follows(struct client *c)
{
	size_t n = c->imap.tail_bytes;
	if (n < 5 || c->imap.tail[n - 3] != '}')
		return false;
	for (size_t i = n - 3; i-- > 0;)
		if (c->imap.tail[i] == '{') {
			c->imap.literal_left = strtoull(c->imap.tail + i + 1, NULL, 10);
			return true;
		}
	return false;
}

static void count_untagged(struct client *c)
{
	char *end;
	long number = strtol(c->head + 2, &end, 10);
	if (end != c->head + 2 && !strncmp(end, " EXISTS", 7))
		c->imap.exists = number;
	else if (end != c->head + 2 && !strncmp(end, " FETCH", 6))
		c->imap.fetched++;
	else if (!strncmp(c->head, "* SEARCH", 8))
		c->imap.found--; // the space after "*" was counted too: one remains for each hit
	const char *messages = strncmp(c->head, "* STATUS", 8) ? NULL : strstr(c->head, "MESSAGES ");
	if (messages)
		c->imap.messages = strtol(messages + 9, NULL, 10);
}

// Up to and with a tagged response (our tag is "a") or a request to go on. Lines and literals of any length pass, not stored.
bool imap_reply(struct client *c)
{
	for (;;) {
		size_t there;
		const char *p = client_input(c, &there);
		if (!there)
			return false;
		if (c->imap.literal_left) {
			size_t n = c->imap.literal_left < there ? (size_t)c->imap.literal_left : there;
			c->imap.literal_left -= n;
			c->payload_bytes += n;
			client_took(c, n);
			continue;
		}
		const char *newline = memchr(p, '\n', there);
		size_t n = newline ? (size_t)(newline - p) + 1 : there;
		keep(c, p, n);
		c->payload_bytes += n;
		client_took(c, n);
		if (!newline)
			continue;
		c->imap.continued = literal_follows(c);
		c->imap.tail_bytes = 0;
		if (c->imap.continued)
			continue;
		c->head_bytes = 0;
		if (c->head[0] == '*') {
			count_untagged(c);
			c->head[0] = 0;
			continue;
		}
		c->code = -1;
		if (c->head[0] == '+')
			c->code = '+';
		else if (!strncmp(c->head, "a ", 2))
			c->code = c->head[2] == 'O' ? SAID_OK : c->head[2] == 'N' ? SAID_NO : SAID_BAD;
		return true;
	}
}

static bool greeting(struct client *c)
{
	if (!client_line(c))
		return false;
	c->code = strncmp(c->head, "* OK", 4) ? SAID_NO : SAID_OK;
	c->head_bytes = 0;
	return true;
}

enum step imap_login(struct client *c, long i)
{
	BEGIN(c->login_place);
	AWAIT(c->login_place, greeting(c));
	EXPECT(c, SAID_OK, "greeting");
	if (c->tls == TLS_STARTTLS) {
		client_say(c, "a STARTTLS\r\n");
		AWAIT(c->login_place, imap_reply(c));
		EXPECT(c, SAID_OK, "STARTTLS");
		AWAIT(c->login_place, client_tls_up(c));
	}
	client_say(c, "a LOGIN %s %s\r\n", text_login(i), opt.password);
	AWAIT(c->login_place, imap_reply(c));
	EXPECT(c, SAID_OK, "LOGIN");
	END;
}

static enum step login_dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT_STEP(c->place, imap_login(c, c->op));
	client_say(c, "a SELECT INBOX\r\n");
	AWAIT(c->place, imap_reply(c));
	EXPECT(c, SAID_OK, "SELECT");
	client_say(c, "a LOGOUT\r\n");
	AWAIT(c->place, imap_reply(c));
	EXPECT(c, SAID_OK, "LOGOUT");
	client_op_done(c);
	END;
}

static enum step append_dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT_STEP(c->place, imap_login(c, c->op));
	for (c->done = 0; c->op >= 0; c->done++) {
		c->begin_us = stats_now_us();
		client_say(c, "a APPEND INBOX {%zu}\r\n", text_message_bytes(c->op));
		AWAIT(c->place, imap_reply(c));
		EXPECT(c, '+', "APPEND");
		text_send(c, c->op);
		client_say(c, "\r\n");
		AWAIT(c->place, imap_reply(c));
		EXPECT(c, SAID_OK, "APPEND");
		client_op_done(c);
		if (opt.per_connection && c->done + 1 >= opt.per_connection)
			break;
		c->op = client_next_op();
	}
	client_say(c, "a LOGOUT\r\n");
	AWAIT(c->place, imap_reply(c));
	EXPECT(c, SAID_OK, "LOGOUT");
	END;
}

static enum step idle_dialogue(struct client *c)
{
	BEGIN(c->place);
	AWAIT_STEP(c->place, imap_login(c, c->op));
	client_say(c, "a SELECT INBOX\r\n");
	AWAIT(c->place, imap_reply(c));
	EXPECT(c, SAID_OK, "SELECT");
	client_say(c, "a IDLE\r\n");
	AWAIT(c->place, imap_reply(c));
	EXPECT(c, '+', "IDLE");
	client_is_open(c);
	client_op_done(c);
	AWAIT(c->place, (client_took(c, c->in_bytes - c->in_pos), false));
	END;
}

void imap_run_login(void)
{
	workload_run(login_dialogue);
}

void imap_run_append(void)
{
	workload_run(append_dialogue);
}

void imap_run_idle(void)
{
	workload_hold(idle_dialogue);
}
