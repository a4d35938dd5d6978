// SPDX-License-Identifier: Apache-2.0
// Events per key and hour: a hash of keys, each with a ring of sixty minutes, in order of use.
#include "hour_rate.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/random.h"

// Who owns many IPv6 networks chooses among keys, so each is stored, and hashed, behind a secret.
#define HASH_FUNCTION(key, bytes, hash) (hash) = (unsigned)str_hash(str_of((key), (bytes)))
#include <uthash.h>
#include <utlist.h>

enum { SECRET_BYTES = 8, V4_BITS = 32, V6_BITS = 64 };

struct keyed_rate {
	UT_hash_handle hh;
	struct keyed_rate *prev, *next; // the longest unused first
	int64_t minute;                 // of the newest bucket
	int64_t total;
	uint32_t bucket[HOUR_RATE_WINDOW_MIN];
	size_t name_n;
	char name[]; // secret and key
};

struct hour_rate {
	pthread_mutex_t mutex;
	char secret[SECRET_BYTES];
	struct keyed_rate *by_name, *by_use;
};

// What a key is stored under.
struct name {
	size_t n;
	char p[SECRET_BYTES + HOUR_RATE_KEY_BYTES_MAX];
};

struct hour_rate *hour_rate_new(void)
{
	struct hour_rate *rate = calloc(1, sizeof *rate);
	must(rate != NULL && pthread_mutex_init(&rate->mutex, NULL) == 0);
	random_bytes(rate->secret, sizeof rate->secret);
	return rate;
}

static void forget(struct hour_rate *rate, struct keyed_rate *one)
{
	HASH_DEL(rate->by_name, one);
	DL_DELETE(rate->by_use, one);
	free(one);
}

void hour_rate_free(struct hour_rate **rate)
{
	if (*rate == NULL)
		return;
	while ((*rate)->by_use)
		forget(*rate, (*rate)->by_use);
	pthread_mutex_destroy(&(*rate)->mutex);
	free(*rate);
	*rate = NULL;
}

static struct keyed_rate *find(struct hour_rate *rate, const struct name *name)
{
	struct keyed_rate *one;
	HASH_FIND(hh, rate->by_name, name->p, name->n, one);
	return one;
}

static void name_of(const struct hour_rate *rate, struct str key, struct name *out)
{
	must(key.n <= HOUR_RATE_KEY_BYTES_MAX);
	memcpy(out->p, rate->secret, SECRET_BYTES);
	memcpy(out->p + SECRET_BYTES, key.n ? key.p : "", key.n);
	out->n = SECRET_BYTES + key.n;
}

static struct keyed_rate *find_or_add(struct hour_rate *rate, const struct name *name, int64_t minute)
{
	struct keyed_rate *one = find(rate, name);
	if (one) {
		DL_DELETE(rate->by_use, one);
		DL_APPEND(rate->by_use, one);
		return one;
	}
	if (HASH_COUNT(rate->by_name) >= HOUR_RATE_KEYS_MAX)
		forget(rate, rate->by_use);
	one = calloc(1, sizeof *one + name->n);
	must(one != NULL);
	one->minute = minute;
	one->name_n = name->n;
	memcpy(one->name, name->p, name->n);
	HASH_ADD_KEYPTR(hh, rate->by_name, one->name, one->name_n, one);
	DL_APPEND(rate->by_use, one);
	return one;
}

// Empties the buckets of the minutes that have passed.
static void advance(struct keyed_rate *one, int64_t minute)
{
	for (int steps = 0; one->minute < minute && steps < HOUR_RATE_WINDOW_MIN; steps++) {
		one->minute++;
		uint32_t *oldest = &one->bucket[one->minute % HOUR_RATE_WINDOW_MIN];
		one->total -= *oldest;
		*oldest = 0;
	}
	one->minute = minute;
}

bool hour_rate_take(struct hour_rate *rate, struct str key, unsigned n, int64_t per_hour_max, int64_t now_ms)
{
	int64_t minute = now_ms / 60000;
	struct name name;
	name_of(rate, key, &name);
	pthread_mutex_lock(&rate->mutex);
	struct keyed_rate *one = find_or_add(rate, &name, minute);
	advance(one, minute);
	bool ok = one->total + n <= per_hour_max;
	if (ok) {
		one->bucket[minute % HOUR_RATE_WINDOW_MIN] += n;
		one->total += n;
	}
	pthread_mutex_unlock(&rate->mutex);
	return ok;
}

bool hour_rate_is_used_up(struct hour_rate *rate, struct str key, int64_t per_hour_max, int64_t now_ms)
{
	struct name name;
	name_of(rate, key, &name);
	pthread_mutex_lock(&rate->mutex);
	struct keyed_rate *one = find(rate, &name);
	if (one)
		advance(one, now_ms / 60000);
	bool used_up = one && one->total >= per_hour_max;
	pthread_mutex_unlock(&rate->mutex);
	return used_up;
}

struct str hour_rate_key(const struct netaddr *addr, char text[NETADDR_TEXT_BYTES])
{
	const struct netaddr network = netaddr_prefix(addr, V4_BITS, V6_BITS);
	return str_of_c(netaddr_text(&network, text));
}
