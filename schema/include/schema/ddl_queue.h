// SPDX-License-Identifier: Apache-2.0
// The tables of queue.db: the log, what the log is about itself, and the rows that are its fold.
//
// Written by the queue's writer thread alone (cluster/log.h); the rows by its fold (mta/queue_fold.c). A row is there as long as
// it matters: a finished recipient, message or attempt has none, and what was counted of it is in `ledger`.
#ifndef SCHEMA_DDL_QUEUE_H
#define SCHEMA_DDL_QUEUE_H

#include "base/db.h"

extern const struct db_schema ddl_queue;

// recipient.state
enum { DDL_QUEUE_WAITS = 0, DDL_QUEUE_HELD = 1 };

#endif
