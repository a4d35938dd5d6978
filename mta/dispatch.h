// SPDX-License-Identifier: Apache-2.0
// Between the queue's rows and the fibers that deliver: holds the schedule, loads pages, starts deliveries, takes back what they did.
//
// Threads: the sink's calls come from the writer thread, the rest from fibers of any scheduler; a mutex guards the schedule, never held
// across a wait.
#ifndef MTA_DISPATCH_H
#define MTA_DISPATCH_H

#include "item.h"
#include "queue_fold.h"

struct queue;
struct dispatch;

struct dispatch *dispatch_new(struct queue *queue);
void dispatch_free(struct dispatch **dispatch);

// What the fold tells, for queue_fold_new().
struct queue_fold_sink dispatch_sink(struct dispatch *dispatch);

// Begins; needs the runtime. What waits in the rows is found by itself.
void dispatch_start(struct dispatch *dispatch);
void dispatch_stop(struct dispatch *dispatch);

// New limits from the queue's settings.
void dispatch_reload(struct dispatch *dispatch);

// Everything that waits is due now.
void dispatch_flush(struct dispatch *dispatch);

struct dispatch_stats {
	size_t destinations, dead, items, connections;
};
void dispatch_stats(struct dispatch *dispatch, struct dispatch_stats *stats_out);

#endif
