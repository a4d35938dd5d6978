// SPDX-License-Identifier: Apache-2.0
// Mail that waits is decided again: which recipients of a page of rows go on as they came in, which go another way, which end or
// wait on.
//
//     if (waiting_decide(w, &page.items, &settled, &err)) ...     // a new way could not be recorded: the rows stay, for later
//     ... page.items go into the schedule; settled.v get their RESULT ...
//     waiting_settled_free(&settled);
//
// Whose mailbox moved, whose route was changed, who is gone: an administrator's change counts for mail that is in the queue
// already from its next try on, as Postfix resolves again at each run of its queue. Expanding is done once (CLUSTER; Postfix and
// sendmail do no other): a member of a list or an alias is asked about for itself, whatever became of the list since. But for one
// that would bounce because nobody is there any more: if the address that led there leads elsewhere today, it is expanded anew
// (mta/requeue.h).
//
// Cost: nothing is looked up for a recipient that was decided under the same version of the directory, settings and tables
// before; of these the last WAITING_REMEMBERED are known, in 1 MiB. One look-up each else, and for those that are gone one more
// for each address that led there. On the dispatcher's fiber, one caller at a time.
#ifndef MTA_WAITING_H
#define MTA_WAITING_H

#include "deliver.h"

enum { WAITING_REMEMBERED = 1 << 16 };

struct waiting;
struct waiting *waiting_new(struct queue *queue);
void waiting_free(struct waiting **waiting);

// Results for recipients that must not be tried: nobody is there any more, or it cannot be said who.
struct waiting_settled {
	struct deliver_result *v; // items are owned until the caller takes them; strings live in arena
	size_t n;
	struct arena *arena;
};

// Takes from *list all but those that go on as they are: ways that changed are committed as ROUTE records (the fold tells the
// schedule), settled_out has the rest. ERR_OK, or why a ROUTE was not committed; *list and settled_out are good either way. May
// wait.
enum err_code waiting_decide(struct waiting *w, struct item **list, struct waiting_settled *settled_out,
	struct err *err) ERR_CHECKED;

// Frees what the caller has not taken.
void waiting_settled_free(struct waiting_settled *settled);

#endif
