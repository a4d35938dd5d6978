// SPDX-License-Identifier: Apache-2.0
// A directory in memory, made from LDIF text by the very code that fills the shadow: for unit tests of whoever looks things up.
//
//     struct directory_memory *memory;
//     struct directory *directory = directory_memory_new(STR("dn: uid=a,...\nobjectClass: phMailUser\n..."), &memory, &err);
//     directory_memory_set_status(memory, &(struct directory_status){.complete = true, .fresh = false, .version = 7});
//     directory_close(&directory);                                    // frees memory too
//
// Complete and fresh, version 1, until set otherwise. Look-ups behave as in ldapsync/directory.h, except that nothing is ever on
// a disk.
#ifndef LDAPSYNC_DIRECTORY_MEMORY_H
#define LDAPSYNC_DIRECTORY_MEMORY_H

#include "base/err.h"
#include "ldapsync/directory.h"
#include "schema/profile.h"

struct directory_memory;

// NULL when the text is not LDIF; err says in which line. memory_out may be NULL. Entries that a real load would refuse are left
// out.
struct directory *directory_memory_new(struct str ldif, struct directory_memory **memory_out, struct err *err);

// The same from a directory of another schema.
struct directory *directory_memory_mapped(struct str ldif, const struct profile *profile, struct directory_memory **memory_out,
	struct err *err);

// What directory_status() says from now on; not complete makes every look-up DIRECTORY_UNAVAILABLE.
void directory_memory_set_status(struct directory_memory *memory, const struct directory_status *status);

#endif
