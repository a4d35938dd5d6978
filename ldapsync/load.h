// SPDX-License-Identifier: Apache-2.0
// One load of an LDIF file into shadow and credentials.
//
//     switch (load_ldif(&target, path, &report, &err)) {
//     case LOAD_DONE:      report.counters ...
//     case LOAD_UNCHANGED: the very file that was loaded last
//     case LOAD_FAILED:    err.text is "FILE:LINE: what"; the old image is untouched, and no longer fresh
//     }
//
// Two passes over the same open file: the first proves that it parses to its end and remembers what entries depend on, the second stores.
// A file that is replaced or written meanwhile fails and is read again by the caller. Blocks.
#ifndef LDAPSYNC_LOAD_H
#define LDAPSYNC_LOAD_H

#include "image.h"
#include "ldapsync/directory.h"

struct load_target {
	struct image *shadow, *credentials;
};

struct load_report {
	struct image_counters counters; // of the shadow
	uint64_t entries;   // stored
	uint64_t skipped;   // nothing of ours
	uint64_t refused;   // entries and values that were left out, each logged (the first LOAD_LOGGED_MAX)
	uint64_t conflicts; // keys with several claimants, each logged (the same)
};

enum { LOAD_LOGGED_MAX = 100 };

enum load_result { LOAD_DONE, LOAD_UNCHANGED, LOAD_FAILED };

enum load_result load_ldif(const struct load_target *target, const char *path, struct load_report *report_out, struct err *err);

#endif
