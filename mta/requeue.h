// SPDX-License-Identifier: Apache-2.0
// Requeue: what the addresses of a queued message lead to is asked anew, as Postfix does for `postsuper -r`; for an alias that
// was wrong.
//
//     struct requeue_query query = {.guid = guid, .who = STR("ann")};
//     struct requeue_found found;
//     if (requeue_message(queue, arena, &query, &found, &err)) ...      // could not be read, or not be recorded
//     ... found.copies left or came; found.later, found.nobody addresses are as they were, found.reply says why
//
// A copy belongs to the addresses that its client named and that led to it: to the one in its row (`original` in schema/record.h,
// else its own address), and to those whose copy was there already (`also`, RECORD_ALSO_MAX of them). Each address with open
// copies is decided as RCPT would today. It leaves the copies that it does not lead to any more, and of these those are withdrawn
// that are for nobody else; new ones come, as this address asked for reports; those that are right stay as they are, with what
// they have waited. Nobody is sent a message twice: who was reached outside, or was reported undeliverable, is remembered with
// the message (`ended`, schema/ddl_queue.c); a mailbox knows its delivery key (root guid, mailbox id, detail, list).
// A copy for more addresses than are remembered (RECORD_SHARED_MORE) is not withdrawn. What an administrator deleted does not
// come back. A copy that is being delivered at this moment may still arrive, as with `queue delete`; one to the outside that an
// ATTEMPT has stays.
//
// An address that nobody has today, or of which the directory cannot say now, is left alone. So is what a list or a large group
// led to: its members were found when it was expanded, and each is decided for itself before each try (mta/waiting.h).
//
// A REQUEUE record has one address or several, each of them whole: it is done or it is not, and said again it finds nothing to
// do. Cost: the message's rows are read once, and once more by the fold for each record of REQUEUE_RECORD_BYTES.
#ifndef MTA_REQUEUE_H
#define MTA_REQUEUE_H

#include "requeue_answers.h"

enum { REQUEUE_RECORD_BYTES = 256 << 10 }; // an address more goes into the next record

struct requeue_query {
	struct guid guid;
	struct str address;      // only this one, as the client named it (addr_key); empty: all
	const uint32_t *numbers; // only addresses of these copies, ascending, and only those that would leave one; NULL: all
	size_t n;
	bool held;               // also copies that are held
	struct str who;          // for the record
	struct requeue_answers *answers; // NULL: asks each time
};

// What became of a copy that the query named.
enum requeue_fate {
	REQUEUE_CLOSED,  // it is not there, or held
	REQUEUE_STAYS,   // it is as it was
	REQUEUE_LATER,   // as it was, but of an address that it is for the directory cannot say now
	REQUEUE_CHANGED, // the address in its row left it: it is gone, or goes on for another one, due as it was
};

struct requeue_found {
	size_t copies; // that left or came
	size_t left;   // of these
	size_t later;  // addresses of which the directory cannot say now
	size_t nobody; // addresses that are nobody's today
	enum requeue_fate *fates; // of query.numbers, in the arena
	struct str reply; // of the last of `later` and `nobody`; in the arena
};

// On a fiber; may wait (a large group is looked up on a worker; the record's commit). Nobody can be asked (no queue_expand_fn):
// ERR_BUSY. After an error addresses may have been dealt with.
enum err_code requeue_message(struct queue *queue, struct arena *arena, const struct requeue_query *query,
	struct requeue_found *found_out, struct err *err) ERR_CHECKED;

#endif
