// SPDX-License-Identifier: Apache-2.0
// SMTP and LMTP command lines: verb and argument, the paths and parameters of MAIL and RCPT, both ways.
//
// A parameter is one row of a table: its name, which listeners take it, the command it belongs to, and the function that reads
// its value. parse_parameters() walks the words behind the path, finds the row, refuses what it does not find and what comes
// twice.
#include "mail/smtp.h"

#include <unistr.h>

#include "base/must.h"
#include "chars.h"
#include "mail/xtext.h"

enum reply_id smtp_reply(enum smtp_result result)
{
	switch (result) {
	case SMTP_OK:
		return REPLY_OK;
	case SMTP_NO_VERB:
		return REPLY_UNKNOWN_COMMAND;
	case SMTP_CONTROL:
		return REPLY_NUL;
	case SMTP_SYNTAX:
		return REPLY_SYNTAX;
	case SMTP_BAD_SENDER:
		return REPLY_BAD_SENDER;
	case SMTP_BAD_RECIPIENT:
		return REPLY_BAD_RECIPIENT;
	case SMTP_NEEDS_UTF8:
		return REPLY_NEEDS_UTF8;
	case SMTP_UNKNOWN_PARAMETER:
		return REPLY_UNKNOWN_PARAMETER;
	case SMTP_DUPLICATE:
		return REPLY_DUPLICATE_PARAMETER;
	case SMTP_BAD_PARAMETER:
		return REPLY_BAD_PARAMETER;
	case SMTP_SIZE_TOO_BIG:
		return REPLY_TOO_BIG;
	case SMTP_FULL:
		return REPLY_LOCAL_FAULT;
	}
	unreachable("smtp_result");
}

// The next word of *rest, without the blanks around it; false when only blanks are left.
static bool next_word(struct str *rest, struct str *word_out)
{
	size_t start = 0;
	while (start < rest->n && chars_is_blank(rest->p[start]))
		start++;
	size_t end = start;
	while (end < rest->n && !chars_is_blank(rest->p[end]))
		end++;
	if (start == end)
		return false;
	*word_out = str_of(rest->p + start, end - start);
	*rest = str_from(*rest, end);
	return true;
}

static bool is_keyword(struct str word)
{
	for (size_t i = 0; i < word.n; i++)
		if (!chr_is_alpha(word.p[i]) && !chr_is_digit(word.p[i]) && (word.p[i] != '-' || i == 0))
			return false;
	return word.n > 0;
}

enum smtp_result smtp_command_parse(struct str line, struct smtp_command *command_out)
{
	struct str rest = line, verb;
	for (size_t i = 0; i < line.n; i++)
		if (chars_is_control(line.p[i]) && line.p[i] != '\t')
			return SMTP_CONTROL;
	if (!str_is_utf8(line))
		return SMTP_CONTROL;
	if (!next_word(&rest, &verb) || !is_keyword(verb))
		return SMTP_NO_VERB;
	*command_out = (struct smtp_command){verb, str_trim(rest)};
	return SMTP_OK;
}

static enum smtp_result of_addr(enum addr_result result, enum smtp_result bad)
{
	switch (result) {
	case ADDR_OK:
		return SMTP_OK;
	case ADDR_SYNTAX:
	case ADDR_BAD_LOCAL:
	case ADDR_BAD_DOMAIN:
	case ADDR_TOO_LONG:
		return bad;
	case ADDR_NEEDS_UTF8:
		return SMTP_NEEDS_UTF8;
	case ADDR_FULL:
		return SMTP_FULL;
	}
	unreachable("addr_result");
}

// "FROM:" or "TO:", blanks, and a path; without its brackets the path is one word. *rest is then the parameters.
static enum smtp_result parse_path(struct arena *arena, struct str *rest, struct str keyword, unsigned flags,
	enum smtp_result bad, struct addr *addr_out)
{
	if (!str_starts_nocase(*rest, keyword))
		return SMTP_SYNTAX;
	struct str path = str_from(*rest, keyword.n), word;
	while (path.n && chars_is_blank(path.p[0]))
		path = str_from(path, 1);
	if (path.n == 0)
		return SMTP_SYNTAX;
	enum addr_result result;
	if (path.p[0] == '<')
		result = addr_parse_path(arena, &path, flags, addr_out);
	else if (next_word(&path, &word))
		result = addr_parse(arena, word, flags, addr_out);
	else
		return SMTP_SYNTAX;
	if (result == ADDR_OK && path.n && !chars_is_blank(path.p[0]))
		return bad;
	*rest = path;
	return of_addr(result, bad);
}

