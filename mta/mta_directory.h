// SPDX-License-Identifier: Apache-2.0
// The front-end's views of the shadow, one for each scheduler thread, and what the queue asks of them.
#ifndef MTA_MTA_DIRECTORY_H
#define MTA_MTA_DIRECTORY_H

#include "base/runtime.h"
#include "base/settings.h"
#include "ldapsync/directory.h"
#include "mta/queue.h"

struct mta_directory;

// Opens a view per scheduler of the runtime. Keeps the settings it is given. Reads files: at start.
struct mta_directory *mta_directory_new(struct runtime *runtime, struct settings_snapshot *settings);
void mta_directory_free(struct mta_directory **directory); // after runtime_stop

// The view of the calling scheduler's thread.
struct directory *mta_directory_here(struct mta_directory *directory);

// queue_resolve_fn and queue_host_fn (mta/queue.h); arg is the struct mta_directory.
bool mta_directory_resolve(void *arg, struct arena *arena, struct str address, struct record_recipients *recipients_out,
	bool *temporary_out);
enum err_code mta_directory_host(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out, struct err *err);

#endif
