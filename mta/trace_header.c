// SPDX-License-Identifier: Apache-2.0
// The Received field, and the count of those that are there.
#include "trace_header.h"

#include "mail/date.h"
#include "mail/header.h"

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

static void add_peer(const struct trace_facts *facts, struct buf *out)
{
	char peer[NETADDR_TEXT_BYTES];
	netaddr_text(facts->peer, peer);
	if (facts->login)
		buf_add(out, STR("Received: from a logged-in user\r\n"));
	else
		buf_printf(out, "Received: from %.*s ([%s%s])\r\n", STR_FMT(facts->helo), facts->peer->family == NETADDR_IPV6 ? "IPv6:" : "", peer);
}

void trace_received(const struct trace_facts *facts, struct buf *out)
{
	add_peer(facts, out);
	buf_printf(out, "\tby %.*s (Posthouse) with %s", STR_FMT(facts->hostname), trace_protocol(facts));
	if (facts->tls)
		buf_printf(out, "\r\n\t(%s %s)", facts->tls->version, facts->tls->cipher);
	buf_printf(out, "\r\n\tid %.*s", STR_FMT(facts->queue_id));
	if (facts->only_recipient)
		buf_printf(out, "\r\n\tfor <%.*s>", STR_FMT(facts->only_recipient->text));
	buf_add(out, STR("; "));
	date_format_header((struct date){.utc_s = facts->wall_ms / 1000}, out);
	buf_add(out, STR("\r\n"));
}

size_t trace_hops(struct str message)
{
	return header_count(message, STR("Received"));
}
