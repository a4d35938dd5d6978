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

static bool normalise(struct str dn, struct buf *out)
{
	struct arena *arena = arena_new(32 * ENTRY_DN_BYTES_MAX);
	bool good = str_trim(dn).n > 0 && dn.n <= ENTRY_DN_BYTES_MAX;
	while (good && dn.n > 0)
		good = add_rdn(&dn, out, arena);
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

struct guid dn_key(struct str dn)
{
	static const struct guid none;
	struct buf normal;
	buf_init(&normal, 8 * ENTRY_DN_BYTES_MAX);
	if (!normalise(dn, &normal)) {
		buf_clear(&normal);
		buf_add_byte(&normal, '\2'); // no DN begins so
		buf_add(&normal, dn);
	}
	struct guid key = guid_derive(&none, buf_str(&normal), STR("dn"));
	buf_fini(&normal);
	return key;
}
