// SPDX-License-Identifier: Apache-2.0
// An entry as its source gives it, LDIF or LDAP, before anything was checked. Borrowed from the reader that made it.
#ifndef LDAPSYNC_RAW_ENTRY_H
#define LDAPSYNC_RAW_ENTRY_H

#include "base/guid.h"

struct raw_value {
	struct str name;  // attribute without options
	struct str value; // decoded; may hold any byte
	size_t line;      // of an LDIF file; else 0
	const struct raw_value *from; // set by profile_map.h: what of the directory it was made of; NULL: it is the directory's
	struct str lang;  // of the option "lang-de" (RFC 3866): "de"; empty: none
};

// What "member;range=1500-2999" says of an attribute: which of its values are here. "1500-*" is the last part.
#define RAW_RANGE_END UINT64_MAX
struct raw_range {
	struct str name;         // without the option
	uint64_t from, to;       // to: RAW_RANGE_END for the last part
	size_t first, n;         // of raw_entry.values
};

struct raw_entry {
	struct str dn;
	size_t line;
	const struct guid *uuid; // entryUUID, when the source gives it apart from the values; else NULL
	bool uuid_of_dn;         // it was made from the DN, and no mailbox is named by it
	const struct raw_value *values;
	size_t n_values;
	bool native;             // made of what the shadow holds: no profile is applied
	bool partial;            // of an attribute only a part was given (raw_option_is_part)
	const struct raw_range *ranges; // where the rest can be asked for: the attributes that came with a range, whole or not
	size_t n_ranges;
};

// Of "member;range=0-1499" the source gave a part of the values; "range=1500-*" is the last part. Active Directory does so with
// more than 1,500 values ([MS-ADTS] 3.1.1.3.1.3.3). options: what follows the first ';'.
static inline bool raw_option_is_part(struct str options)
{
	struct str range = STR("range=");
	return str_starts_nocase(options, range) &&
	       (!str_starts(str_from(options, range.n), STR("0-")) || !str_ends(options, STR("*")));
}

// The language of "lang-de", wherever it stands among the options; empty: none.
static inline struct str raw_option_language(struct str options)
{
	struct str lang = STR("lang-");
	while (options.n) {
		struct str one = options, rest = STR_NONE;
		str_cut(options, ';', &one, &rest);
		if (str_starts_nocase(one, lang))
			return str_from(one, lang.n);
		options = rest;
	}
	return STR_NONE;
}

// "range=0-1499", "range=1500-*". False for anything else.
static inline bool raw_range_parse(struct str options, uint64_t *from_out, uint64_t *to_out)
{
	struct str range = STR("range="), from, to;
	uint64_t to_n = RAW_RANGE_END;
	if (!str_starts_nocase(options, range) || !str_cut(str_from(options, range.n), '-', &from, &to) ||
		!str_to_u64(from, UINT32_MAX, from_out) ||
		(!str_eq(to, STR("*")) && (!str_to_u64(to, UINT32_MAX, &to_n) || to_n < *from_out)))
		return false;
	*to_out = to_n;
	return true;
}

// What complaints call the attribute of a value.
static inline struct str raw_value_name(const struct raw_value *value)
{
	return value->from ? value->from->name : value->name;
}

#endif
