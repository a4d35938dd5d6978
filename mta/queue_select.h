// SPDX-License-Identifier: Apache-2.0
// Which messages, or recipients of messages, a command acts on, in pages.
//
//     struct queue_selection s = {.first = first, .last = last, .match = &match};
//     do {
//             if (cluster_log_read(log, queue_select_page, &s, err) || s.err.code) ...
//             for (size_t i = 0; i < s.n; i++) ... s.refs[i] ...
//     } while (s.more);
//     queue_select_fini(&s);
#ifndef MTA_QUEUE_SELECT_H
#define MTA_QUEUE_SELECT_H

#include "queue_match.h"

enum queue_select_state { QUEUE_SELECT_ANY, QUEUE_SELECT_WAITING, QUEUE_SELECT_HELD };

struct queue_selection {
	struct guid first, last;         // in: of this range; first moves on
	const struct queue_match *match; // in
	enum queue_select_state state;   // in: recipients in another state are not meant
	bool each;                       // in: recipients by their numbers; else a message is one, number 0: all of it
	struct record_ref *refs;         // out: those of a message in a row; owned, for all pages
	size_t n, size;                  // out: n of them
	bool more;                       // out: there may be another page
	struct err err;                  // out; code ERR_OK: all went well
};

// For cluster_log_read(). Looks at a bounded number of messages, so that mail goes on between two pages; a page may be empty.
void queue_select_page(struct db *db, void *selection);
void queue_select_fini(struct queue_selection *selection);

#endif
