// SPDX-License-Identifier: Apache-2.0
// What the keeper of replay and its reader share: the segments, and the lock over them.
#ifndef MTA_REPLAY_CORE_H
#define MTA_REPLAY_CORE_H

#include <pthread.h>

#include "replay.h"

enum { REPLAY_NAME_BYTES = 40, REPLAY_HOUR_MS = 3600 * 1000 };

struct replay_part {
	uint64_t hour;
	uint32_t part;
	uint64_t bytes; // whole records
};

struct replay {
	int dir;
	pthread_t thread;
	_Atomic bool on;
	pthread_mutex_t mutex; // guards all below
	pthread_cond_t wake;
	bool stopping;
	struct replay_limits limits;
	struct replay_entry *first, **tail;
	size_t waiting_bytes, waiting_files;
	struct replay_part *segments; // ascending; the thread alone changes them
	size_t n, size;
	uint64_t bytes;
	// The thread's.
	int fd; // of the last segment; -1: none is open
	uint64_t at;
	size_t unpublished; // entries not yet written
	struct buf out;
	bool dirty;
	bool named; // the segment's name is on the disk
	int64_t synced_ms, complained_ms;
};

struct str replay_part_name(const struct replay_part *part, char name_out[REPLAY_NAME_BYTES]);

#endif
