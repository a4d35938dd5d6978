// SPDX-License-Identifier: Apache-2.0
// Names from patterns, and bodies of plain words: two of them, one with the word that is searched for.
#include "text.h"

#include "stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES = 4, NAME_BYTES = 256, HEADER_BYTES = 300, LINE_BYTES = 66 };

static char *body[2]; // [1] has the word
static size_t body_bytes;

// Understands %d and %05d, and nothing else of printf's.
const char *text_name(const char *pattern, long number)
{
	static char names[NAMES][NAME_BYTES];
	static unsigned next;
	char *out = names[next++ % NAMES];
	const char *percent = strchr(pattern, '%');
	char *end;
	long width = percent ? strtol(percent + 1, &end, 10) : 0;
	if (!percent || *end != 'd' || width < 0 || width > 20)
		client_die("no %%d in %s", pattern);
	int n = snprintf(out, NAME_BYTES, "%.*s%0*ld%s", (int)(percent - pattern), pattern, (int)width, number, end + 1);
	if (n < 0 || n >= NAME_BYTES)
		client_die("too long: %s", pattern);
	return out;
}

static long user(long i)
{
	return opt.user_first + i % opt.users;
}

const char *text_address(long i)
{
	return text_name(opt.address, user(i));
}

const char *text_login(long i)
{
	return text_name(opt.login, user(i));
}

const char *text_sender(long i)
{
	return opt.auth ? text_address(i) : opt.sender;
}

const char *text_unknown(long i)
{
	return text_name(opt.unknown_address, i % 9999999);
}

bool text_is_unknown(long i)
{
	return (i * 37) % 100 < opt.unknown_percent;
}

static char *make_body(bool with_word)
{
	static const char *const words[] = {"alpha", "report", "meeting", "schedule", "the", "of", "budget", "message", "project",
		"and", "review", "account", "delivery", "service", "update", "today", "please", "find", "attached", "regards",
		"number", "customer", "system", "order", "in", "a"};
	char *text = malloc(body_bytes + NAME_BYTES);
	if (!text)
		client_die("out of memory");
	uint32_t random = 12345;
	size_t n = 0, column = 0;
	while (n < body_bytes) {
		random = random * 1664525u + 1013904223u;
		const char *word = words[(random >> 16) % (sizeof words / sizeof *words)];
		if (with_word && n > body_bytes / 2) {
			word = opt.word;
			with_word = false;
		}
		size_t length = strlen(word);
		memcpy(text + n, word, length);
		n += length;
		column = column > LINE_BYTES ? 0 : column + length + 1;
		memcpy(text + n, column ? " " : "\r\n", 2);
		n += column ? 1 : 2;
	}
	memcpy(text + body_bytes - 2, "\r\n", 2);
	return text;
}

void text_setup(void)
{
	size_t wanted = (size_t)opt.message_bytes;
	if (strlen(opt.word) >= NAME_BYTES / 2)
		client_die("a long word");
	body_bytes = wanted > HEADER_BYTES + 120 ? wanted - HEADER_BYTES : 120;
	body[0] = make_body(false);
	body[1] = make_body(true);
}

static size_t header(char *out, size_t room, long i)
{
	int n = snprintf(out, room,
		"From: Load Sender <%s>\r\nTo: <%s>\r\nSubject: Load message number %ld\r\n"
		"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <%ld.%d.%llu@sender.example>\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n\r\n",
		text_sender(i), text_address(i * opt.recipients), i, i, (int)getpid(), (unsigned long long)totals.start_us);
	if (n < 0 || (size_t)n >= room)
		client_die("header too long");
	return (size_t)n;
}

size_t text_message_bytes(long i)
{
	char text[1024];
	return header(text, sizeof text, i) + body_bytes;
}

void text_send(struct client *c, long i)
{
	char text[1024];
	client_send(c, text, header(text, sizeof text, i));
	client_send(c, body[i % 10 == 0], body_bytes);
	totals.body_bytes += body_bytes;
}
