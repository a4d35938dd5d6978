// SPDX-License-Identifier: Apache-2.0
// Many at once: threads and fibers on one mailbox and on many, one key twice, more mailboxes than open databases, a disk that stalls.
#include "test_store.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/sched.h"
#include "test_disk.h"

enum { THREADS = 6 };

struct worker {
	unsigned index;
	_Atomic unsigned *stored, *known;
};

static void run_threads(void *(*fn)(void *arg), struct worker *workers)
{
	pthread_t threads[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].index = i;
		assert_int_equal(pthread_create(&threads[i], NULL, fn, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

// --- One key, many senders ---

enum { KEYS = 60, MAILBOXES = 3 };

static void *deliver_all_keys(void *arg)
{
	struct worker *worker = arg;
	for (unsigned i = 0; i < KEYS; i++) {
		unsigned key = (i + worker->index * 7) % KEYS;
		struct incoming *body = incoming_new(test_store, 1 << 20);
		must(incoming_add(body, str_of_c(test_message), NULL) == ERR_OK);
		struct delivery d = test_delivery(100 + key % MAILBOXES, key, body);
		store_deliver(test_store, &d, 1);
		must(d.code == ERR_OK);
		atomic_fetch_add(d.known ? worker->known : worker->stored, 1);
		incoming_free(&body);
	}
	return NULL;
}

static void one_key_from_many_is_stored_once(void **state)
{
	(void)state;
	_Atomic unsigned stored = 0, known = 0;
	struct worker workers[THREADS];
	for (unsigned i = 0; i < THREADS; i++)
		workers[i] = (struct worker){.stored = &stored, .known = &known};
	run_threads(deliver_all_keys, workers);
	assert_int_equal(stored, KEYS);
	assert_int_equal(known, KEYS * (THREADS - 1));
	for (unsigned m = 0; m < MAILBOXES; m++) {
		struct mailbox *mb = test_mailbox(100 + m);
		assert_int_equal(test_status(mb, "INBOX").messages, KEYS / MAILBOXES);
		test_close(&mb);
	}
}

// --- More mailboxes than open databases ---

enum { CROWD = 40, ROUNDS = 60, OPEN_MAX = 5 };

static void deliver_to(unsigned mailbox, unsigned key)
{
	struct incoming *body = incoming_new(test_store, 1 << 20);
	must(incoming_add(body, str_of_c(test_message), NULL) == ERR_OK);
	struct delivery d = test_delivery(mailbox, key, body);
	store_deliver(test_store, &d, 1);
	must(d.code == ERR_OK && !d.known);
	incoming_free(&body);
}

static void *visit_the_crowd(void *arg)
{
	struct worker *worker = arg;
	uint32_t random = worker->index + 1;
	for (unsigned i = 0; i < ROUNDS; i++) {
		random = random * 1103515245 + 12345;
		unsigned mailbox = 200 + (random >> 16) % CROWD;
		deliver_to(mailbox, 10000 + worker->index * ROUNDS + i);
		struct guid id = test_id(mailbox);
		struct mailbox_access access = {.account = id, .actor = id};
		struct mailbox *mb;
		struct mailbox_usage usage;
		must(mailbox_open(test_store, &access, &mb, NULL) == ERR_OK);
		must(mailbox_usage(mb, &usage, NULL) == ERR_OK && usage.messages > 0);
		mailbox_close(&mb);
	}
	return NULL;
}

static void databases_come_and_go(void **state)
{
	(void)state;
	store_close(&test_store);
	test_open(4, OPEN_MAX);
	struct worker workers[THREADS] = {0};
	run_threads(visit_the_crowd, workers);
	struct store_stats stats;
	store_stats(test_store, &stats);
	assert_true(stats.closed > CROWD && stats.open <= OPEN_MAX + 4);
	uint64_t messages = 0;
	for (unsigned m = 0; m < CROWD; m++) {
		struct guid id = test_id(200 + m);
		struct mailbox_access access = {.account = id, .actor = id};
		struct mailbox *mb;
		struct mailbox_usage usage;
		if (mailbox_open(test_store, &access, &mb, NULL))
			continue;
		assert_int_equal(mailbox_usage(mb, &usage, NULL), ERR_OK);
		messages += usage.messages;
		mailbox_close(&mb);
	}
	assert_int_equal(messages, THREADS * ROUNDS);
	// node.db has learned of the changes.
	test_reopen();
	struct store_mailbox rows[CROWD + 10];
	size_t n;
	uint64_t listed = 0;
	assert_int_equal(store_mailboxes(test_store, NULL, rows, CROWD + 10, &n, NULL), ERR_OK);
	for (size_t i = 0; i < n; i++)
		listed += rows[i].messages;
	assert_int_equal(listed, messages);
}

// --- Fibers: sessions that idle, and deliveries ---

enum { SESSIONS = 20, SENT = 30 };

static _Atomic unsigned sessions_done;

// Waits in IDLE until all that is sent has arrived, learning of it by its watch alone.
static void idle_session(void *arg)
{
	(void)arg;
	struct arena *arena = arena_new(16 << 20);
	struct guid id = test_id(300);
	struct mailbox_access access = {.account = id, .actor = id, .home = &test_home};
	struct mailbox *mb;
	struct mailbox_name inbox = mailbox_name_inbox();
	must(mailbox_open(test_store, &access, &mb, NULL) == ERR_OK);
	struct folder_view *view = arena_must(arena, sizeof *view);
	must(folder_select(mb, &inbox, FOLDER_READ_WRITE, arena, view, NULL) == ERR_OK);
	struct watch *watch = watch_new(mb, view->info.id);
	struct folder_seen seen = {.modseq = view->info.modseq, .uidnext = view->info.uidnext, .uidvalidity = view->info.uidvalidity};
	size_t messages = view->uids.n;
	struct folder_changes *changes = arena_must(arena, sizeof *changes);
	bool first = true; // what came between SELECT and the watch
	while (messages < SENT) {
		if (!first && !watch_changed(watch)) {
			fiber_wait(NULL, FIBER_MESSAGE, CLOCK_NEVER);
			continue;
		}
		first = false;
		struct arena *step = arena_new(1 << 20);
		must(folder_changes(mb, view->info.id, &seen, step, changes, NULL) == ERR_OK);
		messages += changes->arrived_n;
		seen.modseq = changes->modseq;
		seen.uidnext = changes->uidnext;
		arena_free(&step);
	}
	watch_free(&watch);
	mailbox_close(&mb);
	arena_free(&arena);
	atomic_fetch_add(&sessions_done, 1);
}

static void sending_fiber(void *arg)
{
	unsigned first = *(const unsigned *)arg;
	for (unsigned i = first; i < SENT; i += 3) {
		struct incoming *body = incoming_new(test_store, 1 << 20);
		must(incoming_add(body, str_of_c(test_message), NULL) == ERR_OK);
		struct delivery *d = malloc(sizeof *d);
		must(d != NULL);
		*d = test_delivery(300, 20000 + i, body);
		store_deliver(test_store, d, 1);
		must(d->code == ERR_OK && !d->known);
		free(d);
		incoming_free(&body);
	}
}

static void *scheduler(void *arg)
{
	sched_run(arg);
	return NULL;
}

static void idle_sessions_hear_of_every_message(void **state)
{
	(void)state;
	static const unsigned firsts[] = {0, 1, 2};
	struct err err;
	struct sched *scheds[2];
	pthread_t threads[2];
	sessions_done = 0;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(sched_new(&(struct sched_config){.fibers_max = 100}, &scheds[i], &err), ERR_OK);
		for (size_t k = 0; k < SESSIONS / 2; k++)
			assert_true(sched_spawn(scheds[i], idle_session, NULL, "session"));
	}
	for (size_t i = 0; i < 3; i++)
		assert_true(sched_spawn(scheds[i % 2], sending_fiber, (void *)(uintptr_t)&firsts[i], "sender"));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, scheduler, scheds[i]), 0);
	for (size_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		sched_free(&scheds[i]);
	}
	assert_int_equal(sessions_done, SESSIONS);
}

