// SPDX-License-Identifier: Apache-2.0
// Strings against the plain way to do the same, and the text forms of ids: up to the first LF the needle, the number or the id,
// then the text.
// Covers: base/str.c base/guid.c
#include <stdint.h>
#include <stdlib.h>

#include "base/guid.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER_DIGITS_MAX = 19 };

// RFC 3629 section 3, from its table of byte counts.
static bool is_utf8(struct str s)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	for (size_t i = 0, n; i < s.n; i += n) {
		unsigned char first = (unsigned char)s.p[i];
		n = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
		if (n == 0 || i + n > s.n)
			return false;
		uint32_t c = n == 1 ? first : first & (0x7fu >> n);
		for (size_t k = 1; k < n; k++) {
			if (((unsigned char)s.p[i + k] & 0xc0) != 0x80)
				return false;
			c = c << 6 | ((unsigned char)s.p[i + k] & 0x3f);
		}
		if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}

static ptrdiff_t find(struct str s, struct str needle)
{
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (needle.n == 0 || memcmp(s.p + i, needle.p, needle.n) == 0)
			return (ptrdiff_t)i;
	return -1;
}

static void check_number(struct str text)
{
	uint64_t value, again;
	bool digits = text.n > 0 && text.n <= NUMBER_DIGITS_MAX;
	for (size_t i = 0; i < text.n; i++)
		digits = digits && chr_is_digit(text.p[i]);
	bool ok = str_to_u64(text, UINT64_MAX, &value);
	must(!digits || ok);
	if (!digits)
		return;
	char c[NUMBER_DIGITS_MAX + 1];
	must(str_to_c(text, c, sizeof c) && strtoull(c, NULL, 10) == value);
	must(value == 0 || !str_to_u64(text, value - 1, &again));
}

static void check_lines(struct str text)
{
	struct str rest = text, line;
	size_t at = 0;
	while (str_next_line(&rest, &line)) {
		must(line.n == 0 || line.p == text.p + at);
		must(str_index(line, '\n') < 0 && rest.n <= text.n);
		must(text.n - rest.n >= at + line.n && text.n - rest.n <= at + line.n + 2);
		at = text.n - rest.n;
	}
	must(at == text.n);
}

static void check_pair(struct str a, struct str b)
{
	must(str_find(b, a) == find(b, a));
	must(str_starts(b, a) == (find(b, a) == 0) && (!str_ends(b, a) || find(b, a) >= 0));
	must(str_eq(a, b) == (str_cmp(a, b) == 0) && (str_cmp(a, b) < 0) == (str_cmp(b, a) > 0));
	must(!str_eq(a, b) || (str_eq_nocase(a, b) && str_hash(a) == str_hash(b)));
	must(!str_starts(b, a) || str_starts_nocase(b, a));
	must(!str_ends(b, a) || str_ends_nocase(b, a));
	if (a.n) {
		struct str before, after;
		must(str_cut(b, a.p[0], &before, &after) == (str_index(b, a.p[0]) >= 0));
		must(str_rindex(b, a.p[0]) >= str_index(b, a.p[0]));
	}
	struct str trimmed = str_trim(b);
	must(str_eq(str_trim(trimmed), trimmed) && trimmed.n <= b.n);
}

static void check_guid(struct str text)
{
	struct guid guid, again, derived;
	char long_text[GUID_TEXT_BYTES], short_text[GUID_SHORT_BYTES];
	if (!guid_parse(text, &guid))
		return;
	must(guid_parse(guid_text(&guid, long_text), &again) && guid_eq(&guid, &again));
	must(guid_short(&guid, short_text).n == GUID_SHORT_BYTES - 1);
	derived = guid_derive(&guid, text, STR("dsn"));
	again = guid_derive(&guid, text, STR("forward"));
	must(!guid_eq(&derived, &again) && !guid_is_zero(&derived) &&
		str_eq(guid_bytes(&guid), str_of((const char *)guid.b, sizeof guid.b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of((const char *)data, size), first = in, rest = STR_NONE;
	char c[32];
	str_cut(in, '\n', &first, &rest);
	must(str_is_utf8(in) == is_utf8(in));
	must(!str_is_printable(in) || (is_utf8(in) && str_index(in, '\0') < 0));
	must(str_to_c(first, c, sizeof c) == (first.n < sizeof c && str_index(first, '\0') < 0));
	check_number(first);
	check_guid(first);
	check_lines(in);
	check_pair(first, rest);
	return 0;
}
