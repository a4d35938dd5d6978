// SPDX-License-Identifier: Apache-2.0
// The queue, stopped at every point: what got its verdict is in it, or was taken by a mailbox host, once and whole; and it goes
// on by itself.
//
// What is promised, per recipient: after COMMITTED it is in the rows until the LMTP server has taken it (or, refused there, until
// the report about it was); what was seen to have left the queue does not come back; what was refused never shows; a hold holds,
// a deletion deletes. What was tried and not answered is there whole or not at all.
#include "test_crash.h"

// --- The work ---

static enum queue_verdict enter(struct bench *b, uint32_t id, size_t bytes, struct guid *guid_out)
{
	struct record_recipient to[] = {to_mailbox(is_bounced(id)           ? STR("no@uni.example")
						   : id % KINDS == TO_LATER ? STR("later@uni.example")
									    : STR("a@uni.example")),
		to_mailbox(STR("b@uni.example"))};
	struct spool *spool;
	struct err err;
	char *text = malloc(bytes);
	must(text != NULL);
	crash_text(id, bytes, text);
	enum err_code code = spool_open(b->queue, &spool, &err);
	if (code == ERR_OK)
		*guid_out = spool_guid(spool);
	for (size_t at = 0; code == ERR_OK && at < bytes; at += CHUNK_BYTES)
		if ((code = spool_append(spool, str_upto(str_of(text + at, bytes - at), CHUNK_BYTES), &err)) != ERR_OK)
			spool_drop(&spool);
	free(text);
	if (code)
		return QUEUE_REFUSED;
	if (id % KINDS == TO_LIST && id != PROBE)
		to[0] = (struct record_recipient){.target = RECORD_TO_EXPAND,
			.address = STR("list@uni.example"),
			.key = STR("list@uni.example"),
			.destination = STR(RECORD_EXPAND_DESTINATION)};
	bool by_two = id % KINDS == TO_REQUEUED;
	if (by_two) { // two addresses that lead to one copy
		to[1] = to[0];
		to[1].original = STR(ALSO);
	}
	struct queue_message message = {.sender = STR(CRASH_SENDER), .source = STR("crash"), .recipients = to,
		.n = id % KINDS == TO_LIST ? 1 : by_two ? 2 : recipients_of(id)};
	return queue_enter(b->queue, &message, &spool, &err);
}

static void enter_some(void *arg)
{
	struct bench *b = arg;
	for (uint32_t id; (id = atomic_fetch_add(&b->next_id, 1)) < b->end_id;) {
		disk_mark(b->trace, MARK_TRIED, id, 0);
		switch (enter(b, id, size_of(b, id), &b->guids[id])) {
		case QUEUE_COMMITTED:
			disk_mark(b->trace, MARK_ACKED, id, 0);
			b->acked[id] = true;
			break;
		case QUEUE_REFUSED:
			disk_mark(b->trace, MARK_REFUSED, id, 0);
			break;
		case QUEUE_UNKNOWN:
			disk_mark(b->trace, MARK_UNKNOWN, id, 0);
			break;
		}
	}
	atomic_fetch_sub(&b->running, 1);
}

static void enter_all(struct bench *b, uint32_t n)
{
	must(b->end_id + n <= IDS_MAX);
	atomic_store(&b->next_id, b->end_id);
	b->end_id += n;
	atomic_store(&b->running, FIBERS);
	for (int i = 0; i < FIBERS; i++)
		must(runtime_spawn(b->runtime, enter_some, b, "enter"));
	while (atomic_load(&b->running) > 0)
		usleep(1000);
}

static void set_cache(struct db *db, void *arg)
{
	must(db_exec(db, arg, NULL) == ERR_OK);
}

static void must_have_spilled(struct db *db, void *arg)
{
	int spilled, highest;
	(void)arg;
	must(sqlite3_db_status(db_handle(db), SQLITE_DBSTATUS_CACHE_SPILL, &spilled, &highest, 0) == SQLITE_OK && spilled > 0);
}

