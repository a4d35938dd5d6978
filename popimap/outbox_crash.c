// SPDX-License-Identifier: Apache-2.0
// The outbox, stopped at every point: a delivery that was acknowledged and sends something has it in the outbox until it was
// noted as sent, once, however often it is made again; a mailbox in which something waits is in the list of those that send; who
// was answered is not answered again.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "crash_points.h"
#include "outbox.h"

enum mark {
	MARK_TRIED,
	MARK_DELIVERED, // its answer waits
	MARK_SENDING,   // the queue has it: what a 250 was said to
	MARK_SENT,      // and that was noted
	MARK_SETTLED,   // nothing waited in the mailbox
};

enum { IDS_MAX = 12, MAILBOXES = 2, ARENA_BYTES = 1 << 20, BYTES = 300 };

static const struct store_home home = {.host = {"mx1.uni.example", 15}, .epoch = 1};
static const int64_t now_ms = 1795286655000;

struct bench {
	const char *dir;
	struct disk_trace *trace;
	struct store *store;
};

static struct bench bench;

static struct guid id_of(const char *kind, uint32_t n)
{
	struct guid zero = {0};
	char text[16];
	return guid_derive(&zero, str_of(text, (size_t)snprintf(text, sizeof text, "%u", n)), str_of_c(kind));
}

static void died(const struct err *err, void *arg)
{
	(void)arg;
	fprintf(stderr, "died: %s\n", err->text);
	_exit(CRASH_DIED);
}

static void open_store(void)
{
	struct err err = {0};
	struct store_config config = {.dir = str_of_c(bench.dir), .threads = 2, .open_max = 100, .key_days = 30, .on_eio = died};
	if (store_open(&config, &bench.store, &err) == ERR_OK)
		return;
	fprintf(stderr, "no start: %s\n", err.text);
	_exit(CRASH_DIED);
}

static void mark(enum mark kind, uint32_t id)
{
	disk_mark(bench.trace, kind, id, 0);
}

// --- The work ---

struct outcome {
	enum err_code code;
	bool known;
	enum outbox_fate fate;
};

// A message to mailbox id % MAILBOXES, whose answer has id as its key and its data. Another root is another message of the same
// correspondent.
static struct outcome deliver(uint32_t id, const char *root)
{
	struct err err;
	char text[BYTES], key[16];
	struct incoming *body = incoming_new(bench.store, 1 << 20);
	struct str name = str_of(key, (size_t)snprintf(key, sizeof key, "%u", id));
	struct outbox_item item = {.kind = STR("vacation"), .key = name, .data = name, .guid = id_of("answer", id),
		.made_ms = now_ms,
		.until_ms = now_ms + 1000};
	struct delivery d = {.account = id_of("mailbox", id % MAILBOXES), .home = &home, .root = id_of(root, id), .body = body,
		.received = {.utc_s = now_ms / 1000}, .sends = &item};
	d.code = incoming_add(body, str_of(crash_text(id, BYTES, text), BYTES), &err);
	if (d.code == ERR_OK)
		store_deliver(bench.store, &d, 1);
	incoming_free(&body);
	return (struct outcome){d.code, d.known, item.fate};
}

static void put(uint32_t id)
{
	mark(MARK_TRIED, id);
	if (deliver(id, "root").code == ERR_OK)
		mark(MARK_DELIVERED, id);
}

// As the sender does: those of one mailbox, then it is settled.
static void send_mailbox(uint32_t mailbox)
{
	struct guid id = id_of("mailbox", mailbox);
	struct arena *arena = arena_new(ARENA_BYTES);
	struct outbox_row row, after = {.kind = STR("")};
	struct err err;
	bool found = true;
	while (found && outbox_next(bench.store, &id, &after, arena, &row, &found, &err) == ERR_OK && found) {
		uint64_t number;
		must(str_to_u64(row.key, IDS_MAX, &number));
		mark(MARK_SENDING, (uint32_t)number);
		if (outbox_sent(bench.store, &id, &row, &err) == ERR_OK)
			mark(MARK_SENT, (uint32_t)number);
		after = row;
	}
	if (outbox_settle(bench.store, &id, &err) == ERR_OK)
		mark(MARK_SETTLED, mailbox);
	arena_free(&arena);
}

static void work(const char *dir, struct disk_trace *trace, uint64_t seed, bool is_small)
{
	bench = (struct bench){.dir = dir, .trace = trace};
	uint32_t n = is_small ? 4 : IDS_MAX;
	open_store();
	for (uint32_t id = 0; id < n; id++) {
		put(id);
		if ((id + seed) % 3 == 2)
			send_mailbox(id % MAILBOXES);
	}
	store_close(&bench.store);
}

static void restart(const char *dir)
{
	bench = (struct bench){.dir = dir};
	open_store();
	store_close(&bench.store);
}

