// SPDX-License-Identifier: Apache-2.0
// The entries that a server had when it was asked last, as ids and digests: what a compare is compared with. 24 bytes an entry,
// sorted. Pure.
//
//     poll_table_add(&now, &uuid, digest);                 // for each that a search brings, in any order
//     poll_table_sort(&now);
//     poll_table_each_gone(&known, &now, gone, context);   // those of known that now has not
//     poll_table_find(&known, &uuid)                       // POLL_GONE: not there
//     poll_table_merge(&known, &changes);                  // those of changes are as they say
#ifndef LDAPSYNC_POLL_TABLE_H
#define LDAPSYNC_POLL_TABLE_H

#include "base/guid.h"

enum {
	POLL_GONE = 0,
	POLL_DOUBT = 1, // it is or was there, and nobody knows how: it is looked at again
	POLL_ELSEWHERE = 2, // the server before had it, and this one does not show it yet
	POLL_DIGEST_MIN = 3,
};

struct poll_known {
	struct guid uuid;
	uint64_t digest; // POLL_GONE, POLL_DOUBT, POLL_ELSEWHERE, or of how it was
};

struct poll_table { // {0} is empty; poll_table_clear in the end
	struct poll_known *v; // owned
	size_t n, room;
};

enum { POLL_TABLE_MAX = 8 << 20 }; // entries; a server that never ends its answer is left

void poll_table_clear(struct poll_table *table);

// False when it is full. Not sorted from then on.
bool poll_table_add(struct poll_table *table, const struct guid *uuid, uint64_t digest);

// An id that was added twice with different digests is in doubt from then on: it changed while it was read.
void poll_table_sort(struct poll_table *table);

// Of sorted ones.
bool poll_table_eq(const struct poll_table *a, const struct poll_table *b);
uint64_t poll_table_find(const struct poll_table *table, const struct guid *uuid);
void poll_table_merge(struct poll_table *table, const struct poll_table *changes);
void poll_table_each_gone(const struct poll_table *known, const struct poll_table *now,
	void (*gone)(void *context, const struct guid *uuid), void *context);

#endif
