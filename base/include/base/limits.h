// SPDX-License-Identifier: Apache-2.0
// How much this process may hold, computed at start from what the kernel allows: connections, fibers, open file handles.
//
//     struct limits limits;
//     if (limits_compute(&limits, err)) ...           // raises the soft RLIMIT_NOFILE to the hard one
//
// Reads /proc, so it blocks: at start only.
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include "base/err.h"

struct limits {
	size_t descriptors_max; // RLIMIT_NOFILE, as raised
	size_t mappings_max;    // vm.max_map_count
	size_t connections_max; // at most one descriptor and one fiber each
	size_t fibers_max;      // over all schedulers; two mappings each where the kernel has no guard regions
	size_t handles_max;     // descriptors left for databases and files
};

// ERR_NOMEM when the kernel allows too little to work at all (under 64 descriptors).
enum err_code limits_compute(struct limits *limits_out, struct err *err) ERR_CHECKED;

// The arithmetic alone, for tests and `posthouse check`.
void limits_divide(size_t descriptors_max, size_t mappings_max, bool has_guard_regions, struct limits *limits_out);

#endif
