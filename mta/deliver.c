// SPDX-License-Identifier: Apache-2.0
// An agent: a fiber that delivers messages of one destination over one connection, kept while there are more.
//
// Happy path: take some messages; their START is durable; connect, if there is no connection; LMTP each into its mailboxes, the
// results go to the log without waiting; take the next ones. To the relayhost, or to the next hops of a route, each message is
// first committed as an ATTEMPT. What a rule throws away ends without a connection. A next hop that puts a recipient off, or
// breaks off before it has the message, is followed by the one behind it (try_others). Failure: a connection that cannot be made
// defers the message that wanted it, tells the scheduler, and gives the others back. One that breaks defers who had no answer; a
// kept one that was closed in between is opened anew, unseen. Crash story: without a RESULT a recipient is still waiting, with an
// open ATTEMPT or without, and is tried again: into a mailbox under the same key, to the world a second time (CLUSTER 4). A
// message that crashed us has its START; one that may have done so twice is tried alone. On any scheduler. A soft cancel ends the
// agent between two messages; a message under way is finished.
#include "deliver_core.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/runtime.h"
#include "expand.h"
#include "queue_metrics.h"
#include "queue_rows.h"
#include "replay.h"

enum {
	IDLE_MS = 5000,             // a connection without work is kept so long
	LMTP_MESSAGES = 10,         // taken at a time
	ATTEMPT_VALIDITY_MS = 60000, // CLUSTER 4
	PIECE_BYTES = 256 << 10,
	ARENA_BYTES = 1 << 20,
	PAUSE_MS = 1000,
};

// --- The body ---

static bool body_piece(void *arg, uint64_t offset, struct str *piece_out, struct err *err)
{
	struct agent *a = arg;
	if (a->message->body.n > 0) {
		*piece_out = str_from(a->message->body, (size_t)offset);
		return true;
	}
	if (offset < a->body_at || offset >= a->body_at + a->body.n) {
		buf_clear(&a->body);
		bool file = a->message->flags & RECORD_FLAG_SPOOL;
		a->body_at = file ? offset : 0;
		enum err_code code = file ? queue_rows_body_file(a->queue, a->message, offset, PIECE_BYTES, &a->body, err)
					  : queue_rows_body(a->queue, a->message, &a->body, err);
		if (code)
			return false;
	}
	*piece_out = str_from(buf_str(&a->body), (size_t)(offset - a->body_at));
	return piece_out->n > 0 || err_set(err, ERR_CORRUPT, "the body is shorter than its record says") == ERR_OK;
}

// --- One message ---

static bool still_valid(struct agent *a)
{
	return a->attempt == 0 || clock_mono_exact_ms() < a->valid_until_ms;
}

static bool ask_valid(void *arg)
{
	return still_valid(arg);
}

// Commits that these will be tried (CLUSTER 4). Items that are not waiting any more leave the list. False: nothing may be tried.
static bool commit_attempt(struct agent *a, struct item **list)
{
	struct record_refs refs = {arena_must(a->arena, DELIVER_RECIPIENTS_MAX * sizeof *refs.v), 0};
	for (const struct item *item = *list; item; item = item->next)
		refs.v[refs.n++] = (struct record_ref){item->message->guid, item->r.number};
	struct record record = {.type = RECORD_ATTEMPT,
		.attempt = {.destination = dispatch_name(a->slot),
			.at_ms = clock_wall_ms(),
			.validity_ms = ATTEMPT_VALIDITY_MS,
			.refs = refs}};
	a->valid_until_ms = clock_mono_exact_ms() + ATTEMPT_VALIDITY_MS; // counted from before the commit
	struct call *call = queue_proposal_call(a->queue, &record, DELIVER_RECIPIENTS_MAX);
	must(call != NULL);
	struct queue_proposal *proposal = call_payload(call);
	uint8_t *took = (uint8_t *)buf_reserve(&proposal->body, refs.n);
	memset(took, 0, refs.n);
	proposal->answer.took = took;
	cluster_log_propose(a->queue->log, call);
	bool ok = call_wait(call, CLOCK_NEVER) == ERR_OK && proposal->p.verdict == CLUSTER_COMMITTED;
	struct item *dropped = NULL;
	size_t i = 0;
	for (struct item **at = list; ok && *at; i++) {
		struct item *item = *at;
		if (took[i]) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		item->next = dropped;
		dropped = item;
	}
	a->attempt = ok ? proposal->p.index : 0;
	call_drop(&call);
	dispatch_done(a->slot->dispatch, a->slot->dest, &dropped);
	return ok;
}