// Transactions larger than SQLite's cache: it writes pages to the WAL before the commit, and some of them again. The queue's
// cache is larger than a batch, so that this needs a record of uncommon size there, or a smaller cache here.
static void enter_spilled(struct bench *b, uint32_t n)
{
	char small[] = "PRAGMA cache_size=8", usual[] = "PRAGMA cache_size=-32768";
	must(cluster_log_read(b->queue->log, set_cache, small, NULL) == ERR_OK);
	b->spills = true;
	enter_all(b, n);
	b->spills = false;
	if (b->acked[b->end_id - 1])
		must(cluster_log_read(b->queue->log, must_have_spilled, NULL, NULL) == ERR_OK);
	must(cluster_log_read(b->queue->log, set_cache, usual, NULL) == ERR_OK);
}

// One whose verdict comes too late; whatever is committed after it is behind its CANCEL.
static void enter_unheard(struct bench *b)
{
	int64_t timeout_ms = atomic_exchange(&b->queue->commit_timeout_ms, -1);
	uint32_t id = b->end_id;
	enter_all(b, 1);
	atomic_store(&b->queue->commit_timeout_ms, timeout_ms);
	enter_all(b, 1);
	if (!b->acked[id] && b->acked[id + 1])
		disk_mark(b->trace, MARK_CANCELLED, id, 0);
}

static void say(struct bench *b, uint32_t id, struct record *record, enum mark before, int after)
{
	struct queue_fold_answer answer = {0};
	struct err err;
	if (!b->acked[id])
		return;
	disk_mark(b->trace, before, id, 0);
	if (queue_say(b->queue, record, &answer, &err) == ERR_OK && answer.counted > 0 && after >= 0)
		disk_mark(b->trace, (uint32_t)after, id, 0);
}

static void hold(struct bench *b, uint32_t id)
{
	struct record r = {.type = RECORD_HOLD,
		.hold = {.guid = b->guids[id], .at_ms = clock_wall_ms(), .who = STR("crash"), .why = STR("test")}};
	say(b, id, &r, MARK_HOLDING, MARK_HELD);
	b->held += b->acked[id] ? recipients_of(id) : 0;
}

static void release(struct bench *b, uint32_t id)
{
	struct record r = {
		.type = RECORD_RELEASE, .release = {.guid = b->guids[id], .at_ms = clock_wall_ms(), .who = STR("crash")}};
	say(b, id, &r, MARK_RELEASING, -1);
	b->held -= b->acked[id] ? recipients_of(id) : 0;
}

// Two addresses led to a; both lead to b. First the one in the copy's row leaves, and the other takes its place.
static void requeue(struct bench *b, uint32_t id)
{
	struct record_leave first = {1, STR("a@uni.example")}, second = {1, STR(ALSO)};
	struct record_recipient right[] = {to_mailbox(STR("b@uni.example")), to_mailbox(STR("b@uni.example"))};
	struct record r = {.type = RECORD_REQUEUE,
		.requeue = {.guid = b->guids[id], .at_ms = clock_wall_ms(), .who = STR("crash"), .leave = {&first, 1}}};
	for (uint32_t i = 0; i < 2; i++) {
		right[i].number = i + 1;
		right[i].mailbox_id = STR("000000000000000000000000000000bb");
	}
	right[0].original = STR("a@uni.example");
	right[1].original = STR(ALSO);
	say(b, id, &r, MARK_TRIED, -1);
	r.requeue.leave.v = &second;
	r.requeue.come = (struct record_recipients){right, 2};
	say(b, id, &r, MARK_TRIED, MARK_REQUEUED);
}

static void delete(struct bench *b, uint32_t id)
{
	struct record r = {.type = RECORD_DELETE,
		.delete = {.guid = b->guids[id], .at_ms = clock_wall_ms(), .who = STR("crash"), .why = STR("test")}};
	say(b, id, &r, MARK_DELETING, MARK_DELETED);
}

static int64_t queued(struct queue *queue)
{
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	queue_fold_ledger(queue->fold, counters, &balanced);
	return counters[LEDGER_QUEUED];
}

