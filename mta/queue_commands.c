// SPDX-License-Identifier: Apache-2.0
// What administrators ask of the queue and do to it, over the control socket: list, hold, release, delete, retry, stats.
//
//     {"command": "queue.list", "id": "…", "state": "held"}                      one item a message; id and state may be missing;
//                                                                                of more than 2,000 recipients "recipients_more" are left out
//     {"command": "queue.hold", "ids": ["008J4CT4ANK7", …], "why": "…"}          or "all": true; an id is a queue id or a guid
//     {"command": "queue.release" | "queue.delete" | "queue.retry", …}           the same
//     {"command": "queue.list", "state": "damaged"}, {"command": "queue.delete", "damaged": true}   rows that cannot be read
//     {"command": "queue.stats"}                                                 ledger, log, schedule
//     {"command": "queue.replay", …}                                             queue_replay.c
//
// Acts are records (CLUSTER): they are committed before they are answered, and the ledger counts them. Handlers run on a fiber and read
// pages of rows, so that a long queue is listed in little memory; what changes meanwhile may or may not be in the answer.
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/control.h"
#include "base/fiber.h"
#include "base/must.h"
#include "dispatch.h"
#include "queue_core.h"
#include "queue_fold_rows.h"

enum { DAMAGED_BODY_BYTES_MAX = 512 << 10 }; // of one line of the answer
enum { WHO_BYTES_MAX = 200, WHY_BYTES_MAX = 900 }; // of an administrator, in a record
enum { WAY_BYTES_MAX = 64 << 20 }; // of the decision about one recipient, which may be a large group by now
enum { PAGE_MESSAGES = 50, PAGE_RECIPIENTS_MAX = 2000, GUIDS_MAX = 1000, SAFE_TEXT_BYTES = 1000 };

// --- JSON ---

// Peers' words need not be UTF-8, JSON has to be.
static json_t *safe_string(struct str s)
{
	s = str_upto(s, SAFE_TEXT_BYTES);
	if (str_is_utf8(s))
		return json_stringn_nocheck(s.n ? s.p : "", s.n);
	char copy[SAFE_TEXT_BYTES];
	for (size_t i = 0; i < s.n; i++)
		copy[i] = (unsigned char)s.p[i] < 0x80 ? s.p[i] : '?';
	return json_stringn_nocheck(copy, s.n);
}