static enum record_outcome outcome_of(const struct agent *a, enum peer_outcome outcome)
{
	switch (outcome) {
	case PEER_ACCEPTED:
		return a->relay ? RECORD_RELAYED : RECORD_DELIVERED;
	case PEER_PERMANENT:
		return RECORD_BOUNCED;
	case PEER_TEMPORARY:
	case PEER_UNTRIED:
		return RECORD_DEFERRED;
	}
	unreachable("outcome of a transaction");
}

static void run_transaction(struct agent *a, struct peer_transaction *txn)
{
	metric_add(&metric_mta_queue_tries, 1);
	peer_send(a->peer, txn);
}

// Who said what of a recipient, for reports.
struct said {
	struct str host;
	bool has_dsn;
};

static void note_said(const struct agent *a, struct said *said)
{
	*said = (struct said){a->host, a->relay && a->peer && peer_has_dsn(a->peer)};
}

// Over the connection there is, or a new one. Replies live in a->arena. False: we are stopping, and nobody was asked.
static bool transact(struct agent *a, struct peer_recipient *to, size_t n)
{
	enum err_code code = ERR_OK;
	struct peer_transaction txn = {.arena = a->arena, .message = a->message, .to = to, .n = n, .body = body_piece, .arg = a,
		.still_valid = ask_valid};
	for (int round = 0; round < 2; round++) {
		struct str why = STR_NONE;
		if (!still_valid(a))
			why = STR("451 4.4.2 the attempt is not valid any more");
		else if ((code = deliver_connect(a, &why)) == ERR_OK)
			run_transaction(a, &txn);
		if (code == ERR_CANCELLED && a->attempt == 0) // an ATTEMPT wants its RESULT
			return false;
		for (size_t i = 0; i < n && why.n; i++) {
			to[i].outcome = PEER_TEMPORARY;
			to[i].reply = why;
			to[i].ours = true;
		}
		if (to[0].outcome != PEER_UNTRIED)
			break;
		deliver_hang_up(a);
	}
	return true;
}

// Who was put off, or not answered, by a next hop is offered to the one behind it, as Postfix does: each next hop is asked once,
// while the attempt is valid. Not who may have been taken without our hearing of it. True: another than the first was asked.
static bool try_others(struct agent *a, struct peer_recipient *to, struct said *said, size_t n)
{
	struct peer_recipient *rest = arena_must(a->arena, n * sizeof *rest);
	size_t *of = arena_must(a->arena, n * sizeof *of), m;
	bool tried = false;
	for (;;) {
		m = 0;
		for (size_t i = 0; i < n; i++)
			if (to[i].outcome == PEER_TEMPORARY && !to[i].doubt) {
				rest[m] = (struct peer_recipient){.item = to[i].item};
				of[m++] = i;
			}
		if (m == 0 || !a->routed || !still_valid(a) || a->hop + 1 >= a->route.hops_n)
			return tried;
		log_info(NULL, "put off by a next hop, trying another", log_str("destination", dispatch_name(a->slot)),
			log_str("host", a->host), log_str("reply", to[of[0]].reply), log_u64("recipients", m));
		tried = true;
		if (!deliver_connect_next(a))
			return tried;
		run_transaction(a, &(struct peer_transaction){.arena = a->arena, .message = a->message, .to = rest, .n = m,
			.body = body_piece, .arg = a,
			.still_valid = ask_valid});
		for (size_t k = 0; k < m; k++)
			if (rest[k].outcome != PEER_UNTRIED) {
				to[of[k]] = rest[k];
				note_said(a, &said[of[k]]);
			}
	}
}

static bool all_failed_here(const struct peer_recipient *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!to[i].ours || to[i].outcome != PEER_TEMPORARY)
			return false;
	return true;
}

// A connection that ended in the middle counts against the destination, when no other next hop answered; one that was merely
// closed after a reply does not.
static void after_transaction(struct agent *a, const struct peer_recipient *to, size_t n, bool tried_others)
{
	if (a->peer == NULL) {
		if (tried_others && all_failed_here(to, n))
			dispatch_failed(a->slot, to[0].reply);
		return;
	}
	if (peer_is_usable(a->peer)) {
		dispatch_succeeded(a->slot);
		return;
	}
	bool failed = all_failed_here(to, n);
	deliver_hang_up(a);
	if (failed)
		dispatch_failed(a->slot, to[0].reply);
}

// --- What is kept for replay ---

struct open_job {
	struct agent *agent;
	int fd;
};

