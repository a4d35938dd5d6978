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
	bool is_loaded;      // once: the main thread's
};
#define MTA_RULES_INIT {.mutex = PTHREAD_MUTEX_INITIALIZER}

// Reads the files and puts them in the place of the old ones; each wrong row is logged as FILE:LINE. A file that cannot be used
// does not replace a good one; at the start there is none, and its table is damaged (router/rules.h). Blocks on the disk; main
// thread.
enum err_code mta_rules_load(struct mta_rules *mine, const struct settings *settings, struct err *err) ERR_CHECKED;
// What an operator must act on, for control_on_trouble(). Any thread.
void mta_rules_trouble(struct mta_rules *mine, struct buf *text);

struct rules *mta_rules_get(struct mta_rules *mine); // a reference; NULL: none. Any thread
void mta_rules_drop(struct mta_rules *mine);

#endif
