// SPDX-License-Identifier: Apache-2.0
// Memory with one lifetime: allocate piecewise, free at once. Four lifetimes are in use: process, session, transaction, step.
//
//     struct arena *a = arena_new(1 << 20);      // at most 1 MiB in all
//     struct str name = arena_dup(a, line);      // lives as long as the arena
//     arena_reset(a);                            // everything from it is gone; the first chunk is kept
//     arena_free(&a);
//
// A parameter `struct arena *arena` says where a result lives. The cap bounds what a hostile peer can make us hold: over it
// arena_alloc gives NULL and arena_overflowed() stays true until the reset. Callers that size their input beforehand use
// arena_must. Not for several threads at once. Nothing here blocks.
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena;

struct arena *arena_new(size_t bytes_max);

// The same with its first chunk, in one piece of 1 KiB: for an arena that is used at once and does not last.
struct arena *arena_new_ready(size_t bytes_max);
void arena_free(struct arena **arena);
void arena_reset(struct arena *arena);

// As arena_reset, and the first chunk is given back too, but for that of arena_new_ready: for an arena that will not be used for
// long.
void arena_release(struct arena *arena);

// Zeroed memory aligned for any type; NULL over the cap. n may be 0.
void *arena_alloc(struct arena *arena, size_t n);

// The same, but over the cap is a bug of the caller's.
void *arena_must(struct arena *arena, size_t n);

// n elements of size bytes, product checked; NULL over the cap.
void *arena_array(struct arena *arena, size_t n, size_t size);

// A copy of s, followed by a NUL that is not counted. {NULL, 0} over the cap.
struct str arena_dup(struct arena *arena, struct str s);

struct str arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool arena_overflowed(const struct arena *arena);

// Bytes handed out since the last reset.
size_t arena_used(const struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_must((arena), sizeof(type)))

#endif
