// SPDX-License-Identifier: Apache-2.0
// What the tests of the queue and its crash program have in common: who a report's recipient is, and the end of a daemon.
#ifndef MTA_TEST_MTA_H
#define MTA_TEST_MTA_H

#include "mta/queue.h"
#include "test_lmtp.h"

// Everybody has a mailbox under the address.
static inline void resolve_to_mailbox(struct arena *arena, struct str address, struct record_recipients *out)
{
	out->v = arena_must(arena, sizeof *out->v);
	out->v[0] = to_mailbox(arena_dup(arena, address));
	out->n = 1;
}

// As mta_main.c ends.
static inline void end_daemon(struct queue **queue, struct runtime **runtime)
{
	queue_stop(*queue);
	runtime_stop(*runtime, 2000);
	queue_close(queue);
	runtime_free(runtime);
}

#endif
