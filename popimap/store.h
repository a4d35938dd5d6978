// SPDX-License-Identifier: Apache-2.0
// The store: all mailboxes of this node. Opening and closing it, getting mail into it, and what the daemon reports of it. What a
// session does inside one mailbox is in mailbox.h.
//
//     struct store *store;
//     if (store_open(&(struct store_config){.dir = path, .threads = 16, .open_max = 10000, .key_days = 30}, &store, err)) ...
//
//     struct incoming *incoming = incoming_new(store, 50 << 20);           // LMTP DATA or an APPEND literal, as it comes in
//     while (more)
//             if (incoming_add(incoming, chunk, err)) ...                  // memory up to 64 KiB, then a file
//     struct delivery d = {.account = id, .home = &home, .root = root, .detail = detail, .prefix = prefix, .body = incoming};
//     store_deliver(store, &d, 1);                                         // returns after the commit
//     if (d.code == ERR_OK) reply 250: d.known says whether it was there before
//     incoming_free(&incoming);
//
// How it works. A mailbox with work to do is a strand: a serial queue of jobs and one SQLite connection, run by any one of the
// store's threads at a time. A caller (a fiber, or a plain thread in tests) puts its job into the strand and sleeps until the job
// is done. Jobs that write and stand next to each other in the queue share one commit; a long job works in slices, and between
// two slices other jobs of the strand and other strands get their turn. A disk that stalls under one mailbox holds one thread and
// those who wait for that mailbox; nobody else.
//
// Every call that reaches a mailbox waits until its job is done: neither a cancel nor a deadline takes the caller away, so that a
// job may use the caller's memory. Results are in the caller's arena, filled when the call returns. A call of this file or of
// mailbox.h that is not said to wait does not.
//
// Failures that any call may have: ERR_NOTFOUND (no such mailbox, folder), ERR_BUSY (the mailbox is moving or was moved: say
// 4xx), ERR_NOSPACE, ERR_NOMEM (descriptors), ERR_IO (config.on_eio is called first and may end the process), ERR_CORRUPT,
// ERR_VERSION, ERR_CANCELLED (the store is closing), ERR_DENIED (the actor may not).
#ifndef POPIMAP_STORE_H
#define POPIMAP_STORE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/guid.h"
#include "mail/date.h"

struct store;
struct incoming;
struct outbox_item;
struct strand;

enum {
	STORE_INLINE_BYTES_MAX = 64 << 10, // a larger body is big/<guid>
	STORE_PREFIX_BYTES_MAX = 8 << 10,  // header lines of one recipient
	STORE_BATCH_MAX = 128,             // jobs that share a commit
	STORE_TRASH_S = 24 * 3600,         // from expunge to the end of the bytes
	STORE_IDLE_MS = 3000,
	STORE_AGAIN_MS = 60000,
	STORE_WAL_BYTES_MAX = 1 << 20,     // a longer WAL is written back
	STORE_WAL_LEFT_BYTES = 256 << 10,  // a longer one is written back at the stop, too
	// a longer one is written back when its database is closed; its file stays, to be written over
	STORE_WAL_KEPT_BYTES = 64 << 10,
	STORE_WAL_FILE_BYTES = 128 << 10,  // unless that is longer than this
};

struct store_config {
	struct str dir;    // data_dir/mailboxes; must exist
	unsigned threads;  // 1-64
	size_t open_max;   // databases of mailboxes that are open at a time; 3 descriptors each
	int64_t idle_ms;   // one that nobody used for so long is closed; 0: STORE_IDLE_MS
	int64_t again_ms;  // one that was opened again so soon after it was closed stays for so long (rest.h); 0: STORE_AGAIN_MS
	unsigned key_days; // how long deliveries are remembered
	// After an input/output error in writing (what was synced before it may be lost too, the kernel says so once), on a store
	// thread; may end the process. NULL: nothing. Damage met in reading is an error of that mailbox alone.
	void (*on_eio)(const struct err *err, void *arg);
	void *arg;
};

// Opens node.db (made anew from the directories when it is missing) and starts the threads. Blocks.
enum err_code store_open(const struct store_config *config, struct store **store_out, struct err *err) ERR_CHECKED;

// Finishes the jobs that wait, closes all databases, joins the threads. No mailbox may be open and no call may begin. Blocks.
void store_close(struct store **store);

