// SPDX-License-Identifier: Apache-2.0
// From what a peer said to what is recorded: outcomes, next tries, lifetimes, and the reports that they beget.
//
// A lifetime is counted from try to try: what a recipient has waited is the sum of the waits that its failed tries led to,
// recorded with each of them. A jump of the clock, or a week in which we were switched off, expires nothing; besides, the message
// must be as old by the clock (ARCHITECTURE 4). A report is entered by the same record that ends its recipients, with a guid
// derived from them, so saying it twice sends it once. A sender that cannot be resolved now puts the end off; one that nobody is
// leads to postmaster; a report to postmaster that fails is discarded (PROTOCOLS 119). On the fiber of an agent or of the
// dispatcher. Nothing is lost by a crash: the record is committed whole, or the try is made again.
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "deliver.h"
#include "mail/addr.h"
#include "queue_core.h"
#include "queue_rows.h"
#include "replay.h"
#include "report.h"

enum {
	ARENA_BYTES = 64 << 20,
	RETURNED_BYTES_MAX = 32 << 10, // read of a message that is returned
	REPORTS_BYTES_MAX = 64 << 20,  // of one RESULT: DELIVER_RECIPIENTS_MAX recipients and DELIVER_MESSAGES_MAX headers
	CODES_BYTES = 16,
};

struct committing {
	struct queue *queue;
	struct schedule_dest *dest;
	struct settings_snapshot *snapshot;
	const struct settings *settings;
	struct arena *arena;
	int64_t wall_ms;
	struct record record; // RESULT
	struct buf bodies;    // of begotten messages, in their order: at most one for each result
	struct replay_entry *kept;
};

static void log_result(const struct deliver_result *r, struct str host)
{
	static const char *const events[] = {[RECORD_DELIVERED] = "delivered", [RECORD_RELAYED] = "relayed",
	[RECORD_DEFERRED] = "deferred",
		[RECORD_BOUNCED] = "bounced", [RECORD_EXPIRED] = "expired", [RECORD_DISCARDED] = "discarded",
		[RECORD_SUPPRESSED] = "suppressed"};
	char id[GUID_SHORT_BYTES];
	const struct item *item = r->item;
	log_info(NULL, "recipient tried", log_c("outcome", events[r->outcome]),
		log_str("queue_id", guid_short(&item->message->guid, id)), log_str("recipient", item->r.address),
		log_str("destination", host), log_u64("tries", item->tries + 1), log_str("reply", r->reply));
}

// --- Lifetimes ---

static int64_t lifetime_s(const struct committing *c, const struct item *item)
{
	return item->message->sender.n ? c->settings->queue_lifetime_s : c->settings->queue_bounce_lifetime_s;
}

static bool has_waited_s(const struct committing *c, const struct item *item, int64_t limit_s)
{
	return item->waited_s >= limit_s && c->wall_ms - item->message->received_ms >= limit_s * 1000;
}

static void expire(struct committing *c, struct deliver_result *results, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (results[i].outcome == RECORD_DEFERRED && has_waited_s(c, results[i].item, lifetime_s(c, results[i].item)))
			results[i].outcome = RECORD_EXPIRED;
}

// --- Reports ---

static bool ends_badly(enum record_outcome outcome)
{
	return outcome == RECORD_BOUNCED || outcome == RECORD_EXPIRED;
}

// Does the sender want to hear this (RFC 3461 section 4.1)? Without NOTIFY failures and delays are told, success is not.
static bool is_wanted(const struct item *item, enum report_kind kind)
{
	uint8_t notify = item->r.notify & RECORD_NOTIFY_ALL;
	if (item->message->sender.n == 0 || (notify & RECORD_NOTIFY_NEVER))
		return false;
	switch (kind) {
	case REPORT_FAILURE:
		return notify == 0 || (notify & RECORD_NOTIFY_FAILURE);
	case REPORT_DELAY:
		return notify == 0 || (notify & RECORD_NOTIFY_DELAY);
	case REPORT_SUCCESS:
		return notify & RECORD_NOTIFY_SUCCESS;
	}
	unreachable("kind of a report");
}

static bool is_of_kind(const struct deliver_result *r, enum report_kind kind)
{
	switch (kind) {
	case REPORT_FAILURE:
		return ends_badly(r->outcome);
	case REPORT_DELAY:
		return r->outcome == RECORD_DEFERRED;
	case REPORT_SUCCESS: // a next hop that knows DSN tells it itself
		return r->outcome == RECORD_DELIVERED || (r->outcome == RECORD_RELAYED && !r->peer_has_dsn);
	}
	unreachable("kind of a report");
}

