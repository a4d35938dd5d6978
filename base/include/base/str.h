// SPDX-License-Identifier: Apache-2.0
// Counted strings that borrow. A struct str never owns its bytes and may hold any byte, NUL too.
//
//     struct str line = STR("RCPT TO:<a@uni.example>");
//     struct str verb, rest;
//     if (str_cut(line, ' ', &verb, &rest) && str_eq_nocase(verb, STR("RCPT"))) ...
//
// Nothing here allocates or blocks. "nocase" folds ASCII letters only, whatever the locale; folding of addresses is
// mail/addr.h's. C strings appear at library borders: str_to_c() refuses an embedded NUL, because a cut string is a different
// string.
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p; // borrowed; may be NULL when n is 0
	size_t n;      // bytes
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
#define STR_FMT(s) (int)(s).n, (s).p // for printf's "%.*s"; the string must be under 2 GiB

static inline struct str str_of(const char *p, size_t n)
{
	return (struct str){p, n};
}

// A C string, borrowed; NULL gives the empty string.
static inline struct str str_of_c(const char *c)
{
	return (struct str){c, c ? strlen(c) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

// Are n bytes the same but for the case of ASCII letters?
bool str_same_nocase(const char *a, const char *b, size_t n);

static inline bool str_eq_nocase(struct str a, struct str b)
{
	return a.n == b.n && str_same_nocase(a.p, b.p, a.n);
}

// Order by bytes, then by length; <0, 0, >0 like memcmp.
int str_cmp(struct str a, struct str b);

static inline bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_ends_nocase(struct str s, struct str suffix);

// Index of the first (last) byte c, or -1.
static inline ptrdiff_t str_index(struct str s, char c)
{
	const char *at = s.n ? (const char *)memchr(s.p, c, s.n) : NULL;
	return at ? at - s.p : -1;
}

ptrdiff_t str_rindex(struct str s, char c);

// How many letters have to be changed, added or taken away to make one of the other, case apart (Levenshtein): for "did you
// mean". Of names up to STR_NAME_BYTES; SIZE_MAX for longer ones. What is STR_NEAR away or less may have been meant.
enum { STR_NAME_BYTES = 64, STR_NEAR = 3 };
size_t str_distance(struct str a, struct str b);

// Index of the first occurrence of needle, or -1; an empty needle is at 0.
ptrdiff_t str_find(struct str s, struct str needle);

// The part from byte i, and the first i bytes. An i beyond the end gives the empty rest, the whole string.
static inline struct str str_from(struct str s, size_t i)
{
	if (i >= s.n)
		return str_of(s.n ? s.p + s.n : s.p, 0);
	return str_of(s.p + i, s.n - i);
}

static inline struct str str_upto(struct str s, size_t i)
{
	return str_of(s.p, i < s.n ? i : s.n);
}

// Splits at the first c: before and after it, c in neither. False without c; the outputs are then untouched.
static inline bool str_cut(struct str s, char c, struct str *before_out, struct str *after_out)
{
	ptrdiff_t at = str_index(s, c);
	if (at < 0)
		return false;
	*before_out = str_upto(s, (size_t)at);
	*after_out = str_from(s, (size_t)at + 1);
	return true;
}

// Without ASCII white space (space, tab, CR, LF) at both ends.
struct str str_trim(struct str s);

// Takes the next line off *rest: up to LF, without it and without one CR before it. False when *rest is empty.
bool str_next_line(struct str *rest, struct str *line_out);

// The whole string as an unsigned decimal number: digits only, at least one, at most max. False otherwise.
bool str_to_u64(struct str s, uint64_t max, uint64_t *out);

// Copies s and a NUL into c. False when s holds a NUL or does not fit size; c is then the empty string.
bool str_to_c(struct str s, char *c, size_t size);

// True when every byte is printable ASCII or space (0x20-0x7E).
bool str_is_printable(struct str s);

// True when s is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). RFC 3629.
bool str_is_utf8(struct str s);

static inline char chr_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline char chr_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

static inline bool chr_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool chr_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The value of a hexadecimal digit in either case; -1: it is none.
static inline int chr_hex(char c)
{
	if (chr_is_digit(c))
		return c - '0';
	c = chr_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A 64-bit hash of the bytes: for tables inside a process, not against an opponent, not on disk.
uint64_t str_hash(struct str s);

#endif
