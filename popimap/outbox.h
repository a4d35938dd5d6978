// SPDX-License-Identifier: Apache-2.0
// The outbox of a mailbox: what deliveries into it send (replies of somebody who is away; Sieve), from the delivery's commit
// until a queue has it; and then the memory that it was sent.
//
//     struct outbox_item item = {.kind = STR("vacation"), .key = correspondent, .guid = guid_new(), .made_ms = now,
//             .since_ms = …, .data = …};
//     delivery.sends = &item;                    // store_deliver(): in the commit of the delivery, or not at all
//     if (item.fate == OUTBOX_ADDED) ... wake the sender ...
//
//     while (outbox_next(store, &id, &after, arena, &row, &found, err) == ERR_OK && found)      // the sender (sender.h)
//             if (the queue has it, or will never have it)
//                     outbox_sent(store, &id, &row, err);
//     outbox_settle(store, &id, err);                          // nothing waits in it any more
//
// A delivery that is known by its key adds nothing; a correspondent who was answered is not answered again. Both are seen in the
// transaction that would add the item, so that two deliveries at once make one.
//
// Which mailboxes have something to send is in node.db, which lists all of them and some that have nothing. A mailbox is listed
// before the delivery is committed, and taken off only when nothing waited in it and no delivery that sends has begun meanwhile
// (struct strand, sends_begun). A crash between leaves a mailbox listed; a node.db that is lost lists all.
#ifndef POPIMAP_OUTBOX_H
#define POPIMAP_OUTBOX_H

#include "store.h"

struct strand;

enum { OUTBOX_DATA_BYTES_MAX = 256 << 10, OUTBOX_KEY_BYTES_MAX = 1024 };

enum outbox_fate {
	OUTBOX_NONE,   // nothing was tried: the delivery failed, or was known
	OUTBOX_ADDED,
	OUTBOX_KNOWN,  // one of this kind and key was made since since_ms
	OUTBOX_MANY,   // hour_max of this kind were made within the hour
	OUTBOX_FAILED, // the list in node.db could not be written: the delivery fails
};

struct outbox_item {
	struct str kind, key;
	struct guid guid;            // of the message
	int64_t made_ms, until_ms;   // remembered until then
	int64_t since_ms;            // an earlier one of the same key does not count
	uint64_t hour_max;           // of this kind; 0: any number
	struct str data;             // outbox_data.h; at most OUTBOX_DATA_BYTES_MAX
	enum outbox_fate fate;       // filled by store_deliver()
	enum err_code failure;       // private: of OUTBOX_FAILED
};

// One that waits.
struct outbox_row {
	struct str kind, key, data;
	struct guid guid;
	int64_t made_ms;
};

// --- For the sender; all may wait ---

// Up to n mailboxes above *after (NULL: from the first) that may have something to send, ascending; fewer than n: that was the
// last.
enum err_code outbox_mailboxes(struct store *store, const struct guid *after, struct guid *ids, size_t n, size_t *n_out,
	struct err *err) ERR_CHECKED;

// The next that waits after one (NULL: the first), by kind and key; in the arena.
enum err_code outbox_next(struct store *store, const struct guid *mailbox, const struct outbox_row *after, struct arena *arena,
	struct outbox_row *row_out, bool *found_out, struct err *err) ERR_CHECKED;

// It waits no longer; that it was made is remembered. Nothing when another one has taken its place.
enum err_code outbox_sent(struct store *store, const struct guid *mailbox, const struct outbox_row *row,
	struct err *err) ERR_CHECKED;

// Takes the mailbox off the list unless something waits in it.
enum err_code outbox_settle(struct store *store, const struct guid *mailbox, struct err *err) ERR_CHECKED;

// --- For the store ---

// Before the jobs of deliveries that send: looks who was answered, lists the others in node.db. And after. Both see only those
// with .sends.
void outbox_begin(struct store *store, struct delivery *deliveries, size_t n);
void outbox_end(struct store *store, struct delivery *deliveries, size_t n);

// In the job of a delivery: adds the item or sets its fate.
enum err_code outbox_add(struct strand *strand, struct outbox_item *item, struct err *err) ERR_CHECKED;

// In the job that tidies: forgets what was sent and is remembered no longer.
enum err_code outbox_forget(struct strand *strand, int64_t now_ms, struct err *err) ERR_CHECKED;

// In node.db's transaction: lists a mailbox.
enum err_code outbox_list(struct strand *node, const struct guid *mailbox, struct err *err) ERR_CHECKED;

#endif
