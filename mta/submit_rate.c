// SPDX-License-Identifier: Apache-2.0
// Recipients per login and hour: a hash of logins, each with a ring of sixty minutes, in order of use.
#include "submit_rate.h"

#include <pthread.h>
#include <stdlib.h>
#include "base/must.h"

// Keys are accounts of the directory, not what an opponent chooses.
#define HASH_FUNCTION(key, bytes, hash) (hash) = (unsigned)str_hash(str_of((key), (bytes)))
#include <uthash.h>
#include <utlist.h>

struct login_rate {
	UT_hash_handle hh;
	struct login_rate *prev, *next; // the longest unused first
	int64_t minute;                 // of the newest bucket
	int64_t total;
	uint32_t bucket[SUBMIT_RATE_WINDOW_MIN];
	size_t name_n;
	char name[];
};

struct submit_rate {
	pthread_mutex_t mutex;
	struct login_rate *by_name, *by_use;
};

struct submit_rate *submit_rate_new(void)
{
	struct submit_rate *rate = calloc(1, sizeof *rate);
	must(rate != NULL && pthread_mutex_init(&rate->mutex, NULL) == 0);
	return rate;
}

static void forget(struct submit_rate *rate, struct login_rate *one)
{
	HASH_DEL(rate->by_name, one);
	DL_DELETE(rate->by_use, one);
	free(one);
}

void submit_rate_free(struct submit_rate **rate)
{
	if (*rate == NULL)
		return;
	while ((*rate)->by_use)
		forget(*rate, (*rate)->by_use);
	pthread_mutex_destroy(&(*rate)->mutex);
	free(*rate);
	*rate = NULL;
}

static struct login_rate *find_or_add(struct submit_rate *rate, struct str login, int64_t minute)
{
	struct login_rate *one;
	HASH_FIND(hh, rate->by_name, login.p, login.n, one);
	if (one) {
		DL_DELETE(rate->by_use, one);
		DL_APPEND(rate->by_use, one);
		return one;
	}
	if (HASH_COUNT(rate->by_name) >= SUBMIT_RATE_LOGINS_MAX)
		forget(rate, rate->by_use);
	one = calloc(1, sizeof *one + login.n);
	must(one != NULL);
	one->minute = minute;
	one->name_n = login.n;
	memcpy(one->name, login.p, login.n);
	HASH_ADD_KEYPTR(hh, rate->by_name, one->name, one->name_n, one);
	DL_APPEND(rate->by_use, one);
	return one;
}

// Empties the buckets of the minutes that have passed.
static void advance(struct login_rate *one, int64_t minute)
{
	for (int steps = 0; one->minute < minute && steps < SUBMIT_RATE_WINDOW_MIN; steps++) {
		one->minute++;
		uint32_t *oldest = &one->bucket[one->minute % SUBMIT_RATE_WINDOW_MIN];
		one->total -= *oldest;
		*oldest = 0;
	}
	one->minute = minute;
}

bool submit_rate_take(struct submit_rate *rate, struct str login, unsigned n, int64_t per_hour_max, int64_t now_ms)
{
	int64_t minute = now_ms / 60000;
	pthread_mutex_lock(&rate->mutex);
	struct login_rate *one = find_or_add(rate, login, minute);
	advance(one, minute);
	bool ok = one->total + n <= per_hour_max;
	if (ok) {
		one->bucket[minute % SUBMIT_RATE_WINDOW_MIN] += n;
		one->total += n;
	}
	pthread_mutex_unlock(&rate->mutex);
	return ok;
}
