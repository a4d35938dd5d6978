// SPDX-License-Identifier: Apache-2.0
// A message that a user submits: the first line is what the client calls itself, the rest the message. Its header is complete
// afterwards and stays as it is when it is completed again; nothing of the body is lost; our trace is one field.
// Covers: mta/submission_header.c mta/trace_header.c
#include <stdint.h>

#include "base/must.h"
#include "mail/header.h"
#include "mail/smtp.h"
#include "submission_header.h"
#include "trace_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct guid guid = {{1, 2, 3}};

static void check_header(struct str header)
{
	static const char *const there[] = {"Date", "From", "Message-ID"}, *const gone[] = {"Bcc", "Resent-Bcc", "Return-Path"};
	must(header_body_start(header) == header.n);
	for (size_t i = 0; i < sizeof there / sizeof *there; i++)
		must(header_count(header, str_of_c(there[i])) >= 1);
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		must(header_count(header, str_of_c(gone[i])) == 0);
}

static void check_fix(struct str message, const struct addr *sender)
{
	const struct submission_facts facts = {
		.sender = sender, .hostname = STR("h.example"), .guid = &guid, .wall_ms = 1795290255000};
	struct buf fixed, twice;
	buf_init(&fixed, 2 * message.n + SUBMISSION_HEADER_ADDED_BYTES);
	buf_init(&twice, 2 * message.n + 2 * SUBMISSION_HEADER_ADDED_BYTES);
	size_t body_start = submission_header_fix(message, &facts, &fixed);
	must(!fixed.overflow && body_start <= message.n && fixed.n <= body_start + SUBMISSION_HEADER_ADDED_BYTES);
	check_header(buf_str(&fixed));
	size_t header_bytes = fixed.n;
	must(buf_add(&fixed, str_from(message, body_start)));
	must(submission_header_fix(buf_str(&fixed), &facts, &twice) == header_bytes);
	must(str_eq(buf_str(&twice), str_upto(buf_str(&fixed), header_bytes)));
	buf_fini(&fixed);
	buf_fini(&twice);
}

static void check_trace(struct str helo, struct str message, const struct addr *sender)
{
	static const struct conn_tls tls = {.version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384"};
	struct netaddr peer = {.family = NETADDR_IPV6, .ip = {[15] = 1}};
	struct buf out;
	struct header_walk walk;
	struct header_field field, more;
	buf_init(&out, TRACE_BYTES_MAX + message.n);
	for (unsigned bits = 0; bits < 32; bits++) {
		const struct trace_facts facts = {.helo = helo, .peer = &peer, .hostname = STR("mx.uni.example"),
		.queue_id = STR("0123456789AB"),
			.tls = bits & 1 ? &tls : NULL, .esmtp = bits & 2, .login = bits & 4, .smtputf8 = bits & 8,
			.only_recipient = bits & 16 ? sender : NULL,
			.wall_ms = 1795290255000};
		buf_clear(&out);
		trace_received(&facts, &out);
		must(!out.overflow && out.n <= TRACE_BYTES_MAX);
		header_walk_init(&walk, buf_str(&out));
		must(header_walk_next(&walk, &field) && str_eq(field.name, STR("Received")) && field.end == out.n &&
			!header_walk_next(&walk, &more));
	}
	must(buf_add(&out, message));
	must(trace_hops(buf_str(&out)) == trace_hops(message) + 1);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(1 << 20);
	struct str message = str_of((const char *)data, size), line, helo;
	struct addr sender;
	must(addr_parse(arena, STR("Ann@uni.example"), 0, &sender) == ADDR_OK);
	str_next_line(&message, &line);
	check_fix(message, &sender);
	if (size && smtp_helo_parse(line, &helo))
		check_trace(helo, message, &sender);
	arena_free(&arena);
	return 0;
}