static void open_body(void *arg)
{
	struct open_job *job = arg;
	char name[GUID_TEXT_BYTES];
	struct err err;
	off_t bytes;
	if (file_open(job->agent->queue->spool_dir, guid_text(&job->agent->message->guid, name), &job->fd, &bytes, &err))
		job->fd = -1;
}

// The body is in memory, for it has just been sent; one in a file is opened, as its name goes with the commit.
static struct replay_entry *keep(struct agent *a, const struct deliver_result *results, size_t n)
{
	struct record_recipient *to = arena_must(a->arena, n * sizeof *to);
	struct open_job job = {a, -1};
	struct err err;
	size_t taken = 0;
	for (size_t i = 0; i < n; i++)
		if (results[i].outcome == RECORD_DELIVERED && results[i].item->r.target == RECORD_TO_MAILBOX)
			to[taken++] = results[i].item->r;
	if (taken == 0 || !replay_wants(a->queue->replay, a->message))
		return NULL;
	if (!(a->message->flags & RECORD_FLAG_SPOOL))
		return replay_entry_new(a->message, to, taken, a->message->body.n ? a->message->body : buf_str(&a->body), -1);
	if (worker_run(runtime_workers(a->queue->config.runtime), open_body, &job, &err) || job.fd < 0) {
		metric_add(&metric_mta_replay_skipped, 1);
		return NULL;
	}
	return replay_entry_new(a->message, to, taken, STR_NONE, job.fd);
}

// What was said of each recipient becomes the record of it; takes the list.
static void conclude(struct agent *a, struct item *list, struct peer_recipient *to, size_t n)
{
	struct said *said = arena_must(a->arena, n * sizeof *said);
	struct deliver_result *results = arena_must(a->arena, n * sizeof *results);
	struct item *item = list;
	for (size_t i = 0; i < n; i++)
		note_said(a, &said[i]);
	bool others = try_others(a, to, said, n);
	for (size_t i = 0; i < n; i++) {
		struct item *next = item->next;
		item->next = NULL;
		results[i] = (struct deliver_result){.item = item, .outcome = outcome_of(a, to[i].outcome), .reply = to[i].reply,
			.by_peer = !to[i].ours,
			.remote = said[i].host, .peer_has_dsn = said[i].has_dsn};
		item = next;
	}
	after_transaction(a, to, n, others);
	if (others)
		deliver_hang_up(a); // the next message begins with the first hop again
	deliver_commit(a->queue, a->slot->dest, a->attempt, results, n, keep(a, results, n));
}

// The recipients of one message; takes the list.
static void deliver_message(struct agent *a, struct item *list)
{
	arena_reset(a->arena);
	if (a->expands) {
		expand_message(a->slot, list);
		return;
	}
	a->message = item_message_ref(list->message);
	a->attempt = 0;
	buf_clear(&a->body);
	a->body_at = 0;
	if (a->relay && !commit_attempt(a, &list)) {
		dispatch_put_back(a->slot, &list);
		fiber_sleep_ms(PAUSE_MS);
	} else if (list) {
		size_t n = 0;
		for (const struct item *item = list; item; item = item->next)
			n++;
		struct peer_recipient *to = arena_must(a->arena, n * sizeof *to), *next = to;
		for (const struct item *item = list; item; item = item->next)
			(next++)->item = item;
		if (transact(a, to, n))
			conclude(a, list, to, n);
		else
			dispatch_put_back(a->slot, &list);
	}
	item_message_drop(&a->message);
}

// --- Batches ---

// The first message's items off the list.
static struct item *cut_message(struct item **list)
{
	struct item *first = *list, *last = first;
	while (last->next && guid_eq(&last->next->message->guid, &first->message->guid))
		last = last->next;
	*list = last->next;
	last->next = NULL;
	return first;
}

// Guids of the messages that may be tried side by side; those that may have killed us before come out in *alone_out.
static size_t sort_suspects(struct agent *a, struct item **list, struct guid *guids, struct item **alone_out)
{
	struct item *rest = *list, **tail = list, **alone_tail = alone_out;
	size_t n = 0;
	*list = *alone_out = NULL;
	while (rest) {
		struct item *first = cut_message(&rest), *last = first;
		while (last->next)
			last = last->next;
		bool suspect = keeper_is_suspect(a->queue->keeper, &first->message->guid);
		if (!suspect)
			guids[n++] = first->message->guid;
		*(suspect ? alone_tail : tail) = first;
		if (suspect)
			alone_tail = &last->next;
		else
			tail = &last->next;
	}
	return n;
}

