// SPDX-License-Identifier: Apache-2.0
// LDAP (RFC 4511): a search by mail, the floor below a RCPT of a server that asks a directory server.
#include "stats.h"
#include "text.h"
#include "workloads.h"

#include <string.h>

enum {
	TAG_INTEGER = 0x02, TAG_OCTETS = 0x04, TAG_ENUM = 0x0a, TAG_BOOL = 0x01, TAG_SEQUENCE = 0x30,
	TAG_BIND = 0x60, TAG_SEARCH = 0x63, TAG_ENTRY = 0x64, TAG_REFERENCE = 0x73, TAG_SIMPLE = 0x80, TAG_EQUALITY = 0xa3,
	VALUE_BYTES = 1000,
};

// A length that is always two octets long: BER allows it.
static size_t ber(unsigned char *out, unsigned char tag, const void *value, size_t n)
{
	if (n > VALUE_BYTES)
		client_die("ldap: too long");
	memmove(out + 4, value, n);
	out[0] = tag;
	out[1] = 0x82;
	out[2] = (unsigned char)(n >> 8);
	out[3] = (unsigned char)n;
	return n + 4;
}

static size_t ber_text(unsigned char *out, unsigned char tag, const char *text)
{
	return ber(out, tag, text, strlen(text));
}

static void send_request(struct client *c, unsigned char tag, const unsigned char *inside, size_t n)
{
	unsigned char request[VALUE_BYTES + 64], message[VALUE_BYTES + 64];
	size_t length = ber(request, TAG_INTEGER, "\1", 1); // one request at a time: always message 1
	length += ber(request + length, tag, inside, n);
	client_send(c, message, ber(message, TAG_SEQUENCE, request, length));
}

static void send_bind(struct client *c)
{
	unsigned char inside[3 * VALUE_BYTES];
	size_t n = ber(inside, TAG_INTEGER, "\3", 1);
	n += ber_text(inside + n, TAG_OCTETS, opt.ldap_bind);
	n += ber_text(inside + n, TAG_SIMPLE, *opt.ldap_bind ? opt.password : "");
	send_request(c, TAG_BIND, inside, n);
}

static void send_search(struct client *c, const char *mail)
{
	unsigned char inside[2 * VALUE_BYTES], part[2 * VALUE_BYTES];
	size_t n = ber_text(inside, TAG_OCTETS, opt.ldap_base), k;
	n += ber(inside + n, TAG_ENUM, "\2", 1); // the whole subtree
	n += ber(inside + n, TAG_ENUM, "\0", 1); // aliases as they are
	n += ber(inside + n, TAG_INTEGER, "\0", 1);
	n += ber(inside + n, TAG_INTEGER, "\0", 1);
	n += ber(inside + n, TAG_BOOL, "\0", 1);
	k = ber_text(part, TAG_OCTETS, "mail");
	k += ber_text(part + k, TAG_OCTETS, mail);
	n += ber(inside + n, TAG_EQUALITY, part, k);
	n += ber(inside + n, TAG_SEQUENCE, part, ber_text(part, TAG_OCTETS, "mailHost"));
	send_request(c, TAG_SEARCH, inside, n);
}

// Tag and length; bytes of both, 0 while they are not all here.
static size_t ber_head(const unsigned char *p, size_t there, size_t *length_out)
{
	if (there < 2)
		return 0;
	size_t more = p[1] & 0x80 ? p[1] & 0x7f : 0, length = more ? 0 : p[1];
	if (there < 2 + more || more > 4)
		return 0;
	for (size_t i = 0; i < more; i++)
		length = length << 8 | p[2 + i];
	*length_out = length;
	return 2 + more;
}

// Up to a message that ends an operation; code: its result + 1. Counts entries in n.
static bool ldap_result(struct client *c)
{
	for (;;) {
		size_t there, length, id, operation;
		const unsigned char *p = (const unsigned char *)client_input(c, &there);
		size_t head = ber_head(p, there, &length);
		if (!head || there < head + length)
			return false;
		client_took(c, head + length);
		const unsigned char *end = p + head + length;
		p += head;
		p += ber_head(p, (size_t)(end - p), &id) + id;
		unsigned char tag = p[0];
		c->n += tag == TAG_ENTRY;
		if (tag == TAG_ENTRY || tag == TAG_REFERENCE)
			continue;
		p += ber_head(p, (size_t)(end - p), &operation);
		c->code = end - p >= 3 ? 1 + p[2] : -1;
		return true;
	}
}

static enum step dialogue(struct client *c)
{
	BEGIN(c->place);
	send_bind(c);
	AWAIT(c->place, ldap_result(c));
	EXPECT(c, 1, "bind");
	for (c->done = 0; c->op >= 0; c->done++) {
		c->begin_us = stats_now_us();
		c->n = 0;
		send_search(c, text_is_unknown(c->op) ? text_unknown(c->op) : text_address(c->op));
		AWAIT(c->place, ldap_result(c));
		EXPECT(c, 1, "search");
		totals.mismatch += c->n != !text_is_unknown(c->op);
		client_op_done(c);
		if (opt.per_connection && c->done + 1 >= opt.per_connection)
			break;
		c->op = client_next_op();
	}
	END;
}

void ldap_run(void)
{
	workload_run(dialogue);
}
