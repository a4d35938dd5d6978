// SPDX-License-Identifier: Apache-2.0
// The sender: which mailboxes, when, and what becomes of each message. sender.h tells the story.
#include "sender.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "handover.h"
#include "outbox.h"
#include "popimap_metrics.h"
#include "schema/daemons.h"

enum {
	LIST_IDS = 64,
	WAIT_MIN_MS = 1000,
	WAIT_MAX_MS = 300 * 1000,
	ARENA_BYTES = OUTBOX_DATA_BYTES_MAX + (64 << 10), // a row
};

static const int64_t DAY_MS = 24 * 3600 * 1000;

static const struct kind {
	struct str name;
	int64_t lives_ms; // what was not sent by then is of no use any more
	struct metric *sent, *refused;
} kinds[] = {
	{STR(SENDER_VACATION), DAY_MS, &metric_popimap_vacation_sent, &metric_popimap_vacation_refused},
};

struct sender {
	struct popimap *popimap;
	struct worker_pool *resolver;

	pthread_mutex_t mutex; // of these
	struct guid woken[SENDER_WOKEN_MAX];
	size_t woken_n;
	bool all;             // look through all mailboxes
	bool running;
	struct fiber_ref fiber;
	struct tls_client *tls;

	// Of the fiber.
	struct handover *queue; // while it works
	size_t at;              // of submit_servers, the one that is asked
	struct settings_snapshot *snapshot;
	struct arena *arena;
	struct err err;
	int64_t wait_ms;      // before the next look at what was left
};

// What a look at one mailbox, or at all, came to.
enum result {
	NOTHING_LEFT,
	SOME_LEFT,  // for another time
	QUEUE_AWAY, // all that is left
};

struct sender *sender_new(struct popimap *popimap, struct worker_pool *resolver)
{
	struct sender *sender = calloc(1, sizeof *sender);
	must(sender != NULL && pthread_mutex_init(&sender->mutex, NULL) == 0);
	sender->popimap = popimap;
	sender->resolver = resolver;
	sender->all = true;
	sender->wait_ms = WAIT_MIN_MS;
	sender->arena = arena_new(ARENA_BYTES);
	return sender;
}

void sender_free(struct sender **sender_taken)
{
	struct sender *sender = *sender_taken;
	*sender_taken = NULL;
	if (sender == NULL)
		return;
	tls_client_drop(&sender->tls);
	arena_free(&sender->arena);
	pthread_mutex_destroy(&sender->mutex);
	free(sender);
}

void sender_set_tls(struct sender *sender, struct tls_client **client)
{
	pthread_mutex_lock(&sender->mutex);
	struct tls_client *old = sender->tls;
	sender->tls = *client;
	*client = NULL;
	pthread_mutex_unlock(&sender->mutex);
	tls_client_drop(&old);
}

void sender_wake(struct sender *sender, const struct guid *mailbox)
{
	pthread_mutex_lock(&sender->mutex);
	if (sender->woken_n < SENDER_WOKEN_MAX)
		sender->woken[sender->woken_n++] = *mailbox;
	else
		sender->all = true;
	bool running = sender->running;
	struct fiber_ref fiber = sender->fiber;
	pthread_mutex_unlock(&sender->mutex);
	if (running)
		fiber_ref_wake(fiber);
}

// --- The queue ---

static enum err_code connect_to(struct sender *sender, struct handover_config *config)
{
	pthread_mutex_lock(&sender->mutex);
	config->tls = sender->tls ? tls_client_ref(sender->tls) : NULL;
	pthread_mutex_unlock(&sender->mutex);
	enum err_code code = handover_open(config, &sender->queue, &sender->err);
	if (config->tls)
		tls_client_drop(&config->tls);
	if (code)
		log_info(NULL, "no queue takes what mailboxes send",
			log_str("queue", config->local.n ? config->local : config->host), log_err(&sender->err));
	return code;
}

