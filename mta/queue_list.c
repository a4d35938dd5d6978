// SPDX-License-Identifier: Apache-2.0
// queue.list of the control socket: what waits, where its next try would take it, and rows that cannot be read.
//
// A handler runs on a fiber and reads pages of rows, so that a long queue is listed in little memory; what changes meanwhile may
// or may not be in the answer.
#include <stdio.h>

#include "base/codec.h"
#include "base/control.h"
#include "base/fiber.h"
#include "queue_columns.h"
#include "queue_commands.h"
#include "queue_fold_rows.h"
#include "queue_match.h"
#include "queue_rows.h"

enum {
	PAGE_MESSAGES = 50,
	PAGE_RECIPIENTS_MAX = 2000,
	DAMAGED_BODY_BYTES_MAX = 512 << 10, // of one line of the answer
};

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

// --- What waits ---

struct list_page {
	struct guid after;        // in: messages with larger guids
	struct guid last;         // in: none beyond
	struct str state;         // in: only recipients of this state; empty: all
	const struct queue_match *match; // in
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
	const struct record_recipient r = queue_rows_recipient(stmt);
	if (message == NULL)
		return;
	*page->tail = item_new(message, &r);
	page->tail = &(*page->tail)->next;
}

// The address that a copy came for; NULL: its own.
static json_t *other_address(struct str original, struct str address)
{
	return original.n && !str_eq_nocase(original, address) ? queue_safe_string(original) : NULL;
}

// The other addresses of the message that led to this copy; NULL: none.
static json_t *also(struct db *db, sqlite3_stmt *row)
{
	struct err err;
	if ((db_col_i64(row, ITEM_NOTIFY) & RECORD_SHARED) == 0)
		return NULL;
	json_t *list = json_array();
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_ALSO_OF);
	db_bind_blob(stmt, 1, db_col_blob(row, ITEM_GUID));
	db_bind_i64(stmt, 2, db_col_i64(row, ITEM_NUMBER));
	while (db_step(db, stmt, &err) == DB_ROW)
		json_array_append_new(list, queue_safe_string(db_col_str(stmt, 1)));
	db_reset(stmt);
	if (json_array_size(list))
		return list;
	json_decref(list); // they have left since
	return NULL;
}