static struct str postmaster(struct committing *c)
{
	struct str domain = c->settings->domain.n ? c->settings->domain : c->settings->hostname;
	return arena_printf(c->arena, "postmaster@%.*s", STR_FMT(domain));
}

// By the name under which it was sent: postmaster may be an alias, or one of a mailbox's addresses.
static bool is_for_postmaster(const struct item *item)
{
	struct str local, domain;
	struct str address = item->r.original.n ? item->r.original : item->r.key;
	return str_cut(address, '@', &local, &domain) && str_eq_nocase(local, STR("postmaster"));
}

// The beginning of the message: its header, and all of it where that is not long.
static struct str original_of(struct committing *c, const struct item_message *message)
{
	struct buf body;
	struct err err;
	buf_init(&body, 1 << 20);
	bool file = message->flags & RECORD_FLAG_SPOOL;
	enum err_code code = file ? queue_rows_body_file(c->queue, message, 0, RETURNED_BYTES_MAX, &body, &err)
				  : queue_rows_body(c->queue, message, &body, &err);
	if (code) {
		log_warning(NULL, "queue: a report goes without the message it is about", log_err(&err));
		buf_clear(&body);
	}
	struct str copy = arena_dup(c->arena, buf_str(&body));
	buf_fini(&body);
	return copy;
}

enum addressee { ADDRESSEE_FOUND, ADDRESSEE_NONE, ADDRESSEE_LATER };

static enum addressee resolve(struct committing *c, struct str address, struct record_recipients *to_out)
{
	bool later = false;
	if (c->queue->config.resolve == NULL)
		return ADDRESSEE_NONE;
	if (c->queue->config.resolve(c->queue->config.arg, c->arena, address, to_out, &later) && to_out->n > 0)
		return ADDRESSEE_FOUND;
	return later ? ADDRESSEE_LATER : ADDRESSEE_NONE;
}

// Whom a report goes to: the sender; postmaster, when a failure's sender is nobody.
static enum addressee find_addressee(struct committing *c, struct report_facts *facts, struct str sender,
	struct record_recipients *to_out)
{
	enum addressee found = ADDRESSEE_NONE;
	facts->to = sender;
	if (sender.n)
		found = resolve(c, sender, to_out);
	if (found == ADDRESSEE_NONE && facts->kind == REPORT_FAILURE) {
		facts->to = postmaster(c);
		found = resolve(c, facts->to, to_out);
	}
	return found;
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

// Adds the report to what the record begets.
static void beget(struct committing *c, struct record_enters *begets, const struct item_message *message,
	struct report_facts *facts, struct record_recipients to)
{
	struct buf text;
	buf_init(&text, report_bytes_max(facts));
	must(report_build(facts, &text));
	must(buf_add(&c->bodies, buf_str(&text)));
	uint8_t *digest = arena_must(c->arena, RECORD_DIGEST_BYTES);
	must(EVP_Digest(text.p, text.n, digest, NULL, EVP_sha256(), NULL) == 1);
	for (size_t i = 0; i < to.n; i++)
		to.v[i].number = (uint32_t)(i + 1);
	unsigned flags = (facts->utf8 ? RECORD_FLAG_UTF8 : 0u) | (is_ascii(buf_str(&text)) ? 0u : RECORD_FLAG_8BIT);
	begets->v[begets->n++] = (struct record_enter){.guid = facts->guid, .root = facts->guid, .parent = message->guid,
		.kind = facts->kind == REPORT_DELAY ? RECORD_DELAY : RECORD_DSN, .flags = (uint8_t)flags,
		.received_ms = c->wall_ms,
		.body_bytes = text.n, .digest = str_of((char *)digest, RECORD_DIGEST_BYTES), .recipients = to};
	buf_fini(&text);
}

static void put_off(struct deliver_result *results, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ends_badly(results[i].outcome))
			results[i].outcome = RECORD_DEFERRED;
}

static void discard(struct deliver_result *results, size_t n, const char *why)
{
	char id[GUID_SHORT_BYTES];
	for (size_t i = 0; i < n; i++) {
		if (!ends_badly(results[i].outcome))
			continue;
		results[i].outcome = RECORD_DISCARDED;
		log_error(NULL, "queue: a recipient failed and nobody can be told", log_c("reason", why),
			log_str("queue_id", guid_short(&results[i].item->message->guid, id)),
			log_str("recipient", results[i].item->r.address));
	}
}

// Failures of a report (or of any message from <>) concern postmaster, once.
static bool is_about_report(const struct item_message *message)
{
	return message->sender.n == 0;
}

