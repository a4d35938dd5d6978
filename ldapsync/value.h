// SPDX-License-Identifier: Apache-2.0
// One value of the directory, checked by the rule of its attribute and put into the spelling that is stored.
#ifndef LDAPSYNC_VALUE_H
#define LDAPSYNC_VALUE_H

#include "base/arena.h"
#include "schema/attr.h"

enum { VALUE_SCRATCH_BYTES = 64 << 10 }; // what one call may take of the scratch arena

struct value {
	struct str text; // as it is stored
	struct str key;  // addresses: addr.key or "@" + domain.key; hosts and domains: domain.key; else empty
};

// NULL when value is fine, with *value_out in the scratch arena or borrowed from value; else why it is refused, for the report.
const char *value_check(enum attr_check check, struct str value, struct arena *scratch, struct value *value_out);

#endif
