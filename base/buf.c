// SPDX-License-Identifier: Apache-2.0
// A byte buffer that grows up to a cap. The allocation doubles, from 64 bytes, and never exceeds the cap and one byte for
// buf_c().
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

void buf_init(struct buf *b, size_t max)
{
	must(max < SIZE_MAX / 4);
	*b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){.max = 0};
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->overflow = false;
}

void buf_release(struct buf *b)
{
	size_t max = b->max;
	buf_fini(b);
	b->max = max;
}

// Makes room for `more` bytes and a NUL after them; false over the cap.
static bool buf_grow(struct buf *b, size_t more)
{
	if (b->overflow || more > b->max - b->n) {
		b->overflow = true;
		return false;
	}
	size_t need = b->n + more + 1;
	if (need <= b->size)
		return true;
	size_t size = b->size ? b->size : 64;
	while (size < need)
		size *= 2;
	if (size > b->max + 1)
		size = b->max + 1;
	b->p = realloc(b->p, size);
	must(b->p != NULL);
	b->size = size;
	return true;
}

bool buf_add(struct buf *b, struct str s)
{
	if (!buf_grow(b, s.n))
		return false;
	if (s.n)
		memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
	return true;
}

bool buf_add_c(struct buf *b, const char *c)
{
	return buf_add(b, str_of_c(c));
}

bool buf_add_byte(struct buf *b, char c)
{
	if (b->n + 1 < b->size && !b->overflow) {
		b->p[b->n++] = c;
		return true;
	}
	return buf_add(b, str_of(&c, 1));
}

bool buf_add_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return buf_add(b, str_of(digits + at, sizeof digits - at));
}

bool buf_printf(struct buf *b, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	size_t room = b->size - b->n;
	int n = vsnprintf(room ? b->p + b->n : NULL, room, format, args); // most fit into what is there
	bool fits = n >= 0 && buf_grow(b, (size_t)n);
	if (fits && (size_t)n >= room)
		vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
	if (fits)
		b->n += (size_t)n;
	va_end(again);
	va_end(args);
	return fits;
}

char *buf_reserve(struct buf *b, size_t n)
{
	return buf_grow(b, n) ? b->p + b->n : NULL;
}

void buf_grew(struct buf *b, size_t n)
{
	must(b->n + n < b->size);
	b->n += n;
}

void buf_drop(struct buf *b, size_t n)
{
	must(n <= b->n);
	if (n && n < b->n)
		memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void buf_truncate(struct buf *b, size_t n)
{
	must(n <= b->n);
	b->n = n;
}

const char *buf_c(struct buf *b)
{
	if (str_index(buf_str(b), '\0') >= 0)
		return NULL;
	if (b->p == NULL)
		return "";
	b->p[b->n] = '\0'; // buf_grow always leaves this byte
	return b->p;
}
