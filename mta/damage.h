// SPDX-License-Identifier: Apache-2.0
// Rows of the queue that cannot be read: one alarm each, though they are met again whenever their destination's rows are read.
//
//     damage_look(damage, queue);           // once, on a fiber of its own: all rows, in slices
//     damage_alarm(damage, &page);          // after each page
//     n = damage_rows(damage);              // for whoever asks how the queue is
//     damage_forget(damage);                // an administrator removed them
//
// Beyond DAMAGE_ROWS_MAX rows no more are told of one by one. Any thread; nothing but damage_look() waits.
#ifndef MTA_DAMAGE_H
#define MTA_DAMAGE_H

#include "queue_rows.h"

enum { DAMAGE_ROWS_MAX = 64, DAMAGE_SLICE_ROWS = 1000 };

struct damage;
struct damage *damage_new(void);
void damage_free(struct damage **damage);

// Looks for rows that no page would meet for hours. On a fiber; the writer is busy for DAMAGE_SLICE_ROWS at a time. Ends early
// when the queue stops, or its rows cannot be read, which others tell.
void damage_look(struct damage *damage, struct queue *queue);

void damage_alarm(struct damage *damage, const struct queue_page *page);
size_t damage_rows(struct damage *damage);
void damage_forget(struct damage *damage);

#endif
