// SPDX-License-Identifier: Apache-2.0
// A report about any message: the first byte says which report, then lines for what the peer said and for the envelope id, then
// the message that is returned. Whatever they hold, the report has its three parts, its status fields are ours, and their number
// is that of its recipients.
// Covers: mta/report.c
#include <stdint.h>

#include "base/must.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHOLE = 4, RETURN_FULL = 8, UTF8 = 16, PARTS = 3, RECIPIENTS = 2 };

static struct str part_of(const struct mime *mime, uint32_t index)
{
	const struct mime_node *node = &mime->nodes[index];
	return str_of(mime->message.p + node->body_at, (size_t)node->body_bytes);
}

// RFC 3464 section 2.1: groups of fields with an empty line between them.
static void check_status(struct str status, enum report_kind kind)
{
	static const char classes[] = {[REPORT_FAILURE] = '5', [REPORT_DELAY] = '4', [REPORT_SUCCESS] = '2'};
	size_t groups = 0;
	while (status.n) {
		struct header_walk walk;
		struct header_field field;
		header_walk_init(&walk, status);
		while (header_walk_next(&walk, &field)) {
			must(field.name.n > 0);
			if (str_eq(field.name, STR("Status")))
				must(field.body.n >= 5 && str_trim(field.body).p[0] == classes[kind]);
		}
		must(header_count(status, STR("Reporting-MTA")) == (groups == 0) &&
			header_count(status, STR("Action")) == (groups > 0));
		must(header_count(status, STR("Final-Recipient")) == (groups > 0));
		status = str_from(status, walk.body_start);
		groups++;
	}
	must(groups == 1 + RECIPIENTS);
}

static void check_report(struct str text, enum report_kind kind)
{
	struct arena *arena = arena_new(MIME_ARENA_BYTES);
	struct mime mime;
	mime_parse(text, arena, &mime);
	must(mime.nodes[0].kind == MIME_MULTIPART && str_eq_nocase(mime.details[0].subtype, STR("report")));
	uint32_t part = mime.nodes[0].child;
	for (unsigned i = 0; i < PARTS; i++) {
		must(part != 0);
		if (i == 1)
			check_status(part_of(&mime, part), kind);
		part = mime.nodes[part].next;
	}
	must(part == 0);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct str rest = str_of((const char *)data + 1, size - 1), reply = STR_NONE, envid = STR_NONE;
	str_next_line(&rest, &reply);
	str_next_line(&rest, &envid);
	char status[13];
	const struct report_recipient recipients[RECIPIENTS] = {
		{.address = STR("x@far.example"), .orcpt = envid, .reply = reply, .remote = STR("mx.far.example")},
		{.address = STR("y@far.example"), .reply = STR("451 4.4.1 no answer"), .relayed = true},
	};
	struct report_facts facts = {.kind = (enum report_kind)((data[0] & 3) % 3), .guid = {{0xab}},
		.hostname = STR("mx.uni.example"),
		.to = STR("ann@uni.example"), .queue_id = STR("Q1"), .envid = envid, .arrived_ms = 1795290255000,
		.now_ms = 1795290855000,
		.gives_up_ms = 1795720000000, .recipients = recipients, .n = RECIPIENTS, .original = rest,
		.original_is_whole = data[0] & WHOLE,
		.return_full = data[0] & RETURN_FULL, .utf8 = data[0] & UTF8};
	struct buf out;
	buf_init(&out, report_bytes_max(&facts));
	must(report_build(&facts, &out));
	must(str_eq(str_of_c(report_status(reply, status)), str_of_c(status)) && strlen(status) >= 5);
	if (str_find(rest, STR("report-ab")) < 0) // the guid is new, so no message has it
		check_report(buf_str(&out), facts.kind);
	buf_fini(&out);
	return 0;
}