// What the value readers write to.
struct target {
	struct arena *arena;
	struct smtp_mail *mail;
	struct smtp_rcpt *rcpt;
	bool utf8;
};

static enum smtp_result read_size(struct target *to, struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!chr_is_digit(value.p[i]))
			return SMTP_BAD_PARAMETER;
	if (value.n == 0 || value.n > 20) // RFC 1870 section 4
		return SMTP_BAD_PARAMETER;
	to->mail->has_size = true;
	return str_to_u64(value, INT64_MAX, &to->mail->size_bytes) ? SMTP_OK : SMTP_SIZE_TOO_BIG;
}

static enum smtp_result read_body(struct target *to, struct str value)
{
	bool eight = str_eq_nocase(value, STR("8BITMIME"));
	to->mail->body = eight ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
	return eight || str_eq_nocase(value, STR("7BIT")) ? SMTP_OK : SMTP_BAD_PARAMETER;
}

static enum smtp_result read_utf8(struct target *to, struct str value)
{
	to->mail->smtputf8 = true;
	return value.p == NULL ? SMTP_OK : SMTP_BAD_PARAMETER;
}

static enum smtp_result read_ret(struct target *to, struct str value)
{
	bool full = str_eq_nocase(value, STR("FULL"));
	to->mail->ret = full ? SMTP_RET_FULL : SMTP_RET_HDRS;
	return full || str_eq_nocase(value, STR("HDRS")) ? SMTP_OK : SMTP_BAD_PARAMETER;
}

static enum smtp_result read_xtext(struct arena *arena, struct str value, size_t bytes_max, struct str *out)
{
	if (value.n == 0 || value.n > bytes_max || !xtext_decode(arena, value, out))
		return arena_overflowed(arena) ? SMTP_FULL : SMTP_BAD_PARAMETER;
	return str_is_utf8(*out) && !chars_any_control(*out) ? SMTP_OK : SMTP_BAD_PARAMETER;
}

// RFC 3461 section 4.4: decoded, it is printable US-ASCII.
static enum smtp_result read_envid(struct target *to, struct str value)
{
	enum smtp_result result = read_xtext(to->arena, value, SMTP_ENVID_BYTES_MAX, &to->mail->envid);
	if (result == SMTP_OK && !str_is_printable(to->mail->envid))
		return SMTP_BAD_PARAMETER;
	to->mail->has_envid = result == SMTP_OK;
	return result;
}

static enum smtp_result read_auth(struct target *to, struct str value)
{
	to->mail->has_auth = true;
	return read_xtext(to->arena, value, SMTP_ORCPT_BYTES_MAX, &to->mail->auth); // RFC 4954 section 5: at most 500 characters
}

static enum smtp_result read_root(struct target *to, struct str value)
{
	to->mail->has_key = true;
	return lmtp_root_guid_parse(value, &to->mail->root) ? SMTP_OK : SMTP_BAD_PARAMETER;
}

static const struct {
	struct str name;
	unsigned bit;
} notify_words[] = {
	{STR("NEVER"), SMTP_NOTIFY_NEVER},
	{STR("SUCCESS"), SMTP_NOTIFY_SUCCESS},
	{STR("FAILURE"), SMTP_NOTIFY_FAILURE},
	{STR("DELAY"), SMTP_NOTIFY_DELAY},
};
enum { NOTIFY_WORDS = sizeof notify_words / sizeof *notify_words };