// One that an alias or a forward led to: its reply and who gave it would tell where (PROTOCOLS 121). The codes tell enough.
static struct str codes_of(struct arena *arena, struct str reply)
{
	struct str code, rest, status, text;
	if (!str_cut(reply, ' ', &code, &rest) || !str_cut(rest, ' ', &status, &text) || code.n + status.n > CODES_BYTES)
		return str_upto(reply, 3);
	return arena_printf(arena, "%.*s %.*s", STR_FMT(code), STR_FMT(status));
}

static struct report_recipient line_of(struct committing *c, const struct deliver_result *r)
{
	const struct item *item = r->item;
	bool hidden = item->r.original.n > 0;
	return (struct report_recipient){.address = hidden ? item->r.original : item->r.address, .orcpt = item->r.orcpt,
		.reply = hidden ? codes_of(c->arena, r->reply) : r->reply, .remote = r->by_peer && !hidden ? r->remote : STR_NONE,
		.relayed = r->outcome == RECORD_RELAYED};
}

// The lines of a report of this kind; failures that nobody can be told of are discarded.
static size_t collect(struct committing *c, struct deliver_result *results, size_t n, enum report_kind kind,
	struct report_recipient *lines, struct str *first_key_out)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++) {
		const struct item *item = results[i].item;
		if (!is_of_kind(&results[i], kind) || (item->message->flags & RECORD_FLAG_REPLAY))
			continue;
		bool of_report = kind == REPORT_FAILURE && is_about_report(item->message);
		if (of_report && is_for_postmaster(item)) {
			discard(&results[i], 1, "postmaster's mailbox does not take it");
			continue;
		}
		if (!of_report && !is_wanted(item, kind))
			continue;
		if (count == 0)
			*first_key_out = item->r.key;
		lines[count++] = line_of(c, &results[i]);
	}
	return count;
}

// What the results of one message beget, of one kind.
static void report(struct committing *c, struct record_enters *begets, struct deliver_result *results, size_t n,
	enum report_kind kind)
{
	const struct item_message *message = results[0].item->message;
	struct report_recipient *lines = arena_must(c->arena, n * sizeof *lines);
	struct record_recipients addressees = {NULL, 0};
	struct str first_key = STR_NONE;
	char id[GUID_SHORT_BYTES];
	struct report_facts facts = {.kind = kind, .hostname = c->settings->hostname, .queue_id = guid_short(&message->guid, id),
		.envid = message->envid, .arrived_ms = message->received_ms, .now_ms = c->wall_ms,
		.gives_up_ms = message->received_ms + c->settings->queue_lifetime_s * 1000, .recipients = lines,
		.return_full = message->flags & RECORD_FLAG_RET_FULL, .utf8 = message->flags & RECORD_FLAG_UTF8};
	facts.n = collect(c, results, n, kind, lines, &first_key);
	if (facts.n == 0)
		return;
	facts.guid = guid_derive(&message->guid, first_key,
		str_of_c(record_kind_name(kind == REPORT_DELAY ? RECORD_DELAY : RECORD_DSN)));
	switch (find_addressee(c, &facts, message->sender, &addressees)) {
	case ADDRESSEE_FOUND:
		facts.original = original_of(c, message);
		facts.original_is_whole = facts.original.n == message->body_bytes;
		beget(c, begets, message, &facts, addressees);
		return;
	case ADDRESSEE_LATER:
		put_off(results, n);
		return;
	case ADDRESSEE_NONE:
		if (kind == REPORT_FAILURE)
			discard(results, n, "neither its addressee nor postmaster is anybody");
		return;
	}
	unreachable("addressee");
}

// Calls report for each message: its recipients stand together.
static void report_each(struct committing *c, struct record_enters *begets, struct deliver_result *results, size_t n,
	enum report_kind kind)
{
	for (size_t i = 0; i < n;) {
		size_t end = i + 1;
		while (end < n && guid_eq(&results[end].item->message->guid, &results[i].item->message->guid))
			end++;
		report(c, begets, results + i, end - i, kind);
		i = end;
	}
}

// --- The records ---

struct committed {
	struct dispatch *dispatch;
	struct schedule_dest *dest;
	struct item *items;
	struct replay *replay;
	struct replay_entry *kept;
};

static void result_done(struct queue_proposal *proposal, void *arg)
{
	struct committed *committed = arg;
	if (proposal->p.verdict == CLUSTER_REFUSED)
		log_warning(NULL, "queue: a result was not recorded, the try will be made again", log_err(&proposal->p.err));
	else
		replay_add(committed->replay, &committed->kept);
	replay_entry_free(&committed->kept);
	dispatch_done(committed->dispatch, committed->dest, &committed->items);
	free(committed);
}

