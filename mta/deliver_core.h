// SPDX-License-Identifier: Apache-2.0
// An agent as its two files see it: deliver.c, which has the messages, and deliver_connect.c, which has the connection.
#ifndef MTA_DELIVER_CORE_H
#define MTA_DELIVER_CORE_H

#include "deliver.h"
#include "mail/route_rule.h"
#include "peer.h"
#include "queue_core.h"

struct agent {
	struct dispatch_agent *slot;
	struct queue *queue;
	struct settings_snapshot *snapshot; // of this batch
	const struct settings *settings;
	struct arena *arena;        // of the message
	struct arena *peer_arena;   // of the connection: names and pins
	struct peer *peer;          // NULL: not connected
	struct tls_client *client;  // of the connection
	// the settings of the connection; held, so that no later one has the same address
	struct settings_snapshot *connected_under;
	bool relay;                 // over SMTP: to the relayhost, or by the route
	bool routed;                // the destination is a route's (mail/route_rule.h), which says all; else the settings do
	struct route_rule route;    // strings in route_arena
	struct arena *route_arena;
	size_t hop;                 // of the route: that of the connection, or the last that was tried
	struct str host;            // who was connected to, for reports
	bool expands;               // its destination is RECORD_EXPAND_DESTINATION: no connection
	// The message under way.
	struct item_message *message;
	struct buf body;            // all of it, or the piece at body_at
	uint64_t body_at;
	uint64_t attempt;           // index; 0: stays with us
	int64_t valid_until_ms;
};

// Makes sure of a connection. ERR_OK with a peer that is ready; else *why_out is the reply for those who wanted it. May wait.
enum err_code deliver_connect(struct agent *a, struct str *why_out);

// Closes it and connects to the next hops behind that one, in their order. False: there are none, and the connection stays as it
// is; or none of them answers. May wait.
bool deliver_connect_next(struct agent *a);

// Closes it, if there is one.
void deliver_hang_up(struct agent *a);

#endif
