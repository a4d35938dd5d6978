// SPDX-License-Identifier: Apache-2.0
// The text of a delivery status notification, part by part.
#include "report.h"

#include <stdio.h>

#include "base/must.h"
#include "mail/date.h"
#include "mail/header.h"

enum {
	FRAME_BYTES = 16 << 10,            // everything but recipients and returned message
	RECIPIENT_BYTES = 6 << 10,         // one recipient, in text and status part, with a long reply
	REPLY_BYTES_MAX = 1000,            // of a reply that is quoted
};

size_t report_bytes_max(const struct report_facts *facts)
{
	size_t n = facts->n < REPORT_RECIPIENTS_MAX ? facts->n : REPORT_RECIPIENTS_MAX;
	return FRAME_BYTES + n * RECIPIENT_BYTES + facts->original.n + 64;
}

static size_t listed(const struct report_facts *facts)
{
	return facts->n < REPORT_RECIPIENTS_MAX ? facts->n : REPORT_RECIPIENTS_MAX;
}

// "5.1.1": class, subject, detail of one to three digits (RFC 3463 section 2).
static bool is_status(struct str word)
{
	struct str class, subject, rest = word;
	uint64_t number;
	return str_cut(rest, '.', &class, &rest) && str_cut(rest, '.', &subject, &rest) && class.n == 1 &&
	       str_index(STR("245"), class.p[0]) >= 0 && subject.n <= 3 && rest.n <= 3 && str_to_u64(subject, 999, &number) &&
	       str_to_u64(rest, 999, &number);
}

const char *report_status(struct str reply, char status_out[13])
{
	struct str code = reply, rest = STR_NONE, word;
	str_cut(reply, ' ', &code, &rest);
	word = rest;
	str_cut(rest, ' ', &word, &rest);
	if (is_status(word) && str_to_c(word, status_out, 13))
		return status_out;
	must(str_to_c(code.n && code.p[0] == '2'   ? STR("2.0.0")
		      : code.n && code.p[0] == '4' ? STR("4.0.0")
						   : STR("5.0.0"),
		status_out, 13));
	return status_out;
}

// What a peer said may hold anything printable; here it becomes one line.
static void add_line_text(struct buf *out, struct str text)
{
	text = str_upto(text, REPLY_BYTES_MAX);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		buf_add_byte(out, c < 0x20 || c == 0x7f ? ' ' : text.p[i]);
	}
}

static void add_date(struct buf *out, const char *field, int64_t wall_ms)
{
	buf_printf(out, "%s: ", field);
	date_format_header((struct date){.utc_s = wall_ms / 1000}, out);
	buf_add(out, STR("\r\n"));
}

static const char *subject_of(enum report_kind kind)
{
	switch (kind) {
	case REPORT_FAILURE:
		return "Your message could not be delivered";
	case REPORT_DELAY:
		return "Your message is delayed; we keep trying";
	case REPORT_SUCCESS:
		return "Your message was delivered";
	}
	unreachable("kind of report");
}

