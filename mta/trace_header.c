// SPDX-License-Identifier: Apache-2.0
// The Received field, and the count of those that are there.
#include "trace_header.h"

#include "mail/date.h"
#include "mail/header.h"

enum { TRACE_BYTES_USUAL = 512 };

const char *trace_protocol(const struct trace_facts *facts)
{
	static const char *const words[2][2][2] = { // UTF8, TLS, login
		{{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
		{{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}},
	};
	if (!facts->esmtp)
		return "SMTP";
	return words[facts->smtputf8][facts->tls != NULL][facts->login];
}

// Each message pays for this: a format would cost more than all that it joins.
static void add_all(struct buf *out, const struct str *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add(out, parts[i]);
}

static void add_peer(const struct trace_facts *facts, struct buf *out)
{
	char peer[NETADDR_TEXT_BYTES];
	if (facts->login) {
		buf_add(out, STR("Received: from a logged-in user\r\n"));
		return;
	}
	if (facts->mailboxes) {
		const struct str own[] = {STR("Received: from "), facts->helo, STR(" (its mailboxes)\r\n")};
		add_all(out, own, sizeof own / sizeof *own);
		return;
	}
	netaddr_text(facts->peer, peer);
	const struct str parts[] = {STR("Received: from "), facts->helo, STR(" (["),
		facts->peer->family == NETADDR_IPV6 ? STR("IPv6:") : STR(""), str_of_c(peer), STR("])\r\n")};
	add_all(out, parts, sizeof parts / sizeof *parts);
}

void trace_received(const struct trace_facts *facts, struct buf *out)
{
	buf_reserve(out, TRACE_BYTES_USUAL);
	add_peer(facts, out);
	const struct str by[] = {STR("\tby "), facts->hostname, STR(" (Posthouse) with "), str_of_c(trace_protocol(facts))};
	add_all(out, by, sizeof by / sizeof *by);
	if (facts->tls)
		buf_printf(out, "\r\n\t(%s %s)", facts->tls->version, facts->tls->cipher);
	buf_add(out, STR("\r\n\tid "));
	buf_add(out, facts->queue_id);
	if (facts->only_recipient) {
		const struct str recipient[] = {STR("\r\n\tfor <"), facts->only_recipient->text, STR(">")};
		add_all(out, recipient, sizeof recipient / sizeof *recipient);
	}
	buf_add(out, STR("; "));
	date_format_header((struct date){.utc_s = facts->wall_ms / 1000}, out);
	buf_add(out, STR("\r\n"));
}

size_t trace_hops(struct str message)
{
	return header_count(message, STR("Received"));
}
