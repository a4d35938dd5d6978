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
};

// Of "member;range=0-1499" the source gave a part of the values; "range=1500-*" is the last part. Active Directory does so with
// more than 1,500 values ([MS-ADTS] 3.1.1.3.1.3.3). options: what follows the first ';'.
static inline bool raw_option_is_part(struct str options)
{
	struct str range = STR("range=");
	return str_starts_nocase(options, range) && (!str_starts(str_from(options, range.n), STR("0-")) || !str_ends(options, STR("*")));
}

// What complaints call the attribute of a value.
static inline struct str raw_value_name(const struct raw_value *value)
{
	return value->from ? value->from->name : value->name;
}

#endif
