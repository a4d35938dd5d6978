// SPDX-License-Identifier: Apache-2.0
// Distinguished names: taken apart, folded, hashed.
#include "dn.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "schema/entry.h"

enum { PARTS_MAX = 8 }; // of one RDN; a DN with more is hashed as it is written

// Takes an attribute type and "=" off *rest.
static bool take_type(struct str *rest, struct str *type_out)
{
	struct str type, after;
	if (!str_cut(*rest, '=', &type, &after))
		return false;
	type = str_trim(type);
	for (size_t i = 0; i < type.n; i++)
		if (!chr_is_alpha(type.p[i]) && !chr_is_digit(type.p[i]) && type.p[i] != '-' && type.p[i] != '.')
			return false;
	*type_out = type;
	*rest = after;
	return type.n > 0;
}

// One byte of an escape: "\\2C" or "\\,".
static bool take_escape(struct str *rest, struct buf *out)
{
	if (rest->n >= 3 && codec_hex_decode(str_of(rest->p + 1, 2), out)) {
		*rest = str_from(*rest, 3);
		return true;
	}
	if (rest->n < 2)
		return false;
	buf_add_byte(out, rest->p[1]);
	*rest = str_from(*rest, 2);
	return true;
}

// Takes a value off *rest, up to the separator, which stays. Spaces at the ends do not belong to it unless escaped.
static bool take_value(struct str *rest, struct buf *out)
{
	size_t kept = out->n; // spaces after this are dropped at the end
	bool quoted = false;
	while (rest->n && rest->p[0] == ' ')
		*rest = str_from(*rest, 1);
	while (rest->n) {
		char c = rest->p[0];
		if (!quoted && (c == ',' || c == ';' || c == '+'))
			break;
		if (c == '"') {
			quoted = !quoted;
			*rest = str_from(*rest, 1);
			kept = out->n;
			continue;
		}
		if (c == '\\') {
			if (!take_escape(rest, out))
				return false;
			kept = out->n;
			continue;
		}
		buf_add_byte(out, c);
		*rest = str_from(*rest, 1);
		if (c != ' ' || quoted)
			kept = out->n;
	}
	buf_truncate(out, kept);
	return !quoted && !out->overflow;
}

// Folded, runs of spaces as one.
static void add_folded(struct buf *out, struct str value, struct arena *arena)
{
	struct str folded = addr_local_key(arena, value);
	if (folded.p == NULL)
		folded = value;
	for (size_t i = 0; i < folded.n; i++)
		if (folded.p[i] != ' ' || i == 0 || folded.p[i - 1] != ' ')
			buf_add_byte(out, chr_lower(folded.p[i]));
}

static int compare_parts(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

// One RDN: its "type NUL value" parts in order, each followed by NUL NUL.
static bool add_rdn(struct str *rest, struct buf *out, struct arena *arena)
{
	struct str parts[PARTS_MAX], type;
	size_t n = 0;
	struct buf value, part;
	buf_init(&value, ENTRY_DN_BYTES_MAX);
	buf_init(&part, 4 * ENTRY_DN_BYTES_MAX);
	bool more = true, good = true;
	while (more && good) {
		buf_clear(&value);
		buf_clear(&part);
		good = take_type(rest, &type) && take_value(rest, &value) && n < PARTS_MAX;
		if (!good)
			break;
		add_folded(&part, type, arena);
		buf_add_byte(&part, '\0');
		add_folded(&part, buf_str(&value), arena);
		parts[n++] = arena_dup(arena, buf_str(&part));
		more = rest->n && rest->p[0] == '+';
		*rest = str_from(*rest, rest->n ? 1 : 0);
	}
	buf_fini(&value);
	buf_fini(&part);
	if (n > 1)
		qsort(parts, n, sizeof *parts, compare_parts);
	for (size_t i = 0; good && i < n; i++) {
		buf_add(out, parts[i]);
		buf_add(out, str_of("\0", 2));
	}
	buf_add_byte(out, '\1');
	return good && !arena_overflowed(arena);
}

static bool is_plain(char c)
{
	return c > 0 && c != ',' && c != ';' && c != '+' && c != '"' && c != '\\';
}

// As add_rdn for what nearly all RDNs are: one part of ASCII without quotes and escapes. False: it is not that, and nothing was
// taken.
static bool add_plain_rdn(struct str *rest, struct buf *out)
{
	struct str value, type;
	size_t n = 0;
	while (n < rest->n && is_plain(rest->p[n]))
		n++;
	if (n < rest->n && rest->p[n] != ',' && rest->p[n] != ';')
		return false;
	value = str_upto(*rest, n);
	char *to = buf_reserve(out, n + 3); // "=" becomes a NUL, and two NUL and the end follow
	if (to == NULL || !take_type(&value, &type))
		return false;
	char *from = to;
	for (size_t i = 0; i < type.n; i++)
		*to++ = chr_lower(type.p[i]);
	*to++ = '\0';
	while (value.n && value.p[value.n - 1] == ' ')
		value.n--;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != ' ' || (i > 0 && to[-1] != '\0' && value.p[i - 1] != ' '))
			*to++ = chr_lower(value.p[i]);
	memcpy(to, "\0\0\1", 3);
	buf_grew(out, (size_t)(to - from) + 3);
	*rest = str_from(*rest, n + 1);
	return true;
}

