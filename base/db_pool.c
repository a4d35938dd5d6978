// SPDX-License-Identifier: Apache-2.0
// Connections that wait for another database of their form (db_seat.h says how they change over).
//
// A file is taken by a connection only when it is exactly what the statements were prepared for: application id, version and schema. Where
// anything fails, or differs, the connection is ended and db_open() opens the file in the long way, which says what is wrong with it.
// A connection that has failed in anything never comes here.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "db_private.h"
#include "db_seat.h"

struct db_pool {
	pthread_mutex_t mutex;
	struct db *first; // the one that came last, whose memory is still warm
	size_t n, n_max;
};

struct db_pool *db_pool_new(size_t n_max)
{
	struct db_pool *pool = calloc(1, sizeof *pool);
	must(pool != NULL);
	pool->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	pool->n_max = n_max;
	return pool;
}

static struct db *pop(struct db_pool *pool, size_t more_than)
{
	pthread_mutex_lock(&pool->mutex);
	struct db *db = pool->n > more_than ? pool->first : NULL;
	if (db) {
		pool->first = db->next;
		pool->n--;
	}
	pthread_mutex_unlock(&pool->mutex);
	return db;
}

void db_pool_shrink(struct db_pool *pool, size_t n)
{
	struct db *db;
	while ((db = pop(pool, n)) != NULL)
		db_end(db);
}

void db_pool_free(struct db_pool **pool_taken)
{
	struct db_pool *pool = *pool_taken;
	*pool_taken = NULL;
	if (pool == NULL)
		return;
	db_pool_shrink(pool, 0);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

size_t db_pool_n(struct db_pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	size_t n = pool->n;
	pthread_mutex_unlock(&pool->mutex);
	return n;
}

// --- What a file is ---

static bool has_number(struct db *db, enum db_own which, uint32_t wanted)
{
	struct err err;
	sqlite3_stmt *stmt = db_own_stmt(db, which);
	bool has = db_step(db, stmt, &err) == DB_ROW && (uint32_t)db_col_i64(stmt, 0) == wanted;
	db_reset(stmt);
	return has;
}

static uint64_t add_to_sum(uint64_t sum, const void *p, size_t n) // FNV-1a: tells mistakes apart, not attacks
{
	for (size_t i = 0; i < n; i++)
		sum = (sum ^ ((const unsigned char *)p)[i]) * UINT64_C(0x100000001b3);
	return sum;
}

// Of the names of its tables, their places and the lengths of their SQL. 0: it cannot be read.
static uint64_t sum_schema(struct db *db)
{
	struct err err;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	sqlite3_stmt *stmt = db_own_stmt(db, DB_SCHEMA);
	enum db_step step;
	while ((step = db_step(db, stmt, &err)) == DB_ROW) {
		struct str name = db_col_str(stmt, 0);
		int64_t numbers[] = {db_col_i64(stmt, 1), db_col_i64(stmt, 2)};
		sum = add_to_sum(sum, name.p, name.n);
		sum = add_to_sum(sum, numbers, sizeof numbers);
	}
	db_reset(stmt);
	return step == DB_DONE ? sum : 0;
}

static bool is_the_same(struct db *db, const struct db_schema *schema)
{
	return has_number(db, DB_APPLICATION_ID, schema->application_id) && has_number(db, DB_USER_VERSION, schema->version) &&
	       sum_schema(db) == db->schema_sum;
}

// --- Coming and going ---

void db_pool_began(struct db *db, struct db_pool *pool)
{
	db->schema_sum = sum_schema(db);
	db->pool = db->schema_sum ? pool : NULL;
}

struct db *db_pool_take(const struct db_options *options)
{
	struct db *db = pop(options->pool, 0);
	if (db == NULL)
		return NULL;
	free(db->path);
	db->path = strdup(options->path);
	must(db->path != NULL && db->sql == options->sql);
	db->wal_bytes = db->wal_file_bytes = 0;
	if (db_seat_take(db->handle, db->path) == SQLITE_OK && is_the_same(db, options->schema))
		return db;
	db_end(db);
	return NULL;
}

bool db_pool_put(struct db *db)
{
	struct db_pool *pool = db->pool;
	for (size_t i = 0; i < db->n_sql; i++)
		sqlite3_reset(db->stmts[i]);
	for (size_t i = 0; i < DB_OWN_N; i++)
		sqlite3_reset(db->own[i]);
	if (db->failed || !db_seat_can_leave(db->handle))
		return false;
	sqlite3_db_release_memory(db->handle); // its pages
	db_seat_leave(db->handle);
	pthread_mutex_lock(&pool->mutex);
	bool has_room = pool->n < pool->n_max;
	if (has_room) {
		db->next = pool->first;
		pool->first = db;
		pool->n++;
	}
	pthread_mutex_unlock(&pool->mutex);
	return has_room;
}
