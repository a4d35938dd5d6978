// SPDX-License-Identifier: Apache-2.0
// The dispatcher: one fiber that feeds the schedule from the rows and agents from the schedule.
//
// Happy path under load: the fold hands new recipients over after their commit; an idle agent of their destination is woken and
// takes them; the dispatcher's fiber sleeps. It wakes when a destination needs another connection, when rows are due, or to defer
// what is due for a destination that is dead. Crash story: nothing here outlives the process; everything is in the rows.
#include "dispatch.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "base/runtime.h"
#include "damage.h"
#include "deliver.h"
#include "queue_core.h"
#include "queue_rows.h"
#include "waiting.h"

enum {
	BODIES_IN_MEMORY_MAX = 64 << 20, // of recipients that are in the schedule
	LOOK_AGAIN_MS = 60000,           // at the latest
	// lists at a time: a hundred thousand members take some hundred MiB while they are looked up
	EXPANSIONS_MAX = 1,
	AGAIN_MS = 1000,                 // after what did not work: a page that could not be read, a disk without space
};

struct dispatch {
	struct queue *queue;
	pthread_mutex_t mutex; // guards all below
	struct schedule *schedule;
	struct schedule_config config;
	struct fiber_ref loop;
	bool loop_runs, stopping, loading;
	struct record_ref *gone; // heard of, or done, while a page was read, which may have them still
	size_t gone_n, gone_size;
	_Atomic size_t items; // as of the last look, for has_room
	struct waiting *waiting; // the loop's alone
	struct damage *damage;
};

static struct schedule_config config_of(struct queue *queue)
{
	struct settings_snapshot *snapshot = queue_settings(queue);
	const struct settings *s = settings_of(snapshot);
	struct schedule_config config = {.concurrency_max = (unsigned)s->delivery_concurrency_max,
		.connections_max = (unsigned)s->delivery_connections_max, .retry_min_ms = s->retry_min_s * 1000,
		.retry_max_ms = s->retry_max_s * 1000, .kind_max[RECORD_TO_EXPAND] = EXPANSIONS_MAX};
	settings_unref(&snapshot);
	return config;
}

struct dispatch *dispatch_new(struct queue *queue)
{
	struct dispatch *d = calloc(1, sizeof *d);
	must(d != NULL);
	d->queue = queue;
	d->config = config_of(queue);
	d->schedule = schedule_new(&d->config);
	d->waiting = waiting_new(queue);
	d->damage = damage_new();
	pthread_mutex_init(&d->mutex, NULL);
	return d;
}

void dispatch_free(struct dispatch **dispatch)
{
	struct dispatch *d = *dispatch;
	if (d == NULL)
		return;
	schedule_free(&d->schedule);
	waiting_free(&d->waiting);
	damage_free(&d->damage);
	free(d->gone);
	pthread_mutex_destroy(&d->mutex);
	free(d);
	*dispatch = NULL;
}

void dispatch_reload(struct dispatch *d)
{
	struct schedule_config config = config_of(d->queue);
	pthread_mutex_lock(&d->mutex);
	d->config = config;
	schedule_configure(d->schedule, &config);
	pthread_mutex_unlock(&d->mutex);
}

static void wake_loop(struct dispatch *d)
{
	if (d->loop_runs)
		fiber_ref_wake(d->loop);
}

// --- From the fold, on the writer thread ---

static bool has_room(void *self, uint64_t bytes)
{
	struct dispatch *d = self;
	return atomic_load_explicit(&d->items, memory_order_relaxed) < SCHEDULE_ITEMS_MAX &&
	       item_bodies_bytes() + bytes < BODIES_IN_MEMORY_MAX;
}

// Idle agents are woken for what is ready; false when there are not enough of them.
static bool wake_idle(struct schedule_dest *dest)
{
	struct dispatch_agent **idle = (struct dispatch_agent **)schedule_user(dest);
	while (schedule_needs_hands(dest)) {
		struct dispatch_agent *agent = *idle;
		if (agent == NULL)
			return false;
		*idle = agent->next_idle;
		schedule_expect(dest);
		fiber_ref_wake(*agent->fiber);
		agent->fiber = NULL; // not idle any more
	}
	return true;
}