// RFC 3339, in UTC.
static json_t *time_string(int64_t wall_ms)
{
	char text[32];
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	if (gmtime_r(&s, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}

// --- list ---

struct list_page {
	struct guid after;        // in: messages with larger guids
	struct guid last;         // in: none beyond
	struct str state;         // in: only recipients of this state; empty: all
	struct item *items, **tail; // out: the recipients in the order of the answer, when tail is given
	json_t *messages;         // out: an array
	size_t n;                 // out: messages looked at
	struct err err;           // out
};

static const char *state_name(int64_t state, int64_t attempt)
{
	return state == DDL_QUEUE_HELD ? "held" : attempt ? "trying" : "waiting";
}

// For the question where it would go now, which is asked on the fiber.
static void keep_item(sqlite3_stmt *stmt, struct item_message *message, struct list_page *page)
{
	const struct record_recipient r = {.number = (uint32_t)db_col_i64(stmt, 0), .target = (enum record_target)db_col_i64(stmt, 9),
		.destination = db_col_str(stmt, 7), .address = db_col_str(stmt, 8), .key = db_col_str(stmt, 10), .original = db_col_str(stmt, 11),
		.mailbox_id = db_col_str(stmt, 12), .detail = db_col_str(stmt, 13), .list = db_col_str(stmt, 14)};
	if (message == NULL)
		return;
	*page->tail = item_new(message, &r);
	page->tail = &(*page->tail)->next;
}

// Of a large list the first; *more_out counts those that one line has no room for.
static json_t *read_recipients(struct db *db, const struct guid *guid, struct item_message *message, struct list_page *page, size_t *more_out)
{
	struct str state = page->state;
	struct err *err = &page->err;
	json_t *list = json_array();
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_RECIPIENTS);
	db_bind_blob(stmt, 1, guid_bytes(guid));
	enum db_step step;
	err->code = ERR_OK;
	*more_out = 0;
	while ((step = db_step(db, stmt, err)) == DB_ROW) {
		const char *name = state_name(db_col_i64(stmt, 2), db_col_i64(stmt, 6));
		if (state.n && !str_eq(state, str_of_c(name)))
			continue;
		if (json_array_size(list) == PAGE_RECIPIENTS_MAX) {
			++*more_out;
			continue;
		}
		json_t *reply = db_col_is_null(stmt, 5) ? json_null() : safe_string(db_col_str(stmt, 5));
		json_array_append_new(list, json_pack("{s:o,s:o,s:s,s:I,s:o,s:o}", "address", safe_string(db_col_str(stmt, 8)), "destination",
			safe_string(db_col_str(stmt, 7)), "state", name, "tries", (json_int_t)db_col_i64(stmt, 3), "next_try",
			time_string(db_col_i64(stmt, 4)), "last_reply", reply));
		keep_item(stmt, message, page);
	}
	if (step != DB_FAILED)
		db_reset(stmt);
	return list;
}

static void add_message(struct db *db, sqlite3_stmt *stmt, struct list_page *page)
{
	char id[GUID_SHORT_BYTES], text[GUID_TEXT_BYTES];
	size_t more;
	const struct record_enter e = {.guid = page->after, .sender = db_col_str(stmt, 1)};
	struct item_message *message = page->tail ? item_message_new(&e, 0, STR_NONE) : NULL;
	json_t *to = read_recipients(db, &page->after, message, page, &more);
	item_message_drop(&message);
	if (json_array_size(to) == 0 && page->state.n) {
		json_decref(to);
		return;
	}
	json_array_append_new(page->messages, json_pack("{s:s,s:s,s:o,s:I,s:o,s:o,s:o*}", "queue_id", guid_short(&page->after, id).p, "guid",
		guid_text(&page->after, text).p, "sender", safe_string(db_col_str(stmt, 1)), "size_bytes", (json_int_t)db_col_i64(stmt, 2),
		"received", time_string(db_col_i64(stmt, 3)), "recipients", to,
		"recipients_more", more ? json_integer((json_int_t)more) : NULL));
}

static void read_list(struct db *db, void *arg)
{
	struct list_page *page = arg;
	page->err.code = ERR_OK;
	page->n = 0;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_MESSAGES);
	struct guid after = page->after;
	db_bind_blob(stmt, 1, guid_bytes(&after));
	db_bind_i64(stmt, 2, PAGE_MESSAGES);
	enum db_step step = DB_DONE;
	while (page->err.code == ERR_OK && (step = db_step(db, stmt, &page->err)) == DB_ROW) {
		page->err.code = ERR_OK;
		if (fold_guid(stmt, 0, &page->after, &page->err))
			break;
		page->n++;
		if (memcmp(page->after.b, page->last.b, sizeof page->last.b) > 0) {
			page->n = 0; // the end
			break;
		}
		add_message(db, stmt, page);
	}
	if (step != DB_FAILED)
		db_reset(stmt);
}

// --- What cannot be read ---

enum { DAMAGED_PAGE = 20 };

struct damaged_page {
	int64_t skip;     // in
	json_t *rows;     // out: an array
	struct err err;   // out
};

static json_t *hex_string(struct str bytes)
{
	struct buf text;
	buf_init(&text, 2 * SAFE_TEXT_BYTES);
	codec_hex_add(&text, str_upto(bytes, SAFE_TEXT_BYTES));
	json_t *string = json_stringn(text.n ? text.p : "", text.n);
	buf_fini(&text);
	return string;
}