// --- The check ---

struct promise {
	bool tried, acked, sending, sent;
	unsigned waiting;
};

struct checking {
	struct crash_verdict *verdict;
	struct promise promise[IDS_MAX];
};

static void read_marks(struct checking *c, const struct disk_trace *trace, size_t position)
{
	for (size_t i = 0; i < position; i++) {
		const struct disk_op *op = disk_trace_op(trace, i);
		if (op->kind != DISK_MARK)
			continue;
		struct promise *p = &c->promise[op->mark.id];
		switch ((enum mark)op->mark.kind) {
		case MARK_TRIED:
			p->tried = true;
			break;
		case MARK_DELIVERED:
			p->acked = true;
			break;
		case MARK_SENDING:
			p->sending = true;
			break;
		case MARK_SENT:
			p->sent = true;
			break;
		case MARK_SETTLED:
			break;
		}
	}
}

static bool is_listed(const struct guid *mailbox)
{
	struct guid ids[MAILBOXES + 1];
	struct err err;
	size_t n = 0;
	must(outbox_mailboxes(bench.store, NULL, ids, MAILBOXES + 1, &n, &err) == ERR_OK);
	for (size_t i = 0; i < n; i++)
		if (guid_eq(&ids[i], mailbox))
			return true;
	return false;
}

static void look_at(struct checking *c, uint32_t mailbox)
{
	struct guid id = id_of("mailbox", mailbox);
	struct arena *arena = arena_new(ARENA_BYTES);
	struct outbox_row row, after = {.kind = STR("")};
	struct err err;
	bool found = true, any = false;
	while (found && outbox_next(bench.store, &id, &after, arena, &row, &found, &err) == ERR_OK && found) {
		uint64_t number;
		struct guid answer;
		any = true;
		after = row;
		if (!str_to_u64(row.data, IDS_MAX - 1, &number) || !str_eq(row.key, row.data)) {
			crash_lost(c->verdict, "mailbox %u sends what nobody gave it", mailbox);
			continue;
		}
		answer = id_of("answer", (uint32_t)number);
		if (!guid_eq(&row.guid, &answer))
			crash_duplicated(c->verdict, "answer %u has another guid", (unsigned)number);
		c->promise[number].waiting++;
	}
	if (any && !is_listed(&id))
		crash_lost(c->verdict, "answers wait in mailbox %u, which is not in the list", mailbox);
	arena_free(&arena);
}

static void look(struct checking *c)
{
	for (uint32_t id = 0; id < IDS_MAX; id++)
		c->promise[id].waiting = 0;
	for (uint32_t mailbox = 0; mailbox < MAILBOXES; mailbox++)
		look_at(c, mailbox);
	for (uint32_t id = 0; id < IDS_MAX; id++) {
		const struct promise *p = &c->promise[id];
		if (p->acked && !p->sending && p->waiting == 0)
			crash_lost(c->verdict, "answer %u", id);
		if (p->waiting > 1 || (p->waiting && p->sent))
			crash_duplicated(c->verdict, "answer %u", id);
		if (p->waiting && !p->tried)
			crash_lost(c->verdict, "answer %u to a message that nobody sent", id);
	}
}

// As the front-end does when it heard nothing; and then another message of the same correspondent comes.
static void deliver_again(struct checking *c)
{
	for (uint32_t id = 0; id < IDS_MAX; id++) {
		struct promise *p = &c->promise[id];
		if (!p->tried)
			continue;
		struct outcome again = deliver(id, "root");
		if (again.code)
			crash_lost(c->verdict, "message %u is not taken again", id);
		p->acked = true;
		struct outcome other = deliver(id, "other");
		if (other.code || other.fate != OUTBOX_KNOWN)
			crash_duplicated(c->verdict, "the correspondent of message %u is answered again", id);
	}
	look(c);
}

static void check(const char *dir, const struct disk_trace *trace, size_t position, struct crash_verdict *verdict)
{
	static struct checking c;
	c = (struct checking){.verdict = verdict};
	bench = (struct bench){.dir = dir};
	read_marks(&c, trace, position);
	open_store();
	look(&c);
	deliver_again(&c);
	for (uint32_t mailbox = 0; mailbox < MAILBOXES; mailbox++) {
		struct guid id = id_of("mailbox", mailbox);
		send_mailbox(mailbox);
		if (is_listed(&id))
			crash_lost(verdict, "mailbox %u stays in the list", mailbox);
	}
	store_close(&bench.store);
}

static bool is_ack(const struct disk_mark *m)
{
	return m->kind == MARK_DELIVERED || m->kind == MARK_SENT;
}

int main(int argc, char **argv)
{
	static const struct crash_test test = {
		.name = "outbox", .work = work, .restart = restart, .check = check, .is_ack = is_ack};
	return crash_main(argc, argv, &test);
}
