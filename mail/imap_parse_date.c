// SPDX-License-Identifier: Apache-2.0
// Dates in IMAP's commands: date-time of APPEND, date of SEARCH.
#include "mail/imap_parse.h"

bool imap_parse_date_time(struct imap_parse *p, struct date *date_out)
{
	struct str text;
	if (imap_parse_peek(p) != '"')
		return imap_parse_fail(p, "a date expected");
	if (!imap_parse_string(p, &text))
		return false;
	return date_parse_imap(text, date_out) || imap_parse_fail(p, "bad date");
}

bool imap_parse_date(struct imap_parse *p, int32_t *day_out)
{
	struct str text;
	bool some = imap_parse_peek(p) == '"' ? imap_parse_string(p, &text) : imap_parse_atom(p, &text);
	if (!some)
		return false;
	return date_parse_search(text, day_out) || imap_parse_fail(p, "bad date");
}

