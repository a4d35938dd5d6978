// SPDX-License-Identifier: Apache-2.0
// The try: an agent is a fiber with a connection to one destination that delivers what the dispatcher gives it, and says what
// came of it.
#ifndef MTA_DELIVER_H
#define MTA_DELIVER_H

#include "dispatch.h"

enum {
	DELIVER_RECIPIENTS_MAX = 50, // of one RESULT, of one transaction
	DELIVER_MESSAGES_MAX = 32,   // of one RESULT
};

struct replay_entry;

// What becomes of one recipient; strings live in the arena that they came from.
struct deliver_result {
	struct item *item;
	enum record_outcome outcome;
	struct str reply;
	bool by_peer; // the reply is the peer's word
	struct str remote; // the peer's name, for reports; may be empty
	bool peer_has_dsn; // it tells of its success itself
};

// The fiber's function; arg is a struct dispatch_agent on the heap, freed at the end.
void deliver_agent(void *arg);

// The results of some recipients, those of a message next to each other (attempt: of the ATTEMPT, 0 without) as a RESULT record
// with what they beget: reports, when some ended for good or were asked for. Deferred ones get their next try, and end when their
// lifetime is over. Takes the items out of the results: they go back to the dispatcher once the record is committed. kept: goes
// to replay once the record is committed; taken, may be NULL. May wait.
void deliver_commit(struct queue *queue, struct schedule_dest *dest, uint64_t attempt, struct deliver_result *results, size_t n,
	struct replay_entry *kept);

#endif
