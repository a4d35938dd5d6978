// SPDX-License-Identifier: Apache-2.0
// A connection to a queue: the front-end of this node over its socket in run_dir, or one elsewhere over SMTP. Takes one message
// after the other.
//
//     struct handover *queue;
//     if (handover_open(&(struct handover_config){…}, &queue, err)) ...           // nobody there
//     switch (handover_send(queue, &data, err)) { … }
//     handover_close(&queue);
//
// Between nodes STARTTLS is used where it is offered, and our node certificate shown: the front-end lets us relay by its key
// (relay_certificates) or our address (relay_networks). On a fiber; all of it may wait.
#ifndef POPIMAP_HANDOVER_H
#define POPIMAP_HANDOVER_H

#include "base/conn.h"
#include "base/tls.h"
#include "base/worker.h"
#include "outbox_data.h"

struct handover;

struct handover_config {
	struct str hostname;
	struct str local;             // path of the socket; empty: host and port
	struct str host;
	uint16_t port;
	struct tls_client *tls;       // NULL: never
	struct worker_pool *resolver;
	int64_t connect_ms, reply_ms; // waits for a connection, and for each reply
};

enum handover_outcome {
	HANDOVER_TAKEN,   // the queue is responsible now
	HANDOVER_REFUSED, // it never will be: *err is what it said
	// Not now, as far as this message goes; also 5.7.x, or no status, to RCPT from a queue elsewhere: "relaying denied".
	HANDOVER_LATER,
	HANDOVER_BROKEN,  // the connection is of no use any more; for handover_in_doubt() it may have been taken
};

enum err_code handover_open(const struct handover_config *config, struct handover **handover_out, struct err *err) ERR_CHECKED;
void handover_close(struct handover **handover);

// What the queue said to the last message; borrowed until the next.
struct str handover_said(const struct handover *handover);

enum handover_outcome handover_send(struct handover *handover, const struct outbox_data *data, struct err *err);

// After HANDOVER_BROKEN: the message was out, so that it may be there although nothing was said.
bool handover_in_doubt(const struct handover *handover);

// For tests: over a connection that is there, which it takes. What the config says of ways is not looked at.
enum err_code handover_over(struct conn **conn, const struct handover_config *config, struct handover **handover_out,
	struct err *err) ERR_CHECKED;

#endif
