// SPDX-License-Identifier: Apache-2.0
// The inside of struct mailbox, and how its functions reach a store thread. Private to the store.
#ifndef POPIMAP_MAILBOX_PRIVATE_H
#define POPIMAP_MAILBOX_PRIVATE_H

#include "mailbox.h"
#include "message_row.h"

struct mailbox {
	struct strand *strand;
	struct guid actor;
	bool has_maildrop;
};

// Runs a job of this mailbox: `struct x x = {...}; return mailbox_run(mailbox, &x.job, JOB_READ, x_run, err)`.
enum err_code mailbox_run(struct mailbox *mailbox, struct job *job, enum job_kind kind,
	enum job_step (*run)(struct job *job, struct strand *strand), struct err *err) ERR_CHECKED;

// How a statement ended that was stepped through all its rows; resets it.
enum err_code mailbox_all_rows(sqlite3_stmt *stmt, enum db_step step, struct err *err) ERR_CHECKED;

#endif
