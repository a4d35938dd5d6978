// SPDX-License-Identifier: Apache-2.0
// SQLite's memory, a pool for each connection that one thread has for itself.
//
// Opening a database is a thousand small pieces, most of which live for a moment, and Debian's SQLite is built without its own
// store for them (lookaside). From malloc() they are a quarter of the instructions, and each page by which a thread's heap grows
// is a system call; at the end they are holes between what lives on. Here small pieces are cut from chunks and go back to lists
// by size; closing the connection gives back the chunks as a whole.
//
// A pool gives nothing back before its connection is closed, and that of a queue is open as long as its daemon: what one large
// statement takes beyond DB_POOL_BYTES_MAX is malloc()'s.
//
// A piece knows by its head where it is from, so that it may be freed whatever pool is in use. Larger pieces (pages) are
// malloc()'s.
#include "db_memory.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#if defined(__SANITIZE_ADDRESS__)
#define DB_MEMORY_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DB_MEMORY_SANITIZED 1
#endif
#endif

enum { STEP_BYTES = 16, PIECE_BYTES_MAX = 2048, SIZES = PIECE_BYTES_MAX / STEP_BYTES, CHUNK_BYTES = (16 << 10) - 64 };

// Before what SQLite sees, which is aligned to 8 bytes, as it wants.
struct head {
	uint32_t bytes; // with the head; of a pool's pieces a multiple of STEP_BYTES
	uint32_t at;    // from the beginning of its chunk; 0: malloc()'s
};

struct piece {
	struct head head;
	struct piece *next; // of those that are free
};

struct chunk {
	struct chunk *older;
	struct db_pool *pool;
	size_t used;
	char data[];
};

struct db_pool {
	struct chunk *newest;
	size_t live, bytes;
	struct piece *unused[SIZES + 1]; // by size in steps
};

static _Thread_local struct db_pool *in_use;

static uint32_t rounded(int n)
{
	return ((uint32_t)n + (uint32_t)sizeof(struct head) + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
}

static struct chunk *chunk_of(struct piece *piece)
{
	return (struct chunk *)((char *)piece - piece->head.at);
}

static bool add_chunk(struct db_pool *pool)
{
	struct chunk *chunk = pool->bytes < DB_POOL_BYTES_MAX ? malloc(CHUNK_BYTES) : NULL;
	if (chunk == NULL)
		return false;
	*chunk = (struct chunk){.older = pool->newest, .pool = pool, .used = sizeof *chunk};
	pool->newest = chunk;
	pool->bytes += CHUNK_BYTES;
	return true;
}

static struct piece *take(struct db_pool *pool, uint32_t bytes)
{
	struct piece *piece = pool->unused[bytes / STEP_BYTES];
	if (piece) {
		pool->unused[bytes / STEP_BYTES] = piece->next;
	} else {
		if ((pool->newest == NULL || CHUNK_BYTES - pool->newest->used < bytes) && !add_chunk(pool))
			return NULL;
		piece = (struct piece *)((char *)pool->newest + pool->newest->used);
		piece->head = (struct head){.bytes = bytes, .at = (uint32_t)pool->newest->used};
		pool->newest->used += bytes;
	}
	pool->live++;
	return piece;
}

void *db_memory_malloc(int n)
{
	uint32_t bytes = rounded(n);
	struct piece *piece = in_use && bytes <= PIECE_BYTES_MAX ? take(in_use, bytes) : NULL;
	if (piece == NULL) {
		piece = malloc(bytes);
		if (piece)
			piece->head = (struct head){.bytes = bytes};
	}
	return piece ? (char *)piece + sizeof(struct head) : NULL;
}

static struct piece *piece_of(void *p)
{
	return (struct piece *)((char *)p - sizeof(struct head));
}

void db_memory_free(void *p)
{
	if (p == NULL)
		return;
	struct piece *piece = piece_of(p);
	if (piece->head.at == 0) {
		free(piece);
		return;
	}
	struct db_pool *pool = chunk_of(piece)->pool;
	piece->next = pool->unused[piece->head.bytes / STEP_BYTES];
	pool->unused[piece->head.bytes / STEP_BYTES] = piece;
	pool->live--;
}

int db_memory_size(void *p)
{
	return p ? (int)(piece_of(p)->head.bytes - sizeof(struct head)) : 0;
}

void *db_memory_realloc(void *p, int n)
{
	struct piece *piece = piece_of(p);
	uint32_t bytes = rounded(n);
	if (bytes == piece->head.bytes)
		return p;
	if (piece->head.at == 0 && bytes > PIECE_BYTES_MAX) {
		piece = realloc(piece, bytes);
		if (piece == NULL)
			return NULL;
		piece->head.bytes = bytes;
		return (char *)piece + sizeof(struct head);
	}
	void *moved = db_memory_malloc(n);
	if (moved == NULL)
		return NULL;
	memcpy(moved, p, (bytes < piece->head.bytes ? bytes : piece->head.bytes) - sizeof(struct head));
	db_memory_free(p);
	return moved;
}

#ifdef DB_MEMORY_SANITIZED

void db_memory_configure(void)
{
}

#else

static int round_up(int n)
{
	return (int)(rounded(n) - sizeof(struct head));
}

static int begin(void *arg)
{
	(void)arg;
	return SQLITE_OK;
}

static void end(void *arg)
{
	(void)arg;
}

void db_memory_configure(void)
{
	static const sqlite3_mem_methods methods = {
		.xMalloc = db_memory_malloc,
		.xFree = db_memory_free,
		.xRealloc = db_memory_realloc,
		.xSize = db_memory_size,
		.xRoundup = round_up,
		.xInit = begin,
		.xShutdown = end,
	};
	sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

#endif

struct db_pool *db_pool_new(void)
{
	struct db_pool *pool = calloc(1, sizeof *pool);
	must(pool != NULL);
	return pool;
}

void db_pool_free(struct db_pool **pool_taken)
{
	struct db_pool *pool = *pool_taken;
	*pool_taken = NULL;
	if (pool == NULL || pool->live)
		return;
	while (pool->newest) {
		struct chunk *older = pool->newest->older;
		free(pool->newest);
		pool->newest = older;
	}
	free(pool);
}

size_t db_pool_bytes(const struct db_pool *pool)
{
	return pool->bytes;
}

struct db_pool *db_pool_use(struct db_pool *pool)
{
	struct db_pool *before = in_use;
	in_use = pool;
	return before;
}
