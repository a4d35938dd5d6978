// SPDX-License-Identifier: Apache-2.0
// EXPAND: a list becomes a message of its own (schema/FORMATS.md section 5).
//
// Happy path: the directory says who is behind the address (large groups are looked up on a worker); the body gets a second name
// or goes along in the record, or the list has one of its own with its fields in the header (list_body.h); one EXPAND closes the
// recipient and enters the list's message. With more than EXPAND_PART_MAX members that message has parts of the list for
// recipients, and each is made its members by a record of its own, one after the other, so that no record is large and others'
// mail goes in between.
// Failure: what the directory does not know now is tried again, as a delivery is; a list of nobody is reported to the sender, and
// so is a message that this list has sent before: mostly its owner's report, about a member who sends its copies back.
// Crash story: nothing before the first EXPAND counts (a file without a row is swept at start, or made anew by the next try).
// After it the parts are rows: those that were not expanded are due a minute later. A member belongs to a part by the hash of its
// address, so a directory that changed meanwhile sends nobody two copies. An EXPAND that is said twice finds no row the second
// time.
#include "expand.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/runtime.h"
#include "deliver.h"
#include "list_body.h"
#include "mail/lmtp.h"
#include "queue_core.h"
#include "queue_rows.h"
#include "submission_header.h"
#include "trace_header.h"

enum {
	ARENA_BYTES_MAX = 512 << 20, // 100,000 members with their reasons
};

struct expand {
	struct dispatch_agent *slot;
	struct queue *queue;
	struct arena *arena;
	const struct item *item;
	const struct item_message *message;
	struct queue_expansion list;
	struct str posted_by; // the sender of the message that the list was a recipient of; "": <>
	int64_t wall_ms;
};

// --- Parts ---

struct part {
	uint32_t k, n; // the k-th of n; 1 of 1: all
};

// What is asked for of a recipient (schema/record.h).
enum asked { ASKED_ALL, ASKED_PART, ASKED_MODERATORS, ASKED_REFUSED, ASKED_UNKNOWN };

// "k/n", "k/n sender": who posted is asked about again when a crash came between two parts.
static bool part_parse(struct str detail, struct part *part_out, struct str *sender_out)
{
	struct str k_text, n_text, numbers = detail, sender = STR("");
	uint64_t k, n;
	str_cut(detail, ' ', &numbers, &sender);
	if (!str_cut(numbers, '/', &k_text, &n_text) || !str_to_u64(k_text, UINT16_MAX, &k) ||
		!str_to_u64(n_text, UINT16_MAX, &n) || k == 0 || k > n)
		return false;
	*part_out = (struct part){(uint32_t)k, (uint32_t)n};
	*sender_out = sender;
	return true;
}

static enum asked asked_for(struct str detail, struct part *part_out, struct str *sender_out)
{
	if (detail.n == 0)
		return ASKED_ALL;
	if (str_eq(detail, STR(RECORD_EXPAND_MODERATED)))
		return ASKED_MODERATORS;
	if (str_starts(detail, STR(RECORD_EXPAND_REFUSED)))
		return ASKED_REFUSED;
	return part_parse(detail, part_out, sender_out) ? ASKED_PART : ASKED_UNKNOWN;
}

static bool is_in(const struct part *part, const struct record_recipient *r)
{
	return str_hash(r->key) % part->n == part->k - 1;
}

// What each copy says beside its address: reports about a list's copies reach its owner, who may know the members; those about a
// group's reach the sender, who may know only the group (PROTOCOLS 121).
static void dress(const struct expand *x, struct record_recipient *r)
{
	const struct record_recipient *list = &x->item->r;
	bool to_owner = x->list.is_list && x->list.owner.n;
	r->original = to_owner ? STR_NONE : item_asked(list);
	r->orcpt = x->list.is_list ? STR_NONE : list->orcpt;
	r->notify = to_owner ? RECORD_NOTIFY_FAILURE : list->notify & RECORD_NOTIFY_ALL;
}

