// SPDX-License-Identifier: Apache-2.0
// The door of the queue: how a session hands a message over, and what it may answer then.
//
//     struct spool *body;
//     if (spool_open(queue, &body, err)) ...                             // at DATA: 451 or 452
//     while (more) if (spool_append(body, chunk, err)) ...               // memory up to 64 KiB, then a file, written by a worker
//     struct queue_message m = {.guid = spool_guid(body), .sender = from.text, .recipients = rcpts, .n = n, …};
//     switch (queue_enter(queue, &m, &body, &err)) {
//     case QUEUE_COMMITTED: reply 250 2.0.0 with queue_id; break;
//     case QUEUE_REFUSED: reply_of_err(err.code); break;                 // 451 4.3.0, 452 4.3.1: a retry is safe
//     case QUEUE_UNKNOWN: 451 4.3.0; break;                              // a CANCEL is on its way and will be repeated
//     }
//
// A session shares no memory with the queue: it hands over copies and learns a verdict by guid (CLUSTER 3). 250 is sent only
// after QUEUE_COMMITTED: record, rows and body are on the disk. Once a session has said 451 for a guid, that guid never counts.
//
// Threads: all calls from fibers of any scheduler (or plain threads, which then block), except where said otherwise. Calls marked
// "may wait" give the scheduler away. A message is handled by one fiber.
#ifndef MTA_QUEUE_H
#define MTA_QUEUE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/guid.h"
#include "schema/record.h"

struct list_header;
struct queue;
struct spool;
struct runtime;
struct worker_pool;

// --- The body ---

// A new message's body; its guid is the message's. ERR_NOSPACE below the reserve (452), ERR_BUSY. Does not block.
enum err_code spool_open(struct queue *queue, struct spool **spool_out, struct err *err) ERR_CHECKED;
struct guid spool_guid(const struct spool *spool);
uint64_t spool_bytes(const struct spool *spool);

// Bytes with CRLF line ends, dots undone, headers that we add included, in order. On failure the spool can only be dropped. May
// wait (for the disk, once the body is larger than what rides in the record).
enum err_code spool_append(struct spool *spool, struct str bytes, struct err *err) ERR_CHECKED;

// Throws the body away, file too; NULL is fine. Does not wait. Nulls *spool.
void spool_drop(struct spool **spool);

// --- Entering ---

// All strings are borrowed for the call.
struct queue_message {
	struct guid root;         // zero: its own guid, a message that a client gave us
	struct str sender;        // struct addr's text; "" for <>
	struct str envid;         // decoded
	struct str source;        // for people: peer address or login
	struct str held;          // why it rests until it is released; empty: it does not
	uint8_t flags;            // RECORD_FLAG_UTF8, _8BIT, _RET_FULL, _RET_HDRS, _LOGIN
	const struct record_recipient *recipients; // number may be left 0: 1 … n are given
	size_t n;
};

enum queue_verdict {
	QUEUE_COMMITTED, // 250
	QUEUE_REFUSED,   // not in the log, now or ever; err says why: ERR_NOSPACE 452, else 451
	QUEUE_UNKNOWN,   // not sure in commit_timeout_ms: 451; it is being cancelled
};

// Finishes the body (a file is synced, then its directory), enters the message and waits for the verdict. Takes *spool in any
// case. Of two recipients with the same target, key, detail and list there is one copy, as the first says; which other addresses
// it is for is remembered with it (struct record_also). n is at least 1. May wait, at most commit_timeout_ms and the disk's time
// for a large body. A soft cancel does not end it early when shielded (base/fiber.h).
enum queue_verdict queue_enter(struct queue *queue, const struct queue_message *message, struct spool **spool, struct err *err);

// Does the queue take new mail now? ERR_OK, ERR_NOSPACE (452 at MAIL), ERR_BUSY (421 at the greeting). For every MAIL: does not
// block.
enum err_code queue_accepts(struct queue *queue, struct err *err) ERR_CHECKED;

// --- Its life, for mta_main.c ---

// Who a report's recipient is now: the router's answer as recipients of a message. Several are possible (an alias); none and
// false with *temporary_out: cannot know now, ask again later; none and false without: nobody, give up. Results in the arena. On
// a fiber; reads the shadow only.
typedef bool queue_resolve_fn(void *arg, struct arena *arena, struct str address, struct record_recipients *recipients_out,
	bool *temporary_out);

// Where a mailbox host listens: host and port of its LMTP, as the directory says now, and the pins of its certificate
// ("sha256:<hex>").
struct queue_host {
	struct str host; // name or address to connect to
	uint16_t port;
	struct str *pins;
	size_t pins_n;
	bool tls; // STARTTLS must succeed, under a pin
	struct str local; // it is this node: the path of its LMTP socket, tried first; empty: it is another one. NUL after it
};
// ERR_NOTFOUND: no node we know; ERR_BUSY and others: cannot know now. On a fiber; reads the shadow only.
typedef enum err_code queue_host_fn(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out,
	struct err *err);

