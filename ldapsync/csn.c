// SPDX-License-Identifier: Apache-2.0
// Vectors of CSNs.
#include "csn.h"

#include <time.h>

#include "base/codec.h"
#include "base/must.h"

// d is a decimal digit, x a hexadecimal one.
#define X8 "xxxxxxxx"
#define D10 "dddddddddd"
static const struct {
	const char *text;
	size_t n, origin_at, origin_n;
	size_t n_max;
} forms[CSN_FORMS] = {
	[CSN_OPENLDAP] = {"dddddddddddddd.ddddddZ#xxxxxx#xxx#xxxxxx", CSN_BYTES, 30, 3, CSNS_MAX},
	[CSN_RUV] = {X8 "xxxx" "xxxx" "xxxx", 20, 12, 4, CSNS_BYTES / 20},
	[CSN_USN] = {X8 X8 X8 X8 "#" D10 D10, CSN_BYTES_MAX, 0, 32, CSNS_BYTES / CSN_BYTES_MAX},
};
enum { SECONDS_DIGITS = 14, HEX_SECONDS_DIGITS = 8 };

// One of them, by itself.
struct one {
	enum csn_form form;
	char text[CSN_BYTES_MAX];
};

static bool fits(enum csn_form form, struct str text)
{
	const char *wanted = forms[form].text;
	if (text.n != forms[form].n)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (wanted[i] == 'd' ? !chr_is_digit(c) : wanted[i] == 'x' ? chr_hex(c) < 0 : c != wanted[i])
			return false;
	}
	return true;
}

static bool parse_one(struct str text, struct one *one_out)
{
	enum csn_form form = CSN_OPENLDAP;
	while (form < CSN_FORMS && !fits(form, text))
		form++;
	if (form == CSN_FORMS)
		return false;
	one_out->form = form;
	for (size_t i = 0; i < text.n; i++)
		one_out->text[i] = forms[form].text[i] == 'x' ? chr_lower(text.p[i]) : text.p[i]; // so that they compare as text
	return true;
}

static const char *at(const struct csns *csns, size_t i)
{
	return csns->v + i * forms[csns->form].n;
}

struct str csns_at(const struct csns *csns, size_t i)
{
	return str_of(at(csns, i), forms[csns->form].n);
}

struct str csns_origin(const struct csns *csns, size_t i)
{
	return str_of(at(csns, i) + forms[csns->form].origin_at, forms[csns->form].origin_n);
}

// By origin.
static int order(enum csn_form form, const char *a, const char *b)
{
	return memcmp(a + forms[form].origin_at, b + forms[form].origin_at, forms[form].origin_n);
}

static bool merge_one(struct csns *csns, enum csn_form form, const char *text)
{
	size_t i = 0, n = forms[form].n;
	if (csns->n > 0 && csns->form != form)
		return false;
	csns->form = form;
	while (i < csns->n && order(form, at(csns, i), text) < 0)
		i++;
	char *place = csns->v + i * n;
	if (i < csns->n && order(form, place, text) == 0) {
		if (memcmp(place, text, n) < 0)
			memcpy(place, text, n);
		return true;
	}
	if (csns->n == forms[form].n_max)
		return false;
	memmove(place + n, place, (csns->n - i) * n);
	memcpy(place, text, n);
	csns->n++;
	return true;
}

bool csns_add(struct csns *csns, struct str text)
{
	struct one one;
	return parse_one(text, &one) && merge_one(csns, one.form, one.text);
}

bool csns_add_usn(struct csns *csns, const uint8_t invocation[CSN_INVOCATION_BYTES], uint64_t number)
{
	struct buf text;
	buf_init(&text, CSN_BYTES_MAX + 1);
	bool fits = codec_hex_add(&text, str_of((const char *)invocation, CSN_INVOCATION_BYTES)) &&
		    buf_printf(&text, "#%020llu", (unsigned long long)number) && csns_add(csns, buf_str(&text));
	buf_fini(&text);
	return fits;
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
		good = buf_add(text, i ? STR(";") : STR_NONE) && buf_add(text, csns_at(csns, i));
	return good && !text->overflow;
}

bool csns_parse_cookie(struct str cookie, struct csns *csns_out)
{
	while (cookie.n > 0) {
		struct str field = cookie, rest = STR_NONE;
		(void)str_cut(cookie, ',', &field, &rest);
		struct str list = str_from(field, 4);
		if (str_starts(field, STR("csn="))) // all of them are of the form of the first
			return fits(CSN_OPENLDAP, str_upto(list, CSN_BYTES)) && csns_parse(list, csns_out);
		cookie = rest;
	}
	return false;
}

bool csns_merge(struct csns *into, const struct csns *from)
{
	bool good = true;
	for (size_t i = 0; i < from->n; i++)
		good = merge_one(into, from->form, at(from, i)) && good;
	return good;
}

// --- Some of them ---

// The time of the i-th, as its form has it.
static bool is_until(const struct csns *csns, size_t i, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char until[32];
	switch (csns->form) {
	case CSN_OPENLDAP:
		return strftime(until, sizeof until, "%Y%m%d%H%M%S", gmtime_r(&seconds, &tm)) != SECONDS_DIGITS ||
		       memcmp(at(csns, i), until, SECONDS_DIGITS) <= 0;
	case CSN_RUV: {
		int64_t given = 0;
		for (size_t digit = 0; digit < HEX_SECONDS_DIGITS; digit++)
			given = given << 4 | chr_hex(at(csns, i)[digit]);
		return given <= seconds;
	}
	case CSN_USN:
	case CSN_FORMS:
		return true;
	}
	unreachable("csn_form");
}

static void keep(struct csns *csns, size_t *n_kept, size_t i)
{
	size_t n = forms[csns->form].n;
	memmove(csns->v + (*n_kept)++ * n, at(csns, i), n);
}

void csns_keep_until(struct csns *csns, int64_t wall_ms)
{
	size_t n_kept = 0;
	for (size_t i = 0; i < csns->n; i++)
		if (is_until(csns, i, wall_ms))
			keep(csns, &n_kept, i);
	csns->n = n_kept;
}

// The place of b's j-th origin in a; a->n: it is not there.
static size_t find(const struct csns *a, const struct csns *b, size_t j)
{
	size_t i = 0;
	if (a->n > 0 && a->form != b->form)
		return a->n;
	while (i < a->n && order(a->form, at(a, i), at(b, j)) != 0)
		i++;
	return i;
}

void csns_keep_known(struct csns *csns, const struct csns *server, int64_t wall_ms)
{
	size_t n_kept = 0;
	for (size_t i = 0; i < csns->n; i++)
		if (find(server, csns, i) < server->n || !is_until(csns, i, wall_ms))
			keep(csns, &n_kept, i);
	csns->n = n_kept;
}

// A replica that has made no change yet.
static bool is_nothing(const struct csns *csns, size_t i)
{
	return csns->form == CSN_RUV && memcmp(at(csns, i), "00000000", HEX_SECONDS_DIGITS) == 0;
}

bool csns_dominate(const struct csns *a, const struct csns *b)
{
	for (size_t j = 0; j < b->n; j++) {
		size_t i = find(a, b, j);
		if (is_nothing(b, j))
			continue;
		if (i == a->n || memcmp(at(a, i), at(b, j), forms[a->form].n) < 0)
			return false;
	}
	return true;
}

bool csns_eq(const struct csns *a, const struct csns *b)
{
	return csns_dominate(a, b) && csns_dominate(b, a);
}
