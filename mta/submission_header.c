// SPDX-License-Identifier: Apache-2.0
// The header of a submitted message: completed, and rid of what is not for its readers.
#include "submission_header.h"

#include "mail/header.h"
#include "mail/header_emit.h"

static bool is_removed(struct str name)
{
	return str_eq_nocase(name, STR("Bcc")) || str_eq_nocase(name, STR("Resent-Bcc")) ||
	       str_eq_nocase(name, STR("Return-Path"));
}

struct seen {
	bool date, message_id, from;
};

static void look(struct str name, struct seen *seen)
{
	seen->date |= str_eq_nocase(name, STR("Date"));
	seen->message_id |= str_eq_nocase(name, STR("Message-ID"));
	seen->from |= str_eq_nocase(name, STR("From"));
}

static void add_missing(const struct submission_facts *facts, const struct seen *seen, struct buf *out)
{
	struct header_emit emit;
	header_emit_init(&emit, out);
	if (!seen->date)
		header_emit_date(&emit, STR("Date"), (struct date){.utc_s = facts->wall_ms / 1000});
	if (!seen->from && !addr_is_null(facts->sender))
		header_emit_mailbox(&emit, STR("From"), STR_NONE, facts->sender);
	if (!seen->message_id) {
		char guid[GUID_TEXT_BYTES];
		struct buf id;
		buf_init(&id, 512);
		buf_printf(&id, "%.*s@%.*s", STR_FMT(guid_text(facts->guid, guid)), STR_FMT(facts->hostname));
		header_emit_msgid(&emit, STR("Message-ID"), buf_str(&id));
		buf_fini(&id);
	}
}

size_t submission_header_fix(struct str message, const struct submission_facts *facts, struct buf *out)
{
	struct header_walk walk;
	struct header_field field;
	struct seen seen = {false};
	size_t body_start = 0;
	bool ended = false; // at a line that is no field, where the header of a careless client runs into its text
	header_walk_init(&walk, message);
	while (!ended && header_walk_next(&walk, &field)) {
		if (field.name.n == 0) {
			body_start = field.start;
			ended = true;
			continue;
		}
		look(field.name, &seen);
		if (!is_removed(field.name))
			buf_add(out, field.raw);
	}
	if (!ended)
		body_start = walk.body_start;
	if (out->n && !str_ends(buf_str(out), STR("\n")))
		buf_add(out, STR("\r\n"));
	add_missing(facts, &seen, out);
	buf_add(out, STR("\r\n"));
	return body_start;
}
