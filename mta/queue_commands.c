// SPDX-License-Identifier: Apache-2.0
// What administrators ask of the queue and do to it, over the control socket: list, hold, release, delete, retry, stats.
//
//     {"command": "queue.list", "id": "…", "state": "held"}                 one item a message; id and state may be missing; of
//                                                                           more than 2,000 recipients "recipients_more" are
//                                                                           left out
//     {"command": "queue.hold", "ids": ["008J4CT4ANK7", …], "why": "…"}     or "all": true; an id is a queue id or a guid
//     {"command": "queue.release" | "queue.delete" | "queue.retry", …}      the same
//     {"command": …, "to": "a@b.example", "from": "@b.example", …}          any of these: only what these are for
//                                                                           (queue_match.h), with ids or without
//     {"command": "queue.retry", "again": true, "address": "…", …}          what they are to is asked anew first (requeue.h)
//     {"command": "queue.list", "state": "damaged"}                         rows that cannot be read
//     {"command": "queue.delete", "damaged": true}                          they leave
//     {"command": "queue.stats"}                                            ledger, log, schedule
//     {"command": "queue.replay", …}                                        queue_replay.c
//
// Acts are records (CLUSTER): they are committed before they are answered, and the ledger counts them. Handlers run on a fiber
// and read pages of rows, so that a long queue is listed in little memory; what changes meanwhile may or may not be in the
// answer.
#include <stdlib.h>

#include "base/clock.h"
#include "base/control.h"
#include "base/must.h"
#include "base/runtime.h"
#include "damage.h"
#include "dispatch.h"
#include "mail/addr.h"
#include "queue_commands.h"
#include "queue_rows.h"
#include "queue_select.h"
#include "requeue.h"

enum { WHO_BYTES_MAX = 200, WHY_BYTES_MAX = 900 }; // of an administrator, in a record

json_t *queue_safe_string(struct str s)
{
	s = str_upto(s, QUEUE_SAFE_TEXT_BYTES);
	if (str_is_utf8(s))
		return json_stringn_nocheck(s.n ? s.p : "", s.n);
	char copy[QUEUE_SAFE_TEXT_BYTES];
	for (size_t i = 0; i < s.n; i++)
		copy[i] = (unsigned char)s.p[i] < 0x80 ? s.p[i] : '?';
	return json_stringn_nocheck(copy, s.n);
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

bool queue_id_range(struct str id, struct guid *first_out, struct guid *last_out)
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

// --- Acts ---

struct act {
	struct queue *queue;
	enum record_type type;
	struct str who, why;
	enum err_code (*each)(struct act *act, const struct record_ref *ref, struct err *err);
	struct again *again; // each: requeue_one()
	struct queue_match match;
	enum queue_select_state state; // of recipients, where they are found by their addresses
	struct guid last;    // message that was acted on
	size_t messages, recipients;
};

static void count(struct act *act, const struct guid *guid, size_t recipients)
{
	act->messages += !guid_eq(&act->last, guid);
	act->last = *guid;
	act->recipients += recipients;
}

static enum err_code act_on(struct act *act, const struct record_ref *ref, struct err *err)
{
	struct record record = {.type = act->type};
	struct queue_fold_answer answer = {0};
	int64_t at_ms = clock_wall_ms();
	switch ((int)act->type) {
	case RECORD_HOLD:
		record.hold = (struct record_hold){.guid = ref->guid, .number = ref->number,
			.at_ms = at_ms, .who = act->who,
			.why = act->why.n ? act->why : STR("no reason given")};
		break;
	case RECORD_RELEASE:
		record.release = (struct record_release){.guid = ref->guid, .number = ref->number,
			.at_ms = at_ms, .who = act->who};
		break;
	case RECORD_DELETE:
		record.delete = (struct record_delete){.guid = ref->guid, .number = ref->number,
			.at_ms = at_ms, .who = act->who, .why = act->why};
		break;
	default:
		unreachable("act of an administrator");
	}
	enum err_code code = queue_say(act->queue, &record, &answer, err);
	if (code == ERR_OK && answer.counted > 0)
		count(act, &ref->guid, answer.counted);
	return code;
}

// Of messages that are named by their ids, and of all without an address, every recipient; else those that the addresses are for,
// in the state that the command is about.
static enum err_code act_on_range(struct act *act, const struct guid *first, const struct guid *last, bool named, struct err *err)
{
	struct queue_selection s = {.first = *first, .last = *last, .match = &act->match};
	bool by_address = act->match.by_to || act->match.by_from;
	s.each = act->match.by_to || (by_address && !named && act->state != QUEUE_SELECT_ANY);
	s.state = named ? QUEUE_SELECT_ANY : act->state;
	enum err_code code;
	do {
		code = cluster_log_read(act->queue->log, queue_select_page, &s, err);
		if (code == ERR_OK && s.err.code)
			code = err_set(err, s.err.code, "%s", s.err.text);
		for (size_t i = 0; i < s.n && code == ERR_OK; i++)
			code = act->each(act, &s.refs[i], err);
	} while (code == ERR_OK && s.more);
	queue_select_fini(&s);
	return code;
}

static enum err_code act_on_ids(struct act *act, const json_t *ids, struct err *err)
{
	struct guid first, last;
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < json_array_size(ids) && code == ERR_OK; i++) {
		const json_t *id = json_array_get(ids, i);
		struct str text = json_is_string(id) ? str_of(json_string_value(id), json_string_length(id)) : STR_NONE;
		size_t before = act->messages;
		if (!queue_id_range(text, &first, &last))
			return err_set(err, ERR_INVALID, "%.*s is neither a queue id nor a guid", STR_FMT(str_upto(text, 64)));
		act->last = (struct guid){{0}}; // the same id twice
		code = act_on_range(act, &first, &last, true, err);
		if (code == ERR_OK && act->messages == before)
			code = err_set(err, ERR_NOTFOUND, "%.*s: no such message, or nothing to do", STR_FMT(text));
	}
	return code;
}