// What a recipient with RECORD_TO_EXPAND stands for now, or an address that is expanded anew (mta/requeue.h).
enum queue_expand_answer {
	QUEUE_EXPAND_DONE,
	QUEUE_EXPAND_LATER,  // cannot know now: reply says why ("451 4.3.0 …")
	QUEUE_EXPAND_NOBODY, // nobody, for good: reply says why ("550 5.1.1 …")
};
struct queue_expand_query {
	struct str address, sender; // canonical; sender "": <>
	bool authenticated;         // RECORD_FLAG_LOGIN
	bool from_list;             // of a message that a list sent: what else would be a list is expanded along
	bool moderated;             // its moderators, not its members
	bool as_at_rcpt;            // what RCPT would record: a list stays one recipient, with RECORD_TO_EXPAND
	uint64_t message_bytes;     // for its size limit; 0: was asked about before
};
struct queue_expansion {
	struct record_recipients to; // without numbers; those of a list name itself in `list`
	bool is_list;                // reports concern its owner, not the sender
	struct str owner;            // with is_list: the sender of its copies; empty: the message's
	const struct list_header *header; // with is_list: what its members' copies carry (router/list_header.h); NULL: nothing
	struct str reply;
};
// On a fiber; may wait (a large group is looked up on a worker). Results in the arena.
typedef enum queue_expand_answer queue_expand_fn(void *arg, struct arena *arena, const struct queue_expand_query *query,
	struct queue_expansion *expansion_out);

// Where a recipient that waits goes now. What was accepted stays accepted, and what was expanded stays expanded: a recipient is
// asked about under the address that it was recorded with, a mailbox by its id, wherever its owner's addresses and forwards lead
// by now.
enum queue_route_answer {
	QUEUE_ROUTE_SAME,
	// to: target, address, key, destination, mailbox_id, detail, stands_for, and original where that was empty
	QUEUE_ROUTE_OTHER,
	QUEUE_ROUTE_LATER,  // cannot know now: reply says why ("451 4.3.5 …")
	QUEUE_ROUTE_NOBODY, // nobody any more, for good: reply says why ("550 5.1.1 …")
};
struct queue_route_query {
	const struct record_recipient *recipient;
	struct str sender; // canonical; "": <>
};
struct queue_route {
	struct record_recipient to;
	struct str reply;
};
// On a fiber; may wait (a large group is looked up on a worker). Results in the arena, or borrowed from the query.
typedef enum queue_route_answer queue_route_fn(void *arg, struct arena *arena, const struct queue_route_query *query,
	struct queue_route *route_out);

// A number that is another one once queue_route_fn may answer differently; 0: not known, ask. On a fiber.
typedef uint64_t queue_world_fn(void *arg);

struct tls_client;
struct settings_snapshot;

// Contexts of the client's side; any may be NULL. The queue takes references.
struct queue_tls {
	struct tls_client *lmtp;     // our node certificate, to mailbox hosts
	struct tls_client *relay;    // to relayhost; built for relayhost_tls: TLS_VERIFY_HOST only for verify
	struct tls_client *open;     // to next hops of routes: TLS_VERIFY_NONE
	struct tls_client *verified; // and TLS_VERIFY_HOST; NULL: tls_ca_file cannot be read
};

struct queue_config {
	const char *dir;             // data_dir/queue: exists, ours, 0700
	struct runtime *runtime;     // fibers of deliveries, workers of the spool
	struct settings_snapshot *settings; // a reference is taken
	queue_resolve_fn *resolve;
	queue_host_fn *host;
	queue_expand_fn *expand;     // NULL: what is to be expanded waits
	queue_route_fn *route;       // NULL: what waits keeps the way it came in for
	queue_world_fn *world;       // with route
	void *arg;                   // of these
	struct queue_tls tls;
	void (*died)(const struct err *err); // EIO: does not return
};

// Opens the queue, recovers what a crash left (open attempts, bodies without rows, START counts), starts its writer. No delivery
// yet. Blocks; main thread, after the sandbox.
enum err_code queue_open(const struct queue_config *config, struct queue **queue_out, struct err *err) ERR_CHECKED;

// Starts deliveries on the runtime's schedulers.
void queue_start(struct queue *queue);

// New settings and TLS contexts for what begins from now on. Any thread.
void queue_reload(struct queue *queue, struct settings_snapshot *settings, const struct queue_tls *tls);

// Before runtime_stop: no new tries; running ones finish in the runtime's grace. Any thread, does not block.
void queue_stop(struct queue *queue);

// After runtime_stop, before runtime_free: the writer commits what waits and ends. Blocks.
void queue_close(struct queue **queue);

// The rows of commands on the control socket (queue.list, queue.hold, …); register them with arg = queue.
struct control;
void queue_register_commands(struct queue *queue, struct control *control);

// Adds what an operator must act on (control_on_trouble). Any thread; does not block.
struct buf;
void queue_trouble(struct queue *queue, struct buf *text);

// Asks for all that waits to be tried now (a destination has come back); any thread.
void queue_flush(struct queue *queue);

#endif
