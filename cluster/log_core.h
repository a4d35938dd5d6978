// SPDX-License-Identifier: Apache-2.0
// The log as its two files see it: log.c has the line and the doors, log_writer.c what the writer thread does.
#ifndef CLUSTER_LOG_CORE_H
#define CLUSTER_LOG_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/completion.h"
#include "cluster/log.h"
#include "disk.h"

#define CLUSTER_LOG_BALLAST STR("ballast")

enum { LOG_APPEND, LOG_CUT, LOG_FIRST, STATE_GET, STATE_PUT, STATE_APPLIED, STATE_IDENTITY, OWN_STATEMENTS };
_Static_assert((int)OWN_STATEMENTS <= (int)CLUSTER_LOG_SQL, "the fold's statements come after ours");

struct reading {
	void (*fn)(struct db *db, void *arg);
	void *arg;
	struct completion completion;
	struct reading *next;
};

struct cluster_log {
	struct cluster_log_config config; // dir is an owned copy
	char *dir_path;
	int dir;
	struct db *db;
	const char **sql; // owned: ours, then the fold's
	struct arena *arena;
	struct disk_identity identity;
	pthread_t thread;

	pthread_mutex_t mutex; // guards the next block
	pthread_cond_t wake;
	struct cluster_proposal *head, **tail;
	struct reading *reads, **reads_tail;
	size_t waiting;
	bool stopping;

	// The writer's own.
	uint64_t first, applied, term;
	int64_t space_checked_ms;
	bool has_ballast;
	bool frozen;            // no checkpoint: a snapshot reads the file
	int64_t retry_at_ms; // stuck until then

	// For stats.
	_Atomic uint64_t stat_first, stat_applied, stat_records, stat_batches, stat_refused, stat_free;
	_Atomic bool short_of_space, stuck;
	_Atomic uint64_t reserve_bytes; // as set last

	_Atomic bool thaw;              // the snapshot that is under way is to end
	_Atomic bool snapshots_end;
};

enum { CLUSTER_LOG_CACHE_KIB = 32 << 10, CLUSTER_LOG_PATH_BYTES = 2048 };

// log.c
void cluster_log_answer(struct cluster_proposal *p);
void cluster_log_refuse(struct cluster_log *log, struct cluster_proposal *p);
bool cluster_log_path(const struct cluster_log *log, char *path_out, size_t bytes); // of queue.db
void cluster_log_run_reads(struct cluster_log *log, struct reading *list);

// log_writer.c. The first two also when the log is opened.
void cluster_log_look_at_space(struct cluster_log *log);
void cluster_log_make_ballast(struct cluster_log *log);
void *cluster_log_writer(void *arg);

// log_snapshot.c, on the writer's thread. True: no checkpoint now. Ends the snapshot when the log needs one.
bool cluster_log_is_frozen(struct cluster_log *log);

#endif
