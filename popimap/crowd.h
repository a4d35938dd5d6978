// SPDX-License-Identifier: Apache-2.0
// How many sessions each user has from each address (IPv4 address, IPv6 /64), for each protocol: a cap on them, so that a client
// that leaks connections, or whoever stole one password, does not take all that there are.
//
//     struct crowd *crowd = crowd_new();
//     struct crowd_seat *seat = crowd_enter(crowd, STR("imap"), account, conn_peer(conn), 20);
//     if (seat == NULL) ... too many ...
//     crowd_leave(&seat);
//
// Any thread; a mutex for a few instructions. Memory follows the sessions that there are.
#ifndef POPIMAP_CROWD_H
#define POPIMAP_CROWD_H

#include "base/netaddr.h"
#include "base/str.h"

struct crowd;
struct crowd_seat;

struct crowd *crowd_new(void);
void crowd_free(struct crowd **crowd); // after the last session

// One session more; NULL when there are max already. account is the directory's, not what the client wrote.
struct crowd_seat *crowd_enter(struct crowd *crowd, struct str service, struct str account, const struct netaddr *peer,
	size_t max);

// The session is over; *seat may be NULL.
void crowd_leave(struct crowd_seat **seat);

#endif