static enum err_code act_on_all(struct act *act, struct control_request *request, struct err *err)
{
	const json_t *args = control_args(request), *ids = json_object_get(args, "ids");
	struct guid first = {{0}}, last;
	struct arena *arena = arena_new(QUEUE_ADDRESSES_BYTES_MAX);
	bool all = json_is_true(json_object_get(args, "all"));
	enum err_code code = queue_match_parse(arena, args, &act->match, err);
	memset(last.b, 0xff, sizeof last.b);
	act->match.wholly = act->type == RECORD_DELETE;
	if (code == ERR_OK && json_array_size(ids) && !all)
		code = act_on_ids(act, ids, err);
	else if (code == ERR_OK && (all || act->match.by_to || act->match.by_from))
		code = act_on_range(act, &first, &last, false, err);
	else if (code == ERR_OK)
		code = err_set(err, ERR_INVALID, "which messages? give ids, to or from, or all");
	queue_match_fini(&act->match);
	arena_free(&arena);
	return code;
}

static struct str who_asks(const struct control_request *request)
{
	struct str who = control_arg_str(request, "who");
	return who.n ? str_upto(who, WHO_BYTES_MAX) : STR("an administrator");
}

static bool has_ids(const struct control_request *request)
{
	return json_array_size(json_object_get(control_args(request), "ids")) > 0;
}

static struct str why_so(const struct control_request *request)
{
	return str_upto(control_arg_str(request, "why"), WHY_BYTES_MAX);
}

static void run_act(struct control_request *request, struct queue *queue, enum record_type type,
	enum queue_select_state state)
{
	struct err err;
	struct act act = {.queue = queue, .type = type, .state = state, .each = act_on, .who = who_asks(request),
		.why = why_so(request)};
	enum err_code code = act_on_all(&act, request, &err);
	if (code)
		control_fail(request, code, "%s", err.text);
	else
		control_ok(request,
			json_pack("{s:I,s:I}", "messages", (json_int_t)act.messages, "recipients", (json_int_t)act.recipients));
}