// RFC 3461 section 4.1: NEVER alone, or a list of the others.
static enum smtp_result read_notify(struct target *to, struct str value)
{
	unsigned set = 0;
	bool more = true;
	while (more) {
		struct str word = value;
		more = str_cut(value, ',', &word, &value);
		unsigned bit = 0;
		for (size_t i = 0; i < NOTIFY_WORDS; i++)
			if (str_eq_nocase(word, notify_words[i].name))
				bit = notify_words[i].bit;
		if (bit == 0)
			return SMTP_BAD_PARAMETER;
		set |= bit;
	}
	to->rcpt->notify = set;
	return set & SMTP_NOTIFY_NEVER && set != SMTP_NOTIFY_NEVER ? SMTP_BAD_PARAMETER : SMTP_OK;
}

// RFC 3461 section 4.2; RFC 6533 section 3: with SMTPUTF8 an address of type utf-8 may be raw UTF-8.
static enum smtp_result read_orcpt(struct target *to, struct str value)
{
	struct str type, address;
	if (value.n > SMTP_ORCPT_BYTES_MAX || !str_cut(value, ';', &type, &address) || !is_keyword(type) || address.n == 0)
		return SMTP_BAD_PARAMETER;
	to->rcpt->orcpt_type = arena_dup(to->arena, type);
	if (to->rcpt->orcpt_type.p == NULL)
		return SMTP_FULL;
	if (chars_all_ascii(address))
		return read_xtext(to->arena, address, SMTP_ORCPT_BYTES_MAX, &to->rcpt->orcpt);
	if (!to->utf8 || !str_eq_nocase(type, STR("utf-8")))
		return SMTP_BAD_PARAMETER;
	to->rcpt->orcpt = arena_dup(to->arena, address);
	return to->rcpt->orcpt.p ? SMTP_OK : SMTP_FULL;
}

static enum smtp_result read_rcpt_key(struct target *to, struct str value)
{
	to->rcpt->has_key = true;
	if (lmtp_rcpt_key_parse(to->arena, value, &to->rcpt->key))
		return SMTP_OK;
	return arena_overflowed(to->arena) ? SMTP_FULL : SMTP_BAD_PARAMETER;
}

struct parameter {
	struct str name;
	unsigned accepted; // the SMTP_PARAM_ that must be announced
	enum smtp_result (*read)(struct target *to, struct str value);
};

static const struct parameter mail_parameters[] = {
	{STR("SIZE"), SMTP_PARAM_SIZE, read_size},
	{STR("BODY"), SMTP_PARAM_BODY, read_body},
	{STR("SMTPUTF8"), SMTP_PARAM_UTF8, read_utf8},
	{STR("RET"), SMTP_PARAM_DSN, read_ret},
	{STR("ENVID"), SMTP_PARAM_DSN, read_envid},
	{STR("AUTH"), SMTP_PARAM_AUTH, read_auth},
	{STR("XPHKEY"), SMTP_PARAM_KEY, read_root},
};

static const struct parameter rcpt_parameters[] = {
	{STR("NOTIFY"), SMTP_PARAM_DSN, read_notify},
	{STR("ORCPT"), SMTP_PARAM_DSN, read_orcpt},
	{STR("XPHRCPT"), SMTP_PARAM_KEY, read_rcpt_key},
};

static enum smtp_result parse_parameters(struct str rest, const struct parameter *table, size_t table_n, unsigned accepted,
                                         struct target *to)
{
	unsigned seen = 0;
	struct str word, name, value;
	while (next_word(&rest, &word)) {
		name = word;
		value = STR_NONE; // "KEYWORD" alone has no value, "KEYWORD=" an empty one
		str_cut(word, '=', &name, &value);
		if (!is_keyword(name))
			return SMTP_SYNTAX;
		size_t i = 0;
		while (i < table_n && !(str_eq_nocase(name, table[i].name) && table[i].accepted & accepted))
			i++;
		if (i == table_n)
			return SMTP_UNKNOWN_PARAMETER;
		if (seen & 1u << i)
			return SMTP_DUPLICATE;
		seen |= 1u << i;
		enum smtp_result result = table[i].read(to, value);
		if (result != SMTP_OK)
			return result;
	}
	return SMTP_OK;
}

