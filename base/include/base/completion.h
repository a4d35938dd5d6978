// SPDX-License-Identifier: Apache-2.0
// Waiting for one thing that another thread finishes, in the waiter's own storage: usually part of a request on its stack.
//
//     struct request r = {...};                     // the waiter, on a fiber or a plain thread
//     completion_init(&r.completion);
//     submit(&r);
//     completion_await(&r.completion);              // r is the waiter's again
//
//     r->result = ...;                              // the other thread
//     completion_finish(&r->completion);            // r may be gone from here on
//
// For what is always finished and never given up: the wait is not ended by a cancel and has no deadline. A caller that may give
// up needs a struct call (base/call.h); what blocks and has no thread of its own goes to base/worker.h.
#ifndef BASE_COMPLETION_H
#define BASE_COMPLETION_H

#include <stdbool.h>

#include "base/fiber.h"

struct completion {
	struct fiber_ref waiter; // its fiber is NULL: a plain thread
	bool done;               // under a lock of completion.c
};

// By the fiber or thread that will wait, before the other one can see it. Nothing to free.
void completion_init(struct completion *completion);

// Any thread, once. What it wrote before is visible to the waiter after its wait. Does not block for long.
void completion_finish(struct completion *completion);

// Returns when it is finished. May wait; on a plain thread it blocks.
void completion_await(struct completion *completion);

#endif