static void hold(struct control_request *request, void *arg)
{
	run_act(request, arg, RECORD_HOLD, QUEUE_SELECT_ANY);
}

static void release(struct control_request *request, void *arg)
{
	run_act(request, arg, RECORD_RELEASE, QUEUE_SELECT_HELD);
}

struct checking {
	struct queue *queue;
	enum err_code code;
	struct err err;
};

static void check_snapshot(void *arg)
{
	struct checking *c = arg;
	struct err check = {.code = ERR_OK};
	c->code = cluster_log_snapshot(c->queue->log, queue_rows_check, &check, &c->err);
	if (c->code == ERR_OK && check.code)
		c->code = err_set(&c->err, check.code, "%s; nothing was removed: the file is damaged, not only rows", check.text);
	else if (c->code)
		c->code = err_wrap(&c->err, "nothing was removed");
}

// Removing rows from a tree that is broken itself could take sound ones along. All of it is read, while mail goes on.
static enum err_code check_database(struct queue *queue, struct err *err)
{
	struct checking c = {.queue = queue};
	enum err_code code = ERR_OK;
	if (queue->config.runtime)
		code = worker_run(runtime_workers(queue->config.runtime), check_snapshot, &c, err);
	else
		check_snapshot(&c);
	return code == ERR_OK && c.code ? err_set(err, c.code, "%s", c.err.text) : code;
}

static void mend(struct control_request *request, struct queue *queue)
{
	struct err err;
	struct record record = {.type = RECORD_MEND, .mend = {.at_ms = clock_wall_ms(), .who = who_asks(request),
		.why = why_so(request)}};
	struct queue_fold_answer answer = {0};
	enum err_code code = check_database(queue, &err);
	if (code == ERR_OK)
		code = queue_say(queue, &record, &answer, &err);
	if (code) {
		control_fail(request, code, "%s", err.text);
		return;
	}
	damage_forget(dispatch_damage(queue->dispatch));
	control_ok(request, json_pack("{s:I,s:I}", "messages", (json_int_t)0, "recipients", (json_int_t)answer.counted));
}

static void delete(struct control_request *request, void *arg)
{
	if (json_is_true(json_object_get(control_args(request), "damaged"))) {
		mend(request, arg);
		return;
	}
	run_act(request, arg, RECORD_DELETE, QUEUE_SELECT_ANY);
}

// --- retry ---

// What `queue.retry {again}` has done so far.
struct again {
	struct requeue_query query;
	struct requeue_found found; // of all; reply of the last
	bool then_releases;
	char reply[QUEUE_SAFE_TEXT_BYTES];
};

// What is selected of a message comes in a row; it is expanded anew once.
static enum err_code requeue_one(struct act *act, const struct record_ref *ref, struct err *err)
{
	struct again *again = act->again;
	struct arena *arena = arena_new(QUEUE_ANSWER_BYTES_MAX);
	struct requeue_found found = {.reply = STR_NONE};
	bool first = !guid_eq(&again->query.guid, &ref->guid);
	again->query.guid = ref->guid;
	enum err_code code = first ? requeue_message(act->queue, arena, &again->query, &found, err) : ERR_OK;
	again->found.copies += found.copies;
	again->found.left += found.left;
	again->found.later += found.later;
	again->found.nobody += found.nobody;
	if (found.reply.n) {
		found.reply = str_upto(found.reply, sizeof again->reply);
		memcpy(again->reply, found.reply.p, found.reply.n);
		again->found.reply = str_of(again->reply, found.reply.n);
	}
	arena_free(&arena);
	if (code == ERR_OK && again->then_releases)
		return act_on(act, ref, err);
	if (found.copies + found.later + found.nobody > 0)
		count(act, &ref->guid, found.copies);
	return code;
}

static json_t *again_json(const struct act *act)
{
	const struct requeue_found *found = &act->again->found;
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o*}", "messages", (json_int_t)act->messages, "recipients",
		(json_int_t)act->recipients, "changed", (json_int_t)found->copies, "withdrawn", (json_int_t)found->left, "later",
		(json_int_t)found->later, "nobody", (json_int_t)found->nobody, "reply",
		found->reply.n ? queue_safe_string(found->reply) : NULL);
}