enum smtp_result smtp_mail_parse(struct arena *arena, struct str argument, unsigned accepted, struct smtp_mail *mail_out)
{
	struct smtp_mail mail = {.body = SMTP_BODY_7BIT};
	struct target to = {.arena = arena, .mail = &mail};
	unsigned flags = ADDR_ALLOW_NULL | ADDR_LONG_LOCAL | (accepted & SMTP_PARAM_UTF8 ? ADDR_UTF8 : 0);
	enum smtp_result result = parse_path(arena, &argument, STR("FROM:"), flags, SMTP_BAD_SENDER, &mail.from);
	if (result == SMTP_OK)
		result = parse_parameters(argument, mail_parameters, sizeof mail_parameters / sizeof *mail_parameters, accepted,
			&to);
	if (result == SMTP_OK && mail.from.utf8 && !mail.smtputf8)
		result = SMTP_NEEDS_UTF8;
	if (result == SMTP_OK)
		*mail_out = mail;
	return result;
}

enum smtp_result smtp_rcpt_parse(struct arena *arena, struct str argument, unsigned accepted, bool utf8,
	struct smtp_rcpt *rcpt_out)
{
	struct smtp_rcpt rcpt = {.notify = 0};
	struct target to = {.arena = arena, .rcpt = &rcpt, .utf8 = utf8};
	unsigned flags = ADDR_ALLOW_POSTMASTER | ADDR_LONG_LOCAL | (utf8 ? ADDR_UTF8 : 0);
	enum smtp_result result = parse_path(arena, &argument, STR("TO:"), flags, SMTP_BAD_RECIPIENT, &rcpt.to);
	if (result == SMTP_OK)
		result = parse_parameters(argument, rcpt_parameters, sizeof rcpt_parameters / sizeof *rcpt_parameters, accepted,
			&to);
	if (result == SMTP_OK)
		*rcpt_out = rcpt;
	return result;
}

// "<local@domain>"; without SMTPUTF8 the domain as A-label.
static bool add_path(const struct addr *addr, bool utf8, struct buf *out)
{
	if (utf8 || !addr->utf8)
		return buf_printf(out, "<%.*s>", STR_FMT(addr->text));
	struct str local = str_upto(addr->text, addr->text.n - addr->domain.text.n); // with its "@"
	return chars_all_ascii(local) && buf_printf(out, "<%.*s%.*s>", STR_FMT(local), STR_FMT(addr->domain.key));
}

static bool add_xtext(struct buf *out, const char *name, struct str value)
{
	return buf_add_c(out, name) && xtext_encode(value, out);
}