// How many there are: the front-end of this node, or those of submit_servers.
static size_t count_queues(const struct sender *sender)
{
	const struct settings *settings = settings_of(sender->snapshot);
	return settings->submit_servers.n ? settings->submit_servers.n : 1;
}

static enum err_code connect_queue(struct sender *sender)
{
	const struct settings *settings = settings_of(sender->snapshot);
	struct handover_config config = {.hostname = settings->hostname, .resolver = sender->resolver,
		.connect_ms = settings->delivery_connect_s * 1000, .reply_ms = settings->delivery_final_reply_s * 1000};
	struct arena *arena = arena_new(4096);
	struct settings_address server;
	if (settings->submit_servers.n == 0) {
		config.local = daemons_smtp_path(settings, arena);
	} else { // looked at when the settings were read
		must(settings_address_read(settings->submit_servers.v[sender->at], &server) == NULL);
		config.host = server.host;
		config.port = server.port;
	}
	enum err_code code = connect_to(sender, &config);
	arena_free(&arena);
	return code;
}

// Nothing is on its way yet: a stop ends it.
static enum err_code connect_unshielded(struct sender *sender)
{
	fiber_shield_leave();
	enum err_code code = connect_queue(sender);
	fiber_shield_enter();
	return code;
}

// The one behind it is asked from now on.
static void leave_queue(struct sender *sender)
{
	handover_close(&sender->queue);
	sender->at = (sender->at + 1) % count_queues(sender);
}

// --- One message ---

