// SPDX-License-Identifier: Apache-2.0
// The body of the message that a list sends: that of the message that it was sent, or, when the list changes the header
// (router/list_header.h), one of its own. Once a list, however many members it has.
//
//     struct buf start;                                              // owned by the caller
//     if (list_body_start(queue, message, &start, err)) ...
//     if (list_header_came_back(header, buf_str(&start))) ...
//     if (list_body_make(queue, message, header, buf_str(&start), &child, &contents, err)) ...
//     proposal->body = contents.body;                                // unless contents.file
//
// Called by expand.c on the fiber of an agent. All may wait.
#ifndef MTA_LIST_BODY_H
#define MTA_LIST_BODY_H

#include "item.h"
#include "queue_core.h"
#include "router/list_header.h"

// Initialises start_out and reads what the header is looked for in: all of a body that is not in a file, else at most 256 KiB.
// After a failure there is nothing to free.
enum err_code list_body_start(struct queue *queue, const struct item_message *message, struct buf *start_out,
	struct err *err) ERR_CHECKED;

// A body for child with the header that the list gives it; start is of list_body_start. child is not in the queue. A file is
// synced.
enum err_code list_body_make(struct queue *queue, const struct item_message *message, const struct list_header *header,
	struct str start, const struct guid *child, struct spool_contents *contents_out, struct err *err) ERR_CHECKED;

// The same body: a file gets a second name, synced. child is not in the queue.
enum err_code list_body_share(struct queue *queue, const struct item_message *message, const struct guid *child,
	struct spool_contents *contents_out, struct err *err) ERR_CHECKED;

#endif
