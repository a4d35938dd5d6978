// SPDX-License-Identifier: Apache-2.0
// The texts of reports: a note for people, fields for programs, and the message or its header.
#include "dsn.h"

#include "base/must.h"
#include "mail/date.h"
#include "mail/header_emit.h"

bool dsn_is_wanted(const struct item *item, enum dsn_action action)
{
	uint8_t notify = item->r.notify;
	if (item->message->sender.n == 0 || (notify & RECORD_NOTIFY_NEVER))
		return false;
	switch (action) {
	case DSN_FAILED:
		return notify == 0 || (notify & RECORD_NOTIFY_FAILURE);
	case DSN_DELAYED:
		return notify == 0 || (notify & RECORD_NOTIFY_DELAY);
	case DSN_DELIVERED:
	case DSN_RELAYED:
		return notify & RECORD_NOTIFY_SUCCESS;
	}
	unreachable("action of a report");
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static bool is_global(const struct dsn *dsn)
{
	return dsn->message->flags & RECORD_FLAG_UTF8;
}

static bool all_failed_or(const struct dsn *dsn, enum dsn_action action)
{
	for (size_t i = 0; i < dsn->n; i++)
		if (dsn->to[i].action != action)
			return false;
	return true;
}

// --- The returned message ---

static struct str header_of(struct str message)
{
	ptrdiff_t end = str_find(message, STR("\r\n\r\n"));
	return end < 0 ? message : str_upto(message, (size_t)end + 2);
}

static bool returns_all(const struct dsn *dsn)
{
	bool failed = false;
	for (size_t i = 0; i < dsn->n; i++)
		failed = failed || dsn->to[i].action == DSN_FAILED;
	return failed && !(dsn->message->flags & RECORD_FLAG_RET_HDRS) && dsn->original.n == dsn->message->body_bytes &&
	       dsn->original.n <= DSN_RETURNED_BYTES_MAX;
}

static struct str returned(const struct dsn *dsn)
{
	return returns_all(dsn) ? dsn->original : str_upto(header_of(dsn->original), DSN_RETURNED_BYTES_MAX);
}

uint8_t dsn_flags(const struct dsn *dsn)
{
	if (is_global(dsn))
		return RECORD_FLAG_UTF8 | RECORD_FLAG_8BIT;
	return is_ascii(returned(dsn)) ? 0 : RECORD_FLAG_8BIT;
}

// --- Pieces ---

static struct str name_of(const struct item *item)
{
	return item->r.original.n ? item->r.original : item->r.address;
}

// "5.1.1" of "550 5.1.1 text", else what the code's class says.
static struct str status_of(const struct dsn_recipient *r)
{
	struct str code, rest, status, text;
	if (r->action == DSN_DELIVERED || r->action == DSN_RELAYED)
		return STR("2.0.0");
	if (str_cut(r->reply, ' ', &code, &rest)) {
		if (!str_cut(rest, ' ', &status, &text))
			status = rest;
		if (status.n >= 5 && status.n <= 9 && chr_is_digit(status.p[0]) && status.p[1] == '.' &&
			(status.p[0] == '5' || (r->action == DSN_DELAYED && status.p[0] == '4')))
			return status;
	}
	return r->action == DSN_DELAYED ? STR("4.0.0") : STR("5.0.0");
}

// ASCII stays, anything else becomes "?": for fields of a report that is not SMTPUTF8.
static void add_text(struct buf *out, struct str text, bool utf8)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		buf_add_byte(out, c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : (char)c);
	}
}

// Lines of at most 900 bytes: a reply may be long.
static void add_field(struct buf *out, const char *name, const char *type, struct str value, bool utf8)
{
	buf_printf(out, "%s: %s", name, type);
	add_text(out, str_upto(value, 900), utf8);
	buf_add(out, STR("\r\n"));
}

