// SPDX-License-Identifier: Apache-2.0
// Sessions of each user from each address: a hash of counts. A seat is the count it was counted in; it goes with its last
// session.
#include "crowd.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

// Keys are accounts of the directory; an opponent chooses at most the address.
#define HASH_FUNCTION(key, bytes, hash) (hash) = (unsigned)str_hash(str_of((key), (bytes)))
#include <uthash.h>

enum { KEY_BYTES = 320, V4_BITS = 32, V6_BITS = 64 };

struct crowd_seat {
	UT_hash_handle hh;
	struct crowd *crowd; // borrowed
	size_t n;            // sessions
	char key[];
};

struct crowd {
	pthread_mutex_t mutex;
	struct crowd_seat *seats;
};

struct crowd *crowd_new(void)
{
	struct crowd *crowd = calloc(1, sizeof *crowd);
	must(crowd != NULL && pthread_mutex_init(&crowd->mutex, NULL) == 0);
	return crowd;
}

void crowd_free(struct crowd **crowd)
{
	if (*crowd == NULL)
		return;
	must((*crowd)->seats == NULL);
	pthread_mutex_destroy(&(*crowd)->mutex);
	free(*crowd);
	*crowd = NULL;
}

static struct crowd_seat *find_or_add(struct crowd *crowd, const char *key)
{
	struct crowd_seat *seat;
	HASH_FIND_STR(crowd->seats, key, seat);
	if (seat)
		return seat;
	size_t bytes = strlen(key) + 1;
	seat = calloc(1, sizeof *seat + bytes);
	must(seat != NULL);
	seat->crowd = crowd;
	memcpy(seat->key, key, bytes);
	HASH_ADD_STR(crowd->seats, key, seat);
	return seat;
}

struct crowd_seat *crowd_enter(struct crowd *crowd, struct str service, struct str account, const struct netaddr *peer,
	size_t max)
{
	char key[KEY_BYTES], address[NETADDR_TEXT_BYTES];
	const struct netaddr network = netaddr_prefix(peer, V4_BITS, V6_BITS);
	netaddr_text(&network, address);
	int n = snprintf(key, sizeof key, "%.*s %.*s %s", STR_FMT(service), STR_FMT(account), address);
	must(max > 0 && n > 0 && (size_t)n < sizeof key); // an account is a guid
	pthread_mutex_lock(&crowd->mutex);
	struct crowd_seat *seat = find_or_add(crowd, key);
	bool has_room = seat->n < max;
	seat->n += has_room;
	pthread_mutex_unlock(&crowd->mutex);
	return has_room ? seat : NULL;
}

void crowd_leave(struct crowd_seat **seat_taken)
{
	struct crowd_seat *seat = *seat_taken;
	*seat_taken = NULL;
	if (seat == NULL)
		return;
	struct crowd *crowd = seat->crowd;
	pthread_mutex_lock(&crowd->mutex);
	if (--seat->n == 0) {
		HASH_DEL(crowd->seats, seat);
		free(seat);
	}
	pthread_mutex_unlock(&crowd->mutex);
}
