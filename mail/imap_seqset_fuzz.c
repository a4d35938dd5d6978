// SPDX-License-Identifier: Apache-2.0
// Sequence sets: what was resolved is sorted, has no overlap, and parses as the same when written again.
// Covers: mail/imap_seqset.c
#include "base/must.h"
#include "mail/imap_seqset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { NUMBERS_MAX = 2000 };

// The first numbers of a resolved set, written one by one, are ranges that parse as the same numbers.
static void check_written(const struct imap_seqset *set, struct arena *arena)
{
	struct buf text;
	struct imap_seqset again;
	struct imap_parse p;
	uint64_t written = 0, read = 0;
	buf_init(&text, 64 << 10);
	struct imap_seqset_out out = {.b = &text};
	for (size_t i = 0; i < set->n; i++)
		for (uint64_t number = set->ranges[i].first; number <= set->ranges[i].last && written < NUMBERS_MAX;
			number++, written++)
			imap_seqset_out_add(&out, (uint32_t)number);
	imap_seqset_out_end(&out);
	imap_parse_init(&p, buf_str(&text), arena);
	must(!text.overflow && (written == 0 ? text.n == 0 : imap_seqset_parse(&p, &again) && imap_parse_end(&p) && !again.star));
	for (size_t i = 0; written && i < again.n; i++) {
		must(imap_seqset_has(set, again.ranges[i].first) && imap_seqset_has(set, again.ranges[i].last));
		read += again.ranges[i].last - again.ranges[i].first + 1;
	}
	must(read == written);
	buf_fini(&text);
}

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
		must(imap_seqset_last(&set) == (set.n ? set.ranges[set.n - 1].last : 0));
		check_written(&set, arena);
	}
	arena_free(&arena);
	return 0;
}
