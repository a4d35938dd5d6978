// SPDX-License-Identifier: Apache-2.0
// The base subject of RFC 5256 section 2.1, by which SORT and THREAD compare: "Re: [list] hello (fwd)" gives "hello".
#ifndef SUBJECT_H
#define SUBJECT_H

#include "base/str.h"

enum { SUBJECT_BYTES_MAX = 1024 };

// text: UTF-8, decoded, unfolded, at most SUBJECT_BYTES_MAX. Writes the base subject, white space collapsed, to out, which has
// room for text.n bytes; returns its length. *is_reply_out: a mark of a reply or a forward was taken off.
size_t subject_base(struct str text, char *out, bool *is_reply_out);

#endif
