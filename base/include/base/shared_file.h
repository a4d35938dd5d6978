// SPDX-License-Identifier: Apache-2.0
// Memory that the processes of a node share, by a file that the first of them makes.
//
//     static const struct shared_file count = {.name = "log-ins", .bytes = sizeof(struct count), .is_prepared = is_count,
//     .prepare = begin_count}; struct count *shared = shared_file_map(run_dir, &count);        // NULL: each has its own
//
// The file is mode 0600, of the process's user, and gets its name when it is prepared (it is made as NAME.new and renamed); one
// at a time makes it. One that is not what prepare would have made (another version, cut off, somebody else's, a link) is
// replaced, and who has it mapped keeps it. Its blocks are taken beforehand, so that a full disk is no SIGBUS. What is in it must
// be right after any of them dies at any point.
#ifndef BASE_SHARED_FILE_H
#define BASE_SHARED_FILE_H

#include "base/str.h"

enum { SHARED_FILE_NAME_BYTES_MAX = 64 };

struct shared_file {
	const char *name; // in the folder; at most SHARED_FILE_NAME_BYTES_MAX
	size_t bytes;
	bool (*is_prepared)(const void *memory);
	void (*prepare)(void *memory); // it is zero
};

// Mapped for as long as the process lives. NULL where that cannot be, as on a full disk. Blocks; before the jail, as who owns the
// folder.
void *shared_file_map(struct str folder, const struct shared_file *what);

#endif
