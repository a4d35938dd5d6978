// SPDX-License-Identifier: Apache-2.0
// An entry of somebody else's schema in native words, by a profile (schema/profile.h). Done once, when the entry is taken in, so
// that all behind the intake knows native attributes only.
//
//     struct raw_entry native;
//     profile_map_entry(profile, &entry, arena, complain, context, &native);
//
// Each value remembers what it is in the directory (raw_value.from), for complaints; the entry keeps that too (values of
// ATTR_ORIGIN, schema/entry_origin.h), for `posthouse why`. Attributes that neither a line nor the native schema has are left
// out. Pure; one pass over the values for each line.
#ifndef LDAPSYNC_PROFILE_MAP_H
#define LDAPSYNC_PROFILE_MAP_H

#include "base/arena.h"
#include "raw_entry.h"
#include "schema/profile.h"

// attribute is that of the directory.
typedef void profile_complain_fn(void *context, size_t line, struct str dn, struct str attribute, const char *what);

// The native classes of an entry, as enum entry_class; those that SUP implies too.
unsigned profile_map_classes(const struct profile *profile, const struct raw_entry *entry);

// native_out lives in the arena and borrows from entry and profile; it is entry itself where nothing is to be mapped. complain
// may be NULL. False when the arena is at its cap.
bool profile_map_entry(const struct profile *profile, const struct raw_entry *entry, struct arena *arena,
	profile_complain_fn *complain, void *context, struct raw_entry *native_out);

#endif
