// SPDX-License-Identifier: Apache-2.0
// How far servers say they are: lines of nsds50ruv and CSNs of any form, into one of two vectors in turn. What was taken is
// written and read again, a merge has what either had and goes back in nothing, what is kept of a vector is of it.
// Covers: ldapsync/csn.c ldapsync/ruv.c ldapsync/ad_cursors.c
#include "ad_cursors.h"
#include "base/must.h"
#include "ruv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_written(const struct csns *csns)
{
	struct csns again;
	struct buf printed;
	buf_init(&printed, CSNS_TEXT_BYTES_MAX);
	must(csns_print(csns, &printed) && csns_parse(buf_str(&printed), &again));
	must(again.n == csns->n && csns_eq(csns, &again));
	buf_fini(&printed);
}

static void check_order(const struct csns *csns)
{
	for (size_t i = 1; i < csns->n; i++) {
		struct str a = csns_origin(csns, i - 1), b = csns_origin(csns, i);
		must(a.n == b.n && memcmp(a.p, b.p, a.n) < 0);
	}
}

static void check_merged(const struct csns *a, const struct csns *b)
{
	struct csns merged = *a;
	if (csns_merge(&merged, b))
		must(csns_dominate(&merged, b));
	must(csns_dominate(&merged, a));
	check_order(&merged);
}

static void check_kept(const struct csns *csns, const struct csns *server, int64_t wall_ms)
{
	struct csns kept = *csns;
	csns_keep_until(&kept, wall_ms);
	must(kept.n <= csns->n && csns_dominate(csns, &kept));
	kept = *csns;
	csns_keep_known(&kept, server, wall_ms);
	must(kept.n <= csns->n && csns_dominate(csns, &kept));
	check_order(&kept);
}

// Of a domain controller those that are asked for.
static void check_cursors(struct str value)
{
	struct csns wanted, theirs = {0};
	must(csns_parse(STR("33221100554477668899aabbccddeeff#00000000000000000009"), &wanted));
	(void)ad_cursors_pick(&theirs, &wanted, value);
	must(theirs.n == 0 || (theirs.n == 1 && str_eq(csns_origin(&theirs, 0), csns_origin(&wanted, 0))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int64_t walls_ms[] = {0, 1795312923000, INT64_MAX};
	struct csns vectors[2] = {0};
	struct str rest = str_of((const char *)data, n);
	check_cursors(rest);
	for (size_t i = 0; rest.n > 0; i++) {
		struct str line = rest;
		if (!str_cut(rest, '\n', &line, &rest))
			rest = STR_NONE;
		if (!ruv_add(&vectors[i % 2], line) && !csns_add(&vectors[i % 2], line))
			(void)csns_parse_cookie(line, &vectors[i % 2]);
	}
	for (size_t i = 0; i < 2; i++) {
		check_written(&vectors[i]);
		check_order(&vectors[i]);
		check_merged(&vectors[i], &vectors[1 - i]);
		for (size_t wall = 0; wall < sizeof walls_ms / sizeof *walls_ms; wall++)
			check_kept(&vectors[i], &vectors[1 - i], walls_ms[wall]);
	}
	return 0;
}
