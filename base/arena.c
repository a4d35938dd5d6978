// SPDX-License-Identifier: Apache-2.0
// Memory with one lifetime: a list of chunks, the newest first; a chunk doubles the one before it, up to 64 KiB, or fits one
// large request. A reset keeps the oldest chunk, so that a session's arena settles at one allocation.
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

struct chunk {
	struct chunk *older;
	size_t size; // bytes of data
	alignas(max_align_t) char data[];
};

// The smallest is 1 KiB in all: what glibc hands out from a thread's own store, without a lock or a search.
enum { READY_BYTES = 1024, CHUNK_BYTES_MIN = READY_BYTES - sizeof(struct chunk), CHUNK_BYTES_MAX = 64 << 10 };

struct arena {
	char *next;    // of the newest chunk, and how much of it is left
	size_t left;
	struct chunk *newest;
	struct chunk *within; // the oldest, where it lies behind the arena itself; NULL: none does
	size_t used; // over all chunks
	size_t max;
	bool overflowed;
};

struct arena *arena_new(size_t bytes_max)
{
	struct arena *arena = malloc(sizeof *arena); // not calloc, which passes by a thread's own store
	must(arena != NULL);
	*arena = (struct arena){.max = bytes_max};
	return arena;
}

struct arena *arena_new_ready(size_t bytes_max)
{
	enum { ARENA_BYTES = (sizeof(struct arena) + alignof(struct chunk) - 1) / alignof(struct chunk) * alignof(struct chunk) };
	char *memory = malloc(READY_BYTES);
	must(memory != NULL);
	struct arena *arena = (struct arena *)memory;
	struct chunk *chunk = (struct chunk *)(memory + ARENA_BYTES);
	*chunk = (struct chunk){.size = READY_BYTES - ARENA_BYTES - sizeof *chunk};
	*arena = (struct arena){.max = bytes_max, .newest = chunk, .within = chunk, .next = chunk->data, .left = chunk->size};
	return arena;
}

// The newest chunk is empty, or there is none.
static void rewind_chunk(struct arena *arena)
{
	arena->next = arena->newest ? arena->newest->data : NULL;
	arena->left = arena->newest ? arena->newest->size : 0;
	arena->used = 0;
	arena->overflowed = false;
}

static void drop_chunks(struct arena *arena, struct chunk *keep)
{
	while (arena->newest != keep) {
		struct chunk *chunk = arena->newest;
		arena->newest = chunk->older;
		if (chunk != arena->within)
			free(chunk);
	}
}

void arena_free(struct arena **arena)
{
	if (*arena == NULL)
		return;
	drop_chunks(*arena, NULL);
	free(*arena);
	*arena = NULL;
}

void arena_release(struct arena *arena)
{
	drop_chunks(arena, arena->within);
	rewind_chunk(arena);
}

void arena_reset(struct arena *arena)
{
	struct chunk *oldest = arena->newest;
	while (oldest && oldest->older)
		oldest = oldest->older;
	drop_chunks(arena, oldest && oldest->size <= CHUNK_BYTES_MAX ? oldest : NULL);
	rewind_chunk(arena);
}

static void add_chunk(struct arena *arena, size_t need)
{
	size_t size = arena->newest ? arena->newest->size * 2 : CHUNK_BYTES_MIN;
	if (size > CHUNK_BYTES_MAX)
		size = CHUNK_BYTES_MAX;
	if (size < need)
		size = need;
	struct chunk *chunk = malloc(sizeof *chunk + size);
	must(chunk != NULL);
	*chunk = (struct chunk){.older = arena->newest, .size = size};
	arena->newest = chunk;
	arena->next = chunk->data;
	arena->left = size;
}

// Memory with what happens to be in it.
static inline void *take(struct arena *arena, size_t n)
{
	if (__builtin_expect(arena->overflowed || n > arena->max - arena->used, 0)) {
		arena->overflowed = true;
		return NULL;
	}
	size_t room = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (room > arena->left || arena->newest == NULL)
		add_chunk(arena, room);
	char *p = arena->next;
	arena->next += room;
	arena->left -= room;
	arena->used += n;
	return p;
}

void *arena_alloc(struct arena *arena, size_t n)
{
	void *p = take(arena, n);
	if (p)
		memset(p, 0, n);
	return p;
}

void *arena_must(struct arena *arena, size_t n)
{
	void *p = arena_alloc(arena, n);
	must(p != NULL);
	return p;
}

void *arena_array(struct arena *arena, size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes)) {
		arena->overflowed = true;
		return NULL;
	}
	return arena_alloc(arena, bytes);
}

struct str arena_dup(struct arena *arena, struct str s)
{
	if (s.n == SIZE_MAX)
		return STR_NONE;
	char *p = take(arena, s.n + 1);
	if (p == NULL)
		return STR_NONE;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return str_of(p, s.n);
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	must(n >= 0);
	char *p = arena_alloc(arena, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, format, again);
	va_end(again);
	return p ? str_of(p, (size_t)n) : STR_NONE;
}

bool arena_overflowed(const struct arena *arena)
{
	return arena->overflowed;
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
