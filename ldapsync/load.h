// SPDX-License-Identifier: Apache-2.0
// One load of an LDIF file into shadow and credentials.
//
//     switch (load_ldif(&target, path, &brake, &report, &err)) {
//     case LOAD_DONE:      report.counters ...
//     case LOAD_UNCHANGED: the very file that was loaded last
//     case LOAD_HELD:      report.held, report.cookie; the old image is untouched, and no longer fresh
//     case LOAD_FAILED:    err.text is "FILE:LINE: what"; the old image is untouched, and no longer fresh
//     }
//
// Two passes over the same open file: the first proves that it parses to its end and remembers what entries depend on, the second
// stores. A file that is replaced or written meanwhile fails and is read again by the caller. Blocks.
#ifndef LDAPSYNC_LOAD_H
#define LDAPSYNC_LOAD_H

#include "brake.h"
#include "complaints.h"
#include "images.h"
#include "ldapsync/directory.h"

struct load_brake {
	struct brake_limits limits;
	struct str released; // the cookie of a file that an administrator lets through, whatever it takes away; empty: none
};

enum { LOAD_COOKIE_BYTES = 256 };

struct load_report {
	struct image_counters counters; // of the shadow
	uint64_t entries;   // stored
	uint64_t skipped;   // nothing of ours
	struct complaints complaints;
	struct brake_held held;         // of LOAD_HELD
	char cookie[LOAD_COOKIE_BYTES]; // which file this is; empty when it could not be opened
};

enum load_result { LOAD_DONE, LOAD_UNCHANGED, LOAD_HELD, LOAD_FAILED };

// brake NULL: nothing is held. After LOAD_HELD err says what was.
enum load_result load_ldif(const struct images *target, const char *path, const struct load_brake *brake,
	struct load_report *report_out, struct err *err);

#endif