// Expanded anew, and then due now: what came is due by its record, the rest is released as without `again`; with an address only
// that one's copies are looked at, and those that are right keep their time.
static void retry_again(struct control_request *request, struct queue *queue)
{
	struct err err;
	struct addr addr;
	struct again again = {.query = {.who = who_asks(request), .answers = requeue_answers_new(queue)}};
	struct act act = {.queue = queue, .type = RECORD_RELEASE, .state = QUEUE_SELECT_WAITING, .each = requeue_one,
		.who = again.query.who, .again = &again};
	struct str address = control_arg_str(request, "address");
	bool all = json_is_true(json_object_get(control_args(request), "all"));
	struct arena *arena = arena_new(QUEUE_ANSWER_BYTES_MAX);
	enum err_code code = ERR_OK;
	again.query.held = has_ids(request);
	again.then_releases = !all && address.n == 0;
	if (json_object_get(control_args(request), "to"))
		code = err_set(&err, ERR_INVALID, "which address is expanded anew is said by address, not by to");
	else if (address.n && addr_parse(arena, address, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		code = err_set(&err, ERR_INVALID, "%.*s is no address", STR_FMT(str_upto(address, 64)));
	else if (address.n)
		again.query.address = addr.key;
	if (code == ERR_OK)
		code = act_on_all(&act, request, &err);
	if (code)
		control_fail(request, code, "%s", err.text);
	else
		control_ok(request, again_json(&act));
	if (code == ERR_OK && all && address.n == 0)
		queue_flush(queue);
	requeue_answers_free(&again.query.answers);
	arena_free(&arena);
}

// Held ones stay held when all are retried: that is what holding is for. One that is named goes on.
static void retry(struct control_request *request, void *arg)
{
	struct queue *queue = arg;
	if (json_is_true(json_object_get(control_args(request), "again"))) {
		retry_again(request, queue);
		return;
	}
	const json_t *args = control_args(request);
	if (has_ids(request) || json_object_get(args, "to") || json_object_get(args, "from")) {
		run_act(request, queue, RECORD_RELEASE, QUEUE_SELECT_WAITING);
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
	control_ok(request, json_pack("{s:o,s:b,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b},s:{s:I,s:I,s:I,s:I},s:s,s:s}", "ledger",
				 ledger, "balanced", balanced, "log", "term", (json_int_t)log.term, "first",
				 (json_int_t)log.first, "applied", (json_int_t)log.applied, "records", (json_int_t)log.records,
				 "batches", (json_int_t)log.batches, "waiting", (json_int_t)log.waiting, "free_bytes",
				 (json_int_t)log.free_bytes, "short_of_space", log.short_of_space, "stuck", log.stuck, "schedule",
				 "destinations", (json_int_t)schedule.destinations, "dead", (json_int_t)schedule.dead,
				 "in_memory", (json_int_t)schedule.items, "connections", (json_int_t)schedule.agents, "disk_id",
				 guid_text(&disk_id, disk).p, "group_id", guid_text(&group_id, group).p));
}

void queue_register_commands(struct queue *queue, struct control *control)
{
	const struct control_command rows[] = {{"queue.list", queue_list, queue}, {"queue.hold", hold, queue},
		{"queue.release", release, queue}, {"queue.delete", delete, queue}, {"queue.retry", retry, queue},
		{"queue.stats", stats, queue}, {"queue.replay", queue_replay, queue}, {NULL, NULL, NULL}};
	queue->commands = calloc(1, sizeof rows);
	must(queue->commands != NULL);
	memcpy(queue->commands, rows, sizeof rows);
	control_register(control, queue->commands);
}

void queue_trouble(struct queue *queue, struct buf *text)
{
	size_t n = damage_rows(dispatch_damage(queue->dispatch));
	if (n)
		buf_printf(text,
			"%s%zu rows of the queue are damaged: `posthouse queue list damaged` shows them, `posthouse queue delete "
			"--damaged` removes them",
			text->n ? "; " : "", n);
}
