// SPDX-License-Identifier: Apache-2.0
// An entry that a server gives in parts ("member;range=0-1499", [MS-ADTS] 3.1.1.3.1.3.3), put together. Pure.
//
//     struct poll_ranges *ranges = poll_ranges_new();
//     enum poll_ranges_result result = poll_ranges_begin(ranges, &entry);       // the entry as it was first given
//     while (result == POLL_RANGES_MORE)
//         result = poll_ranges_add(ranges, <the entry, asked for poll_ranges_ask(ranges) alone>);
//     store(poll_ranges_entry(ranges));                                         // partial unless POLL_RANGES_WHOLE
//     poll_ranges_free(&ranges);
//
// Parts must follow each other without a gap and bring what they say. One that begins elsewhere, or does not come at all, is the
// sign of an attribute that has changed meanwhile. Whether the parts are of one moment is otherwise for the caller to see, by id
// and mark of each. What is kept is bounded, in parts, values and bytes, whatever a server says.
#ifndef LDAPSYNC_POLL_RANGES_H
#define LDAPSYNC_POLL_RANGES_H

#include "raw_entry.h"

enum {
	POLL_RANGES_ATTRIBUTES_MAX = 16,
	POLL_RANGES_PARTS_MAX = 2000,      // Active Directory gives 1,500 or 5,000 values in each
	POLL_RANGES_VALUES_MAX = 2 << 20,
	POLL_RANGES_BYTES_MAX = 64 << 20,  // an entry that is stored may have 16 MiB (schema/entry.h)
	POLL_RANGES_NAME_BYTES = 96,       // of "attribute;range=1500-*", with the NUL
};

struct poll_ranges;

enum poll_ranges_result {
	POLL_RANGES_MORE,
	POLL_RANGES_WHOLE,
	POLL_RANGES_TORN, // parts of two moments: begin again
	POLL_RANGES_BAD,  // it cannot be put together: too large, too many parts, or no sense in them
};

struct poll_ranges *poll_ranges_new(void);
void poll_ranges_free(struct poll_ranges **ranges);

// Copies all of it; what was there before is forgotten.
enum poll_ranges_result poll_ranges_begin(struct poll_ranges *ranges, const struct raw_entry *entry);

// After POLL_RANGES_MORE: the attribute to ask for; borrowed until the next call.
const char *poll_ranges_ask(struct poll_ranges *ranges);
enum poll_ranges_result poll_ranges_add(struct poll_ranges *ranges, const struct raw_entry *entry);

// What there is of it; borrowed until the next poll_ranges_begin or poll_ranges_free.
const struct raw_entry *poll_ranges_entry(struct poll_ranges *ranges);

#endif