static json_t *base64_string(struct str bytes)
{
	struct buf text;
	buf_init(&text, DAMAGED_BODY_BYTES_MAX);
	bool fits = codec_base64_add(&text, bytes);
	json_t *string = fits ? json_stringn(text.n ? text.p : "", text.n) : json_null();
	buf_fini(&text);
	return string;
}

static json_t *text_or_null(sqlite3_stmt *stmt, int column)
{
	return db_col_is_null(stmt, column) ? json_null() : safe_string(db_col_str(stmt, column));
}

static void read_damaged(struct db *db, void *arg)
{
	struct damaged_page *page = arg;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_DAMAGED);
	enum db_step step;
	page->err.code = ERR_OK;
	db_bind_i64(stmt, 1, DAMAGED_PAGE);
	db_bind_i64(stmt, 2, page->skip);
	while ((step = db_step(db, stmt, &page->err)) == DB_ROW)
		json_array_append_new(page->rows, json_pack("{s:b,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:I,s:o}", "damaged", 1, "row", text_or_null(stmt, 0), "guid",
			hex_string(db_col_blob(stmt, 1)), "number", (json_int_t)db_col_i64(stmt, 2), "address", text_or_null(stmt, 3), "destination",
			text_or_null(stmt, 4), "sender", text_or_null(stmt, 5), "received", time_string(db_col_i64(stmt, 6)), "size_bytes",
			(json_int_t)db_col_i64(stmt, 7), "body_base64", base64_string(db_col_blob(stmt, 8))));
	if (step != DB_FAILED)
		db_reset(stmt);
}

static bool send_page(struct control_request *request, json_t *messages);

static void list_damaged(struct control_request *request, struct queue *queue)
{
	struct damaged_page page = {.skip = 0};
	struct err err;
	for (size_t n = DAMAGED_PAGE; n == DAMAGED_PAGE; page.skip += DAMAGED_PAGE) {
		page.rows = json_array();
		enum err_code code = cluster_log_read(queue->log, read_damaged, &page, &err);
		if (code == ERR_OK && page.err.code)
			code = err_set(&err, page.err.code, "%s", page.err.text);
		n = json_array_size(page.rows);
		bool there = code == ERR_OK && send_page(request, page.rows);
		json_decref(page.rows);
		if (code)
			control_fail(request, code, "%s", err.text);
		if (!there)
			return;
	}
	control_ok(request, NULL);
}

// What the next try would make of a recipient: another destination, or the reply that keeps it from going anywhere.
static void add_way(struct queue *queue, const struct item *item, json_t *recipient)
{
	const struct queue_route_query query = {.recipient = &item->r, .sender = item->message->sender};
	struct arena *arena = arena_new(WAY_BYTES_MAX);
	struct queue_route route;
	switch (queue->config.route(queue->config.arg, arena, &query, &route)) {
	case QUEUE_ROUTE_SAME:
		break;
	case QUEUE_ROUTE_OTHER:
		json_object_set_new(recipient, "destination_now", safe_string(route.to.destination));
		break;
	case QUEUE_ROUTE_LATER:
	case QUEUE_ROUTE_NOBODY:
		json_object_set_new(recipient, "reply_now", safe_string(route.reply));
		break;
	}
	arena_free(&arena);
}

static void add_ways(struct queue *queue, struct list_page *page)
{
	size_t i, k;
	json_t *message, *recipient;
	const struct item *item = page->items;
	json_array_foreach(page->messages, i, message)
		json_array_foreach(json_object_get(message, "recipients"), k, recipient) {
			add_way(queue, item, recipient);
			item = item->next;
			fiber_spent(0, 1);
		}
	item_free_list(&page->items);
}

static bool id_range(struct str id, struct guid *first_out, struct guid *last_out);