static void add_header(const struct report_facts *facts, const char *boundary, struct buf *out)
{
	char guid[GUID_TEXT_BYTES];
	buf_printf(out, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\n", STR_FMT(facts->hostname));
	buf_printf(out, "To: <%.*s>\r\n", STR_FMT(facts->to));
	buf_printf(out, "Subject: %s\r\n", subject_of(facts->kind));
	add_date(out, "Date", facts->now_ms);
	buf_printf(out, "Message-ID: <%.*s@%.*s>\r\n", STR_FMT(guid_text(&facts->guid, guid)), STR_FMT(facts->hostname));
	buf_add(out, STR("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")); // RFC 3834 section 5
	buf_printf(out, "Content-Type: multipart/report; report-type=%sdelivery-status;\r\n\tboundary=\"%s\"\r\n\r\n",
		facts->utf8 ? "global-" : "", boundary);
}

static void add_explanation(const struct report_facts *facts, struct buf *out)
{
	buf_printf(out, "This is the mail system of %.*s.\r\n\r\n", STR_FMT(facts->hostname));
	switch (facts->kind) {
	case REPORT_FAILURE:
		buf_add(out, STR("Your message could not be delivered to the recipients below, and nothing more\r\n"
				 "will be tried. What the other side said stands below each.\r\n"));
		return;
	case REPORT_DELAY:
		buf_add(out, STR("Your message has not yet been delivered to the recipients below. You need not\r\n"
				 "do anything: it will be tried again until "));
		date_format_header((struct date){.utc_s = facts->gives_up_ms / 1000}, out);
		buf_add(out, STR(".\r\n"));
		return;
	case REPORT_SUCCESS:
		buf_add(out, STR("Your message was delivered to the recipients below, or handed on to a system that\r\n"
				 "sends no such notice.\r\n"));
		return;
	}
	unreachable("kind of report");
}

static void add_text_part(const struct report_facts *facts, const char *boundary, struct buf *out)
{
	buf_printf(out, "--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", boundary);
	add_explanation(facts, out);
	for (size_t i = 0; i < listed(facts); i++) {
		const struct report_recipient *r = &facts->recipients[i];
		buf_printf(out, "\r\n<%.*s>\r\n    ", STR_FMT(r->address));
		if (facts->kind == REPORT_SUCCESS) {
			buf_add_c(out, r->relayed ? "handed on" : "delivered");
		} else {
			if (r->remote.n)
				buf_printf(out, "%.*s said: ", STR_FMT(r->remote));
			add_line_text(out, r->reply);
		}
		buf_add(out, STR("\r\n"));
	}
	if (facts->n > listed(facts))
		buf_printf(out, "\r\nand %zu more.\r\n", facts->n - listed(facts));
	buf_printf(out, "\r\nThe message had the queue id %.*s.\r\n\r\n", STR_FMT(facts->queue_id));
}

static const char *action_of(const struct report_facts *facts, const struct report_recipient *r)
{
	switch (facts->kind) {
	case REPORT_FAILURE:
		return "failed";
	case REPORT_DELAY:
		return "delayed";
	case REPORT_SUCCESS:
		return r->relayed ? "relayed" : "delivered";
	}
	unreachable("kind of report");
}

// RFC 3464 section 2.3; address types: RFC 6533 section 3.
static void add_recipient_status(const struct report_facts *facts, const struct report_recipient *r, struct buf *out)
{
	char status[13];
	const char *type = facts->utf8 ? "utf-8" : "rfc822";
	buf_add(out, STR("\r\n"));
	if (r->orcpt.n) {
		buf_add(out, STR("Original-Recipient: "));
		add_line_text(out, r->orcpt);
		buf_add(out, STR("\r\n"));
	}
	buf_printf(out, "Final-Recipient: %s;%.*s\r\nAction: %s\r\n", type, STR_FMT(r->address), action_of(facts, r));
	report_status(r->reply, status);
	// Some say 5.x.x with a temporary reply: the class follows what we do.
	status[0] = facts->kind == REPORT_FAILURE ? '5' : facts->kind == REPORT_DELAY ? '4' : '2';
	buf_printf(out, "Status: %s\r\n", status);
	if (r->remote.n)
		buf_printf(out, "Remote-MTA: dns;%.*s\r\n", STR_FMT(r->remote));
	if (r->reply.n && facts->kind != REPORT_SUCCESS) {
		buf_add(out, STR("Diagnostic-Code: smtp;"));
		add_line_text(out, r->reply);
		buf_add(out, STR("\r\n"));
	}
	if (facts->kind == REPORT_DELAY)
		add_date(out, "Will-Retry-Until", facts->gives_up_ms);
}

static void add_status_part(const struct report_facts *facts, const char *boundary, struct buf *out)
{
	buf_printf(out, "--%s\r\nContent-Type: message/%sdelivery-status\r\n", boundary, facts->utf8 ? "global-" : "");
	if (facts->utf8)
		buf_add(out, STR("Content-Transfer-Encoding: 8bit\r\n"));
	buf_printf(out, "\r\nReporting-MTA: dns;%.*s\r\n", STR_FMT(facts->hostname));
	if (facts->envid.n) {
		buf_add(out, STR("Original-Envelope-Id: "));
		add_line_text(out, facts->envid);
		buf_add(out, STR("\r\n"));
	}
	add_date(out, "Arrival-Date", facts->arrived_ms);
	for (size_t i = 0; i < listed(facts); i++)
		add_recipient_status(facts, &facts->recipients[i], out);
	buf_add(out, STR("\r\n"));
}

static void add_original(const struct report_facts *facts, const char *boundary, struct buf *out)
{
	struct header_walk walk;
	struct header_field field;
	bool full = facts->return_full && facts->kind == REPORT_FAILURE && facts->original_is_whole &&
		facts->original.n <= REPORT_RETURNED_BYTES_MAX;
	struct str returned = facts->original;
	if (!full) {
		header_walk_init(&walk, facts->original);
		while (header_walk_next(&walk, &field))
			;
		returned = str_upto(facts->original,
			walk.header_end < REPORT_RETURNED_BYTES_MAX ? walk.header_end : REPORT_RETURNED_BYTES_MAX);
	}
	const char *headers = facts->utf8 ? "message/global-headers" : "text/rfc822-headers";
	const char *message = facts->utf8 ? "message/global" : "message/rfc822";
	buf_printf(out, "--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", boundary,
		full ? message : headers);
	buf_add(out, returned);
	if (!str_ends(returned, STR("\r\n")))
		buf_add(out, STR("\r\n"));
}

bool report_build(const struct report_facts *facts, struct buf *out)
{
	// The guid is in no message that was there before it, so no line of the returned one can be this boundary.
	char boundary[GUID_TEXT_BYTES + 8], guid[GUID_TEXT_BYTES];
	snprintf(boundary, sizeof boundary, "report-%s", guid_text(&facts->guid, guid).p);
	add_header(facts, boundary, out);
	add_text_part(facts, boundary, out);
	add_status_part(facts, boundary, out);
	add_original(facts, boundary, out);
	buf_printf(out, "--%s--\r\n", boundary);
	return !out->overflow;
}
