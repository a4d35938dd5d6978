// SPDX-License-Identifier: Apache-2.0
// From what a peer said to what is recorded: outcomes, next tries, lifetimes, and the reports that they beget.
//
// A lifetime is counted from try to try: what a recipient has waited is the sum of the waits that its failed tries led to, recorded with
// each of them. A jump of the clock, or a week in which we were switched off, expires nothing; besides, the message must be as old by the
// clock (ARCHITECTURE 4).
// A report is entered by the same record that ends its recipients, with a guid derived from them, so saying it twice sends it once. A
// sender that cannot be resolved now puts the end off; one that nobody is leads to postmaster; a report to postmaster that fails is
// discarded (PROTOCOLS 119).
// On the fiber of an agent or of the dispatcher. Nothing is lost by a crash: the record is committed whole, or the try is made again.
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "deliver.h"
#include "dsn.h"
#include "mail/addr.h"
#include "queue_core.h"
#include "queue_rows.h"

enum { ARENA_BYTES = 64 << 20, BODIES_BYTES_MAX = DELIVER_MESSAGES_MAX * DSN_BYTES_MAX };

struct committing {
	struct queue *queue;
	struct schedule_dest *dest;
	struct settings_snapshot *snapshot;
	const struct settings *settings;
	struct arena *arena;
	int64_t wall_ms;
	struct str remote;
	bool peer_has_dsn;
	struct record record; // RESULT
	struct buf bodies;    // of begotten messages, in their order: at most one for each result
};