// For each that was taken.
static void mark_taken(struct bench *b, enum mark mark)
{
	size_t n = disk_trace_n(b->trace);
	for (size_t i = disk_trace_begin(b->trace); i < n; i++) {
		const struct disk_op *op = disk_trace_op(b->trace, i);
		if (op->kind == DISK_MARK &&
			(op->mark.kind == MARK_TAKEN || (op->mark.kind == MARK_REPORTED && mark == MARK_SETTLED)))
			disk_mark(b->trace, mark, op->mark.id, op->mark.value);
	}
}

// Until only those are left that stay; then everything that was taken is known to be settled.
static void settle(struct bench *b)
{
	int64_t stay = b->held, deadline_ms = clock_mono_exact_ms() + SETTLE_MS;
	for (uint32_t id = 0; id < b->end_id; id++)
		stay += b->acked[id] && id % KINDS == TO_LATER;
	while (queued(b->queue) > stay)
		if (clock_mono_exact_ms() > deadline_ms) {
			fprintf(stderr, "%lld recipients are still in the queue, not %lld\n", (long long)queued(b->queue),
				(long long)stay);
			_exit(3);
		} else {
			usleep(1000);
		}
	mark_taken(b, MARK_SETTLED);
}

static void work(const char *dir, struct disk_trace *trace, uint64_t seed, bool is_small)
{
	enum { IDLE_MS = 2500 }; // the writer writes its WAL back, replay syncs
	static struct bench b;
	b.seed = seed;
	b.is_small = is_small;
	init(&b, dir, trace);
	start(&b);
	enter_all(&b, is_small ? 4 : 8);
	enter_spilled(&b, is_small ? 1 : 4);
	hold(&b, 3);
	if (!is_small) {
		delete(&b, 4);
		requeue(&b, 7);
		enter_unheard(&b);
	}
	queue_start(b.queue);
	settle(&b);
	if (!is_small) {
		usleep(IDLE_MS * 1000);
		mark_taken(&b, MARK_KEPT);
	}
	stop(&b);
	start(&b);
	queue_start(b.queue);
	enter_all(&b, is_small ? 2 : 7); // while deliveries go on
	release(&b, 3);
	settle(&b);
	stop(&b);
	if (!is_small)
		mark_taken(&b, MARK_KEPT);
}

static void restart(const char *dir)
{
	static struct bench b;
	init(&b, dir, NULL);
	open_queue(&b);
	queue_close(&b.queue);
}

// --- The check ---

// Of one recipient.
struct promise {
	bool tried, acked, refused, taken, reported, settled;
	bool holding, held, releasing, deleting, deleted, cancelled, kept, requeued;
	unsigned rows, reports, replays; // found
	bool delivered;         // after the cut
	bool resting;           // the row is held
	bool wrong;             // the row is the copy to a
};

struct checking {
	struct bench *bench;
	struct crash_verdict *verdict;
	struct promise promise[IDS_MAX + 1][3]; // by number; [.][0] is not used
	size_t files, probes;
	struct item_message *messages;
	struct row {
		bool held, first; // first of its message
		bool stands_for[3]; // by number of a promise
	} *rows;
	size_t n;
};

static void set(struct promise *p, enum mark mark)
{
	switch (mark) {
	case MARK_TRIED:
		p->tried = true;
		return;
	case MARK_ACKED:
		p->acked = true;
		return;
	case MARK_REFUSED:
		p->refused = true;
		return;
	case MARK_HOLDING:
		p->holding = true;
		return;
	case MARK_HELD:
		p->held = true;
		return;
	case MARK_RELEASING:
		p->releasing = true;
		return;
	case MARK_DELETING:
		p->deleting = true;
		return;
	case MARK_DELETED:
		p->deleted = true;
		return;
	case MARK_TAKEN:
		p->taken = true;
		return;
	case MARK_REPORTED:
		p->reported = true;
		return;
	case MARK_SETTLED:
		p->settled = true;
		return;
	case MARK_UNKNOWN:
		return;
	case MARK_CANCELLED:
		p->cancelled = true;
		return;
	case MARK_KEPT:
		p->kept = true;
		return;
	case MARK_REQUEUED:
		p->requeued = true;
		return;
	}
}

