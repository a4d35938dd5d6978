// SPDX-License-Identifier: Apache-2.0
// What the queue asks of the directory, on a scheduler thread: queue_resolve_fn, queue_host_fn and queue_expand_fn (mta/queue.h).
// arg is the struct smtp_server, whose settings of now and whose views of the shadow count.
#ifndef MTA_MTA_DIRECTORY_H
#define MTA_MTA_DIRECTORY_H

#include "mta/queue.h"

bool mta_directory_resolve(void *arg, struct arena *arena, struct str address, struct record_recipients *recipients_out,
	bool *temporary_out);
enum err_code mta_directory_host(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out,
	struct err *err);
enum queue_expand_answer mta_directory_expand(void *arg, struct arena *arena, const struct queue_expand_query *query,
	struct queue_expansion *expansion_out);

#endif
