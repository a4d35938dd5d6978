// SPDX-License-Identifier: Apache-2.0
// The inside of struct mailbox, and how its functions reach a store thread. Private to the store.
#ifndef POPIMAP_MAILBOX_PRIVATE_H
#define POPIMAP_MAILBOX_PRIVATE_H

#include "mailbox.h"
#include "message_row.h"

struct mailbox {
	struct strand *strand;
	struct guid actor;
	struct store_quota quota;
	bool has_maildrop;
};

// Would these be too much? ERR_QUOTA. Inside a job; what earlier jobs of the same commit added counts.
static inline enum err_code mailbox_has_room(const struct strand *strand, const struct store_quota *quota, uint64_t bytes,
	uint64_t messages, struct err *err)
{
	if (quota->bytes && strand->now.bytes + bytes > quota->bytes)
		return err_set(err, ERR_QUOTA, "mailbox is full: %llu of %llu bytes are in use",
			(unsigned long long)strand->now.bytes, (unsigned long long)quota->bytes);
	if (quota->messages && strand->now.messages + messages > quota->messages)
		return err_set(err, ERR_QUOTA, "mailbox is full: %llu of %llu messages are there",
			(unsigned long long)strand->now.messages, (unsigned long long)quota->messages);
	return ERR_OK;
}

// Runs a job of this mailbox: `struct x x = {...}; return mailbox_run(mailbox, &x.job, JOB_READ, x_run, err)`.
enum err_code mailbox_run(struct mailbox *mailbox, struct job *job, enum job_kind kind,
	enum job_step (*run)(struct job *job, struct strand *strand), struct err *err) ERR_CHECKED;

// How a statement ended that was stepped through all its rows; resets it.
enum err_code mailbox_all_rows(sqlite3_stmt *stmt, enum db_step step, struct err *err) ERR_CHECKED;

#endif
