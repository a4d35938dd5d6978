// SPDX-License-Identifier: Apache-2.0
// Strands: who may touch a mailbox's database when. Private to the store.
//
// A strand is one mailbox in memory: a queue of jobs, a connection (while it is among the open ones), those who watch it. A job
// is an embedded struct in the memory of the caller that waits for it:
//
//     struct peek { struct job job; uint32_t folder; uint64_t modseq; };
//     static enum job_step peek_run(struct job *job, struct strand *strand)          // on a store thread
//     {
//             struct peek *peek = (struct peek *)job;                                // job is the first member
//             job->code = ... db_stmt(strand->db, ...) ... job->err ...
//             return JOB_DONE;
//     }
//     struct peek peek = {.job = {.kind = JOB_READ, .run = peek_run, .err = err}, .folder = 7};
//     code = strand_run(strand, &peek.job);                                          // may wait
//
// Happy path: strand_submit puts the job at the end of the strand's queue and the strand at the end of the store's queue; a
// thread takes the strand, opens its database if need be, and runs one batch: either one job that reads, or all jobs that write
// up to the next that reads, STORE_BATCH_MAX at most, in one transaction. Then it wakes the callers and, if more waits, puts the
// strand at the end again.
//
// A job that fails alone is undone to its savepoint; the others of the batch go on. A commit that fails fails all of the batch,
// and the connection is closed, so that nothing in memory outlives a transaction that never was. A crash at any point leaves the
// last commit.
//
// Locks: store->mutex guards the table, the queues, who rests, and the watches, and is never held over the disk. A strand's
// fields below "owner" belong to the thread that runs it.
#ifndef POPIMAP_STRAND_H
#define POPIMAP_STRAND_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/completion.h"
#include "base/db.h"
#include "base/fiber.h"
#include "crew.h"
#include "rest.h"
#include "store.h"

struct strand;
struct node_news; // mail_db.c

enum job_kind {
	JOB_READ,  // alone, in a transaction of its own
	JOB_WRITE, // in a transaction, perhaps with others
	JOB_PLAIN, // needs no database: files of a message on its way in
};

// JOB_AGAIN: run me again after the others (never for JOB_WRITE).
enum job_step { JOB_DONE, JOB_AGAIN };

struct job {
	enum job_kind kind;
	enum job_step (*run)(struct job *job, struct strand *strand);
	// JOB_WRITE: its changes were undone after run; NULL: nothing to do
	void (*failed)(struct job *job, struct strand *strand);
	const struct store_home *make; // JOB_WRITE: the mailbox may be made
	struct err *err;               // borrowed; NULL: own is used, so that run always has one
	struct err own;
	bool when_moved;               // JOB_WRITE: also of a mailbox that has moved; it looks itself
	bool detached;                 // nobody waits; malloc()ed, freed when done
	enum err_code code;            // ERR_OK until run says otherwise

	struct job *next;
	struct completion completion;
};

// What a transaction has given out so far. Folders' rows hold most of it; what they do not goes to the owner row at its end.
struct counts {
	uint64_t change_seq;
	uint64_t folder_seq; // the highest change_seq that a folder's row has
	uint32_t uidvalidity, folder; // the last that were given, folder for an id
	uint64_t bytes, messages;
};

enum { STRAND_TOUCHED_MAX = 16, STRAND_RECENT_MAX = 64 };

struct touched { // folders that a transaction changed; more than fit: all
	uint32_t folder[STRAND_TOUCHED_MAX];
	size_t n;
	bool all;
};

// How far \Recent was given out, ahead of the folder's row.
struct recent {
	uint32_t folder, uid;
};

enum strand_state {
	STRAND_IDLE,    // no job
	STRAND_QUEUED,  // in the store's queue
	STRAND_RUNNING, // a thread has it (also while its database is closed)
};

struct strand {
	struct store *store;
	struct guid id; // of the mailbox; zero: node.db; of a message on its way in: only JOB_PLAIN

	// Under store->mutex.
	struct strand *chain;                // of the table
	size_t refs;                         // mailboxes, jobs
	enum strand_state state;
	struct job *first, **end;            // jobs that wait
	struct strand *run_next;             // of the store's queue
	struct rest_seat rest;               // idle with an open database
	struct watch *watches;
	bool maildrop_locked;
	unsigned sends_open;                 // deliveries under way that may put something into the outbox (outbox.h)
	uint64_t sends_begun;                // and those ever