// The members of a part, numbered from first; at most as many as numbers are left (the next part of a list that grew so has them
// not: they joined while it was sent).
static struct record_recipients members_of(const struct expand *x, const struct part *part, uint32_t first)
{
	size_t n = 0;
	for (size_t i = 0; i < x->list.to.n; i++)
		n += is_in(part, &x->list.to.v[i]);
	if (n >= 1u << RECORD_PART_BITS)
		n = (1u << RECORD_PART_BITS) - 1;
	struct record_recipients to = {arena_must(x->arena, (n + 1) * sizeof *to.v), 0};
	for (size_t i = 0; i < x->list.to.n && to.n < n; i++) {
		if (!is_in(part, &x->list.to.v[i]))
			continue;
		struct record_recipient *r = &to.v[to.n];
		*r = x->list.to.v[i];
		dress(x, r);
		r->number = first + (uint32_t)to.n++;
	}
	return to;
}

// The list as n recipients, one a part.
static struct record_recipients parts_of(const struct expand *x, uint32_t n)
{
	struct record_recipients to = {arena_must(x->arena, n * sizeof *to.v), n};
	for (uint32_t k = 1; k <= n; k++) {
		to.v[k - 1] = (struct record_recipient){.number = k, .target = RECORD_TO_EXPAND, .address = x->item->r.address,
			.key = x->item->r.key, .destination = STR(RECORD_EXPAND_DESTINATION),
			.detail = arena_printf(x->arena, "%" PRIu32 "/%" PRIu32 "%s%.*s", k, n, x->posted_by.n ? " " : "",
			STR_FMT(x->posted_by))};
		dress(x, &to.v[k - 1]);
	}
	return to;
}

// --- The records ---

// Proposes and waits. body: of the message that it begets, which it takes; NULL: it begets none. ERR_OK: committed, whether it
// counted or had been said before.
static enum err_code say(const struct expand *x, const struct record_expand *expand, struct spool_contents *body, struct err *err)
{
	struct record record = {.type = RECORD_EXPAND, .expand = *expand};
	struct call *call = queue_proposal_call(x->queue, &record, 0);
	if (call == NULL) {
		if (body)
			buf_fini(&body->body);
		return err_set(err, ERR_LIMIT, "the expansion of %.*s is too long for a record", STR_FMT(x->item->r.address));
	}
	struct queue_proposal *proposal = call_payload(call);
	if (body)
		proposal->body = body->body;
	proposal->p.body = body && !body->file ? buf_str(&proposal->body) : STR_NONE;
	cluster_log_propose(x->queue->log, call);
	enum err_code code = call_wait(call, CLOCK_NEVER);
	if (code == ERR_OK && proposal->p.verdict == CLUSTER_REFUSED)
		code = err_set(err, proposal->p.err.code, "%s", proposal->p.err.text);
	else if (code)
		err_set(err, code, "not committed yet");
	call_drop(&call);
	return code;
}

static struct record_enter child_of(const struct expand *x, const struct spool_contents *body, struct record_recipients to)
{
	const struct item_message *m = x->message;
	bool to_owner = x->list.is_list && x->list.owner.n;
	unsigned flags = m->flags & ~(unsigned)(RECORD_FLAG_SPOOL | RECORD_FLAG_OPEN_END);
	if (to_owner) // the sender's wishes, not the owner's
		flags &= ~(unsigned)(RECORD_FLAG_RET_FULL | RECORD_FLAG_RET_HDRS);
	return (struct record_enter){
		.guid = body->guid,
		.root = m->root,
		.parent = m->guid,
		.kind = RECORD_LIST,
		.flags = (uint8_t)(flags | (body->file ? RECORD_FLAG_SPOOL : 0) | (body->open_end ? RECORD_FLAG_OPEN_END : 0)),
		.sender = to_owner ? x->list.owner : m->sender,
		.envid = to_owner ? STR_NONE : m->envid,
		.source = str_upto(x->item->r.address, RECORD_TEXT_BYTES_MAX),
		.received_ms = x->wall_ms,
		.body_bytes = body->bytes,
		.digest = str_of((const char *)body->digest, sizeof body->digest),
		.recipients = to,
	};
}

