// SPDX-License-Identifier: Apache-2.0
// What addresses lead to, asked once for each: for whoever asks about many messages in a row.
//
//     struct requeue_answers *answers = requeue_answers_new(queue);
//     switch (requeue_answers_ask(answers, arena, key, &query, &now)) ...
//     requeue_answers_free(&answers);
//
// An answer may depend on who sends (who may post to a list, routes of senders), so it is kept by address and sender. Kept are
// REQUEUE_ANSWERS_BYTES of answers, or it begins anew; and nothing over a change of the directory, settings or tables.
#ifndef MTA_REQUEUE_ANSWERS_H
#define MTA_REQUEUE_ANSWERS_H

#include "queue_core.h"

enum { REQUEUE_ANSWERS_BYTES = 16 << 20 };

struct requeue_answers;
struct requeue_answers *requeue_answers_new(struct queue *queue);
void requeue_answers_free(struct requeue_answers **answers);

// As queue_expand_fn, which the queue must have. key is query->address's. Results in the arena, or in answers until the next
// call. On a fiber; may wait.
enum queue_expand_answer requeue_answers_ask(struct requeue_answers *answers, struct arena *arena, struct str key,
	const struct queue_expand_query *query, struct queue_expansion *expansion_out);

#endif
