// SPDX-License-Identifier: Apache-2.0
// Replies that rules ask for.
#include "mail/rule_reply.h"

enum { CODE_DIGITS = 3, STATUS_DIGITS_MAX = 3 };

static struct str skip_spaces(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_from(s, 1);
	return s;
}

static struct str unquote(struct str s)
{
	s = str_trim(s);
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? str_trim(str_of(s.p + 1, s.n - 2)) : s;
}

// Takes "5.7.1" off *rest, when a space, a colon or the end is behind it (RFC 3463 section 2).
static bool take_status(struct str *rest, struct str *status_out)
{
	size_t at = 0;
	for (unsigned part = 0; part < 3; part++) {
		size_t from = at;
		while (at < rest->n && chr_is_digit(rest->p[at]))
			at++;
		if (at == from || at - from > (part == 0 ? 1 : STATUS_DIGITS_MAX))
			return false;
		if (part < 2 && (at >= rest->n || rest->p[at++] != '.'))
			return false;
	}
	if (at < rest->n && rest->p[at] != ' ' && rest->p[at] != '\t' && rest->p[at] != ':')
		return false;
	*status_out = str_upto(*rest, at);
	*rest = skip_spaces(str_from(*rest, at));
	return true;
}

static bool take_code(struct str *rest, int *code_out)
{
	uint64_t code;
	if (!str_to_u64(str_upto(*rest, CODE_DIGITS), 999, &code) || rest->n < CODE_DIGITS)
		return false;
	if (rest->n > CODE_DIGITS && rest->p[CODE_DIGITS] != ' ' && rest->p[CODE_DIGITS] != '\t')
		return false;
	*code_out = (int)code;
	*rest = skip_spaces(str_from(*rest, CODE_DIGITS));
	return true;
}

const char *rule_reply_parse(struct arena *arena, struct str text, int code_default, struct reply *reply_out)
{
	struct str rest = unquote(text), status = STR_NONE;
	int code = 0;
	if (take_status(&rest, &status) && str_starts(rest, STR(":")))
		rest = unquote(str_from(rest, 1));
	bool has_code = take_code(&rest, &code);
	if (has_code && status.n == 0)
		take_status(&rest, &status);
	if (!has_code)
		code = status.n ? (status.p[0] == '4' ? 450 : 550) : code_default;
	if (code < 400 || code > 599)
		return "has a reply code that is neither 4xx nor 5xx";
	if (status.n && status.p[0] != (code < 500 ? '4' : '5'))
		return "has a reply code and a status that contradict each other";
	rest = unquote(rest);
	if (rest.n > RULE_REPLY_TEXT_BYTES_MAX)
		return "has a text that is too long for a reply";
	if (!str_is_printable(rest))
		return "has a text that is not printable ASCII";
	*reply_out = (struct reply){.code = code,
		.enhanced = status.n ? arena_dup(arena, status) : code < 500 ? STR("4.7.1") : STR("5.7.1"),
		.text = rest.n ? arena_dup(arena, rest) : STR("refused by policy")};
	return NULL;
}
