// SPDX-License-Identifier: Apache-2.0
// Opening a mailbox for a session; what is the same for all that a session does in it.
#include "mailbox_private.h"

#include <stdlib.h>

#include "base/must.h"

enum err_code mailbox_run(struct mailbox *mailbox, struct job *job, enum job_kind kind,
	enum job_step (*run)(struct job *job, struct strand *strand), struct err *err)
{
	job->kind = kind;
	job->run = run;
	job->err = err;
	return strand_run(mailbox->strand, job);
}

enum err_code mailbox_all_rows(sqlite3_stmt *stmt, enum db_step step, struct err *err)
{
	db_reset(stmt);
	return step == DB_FAILED ? err->code : ERR_OK;
}

static enum job_step open_run(struct job *job, struct strand *strand)
{
	return strand->moved ? job_fail(job, ERR_BUSY, "this mailbox has moved to another host") : JOB_DONE;
}

enum err_code mailbox_open(struct store *store, const struct mailbox_access *access, struct mailbox **mailbox_out,
	struct err *err)
{
	if (!guid_eq(&access->account, &access->actor))
		return err_set(err, ERR_DENIED, "mailboxes of others are not shared here");
	if (guid_is_zero(&access->account))
		return err_set(err, ERR_NOTFOUND, "an account without a mailbox id");
	struct mailbox *mailbox = calloc(1, sizeof *mailbox);
	must(mailbox != NULL);
	mailbox->actor = access->actor;
	mailbox->quota = access->quota;
	mailbox->strand = strand_get(store, &access->account);
	struct job job = {0};
	enum err_code code = mailbox_run(mailbox, &job, JOB_READ, open_run, err);
	job.kind = JOB_WRITE;
	if (code == ERR_NOTFOUND && access->home)
		code = store_run_making(mailbox->strand, access->home, &job);
	if (code) {
		mailbox_close(&mailbox);
		return code;
	}
	*mailbox_out = mailbox;
	return ERR_OK;
}

void mailbox_close(struct mailbox **mailbox_taken)
{
	struct mailbox *mailbox = *mailbox_taken;
	*mailbox_taken = NULL;
	if (mailbox == NULL)
		return;
	if (mailbox->has_maildrop) {
		pthread_mutex_lock(&mailbox->strand->store->mutex);
		mailbox->strand->maildrop_locked = false;
		pthread_mutex_unlock(&mailbox->strand->store->mutex);
	}
	strand_drop(mailbox->strand);
	free(mailbox);
}

bool mailbox_lock_maildrop(struct mailbox *mailbox)
{
	struct strand *strand = mailbox->strand;
	pthread_mutex_lock(&strand->store->mutex);
	if (!strand->maildrop_locked)
		mailbox->has_maildrop = strand->maildrop_locked = true;
	pthread_mutex_unlock(&strand->store->mutex);
	return mailbox->has_maildrop;
}

struct usage {
	struct job job;
	struct mailbox_usage usage;
};

static enum job_step usage_run(struct job *job, struct strand *strand)
{
	struct usage *usage = (struct usage *)job;
	usage->usage = (struct mailbox_usage){.bytes = strand->committed.bytes, .messages = strand->committed.messages};
	return JOB_DONE;
}

enum err_code mailbox_usage(struct mailbox *mailbox, struct mailbox_usage *usage_out, struct err *err)
{
	struct usage usage = {0};
	enum err_code code = mailbox_run(mailbox, &usage.job, JOB_READ, usage_run, err);
	if (code == ERR_OK)
		*usage_out = usage.usage;
	return code;
}
