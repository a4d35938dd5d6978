// SPDX-License-Identifier: Apache-2.0
// Sequence sets: parsing, resolving into sorted ranges, asking, writing.
#include "mail/imap_seqset.h"

#include <stdlib.h>

#include "base/must.h"

static bool parse_one(struct imap_parse *p, uint32_t *number_out)
{
	if (imap_parse_peek(p) != '*')
		return imap_parse_number_nz(p, number_out);
	p->at++;
	*number_out = 0;
	return true;
}

static bool parse_range(struct imap_parse *p, struct imap_range *out)
{
	struct imap_range range;
	if (!parse_one(p, &range.first))
		return false;
	range.last = range.first;
	if (imap_parse_peek(p) == ':') {
		p->at++;
		if (!parse_one(p, &range.last))
			return false;
	}
	*out = range;
	return true;
}

// Commas in the set that begins here, so that the array is allocated once.
static size_t count_ranges(const struct imap_parse *p)
{
	struct str rest = imap_parse_rest(p);
	size_t n = 1;
	for (size_t i = 0; i < rest.n && (chr_is_digit(rest.p[i]) || strchr(":,*", rest.p[i])) && rest.p[i]; i++)
		n += rest.p[i] == ',';
	return n;
}

bool imap_seqset_parse(struct imap_parse *p, struct imap_seqset *set_out)
{
	struct imap_seqset set = {0};
	if (p->error)
		return false;
	size_t max = count_ranges(p);
	set.ranges = arena_array(p->arena, max, sizeof *set.ranges);
	if (set.ranges == NULL)
		return imap_parse_fail(p, "command too complex");
	for (;;) {
		must(set.n < max);
		if (!parse_range(p, &set.ranges[set.n]))
			return false;
		set.star |= set.ranges[set.n].first == 0 || set.ranges[set.n].last == 0;
		set.n++;
		if (imap_parse_peek(p) != ',')
			break;
		p->at++;
	}
	*set_out = set;
	return true;
}

static int by_first(const void *a, const void *b)
{
	const struct imap_range *x = a, *y = b;
	return (x->first > y->first) - (x->first < y->first);
}

void imap_seqset_resolve(struct imap_seqset *set, uint32_t last)
{
	size_t n = 0;
	for (size_t i = 0; i < set->n; i++) {
		struct imap_range r = set->ranges[i];
		if ((r.first == 0 || r.last == 0) && last == 0)
			continue;
		r.first = r.first ? r.first : last;
		r.last = r.last ? r.last : last;
		set->ranges[n++] = r.first <= r.last ? r : (struct imap_range){r.last, r.first};
	}
	if (n)
		qsort(set->ranges, n, sizeof *set->ranges, by_first);
	set->n = n;
	set->star = false;
	if (n == 0)
		return;
	size_t joined = 0;
	for (size_t i = 1; i < n; i++) {
		struct imap_range *into = &set->ranges[joined], *r = &set->ranges[i];
		if (r->first - 1 > into->last)
			set->ranges[++joined] = *r;
		else if (r->last > into->last)
			into->last = r->last;
	}
	set->n = joined + 1;
}

bool imap_seqset_has(const struct imap_seqset *set, uint32_t number)
{
	size_t low = 0, high = set->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (number > set->ranges[mid].last)
			low = mid + 1;
		else if (number < set->ranges[mid].first)
			high = mid;
		else
			return true;
	}
	return false;
}

uint32_t imap_seqset_last(const struct imap_seqset *set)
{
	return set->n ? set->ranges[set->n - 1].last : 0;
}

void imap_seqset_out_end(struct imap_seqset_out *out)
{
	if (out->first == 0)
		return;
	if (out->some)
		buf_add_byte(out->b, ',');
	buf_add_u64(out->b, out->first);
	if (out->last != out->first) {
		buf_add_byte(out->b, ':');
		buf_add_u64(out->b, out->last);
	}
	out->some = true;
	out->first = 0;
}

void imap_seqset_out_add(struct imap_seqset_out *out, uint32_t number)
{
	if (out->first && number == out->last + 1) {
		out->last = number;
		return;
	}
	imap_seqset_out_end(out);
	out->first = out->last = number;
}
