// SPDX-License-Identifier: Apache-2.0
// Between the queue's rows and the fibers that deliver: holds the schedule, loads pages, starts deliveries, takes back what they
// did.
//
// One fiber ("dispatch") loads pages, starts agents and defers what is due for dead destinations; each agent (mta/deliver.h) is a
// fiber that takes messages of one destination until there are none for a while.
//
// Threads: the sink's calls come from the writer thread, the rest from fibers of any scheduler; a mutex guards the schedule,
// never held across a wait.
#ifndef MTA_DISPATCH_H
#define MTA_DISPATCH_H

#include "item.h"
#include "queue_fold.h"
#include "schedule.h"

struct queue;
struct dispatch;
struct damage;

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

// The damaged rows that were met (mta/damage.h).
struct damage *dispatch_damage(struct dispatch *dispatch);

void dispatch_stats(struct dispatch *dispatch, struct schedule_stats *stats_out);

// --- For agents ---

struct dispatch_agent {
	struct dispatch *dispatch;
	struct queue *queue;
	struct schedule_dest *dest;
	bool connected; // dispatch_connected was told
	// The dispatcher's, while it is idle.
	struct fiber_ref *fiber;
	struct dispatch_agent *next_idle;
};

// The next messages for this agent's destination; waits for some until deadline_ms. NULL: none came, or we stop. May wait.
struct item *dispatch_take(struct dispatch_agent *agent, size_t messages_max, size_t recipients_max, int64_t deadline_ms);

void dispatch_connected(struct dispatch_agent *agent);
void dispatch_succeeded(struct dispatch_agent *agent);
void dispatch_disconnected(struct dispatch_agent *agent); // its connection is closed, for whatever reason
void dispatch_failed(struct dispatch_agent *agent, struct str why);

// Gives back what was not tried: the list, in its order.
void dispatch_put_back(struct dispatch_agent *agent, struct item **list);

// The results of these items are committed (or nothing of them is): they leave memory. Any thread.
void dispatch_done(struct dispatch *dispatch, struct schedule_dest *dest, struct item **list);

// The agent's fiber is about to end.
void dispatch_ended(struct dispatch_agent *agent);

// How long the next wait of an item is.
int64_t dispatch_backoff_ms(struct dispatch *dispatch, unsigned tries);
struct str dispatch_name(const struct dispatch_agent *agent);
bool dispatch_is_stopping(struct dispatch *dispatch);

#endif