static void read_marks(struct checking *c, const struct disk_trace *trace, size_t position)
{
	for (size_t i = 0; i < position; i++) {
		const struct disk_op *op = disk_trace_op(trace, i);
		if (op->kind != DISK_MARK)
			continue;
		for (unsigned number = 1; number <= recipients_of(op->mark.id); number++)
			if (op->mark.value == 0 || op->mark.value == number)
				set(&c->promise[op->mark.id][number], (enum mark)op->mark.kind);
	}
}

// The recipients that were promised and that a row is: a list's is both members, that of a part (k of n) those whose hash says
// so.
static void find_promised(sqlite3_stmt *stmt, struct row *row)
{
	static const struct str keys[] = {STR("a@uni.example"), STR("b@uni.example")};
	struct str address = db_col_str(stmt, 6), detail = db_col_str(stmt, 8);
	bool expands = sqlite3_column_int(stmt, 7) == RECORD_TO_EXPAND;
	row->stands_for[1] = expands || address.p[0] != 'b';
	row->stands_for[2] = expands || address.p[0] == 'b';
	for (unsigned i = 0; expands && detail.n && i < 2; i++)
		row->stands_for[i + 1] = str_hash(keys[i]) % 2 == (uint64_t)(detail.p[0] - '1');
}

static void read_rows(struct db *db, void *arg)
{
	struct checking *c = arg;
	sqlite3_stmt *stmt;
	must(sqlite3_prepare_v2(db_handle(db),
		     "SELECT m.guid, m.flags, m.bytes, m.body, r.number, r.state, r.address, r.target, r.detail FROM message m "
		     "JOIN recipient r USING(guid) ORDER BY m.guid, r.number",
		     -1, &stmt, NULL) == SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		c->messages = reallocarray(c->messages, c->n + 1, sizeof *c->messages);
		c->rows = reallocarray(c->rows, c->n + 1, sizeof *c->rows);
		must(c->messages != NULL && c->rows != NULL);
		struct item_message *m = &c->messages[c->n];
		*m = (struct item_message){.flags = (uint8_t)sqlite3_column_int(stmt, 1),
			.body_bytes = (uint64_t)sqlite3_column_int64(stmt, 2), .body_id = sqlite3_column_int64(stmt, 3)};
		must(sqlite3_column_bytes(stmt, 0) == (int)sizeof m->guid);
		memcpy(&m->guid, sqlite3_column_blob(stmt, 0), sizeof m->guid);
		bool first = c->n == 0 || !guid_eq(&c->messages[c->n - 1].guid, &m->guid);
		c->rows[c->n] = (struct row){.held = sqlite3_column_int(stmt, 5) == 1, .first = first};
		find_promised(stmt, &c->rows[c->n++]);
	}
	must(sqlite3_finalize(stmt) == SQLITE_OK);
}

// Whole, and what of it is it?
static void check_row(struct checking *c, size_t i)
{
	struct buf text;
	struct str sent;
	struct err err = {0};
	uint32_t id;
	size_t bytes, at;
	buf_init(&text, TEXT_BYTES_MAX);
	c->files += (c->messages[i].flags & RECORD_FLAG_SPOOL) && c->rows[i].first;
	bool read = queue_rows_body(c->bench->queue, &c->messages[i], &text, &err) == ERR_OK;
	sent = crash_sent(buf_str(&text));
	if (!read || text.n != c->messages[i].body_bytes) {
		crash_lost(c->verdict, "a body of %llu bytes cannot be read: %s", (unsigned long long)c->messages[i].body_bytes,
			err.text);
	} else if (!crash_text_id(sent.p, sent.n, &id, &bytes, &at) || id > PROBE) {
		crash_lost(c->verdict, "there is a message that nobody sent, of %zu bytes", text.n);
	} else if (at > 0) {
		c->promise[id][1].reports++;
	} else {
		char *want = malloc(bytes);
		must(want != NULL);
		if (sent.n != bytes || memcmp(crash_text(id, bytes, want), sent.p, bytes) != 0)
			crash_lost(c->verdict, "message %u has other octets, %zu", id, text.n);
		for (unsigned number = 1; number <= 2; number++)
			if (c->rows[i].stands_for[number]) {
				struct promise *p = &c->promise[id][id % KINDS == TO_REQUEUED ? 1 : number];
				p->rows++;
				p->resting = c->rows[i].held;
				p->wrong = number == 1;
			}
		free(want);
	}
	buf_fini(&text);
}