static const struct kind *find_kind(struct str name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_eq(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static void log_row(const struct guid *mailbox, const struct outbox_row *row, const char *outcome, struct str said)
{
	char id[GUID_TEXT_BYTES], guid[GUID_TEXT_BYTES];
	log_info(NULL, "mail of a mailbox", log_c("outcome", outcome), log_str("kind", row->kind),
		log_str("mailbox", guid_text(mailbox, id)), log_str("guid", guid_text(&row->guid, guid)),
		log_str("key", row->key), log_str("said", said));
}

static void log_lost(const struct guid *mailbox, const struct outbox_row *row, const char *why, struct str said)
{
	char id[GUID_TEXT_BYTES], guid[GUID_TEXT_BYTES];
	log_warning(NULL, "mail of a mailbox will not be sent", log_c("reason", why), log_str("kind", row->kind),
		log_str("mailbox", guid_text(mailbox, id)), log_str("guid", guid_text(&row->guid, guid)),
		log_str("key", row->key), log_str("said", said));
}

// By the queue that is asked now. QUEUE_AWAY: it is of no use.
static enum result ask_queue(struct sender *sender, const struct guid *mailbox, const struct outbox_row *row,
	const struct kind *kind, const struct outbox_data *data)
{
	if (sender->queue == NULL && connect_unshielded(sender) != ERR_OK)
		return QUEUE_AWAY;
	switch (handover_send(sender->queue, data, &sender->err)) {
	case HANDOVER_TAKEN:
		metric_add(kind->sent, 1);
		log_row(mailbox, row, "queued", handover_said(sender->queue));
		return NOTHING_LEFT;
	case HANDOVER_REFUSED:
		metric_add(kind->refused, 1);
		log_lost(mailbox, row, "the queue refuses it", str_of_c(sender->err.text));
		return NOTHING_LEFT;
	case HANDOVER_LATER:
		log_row(mailbox, row, "deferred", str_of_c(sender->err.text));
		return SOME_LEFT;
	case HANDOVER_BROKEN:
		log_info(NULL, "the queue that takes what mailboxes send is gone", log_err(&sender->err));
		return QUEUE_AWAY;
	}
	unreachable("enum handover_outcome");
}

// By one queue after the other, beginning with the one that is connected. The last one's connection is kept where it put the
// message off, unless there are others, who are to be asked about the next one first.
static enum result hand_over(struct sender *sender, const struct guid *mailbox, const struct outbox_row *row,
	const struct kind *kind, const struct outbox_data *data)
{
	size_t n = count_queues(sender);
	enum result result = QUEUE_AWAY;
	for (size_t i = 0; i < n; i++) {
		enum result one = ask_queue(sender, mailbox, row, kind, data);
		bool doubt = one == QUEUE_AWAY && sender->queue && handover_in_doubt(sender->queue);
		if (one == NOTHING_LEFT || doubt || fiber_is_cancelled())
			return one;
		result = one == SOME_LEFT ? SOME_LEFT : result;
		if (one == QUEUE_AWAY || n > 1)
			leave_queue(sender);
	}
	return result;
}

static enum result send_row(struct sender *sender, const struct guid *mailbox, const struct outbox_row *row)
{
	const struct kind *kind = find_kind(row->kind);
	struct outbox_data data;
	if (kind == NULL) {
		log_warning(NULL, "a mailbox wants to send what this version does not know", log_str("kind", row->kind));
		return SOME_LEFT;
	}
	if (!outbox_data_read(sender->arena, row->data, &data)) {
		log_lost(mailbox, row, "its row is damaged", STR_NONE);
		return NOTHING_LEFT;
	}
	data.mail.has_key = true;
	data.mail.root = row->guid;
	int64_t age_ms = clock_wall_ms() - row->made_ms;
	if (age_ms > kind->lives_ms) {
		metric_add(kind->refused, 1);
		log_lost(mailbox, row, "no queue has taken it in time", STR_NONE);
		return NOTHING_LEFT;
	}
	return hand_over(sender, mailbox, row, kind, &data);
}

// --- Mailboxes ---

static enum result trouble(struct sender *sender, const struct guid *mailbox)
{
	char id[GUID_TEXT_BYTES];
	log_warning(NULL, "cannot look at what a mailbox sends", log_str("mailbox", guid_text(mailbox, id)),
		log_err(&sender->err));
	return SOME_LEFT;
}

// A stop lets the message that is on its way be noted.
static enum result send_one(struct sender *sender, const struct guid *mailbox, const struct outbox_row *row)
{
	fiber_shield_enter();
	enum result result = send_row(sender, mailbox, row);
	if (result == NOTHING_LEFT && outbox_sent(sender->popimap->store, mailbox, row, &sender->err) != ERR_OK)
		result = trouble(sender, mailbox);
	fiber_shield_leave();
	return result;
}

static void remember(struct arena *arena, const struct outbox_row *row, struct outbox_row *copy_out)
{
	arena_reset(arena);
	*copy_out = (struct outbox_row){.kind = arena_dup(arena, row->kind), .key = arena_dup(arena, row->key)};
}

static enum result send_mailbox(struct sender *sender, const struct guid *mailbox)
{
	struct store *store = sender->popimap->store;
	struct arena *keys = arena_new(2 * OUTBOX_KEY_BYTES_MAX + 256);
	struct outbox_row row, after = {.kind = STR("")};
	enum result result = NOTHING_LEFT;
	bool found = true;
	while (found && result != QUEUE_AWAY && !fiber_is_cancelled()) {
		arena_reset(sender->arena);
		enum err_code code = outbox_next(store, mailbox, &after, sender->arena, &row, &found, &sender->err);
		if (code) {
			result = code == ERR_NOTFOUND ? result : trouble(sender, mailbox); // listed, and then not made
			break;
		}
		if (!found)
			break;
		enum result one = send_one(sender, mailbox, &row);
		result = one > result ? one : result;
		remember(keys, &row, &after);
	}
	arena_free(&keys);
	if (fiber_is_cancelled())
		return QUEUE_AWAY;
	if (result == NOTHING_LEFT && outbox_settle(store, mailbox, &sender->err))
		return trouble(sender, mailbox);
	return result;
}

static enum result send_listed(struct sender *sender, const struct guid *ids, size_t n)
{
	enum result result = NOTHING_LEFT;
	for (size_t i = 0; i < n && result != QUEUE_AWAY; i++) {
		enum result one = send_mailbox(sender, &ids[i]);
		result = one > result ? one : result;
	}
	return result;
}

static enum result send_all(struct sender *sender)
{
	struct guid *ids = calloc(LIST_IDS, sizeof *ids);
	struct guid after = {0};
	enum result result = NOTHING_LEFT;
	size_t n = LIST_IDS;
	must(ids != NULL);
	while (n == LIST_IDS && result != QUEUE_AWAY) {
		if (outbox_mailboxes(sender->popimap->store, &after, ids, LIST_IDS, &n, &sender->err)) {
			log_warning(NULL, "cannot list the mailboxes that have mail to send", log_err(&sender->err));
			result = QUEUE_AWAY;
			break;
		}
		enum result some = send_listed(sender, ids, n);
		result = some > result ? some : result;
		if (n)
			after = ids[n - 1];
	}
	free(ids);
	return result;
}

// --- The fiber ---

// Who has woken it; all_out: look at all.
static struct guid *take_woken(struct sender *sender, bool left_is_due, size_t *n_out, bool *all_out)
{
	pthread_mutex_lock(&sender->mutex);
	struct guid *ids = calloc(sender->woken_n + 1, sizeof *ids);
	must(ids != NULL);
	memcpy(ids, sender->woken, sender->woken_n * sizeof *ids);
	*n_out = sender->woken_n;
	*all_out = sender->all || left_is_due;
	sender->woken_n = 0;
	sender->all = false;
	pthread_mutex_unlock(&sender->mutex);
	return ids;
}

static enum result work(struct sender *sender, bool left_is_due, bool *all_out)
{
	size_t n;
	struct guid *ids = take_woken(sender, left_is_due, &n, all_out);
	sender->snapshot = sender->popimap->settings_get(sender->popimap->arg);
	sender->at = 0;
	enum result result = *all_out ? send_all(sender) : send_listed(sender, ids, n);
	handover_close(&sender->queue);
	settings_unref(&sender->snapshot);
	free(ids);
	return result;
}

static void set_running(struct sender *sender, bool running)
{
	pthread_mutex_lock(&sender->mutex);
	sender->running = running;
	sender->fiber = running ? fiber_ref_self() : (struct fiber_ref){NULL, 0};
	pthread_mutex_unlock(&sender->mutex);
}

static bool has_work(struct sender *sender)
{
	pthread_mutex_lock(&sender->mutex);
	bool has = sender->woken_n > 0 || sender->all;
	pthread_mutex_unlock(&sender->mutex);
	return has;
}

// When what is left is looked at again.
static int64_t next_look_ms(struct sender *sender)
{
	int64_t at_ms = clock_after_ms(sender->wait_ms);
	sender->wait_ms = sender->wait_ms < WAIT_MAX_MS / 2 ? 2 * sender->wait_ms : WAIT_MAX_MS;
	return at_ms;
}

void sender_run(void *arg)
{
	struct sender *sender = arg;
	int64_t left_ms = CLOCK_NEVER; // when what is left is due
	bool away = false;             // no queue: whoever wakes us waits for that time too
	set_running(sender, true);
	while (!fiber_is_cancelled()) {
		bool due = clock_mono_ms() >= left_ms, all;
		if (!due && (away || !has_work(sender))) {
			fiber_wait(NULL, FIBER_MESSAGE, left_ms);
			continue;
		}
		enum result result = work(sender, due, &all);
		away = result == QUEUE_AWAY;
		if (result != NOTHING_LEFT)
			left_ms = all || left_ms == CLOCK_NEVER ? next_look_ms(sender) : left_ms;
		else if (all)
			left_ms = CLOCK_NEVER;
		if (left_ms == CLOCK_NEVER)
			sender->wait_ms = WAIT_MIN_MS;
	}
	set_running(sender, false);
}