static void fill_results(struct committing *c, const struct deliver_result *results, size_t n, struct record_results *out)
{
	out->v = arena_must(c->arena, n * sizeof *out->v);
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		const struct deliver_result *r = &results[i];
		out->v[i] = (struct record_one_result){.guid = r->item->message->guid,
			.number = r->item->r.number,
			.outcome = r->outcome,
			.reply = str_upto(r->reply, RECORD_TEXT_BYTES_MAX)};
		if (r->outcome != RECORD_DEFERRED)
			continue;
		int64_t wait_ms = dispatch_backoff_ms(c->queue->dispatch, r->item->tries);
		int64_t waited_s = (int64_t)r->item->waited_s + wait_ms / 1000;
		out->v[i].next_try_ms = c->wall_ms + wait_ms;
		out->v[i].waited_s = waited_s > UINT32_MAX ? UINT32_MAX : (uint32_t)waited_s;
	}
}

static bool is_late(const struct committing *c, const struct deliver_result *r)
{
	return c->settings->queue_warning_s > 0 && r->outcome == RECORD_DEFERRED && !r->item->warned &&
	       has_waited_s(c, r->item, c->settings->queue_warning_s);
}

// WARNED for those that are late now. It stands for itself: lost, it is said with the next try.
static void warn(struct committing *c, struct deliver_result *results, size_t n)
{
	struct deliver_result *late = arena_must(c->arena, n * sizeof *late);
	struct record_refs refs = {arena_must(c->arena, n * sizeof *refs.v), 0};
	for (size_t i = 0; i < n; i++)
		if (is_late(c, &results[i])) {
			late[refs.n] = results[i];
			refs.v[refs.n++] = (struct record_ref){results[i].item->message->guid, results[i].item->r.number};
		}
	if (refs.n == 0)
		return;
	struct record record = {.type = RECORD_WARNED, .warned = {.at_ms = c->wall_ms, .refs = refs}};
	record.warned.begets.v = arena_must(c->arena, refs.n * sizeof(struct record_enter));
	buf_clear(&c->bodies);
	report_each(c, &record.warned.begets, late, refs.n, REPORT_DELAY);
	struct queue_proposal *proposal = queue_proposal_new(c->queue, &record, REPORTS_BYTES_MAX);
	if (proposal == NULL)
		return;
	must(buf_add(&proposal->body, buf_str(&c->bodies)));
	queue_proposal_submit(proposal);
}

static void submit(struct committing *c, struct deliver_result *results, size_t n)
{
	struct committed *committed = calloc(1, sizeof *committed);
	must(committed != NULL);
	*committed = (struct committed){.dispatch = c->queue->dispatch, .dest = c->dest, .replay = c->queue->replay,
		.kept = c->kept};
	struct queue_proposal *proposal = queue_proposal_new(c->queue, &c->record, REPORTS_BYTES_MAX);
	must(proposal != NULL); // so few results stay far below RECORD_BYTES_MAX
	must(buf_add(&proposal->body, buf_str(&c->bodies)));
	for (size_t i = n; i-- > 0;) {
		results[i].item->next = committed->items;
		committed->items = results[i].item;
		results[i].item = NULL;
	}
	proposal->done = result_done;
	proposal->arg = committed;
	queue_proposal_submit(proposal);
}

void deliver_commit(struct queue *queue, struct schedule_dest *dest, uint64_t attempt, struct deliver_result *results, size_t n,
	struct replay_entry *kept)
{
	must(n > 0 && n <= DELIVER_RECIPIENTS_MAX);
	struct committing c = {.queue = queue, .dest = dest, .snapshot = queue_settings(queue), .arena = arena_new(ARENA_BYTES),
		.wall_ms = clock_wall_ms(), .kept = kept};
	c.settings = settings_of(c.snapshot);
	c.record = (struct record){.type = RECORD_RESULT, .result = {.attempt = attempt, .at_ms = c.wall_ms}};
	c.record.result.begets.v = arena_must(c.arena, 2 * n * sizeof(struct record_enter));
	buf_init(&c.bodies, REPORTS_BYTES_MAX);
	expire(&c, results, n);
	report_each(&c, &c.record.result.begets, results, n, REPORT_FAILURE);
	report_each(&c, &c.record.result.begets, results, n, REPORT_SUCCESS);
	fill_results(&c, results, n, &c.record.result.results);
	for (size_t i = 0; i < n; i++)
		log_result(&results[i], schedule_name(dest));
	// The warnings need the items, the results take them along: the order of the two records does not matter.
	struct buf bodies = c.bodies;
	buf_init(&c.bodies, REPORTS_BYTES_MAX);
	warn(&c, results, n);
	buf_fini(&c.bodies);
	c.bodies = bodies;
	submit(&c, results, n);
	buf_fini(&c.bodies);
	settings_unref(&c.snapshot);
	arena_free(&c.arena);
}