static bool send_page(struct control_request *request, json_t *messages)
{
	size_t i;
	json_t *message;
	bool there = true;
	json_array_foreach(messages, i, message)
		there = there && control_item(request, json_incref(message)) == ERR_OK;
	return there;
}

static void list(struct control_request *request, void *arg)
{
	struct queue *queue = arg;
	struct list_page page = {.state = control_arg_str(request, "state")};
	struct str id = control_arg_str(request, "id");
	struct err err;
	if (str_eq(page.state, STR("damaged"))) {
		list_damaged(request, queue);
		return;
	}
	memset(page.last.b, 0xff, sizeof page.last.b);
	if (id.n && !id_range(id, &page.after, &page.last)) {
		control_fail(request, ERR_INVALID, "%.*s is neither a queue id nor a guid, nor held, waiting, trying or damaged", STR_FMT(str_upto(id, 64)));
		return;
	}
	for (int i = sizeof page.after.b; id.n && i-- > 0 && page.after.b[i]-- == 0;) // the page begins after it
		;
	do {
		page.messages = json_array();
		page.tail = id.n && queue->config.route ? &page.items : NULL;
		enum err_code code = cluster_log_read(queue->log, read_list, &page, &err);
		if (code == ERR_OK && page.err.code)
			code = err_set(&err, page.err.code, "%s", page.err.text);
		if (code == ERR_OK && page.tail)
			add_ways(queue, &page);
		item_free_list(&page.items);
		bool there = code == ERR_OK && send_page(request, page.messages);
		json_decref(page.messages);
		if (code) {
			control_fail(request, code, "%s", err.text);
			return;
		}
		if (!there)
			return;
	} while (page.n > 0);
	control_ok(request, NULL);
}

// --- Whom an id means ---

static int base32_value(char c)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	c = chr_upper(c);
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

// A queue id is the first 60 bits of a guid: all that begin so.
static bool id_range(struct str id, struct guid *first_out, struct guid *last_out)
{
	if (guid_parse(id, first_out)) {
		*last_out = *first_out;
		return true;
	}
	if (id.n != GUID_SHORT_BYTES - 1)
		return false;
	uint64_t bits = 0;
	for (size_t i = 0; i < id.n; i++) {
		int value = base32_value(id.p[i]);
		if (value < 0)
			return false;
		bits = bits << 5 | (uint64_t)value;
	}
	bits <<= 4;
	memset(first_out->b, 0, sizeof first_out->b);
	memset(last_out->b, 0xff, sizeof last_out->b);
	for (int i = 0; i < 8; i++)
		first_out->b[i] = last_out->b[i] = (uint8_t)(bits >> (56 - 8 * i));
	last_out->b[7] |= 0x0f;
	return true;
}

struct guid_page {
	struct guid first, last; // in; first moves on
	struct guid guids[GUIDS_MAX];
	size_t n;
	struct err err;
};

static void read_guids(struct db *db, void *arg)
{
	struct guid_page *page = arg;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_GUIDS);
	struct guid first = page->first;
	db_bind_blob(stmt, 1, guid_bytes(&first));
	db_bind_blob(stmt, 2, guid_bytes(&page->last));
	enum db_step step = DB_DONE;
	page->n = 0;
	page->err.code = ERR_OK;
	while (page->n < GUIDS_MAX && (step = db_step(db, stmt, &page->err)) == DB_ROW && fold_guid(stmt, 0, &page->guids[page->n], &page->err) == ERR_OK)
		page->n++;
	if (step == DB_FAILED)
		return;
	db_reset(stmt);
	if (page->n > 0) {
		page->first = page->guids[page->n - 1];
		for (int i = sizeof page->first.b; i-- > 0 && ++page->first.b[i] == 0;)
			;
	}
}

// --- Acts ---

struct act {
	struct queue *queue;
	enum record_type type;
	struct str who, why;
	size_t messages, recipients;
};