// Of a large list the first; *more_out counts those that one line has no room for.
static json_t *read_recipients(struct db *db, const struct guid *guid, struct item_message *message, struct list_page *page,
	size_t *more_out)
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
		const char *name = state_name(db_col_i64(stmt, ITEM_STATE), db_col_i64(stmt, ITEM_ATTEMPT));
		if ((state.n && !str_eq(state, str_of_c(name))) || !queue_match_row(page->match, db, stmt))
			continue;
		if (json_array_size(list) == PAGE_RECIPIENTS_MAX) {
			++*more_out;
			continue;
		}
		json_t *reply = db_col_is_null(stmt, ITEM_REPLY) ? json_null() : queue_safe_string(db_col_str(stmt, ITEM_REPLY));
		json_array_append_new(list,
			json_pack("{s:o,s:o*,s:o*,s:o,s:s,s:I,s:o,s:o}", "address",
				queue_safe_string(db_col_str(stmt, ITEM_ADDRESS)), "original",
				other_address(db_col_str(stmt, ITEM_ORIGINAL), db_col_str(stmt, ITEM_ADDRESS)), "also", also(db, stmt),
				"destination", queue_safe_string(db_col_str(stmt, ITEM_DESTINATION)), "state", name, "tries",
				(json_int_t)db_col_i64(stmt, ITEM_TRIES), "next_try",
				time_string(db_col_i64(stmt, ITEM_NEXT_TRY)), "last_reply", reply));
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
	const struct record_enter e = {.guid = page->after, .sender = db_col_str(stmt, MESSAGE_SENDER)};
	if (!queue_match_sender(page->match, e.sender))
		return;
	struct item_message *message = page->tail ? item_message_new(&e, 0, STR_NONE) : NULL;
	json_t *to = read_recipients(db, &page->after, message, page, &more);
	item_message_drop(&message);
	if (json_array_size(to) == 0 && (page->state.n || page->match->by_to)) {
		json_decref(to);
		return;
	}
	json_array_append_new(page->messages,
		json_pack("{s:s,s:s,s:o,s:I,s:o,s:o,s:o*}", "queue_id", guid_short(&page->after, id).p, "guid",
			guid_text(&page->after, text).p, "sender", queue_safe_string(db_col_str(stmt, MESSAGE_SENDER)),
			"size_bytes", (json_int_t)db_col_i64(stmt, MESSAGE_BYTES), "received",
			time_string(db_col_i64(stmt, MESSAGE_RECEIVED)), "recipients", to, "recipients_more",
			more ? json_integer((json_int_t)more) : NULL));
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
		if (fold_guid(stmt, MESSAGE_GUID, &page->after, &page->err))
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
	buf_init(&text, 2 * QUEUE_SAFE_TEXT_BYTES);
	codec_hex_add(&text, str_upto(bytes, QUEUE_SAFE_TEXT_BYTES));
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
	return db_col_is_null(stmt, column) ? json_null() : queue_safe_string(db_col_str(stmt, column));
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
		json_array_append_new(page->rows,
			json_pack("{s:b,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:I,s:o}", "damaged", 1, "row",
				text_or_null(stmt, DAMAGED_ROW), "guid", hex_string(db_col_blob(stmt, DAMAGED_GUID)), "number",
				(json_int_t)db_col_i64(stmt, DAMAGED_NUMBER), "address", text_or_null(stmt, DAMAGED_ADDRESS),
				"destination", text_or_null(stmt, DAMAGED_DESTINATION), "sender",
				text_or_null(stmt, DAMAGED_SENDER), "received", time_string(db_col_i64(stmt, DAMAGED_RECEIVED)),
				"size_bytes", (json_int_t)db_col_i64(stmt, DAMAGED_BYTES), "body_base64",
				base64_string(db_col_blob(stmt, DAMAGED_BODY))));
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
	struct arena *arena = arena_new(QUEUE_ANSWER_BYTES_MAX);
	struct queue_route route;
	switch (queue->config.route(queue->config.arg, arena, &query, &route)) {
	case QUEUE_ROUTE_SAME:
		break;
	case QUEUE_ROUTE_OTHER:
		json_object_set_new(recipient, "destination_now", queue_safe_string(route.to.destination));
		break;
	case QUEUE_ROUTE_LATER:
	case QUEUE_ROUTE_NOBODY:
		json_object_set_new(recipient, "reply_now", queue_safe_string(route.reply));
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

static bool send_page(struct control_request *request, json_t *messages)
{
	size_t i;
	json_t *message;
	bool there = true;
	json_array_foreach(messages, i, message)
		there = there && control_item(request, json_incref(message)) == ERR_OK;
	return there;
}

// Until the end, or nobody listens any more.
static enum err_code list_pages(struct control_request *request, struct queue *queue, struct list_page *page, bool ways,
	bool *there_out, struct err *err)
{
	enum err_code code;
	do {
		page->messages = json_array();
		page->tail = ways ? &page->items : NULL;
		code = cluster_log_read(queue->log, read_list, page, err);
		if (code == ERR_OK && page->err.code)
			code = err_set(err, page->err.code, "%s", page->err.text);
		if (code == ERR_OK && page->tail)
			add_ways(queue, page);
		item_free_list(&page->items);
		*there_out = code == ERR_OK && send_page(request, page->messages);
		json_decref(page->messages);
	} while (*there_out && page->n > 0);
	return code;
}

// One by its id is also told where it would go now.
static enum err_code list(struct control_request *request, struct queue *queue, struct list_page *page, bool *there_out,
	struct err *err)
{
	struct str id = control_arg_str(request, "id");
	memset(page->last.b, 0xff, sizeof page->last.b);
	if (id.n && !queue_id_range(id, &page->after, &page->last))
		return err_set(err, ERR_INVALID, "%.*s is neither a queue id nor a guid, nor held, waiting, trying or damaged",
			STR_FMT(str_upto(id, 64)));
	for (int i = sizeof page->after.b; id.n && i-- > 0 && page->after.b[i]-- == 0;) // the page begins after it
		;
	return list_pages(request, queue, page, id.n && queue->config.route, there_out, err);
}

void queue_list(struct control_request *request, void *arg)
{
	struct queue *queue = arg;
	struct queue_match match;
	struct list_page page = {.state = control_arg_str(request, "state"), .match = &match};
	struct arena *arena = arena_new(QUEUE_ADDRESSES_BYTES_MAX);
	struct err err;
	bool there = true;
	enum err_code code = queue_match_parse(arena, control_args(request), &match, &err);
	if (code == ERR_OK && str_eq(page.state, STR("damaged"))) {
		list_damaged(request, queue);
		there = false; // it was answered
	} else if (code == ERR_OK) {
		code = list(request, queue, &page, &there, &err);
	}
	if (code)
		control_fail(request, code, "%s", err.text);
	else if (there)
		control_ok(request, NULL);
	queue_match_fini(&match);
	arena_free(&arena);
}