bool smtp_mail_format(const struct smtp_mail *mail, unsigned accepted, struct buf *out)
{
	bool utf8 = mail->smtputf8 && accepted & SMTP_PARAM_UTF8;
	bool ok = buf_add(out, STR("FROM:")) && add_path(&mail->from, utf8, out);
	if (ok && mail->has_size && accepted & SMTP_PARAM_SIZE)
		ok = buf_printf(out, " SIZE=%llu", (unsigned long long)mail->size_bytes);
	if (ok && mail->body == SMTP_BODY_8BITMIME && accepted & SMTP_PARAM_BODY)
		ok = buf_add(out, STR(" BODY=8BITMIME"));
	if (ok && utf8)
		ok = buf_add(out, STR(" SMTPUTF8"));
	if (ok && mail->ret != SMTP_RET_NONE && accepted & SMTP_PARAM_DSN)
		ok = buf_add_c(out, mail->ret == SMTP_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (ok && mail->has_envid && accepted & SMTP_PARAM_DSN)
		ok = add_xtext(out, " ENVID=", mail->envid);
	if (ok && mail->has_key && accepted & SMTP_PARAM_KEY) {
		char text[GUID_TEXT_BYTES];
		ok = buf_add(out, STR(" XPHKEY=")) && buf_add(out, guid_text(&mail->root, text));
	}
	return ok;
}

static bool add_notify(unsigned notify, struct buf *out)
{
	bool ok = buf_add(out, STR(" NOTIFY="));
	const char *comma = "";
	for (size_t i = 0; i < NOTIFY_WORDS; i++) {
		if (!(notify & notify_words[i].bit))
			continue;
		ok = ok && buf_add_c(out, comma) && buf_add(out, notify_words[i].name);
		comma = ",";
	}
	return ok;
}

// RFC 6533 section 3: in an address of type utf-8 odd ASCII is "\\x{HEX}", and so is what is not ASCII where SMTPUTF8 is not
// used. A backslash starts such a sequence already. True also when the result would be over its limit: it is then left out,
// because a next hop would refuse the recipient for it.
static bool add_utf8_orcpt(struct str address, bool utf8, struct buf *out)
{
	struct buf text;
	bool fits = true;
	buf_init(&text, SMTP_ORCPT_BYTES_MAX - sizeof "utf-8;");
	for (size_t i = 0; i < address.n && fits;) {
		ucs4_t c;
		int n = u8_mbtoucr(&c, (const uint8_t *)address.p + i, address.n - i);
		must(n > 0); // checked when it was read
		bool plain = c > 0x7f ? utf8 : c > 0x20 && c != '+' && c != '=';
		fits = plain ? buf_add(&text, str_of(address.p + i, (size_t)n)) : buf_printf(&text, "\\x{%X}", (unsigned)c);
		i += (size_t)n;
	}
	bool ok = !fits || buf_printf(out, " ORCPT=utf-8;%.*s", STR_FMT(buf_str(&text)));
	buf_fini(&text);
	return ok;
}

static bool add_orcpt(const struct smtp_rcpt *rcpt, bool utf8, struct buf *out)
{
	if (str_eq_nocase(rcpt->orcpt_type, STR("utf-8")))
		return add_utf8_orcpt(rcpt->orcpt, utf8, out);
	return buf_printf(out, " ORCPT=%.*s;", STR_FMT(rcpt->orcpt_type)) && xtext_encode(rcpt->orcpt, out);
}

bool smtp_rcpt_format(const struct smtp_rcpt *rcpt, unsigned accepted, struct buf *out)
{
	bool ok = buf_add(out, STR("TO:")) && add_path(&rcpt->to, accepted & SMTP_PARAM_UTF8, out);
	if (ok && rcpt->notify && accepted & SMTP_PARAM_DSN)
		ok = add_notify(rcpt->notify, out);
	if (ok && rcpt->orcpt_type.n && accepted & SMTP_PARAM_DSN)
		ok = add_orcpt(rcpt, accepted & SMTP_PARAM_UTF8, out);
	if (ok && rcpt->has_key && accepted & SMTP_PARAM_KEY)
		ok = buf_add(out, STR(" XPHRCPT=")) && lmtp_rcpt_key_encode(&rcpt->key, out);
	return ok;
}

enum smtp_result smtp_chunk_parse(struct str argument, struct smtp_chunk *chunk_out)
{
	struct str size = argument, last = STR_NONE;
	uint64_t bytes;
	bool has_last = str_cut(argument, ' ', &size, &last);
	for (size_t i = 0; i < size.n; i++)
		if (!chr_is_digit(size.p[i]))
			return SMTP_SYNTAX;
	if (size.n == 0 || (has_last && !str_eq_nocase(str_trim(last), STR("LAST"))))
		return SMTP_SYNTAX;
	if (!str_to_u64(size, SMTP_CHUNK_BYTES_MAX, &bytes))
		return SMTP_SIZE_TOO_BIG;
	*chunk_out = (struct smtp_chunk){.bytes = bytes, .last = has_last};
	return SMTP_OK;
}

bool smtp_helo_parse(struct str argument, struct str *name_out)
{
	struct str inner = argument;
	if (argument.n == 0 || argument.n > DOMAIN_BYTES_MAX)
		return false;
	if (argument.n > 2 && argument.p[0] == '[' && argument.p[argument.n - 1] == ']')
		inner = str_of(argument.p + 1, argument.n - 2);
	for (size_t i = 0; i < inner.n; i++)
		if ((!chars_is_atext(inner.p[i]) || (unsigned char)inner.p[i] > 0x7f) && inner.p[i] != '.' && inner.p[i] != ':')
			return false;
	*name_out = argument;
	return true;
}
