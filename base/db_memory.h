// SPDX-License-Identifier: Apache-2.0
// SQLite's memory, a pool for each connection that one thread has for itself. For base/db.c.
//
//     struct db_pool *before = db_pool_use(db->pool);
//     rc = sqlite3_step(stmt);
//     db_pool_use(before);
#ifndef BASE_DB_MEMORY_H
#define BASE_DB_MEMORY_H

#include <stddef.h>

struct db_pool;

enum { DB_POOL_BYTES_MAX = 1 << 20 }; // of a pool, and a chunk; more is malloc()'s

// Makes SQLite allocate here; refused where it runs already, and left out under AddressSanitizer, which is to see every piece:
// then a pool stays empty. Once.
void db_memory_configure(void);

// Freed after the connection was closed. What SQLite keeps all the same is never freed. NULL is fine.
struct db_pool *db_pool_new(void);
void db_pool_free(struct db_pool **pool);

// What SQLite allocates on this thread from now on comes out of this pool, NULL: of malloc(). Pieces may be freed whatever is in
// use, by the thread that has the connection. Returns what was in use before.
struct db_pool *db_pool_use(struct db_pool *pool);

// In chunks, used or not.
size_t db_pool_bytes(const struct db_pool *pool);

// What db_memory_configure() gives to SQLite, for its test.
void *db_memory_malloc(int n);
void db_memory_free(void *p);
void *db_memory_realloc(void *p, int n);
int db_memory_size(void *p);

#endif
