// SPDX-License-Identifier: Apache-2.0
// What came and what went since a moment, net: keys that are there now and were not, and keys that were there and are not.
//
//     struct balance balance;
//     balance_init(&balance, BALANCE_KEYS_MAX);
//     balance_lost(&balance, BALANCE_RECIPIENTS, hash);    // the last entry that had it has it no more
//     balance_gained(&balance, BALANCE_RECIPIENTS, hash);  // it is back: as if nothing had been
//     balance.gone[BALANCE_RECIPIENTS] ...                 // 0
//
// A key that was gained since is lost without being counted; one that was lost is taken off when it returns. So what `gone` says
// does not depend on the order of what happened, nor on how often: it is what one compare with the beginning would find.
//
// Memory is bounded: over keys_max keys no more are remembered. Then what is lost counts each time and for good: gone is never
// less than it is.
//
// A key is 64 bits of a hash that nobody outside can foresee (balance_hash), its kind included. Pure; one thread.
#ifndef LDAPSYNC_BALANCE_H
#define LDAPSYNC_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"

enum balance_kind {
	BALANCE_RECIPIENTS, // addresses
	BALANCE_DOMAINS,
	BALANCE_HOSTS,
	BALANCE_MAILBOXES,
	BALANCE_LOGINS,
	BALANCE_ENTRIES,   // by uuid
	BALANCE_PLACES,    // (uuid, mailHost) of users
	BALANCE_PASSWORDS, // by uuid: it has a password of whatever kind
	BALANCE_KINDS
};

enum { BALANCE_KEYS_MAX = 1 << 19 }; // 16 MiB when full

struct balance_slot {
	uint64_t hash;
	uint8_t kind;
	uint8_t state; // 0: free
};

struct balance {
	struct balance_slot *slots; // owned
	size_t room, n, keys_max;   // room: 0 or a power of 2
	uint64_t salt;              // where a hash goes: different in each, so that a walk over one does not crowd another
	uint64_t gone[BALANCE_KINDS];      // what was remembered, and what could not be
	uint64_t forgotten[BALANCE_KINDS]; // the latter
	int64_t net[BALANCE_KINDS];        // gained less lost; exact even when full
};

void balance_init(struct balance *balance, size_t keys_max);
void balance_fini(struct balance *balance);
// As after init; gives the memory back.
void balance_clear(struct balance *balance);

// secret is random and stays the same as long as hashes are compared.
uint64_t balance_hash(const struct guid *secret, enum balance_kind kind, struct str key);

// Of one key they come in turns.
void balance_gained(struct balance *balance, enum balance_kind kind, uint64_t hash);
void balance_lost(struct balance *balance, enum balance_kind kind, uint64_t hash);

// n keys went, nobody knows which.
void balance_lost_unseen(struct balance *balance, enum balance_kind kind, uint64_t n);
void balance_forget_net(struct balance *balance);

// What happened after it, of these kinds (1 << BALANCE_…).
void balance_add(struct balance *balance, const struct balance *later, unsigned kinds);
// balance->gone as balance_add would make it, at least; changes nothing.
void balance_gone_with(const struct balance *balance, const struct balance *later, unsigned kinds,
	uint64_t gone_out[BALANCE_KINDS]);

#endif