static const char *action_name(enum dsn_action action)
{
	static const char *const names[] = {[DSN_FAILED] = "failed", [DSN_DELAYED] = "delayed", [DSN_DELIVERED] = "delivered",
		[DSN_RELAYED] = "relayed"};
	return names[action];
}

static void add_date(struct buf *out, const char *name, int64_t wall_ms)
{
	struct header_emit emit;
	header_emit_init(&emit, out);
	header_emit_date(&emit, str_of_c(name), (struct date){.utc_s = wall_ms / 1000});
}

// RFC 6533 section 3: an address that is not ASCII has the type utf-8; in a report that is not global its letters become "?", as the
// message itself was plain and such an address cannot have come with it.
static void add_address_field(struct buf *out, const char *name, struct str address, bool global)
{
	if (is_ascii(address))
		add_field(out, name, "rfc822; ", address, false);
	else
		add_field(out, name, "utf-8; ", address, global);
}

static void add_recipient(struct buf *out, const struct dsn *dsn, const struct dsn_recipient *r)
{
	bool global = is_global(dsn);
	struct str type, address;
	buf_add(out, STR("\r\n"));
	if (str_cut(r->item->r.orcpt, ';', &type, &address)) {
		buf_add(out, STR("Original-Recipient: "));
		add_text(out, type, false);
		buf_add(out, STR("; "));
		add_text(out, address, global);
		buf_add(out, STR("\r\n"));
	}
	add_address_field(out, "Final-Recipient", name_of(r->item), global);
	buf_printf(out, "Action: %s\r\nStatus: %.*s\r\n", action_name(r->action), STR_FMT(status_of(r)));
	if (r->by_peer && dsn->remote.n && !r->item->r.original.n) // whose name would tell where an alias leads
		add_field(out, "Remote-MTA", "dns; ", dsn->remote, global);
	if (r->by_peer && r->reply.n && !r->item->r.original.n)
		add_field(out, "Diagnostic-Code", "smtp; ", r->reply, global);
	add_date(out, "Last-Attempt-Date", dsn->wall_ms);
	if (r->action == DSN_DELAYED)
		add_date(out, "Will-Retry-Until", dsn->retry_until_ms);
}

// --- The parts ---

static const char *subject_of(const struct dsn *dsn)
{
	if (dsn->double_bounce)
		return "Undeliverable report";
	if (all_failed_or(dsn, DSN_DELAYED))
		return "Delayed mail (still being retried)";
	if (all_failed_or(dsn, DSN_DELIVERED) || all_failed_or(dsn, DSN_RELAYED))
		return "Delivery report";
	return "Undelivered mail returned to sender";
}

