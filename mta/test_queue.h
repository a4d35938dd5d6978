// SPDX-License-Identifier: Apache-2.0
// For the tests of the queue: one as a daemon has it, in a directory of its own, with a directory that the test answers for and
// an LMTP server on loopback.
//
//     struct bench b;
//     begin(&b);                 // settings, runtime, queue; begin_with(&b, settings): without a start
//     serve(&b);                 // LMTP
//     queue_start(b.queue);
//     enter_one(b.queue, "a@uni.example"); await(&b, LEDGER_DELIVERED, 1);
//     stop(&b); end(&b);
#ifndef MTA_TEST_QUEUE_H
#define MTA_TEST_QUEUE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/runtime.h"
#include "mta/queue.h"
#include "queue_core.h"
#include "queue_fold.h"
#include "test_mta.h"

struct bench {
	char dir[64], config[96];
	struct settings_snapshot *settings;
	struct runtime *runtime;
	struct queue *queue;
	struct lmtp lmtp;
	_Atomic uint64_t world;
	_Atomic int asked;
	_Atomic enum queue_route_answer answer; // once it is in world 2
	queue_expand_fn *expand; // NULL: there is nobody to ask
};

static struct bench *now; // for callbacks without an argument of ours

static inline enum err_code find_host(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out,
	struct err *err)
{
	(void)arg;
	(void)arena;
	if (!str_eq(mail_host, STR("mail1")))
		return err_set(err, ERR_NOTFOUND, "no such host");
	*host_out = (struct queue_host){.host = STR("127.0.0.1"), .port = now->lmtp.port};
	return ERR_OK;
}

// Senders at uni.example have mailboxes here; nobody else is anybody.
static inline bool resolve(void *arg, struct arena *arena, struct str address, struct record_recipients *out, bool *temporary)
{
	(void)arg;
	*temporary = str_starts(address, STR("unsure@"));
	if (!str_ends(address, STR("@uni.example")) || *temporary)
		return false;
	resolve_to_mailbox(arena, address, out);
	return true;
}

// mail0 was the home of all in the first world; in the second they are at mail1, or answer says.
static inline enum queue_route_answer route(void *arg, struct arena *arena, const struct queue_route_query *query,
	struct queue_route *route_out)
{
	(void)arg;
	(void)arena;
	*route_out = (struct queue_route){.to = *query->recipient, .reply = STR("550 5.1.1 nobody")};
	atomic_fetch_add(&now->asked, 1);
	if (now->world < 2 || !str_eq(query->recipient->destination, STR("mail0")))
		return QUEUE_ROUTE_SAME;
	route_out->to.destination = STR("mail1");
	route_out->to.original = STR_NONE;
	return now->answer;
}

static inline uint64_t world(void *arg)
{
	(void)arg;
	return now->world;
}

static inline void died(const struct err *err)
{
	fprintf(stderr, "died: %s\n", err->text);
	abort();
}

static inline void write_config(struct bench *b, const char *more)
{
	snprintf(b->config, sizeof b->config, "%s.conf", b->dir);
	FILE *f = fopen(b->config, "w");
	assert_non_null(f);
	fprintf(f,
		"hostname = \"mx.uni.example\"\nretry { min_s = 1 max_s = 2 }\nqueue { reserve_bytes = 0 }\nlisten { submissions "
		"= {} imaps = {} pop3s = {} }\n%s",
		more);
	fclose(f);
	struct settings_report report;
	settings_report_init(&report);
	if (settings_load(&settings_table, b->config, &report, &b->settings))
		fail_msg("%s", buf_c(&report.lines));
	settings_report_fini(&report);
}

static inline void start(struct bench *b)
{
	struct err err;
	now = b;
	struct queue_config config = {.dir = b->dir, .settings = b->settings, .resolve = resolve, .host = find_host,
		.expand = b->expand, .route = route, .world = world, .died = died};
	if (runtime_new(&(struct runtime_config){.name = "test", .schedulers = 2, .workers = 2}, &b->runtime, &err))
		fail_msg("%s", err.text);
	config.runtime = b->runtime;
	if (queue_open(&config, &b->queue, &err))
		fail_msg("%s", err.text);
}

static inline void serve(struct bench *b)
{
	lmtp_serve(&b->lmtp, b->runtime);
}

static inline void stop(struct bench *b)
{
	end_daemon(&b->queue, &b->runtime);
}

static inline void begin_with(struct bench *b, const char *settings)
{
	memset(b, 0, sizeof *b);
	snprintf(b->dir, sizeof b->dir, "/tmp/posthouse-queue-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	lmtp_init(&b->lmtp);
	write_config(b, settings);
}

static inline void begin(struct bench *b)
{
	begin_with(b, "");
	start(b);
}

static inline void end(struct bench *b)
{
	char command[128];
	settings_unref(&b->settings);
	lmtp_fini(&b->lmtp);
	unlink(b->config);
	snprintf(command, sizeof command, "rm -rf %s", b->dir);
	assert_int_equal(system(command), 0);
}

static inline enum queue_verdict enter_bytes(struct queue *queue, struct str sender, const struct record_recipient *to, size_t n,
	size_t bytes, struct guid *guid_out)
{
	struct spool *spool;
	struct err err;
	if (spool_open(queue, &spool, &err))
		return QUEUE_REFUSED;
	static const char line[] = "0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
	bool ok = spool_append(spool, STR("Subject: test\r\n\r\n"), &err) == ERR_OK;
	while (ok && spool_bytes(spool) < bytes)
		ok = spool_append(spool, str_of(line, sizeof line - 1), &err) == ERR_OK;
	if (!ok) {
		spool_drop(&spool);
		return QUEUE_REFUSED;
	}
	if (guid_out)
		*guid_out = spool_guid(spool);
	struct queue_message message = {.sender = sender, .source = STR("test"), .recipients = to, .n = n};
	return queue_enter(queue, &message, &spool, &err);
}

static inline enum queue_verdict enter_one(struct queue *queue, const char *address)
{
	struct record_recipient to = to_mailbox(str_of_c(address));
	return enter_bytes(queue, STR("s@uni.example"), &to, 1, 500, NULL);
}

static inline int64_t ledger_of(struct queue *queue, enum queue_ledger counter)
{
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	queue_fold_ledger(queue->fold, counters, &balanced);
	assert_true(balanced);
	return counters[counter];
}

// Waits for a state that the code reaches by itself; the limit is for a hung test only.
static inline void await(struct bench *b, enum queue_ledger counter, int64_t value)
{
	for (int i = 0; i < 6000 && ledger_of(b->queue, counter) != value; i++)
		usleep(10000);
	assert_int_equal(ledger_of(b->queue, counter), value);
}

#endif
