// SPDX-License-Identifier: Apache-2.0
// An array on the heap that grows by one element at a time, and doubles.
#ifndef MTA_GROW_H
#define MTA_GROW_H

#include <stdlib.h>

#include "base/must.h"

// Room for one more than n; *size is the elements that there is room for, 0 with array NULL at first. Never NULL; the caller
// frees it.
static inline void *grow(void *array, size_t n, size_t *size, size_t element)
{
	if (n < *size)
		return array;
	*size = *size ? 2 * *size : 16;
	array = reallocarray(array, *size, element);
	must(array != NULL);
	return array;
}

#endif
