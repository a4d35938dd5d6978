// SPDX-License-Identifier: Apache-2.0
// RFC 3834 section 3: the message that answers for somebody who is away. Whatever comes from the directory or from the message
// that is answered goes through mail/header_emit.h or a transfer encoding, so that no byte of it can begin a field, a part or
// another message.
#include "base/must.h"
#include "mail/charset.h"
#include "mail/header_emit.h"
#include "mail/transfer.h"
#include "router/vacation.h"

enum {
	NAME_BYTES_MAX = 256,
	SUBJECT_BYTES_MAX = 512,
};

// At most max bytes of UTF-8, whatever was there.
static struct str clean(struct arena *arena, struct str text, size_t max)
{
	struct buf out;
	buf_init(&out, max);
	charset_repair_utf8(text, &out); // full: up to a whole character
	struct str cleaned = arena_dup(arena, buf_str(&out));
	buf_fini(&out);
	return cleaned;
}

// The same on one line. The arena may be full of what the message had: then nothing, and vacation_write() fails.
static struct str one_line(struct arena *arena, struct str text, size_t max)
{
	struct str cleaned = clean(arena, text, max);
	char *line = arena_alloc(arena, cleaned.n + 1);
	if (line == NULL)
		return STR_NONE;
	for (size_t i = 0; i < cleaned.n; i++)
		line[i] = (unsigned char)cleaned.p[i] < 0x20 || cleaned.p[i] == 0x7f ? ' ' : cleaned.p[i];
	return str_of(line, cleaned.n);
}

static bool find_author(struct arena *arena, const struct vacation_letter *letter, struct addr *author_out)
{
	struct str mail = entry_first(letter->user, ATTR_MAIL);
	if (addr_parse(arena, mail, ADDR_UTF8 | ADDR_LONG_LOCAL, author_out) == ADDR_OK)
		return true;
	if (letter->recipient == NULL || addr_is_null(letter->recipient))
		return false;
	*author_out = *letter->recipient;
	return true;
}

static void add_id(struct header_emit *emit, const struct vacation_letter *letter)
{
	struct buf id;
	char guid[GUID_TEXT_BYTES];
	buf_init(&id, 512);
	buf_printf(&id, "%.*s@%.*s", STR_FMT(guid_text(&letter->guid, guid)), STR_FMT(letter->hostname));
	header_emit_msgid(emit, STR("Message-ID"), buf_str(&id));
	buf_fini(&id);
}

static void add_header(struct arena *arena, const struct vacation_letter *letter, const struct addr *author,
	enum mime_encoding encoding, struct buf *out, bool *failed_out)
{
	const struct vacation_answer *answer = letter->answer;
	struct header_emit emit;
	struct str name = entry_first(letter->user, ATTR_DISPLAY_NAME);
	if (name.n == 0)
		name = entry_first(letter->user, ATTR_CN);
	header_emit_init(&emit, out);
	header_emit_mailbox(&emit, STR("From"), one_line(arena, name, NAME_BYTES_MAX), author);
	header_emit_mailbox(&emit, STR("To"), STR_NONE, answer->to);
	header_emit_text(&emit, STR("Subject"), one_line(arena, answer->subject, SUBJECT_BYTES_MAX));
	header_emit_date(&emit, STR("Date"), (struct date){.utc_s = letter->now_ms / 1000});
	add_id(&emit, letter);
	if (answer->in_reply_to.n)
		header_emit_raw(&emit, STR("In-Reply-To"), answer->in_reply_to);
	if (answer->references.n)
		header_emit_raw(&emit, STR("References"), answer->references);
	header_emit_raw(&emit, STR("Auto-Submitted"), STR("auto-replied"));        // RFC 3834 section 5
	header_emit_raw(&emit, STR("X-Auto-Response-Suppress"), STR("All"));       // what Exchange looks at
	header_emit_raw(&emit, STR("MIME-Version"), STR("1.0"));
	header_emit_raw(&emit, STR("Content-Type"), STR("text/plain; charset=utf-8"));
	if (answer->lang.n)
		header_emit_raw(&emit, STR("Content-Language"), answer->lang);
	header_emit_raw(&emit, STR("Content-Transfer-Encoding"), encoding == MIME_7BIT ? STR("7bit") : STR("quoted-printable"));
	*failed_out = emit.failed;
}

bool vacation_write(struct arena *arena, const struct vacation_letter *letter, struct buf *out, bool *utf8_out)
{
	struct addr author;
	struct buf body;
	enum mime_encoding encoding;
	bool failed;
	if (!find_author(arena, letter, &author))
		return false;
	buf_init(&body, TRANSFER_TEXT_BYTES(VACATION_TEXT_BYTES_MAX));
	must(transfer_encode_text(clean(arena, letter->answer->text, VACATION_TEXT_BYTES_MAX), &encoding, &body));
	add_header(arena, letter, &author, encoding, out, &failed);
	buf_add(out, STR("\r\n"));
	buf_add(out, buf_str(&body));
	buf_fini(&body);
	*utf8_out = author.utf8 || letter->answer->to->utf8;
	return !failed && !out->overflow && !arena_overflowed(arena);
}
