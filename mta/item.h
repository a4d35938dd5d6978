// SPDX-License-Identifier: Apache-2.0
// What deliveries work with: one recipient of one message, as copied out of the queue. Plain memory, shared with nobody.
//
// Made on the writer thread (by the fold for what has just come in, by a page of rows for what waits), owned by whoever holds it:
// fold, scheduler, delivery, in this order. The message is counted because its recipients go different ways.
#ifndef MTA_ITEM_H
#define MTA_ITEM_H

#include <stdatomic.h>

#include "base/guid.h"
#include "schema/record.h"

struct item_message {
	_Atomic unsigned refs;
	struct guid guid, root;
	enum record_kind kind;
	uint8_t flags; // RECORD_FLAG_*
	struct str sender, envid;
	int64_t received_ms;
	uint64_t body_bytes;
	uint8_t digest[RECORD_DIGEST_BYTES]; // of the body
	int64_t body_id; // row in `body`; with RECORD_FLAG_SPOOL the file has the message's guid for a name
	struct str body; // {NULL, 0}: not in memory, read it from the row or the file
};

struct item {
	struct item *next;
	struct item_message *message; // a reference
	struct record_recipient r;    // strings in this allocation; `also` is in the rows only
	int64_t next_try_ms;          // wall clock
	uint32_t tries, waited_s;
	bool warned;
	// The scheduler's.
	struct item *same_bucket;
	bool out;  // a delivery has it
	bool gone; // held or removed meanwhile: not to be tried
};

// The address that led here: what its client named. And its addr_key, in the arena (under 4 KiB) or the recipient's.
struct str item_asked(const struct record_recipient *recipient);
struct str item_asked_key(struct arena *arena, const struct record_recipient *recipient);

// The same mailbox, address at a next hop, or list; what is asked for there apart (detail).
bool item_same_target(const struct record_recipient *a, const struct record_recipient *b);

// Copies. body may be {NULL, 0} although the message has one.
struct item_message *item_message_new(const struct record_enter *enter, int64_t body_id, struct str body);
struct item_message *item_message_ref(struct item_message *message);
void item_message_drop(struct item_message **message);

// Bytes of bodies that are in memory now, in this process.
size_t item_bodies_bytes(void);

// With its strings in the arena, and without `also`.
struct record_recipient item_recipient_dup(struct arena *arena, const struct record_recipient *recipient);

// Takes a reference of its own to message.
struct item *item_new(struct item_message *message, const struct record_recipient *recipient);
void item_free(struct item **item);
void item_free_list(struct item **list);

#endif
