// SPDX-License-Identifier: Apache-2.0
// Requeue: what the addresses of a queued message lead to is asked anew, as Postfix does for `postsuper -r`; for an alias that
// was wrong.
//
//     struct requeue_query query = {.guid = guid, .who = STR("ann")};
//     struct requeue_found found;
//     if (requeue_message(queue, arena, &query, &found, &err)) ...      // could not be read, or not be recorded: nothing has
//                                                                       changed
//     ... found.copies left or came; found.later, found.nobody addresses are as they were, found.reply says why
//
// A copy belongs to the address that its client named (`original` in schema/record.h, else its own). Each such address with open
// copies is decided as RCPT would today. Copies that it does not lead to any more are withdrawn, new ones come, those that are
// right stay as they are, with what they have waited. Nobody is sent a message twice: who was reached outside, or was reported
// undeliverable, is remembered with the message (`ended`, schema/ddl_queue.c); a mailbox knows its delivery key (root guid,
// mailbox id, detail, list). A copy that another address of the message leads to as well (RECORD_SHARED) is not withdrawn: that
// address has none of its own. What an administrator deleted does not come back. A copy that is being delivered at this moment
// may still arrive, as with `queue delete`; one to the outside that an ATTEMPT has stays.
//
// An address that nobody has today, or of which the directory cannot say now, is left alone. So is what a list or a large group
// led to: its members were found when it was expanded, and each is decided for itself before each try (mta/waiting.h).
//
// One REQUEUE record for each address that changed: it is done or it is not, and said again it finds nothing to do.
#ifndef MTA_REQUEUE_H
#define MTA_REQUEUE_H

#include "queue_core.h"

struct requeue_query {
	struct guid guid;
	struct str address; // only this one, as the client named it (addr_key); empty: all
	uint32_t number;    // only the address of this copy, and only if it would leave; 0: in any case
	bool held;          // also copies that are held
	struct str who;     // for the record
};

// A copy of the address that the query's number belongs to.
struct requeue_copy {
	uint32_t number;
	bool leaves; // its address does not lead there today
};

struct requeue_found {
	size_t copies;  // that left or came
	size_t left;    // of these
	size_t later;   // addresses of which the directory cannot say now
	size_t nobody;  // addresses that are nobody's today
	bool open;      // the copy with the query's number is there, held only if these are asked for
	struct requeue_copy *v; // of its address, n of them, in the arena; n is 0 where there was no room for them
	size_t n;
	struct str reply; // of the last of these; in the arena
};

// On a fiber; may wait (a large group is looked up on a worker; the record's commit). Nobody can be asked (no queue_expand_fn):
// ERR_BUSY.
enum err_code requeue_message(struct queue *queue, struct arena *arena, const struct requeue_query *query,
	struct requeue_found *found_out, struct err *err) ERR_CHECKED;

#endif
