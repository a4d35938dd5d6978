// SPDX-License-Identifier: Apache-2.0
// Open databases at rest: two lists, and a memory of closings.
#include "rest.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "strand.h"

static void make_places(struct rest *rest, size_t places)
{
	rest->closed = calloc(places, sizeof *rest->closed);
	must(rest->closed != NULL);
	rest->places = places;
}

void rest_init(struct rest *rest, int64_t idle_ms, int64_t again_ms)
{
	rest->lists[REST_ONCE].for_ms = idle_ms;
	rest->lists[REST_AGAIN].for_ms = again_ms > idle_ms ? again_ms : idle_ms;
	make_places(rest, 1);
}

void rest_fini(struct rest *rest)
{
	free(rest->closed);
	rest->closed = NULL;
}

static struct rest_list *list_of(struct rest *rest, const struct strand *strand)
{
	return &rest->lists[strand->rest.again ? REST_AGAIN : REST_ONCE];
}

void rest_add(struct rest *rest, struct strand *strand, int64_t now_ms)
{
	struct rest_list *list = list_of(rest, strand);
	struct rest_seat *seat = &strand->rest;
	seat->newer = NULL;
	seat->older = list->newest;
	*(seat->older ? &seat->older->rest.newer : &list->oldest) = strand;
	list->newest = strand;
	seat->taken = true;
	seat->since_ms = now_ms;
}

void rest_remove(struct rest *rest, struct strand *strand)
{
	struct rest_list *list = list_of(rest, strand);
	struct rest_seat *seat = &strand->rest;
	if (!seat->taken)
		return;
	*(seat->newer ? &seat->newer->rest.older : &list->newest) = seat->older;
	*(seat->older ? &seat->older->rest.newer : &list->oldest) = seat->newer;
	seat->taken = false;
}

struct strand *rest_next(const struct rest *rest, int64_t *due_ms_out)
{
	struct strand *next = NULL;
	int64_t due_ms = CLOCK_NEVER;
	for (size_t i = 0; i < REST_LISTS; i++) {
		struct strand *oldest = rest->lists[i].oldest;
		if (oldest && oldest->rest.since_ms + rest->lists[i].for_ms < due_ms) {
			next = oldest;
			due_ms = oldest->rest.since_ms + rest->lists[i].for_ms;
		}
	}
	if (next)
		*due_ms_out = due_ms;
	return next;
}

struct strand *rest_victim(const struct rest *rest)
{
	struct strand *once = rest->lists[REST_ONCE].oldest;
	return once ? once : rest->lists[REST_AGAIN].oldest;
}

// --- Closings ---

static uint32_t who(const struct guid *id)
{
	uint64_t bits;
	memcpy(&bits, id->b, sizeof bits); // random, or the time of a UUID
	return (uint32_t)(bits ^ bits >> 32) | 1;
}

static uint32_t age_ms(const struct rest_closing *closing, int64_t now_ms)
{
	return closing->who ? (uint32_t)now_ms - closing->at_ms : UINT32_MAX;
}

static bool is_young(const struct rest *rest, const struct rest_closing *closing, int64_t now_ms)
{
	return age_ms(closing, now_ms) <= rest->lists[REST_AGAIN].for_ms;
}

static struct rest_closing *place_of(const struct rest *rest, uint32_t who)
{
	return rest->closed[(who >> 1) % rest->places];
}

// The one of this id, else the oldest in its place.
static struct rest_closing *find(const struct rest *rest, uint32_t who, int64_t now_ms)
{
	struct rest_closing *place = place_of(rest, who), *found = place;
	for (size_t i = 0; i < REST_WAYS; i++) {
		if (place[i].who == who)
			return &place[i];
		if (age_ms(&place[i], now_ms) > age_ms(found, now_ms))
			found = &place[i];
	}
	return found;
}

// Each place becomes two.
static void grow(struct rest *rest, int64_t now_ms)
{
	struct rest_closing *old = *rest->closed;
	size_t n = rest->places * REST_WAYS;
	make_places(rest, 2 * rest->places);
	for (size_t i = 0; i < n; i++)
		if (is_young(rest, &old[i], now_ms))
			*find(rest, old[i].who, now_ms) = old[i];
	free(old);
}

void rest_closed(struct rest *rest, const struct guid *id, int64_t now_ms)
{
	struct rest_closing *closing = find(rest, who(id), now_ms);
	while (closing->who != who(id) && is_young(rest, closing, now_ms) && rest->places * REST_WAYS < REST_CLOSED_MAX) {
		grow(rest, now_ms);
		closing = find(rest, who(id), now_ms);
	}
	*closing = (struct rest_closing){.who = who(id), .at_ms = (uint32_t)now_ms};
}

bool rest_was_open(const struct rest *rest, const struct guid *id, int64_t now_ms)
{
	const struct rest_closing *closing = find(rest, who(id), now_ms);
	return closing->who == who(id) && is_young(rest, closing, now_ms);
}
