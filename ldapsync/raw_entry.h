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
};

// What complaints call the attribute of a value.
static inline struct str raw_value_name(const struct raw_value *value)
{
	return value->from ? value->from->name : value->name;
}

#endif
