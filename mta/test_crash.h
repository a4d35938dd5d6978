// SPDX-License-Identifier: Apache-2.0
// For queue_crash.c: what a message is for, by its number; the queue with all that it asks of others; and the marks of what was
// promised.
#ifndef MTA_TEST_CRASH_H
#define MTA_TEST_CRASH_H

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "crash_points.h"
#include "queue_core.h"
#include "queue_fold.h"
#include "queue_rows.h"
#include "replay.h"
#include "router/list_header.h"
#include "test_mta.h"

enum mark {
	MARK_TRIED,     // value of these: the recipient's number, 0 for all
	MARK_ACKED,
	MARK_REFUSED,
	MARK_HOLDING,
	MARK_HELD,
	MARK_RELEASING,
	MARK_DELETING,
	MARK_DELETED,
	MARK_TAKEN,     // the LMTP server will say 250
	MARK_REPORTED,  // and this was the report about it
	MARK_SETTLED,   // its result is known to be committed
	MARK_UNKNOWN,   // it was answered 451, a CANCEL is on its way
	MARK_CANCELLED, // and is known to be committed
	MARK_KEPT,      // what was delivered is for replay, and that was synced
	MARK_REQUEUED,  // its copy to a was withdrawn, that to b is there, at once
};

#define CRASH_SENDER "s@uni.example"
#define CRASH_LIST_FIELDS "List-Id: <list.uni.example>\r\n"
#define ALSO "also@uni.example" // of TO_REQUEUED: led to a, too

enum {
	IDS_MAX = 64,
	FIBERS = 3,
	PROBE = IDS_MAX,
	TEXT_BYTES_MAX = 1 << 20,
	SETTLE_MS = 60000, // a queue that is stuck tries once a second, and twenty tries may fail for want of space
	CHUNK_BYTES = 40000,
	ARENA_BYTES = 1 << 20,
};

// What a message is for, by its number.
enum { TO_NOBODY = 0, TO_LIST = 1, TO_TWO = 2, TO_LATER = 6, TO_REQUEUED = 7, KINDS = 8 };

static inline bool is_bounced(uint32_t id)
{
	return id % KINDS == TO_NOBODY;
}

static inline unsigned recipients_of(uint32_t id)
{
	return id % KINDS == TO_TWO || id % KINDS == TO_LIST ? 2 : 1; // a list's are its members
}

// Who of them a copy to this address is for. Of one whose alias is corrected there is one copy at any moment, wherever it goes.
static inline unsigned number_of(uint32_t id, struct str address)
{
	return address.p[0] == 'b' && id % KINDS != TO_REQUEUED ? 2 : 1;
}

struct bench {
	const char *dir;
	struct disk_trace *trace;
	struct settings_snapshot *settings;
	struct runtime *runtime;
	struct queue *queue;
	struct lmtp lmtp;
	uint64_t seed;
	bool is_small, spills;
	struct guid guids[IDS_MAX];
	_Atomic bool acked[IDS_MAX];
	_Atomic uint32_t next_id;
	uint32_t end_id;
	_Atomic int running;
	unsigned held; // recipients that rest
};

static struct bench *now;

static inline size_t size_of(const struct bench *b, uint32_t id)
{
	static const size_t small[] = {200, 900, 4000, 9000}, large[] = {70000, 300000}, inline_max = 60000;
	if (b->spills)
		return inline_max;
	if (id % 5 == 1)
		return large[!b->is_small && id == 11];
	return small[(id + b->seed) % 4];
}

// --- The queue's surroundings ---

static inline enum err_code find_host(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out,
	struct err *err)
{
	(void)arg;
	(void)arena;
	(void)mail_host;
	(void)err;
	*host_out = (struct queue_host){.host = STR("127.0.0.1"), .port = now->lmtp.port};
	return ERR_OK;
}

static inline bool resolve(void *arg, struct arena *arena, struct str address, struct record_recipients *out, bool *temporary)
{
	(void)arg;
	*temporary = false;
	resolve_to_mailbox(arena, address, out);
	return true;
}

