// SPDX-License-Identifier: Apache-2.0
// Whether anybody receives what is sent to a list, remembered: to know it may cost a walk through the whole shadow, and who sends
// RCPT TO the same list again and again shall not make a node walk each time.
//
//     struct list_answers *answers = list_answers_new();       // one a process
//     ... recipient_query.answers = answers ...                // at RCPT
//     list_answers_forget(answers);                            // the settings or the tables in files are others
//     list_answers_free(&answers);
//
// An answer is that of one list in one version of the shadow, and lasts LIST_ANSWERS_MS, for members expire (phExpires) with no
// new version. Only somebody and nobody are kept, never a doubt: a list of which the directory cannot say it is looked at each
// time. Not kept either is what a few look-ups say again. Two who ask at once may both walk.
//
// Any thread; blocks for no longer than a look through the table, LIST_ANSWERS_MAX rows of 48 bytes, the oldest of which makes
// room.
#ifndef ROUTER_LIST_ANSWERS_H
#define ROUTER_LIST_ANSWERS_H

#include <stdbool.h>

#include "base/guid.h"

enum {
	LIST_ANSWERS_MAX = 256,
	LIST_ANSWERS_MS = 60000,
};

struct list_answers;

struct list_answers *list_answers_new(void);
void list_answers_free(struct list_answers **answers); // NULL is fine

// list: its entryUUID. version: of the shadow that the decision looks at. cause: 0: somebody receives; else why nobody does, in
// the router's numbers. False: not known.
bool list_answers_find(struct list_answers *answers, const struct guid *list, uint64_t version, int64_t now_ms,
	unsigned *cause_out);
void list_answers_keep(struct list_answers *answers, const struct guid *list, uint64_t version, int64_t now_ms, unsigned cause);

void list_answers_forget(struct list_answers *answers);

#endif
