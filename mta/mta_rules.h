// SPDX-License-Identifier: Apache-2.0
// Where a front-end keeps its tables in files: read at start and on reload, a reference for whoever decides.
#ifndef MTA_MTA_RULES_H
#define MTA_MTA_RULES_H

#include <pthread.h>

#include "router/rules.h"
#include "schema/settings.h"

struct mta_rules {
	pthread_mutex_t mutex;
	struct rules *rules; // owned; NULL: no files
};
#define MTA_RULES_INIT {.mutex = PTHREAD_MUTEX_INITIALIZER}

// Reads the files and puts them in the place of the old ones; each wrong row is logged as FILE:LINE. On failure the old ones stay. Blocks on the
// disk; main thread.
enum err_code mta_rules_load(struct mta_rules *mine, const struct settings *settings, struct err *err) ERR_CHECKED;
struct rules *mta_rules_get(struct mta_rules *mine); // a reference; NULL: none. Any thread
void mta_rules_drop(struct mta_rules *mine);

#endif