static void check_promise(struct checking *c, uint32_t id, unsigned number)
{
	const struct promise *p = &c->promise[id][number];
	struct crash_verdict *v = c->verdict;
	if (p->rows + p->reports > 1)
		crash_duplicated(v, "message %u for recipient %u: %u rows, %u reports", id, number, p->rows, p->reports);
	if (p->rows && !p->tried)
		crash_lost(v, "message %u is there before it was sent", id);
	if (p->rows && p->cancelled)
		crash_duplicated(v, "message %u was cancelled and is there", id);
	if (p->kept && p->replays == 0)
		crash_lost(v, "message %u for recipient %u is not there for replay", id, number);
	if (p->rows && p->requeued && p->wrong)
		crash_duplicated(v, "message %u: the copy that was withdrawn is back", id);
	if (p->rows && p->refused)
		crash_duplicated(v, "message %u was refused and is there", id);
	if (p->rows + p->reports > 0 && (p->settled || p->deleted))
		crash_duplicated(v, "message %u for recipient %u had left the queue and is back", id, number);
	if (p->rows && p->reported)
		crash_duplicated(v, "message %u was reported undeliverable and is back", id);
	if (p->acked && !p->deleting && !p->taken && !p->reported && p->rows + p->reports == 0)
		crash_lost(v, "message %u for recipient %u", id, number);
	if (p->held && !p->releasing && !p->resting)
		crash_lost(v, "message %u is no longer held", id);
	if (p->resting && !p->holding)
		crash_lost(v, "message %u is held by nobody", id);
}

// What is there for replay; a part that was torn ends its segment, which says so at level warning.
static void read_replay(struct checking *c)
{
	struct replay_cursor *cursor = replay_cursor_new(c->bench->queue->replay, 0);
	struct arena *arena = arena_new(ARENA_BYTES);
	struct replay_found found;
	struct err err;
	while (replay_cursor_next(cursor, arena, &found, &err) == ERR_OK) {
		struct buf text;
		uint32_t id;
		size_t bytes, at;
		buf_init(&text, TEXT_BYTES_MAX);
		bool whole = replay_cursor_body(cursor, &found, 0, (size_t)found.envelope.body_bytes, &text, &err) == ERR_OK;
		struct str sent = crash_sent(buf_str(&text));
		whole = whole && crash_text_id(sent.p, sent.n, &id, &bytes, &at) && id < IDS_MAX;
		char *want = whole && at == 0 ? malloc(bytes) : NULL;
		if (want && sent.n == bytes && memcmp(crash_text(id, bytes, want), sent.p, bytes) == 0)
			for (size_t i = 0; i < found.envelope.recipients.n; i++)
				c->promise[id][number_of(id, found.envelope.recipients.v[i].address)].replays++;
		free(want);
		buf_fini(&text);
	}
	replay_cursor_free(&cursor);
	arena_free(&arena);
}

static bool count_file(void *arg, struct str name)
{
	(void)name;
	(*(size_t *)arg)++;
	return true;
}