void store_set_key_days(struct store *store, unsigned key_days); // any thread

// Why a mailbox may be made when it is not there yet: the router found a fresh entry whose mailHost is this node, not being
// moved. NULL where a mailbox must exist.
struct store_home {
	struct str host; // that mailHost
	uint64_t epoch;  // phMoveEpoch, 0 without
};

// --- A message on its way in ---

// Collects a message, whose octets are kept as they are. Up to 64 KiB in memory, more in a file below dir/incoming, which nobody
// sees before it is delivered. bytes_max bounds it.
struct incoming *incoming_new(struct store *store, uint64_t bytes_max);
void incoming_free(struct incoming **incoming); // also removes the file; mailboxes that took it have links of their own. May wait

// ERR_LIMIT over bytes_max, ERR_NOSPACE, ERR_IO; then it can only be freed. May wait.
enum err_code incoming_add(struct incoming *incoming, struct str bytes, struct err *err) ERR_CHECKED;
uint64_t incoming_bytes(const struct incoming *incoming);

// --- Delivering ---

// What a mailbox may hold over all its folders; 0: as much as there is room for. What would go over it is ERR_QUOTA.
struct store_quota {
	uint64_t bytes, messages;
};

// One message into one mailbox. The delivery key is (root, account, detail, list): a key that the mailbox knows is a success at
// once, whatever else would refuse (ARCHITECTURE 5), and of two deliveries with one key at the same time one stores and the other
// is known.
struct delivery {
	struct guid account;
	const struct store_home *home; // NULL: the mailbox must exist
	struct store_quota quota;
	struct guid root;
	struct str detail, list;       // of the key, at most 1 KiB each; detail is the key's, not a folder
	struct str prefix;             // Return-Path and Delivered-To, whole lines with CRLF; may be empty
	struct incoming *body;         // shared by all deliveries of a transaction
	struct date received;          // INTERNALDATE
	struct outbox_item *sends;     // what it sends (outbox.h); NULL: nothing, and then nothing is asked for it

	// Filled by store_deliver.
	enum err_code code;
	bool known;          // it was delivered before; nothing was stored
	uint32_t uid;        // in INBOX, of this delivery or the earlier one
	struct guid emailid; // zero when known and expunged since
	struct err err;      // set when code is not ERR_OK
	struct strand *strand; // private; with sends
};

// Delivers to all of them, at once as far as they are different mailboxes, and returns when each has its code; those with ERR_OK
// are on the disk. Several for one mailbox are one after the other. May wait.
void store_deliver(struct store *store, struct delivery *deliveries, size_t n);

// Does the mailbox know this key already? False too when there is no such mailbox or it cannot be asked. For a recipient that
// would be refused now: what was delivered before the reason for that is a success all the same. May wait.
bool store_knows(struct store *store, const struct guid *account, const struct guid *root, struct str detail, struct str list);

// --- For the operator ---

struct store_stats {
	uint64_t strands, open, open_max; // mailboxes known in memory, with an open database, at most
	uint64_t jobs, commits, batched;  // ever: jobs done, commits, jobs that shared one
	uint64_t opened, closed;          // ever: databases
	uint64_t waiting;                 // jobs that wait now
	uint64_t delivered, known;        // ever: stored, recognised by their key
};
void store_stats(struct store *store, struct store_stats *stats_out); // any thread

// The rows of node.db.
struct store_mailbox {
	struct guid id;
	int64_t made_ms, changed_ms; // changed: as of the last close of its database
	uint64_t bytes, messages;
};

// Up to n of them with an id above *after (NULL: from the first), ascending; fewer than n: that was the last. May wait.
enum err_code store_mailboxes(struct store *store, const struct guid *after, struct store_mailbox *rows, size_t n, size_t *n_out,
	struct err *err) ERR_CHECKED;

// Background work, to be called once in a while by one fiber of the daemon: for each mailbox that was changed, ends what lay in
// its trash for STORE_TRASH_S and forgets delivery keys older than key_days. now_ms is the wall clock. Looks at up to n mailboxes
// from *cursor on and moves it; zero again at the end of the list. May wait.
enum err_code store_tidy(struct store *store, int64_t now_ms, size_t n, struct guid *cursor, struct err *err) ERR_CHECKED;

#endif
