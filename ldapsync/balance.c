// SPDX-License-Identifier: Apache-2.0
// Keys that came and went: a table of hashes with linear probing, without marks of what was removed, so that coming and going
// leaves nothing.
#include "balance.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/random.h"

enum { FREE, GAINED, GONE };
enum { ROOM_MIN = 64 };

void balance_init(struct balance *balance, size_t keys_max)
{
	*balance = (struct balance){.keys_max = keys_max, .salt = random_u64()};
}

void balance_fini(struct balance *balance)
{
	free(balance->slots);
	balance->slots = NULL;
}

void balance_clear(struct balance *balance)
{
	size_t keys_max = balance->keys_max;
	balance_fini(balance);
	balance_init(balance, keys_max);
}

uint64_t balance_hash(const struct guid *secret, enum balance_kind kind, struct str key)
{
	char kind_byte = (char)kind;
	struct guid guid = guid_derive(secret, key, str_of(&kind_byte, 1));
	uint64_t hash;
	memcpy(&hash, guid.b, sizeof hash);
	return hash;
}

// --- The table ---

static size_t home_of(const struct balance *balance, uint64_t hash)
{
	uint64_t mixed = (hash ^ balance->salt) * 0x9e3779b97f4a7c15u; // Fibonacci hashing (Knuth 6.4): the upper bits are spread
	return (size_t)(mixed >> 32) & (balance->room - 1);
}

// Where it is, or the free slot where it would be; there is room.
static size_t look_up(const struct balance *balance, enum balance_kind kind, uint64_t hash)
{
	size_t i = home_of(balance, hash);
	while (balance->slots[i].state != FREE && (balance->slots[i].hash != hash || balance->slots[i].kind != kind))
		i = (i + 1) & (balance->room - 1);
	return i;
}

static int state_of(const struct balance *balance, enum balance_kind kind, uint64_t hash)
{
	return balance->room ? balance->slots[look_up(balance, kind, hash)].state : FREE;
}

// At most half of the slots are used.
static void make_room(struct balance *balance)
{
	struct balance old = *balance;
	if (balance->room >= 2 * (balance->n + 1))
		return;
	balance->room = old.room ? 2 * old.room : ROOM_MIN;
	balance->slots = calloc(balance->room, sizeof *balance->slots);
	must(balance->slots != NULL);
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i].state != FREE)
			balance->slots[look_up(balance, old.slots[i].kind, old.slots[i].hash)] = old.slots[i];
	free(old.slots);
}

static bool remember(struct balance *balance, enum balance_kind kind, uint64_t hash, int state)
{
	if (balance->n >= balance->keys_max)
		return false;
	make_room(balance);
	balance->slots[look_up(balance, kind, hash)] =
		(struct balance_slot){.hash = hash, .kind = (uint8_t)kind, .state = (uint8_t)state};
	balance->n++;
	return true;
}

// What stands behind it moves up, unless that would put it before its home (Knuth 6.4, algorithm R).
static void forget(struct balance *balance, enum balance_kind kind, uint64_t hash)
{
	size_t mask = balance->room - 1;
	size_t hole = look_up(balance, kind, hash);
	for (size_t i = (hole + 1) & mask; balance->slots[i].state != FREE; i = (i + 1) & mask)
		if (((i - home_of(balance, balance->slots[i].hash)) & mask) >= ((i - hole) & mask)) {
			balance->slots[hole] = balance->slots[i];
			hole = i;
		}
	balance->slots[hole].state = FREE;
	balance->n--;
}

// --- What happens ---

void balance_gained(struct balance *balance, enum balance_kind kind, uint64_t hash)
{
	balance->net[kind]++;
	if (state_of(balance, kind, hash) == GONE) {
		forget(balance, kind, hash);
		balance->gone[kind]--;
	} else if (state_of(balance, kind, hash) == FREE) {
		(void)remember(balance, kind, hash, GAINED); // else its loss counts
	}
}

void balance_lost(struct balance *balance, enum balance_kind kind, uint64_t hash)
{
	balance->net[kind]--;
	int state = state_of(balance, kind, hash);
	if (state == GAINED) {
		forget(balance, kind, hash);
		return;
	}
	balance->gone[kind]++;
	if (state == GONE || !remember(balance, kind, hash, GONE)) // GONE: it could not be remembered that it came back
		balance->forgotten[kind]++;
}

void balance_lost_unseen(struct balance *balance, enum balance_kind kind, uint64_t n)
{
	balance->gone[kind] += n;
	balance->forgotten[kind] += n;
}

void balance_forget_net(struct balance *balance)
{
	memset(balance->net, 0, sizeof balance->net);
}

static bool is_among(unsigned kinds, unsigned kind)
{
	return kinds & 1u << kind;
}

void balance_add(struct balance *balance, const struct balance *later, unsigned kinds)
{
	int64_t net[BALANCE_KINDS];
	memcpy(net, balance->net, sizeof net);
	for (size_t i = 0; i < later->room; i++) {
		const struct balance_slot *slot = &later->slots[i];
		if (slot->state == FREE || !is_among(kinds, slot->kind))
			continue;
		if (slot->state == GONE)
			balance_lost(balance, slot->kind, slot->hash);
		else
			balance_gained(balance, slot->kind, slot->hash);
	}
	for (unsigned kind = 0; kind < BALANCE_KINDS; kind++) {
		bool counts = is_among(kinds, kind);
		balance->net[kind] = net[kind] + (counts ? later->net[kind] : 0);
		balance->gone[kind] += counts ? later->forgotten[kind] : 0;
		balance->forgotten[kind] += counts ? later->forgotten[kind] : 0;
	}
}

void balance_gone_with(const struct balance *balance, const struct balance *later, unsigned kinds,
	uint64_t gone_out[BALANCE_KINDS])
{
	memcpy(gone_out, balance->gone, sizeof balance->gone);
	for (unsigned kind = 0; kind < BALANCE_KINDS; kind++)
		gone_out[kind] += is_among(kinds, kind) ? later->forgotten[kind] : 0;
	for (size_t i = 0; i < later->room; i++) {
		const struct balance_slot *slot = &later->slots[i];
		if (slot->state == FREE || !is_among(kinds, slot->kind))
			continue;
		int state = state_of(balance, slot->kind, slot->hash);
		if (slot->state == GONE)
			gone_out[slot->kind] += state != GAINED;
		else
			gone_out[slot->kind] -= state == GONE;
	}
}