// Mail goes on, and counters fit.
static void check_life(struct checking *c)
{
	struct guid guid;
	struct err err;
	size_t files = 0;
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	must(file_dir_each(c->bench->queue->spool_dir, count_file, &files, &err) == ERR_OK);
	if (files != c->files)
		crash_lost(c->verdict, "%zu files in the spool, %zu messages have one", files, c->files);
	if (enter(c->bench, PROBE, 300, &guid) != QUEUE_COMMITTED)
		crash_lost(c->verdict, "no new mail is taken");
	queue_fold_ledger(c->bench->queue->fold, counters, &balanced);
	if (!balanced || counters[LEDGER_QUEUED] != (int64_t)c->n + 1)
		crash_lost(c->verdict, "the ledger has %lld recipients, the rows %zu", (long long)counters[LEDGER_QUEUED],
			c->n + 1);
}

static void delivered_after(void *arg, struct str guid, struct str recipient, struct str text)
{
	struct checking *c = arg;
	uint32_t id;
	size_t bytes, at;
	(void)guid;
	text = crash_sent(text);
	if (!crash_text_id(text.p, text.n, &id, &bytes, &at) || id >= IDS_MAX)
		return;
	char *want = malloc(bytes);
	must(want != NULL);
	struct promise *p = &c->promise[id][number_of(id, recipient)];
	if (at == 0 && (text.n != bytes || memcmp(crash_text(id, bytes, want), text.p, bytes) != 0))
		crash_lost(c->verdict, "message %u is delivered with other octets", id);
	if (p->delivered)
		crash_duplicated(c->verdict, "message %u is delivered twice by one start", id);
	p->delivered = true;
	free(want);
}

// The start goes on by itself: all that is not held is tried, and taken but for who is put off.
static void deliver_all(struct checking *c)
{
	struct bench *b = c->bench;
	int64_t stay = 0, deadline_ms = clock_mono_exact_ms() + SETTLE_MS;
	b->lmtp.taken = delivered_after;
	b->lmtp.arg = c;
	start(b);
	for (uint32_t id = 0; id < IDS_MAX; id++)
		for (unsigned number = 1; number <= recipients_of(id); number++) {
			const struct promise *p = &c->promise[id][number];
			stay += p->rows && (p->resting || id % KINDS == TO_LATER);
		}
	queue_start(b->queue);
	while (queued(b->queue) > stay && clock_mono_exact_ms() < deadline_ms)
		usleep(500);
	if (queued(b->queue) != stay)
		crash_lost(c->verdict, "%lld recipients stay in the queue, not %lld", (long long)queued(b->queue),
			(long long)stay);
	stop(b);
	for (uint32_t id = 0; id < IDS_MAX; id++)
		for (unsigned number = 1; number <= recipients_of(id); number++) {
			const struct promise *p = &c->promise[id][number];
			if ((p->rows || p->reports) && !p->resting && id % KINDS != TO_LATER && !p->delivered)
				crash_lost(c->verdict, "message %u for recipient %u is not delivered", id, number);
		}
}

static void check(const char *dir, const struct disk_trace *trace, size_t position, struct crash_verdict *verdict)
{
	enum { DELIVER_EACH = 8 };
	static struct bench b;
	static struct checking c;
	c.bench = &b;
	c.verdict = verdict;
	read_marks(&c, trace, position);
	init(&b, dir, NULL);
	open_queue(&b);
	must(cluster_log_read(b.queue->log, read_rows, &c, NULL) == ERR_OK);
	for (size_t i = 0; i < c.n; i++)
		check_row(&c, i);
	read_replay(&c);
	for (uint32_t id = 0; id < IDS_MAX; id++)
		for (unsigned number = 1; number <= recipients_of(id); number++)
			check_promise(&c, id, number);
	check_life(&c);
	queue_close(&b.queue);
	if (position % DELIVER_EACH == 0)
		deliver_all(&c);
}

static bool is_ack(const struct disk_mark *mark)
{
	return mark->kind == MARK_ACKED || mark->kind == MARK_HELD || mark->kind == MARK_DELETED || mark->kind == MARK_SETTLED;
}

int main(int argc, char **argv)
{
	static const struct crash_test test = {
		.name = "queue", .work = work, .restart = restart, .check = check, .is_ack = is_ack};
	return crash_main(argc, argv, &test);
}