// A list of a and b; one part each. Its copies have a body of their own.
static inline enum queue_expand_answer expand(void *arg, struct arena *arena, const struct queue_expand_query *query,
	struct queue_expansion *expansion_out)
{
	(void)arg;
	must(str_eq(query->sender, STR(CRASH_SENDER))); // who wrote it, for a part whose maker died too: a list in the list asks
	static const struct list_header header = {.id = STR("list.uni.example"), .fields = STR(CRASH_LIST_FIELDS)};
	*expansion_out = (struct queue_expansion){.is_list = true, .owner = STR("owner-list@uni.example"), .header = &header,
		.to = {arena_must(arena, 2 * sizeof(struct record_recipient)), 2}};
	expansion_out->to.v[0] = to_mailbox(STR("a@uni.example"));
	expansion_out->to.v[1] = to_mailbox(STR("b@uni.example"));
	return QUEUE_EXPAND_DONE;
}

// Whatever waits has moved meanwhile: it goes another way from its next try on.
static inline enum queue_route_answer route(void *arg, struct arena *arena, const struct queue_route_query *query,
	struct queue_route *route_out)
{
	(void)arg;
	(void)arena;
	*route_out = (struct queue_route){.to = *query->recipient};
	route_out->to.destination = STR("mail2");
	route_out->to.original = STR_NONE;
	return str_eq(query->recipient->destination, STR("mail2")) ? QUEUE_ROUTE_SAME : QUEUE_ROUTE_OTHER;
}

static inline uint64_t world(void *arg)
{
	(void)arg;
	return 1;
}

static inline void died(const struct err *err)
{
	fprintf(stderr, "died: %s\n", err->text);
	_exit(CRASH_DIED);
}

static inline void load_settings(struct bench *b)
{
	char path[] = "/tmp/posthouse-crash-conf-XXXXXX";
	int fd = mkstemp(path);
	must(fd >= 0);
	dprintf(fd, "hostname = \"mx.uni.example\"\nretry { min_s = 1 max_s = 1 }\nqueue { reserve_bytes = 0 }\n"
		    "listen { submissions = {} imaps = {} pop3s = {} }\n");
	close(fd);
	struct settings_report report;
	settings_report_init(&report);
	must(settings_load(&settings_table, path, &report, &b->settings) == ERR_OK);
	settings_report_fini(&report);
	unlink(path);
}

// A daemon whose queue does not open ends.
static inline void open_queue(struct bench *b)
{
	struct err err = {0};
	struct queue_config config = {.dir = b->dir, .runtime = b->runtime, .settings = b->settings, .resolve = resolve,
		.host = find_host,
		.expand = expand, .route = route, .world = world, .died = died};
	if (queue_open(&config, &b->queue, &err) == ERR_OK) {
		b->queue->expand_part_max = 1;
		return;
	}
	fprintf(stderr, "no start: %s\n", err.text);
	_exit(CRASH_DIED);
}

static inline void start(struct bench *b)
{
	struct err err = {0};
	now = b;
	must(runtime_new(&(struct runtime_config){.name = "crash", .schedulers = 1, .workers = 2}, &b->runtime, &err) == ERR_OK);
	open_queue(b);
	lmtp_serve(&b->lmtp, b->runtime);
}

static inline void stop(struct bench *b)
{
	end_daemon(&b->queue, &b->runtime);
}

// What was sent, without what the list put on top of its copies.
static inline struct str crash_sent(struct str text)
{
	struct str top = STR(CRASH_LIST_FIELDS "Precedence: list\r\n");
	return str_starts(text, top) ? str_from(text, top.n) : text;
}

static inline void taken(void *arg, struct str guid, struct str recipient, struct str text)
{
	struct bench *b = arg;
	uint32_t id;
	size_t bytes, at;
	(void)guid;
	text = crash_sent(text);
	if (!crash_text_id(text.p, text.n, &id, &bytes, &at) || id >= IDS_MAX)
		return;
	bool whole = at == 0 && text.n == bytes;
	disk_mark(b->trace, whole ? MARK_TAKEN : MARK_REPORTED, id, number_of(id, recipient));
}

static inline void init(struct bench *b, const char *dir, struct disk_trace *trace)
{
	b->dir = dir;
	b->trace = trace;
	load_settings(b);
	lmtp_init(&b->lmtp);
	b->lmtp.taken = taken;
	b->lmtp.arg = b;
}

#endif
