// SPDX-License-Identifier: Apache-2.0
// What the files of the poll driver share.
//
//     replica_poll.c     one connection: which driver, what the server offers, when to ask
//     poll_question.c    one question and its whole answer: into the images and the table, or nothing of it
#ifndef LDAPSYNC_POLL_PARTS_H
#define LDAPSYNC_POLL_PARTS_H

#include "poll_step.h"
#include "poll_table.h"
#include "replica_parts.h"

enum { POLL_FILTER_BYTES_MAX = 1 << 20 };

struct poll {
	struct poll_server server; // of this connection
	struct guid refuses_sync;  // the server that offered RFC 4533 and refused it last
	struct poll_step step;
	struct poll_table known;   // the entries of the server as committed
	const char **attributes;   // owned; those of the replica, id and mark; NULL ends them
	const char *id_and_mark[3];
	bool told_of_dns;          // that an entry has no id is said once for each connection

	// the question that runs
	struct poll_table now;     // POLL_LOAD, POLL_COMPARE: all that were mentioned; POLL_CHANGES: those that are no longer for us
	struct poll_table changes; // those that were put one by one
	struct csns csns;          // contextCSN before it
};

// Asks and concludes. False: the connection ends, as *outcome_out and err say.
bool poll_question(struct replica *replica, const struct poll_ask *ask, enum outcome *outcome_out, struct err *err);

#endif