// A part of the list that this message is.
static enum err_code expand_part(const struct expand *x, const struct guid *guid, const struct part *part, struct err *err)
{
	const struct record_expand expand = {.guid = *guid, .number = part->k, .at_ms = x->wall_ms,
		.into = members_of(x, part, (part->k << RECORD_PART_BITS) + 1)};
	return say(x, &expand, NULL, err);
}

static void tell(const struct expand *x, const struct record_enter *child)
{
	char id[GUID_SHORT_BYTES], child_id[GUID_SHORT_BYTES];
	log_info(NULL, "recipient expanded", log_str("queue_id", guid_short(&x->message->guid, id)),
		log_str("recipient", x->item->r.address), log_str("into", guid_short(&child->guid, child_id)),
		log_str("sender", child->sender), log_u64("members", x->list.to.n));
}

// The message that the list sends, and its parts when it has many.
static enum err_code beget(struct expand *x, struct spool_contents *body, struct err *err)
{
	struct part part = {1, (uint32_t)((x->list.to.n + x->queue->expand_part_max - 1) / x->queue->expand_part_max)};
	struct record_enter child = child_of(x, body, part.n == 1 ? members_of(x, &part, 1) : parts_of(x, part.n));
	const struct record_expand expand = {
		.guid = x->message->guid, .number = x->item->r.number, .at_ms = x->wall_ms, .begets = {&child, 1}};
	char child_id[GUID_SHORT_BYTES];
	enum err_code code = say(x, &expand, body, err);
	if (code)
		return code;
	tell(x, &child);
	for (; part.n > 1 && part.k <= part.n; part.k++) {
		if (expand_part(x, &child.guid, &part, err)) { // its row stays, and is due in a minute
			log_warning(NULL, "queue: a part of a list waits", log_str("queue_id", guid_short(&child.guid, child_id)),
				log_err(err));
			break;
		}
	}
	return ERR_OK;
}

// ERR_OK with *came_back_out: a loop, and nothing was done.
static enum err_code expand_list(struct expand *x, bool to_moderators, bool *came_back_out, struct err *err)
{
	struct guid child = guid_derive(&x->message->guid, x->item->r.key, str_of_c(record_kind_name(RECORD_LIST)));
	struct spool_contents body;
	struct buf start;
	bool known;
	if (to_moderators && x->list.to.n > x->queue->expand_part_max)
		return err_set(err, ERR_LIMIT, "%.*s has more than %zu moderators", STR_FMT(x->item->r.address),
			(size_t)x->queue->expand_part_max);
	enum err_code code = queue_knows(x->queue, &child, &known, err);
	if (code || known) // it was said before
		return code;
	if (x->list.header == NULL) {
		code = list_body_share(x->queue, x->message, &child, &body, err);
		return code ? code : beget(x, &body, err);
	}
	code = list_body_start(x->queue, x->message, &start, err);
	if (code)
		return code;
	*came_back_out = list_header_came_back(x->list.header, buf_str(&start));
	if (!*came_back_out)
		code = to_moderators ? list_body_share(x->queue, x->message, &child, &body, err)
				     : list_body_make(x->queue, x->message, x->list.header, buf_str(&start), &child, &body, err);
	buf_fini(&start);
	return code || *came_back_out ? code : beget(x, &body, err);
}

// --- One recipient ---

// What is not expanded gets a result, as a delivery that failed.
static void put_result(struct expand *x, struct item *item, enum record_outcome outcome, struct str reply)
{
	struct deliver_result result = {.item = item, .outcome = outcome, .reply = reply};
	deliver_commit(x->queue, x->slot->dest, 0, &result, 1, NULL);
}