static enum err_code act_on(struct act *act, const struct guid *guid, struct err *err)
{
	struct record record = {.type = act->type};
	struct queue_fold_answer answer = {0};
	int64_t at_ms = clock_wall_ms();
	switch ((int)act->type) {
	case RECORD_HOLD:
		record.hold = (struct record_hold){.guid = *guid, .at_ms = at_ms, .who = act->who,
			.why = act->why.n ? act->why : STR("no reason given")};
		break;
	case RECORD_RELEASE:
		record.release = (struct record_release){.guid = *guid, .at_ms = at_ms, .who = act->who};
		break;
	case RECORD_DELETE:
		record.delete = (struct record_delete){.guid = *guid, .at_ms = at_ms, .who = act->who, .why = act->why};
		break;
	default:
		unreachable("act of an administrator");
	}
	enum err_code code = queue_say(act->queue, &record, &answer, err);
	if (code == ERR_OK && answer.counted > 0) {
		act->messages++;
		act->recipients += answer.counted;
	}
	return code;
}

static enum err_code act_on_range(struct act *act, const struct guid *first, const struct guid *last, struct err *err)
{
	struct guid_page *page = calloc(1, sizeof *page);
	must(page != NULL);
	page->first = *first;
	page->last = *last;
	enum err_code code;
	do {
		code = cluster_log_read(act->queue->log, read_guids, page, err);
		if (code == ERR_OK && page->err.code)
			code = err_set(err, page->err.code, "%s", page->err.text);
		for (size_t i = 0; i < page->n && code == ERR_OK; i++)
			code = act_on(act, &page->guids[i], err);
	} while (code == ERR_OK && page->n == GUIDS_MAX);
	free(page);
	return code;
}

static enum err_code act_on_all(struct act *act, struct control_request *request, struct err *err)
{
	struct guid first = {{0}}, last;
	memset(last.b, 0xff, sizeof last.b);
	const json_t *ids = json_object_get(control_args(request), "ids");
	if (json_is_true(json_object_get(control_args(request), "all")))
		return act_on_range(act, &first, &last, err);
	enum err_code code = json_array_size(ids) ? ERR_OK : err_set(err, ERR_INVALID, "which messages? give ids, or all");
	for (size_t i = 0; i < json_array_size(ids) && code == ERR_OK; i++) {
		const json_t *id = json_array_get(ids, i);
		struct str text = json_is_string(id) ? str_of(json_string_value(id), json_string_length(id)) : STR_NONE;
		size_t before = act->messages;
		if (!id_range(text, &first, &last))
			return err_set(err, ERR_INVALID, "%.*s is neither a queue id nor a guid", STR_FMT(str_upto(text, 64)));
		code = act_on_range(act, &first, &last, err);
		if (code == ERR_OK && act->messages == before)
			code = err_set(err, ERR_NOTFOUND, "%.*s: no such message, or nothing to do", STR_FMT(text));
	}
	return code;
}

static struct str who_asks(const struct control_request *request)
{
	struct str who = control_arg_str(request, "who");
	return who.n ? str_upto(who, WHO_BYTES_MAX) : STR("an administrator");
}

static struct str why_so(const struct control_request *request)
{
	return str_upto(control_arg_str(request, "why"), WHY_BYTES_MAX);
}

static void run_act(struct control_request *request, struct queue *queue, enum record_type type)
{
	struct err err;
	struct act act = {.queue = queue, .type = type, .who = who_asks(request), .why = why_so(request)};
	enum err_code code = act_on_all(&act, request, &err);
	if (code)
		control_fail(request, code, "%s", err.text);
	else
		control_ok(request, json_pack("{s:I,s:I}", "messages", (json_int_t)act.messages, "recipients", (json_int_t)act.recipients));
}

static void hold(struct control_request *request, void *arg)
{
	run_act(request, arg, RECORD_HOLD);
}

static void release(struct control_request *request, void *arg)
{
	run_act(request, arg, RECORD_RELEASE);
}