static void arrived(void *self, struct item **list)
{
	struct dispatch *d = self;
	int64_t now_ms = clock_mono_ms();
	bool enough = true;
	pthread_mutex_lock(&d->mutex);
	while (*list) {
		struct item *item = *list;
		*list = item->next;
		struct schedule_dest *dest = schedule_add(d->schedule, &item, now_ms);
		if (dest)
			enough &= wake_idle(dest);
		item_free(&item); // what had no room
	}
	atomic_store_explicit(&d->items, schedule_items(d->schedule), memory_order_relaxed);
	if (!enough)
		wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

static void due(void *self, struct str destination, int64_t next_try_ms)
{
	struct dispatch *d = self;
	int64_t now_ms = clock_mono_ms();
	pthread_mutex_lock(&d->mutex);
	schedule_note_due(d->schedule, destination, schedule_due_ms(&d->config, next_try_ms, clock_wall_ms(), now_ms));
	wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

// A page that is under way may still have it. The mutex is held.
static void not_from_page(struct dispatch *d, const struct guid *guid, uint32_t number)
{
	if (!d->loading)
		return;
	if (d->gone_n == d->gone_size) {
		d->gone_size = d->gone_size ? 2 * d->gone_size : 16;
		d->gone = reallocarray(d->gone, d->gone_size, sizeof *d->gone);
		must(d->gone != NULL);
	}
	d->gone[d->gone_n++] = (struct record_ref){*guid, number};
}

static void gone(void *self, const struct guid *guid, uint32_t number)
{
	struct dispatch *d = self;
	pthread_mutex_lock(&d->mutex);
	schedule_gone(d->schedule, guid, number);
	not_from_page(d, guid, number);
	pthread_mutex_unlock(&d->mutex);
}

static void body_free(void *self, const struct guid *guid)
{
	struct dispatch *d = self;
	keeper_unlink(d->queue->keeper, guid);
}

struct queue_fold_sink dispatch_sink(struct dispatch *d)
{
	return (struct queue_fold_sink){d, has_room, arrived, due, gone, body_free};
}

// --- For agents ---

struct item *dispatch_take(struct dispatch_agent *agent, size_t messages_max, size_t recipients_max, int64_t deadline_ms)
{
	struct dispatch *d = agent->dispatch;
	struct dispatch_agent **idle = (struct dispatch_agent **)schedule_user(agent->dest);
	struct fiber_ref self = fiber_ref_self();
	for (unsigned got = 0;;) {
		pthread_mutex_lock(&d->mutex);
		if (agent->fiber) { // still in line: nobody woke us for work
			while (*idle != agent)
				idle = &(*idle)->next_idle;
			*idle = agent->next_idle;
			agent->fiber = NULL;
			idle = (struct dispatch_agent **)schedule_user(agent->dest);
		}
		struct item *list = d->stopping ? NULL : schedule_take(d->schedule, agent->dest, messages_max, recipients_max);
		bool end = list || d->stopping || (got & (FIBER_TIMEOUT | FIBER_CANCELLED));
		if (!end) {
			agent->fiber = &self;
			agent->next_idle = *idle;
			*idle = agent;
		}
		pthread_mutex_unlock(&d->mutex);
		if (end)
			return list;
		got = fiber_wait(NULL, FIBER_MESSAGE, deadline_ms);
	}
}

void dispatch_connected(struct dispatch_agent *agent)
{
	struct dispatch *d = agent->dispatch;
	agent->connected = true;
	pthread_mutex_lock(&d->mutex);
	schedule_connected(d->schedule, agent->dest);
	if (schedule_has_ready(agent->dest))
		wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

void dispatch_succeeded(struct dispatch_agent *agent)
{
	struct dispatch *d = agent->dispatch;
	pthread_mutex_lock(&d->mutex);
	schedule_succeeded(d->schedule, agent->dest);
	pthread_mutex_unlock(&d->mutex);
}

void dispatch_disconnected(struct dispatch_agent *agent)
{
	struct dispatch *d = agent->dispatch;
	if (!agent->connected)
		return;
	agent->connected = false;
	pthread_mutex_lock(&d->mutex);
	schedule_disconnected(d->schedule, agent->dest);
	pthread_mutex_unlock(&d->mutex);
}

void dispatch_failed(struct dispatch_agent *agent, struct str why)
{
	struct dispatch *d = agent->dispatch;
	pthread_mutex_lock(&d->mutex);
	schedule_failed(d->schedule, agent->dest, clock_mono_ms(), random_below(UINT32_MAX), why);
	wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

void dispatch_put_back(struct dispatch_agent *agent, struct item **list)
{
	struct dispatch *d = agent->dispatch;
	struct item *reversed = NULL;
	if (*list == NULL)
		return;
	while (*list) {
		struct item *item = *list;
		*list = item->next;
		item->next = reversed;
		reversed = item;
	}
	pthread_mutex_lock(&d->mutex);
	while (reversed) {
		struct item *item = reversed;
		reversed = item->next;
		schedule_put_back(d->schedule, agent->dest, &item);
	}
	wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

void dispatch_done(struct dispatch *d, struct schedule_dest *dest, struct item **list)
{
	pthread_mutex_lock(&d->mutex);
	while (*list) {
		struct item *item = *list;
		*list = item->next;
		not_from_page(d, &item->message->guid, item->r.number);
		schedule_done(d->schedule, dest, &item);
	}
	atomic_store_explicit(&d->items, schedule_items(d->schedule), memory_order_relaxed);
	if (schedule_wants_rows(dest, clock_mono_ms()))
		wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

void dispatch_ended(struct dispatch_agent *agent)
{
	struct dispatch *d = agent->dispatch;
	dispatch_disconnected(agent);
	pthread_mutex_lock(&d->mutex);
	schedule_agent_ended(d->schedule, agent->dest);
	wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

int64_t dispatch_backoff_ms(struct dispatch *d, unsigned tries)
{
	pthread_mutex_lock(&d->mutex);
	struct schedule_config config = d->config;
	pthread_mutex_unlock(&d->mutex);
	return schedule_backoff_ms(&config, tries, random_below(UINT32_MAX));
}

struct str dispatch_name(const struct dispatch_agent *agent)
{
	return schedule_name(agent->dest);
}

bool dispatch_is_stopping(struct dispatch *d)
{
	pthread_mutex_lock(&d->mutex);
	bool stopping = d->stopping;
	pthread_mutex_unlock(&d->mutex);
	return stopping;
}

// --- The fiber ---

static enum err_code read_page(struct dispatch *d, struct queue_page *page, int64_t wall_ms, int64_t longest_ms)
{
	struct err err;
	enum err_code code = cluster_log_read(d->queue->log, queue_rows_page, page, &err);
	// A row further away than any wait is long: the wall clock was set back. What comes first comes now.
	if (code == ERR_OK && page->err.code == ERR_OK && page->n == 0 && page->next_due_ms != INT64_MAX &&
		page->next_due_ms - wall_ms > longest_ms) {
		page->until_ms = page->next_due_ms;
		code = cluster_log_read(d->queue->log, queue_rows_page, page, &err);
	}
	if (code == ERR_OK && page->err.code)
		code = err_set(&err, page->err.code, "%s", page->err.text);
	if (code)
		log_warning(NULL, "queue: cannot read what is due", log_str("destination", page->destination), log_err(&err));
	return code;
}

// Rows of what is in memory already are not looked at twice.
static void drop_known(struct dispatch *d, struct item **list)
{
	pthread_mutex_lock(&d->mutex);
	for (struct item **at = list; *at;) {
		struct item *item = *at;
		if (!schedule_has(d->schedule, item)) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		item->next = NULL;
		schedule_add(d->schedule, &item, 0); // held, then released
	}
	pthread_mutex_unlock(&d->mutex);
}

// False: what waits has another way that could not be recorded.
static bool decide_page(struct dispatch *d, struct queue_page *page, struct waiting_settled *settled_out)
{
	struct err err;
	enum err_code code = waiting_decide(d->waiting, &page->items, settled_out, &err);
	if (code)
		log_warning(NULL, "queue: what waits has another way, which cannot be recorded now",
			log_str("destination", page->destination), log_err(&err));
	return code == ERR_OK;
}

// Those that get a result untried are in the schedule until it is committed, so that the next page does not have them again.
static void add_settled(struct dispatch *d, struct waiting_settled *settled)
{
	for (size_t i = 0; i < settled->n; i++)
		if (schedule_add_out(d->schedule, settled->v[i].item) == NULL)
			item_free(&settled->v[i].item);
	size_t n = 0;
	for (size_t i = 0; i < settled->n; i++)
		if (settled->v[i].item)
			settled->v[n++] = settled->v[i];
	settled->n = n;
}

static void commit_settled(struct dispatch *d, struct schedule_dest *dest, struct waiting_settled *settled)
{
	for (size_t at = 0; at < settled->n;) {
		size_t n = 1, messages = 1;
		for (; at + n < settled->n && n < DELIVER_RECIPIENTS_MAX; n++) {
			const struct item *item = settled->v[at + n].item, *before = settled->v[at + n - 1].item;
			if (!guid_eq(&item->message->guid, &before->message->guid) && messages++ == DELIVER_MESSAGES_MAX)
				break;
		}
		deliver_commit(d->queue, dest, 0, settled->v + at, n, NULL);
		at += n;
	}
	settled->n = 0;
	waiting_settled_free(settled);
}

// A page of rows for one destination; false when none wants one.
static bool load_page(struct dispatch *d)
{
	size_t limit;
	bool early;
	int64_t now_ms = clock_mono_ms(), wall_ms = clock_wall_ms();
	pthread_mutex_lock(&d->mutex);
	struct schedule_dest *dest = schedule_wants_page(d->schedule, now_ms, &limit, &early);
	struct schedule_config config = d->config;
	d->loading = dest != NULL;
	pthread_mutex_unlock(&d->mutex);
	if (dest == NULL)
		return false;
	struct queue_page page = {.destination = schedule_name(dest), .until_ms = early ? INT64_MAX : wall_ms, .limit = limit};
	struct waiting_settled settled;
	int64_t next_ms = now_ms + AGAIN_MS;
	bool read = read_page(d, &page, wall_ms, 2 * config.retry_max_ms) == ERR_OK;
	damage_alarm(d->damage, &page);
	drop_known(d, &page.items);
	if (decide_page(d, &page, &settled) && read)
		next_ms = page.next_due_ms == INT64_MAX ? INT64_MAX : schedule_due_ms(&config, page.next_due_ms, wall_ms, now_ms);
	pthread_mutex_lock(&d->mutex);
	schedule_paged(d->schedule, dest, next_ms);
	while (page.items) {
		struct item *item = page.items;
		page.items = item->next;
		schedule_add(d->schedule, &item, now_ms);
		item_free(&item);
	}
	add_settled(d, &settled);
	bool stale = false;
	while (d->gone_n > 0) {
		d->gone_n--;
		stale |= schedule_gone(d->schedule, &d->gone[d->gone_n].guid, d->gone[d->gone_n].number);
	}
	if (stale) // one that was tried meanwhile, and deferred, may be due again already: its row says so
		schedule_note_due(d->schedule, schedule_name(dest), now_ms);
	d->loading = false;
	wake_idle(dest);
	pthread_mutex_unlock(&d->mutex);
	commit_settled(d, dest, &settled);
	return true;
}

// What is due for a dead destination waits on, as tried as can be: the last connection to it failed a moment ago.
static bool defer_dead(struct dispatch *d)
{
	struct schedule_dest *dest;
	char why[SCHEDULE_WHY_BYTES_MAX];
	pthread_mutex_lock(&d->mutex);
	struct item *list = schedule_take_dead(d->schedule, clock_mono_ms(), DELIVER_MESSAGES_MAX, DELIVER_RECIPIENTS_MAX, &dest);
	struct str reply = list ? schedule_why(dest) : STR_NONE;
	if (reply.n)
		memcpy(why, reply.p, reply.n);
	pthread_mutex_unlock(&d->mutex);
	if (list == NULL)
		return false;
	struct deliver_result *results = calloc(DELIVER_RECIPIENTS_MAX, sizeof *results);
	must(results != NULL);
	size_t n = 0;
	while (list) {
		struct item *item = list;
		list = item->next;
		item->next = NULL;
		results[n++] = (struct deliver_result){.item = item, .outcome = RECORD_DEFERRED, .reply = str_of(why, reply.n)};
	}
	deliver_commit(d->queue, dest, 0, results, n, NULL);
	free(results);
	return true;
}

static void agent_refused(void *arg)
{
	struct dispatch_agent *agent = arg;
	dispatch_ended(agent);
	free(agent);
}

// False when there is nobody to start, or no fiber for it.
static bool start_agent(struct dispatch *d, unsigned *turn)
{
	struct runtime *runtime = d->queue->config.runtime;
	pthread_mutex_lock(&d->mutex);
	struct schedule_dest *dest = d->stopping ? NULL : schedule_start_agent(d->schedule, clock_mono_ms());
	pthread_mutex_unlock(&d->mutex);
	if (dest == NULL)
		return false;
	struct dispatch_agent *agent = calloc(1, sizeof *agent);
	must(agent != NULL);
	*agent = (struct dispatch_agent){.dispatch = d, .queue = d->queue, .dest = dest};
	if (sched_spawn_or(runtime_sched(runtime, (*turn)++ % runtime_scheds(runtime)), deliver_agent, agent, "deliver",
		agent_refused))
		return true;
	agent_refused(agent);
	return false;
}

static void note_destination(void *arg, struct str destination, int64_t next_try_ms)
{
	due(arg, destination, next_try_ms);
}

static int64_t wake_at_ms(struct dispatch *d)
{
	int64_t now_ms = clock_mono_ms();
	pthread_mutex_lock(&d->mutex);
	int64_t wake_ms = schedule_wake_ms(d->schedule, now_ms);
	pthread_mutex_unlock(&d->mutex);
	return clock_earlier(wake_ms, now_ms + LOOK_AGAIN_MS);
}

static bool is_stuck(struct dispatch *d)
{
	struct cluster_log_stats stats;
	cluster_log_stats(d->queue->log, &stats);
	return stats.stuck;
}

static void run_loop(void *arg)
{
	struct dispatch *d = arg;
	unsigned turn = 0;
	struct queue_destinations all = {.each = note_destination, .arg = d};
	struct err err;
	pthread_mutex_lock(&d->mutex);
	d->loop = fiber_ref_self();
	d->loop_runs = true;
	pthread_mutex_unlock(&d->mutex);
	if (cluster_log_read(d->queue->log, queue_rows_destinations, &all, &err))
		log_error(NULL, "queue: cannot read what waits", log_err(&err));
	while (!dispatch_is_stopping(d) && !fiber_is_cancelled()) {
		int64_t wake_ms = clock_after_ms(AGAIN_MS);
		if (!is_stuck(d)) { // a node that cannot record a result tries nothing
			bool worked = false;
			while (start_agent(d, &turn))
				worked = true;
			worked |= load_page(d);
			worked |= defer_dead(d);
			if (worked) {
				fiber_spent(0, 1);
				continue;
			}
			wake_ms = wake_at_ms(d);
		}
		if (fiber_wait(NULL, FIBER_MESSAGE, wake_ms) & FIBER_CANCELLED)
			break;
	}
	pthread_mutex_lock(&d->mutex);
	d->loop_runs = false;
	pthread_mutex_unlock(&d->mutex);
}

static void look_for_damage(void *arg)
{
	struct dispatch *d = arg;
	damage_look(d->damage, d->queue);
}

void dispatch_start(struct dispatch *d)
{
	must(sched_spawn(runtime_sched(d->queue->config.runtime, 0), look_for_damage, d, "damage"));
	must(sched_spawn(runtime_sched(d->queue->config.runtime, 0), run_loop, d, "dispatch"));
}

void dispatch_stop(struct dispatch *d)
{
	pthread_mutex_lock(&d->mutex);
	d->stopping = true;
	wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

void dispatch_flush(struct dispatch *d)
{
	pthread_mutex_lock(&d->mutex);
	schedule_flush(d->schedule, clock_mono_ms());
	wake_loop(d);
	pthread_mutex_unlock(&d->mutex);
}

struct damage *dispatch_damage(struct dispatch *d)
{
	return d->damage;
}

void dispatch_stats(struct dispatch *d, struct schedule_stats *stats_out)
{
	pthread_mutex_lock(&d->mutex);
	schedule_stats(d->schedule, clock_mono_exact_ms(), stats_out);
	pthread_mutex_unlock(&d->mutex);
}