static void add_header(struct buf *out, const struct dsn *dsn, const char *boundary)
{
	char guid[GUID_TEXT_BYTES];
	buf_printf(out, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\nTo: <", STR_FMT(dsn->hostname));
	add_text(out, dsn->addressee, is_global(dsn));
	buf_printf(out, ">\r\nSubject: %s\r\n", subject_of(dsn));
	add_date(out, "Date", dsn->wall_ms);
	// RFC 3834 section 5: nobody answers a report.
	buf_printf(out, "Message-ID: <%s@%.*s>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n", guid_text(&dsn->guid, guid).p,
		STR_FMT(dsn->hostname));
	buf_printf(out, "Content-Type: multipart/report; report-type=%s;\r\n boundary=\"%s\"\r\n",
		is_global(dsn) ? "global-delivery-status" : "delivery-status", boundary);
	if (dsn_flags(dsn) & RECORD_FLAG_8BIT)
		buf_add(out, STR("Content-Transfer-Encoding: 8bit\r\n"));
	buf_add(out, STR("\r\n"));
}

static const char *explanation(enum dsn_action action)
{
	static const char *const texts[] = {
		[DSN_FAILED] = "Your message could not be delivered to:",
		[DSN_DELAYED] = "Your message has not been delivered yet. You need not send it again; we go on trying for:",
		[DSN_DELIVERED] = "Your message was delivered to:",
		[DSN_RELAYED] = "Your message was handed on, to a server that gives no delivery reports, for:",
	};
	return texts[action];
}

static void add_note(struct buf *out, const struct dsn *dsn)
{
	buf_printf(out, "Content-Type: text/plain; charset=%s\r\n%s\r\nThis is the mail system at %.*s.\r\n\r\n",
		is_global(dsn) ? "utf-8" : "us-ascii", is_global(dsn) ? "Content-Transfer-Encoding: 8bit\r\n" : "", STR_FMT(dsn->hostname));
	if (dsn->double_bounce)
		buf_add(out, STR("A report about the message below could not be delivered to its sender. Nothing more will be sent.\r\n\r\n"));
	for (int action = DSN_FAILED; action <= DSN_RELAYED; action++) {
		bool first = true;
		for (size_t i = 0; i < dsn->n; i++) {
			const struct dsn_recipient *r = &dsn->to[i];
			if ((int)r->action != action)
				continue;
			if (first)
				buf_printf(out, "%s\r\n\r\n", explanation(r->action));
			first = false;
			buf_add(out, STR("  <"));
			add_text(out, name_of(r->item), is_global(dsn));
			buf_add(out, STR(">\r\n"));
			if (r->reply.n && !r->item->r.original.n && action != DSN_DELIVERED) {
				buf_add(out, r->by_peer ? STR("    the other server said: ") : STR("    "));
				add_text(out, str_upto(r->reply, 800), is_global(dsn));
				buf_add(out, STR("\r\n"));
			}
		}
		if (!first)
			buf_add(out, STR("\r\n"));
	}
}

static void add_status(struct buf *out, const struct dsn *dsn)
{
	buf_printf(out, "Content-Type: message/%s\r\n%s\r\nReporting-MTA: dns; %.*s\r\n",
		is_global(dsn) ? "global-delivery-status" : "delivery-status",
		is_global(dsn) ? "Content-Transfer-Encoding: 8bit\r\n" : "", STR_FMT(dsn->hostname));
	if (dsn->message->envid.n)
		add_field(out, "Original-Envelope-Id", "", dsn->message->envid, false);
	add_date(out, "Arrival-Date", dsn->message->received_ms);
	for (size_t i = 0; i < dsn->n; i++)
		add_recipient(out, dsn, &dsn->to[i]);
}

static void add_returned(struct buf *out, const struct dsn *dsn)
{
	struct str message = returned(dsn);
	const char *type = returns_all(dsn) ? (is_global(dsn) ? "message/global" : "message/rfc822")
					    : (is_global(dsn) ? "message/global-headers" : "text/rfc822-headers");
	buf_printf(out, "Content-Type: %s\r\n%s\r\n", type, is_ascii(message) ? "" : "Content-Transfer-Encoding: 8bit\r\n");
	buf_add(out, message);
	if (!str_ends(message, STR("\r\n")))
		buf_add(out, STR("\r\n"));
}

bool dsn_write(const struct dsn *dsn, struct buf *out)
{
	char guid[GUID_TEXT_BYTES], boundary[GUID_TEXT_BYTES + 4];
	size_t n = 0;
	boundary[n++] = '=';
	boundary[n++] = '_';
	memcpy(boundary + n, guid_text(&dsn->guid, guid).p, GUID_TEXT_BYTES); // a hash of what the sender cannot choose alone
	add_header(out, dsn, boundary);
	buf_printf(out, "This is a delivery report in MIME.\r\n\r\n--%s\r\n", boundary);
	add_note(out, dsn);
	buf_printf(out, "\r\n--%s\r\n", boundary);
	add_status(out, dsn);
	buf_printf(out, "\r\n--%s\r\n", boundary);
	add_returned(out, dsn);
	buf_printf(out, "\r\n--%s--\r\n", boundary);
	return !out->overflow;
}
