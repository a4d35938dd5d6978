// SPDX-License-Identifier: Apache-2.0
// One view of the shadow for each scheduler of a runtime.
#include "ldapsync/directory_views.h"

#include <stdlib.h>

#include "base/must.h"

struct directory_views {
	struct runtime *runtime; // borrowed
	struct directory *of_sched[]; // owned
};

struct directory_views *directory_views_open(struct runtime *runtime, const char *path, int64_t fresh_s)
{
	unsigned n = runtime_scheds(runtime);
	struct directory_views *views = calloc(1, sizeof *views + n * sizeof *views->of_sched);
	must(views != NULL);
	views->runtime = runtime;
	for (unsigned i = 0; i < n; i++)
		views->of_sched[i] = directory_open(path, fresh_s);
	return views;
}

void directory_views_close(struct directory_views **views_in)
{
	struct directory_views *views = *views_in;
	*views_in = NULL;
	if (views == NULL)
		return;
	for (unsigned i = 0; i < runtime_scheds(views->runtime); i++)
		directory_close(&views->of_sched[i]);
	free(views);
}

struct directory *directory_views_here(struct directory_views *views)
{
	for (unsigned i = 0; i < runtime_scheds(views->runtime); i++)
		if (runtime_sched(views->runtime, i) == sched_self())
			return views->of_sched[i];
	unreachable("a view of the shadow off the schedulers");
}
