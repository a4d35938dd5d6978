// SPDX-License-Identifier: Apache-2.0
// Sets of sequence numbers or UIDs: "1,5:9,*" read, made orderly, asked and written (RFC 3501 section 9, sequence-set).
//
//     struct imap_seqset set;
//     imap_seqset_parse(&p, &set);
//     imap_seqset_resolve(&set, last);            // "*" is last; sorted, joined
//     for (size_t i = 0; i < set.n; i++)
//         each(set.ranges[i].first, set.ranges[i].last);
//
//     struct imap_seqset_out out = {.b = &reply};  // COPYUID, ESEARCH: "304,319:320"
//     imap_seqset_out_add(&out, 304); ...
//     imap_seqset_out_end(&out);
//
// Nothing here blocks. Work is n log n in the ranges written.
#ifndef MAIL_IMAP_SEQSET_H
#define MAIL_IMAP_SEQSET_H

#include "base/buf.h"
#include "mail/imap_parse.h"

struct imap_range {
	uint32_t first, last; // first <= last once resolved; before that 0 stands for "*"
};

struct imap_seqset {
	struct imap_range *ranges; // in the parser's arena
	size_t n;
	bool star; // "*" occurs
};

bool imap_seqset_parse(struct imap_parse *p, struct imap_seqset *set_out);

// Puts last for "*", swaps "9:5", sorts and joins ranges that touch or overlap. With last 0 (nothing there), ranges with "*" go.
void imap_seqset_resolve(struct imap_seqset *set, uint32_t last);

// After resolve: is it in the set? What is the highest number? 0 for an empty set.
bool imap_seqset_has(const struct imap_seqset *set, uint32_t number);
uint32_t imap_seqset_last(const struct imap_seqset *set);

// Writes numbers in the order given, runs of consecutive ascending ones as "a:b".
struct imap_seqset_out {
	struct buf *b;
	uint32_t first, last; // of the run now open; 0: none
	bool some;            // something was written
};
void imap_seqset_out_add(struct imap_seqset_out *out, uint32_t number);
void imap_seqset_out_end(struct imap_seqset_out *out);

#endif