static void cannot_start(struct agent *a, struct item **list)
{
	dispatch_put_back(a->slot, list);
	fiber_sleep_ms(PAUSE_MS);
}

// A connection that does not stand any more after one of them ends it: the scheduler knows by now whether the destination lives.
static void deliver_together(struct agent *a, struct item **list, const struct guid *guids, size_t n)
{
	struct err err;
	if (n == 0)
		return;
	if (keeper_start(a->queue->keeper, guids, n, &err)) {
		cannot_start(a, list);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || a->peer || a->expands)
			deliver_message(a, cut_message(list));
		keeper_end(a->queue->keeper, &guids[i]);
	}
}

static void deliver_alone(struct agent *a, struct item **list)
{
	struct err err;
	while (*list) {
		struct guid guid = (*list)->message->guid;
		if (keeper_start_alone(a->queue->keeper, &guid, &err)) {
			cannot_start(a, list);
			return;
		}
		deliver_message(a, cut_message(list));
		keeper_end(a->queue->keeper, &guid);
		if (a->peer == NULL && !a->expands)
			return;
	}
}

static void deliver_batch(struct agent *a, struct item *list)
{
	struct guid guids[LMTP_MESSAGES];
	struct item *alone;
	size_t n = sort_suspects(a, &list, guids, &alone);
	a->snapshot = queue_settings(a->queue);
	a->settings = settings_of(a->snapshot);
	if (a->peer && a->connected_under != a->snapshot)
		deliver_hang_up(a); // another relayhost, or TLS that is now demanded
	deliver_together(a, &list, guids, n);
	if (alone && (n == 0 || a->peer || a->expands))
		deliver_alone(a, &alone);
	dispatch_put_back(a->slot, &alone);
	dispatch_put_back(a->slot, &list);
	settings_unref(&a->snapshot);
}

// What a rule throws away: there is nobody to ask, so it ends at once, in the ledger and in the log.
static void discard_batch(struct agent *a, struct item *list)
{
	arena_reset(a->arena);
	struct deliver_result *results = arena_must(a->arena, DELIVER_RECIPIENTS_MAX * sizeof *results);
	size_t n = 0;
	if (!a->slot->connected)
		dispatch_connected(a->slot);
	while (list) {
		struct item *item = list;
		list = item->next;
		item->next = NULL;
		results[n++] = (struct deliver_result){
			.item = item, .outcome = RECORD_DISCARDED, .reply = STR("250 2.0.0 thrown away by a rule")};
	}
	deliver_commit(a->queue, a->slot->dest, 0, results, n, NULL);
	dispatch_succeeded(a->slot);
}

// A route that does not read, as a newer program may have recorded one, has no next hop: its mail waits.
static void take_destination(struct agent *a, const struct item *first)
{
	struct str name = dispatch_name(a->slot);
	a->relay = first->r.target == RECORD_TO_RELAY;
	a->routed = a->relay && route_rule_is_text(name);
	if (a->routed && a->route.kind == ROUTE_RULE_SAME && !route_rule_of_text(a->route_arena, name, &a->route))
		a->route = ROUTE_RULE_NONE;
}

void deliver_agent(void *arg)
{
	struct dispatch_agent *slot = arg;
	struct agent *a = calloc(1, sizeof *a);
	must(a != NULL);
	*a = (struct agent){.slot = slot, .queue = slot->queue, .arena = arena_new(ARENA_BYTES),
		.peer_arena = arena_new(ARENA_BYTES),
		.route_arena = arena_new(ARENA_BYTES), .route = ROUTE_RULE_NONE};
	buf_init(&a->body, 1 << 20);
	struct item *list;
	while ((list = dispatch_take(slot, LMTP_MESSAGES, DELIVER_RECIPIENTS_MAX, clock_after_ms(IDLE_MS)))) {
		take_destination(a, list);
		a->expands = list->r.target == RECORD_TO_EXPAND;
		bool discards = a->routed && a->route.kind == ROUTE_RULE_DISCARD;
		fiber_shield_enter();
		if (discards)
			discard_batch(a, list);
		else
			deliver_batch(a, list);
		fiber_shield_leave();
		if (a->peer == NULL && !a->expands &&
			!discards) // whether there should be another connection is the scheduler's to say
			break;
	}
	deliver_hang_up(a);
	dispatch_ended(slot);
	buf_fini(&a->body);
	arena_free(&a->arena);
	arena_free(&a->peer_arena);
	arena_free(&a->route_arena);
	free(a);
	free(slot);
}
