// SPDX-License-Identifier: Apache-2.0
// The queue as its own files see it: what the door, the deliveries and the commands share.
#ifndef MTA_QUEUE_CORE_H
#define MTA_QUEUE_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/call.h"
#include "keeper.h"
#include "mta/queue.h"
#include "queue_fold.h"
#include "schema/settings.h"

struct dispatch;
struct replay;

struct queue {
	struct queue_config config; // dir owned; settings and TLS contexts in the slot below
	int dir, spool_dir;
	struct cluster_log *log;
	struct queue_fold *fold;
	struct keeper *keeper;
	struct replay *replay;
	struct dispatch *dispatch;
	struct control_command *commands; // owned; NULL until they are registered
	size_t inline_bytes_max;
	size_t expand_part_max; // members of one record (mta/expand.h)
	_Atomic int64_t commit_timeout_ms;
	_Atomic bool stopping;

	pthread_mutex_t mutex; // guards what a reload replaces
	struct settings_snapshot *settings;
	struct queue_tls tls;
};

// References for the caller; contexts may be NULL.
struct settings_snapshot *queue_settings(struct queue *queue);
struct tls_client *queue_client(struct queue *queue, struct tls_client **slot); // of queue->tls

// A proposal with its memory: record and body are freed with it.
struct queue_proposal {
	struct cluster_proposal p; // first
	struct queue_fold_answer answer;
	struct buf record, body;
	struct queue *queue;
	struct guid spool; // a file to remove when the record was refused; zero: none
	// Told on the writer thread when nobody waits in a call; arg is the proposer's. May be NULL.
	void (*done)(struct queue_proposal *proposal, void *arg);
	void *arg;
};

// A call with a struct queue_proposal that has the record encoded; NULL when it is over RECORD_BYTES_MAX. body_bytes_max: what
// proposal->body may hold.
struct call *queue_proposal_call(struct queue *queue, const struct record *record, size_t body_bytes_max);

// The same for one that nobody waits for.
struct queue_proposal *queue_proposal_new(struct queue *queue, const struct record *record, size_t body_bytes_max);

// Hands it over (class RESULT); it is freed when done was told.
void queue_proposal_submit(struct queue_proposal *proposal);

// Proposes and waits until the log has said; for what must be known. May wait; not ended by cancel. ERR_LIMIT, or why it was
// refused.
enum err_code queue_say(struct queue *queue, const struct record *record, struct queue_fold_answer *answer_out, struct err *err)
	ERR_CHECKED;

// Is a message of that guid in the queue? One that cannot be read is. May wait.
enum err_code queue_knows(struct queue *queue, const struct guid *guid, bool *known_out, struct err *err) ERR_CHECKED;

// The spool, for queue_enter.c and list_body.c.
struct spool_contents {
	struct guid guid;
	uint64_t bytes;
	bool file;              // spool/<guid>, synced; else body
	bool open_end;          // its last line has no line end
	struct buf body;        // taken over
	uint8_t digest[RECORD_DIGEST_BYTES];
};

// As spool_open, for a message whose guid is derived and that is not in the queue: what a try before left in a file of that name
// goes.
enum err_code spool_open_as(struct queue *queue, const struct guid *guid, struct spool **spool_out, struct err *err) ERR_CHECKED;

// Completes the body and ends the spool. After a failure the file is gone. May wait.
enum err_code spool_finish(struct spool **spool, struct spool_contents *contents_out, struct err *err) ERR_CHECKED;

#endif
