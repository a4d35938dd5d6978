// SPDX-License-Identifier: Apache-2.0
// A byte buffer that grows up to a cap fixed when it is made, and remembers that it once did not fit.
//
//     struct buf b;
//     buf_init(&b, 64 << 10);
//     buf_add(&b, STR("250 "));
//     buf_printf(&b, "%u octets\r\n", n);
//     if (b.overflow) ...                  // one check at the end: what did not fit was not added, nothing was cut in half
//     buf_fini(&b);
//
// Out of memory aborts; the cap is checked before anything is allocated. Nothing here blocks.
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
	char *p;       // owned
	size_t n;      // bytes used
	size_t size;   // bytes allocated
	size_t max;    // bytes this buffer may ever hold
	bool overflow; // an addition did not fit; stays set until buf_clear
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);

// Empties the buffer and clears overflow; keeps the memory.
void buf_clear(struct buf *b);

// Empties it and gives the memory back: for sessions that go idle.
void buf_release(struct buf *b);

// Each adds all or nothing; false sets overflow. Once set, every later addition fails too: a hole in the middle would be a lie.
bool buf_add(struct buf *b, struct str s);
bool buf_add_c(struct buf *b, const char *c);
bool buf_add_byte(struct buf *b, char c);
bool buf_add_u64(struct buf *b, uint64_t value);
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Room for n more bytes behind what is there: the caller writes into it and then calls buf_grew(). NULL when n does not fit.
char *buf_reserve(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);

// Removes the first n bytes (n <= b->n) by moving the rest.
void buf_drop(struct buf *b, size_t n);

// Cuts the buffer to its first n bytes (n <= b->n).
void buf_truncate(struct buf *b, size_t n);

// What it holds, borrowed until the next change.
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->p, b->n};
}

// The contents as a C string, borrowed until the next change; NULL when they hold a NUL.
const char *buf_c(struct buf *b);

#endif
