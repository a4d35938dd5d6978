// SPDX-License-Identifier: Apache-2.0
// What the queue asks about mail that waits: queue_route_fn and queue_world_fn (mta/queue.h). arg is the struct smtp_server.
#ifndef MTA_MTA_ROUTE_H
#define MTA_MTA_ROUTE_H

#include "mta/queue.h"

enum queue_route_answer mta_route(void *arg, struct arena *arena, const struct queue_route_query *query,
	struct queue_route *route_out);
uint64_t mta_route_world(void *arg);

#endif