static void log_result(const struct deliver_result *r, struct str host)
{
	static const char *const events[] = {[RECORD_DELIVERED] = "delivered", [RECORD_RELAYED] = "relayed", [RECORD_DEFERRED] = "deferred",
		[RECORD_BOUNCED] = "bounced", [RECORD_EXPIRED] = "expired", [RECORD_DISCARDED] = "discarded",
		[RECORD_SUPPRESSED] = "suppressed"};
	char id[GUID_SHORT_BYTES];
	const struct item *item = r->item;
	log_info(NULL, "recipient tried", log_c("outcome", events[r->outcome]), log_str("queue_id", guid_short(&item->message->guid, id)),
		log_str("recipient", item->r.address), log_str("destination", host), log_u64("tries", item->tries + 1),
		log_str("reply", r->reply));
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

static bool action_of(const struct committing *c, const struct deliver_result *r, bool late, enum dsn_action *action_out)
{
	if (late && r->outcome == RECORD_DEFERRED)
		*action_out = DSN_DELAYED;
	else if (!late && ends_badly(r->outcome))
		*action_out = DSN_FAILED;
	else if (!late && r->outcome == RECORD_DELIVERED)
		*action_out = DSN_DELIVERED;
	else if (!late && r->outcome == RECORD_RELAYED && !c->peer_has_dsn)
		*action_out = DSN_RELAYED;
	else
		return false;
	return true;
}

static struct str postmaster(struct committing *c)
{
	struct str domain = c->settings->domain.n ? c->settings->domain : c->settings->hostname;
	return arena_printf(c->arena, "postmaster@%.*s", STR_FMT(domain));
}

static bool is_postmaster(struct str key)
{
	struct str local, domain;
	return str_cut(key, '@', &local, &domain) && str_eq_nocase(local, STR("postmaster"));
}

// The beginning of the message: all of it where a report may return all, else what has the header.
static struct str original_of(struct committing *c, const struct item_message *message)
{
	struct buf body;
	struct err err;
	buf_init(&body, 1 << 20);
	bool file = message->flags & RECORD_FLAG_SPOOL;
	enum err_code code = file ? queue_rows_body_file(c->queue, message, 0, DSN_RETURNED_BYTES_MAX, &body, &err)
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

// Whom a report goes to. dsn->addressee and double_bounce are set.
static enum addressee find_addressee(struct committing *c, struct dsn *dsn, struct record_recipients *to_out)
{
	enum addressee found = ADDRESSEE_NONE;
	dsn->addressee = dsn->message->sender;
	if (dsn->addressee.n)
		found = resolve(c, dsn->addressee, to_out);
	if (found == ADDRESSEE_NONE && dsn->to[0].action == DSN_FAILED) {
		dsn->double_bounce = true;
		dsn->addressee = postmaster(c);
		found = resolve(c, dsn->addressee, to_out);
	}
	return found;
}

// Adds the report to what the record begets.
static bool beget(struct committing *c, struct record_enters *begets, struct dsn *dsn, struct record_recipients to)
{
	struct buf text;
	buf_init(&text, DSN_BYTES_MAX);
	dsn->original = original_of(c, dsn->message);
	bool ok = dsn_write(dsn, &text) && buf_add(&c->bodies, buf_str(&text));
	uint8_t *digest = arena_must(c->arena, RECORD_DIGEST_BYTES);
	uint64_t bytes = text.n;
	must(EVP_Digest(text.p, text.n, digest, NULL, EVP_sha256(), NULL) == 1);
	buf_fini(&text);
	if (!ok)
		return false;
	for (size_t i = 0; i < to.n; i++)
		to.v[i].number = (uint32_t)(i + 1);
	begets->v[begets->n++] = (struct record_enter){.guid = dsn->guid, .root = dsn->guid, .parent = dsn->message->guid,
		.kind = dsn->to[0].action == DSN_DELAYED ? RECORD_DELAY : RECORD_DSN, .flags = dsn_flags(dsn), .received_ms = c->wall_ms,
		.body_bytes = bytes, .digest = str_of((char *)digest, RECORD_DIGEST_BYTES), .recipients = to};
	return true;
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
	for (size_t i = 0; i < n; i++)
		if (ends_badly(results[i].outcome))
			results[i].outcome = RECORD_DISCARDED;
	log_error(NULL, "queue: a report is dropped", log_c("reason", why), log_str("queue_id", guid_short(&results[0].item->message->guid, id)),
		log_str("recipient", results[0].item->r.address));
}

// Failures of a report (or of any message from <>) concern postmaster, once.
static bool is_about_report(const struct item_message *message)
{
	return message->sender.n == 0;
}

// What the results of one message beget; late: the delay warning of those that are deferred.
static void report(struct committing *c, struct record_enters *begets, struct deliver_result *results, size_t n, bool late)
{
	const struct item_message *message = results[0].item->message;
	struct dsn_recipient *to = arena_must(c->arena, n * sizeof *to);
	struct dsn dsn = {.message = message, .to = to, .hostname = c->settings->hostname, .remote = c->remote, .wall_ms = c->wall_ms,
		.retry_until_ms = message->received_ms + c->settings->queue_lifetime_s * 1000};
	for (size_t i = 0; i < n; i++) {
		enum dsn_action action;
		bool failure = ends_badly(results[i].outcome);
		if (!action_of(c, &results[i], late, &action))
			continue;
		if (failure && is_about_report(message) && is_postmaster(results[i].item->r.key)) {
			discard(&results[i], 1, "postmaster's mailbox does not take it");
			continue;
		}
		if (dsn_is_wanted(results[i].item, action) || (failure && is_about_report(message)))
			to[dsn.n++] = (struct dsn_recipient){results[i].item, action, results[i].reply, results[i].by_peer};
	}
	if (dsn.n == 0)
		return;
	dsn.guid = guid_derive(&message->guid, to[0].item->r.key, str_of_c(record_kind_name(late ? RECORD_DELAY : RECORD_DSN)));
	struct record_recipients addressees = {NULL, 0};
	switch (find_addressee(c, &dsn, &addressees)) {
	case ADDRESSEE_FOUND:
		if (!beget(c, begets, &dsn, addressees))
			log_error(NULL, "queue: a report is too long and is not sent", log_str("sender", message->sender));
		return;
	case ADDRESSEE_LATER:
		put_off(results, n);
		return;
	case ADDRESSEE_NONE:
		if (!late)
			discard(results, n, "neither its addressee nor postmaster is anybody");
		return;
	}
	unreachable("addressee");
}

// Calls report for each message: its recipients stand together.
static void report_each(struct committing *c, struct record_enters *begets, struct deliver_result *results, size_t n, bool late)
{
	for (size_t i = 0; i < n;) {
		size_t end = i + 1;
		while (end < n && guid_eq(&results[end].item->message->guid, &results[i].item->message->guid))
			end++;
		report(c, begets, results + i, end - i, late);
		i = end;
	}
}

// --- The records ---

struct committed {
	struct dispatch *dispatch;
	struct schedule_dest *dest;
	struct item *items;
};

static void result_done(struct queue_proposal *proposal, void *arg)
{
	struct committed *committed = arg;
	if (proposal->p.verdict == CLUSTER_REFUSED)
		log_warning(NULL, "queue: a result was not recorded, the try will be made again", log_err(&proposal->p.err));
	dispatch_done(committed->dispatch, committed->dest, &committed->items);
	free(committed);
}

static void fill_results(struct committing *c, const struct deliver_result *results, size_t n, struct record_results *out)
{
	out->v = arena_must(c->arena, n * sizeof *out->v);
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		const struct deliver_result *r = &results[i];
		out->v[i] = (struct record_one_result){.guid = r->item->message->guid, .number = r->item->r.number, .outcome = r->outcome,
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
	report_each(c, &record.warned.begets, late, refs.n, true);
	struct queue_proposal *proposal = queue_proposal_new(c->queue, &record, BODIES_BYTES_MAX);
	if (proposal == NULL)
		return;
	must(buf_add(&proposal->body, buf_str(&c->bodies)));
	queue_proposal_submit(proposal);
}

static void submit(struct committing *c, struct deliver_result *results, size_t n)
{
	struct committed *committed = calloc(1, sizeof *committed);
	must(committed != NULL);
	*committed = (struct committed){.dispatch = c->queue->dispatch, .dest = c->dest};
	struct queue_proposal *proposal = queue_proposal_new(c->queue, &c->record, BODIES_BYTES_MAX);
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
	struct str remote, bool peer_has_dsn)
{
	must(n > 0 && n <= DELIVER_RECIPIENTS_MAX);
	struct committing c = {.queue = queue, .dest = dest, .snapshot = queue_settings(queue), .arena = arena_new(ARENA_BYTES),
		.wall_ms = clock_wall_ms(), .remote = remote, .peer_has_dsn = peer_has_dsn};
	c.settings = settings_of(c.snapshot);
	c.record = (struct record){.type = RECORD_RESULT, .result = {.attempt = attempt, .at_ms = c.wall_ms}};
	c.record.result.begets.v = arena_must(c.arena, n * sizeof(struct record_enter));
	buf_init(&c.bodies, BODIES_BYTES_MAX);
	expire(&c, results, n);
	report_each(&c, &c.record.result.begets, results, n, false);
	fill_results(&c, results, n, &c.record.result.results);
	for (size_t i = 0; i < n; i++)
		log_result(&results[i], schedule_name(dest));
	// The warnings need the items, the results take them along: the order of the two records does not matter.
	struct buf bodies = c.bodies;
	buf_init(&c.bodies, BODIES_BYTES_MAX);
	warn(&c, results, n);
	buf_fini(&c.bodies);
	c.bodies = bodies;
	submit(&c, results, n);
	buf_fini(&c.bodies);
	settings_unref(&c.snapshot);
	arena_free(&c.arena);
}
