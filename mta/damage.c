// SPDX-License-Identifier: Apache-2.0
// Which damaged rows were alarmed about, by the hash of their key.
#include "damage.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "queue_fold_rows.h"

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

static void alarm_of(struct damage *d, uint64_t row, struct str destination, const struct err *why)
{
	if (is_new(d, row))
		log_error(NULL, "queue: a row is damaged; it rests, `posthouse queue list damaged` shows it",
			log_str("destination", destination), log_err(why));
}

void damage_alarm(struct damage *d, const struct queue_page *page)
{
	for (size_t i = 0; i < page->damaged_n; i++)
		alarm_of(d, page->damaged[i], page->destination, &page->damage);
}

// --- All rows ---

// Some rows in the order of their key, whatever is in it.
struct slice {
	struct damage *damage;
	sqlite3_value *guid, *number; // of the last row of the slice before, owned; NULL: from the beginning
	bool end;
};

static void bind_after(sqlite3_stmt *stmt, int parameter, const sqlite3_value *value)
{
	if (value)
		must(sqlite3_bind_value(stmt, parameter, value) == SQLITE_OK);
	else
		must(sqlite3_bind_double(stmt, parameter, -INFINITY) == SQLITE_OK); // before all that a column may hold
}

static void keep(sqlite3_value **value, sqlite3_stmt *stmt, int column)
{
	sqlite3_value_free(*value);
	*value = sqlite3_value_dup(sqlite3_column_value(stmt, column));
	must(*value != NULL);
}

static void read_slice(struct db *db, void *arg)
{
	struct slice *slice = arg;
	struct err err;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_SOUND);
	size_t n = 0;
	enum db_step step = DB_DONE;
	bind_after(stmt, 1, slice->guid);
	bind_after(stmt, 2, slice->number);
	(void)err_set(&err, ERR_CORRUPT, "queue.db: a row that is not sound");
	for (; n < DAMAGE_SLICE_ROWS && (step = db_step(db, stmt, &err)) == DB_ROW; n++) {
		if (db_col_i64(stmt, 3) == 0)
			alarm_of(slice->damage, queue_rows_hash(stmt), db_col_str(stmt, 2), &err);
		if (n + 1 == DAMAGE_SLICE_ROWS) {
			keep(&slice->guid, stmt, 0);
			keep(&slice->number, stmt, 1);
		}
	}
	slice->end = n < DAMAGE_SLICE_ROWS;
	if (step != DB_FAILED)
		db_reset(stmt);
}

void damage_look(struct damage *d, struct queue *queue)
{
	struct slice slice = {.damage = d};
	while (!slice.end && !atomic_load(&queue->stopping) && cluster_log_read(queue->log, read_slice, &slice, NULL) == ERR_OK)
		fiber_spent(0, 1);
	sqlite3_value_free(slice.guid);
	sqlite3_value_free(slice.number);
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
