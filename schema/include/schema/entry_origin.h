// SPDX-License-Identifier: Apache-2.0
// Where a value of a stored entry comes from: the attribute of the directory, as its administrator knows it, when a profile made
// another one of it.
//
//     struct str name, given;
//     if (entry_origin(&entry, ATTR_PH_STATUS, STR("disabled"), &name, &given))      // "accountStatus", "deleted"
//         ...
//
// Kept in values of ATTR_ORIGIN: number of the native attribute, name, and where several attributes or a change of the value are
// in play, native value and given value; between them a unit separator (0x1f). Pure.
#ifndef SCHEMA_ENTRY_ORIGIN_H
#define SCHEMA_ENTRY_ORIGIN_H

#include "base/arena.h"
#include "schema/entry.h"

enum {
	ENTRY_ORIGIN_VALUES_MAX = 64,       // of one attribute; beyond them only its name is known
	ENTRY_ORIGIN_GIVEN_BYTES_MAX = 256, // longer values, and binary ones, are not kept
};

// False: the value is the directory's own, or nobody knows. given_out is value where the profile changed nothing.
bool entry_origin(const struct entry *entry, enum attr attr, struct str value, struct str *name_out, struct str *given_out);

// The value of ATTR_ORIGIN for all values of attr, or for one of them. {NULL, 0} over the arena's cap.
struct str entry_origin_of_all(struct arena *arena, enum attr attr, struct str name);
struct str entry_origin_of_value(struct arena *arena, enum attr attr, struct str name, struct str value, struct str given);

#endif
