// SPDX-License-Identifier: Apache-2.0
// A table that is looked through from end to end: 256 rows are few, beside what an answer costs.
#include "router/list_answers.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/must.h"

struct answer {
	struct guid list;
	uint64_t version;
	int64_t at_ms; // 0: free
	unsigned cause;
};

struct list_answers {
	pthread_mutex_t lock;
	struct answer rows[LIST_ANSWERS_MAX];
};

struct list_answers *list_answers_new(void)
{
	struct list_answers *answers = calloc(1, sizeof *answers);
	must(answers != NULL);
	must(pthread_mutex_init(&answers->lock, NULL) == 0);
	return answers;
}

void list_answers_free(struct list_answers **answers)
{
	if (*answers)
		pthread_mutex_destroy(&(*answers)->lock);
	free(*answers);
	*answers = NULL;
}

static bool is_valid(const struct answer *row, uint64_t version, int64_t now_ms)
{
	return row->version == version && now_ms >= row->at_ms && now_ms - row->at_ms < LIST_ANSWERS_MS;
}

bool list_answers_find(struct list_answers *answers, const struct guid *list, uint64_t version, int64_t now_ms,
	unsigned *cause_out)
{
	bool found = false;
	pthread_mutex_lock(&answers->lock);
	for (size_t i = 0; i < LIST_ANSWERS_MAX && !found; i++) {
		const struct answer *row = &answers->rows[i];
		found = row->at_ms && guid_eq(&row->list, list) && is_valid(row, version, now_ms);
		if (found)
			*cause_out = row->cause;
	}
	pthread_mutex_unlock(&answers->lock);
	return found;
}

void list_answers_keep(struct list_answers *answers, const struct guid *list, uint64_t version, int64_t now_ms, unsigned cause)
{
	pthread_mutex_lock(&answers->lock);
	struct answer *place = &answers->rows[0];
	for (size_t i = 0; i < LIST_ANSWERS_MAX; i++) {
		struct answer *row = &answers->rows[i];
		if (row->at_ms && guid_eq(&row->list, list)) {
			place = row;
			break;
		}
		if (row->at_ms < place->at_ms)
			place = row;
	}
	*place = (struct answer){.list = *list, .version = version, .at_ms = now_ms, .cause = cause};
	pthread_mutex_unlock(&answers->lock);
}

void list_answers_forget(struct list_answers *answers)
{
	pthread_mutex_lock(&answers->lock);
	for (size_t i = 0; i < LIST_ANSWERS_MAX; i++)
		answers->rows[i] = (struct answer){.at_ms = 0};
	pthread_mutex_unlock(&answers->lock);
}