// Of a part all was asked when its message was made, but for its members of now.
static enum queue_expand_answer ask(struct expand *x, enum asked asked)
{
	const uint64_t added = LMTP_ADDED_BYTES_MAX;
	_Static_assert((int)TRACE_BYTES_MAX + (int)SUBMISSION_HEADER_ADDED_BYTES <= (int)LMTP_ADDED_BYTES_MAX,
		"it covers what we add");
	const struct queue_expand_query query = {.address = x->item->r.address, .sender = x->posted_by,
		.authenticated = x->message->flags & RECORD_FLAG_LOGIN,
		.from_list = x->message->kind == RECORD_LIST && asked != ASKED_PART,
		.moderated = asked == ASKED_MODERATORS,
		.message_bytes = asked == ASKED_ALL && x->message->body_bytes > added ? x->message->body_bytes - added : 0};
	if (x->queue->config.expand)
		return x->queue->config.expand(x->queue->config.arg, x->arena, &query, &x->list);
	x->list.reply = STR("451 4.3.0 nobody to ask who is behind the address");
	return QUEUE_EXPAND_LATER;
}

static void expand_known(struct expand *x, struct item *item, enum asked asked, const struct part *part)
{
	struct err err;
	bool came_back = false;
	enum err_code code = asked == ASKED_PART ? expand_part(x, &x->message->guid, part, &err)
						 : expand_list(x, asked == ASKED_MODERATORS, &came_back, &err);
	if (code)
		put_result(x, item, RECORD_DEFERRED, arena_printf(x->arena, "451 4.3.0 %s", err.text));
	else if (came_back)
		put_result(x, item, RECORD_BOUNCED, STR("550 5.4.6 this list has sent the message before"));
	else
		dispatch_done(x->slot->dispatch, x->slot->dest, &item);
}

static void expand_asked(struct expand *x, struct item *item, enum asked asked, const struct part *part)
{
	switch (ask(x, asked)) {
	case QUEUE_EXPAND_DONE:
		expand_known(x, item, asked, part);
		return;
	case QUEUE_EXPAND_LATER:
		put_result(x, item, RECORD_DEFERRED, x->list.reply);
		return;
	case QUEUE_EXPAND_NOBODY: // a part may have lost its last member
		put_result(x, item, asked == ASKED_PART ? RECORD_SUPPRESSED : RECORD_BOUNCED, x->list.reply);
		return;
	}
	unreachable("queue_expand_answer");
}

static void expand_one(struct dispatch_agent *slot, struct item *item)
{
	struct expand x = {.slot = slot, .queue = slot->queue, .arena = arena_new(ARENA_BYTES_MAX), .item = item,
	.message = item->message,
		.posted_by = item->message->sender, .wall_ms = clock_wall_ms()};
	struct part part;
	enum asked asked = asked_for(item->r.detail, &part, &x.posted_by);
	switch (asked) {
	case ASKED_ALL:
	case ASKED_PART:
	case ASKED_MODERATORS:
		expand_asked(&x, item, asked, &part);
		break;
	case ASKED_REFUSED:
		put_result(&x, item, RECORD_BOUNCED, str_from(item->r.detail, sizeof RECORD_EXPAND_REFUSED - 1));
		break;
	case ASKED_UNKNOWN:
		put_result(&x, item, RECORD_DEFERRED, STR("451 4.3.0 what is asked of the list is not known to this version"));
		break;
	}
	arena_free(&x.arena);
}

void expand_message(struct dispatch_agent *slot, struct item *list)
{
	if (!slot->connected)
		dispatch_connected(slot); // there is nothing to connect to
	while (list) {
		struct item *item = list;
		list = item->next;
		item->next = NULL;
		expand_one(slot, item);
	}
	dispatch_succeeded(slot);
}
