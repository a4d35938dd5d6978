// SPDX-License-Identifier: Apache-2.0
// One view of the shadow for each scheduler of a runtime, and a fiber beside it that ends the snapshot which the view keeps.
//
// Happy path: a decision asks for its view; that wakes the fiber, which sleeps LET_GO_MS and then ends whatever snapshot is open.
// Under load a snapshot serves all decisions of DIRECTORY_KEEP_MS, and is missed by no checkpoint for longer than LET_GO_MS.
#include "ldapsync/directory_views.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"

enum { LET_GO_MS = 50 };

struct view {
	struct directory *directory; // owned
	struct fiber_ref keeper;
	bool keeper_runs, keeper_is_awake;
};

struct directory_views {
	struct runtime *runtime; // borrowed
	struct view of_sched[];
};

static void keep(void *arg)
{
	struct view *view = arg;
	view->keeper = fiber_ref_self();
	view->keeper_runs = true;
	directory_keep(view->directory, true);
	while (!(fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER) & FIBER_CANCELLED)) {
		if (fiber_wait(NULL, 0, clock_after_ms(LET_GO_MS)) & FIBER_CANCELLED)
			break;
		directory_let_go(view->directory);
		view->keeper_is_awake = false;
	}
	view->keeper_runs = false;
	directory_let_go(view->directory);
	directory_keep(view->directory, false);
}

struct directory_views *directory_views_open(struct runtime *runtime, const char *path, int64_t fresh_s)
{
	unsigned n = runtime_scheds(runtime);
	struct directory_views *views = calloc(1, sizeof *views + n * sizeof *views->of_sched);
	must(views != NULL);
	views->runtime = runtime;
	for (unsigned i = 0; i < n; i++) {
		views->of_sched[i].directory = directory_open(path, fresh_s);
		(void)!sched_spawn(runtime_sched(runtime, i), keep, &views->of_sched[i],
			"shadow"); // without: a snapshot a decision
	}
	return views;
}

void directory_views_close(struct directory_views **views_in)
{
	struct directory_views *views = *views_in;
	*views_in = NULL;
	if (views == NULL)
		return;
	for (unsigned i = 0; i < runtime_scheds(views->runtime); i++)
		directory_close(&views->of_sched[i].directory);
	free(views);
}

struct directory *directory_views_here(struct directory_views *views)
{
	for (unsigned i = 0; i < runtime_scheds(views->runtime); i++) {
		struct view *view = &views->of_sched[i];
		if (runtime_sched(views->runtime, i) != sched_self())
			continue;
		if (view->keeper_runs && !view->keeper_is_awake) {
			view->keeper_is_awake = true;
			fiber_ref_wake(view->keeper);
		}
		return view->directory;
	}
	unreachable("a view of the shadow off the schedulers");
}
