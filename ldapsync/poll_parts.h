// SPDX-License-Identifier: Apache-2.0
// What the files of the poll driver share.
//
//     replica_poll.c     one connection: which driver, what the server offers, when to ask
//     poll_question.c    one question and its whole answer: into the images and the table, or nothing of it
//     poll_compare.c     who is still there, and as it was
//     poll_store.c       what is known, in the shadow, so that the next process goes on from there
//     poll_lag.c         is it behind the server before?
//     poll_large.c       entries that the server gives in parts
#ifndef LDAPSYNC_POLL_PARTS_H
#define LDAPSYNC_POLL_PARTS_H

#include "poll_ranges.h"
#include "poll_step.h"
#include "poll_table.h"
#include "replica_parts.h"

enum { POLL_FILTER_BYTES_MAX = 1 << 20 };

struct poll {
	struct poll_server server; // of this connection
	struct guid refuses_sync;  // the server that offered RFC 4533 and refused it last
	struct poll_step step;
	struct poll_table known;   // the entries of the server as committed
	bool is_stored;            // the shadow has what is known
	bool was_restored;         // what a process before has stored was looked at
	const char **attributes;   // owned; those of the replica, id and mark; NULL ends them
	const char *id_and_mark[3];
	bool reads_again;          // this connection began with a load of what was known before, by marks
	int64_t lags_since_ms;     // a server was first seen to lack the newest entry; monotonic; 0: none was
	bool told_of_dns;          // that an entry has no id is said once for each connection

	// The question that runs.
	// POLL_LOAD, POLL_COMPARE: all that were mentioned; POLL_CHANGES: those that are no longer for us
	struct poll_table now;
	struct poll_table changes; // those that were put one by one
	struct csns csns;          // contextCSN before it
};

// Entries to look at: of each its id, then its DN and a NUL.
struct poll_suspects {
	struct buf list;
	size_t n, n_max;
};

struct question {
	struct replica *replica;
	struct poll *poll;
	enum poll_what what;
	struct poll_suspects large;     // given in parts
	struct poll_suspects differing; // POLL_COMPARE: not as they were; POLL_LOAD: not as they were told
	size_t found;              // entries of the search at hand
	const struct guid *sought; // of the search at hand: is it still that one?
	bool is_sought;
	size_t n_elsewhere;        // POLL_COMPARE, POLL_LOAD: entries that this server does not have yet, maybe
	size_t n_spared;           // POLL_COMPARE, POLL_LOAD: entries that a search left out, though they are there
	bool stopped;              // we want no more of this answer, as err says
	bool database_failed;
	bool has_too_many;         // for a compare: everything is to be read
	struct err *err;
};

// --- poll_question.c ---

// Asks and concludes. False: the connection ends, as *outcome_out and err say.
bool poll_question(struct replica *replica, const struct poll_ask *ask, enum outcome *outcome_out, struct err *err);

// False: too many, or a name that cannot be kept.
bool poll_suspect(struct poll_suspects *suspects, const struct guid *uuid, struct str dn);
bool poll_next_suspect(struct str *rest, struct guid *uuid_out, const char **dn_out);

// For functions that take entries: false.
bool poll_stop(struct question *question);
bool poll_stop_for_database(struct question *question);

bool poll_is_in_time(struct question *question); // false: stopped
// as it is in the shadow, whatever that is: the next compare says
bool poll_leave(struct question *question, const struct guid *uuid);
bool poll_keep(struct question *question, struct poll_table *table, const struct guid *uuid, uint64_t digest);
void poll_identify(struct question *question, const struct raw_entry *entry, struct guid *uuid_out, bool *of_dn_out);
// as it was, and what the changes have said of it since
uint64_t poll_known_digest(const struct poll *poll, const struct guid *uuid);
void poll_note_mark(struct question *question, const struct raw_entry *entry, const struct guid *uuid, uint64_t digest);
ldap_link_each_fn poll_put_entry;

// An entry as it is now, with its uuid, into the transaction. digest: what the table has of it then.
bool poll_store(struct question *question, const struct raw_entry *entry, uint64_t digest);

// False: not the whole answer, or it could not be stored.
bool poll_search(struct question *question, const char *filter, const char *const *attributes, ldap_link_each_fn *each);

// One entry, if it is there and the filter finds it; with a context of its own.
bool poll_read_one(struct question *question, const char *dn, const char *const *attributes, ldap_link_each_fn *each,
	void *context);

// --- poll_compare.c ---
bool poll_compare(struct question *question);

// After a load, before anything goes that it has not mentioned.
bool poll_confirm_load(struct question *question);

// --- poll_lag.c ---

// Before anything is asked of a server. False: it lacks what we hold, as err says.
bool poll_check_lag(struct replica *replica, struct err *err);
bool poll_is_sparing(struct replica *replica); // nobody goes yet whom the server before had alone

// --- poll_store.c ---

// What a process before has stored becomes what is known, once for each process.
void poll_restore(struct replica *replica);

// What is known from now on goes into the transaction: poll->known and the step, which before was `before` where the question was
// for all of them. False: it cannot be written, as err says.
bool poll_write(struct question *question, const struct poll_table *before);

// --- poll_large.c ---
bool poll_read_large(struct question *question);

#endif
