// SPDX-License-Identifier: Apache-2.0
// IMAP's answers as text.
#include "mail/imap_reply.h"

#include "base/must.h"

const char *imap_status_text(enum imap_status status)
{
	static const char *const texts[] = {[IMAP_OK] = "OK", [IMAP_NO] = "NO", [IMAP_BAD] = "BAD", [IMAP_BYE] = "BYE"};
	return texts[status];
}

static const struct str codes[] = {
#define ROW(code, text) [code] = STR(text),
	IMAP_CODES(ROW)
#undef ROW
};

struct str imap_code_text(enum imap_code code)
{
	return codes[code];
}

enum imap_code imap_code_of_err(enum err_code code)
{
	switch (code) {
	case ERR_OK:
		return IMAP_CODE_NONE;
	case ERR_IO:
	case ERR_NOMEM:
	case ERR_TIMEOUT:
	case ERR_CANCELLED:
	case ERR_CLOSED:
	case ERR_CONNECT:
	case ERR_TLS:
	case ERR_PROTOCOL:
	case ERR_NOSPACE:
	case ERR_BUSY: // the mailbox is being moved
		return IMAP_CODE_UNAVAILABLE;
	case ERR_QUOTA:
		return IMAP_CODE_OVERQUOTA;
	case ERR_LIMIT:
		return IMAP_CODE_LIMIT;
	case ERR_INVALID:
	case ERR_UNSUPPORTED:
		return IMAP_CODE_CANNOT;
	case ERR_NOTFOUND:
		return IMAP_CODE_NONEXISTENT;
	case ERR_EXISTS:
		return IMAP_CODE_ALREADYEXISTS;
	case ERR_DENIED:
		return IMAP_CODE_NOPERM;
	case ERR_CORRUPT:
	case ERR_VERSION:
		return IMAP_CODE_CONTACTADMIN;
	}
	unreachable("error code");
}

static const struct {
	enum imap_flag flag;
	struct str name;
} flag_names[] = {
	{IMAP_FLAG_ANSWERED, STR("\\Answered")}, {IMAP_FLAG_FLAGGED, STR("\\Flagged")}, {IMAP_FLAG_DELETED, STR("\\Deleted")},
	{IMAP_FLAG_SEEN, STR("\\Seen")},         {IMAP_FLAG_DRAFT, STR("\\Draft")},     {IMAP_FLAG_RECENT, STR("\\Recent")},
};

void imap_reply_flags(struct buf *b, const struct imap_flags *flags)
{
	struct str before = STR("");
	buf_add_byte(b, '(');
	for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
		if (flags->system & flag_names[i].flag) {
			buf_add(b, before);
			buf_add(b, flag_names[i].name);
			before = STR(" ");
		}
	for (size_t i = 0; i < flags->keywords_n; i++) {
		buf_add(b, before);
		buf_add(b, flags->keywords[i]);
		before = STR(" ");
	}
	buf_add_byte(b, ')');
}

void imap_reply_string(struct buf *b, struct str s)
{
	bool quotable = s.n <= 1024;
	for (size_t i = 0; i < s.n && quotable; i++)
		quotable = s.p[i] >= ' ' && s.p[i] < 0x7F;
	if (!quotable) {
		buf_printf(b, "{%zu}\r\n", s.n);
		buf_add(b, s);
		return;
	}
	buf_add_byte(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_add_byte(b, '\\');
		buf_add_byte(b, s.p[i]);
	}
	buf_add_byte(b, '"');
}

void imap_reply_mailbox(struct buf *b, const struct mailbox_name *name)
{
	struct buf text;
	buf_init(&text, 8 * MAILBOX_NAME_BYTES_MAX);
	must(mailbox_name_to_mutf7(name, &text));
	imap_reply_string(b, buf_str(&text));
	buf_fini(&text);
}

void imap_reply_date(struct buf *b, struct date date)
{
	buf_add_byte(b, '"');
	date_format_imap(date, b);
	buf_add_byte(b, '"');
}
