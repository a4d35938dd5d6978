// SPDX-License-Identifier: Apache-2.0
// The end of a process that found a bug in itself: one line on stderr, then abort() for the core file.
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "posthouse: bug: %s (%s:%d)\n", cond, file, line);
	abort();
}
