// SPDX-License-Identifier: Apache-2.0
// A question asked as another user, by a child process: what a daemon may read is known by reading it as the daemon will.
//
//     static void read_file(void *path, struct buf *answer) { ... }
//     if (as_user("posthouse-mta", read_file, path, &answer, &err) == ERR_OK) ...
#ifndef CTL_AS_USER_H
#define CTL_AS_USER_H

#include "base/buf.h"
#include "base/err.h"

enum { AS_USER_ANSWER_BYTES_MAX = 64 << 10 };

// What ask appends to its buffer, of AS_USER_ANSWER_BYTES_MAX, is appended to answer. Groups are the user's of the system's group
// file. ERR_DENIED: we are not root, and not that user; ERR_NOTFOUND: there is no such user. Blocks until ask is done.
enum err_code as_user(const char *user, void (*ask)(void *context, struct buf *answer), void *context, struct buf *answer,
	struct err *err) ERR_CHECKED;

#endif
