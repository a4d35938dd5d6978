// SPDX-License-Identifier: Apache-2.0
// Which damaged rows were alarmed about, by the hash of their key.
#include "damage.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"

struct damage {
	pthread_mutex_t mutex; // guards all below
	uint64_t rows[DAMAGE_ROWS_MAX];
	size_t n;
};

struct damage *damage_new(void)
{
	struct damage *d = calloc(1, sizeof *d);
	must(d != NULL);
	pthread_mutex_init(&d->mutex, NULL);
	return d;
}

void damage_free(struct damage **damage)
{
	if (*damage)
		pthread_mutex_destroy(&(*damage)->mutex);
	free(*damage);
	*damage = NULL;
}

// False: it was told, or there are too many.
static bool is_new(struct damage *d, uint64_t row)
{
	bool told = false;
	pthread_mutex_lock(&d->mutex);
	for (size_t i = 0; i < d->n && !told; i++)
		told = d->rows[i] == row;
	told = told || d->n == DAMAGE_ROWS_MAX;
	if (!told)
		d->rows[d->n++] = row;
	pthread_mutex_unlock(&d->mutex);
	return !told;
}

void damage_alarm(struct damage *d, const struct queue_page *page)
{
	for (size_t i = 0; i < page->damaged_n; i++)
		if (is_new(d, page->damaged[i]))
			log_error(NULL, "queue: a row is damaged; it rests, `posthouse queue list damaged` shows it",
				log_str("destination", page->destination), log_err(&page->damage));
}

size_t damage_rows(struct damage *d)
{
	pthread_mutex_lock(&d->mutex);
	size_t n = d->n;
	pthread_mutex_unlock(&d->mutex);
	return n;
}

void damage_forget(struct damage *d)
{
	pthread_mutex_lock(&d->mutex);
	d->n = 0;
	pthread_mutex_unlock(&d->mutex);
}
