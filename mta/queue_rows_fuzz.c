// SPDX-License-Identifier: Apache-2.0
// What the queue finds in its database, and what administrators ask of it. An input is lines: rows of queue.db
// (tests/fuzz/fuzz_rows.h), and requests of the control socket ("{…"). With rows the queue is what they say, and it is only read;
// without any it has three messages, and whatever is asked is done. Each request is answered once; what is answered is JSON; a
// damaged row is passed over. The control socket is a stand-in (fuzz_control.h).
// Covers: cluster/log.c cluster/log_writer.c cluster/log_snapshot.c mta/queue_rows.c mta/queue_commands.c mta/queue_list.c mta/requeue.c mta/requeue_answers.c mta/queue_match.c mta/queue_select.c mta/item.c
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/must.h"
#include "dispatch.h"
#include "fuzz_control.h"
#include "fuzz_queue.h"
#include "queue_core.h"
#include "queue_rows.h"
#include "requeue.h"

enum { BODY_BYTES_MAX = 64 << 10, PAGE = 5, DESTINATIONS_MAX = 8, MESSAGES = 3, FILE_BYTES = 100 };

static bool only_reads(struct str name)
{
	return str_eq(name, STR("queue.list")) || str_eq(name, STR("queue.stats"));
}

static void ask(struct str line, bool may_change)
{
	struct control_request request;
	struct str name = fuzz_control_begin(&request, line) ? control_arg_str(&request, "command") : STR_NONE;
	for (const struct control_command *row = fuzz_commands; row->name; row++) {
		if (!str_eq(name, str_of_c(row->name)) || str_eq(name, STR("queue.replay")) || (!may_change && !only_reads(name)))
			continue;
		row->handler(&request, row->arg);
		fuzz_control_answered(&request);
	}
	fuzz_control_end(&request);
}

static void ask_all(struct str in, bool may_change)
{
	struct str line;
	while (str_cut(in, '\n', &line, &in))
		if (str_starts(line, STR("{")))
			ask(line, may_change);
}

// Of recipients by their number: the same way, another one, none now.
static enum queue_route_answer route(void *arg, struct arena *arena, const struct queue_route_query *query,
	struct queue_route *route_out)
{
	static const enum queue_route_answer answers[] = {QUEUE_ROUTE_SAME, QUEUE_ROUTE_OTHER, QUEUE_ROUTE_LATER};
	(void)arg;
	(void)arena;
	*route_out = (struct queue_route){.to = *query->recipient, .reply = STR("451 4.3.5 no way")};
	return answers[query->recipient->number % 3];
}

// Of addresses by their length: one mailbox more than there was, who is in doubt, nobody.
static enum queue_expand_answer expand(void *arg, struct arena *arena, const struct queue_expand_query *query,
	struct queue_expansion *out)
{
	static const enum queue_expand_answer answers[] = {QUEUE_EXPAND_LATER, QUEUE_EXPAND_DONE, QUEUE_EXPAND_NOBODY};
	(void)arg;
	*out = (struct queue_expansion){.to = {arena_must(arena, sizeof *out->to.v), 1}, .reply = STR("451 4.3.0 who knows")};
	out->to.v[0] = (struct record_recipient){.target = RECORD_TO_MAILBOX,
		.address = STR("c@uni.example"),
		.key = STR("c@uni.example"),
		.destination = STR("mb2.uni.example"),
		.mailbox_id = STR("fedcba9876543210")};
	return answers[query->address.n % 3];
}

// --- Rows that were found ---

struct destinations {
	struct buf name[DESTINATIONS_MAX];
	size_t n;
};

static void note(void *arg, struct str destination, int64_t next_try_ms)
{
	struct destinations *d = arg;
	(void)next_try_ms;
	if (d->n == DESTINATIONS_MAX)
		return;
	buf_init(&d->name[d->n], BODY_BYTES_MAX);
	buf_add(&d->name[d->n++], destination);
}

static void read_body(struct queue *queue, const struct item_message *message)
{
	struct buf text;
	struct err err = {0};
	buf_init(&text, BODY_BYTES_MAX);
	enum err_code code = queue_rows_body(queue, message, &text, &err);
	must(code == ERR_OK || err.text[0]);
	must(code || !(message->flags & RECORD_FLAG_SPOOL) || text.n == message->body_bytes);
	buf_fini(&text);
}

static void read_page(struct queue *queue, struct str destination)
{
	struct queue_page page = {.destination = destination, .until_ms = INT64_MAX, .limit = PAGE};
	size_t n = 0;
	must(cluster_log_read(queue->log, queue_rows_page, &page, NULL) == ERR_OK);
	for (struct item *item = page.items; item; item = item->next, n++)
		read_body(queue, item->message);
	must(n == page.n && n <= PAGE);
	item_free_list(&page.items);
}

static void read_all(struct queue *queue)
{
	struct destinations found = {.n = 0};
	struct queue_destinations d = {.each = note, .arg = &found};
	must(cluster_log_read(queue->log, queue_rows_destinations, &d, NULL) == ERR_OK);
	for (size_t i = 0; i < found.n; i++) {
		read_page(queue, buf_str(&found.name[i]));
		buf_fini(&found.name[i]);
	}
}

// --- A queue of rows ---

static bool has_room(void *self, uint64_t bytes)
{
	(void)self;
	(void)bytes;
	return false;
}