static void mend(struct control_request *request, struct queue *queue)
{
	struct err err;
	struct record record = {.type = RECORD_MEND, .mend = {.at_ms = clock_wall_ms(), .who = who_asks(request),
		.why = why_so(request)}};
	struct queue_fold_answer answer = {0};
	enum err_code code = queue_say(queue, &record, &answer, &err);
	if (code) {
		control_fail(request, code, "%s", err.text);
		return;
	}
	dispatch_damaged(queue->dispatch, true);
	control_ok(request, json_pack("{s:I,s:I}", "messages", (json_int_t)0, "recipients", (json_int_t)answer.counted));
}

static void delete(struct control_request *request, void *arg)
{
	if (json_is_true(json_object_get(control_args(request), "damaged"))) {
		mend(request, arg);
		return;
	}
	run_act(request, arg, RECORD_DELETE);
}

// Held ones stay held when all are retried: that is what holding is for. One that is named goes on.
static void retry(struct control_request *request, void *arg)
{
	struct queue *queue = arg;
	if (json_array_size(json_object_get(control_args(request), "ids"))) {
		run_act(request, queue, RECORD_RELEASE);
		return;
	}
	queue_flush(queue);
	control_ok(request, NULL);
}

// --- stats ---

static void stats(struct control_request *request, void *arg)
{
	struct queue *queue = arg;
	struct cluster_log_stats log;
	struct schedule_stats schedule;
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	char disk[GUID_TEXT_BYTES], group[GUID_TEXT_BYTES];
	struct guid disk_id = cluster_log_disk_id(queue->log), group_id = cluster_log_group_id(queue->log);
	cluster_log_stats(queue->log, &log);
	dispatch_stats(queue->dispatch, &schedule);
	queue_fold_ledger(queue->fold, counters, &balanced);
	json_t *ledger = json_object();
	for (int i = 0; i < LEDGER_COUNTERS; i++)
		json_object_set_new(ledger, queue_ledger_name((enum queue_ledger)i), json_integer(counters[i]));
	control_ok(request, json_pack("{s:o,s:b,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b},s:{s:I,s:I,s:I,s:I},s:s,s:s}", "ledger", ledger, "balanced",
		balanced, "log", "term", (json_int_t)log.term, "first", (json_int_t)log.first, "applied", (json_int_t)log.applied, "records",
		(json_int_t)log.records, "batches", (json_int_t)log.batches, "waiting", (json_int_t)log.waiting, "free_bytes",
		(json_int_t)log.free_bytes, "short_of_space", log.short_of_space, "stuck", log.stuck, "schedule", "destinations",
		(json_int_t)schedule.destinations, "dead", (json_int_t)schedule.dead, "in_memory", (json_int_t)schedule.items, "connections",
		(json_int_t)schedule.agents, "disk_id", guid_text(&disk_id, disk).p, "group_id", guid_text(&group_id, group).p));
}

void queue_register_commands(struct queue *queue, struct control *control)
{
	const struct control_command rows[] = {{"queue.list", list, queue}, {"queue.hold", hold, queue}, {"queue.release", release, queue},
		{"queue.delete", delete, queue}, {"queue.retry", retry, queue}, {"queue.stats", stats, queue},
		{"queue.replay", queue_replay, queue}, {NULL, NULL, NULL}};
	queue->commands = calloc(1, sizeof rows);
	must(queue->commands != NULL);
	memcpy(queue->commands, rows, sizeof rows);
	control_register(control, queue->commands);
}

void queue_trouble(struct queue *queue, struct buf *text)
{
	size_t n = dispatch_damaged(queue->dispatch, false);
	if (n)
		buf_printf(text, "%s%zu rows of the queue are damaged: `posthouse queue list damaged` shows them, `posthouse queue delete --damaged` removes them",
			text->n ? "; " : "", n);
}