// --- A disk that stalls ---

static void *deliver_to_stalled(void *arg)
{
	struct worker *worker = arg;
	struct incoming *body = incoming_new(test_store, 1 << 20);
	must(incoming_add(body, str_of_c(test_message), NULL) == ERR_OK);
	struct delivery d = test_delivery(400, 30000 + worker->index, body);
	store_deliver(test_store, &d, 1);
	must(d.code == ERR_OK);
	incoming_free(&body);
	return NULL;
}

static void a_stalled_disk_holds_its_mailbox_alone(void **state)
{
	(void)state;
	static char text[GUID_TEXT_BYTES];
	struct guid id = test_id(400);
	struct store_stats before, after;
	guid_text(&id, text);
	test_deliver(400, 29999);
	test_disk_stall(text);
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	store_stats(test_store, &before);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.index = i};
		assert_int_equal(pthread_create(&threads[i], NULL, deliver_to_stalled, &workers[i]), 0);
		test_disk_await_stall(); // the first is alone in its commit
	}
	// More wait for that mailbox than there are threads; another one answers all the same.
	struct mailbox *mb = test_mailbox(401);
	assert_int_equal(test_deliver(401, 1).code, ERR_OK);
	assert_int_equal(test_status(mb, "INBOX").messages, 1);
	struct store_stats waiting;
	do
		store_stats(test_store, &waiting);
	while (waiting.waiting < THREADS - 1); // the others have come: they will share one commit
	test_disk_stall(NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	test_close(&mb);
	store_stats(test_store, &after);
	assert_int_equal(after.batched - before.batched, THREADS - 1);
	mb = test_mailbox(400);
	assert_int_equal(test_status(mb, "INBOX").messages, 1 + THREADS);
	test_close(&mb);
}

// --- Mailboxes that nobody uses ---

static void what_nobody_uses_is_closed_and_opened_again(void **state)
{
	(void)state;
	enum { MAILBOXES_HELD = 60 };
	struct mailbox *held[MAILBOXES_HELD];
	struct store_stats stats;
	for (unsigned i = 0; i < MAILBOXES_HELD; i++) {
		deliver_to(300 + i, 1);
		held[i] = test_mailbox(300 + i);
	}
	store_stats(test_store, &stats);
	assert_true(stats.open > MAILBOXES_HELD / 2);
	do {
		usleep(50000);
		store_stats(test_store, &stats);
	} while (stats.open > 1); // node.db
	for (unsigned i = 0; i < MAILBOXES_HELD; i++) {
		assert_int_equal(test_status(held[i], "INBOX").messages, 1);
		test_close(&held[i]);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

int main(void)
{
	test_disk_install();
	const struct CMUnitTest tests[] = {
		TEST(one_key_from_many_is_stored_once),
		TEST(databases_come_and_go),
		TEST(idle_sessions_hear_of_every_message),
		TEST(a_stalled_disk_holds_its_mailbox_alone),
		TEST(what_nobody_uses_is_closed_and_opened_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