static bool put_rows(const char *dir, struct str in)
{
	char path[128];
	struct db *db;
	struct str line;
	bool any = false;
	snprintf(path, sizeof path, "%s/queue.db", dir);
	const struct db_options options = {.path = path, .mode = DB_CREATE, .schema = &ddl_queue, .exclusive = true};
	must(db_open(&options, &db, NULL) == ERR_OK && db_begin(db, NULL) == ERR_OK);
	while (str_cut(in, '\n', &line, &in))
		any = fuzz_rows_put(db, line) || any;
	must(db_commit(db, NULL) == ERR_OK);
	db_close(&db);
	if (!any)
		unlink(path);
	return any;
}

// One body that may be named: spool/000102030405060708090a0b0c0d0e0f.
static void open_spool(struct queue *queue, const char *dir)
{
	char bytes[FILE_BYTES] = {0};
	const struct str part = str_of(bytes, sizeof bytes);
	must(file_dir_open(str_of_c(dir), &queue->dir, NULL) == ERR_OK);
	must(file_dir_make(queue->dir, STR("spool"), 0700, NULL, NULL) == ERR_OK);
	must(file_dir_open_at(queue->dir, STR("spool"), &queue->spool_dir, NULL) == ERR_OK);
	must(file_write_new(queue->spool_dir, STR("000102030405060708090a0b0c0d0e0f"), &part, 1, NULL) == ERR_OK);
}

static void look_at_rows(const char *dir, struct str in)
{
	struct queue queue = {.settings = fuzz_queue_settings, .config.route = route, .config.expand = expand};
	const struct queue_fold_sink sink = {.self = NULL, .has_room = has_room};
	struct err err;
	pthread_mutex_init(&queue.mutex, NULL);
	open_spool(&queue, dir);
	queue.dispatch = dispatch_new(&queue);
	queue.fold = queue_fold_new(&sink);
	// No space is left: nothing new comes in, and no ballast is made.
	const struct cluster_log_config config = {
		.dir = dir, .fold = queue_fold_table(queue.fold), .reserve_bytes = UINT64_MAX, .died = fuzz_queue_died};
	if (cluster_log_open(&config, &queue.log, &err) == ERR_OK) {
		queue_register_commands(&queue, NULL);
		read_all(&queue);
		ask_all(in, false);
		cluster_log_close(&queue.log);
	}
	queue_fold_free(&queue.fold);
	dispatch_free(&queue.dispatch);
	free(queue.commands);
	file_close(queue.spool_dir);
	file_close(queue.dir);
	pthread_mutex_destroy(&queue.mutex);
}

// --- A queue with mail ---

static void enter(struct queue *queue, size_t bytes)
{
	static const char text[2 * BODY_BYTES_MAX];
	// The first and the last are one copy, which two addresses lead to.
	struct record_recipient to[] = {
		{.target = RECORD_TO_MAILBOX, .address = STR("a@uni.example"), .key = STR("a@uni.example"),
			.destination = STR("mb1.uni.example"), .mailbox_id = STR("0123456789abcdef")},
		{.target = RECORD_TO_RELAY, .address = STR("b@\xff.example"), .key = STR("b@out.example"),
			.destination = STR("relay:25")},
		{.target = RECORD_TO_MAILBOX, .address = STR("a@uni.example"), .key = STR("a@uni.example"),
			.destination = STR("mb1.uni.example"), .mailbox_id = STR("0123456789abcdef"), .original = STR("all@uni.example")}};
	const struct queue_message message = {.sender = STR("s@out.example"), .source = STR("fuzz"), .recipients = to, .n = 3};
	struct spool *spool;
	must(spool_open(queue, &spool, NULL) == ERR_OK && spool_append(spool, str_of(text, bytes), NULL) == ERR_OK);
	must(queue_enter(queue, &message, &spool, NULL) == QUEUE_COMMITTED);
}

// As a copy does that would bounce.
static void requeue_one(struct queue *queue, const struct item *item)
{
	const uint32_t numbers[] = {item->r.number, item->r.number + 1};
	const struct requeue_query query = {.guid = item->message->guid, .numbers = numbers, .n = 2, .who = STR("fuzz")};
	struct requeue_found found;
	struct arena *arena = arena_new(BODY_BYTES_MAX);
	must(requeue_message(queue, arena, &query, &found, NULL) == ERR_OK);
	must(found.left <= found.copies);
	must(found.left == 0 || found.fates[0] == REQUEUE_CHANGED || found.fates[1] == REQUEUE_CHANGED);
	arena_free(&arena);
}

static void requeue_page(struct queue *queue, struct str destination)
{
	struct queue_page page = {.destination = destination, .until_ms = INT64_MAX, .limit = PAGE};
	must(cluster_log_read(queue->log, queue_rows_page, &page, NULL) == ERR_OK);
	for (struct item *item = page.items; item; item = item->next)
		requeue_one(queue, item);
	item_free_list(&page.items);
}

static void work_with_mail(const char *dir, struct str in)
{
	struct queue *queue;
	struct err err;
	const struct queue_config config = {
		.dir = dir, .settings = fuzz_queue_settings, .expand = expand, .route = route, .died = fuzz_queue_died};
	must(queue_open(&config, &queue, &err) == ERR_OK);
	queue_register_commands(queue, NULL);
	for (size_t i = 0; i < MESSAGES; i++)
		enter(queue, 10 + i * (BODY_BYTES_MAX - 5)); // the last one has a file
	ask_all(in, true);
	requeue_page(queue, STR("mb1.uni.example"));
	requeue_page(queue, STR("relay:25"));
	read_all(queue);
	queue_close(&queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of((const char *)data, size);
	const char *dir = fuzz_queue_begin();
	if (put_rows(dir, in))
		look_at_rows(dir, in);
	else
		work_with_mail(dir, in);
	fuzz_queue_end();
	return 0;
}