// Behind the last RDN nothing may follow; an escaped one belongs to its value.
static bool ends_in_separator(struct str dn)
{
	size_t escapes = 0, last = dn.n - 1;
	if (dn.p[last] != ',' && dn.p[last] != ';')
		return false;
	while (escapes < last && dn.p[last - 1 - escapes] == '\\')
		escapes++;
	return escapes % 2 == 0;
}

static bool normalise(struct str dn, struct buf *out)
{
	struct arena *arena = NULL;
	bool good = str_trim(dn).n > 0 && dn.n <= ENTRY_DN_BYTES_MAX && !ends_in_separator(str_trim(dn));
	if (good)
		(void)buf_reserve(out, dn.n + dn.n / 2); // mostly enough
	while (good && dn.n > 0) {
		if (add_plain_rdn(&dn, out))
			continue;
		if (arena == NULL)
			arena = arena_new(32 * ENTRY_DN_BYTES_MAX);
		good = add_rdn(&dn, out, arena);
	}
	arena_free(&arena);
	return good && !out->overflow;
}

bool dn_is_valid(struct str dn)
{
	struct buf normal;
	buf_init(&normal, 8 * ENTRY_DN_BYTES_MAX);
	bool valid = normalise(dn, &normal);
	buf_fini(&normal);
	return valid;
}

bool dn_cut(struct str dn, struct str *rdn_out, struct str *parent_out)
{
	bool quoted = false;
	size_t i = 0;
	for (; i < dn.n && (quoted || (dn.p[i] != ',' && dn.p[i] != ';')); i++) {
		quoted ^= dn.p[i] == '"';
		i += dn.p[i] == '\\';
	}
	if (dn.n == 0)
		return false;
	*rdn_out = str_upto(dn, i);
	*parent_out = str_trim(str_from(dn, i + 1));
	return true;
}

bool dn_take_part(struct str *rdn, struct str *type_out, struct buf *value)
{
	if (!take_type(rdn, type_out) || !take_value(rdn, value))
		return false;
	if (rdn->n && rdn->p[0] != '+')
		return false;
	*rdn = str_from(*rdn, 1);
	return true;
}

static struct guid hash_of(const struct buf *normal)
{
	static const struct guid none;
	return guid_derive(&none, buf_str(normal), STR("dn"));
}

bool dn_parse_key(struct str dn, struct guid *key_out)
{
	struct buf normal;
	buf_init(&normal, 8 * ENTRY_DN_BYTES_MAX);
	bool good = normalise(dn, &normal);
	if (good)
		*key_out = hash_of(&normal);
	buf_fini(&normal);
	return good;
}

struct guid dn_key(struct str dn)
{
	struct guid key;
	struct buf other;
	if (dn_parse_key(dn, &key))
		return key;
	buf_init(&other, dn.n + 1);
	buf_add_byte(&other, '\2'); // no DN begins so
	buf_add(&other, dn);
	key = hash_of(&other);
	buf_fini(&other);
	return key;
}
