// SPDX-License-Identifier: Apache-2.0
// What the commands of the control socket share: queue_commands.c, queue_list.c, queue_replay.c.
#ifndef MTA_QUEUE_COMMANDS_H
#define MTA_QUEUE_COMMANDS_H

#include <jansson.h>

#include "queue_core.h"

enum {
	QUEUE_ADDRESSES_BYTES_MAX = 64 << 10, // of a request
	QUEUE_SAFE_TEXT_BYTES = 1000,   // of one string in an answer
	QUEUE_ANSWER_BYTES_MAX = 64 << 20, // of the decision about one recipient, which may be a large group by now
};

// Handlers; arg is the queue.
void queue_list(struct control_request *request, void *arg);
void queue_replay(struct control_request *request, void *arg);

// Peers' words need not be UTF-8, JSON has to be.
json_t *queue_safe_string(struct str s);

// The guids that a queue id (the first 60 bits of a guid) or a guid stands for. False: it is neither.
bool queue_id_range(struct str id, struct guid *first_out, struct guid *last_out);

#endif