	// Owner: the thread that runs it.
	struct db *db;
	bool in_doubt;           // while a batch is undone whose commit failed in a sync: it may be on the disk all the same
	bool ownerless;          // its files were made, its rows come with the first commit
	bool moved;              // owner row: every write is refused
	int64_t made_ms;
	struct counts committed; // as on the disk
	struct counts now;       // of this transaction
	uint64_t job_seq;        // change_seq of the running job, 0: none yet
	struct touched touched;
	struct recent *recent;   // owned; room for STRAND_RECENT_MAX, made with the first
	size_t recent_n;
	bool recent_dirty;
	bool changed;            // since it was opened
	int big_fd;              // body file read last, -1: none
	struct guid big_guid;
};

struct watch {
	struct strand *strand;
	uint32_t folder;
	struct fiber_ref fiber;
	struct watch *prev, *next;
	_Atomic bool changed;
};

enum { STORE_LEVELS = 256 };

struct store_thread {
	struct store *store;
	pthread_t id;
	struct crew_member member;
};

struct store {
	char *dir_owned;
	struct str dir; // borrowed from dir_owned
	int dir_fd, incoming_fd;
	size_t open_max;
	_Atomic unsigned key_days;
	_Atomic bool ending;
	void (*on_eio)(const struct err *err, void *arg);
	void *arg;
	struct strand *node;
	struct buf empty_mail_db; // what every new mailbox begins with
	_Atomic bool levels_made[STORE_LEVELS]; // directories of the first level that are on the disk

	pthread_mutex_t mutex;
	struct strand **chains; // owned; as many as there are strands, or up to twice
	size_t chains_n;
	struct strand *run_first, **run_end;
	struct crew crew; // threads without work
	struct rest rest;
	size_t open; // databases open or being opened
	size_t busy; // strands that are not idle
	struct node_news *news;  // of closed mailboxes, for node.db
	pthread_cond_t rested; // busy has become 0
	bool closing;
	bool keeper_waits;       // a thread waits for what is to be closed, or given back, next
	uint64_t closed_at_trim; // stats.closed at the last malloc_trim
	int64_t trimmed_ms;      // when that was
	struct store_stats stats;

	unsigned threads_n;
	struct store_thread threads[];
};

// The table of strands, larger than it was; in the beginning, and under the mutex.
void strand_make_table(struct store *store, size_t chains);

// The strand of a mailbox, with a reference; made when there is none. Does not wait.
struct strand *strand_get(struct store *store, const struct guid *id);
bool strand_exists(struct store *store, const struct guid *id); // in memory now
void strand_drop(struct strand *strand);

// Puts a job in and waits for it: its code. Or in two steps, for several at once.
enum err_code strand_run(struct strand *strand, struct job *job);
void strand_submit(struct strand *strand, struct job *job);
void strand_await(struct job *job);

// For a job that ended with ERR_NOTFOUND because there is no such mailbox: lists the mailbox in node.db, then runs the job again,
// which makes it. In this order, so that no mailbox is ever unlisted.
enum err_code store_run_making(struct strand *strand, const struct store_home *home, struct job *job);

// Deliveries for the statistics.
struct delivery;
void store_count_deliveries(struct store *store, const struct delivery *deliveries, size_t n);

// A thread of the store, until it closes; arg is its struct store_thread.
void *strand_thread(void *arg);

// Closes the databases of all mailboxes, none of which is in use; threads still run, for node.db learns of it. Then, without
// threads, frees all.
void strand_close_all(struct store *store);
void strand_free_all(struct store *store);

// For jobs that write: the change_seq of this job; that folder's watchers are told after the commit.
uint64_t strand_seq(struct strand *strand);
void strand_touch(struct strand *strand, uint32_t folder);

// Fails a job with a text; ends it with a code whose text, if any, is in *job->err already. Both return JOB_DONE.
enum job_step job_fail(struct job *job, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
enum job_step job_end(struct job *job, enum err_code code);

#endif
