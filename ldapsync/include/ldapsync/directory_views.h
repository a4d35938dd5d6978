// SPDX-License-Identifier: Apache-2.0
// A daemon's views of the shadow: one for each scheduler thread, because a struct directory is one thread's.
//
//     struct directory_views *views = directory_views_open(runtime, path, fresh_s);      // at start
//     struct directory *directory = directory_views_here(views);                         // on a fiber
//     directory_views_close(&views);                                                     // after runtime_stop, before
//                                                                                        runtime_free
#ifndef LDAPSYNC_DIRECTORY_VIEWS_H
#define LDAPSYNC_DIRECTORY_VIEWS_H

#include "base/runtime.h"
#include "ldapsync/directory.h"

struct directory_views;

// Views keep their snapshot for DIRECTORY_KEEP_MS (ldapsync/directory.h), so that the decisions of a busy moment share one: what
// a commit of ldapsync changed is seen that much later. A fiber of each scheduler ends a snapshot that nobody uses any more.

// As directory_open() for each scheduler of the runtime, which is borrowed. Never fails; reads files.
struct directory_views *directory_views_open(struct runtime *runtime, const char *path, int64_t fresh_s);
void directory_views_close(struct directory_views **views); // NULL is fine

// The view of the calling scheduler's thread; borrowed. To call it on another thread is a bug. Does not block.
struct directory *directory_views_here(struct directory_views *views);

#endif
