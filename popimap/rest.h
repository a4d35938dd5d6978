// SPDX-License-Identifier: Apache-2.0
// Databases that are open and that nobody uses now: which stay open, and for how long. Private to the store.
//
// An open database costs memory, opening one costs time, and most mailboxes are used once in a while: a session begins, or a
// message comes, and then nothing. So what comes to rest is closed after a short time (idle_ms), except a mailbox that was opened
// again within again_ms after it was closed: that one is in use every now and then, and stays for again_ms. Where room is needed
// those that were opened once go first. One reading of all mailboxes (a tidying, a backup) thus takes no room from those that are
// in use.
//
// Why not for longer, or as many as there may be: after a delivery an open database holds some 170 KiB (index of the log 32,
// pages and statements the most of the rest), and opening it again costs some 0.3 ms of CPU. A node that takes 50 messages a
// second for mailboxes that get one in ten minutes would have 30,000 of them open, 5 GB, and save a sixtieth of a core. What is
// used by people, every few seconds or every minute, stays open as it is. again_ms is a setting (store_again_s) for nodes that
// have the memory.
//
//     rest_remove(&store->rest, strand);                                  // it gets a job
//     strand->rest.again = rest_was_open(&store->rest, &strand->id, now); // its database is opened
//     rest_add(&store->rest, strand, now);                                // it has no more jobs
//     strand = rest_next(&store->rest, &due_ms);                          // who is to be closed first, and when
//     rest_closed(&store->rest, &strand->id, now);
//
// No I/O, no locks: the caller holds store->mutex.
#ifndef POPIMAP_REST_H
#define POPIMAP_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"

struct strand;

// In a strand.
struct rest_seat {
	struct strand *newer, *older;
	bool taken;       // it is in one of the lists
	bool again;       // it was opened again soon after it was closed
	int64_t since_ms; // with taken
};

enum { REST_ONCE, REST_AGAIN, REST_LISTS };
enum { REST_CLOSED_MAX = 1 << 15, REST_WAYS = 8 }; // closings that are remembered, and how many have one place

struct rest {
	struct rest_list {
		struct strand *newest, *oldest;
		int64_t for_ms;
	} lists[REST_LISTS];
	struct rest_closing {
		uint32_t who;   // of the id: random, so two are the same hardly ever, and then one stays open for longer; 0: free
		uint32_t at_ms; // of the clock; what counts is the difference
	} (*closed)[REST_WAYS]; // owned; grows when a place is full of young ones; at REST_CLOSED_MAX the oldest of them goes
	size_t places;
};

void rest_init(struct rest *rest, int64_t idle_ms, int64_t again_ms); // of zeroed memory
void rest_fini(struct rest *rest);
void rest_add(struct rest *rest, struct strand *strand, int64_t now_ms);
void rest_remove(struct rest *rest, struct strand *strand); // also of one that is in none

// Who is to be closed next, NULL: nobody rests, and when its time is over.
struct strand *rest_next(const struct rest *rest, int64_t *due_ms_out);

// Who is to be closed when there is no room. NULL: nobody rests.
struct strand *rest_victim(const struct rest *rest);

void rest_closed(struct rest *rest, const struct guid *id, int64_t now_ms);
bool rest_was_open(const struct rest *rest, const struct guid *id, int64_t now_ms);

#endif
