// SPDX-License-Identifier: Apache-2.0
// Threads as all of ours begin: with every signal blocked, because the main thread alone takes them, and under a name that top and gdb show.
//
//     if ((code = thread_start(&log->thread, "queue-log", writer, log, err)))
//         return code;
//     ...
//     pthread_join(log->thread, NULL);
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

#include "base/err.h"

enum { THREAD_NAME_BYTES = 16 }; // with the NUL

// Starts fn(arg); name is copied and cut to 15 bytes. The thread is the caller's to join. ERR_NOMEM when the system gives none.
enum err_code thread_start(pthread_t *thread_out, const char *name, void *(*fn)(void *arg), void *arg, struct err *err) ERR_CHECKED;

#endif
