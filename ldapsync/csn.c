// SPDX-License-Identifier: Apache-2.0
// Vectors of CSNs.
#include "csn.h"

#include <time.h>

// "YYYYmmddHHMMSS.uuuuuuZ#cccccc#sss#mmmmmm": d is a decimal digit, x a hexadecimal one.
static const char form[] = "dddddddddddddd.ddddddZ#xxxxxx#xxx#xxxxxx";
enum { SID_AT = 30, SID_DIGITS = 3, SECONDS_DIGITS = 14 };
_Static_assert(sizeof form == CSN_BYTES + 1, "the form of a CSN");

static bool parse_one(struct str text, struct csn *csn_out)
{
	if (text.n != CSN_BYTES)
		return false;
	for (size_t i = 0; i < CSN_BYTES; i++) {
		char c = text.p[i];
		if (form[i] == 'd' ? !chr_is_digit(c) : form[i] == 'x' ? chr_hex(c) < 0 : c != form[i])
			return false;
	}
	unsigned sid = 0;
	for (size_t i = 0; i < SID_DIGITS; i++)
		sid = sid << 4 | (unsigned)chr_hex(text.p[SID_AT + i]);
	csn_out->sid = (uint16_t)sid;
	for (size_t i = 0; i < CSN_BYTES; i++)
		csn_out->text[i] = form[i] == 'x' ? chr_lower(text.p[i]) : text.p[i]; // so that they compare as text
	return true;
}

static bool merge_one(struct csns *csns, const struct csn *csn)
{
	size_t i = 0;
	while (i < csns->n && csns->v[i].sid < csn->sid)
		i++;
	if (i < csns->n && csns->v[i].sid == csn->sid) {
		if (memcmp(csns->v[i].text, csn->text, CSN_BYTES) < 0)
			csns->v[i] = *csn;
		return true;
	}
	if (csns->n == CSNS_MAX)
		return false;
	memmove(&csns->v[i + 1], &csns->v[i], (csns->n - i) * sizeof csns->v[0]);
	csns->v[i] = *csn;
	csns->n++;
	return true;
}

bool csns_add(struct csns *csns, struct str text)
{
	struct csn csn;
	return parse_one(text, &csn) && merge_one(csns, &csn);
}

bool csns_parse(struct str text, struct csns *csns_out)
{
	struct csns csns = {0};
	while (text.n > 0) {
		struct str one = text, rest = STR_NONE;
		if (str_cut(text, ';', &one, &rest) && rest.n == 0)
			return false;
		if (!csns_add(&csns, one))
			return false;
		text = rest;
	}
	*csns_out = csns;
	return true;
}

bool csns_print(const struct csns *csns, struct buf *text)
{
	bool good = true;
	for (size_t i = 0; i < csns->n; i++)
		good = buf_add(text, i ? STR(";") : STR_NONE) && buf_add(text, str_of(csns->v[i].text, CSN_BYTES));
	return good && !text->overflow;
}

bool csns_parse_cookie(struct str cookie, struct csns *csns_out)
{
	while (cookie.n > 0) {
		struct str field = cookie, rest = STR_NONE;
		(void)str_cut(cookie, ',', &field, &rest);
		if (str_starts(field, STR("csn=")))
			return field.n > 4 && csns_parse(str_from(field, 4), csns_out);
		cookie = rest;
	}
	return false;
}

bool csns_merge(struct csns *into, const struct csns *from)
{
	bool good = true;
	for (size_t i = 0; i < from->n; i++)
		good = merge_one(into, &from->v[i]) && good;
	return good;
}

struct csns csns_until(const struct csns *csns, int64_t wall_ms)
{
	struct csns kept = {0};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char until[32];
	size_t n = strftime(until, sizeof until, "%Y%m%d%H%M%S", gmtime_r(&seconds, &tm));
	for (size_t i = 0; i < csns->n; i++)
		if (n != SECONDS_DIGITS || memcmp(csns->v[i].text, until, SECONDS_DIGITS) <= 0)
			kept.v[kept.n++] = csns->v[i];
	return kept;
}

bool csns_dominate(const struct csns *a, const struct csns *b)
{
	size_t i = 0;
	for (size_t j = 0; j < b->n; j++) {
		while (i < a->n && a->v[i].sid < b->v[j].sid)
			i++;
		if (i == a->n || a->v[i].sid != b->v[j].sid || memcmp(a->v[i].text, b->v[j].text, CSN_BYTES) < 0)
			return false;
	}
	return true;
}

bool csns_eq(const struct csns *a, const struct csns *b)
{
	return csns_dominate(a, b) && csns_dominate(b, a);
}
