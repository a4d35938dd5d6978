// SPDX-License-Identifier: Apache-2.0
// Settings: from the words of a file to the value of a row, with a message that says what is wrong and what to do.
#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"
#include "settings_load.h"

// Where a conversion puts its results and its complaint.
struct target {
	const struct settings_row *row;
	struct arena *arena;
	void *field;
	char *what;
	size_t what_bytes;
};

static bool wrong(const struct target *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(const struct target *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(t->what, t->what_bytes, format, args);
	va_end(args);
	return false;
}

bool settings_type_is_list(enum settings_type type)
{
	return type == SETTINGS_LIST || type == SETTINGS_PATHS || type == SETTINGS_ADDRESSES || type == SETTINGS_NETWORKS;
}

// A copy that a C library may be given: arena_dup puts a NUL after it.
static bool parse_text(const struct target *t, struct str word, struct str *out)
{
	if (t->row->max > 0 && word.n > (uint64_t)t->row->max)
		return wrong(t, "is %zu bytes long; at most %lld", word.n, (long long)t->row->max);
	if (word.n < (uint64_t)t->row->min && t->row->max > 0)
		return wrong(t, "is %zu bytes long; at least %lld", word.n, (long long)t->row->min);
	if (!str_is_utf8(word) || memchr(word.p ? word.p : "", '\n', word.n) != NULL)
		return wrong(t, "is not text on one line; write it in UTF-8");
	*out = arena_dup(t->arena, word);
	return true;
}

static bool parse_path(const struct target *t, struct str word, struct str *out)
{
	if (word.n > 0 && word.p[0] != '/')
		return wrong(t, "\"%.*s\" is not an absolute path; begin it with /", STR_FMT(word));
	struct target plain = *t;
	return parse_text(&plain, word, out);
}

struct scale {
	const char *suffix;
	int64_t size; // milliseconds, or bytes
};

static const struct scale durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct scale sizes[] = {{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"KiB", 1 << 10}, {"MiB", 1 << 20},
	{"GiB", 1 << 30}, {"k", 1 << 10}, {NULL, 0}};

static int64_t scale_of(const struct scale *scales, struct str suffix)
{
	for (; scales->suffix != NULL; scales++)
		if (str_eq(str_of_c(scales->suffix), suffix))
			return scales->size;
	return 0;
}

// number[suffix], in units of unit_size; without a suffix the number is in that unit already.
static bool parse_number(const struct target *t, struct str word, const struct scale *scales, int64_t unit_size, const char *hint)
{
	size_t digits = 0;
	while (digits < word.n && chr_is_digit(word.p[digits]))
		digits++;
	uint64_t number;
	struct str suffix = str_from(word, digits);
	if (!str_to_u64(str_upto(word, digits), INT64_MAX, &number))
		return wrong(t, "\"%.*s\" is not a number; %s", STR_FMT(word), hint);
	int64_t size = suffix.n == 0 ? unit_size : scales != NULL ? scale_of(scales, suffix) : 0;
	int64_t value;
	if (size == 0)
		return wrong(t, "\"%.*s\" has an unknown unit; %s", STR_FMT(word), hint);
	if (__builtin_mul_overflow((int64_t)number, size, &value) || value % unit_size != 0)
		return wrong(t, "\"%.*s\" is not a whole number of %s; %s", STR_FMT(word), t->row->unit, hint);
	value /= unit_size;
	if (value < t->row->min || value > t->row->max)
		return wrong(t, "%lld is out of range; use %lld to %lld%s%s", (long long)value, (long long)t->row->min,
			(long long)t->row->max, *t->row->unit ? " " : "", t->row->unit);
	*(int64_t *)t->field = value;
	return true;
}

static bool parse_bool(const struct target *t, struct str word)
{
	static const char *const words[] = {"yes", "true", "on", "no", "false", "off"};
	for (size_t i = 0; i < 6; i++)
		if (str_eq_nocase(word, str_of_c(words[i]))) {
			*(bool *)t->field = i < 3;
			return true;
		}
	return wrong(t, "\"%.*s\" is neither yes nor no; use one of them", STR_FMT(word));
}

static bool parse_enum(const struct target *t, struct str word)
{
	struct str rest = str_from(str_of_c(t->row->unit), 1), choice;
	for (int index = 0; rest.n > 0; index++) {
		if (!str_cut(rest, '|', &choice, &rest)) {
			choice = rest;
			rest = STR_NONE;
		}
		if (str_eq(choice, word)) {
			*(int *)t->field = index;
			return true;
		}
	}
	return wrong(t, "\"%.*s\" is not a choice; use one of %s", STR_FMT(word), t->row->unit + 1);
}

const char *settings_address_read(struct str word, struct settings_address *out)
{
	ptrdiff_t colon = str_rindex(word, ':');
	struct str host = colon < 0 ? word : str_upto(word, (size_t)colon);
	uint64_t port;
	if (colon < 0 || !str_to_u64(str_from(word, (size_t)colon + 1), 65535, &port) || port == 0)
		return "has no port; write host:port, for example relay.example.org:25";
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_of(host.p + 1, host.n - 2);
	else if (str_index(host, ':') >= 0)
		return "is ambiguous; put an IPv6 address into brackets: [2001:db8::1]:25";
	if (host.n == 0 || host.n > 255 || !str_is_printable(host) || str_index(host, ' ') >= 0)
		return "has no usable host; write host:port";
	*out = (struct settings_address){.host = host, .port = (uint16_t)port};
	return NULL;
}

static bool parse_address(const struct target *t, struct str word)
{
	struct settings_address *out = t->field, address = {.port = 0};
	const char *complaint = word.n ? settings_address_read(word, &address) : NULL;
	if (complaint)
		return wrong(t, "\"%.*s\" %s", STR_FMT(word), complaint);
	if (word.n)
		address.host = arena_dup(t->arena, address.host);
	*out = address;
	return true;
}

static bool parse_list(const struct target *t, const struct str *words, size_t n, bool paths)
{
	struct settings_list list = {.v = arena_must(t->arena, n * sizeof *list.v), .n = n};
	for (size_t i = 0; i < n; i++) {
		if (words[i].n == 0)
			return wrong(t, "has an empty element; remove it");
		if (!(paths ? parse_path : parse_text)(t, words[i], &list.v[i]))
			return false;
	}
	*(struct settings_list *)t->field = list;
	return true;
}

static bool parse_addresses(const struct target *t, const struct str *words, size_t n)
{
	struct settings_addresses list = {.v = arena_must(t->arena, n * sizeof *list.v), .n = n};
	for (size_t i = 0; i < n; i++)
		if (!netaddr_parse(words[i], 0, &list.v[i]) || list.v[i].port == 0)
			return wrong(t,
				"\"%.*s\" is not an IP address and a port; write 192.0.2.1:25, [2001:db8::1]:25, 0.0.0.0:25 or "
				"[::]:25",
				STR_FMT(words[i]));
	*(struct settings_addresses *)t->field = list;
	return true;
}

static bool parse_networks(const struct target *t, const struct str *words, size_t n)
{
	struct settings_networks list = {.v = arena_must(t->arena, n * sizeof *list.v), .n = n};
	for (size_t i = 0; i < n; i++)
		if (!netaddr_net_parse(words[i], &list.v[i]))
			return wrong(t,
				"\"%.*s\" is not a network; write 192.0.2.0/24, 2001:db8::/32 or one address (no bits beyond the "
				"length)",
				STR_FMT(words[i]));
	*(struct settings_networks *)t->field = list;
	return true;
}

bool settings_value_parse(const struct settings_row *row, const struct str *words, size_t n, struct arena *arena, void *values,
	char *what, size_t what_bytes)
{
	struct target t = {
		.row = row, .arena = arena, .field = (char *)values + row->offset, .what = what, .what_bytes = what_bytes};
	must(settings_type_is_list(row->type) || n == 1);
	switch (row->type) {
	case SETTINGS_STR:
		return parse_text(&t, words[0], t.field);
	case SETTINGS_PATH:
		return parse_path(&t, words[0], t.field);
	case SETTINGS_INT:
		return parse_number(&t, words[0], NULL, 1, "write digits only");
	case SETTINGS_DURATION:
		return parse_number(&t, words[0], durations, scale_of(durations, str_of_c(row->unit)),
			"write a number, or one with ms, s, m, h or d");
	case SETTINGS_BYTES:
		return parse_number(&t, words[0], sizes, 1, "write a number of bytes, or one with K, M or G");
	case SETTINGS_BOOL:
		return parse_bool(&t, words[0]);
	case SETTINGS_ENUM:
		return parse_enum(&t, words[0]);
	case SETTINGS_LIST:
		return parse_list(&t, words, n, false);
	case SETTINGS_PATHS:
		return parse_list(&t, words, n, true);
	case SETTINGS_ADDRESS:
		return parse_address(&t, words[0]);
	case SETTINGS_ADDRESSES:
		return parse_addresses(&t, words, n);
	case SETTINGS_NETWORKS:
		return parse_networks(&t, words, n);
	}
	unreachable("settings type");
}

size_t settings_value_default(const struct settings_row *row, struct arena *arena, struct str **words_out)
{
	struct str *words = arena_must(arena, SETTINGS_FILES_MAX * sizeof *words);
	*words_out = words;
	if (!settings_type_is_list(row->type)) {
		words[0] = str_of_c(row->def);
		return 1;
	}
	size_t n = 0;
	struct str rest = str_of_c(row->def), word, skipped;
	while (str_cut(rest, '"', &skipped, &rest)) {
		must(str_cut(rest, '"', &word, &rest) && n < SETTINGS_FILES_MAX);
		words[n++] = word;
	}
	return n;
}
