// SPDX-License-Identifier: Apache-2.0
// The sender of a node: hands what is in the outboxes of its mailboxes (outbox.h) to a queue, the one of the front-end on this
// node or one that submit_servers names.
//
//     struct sender *sender = sender_new(&popimap, runtime_workers(rt));
//     runtime_spawn(rt, sender_run, sender, "sender");
//     sender_wake(sender, &mailbox_id);                          // after a delivery that sends
//     … runtime_stop() …
//     sender_free(&sender);
//
// Happy path: somebody wakes it with a mailbox; it connects, sends what waits there, and after each 250 notes in the mailbox that
// it is sent. At its start, and when it was woken more often than it can remember, it looks through all mailboxes that node.db
// lists.
//
// Of submit_servers the first that answers has it. One that breaks off, wants no mail or puts a message off, which is also said
// by a server that does not let this node relay (handover.h), is followed by the next in the same round, but not after a message
// was out and nothing was said of it: it may be there.
//
// Failures. No queue can be reached, or it breaks off: everything waits, from 1 s to 5 min, doubled each time. All that were
// asked say 4xx to a message: it is tried again at those times, others go on. One says 5xx: it will not be sent, which is logged.
// What waited for longer than its kind lives is dropped too.
//
// Crash story: what was not noted as sent is sent again after the start. Between the queue's 250 and the note there is one
// message that may go out twice, under one Message-ID; the front-end of this node gives both the same root (XPHKEY), so that a
// mailbox of ours has one.
//
// One fiber, one connection, one message in memory; of mailboxes that wait, SENDER_WOKEN_MAX ids.
#ifndef POPIMAP_SENDER_H
#define POPIMAP_SENDER_H

#include "base/tls.h"
#include "base/worker.h"
#include "server.h"

// The kinds that it knows; what it does with them is a table in sender.c.
#define SENDER_VACATION "vacation"

enum { SENDER_WOKEN_MAX = 1024 };

struct sender;

struct sender *sender_new(struct popimap *popimap, struct worker_pool *resolver);
void sender_free(struct sender **sender); // after its fiber has ended

// On a fiber of its own, until it is cancelled.
void sender_run(void *sender);

// This mailbox has something to send. Any thread.
void sender_wake(struct sender *sender, const struct guid *mailbox);

// What is shown to front-ends on other nodes from now on; takes it. Any thread.
void sender_set_tls(struct sender *sender, struct tls_client **client);

#endif
