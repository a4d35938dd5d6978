// SPDX-License-Identifier: Apache-2.0
// The store, stopped at every point: what was delivered or appended is there once and whole, under the uid that was told; what
// was expunged stays away; the front-end's second try is known; no uid is given twice.
//
// What was tried and not answered is there whole or not at all. After a cut every delivery that was begun is made again, as the
// front-end would: then each is there once, however far it had come.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/must.h"
#include "test_crash.h"

// --- The work ---

static struct delivery deliver(uint32_t id, size_t bytes)
{
	struct incoming *body;
	struct delivery d = {.account = id_of("mailbox", id % MAILBOXES),
		.home = &home,
		.root = id_of("root", id),
		.prefix = prefix,
		.received = {.utc_s = 1795286655, .zone_min = 60}};
	d.code = take_in(id, bytes, &body, &d.err);
	d.body = body;
	if (d.code == ERR_OK)
		store_deliver(bench.store, &d, 1);
	incoming_free(&body);
	return d;
}

static enum err_code append(struct mailbox *mb, const char *folder, uint32_t id, size_t bytes, uint32_t *uidvalidity_out,
	uint32_t *uid_out, struct err *err)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct incoming *body;
	struct mailbox_name name = name_of(arena, folder);
	struct uid_list uids = {0};
	enum err_code code = take_in(id, bytes, &body, err);
	struct append one = {.body = body, .received = {.utc_s = 1000000000}};
	if (code == ERR_OK)
		code = message_append(mb, &name, &one, 1, arena, uidvalidity_out, &uids, err);
	if (code == ERR_OK)
		*uid_out = uids.p[0];
	incoming_free(&body);
	arena_free(&arena);
	return code;
}

static void mark(enum mark kind, uint32_t id, uint64_t value)
{
	disk_mark(bench.trace, kind, id, value);
}

// Several in one transaction (MULTIAPPEND), more than SQLite's cache of a mailbox holds: it writes pages to the WAL before the
// commit, and some of them again. All numbers are those of appended messages of one mailbox.
enum { SPILLED = 6, SPILLED_FIRST = 22, SPILLED_STEP = 3 * MAILBOXES, SPILLED_BYTES = 60000 };

static enum err_code append_spilled(struct mailbox *mb, struct arena *arena, uint32_t *uidvalidity_out, struct uid_list *uids_out,
	struct err *err)
{
	struct append many[SPILLED] = {0};
	struct mailbox_name name = name_of(arena, "Sent");
	struct incoming *bodies[SPILLED] = {NULL};
	enum err_code code = ERR_OK;
	for (uint32_t i = 0; i < SPILLED && code == ERR_OK; i++) {
		code = take_in(SPILLED_FIRST + i * SPILLED_STEP, SPILLED_BYTES, &bodies[i], err);
		many[i] = (struct append){.body = bodies[i], .received = {.utc_s = 1000000000}};
	}
	if (code == ERR_OK)
		code = message_append(mb, &name, many, SPILLED, arena, uidvalidity_out, uids_out, err);
	for (uint32_t i = 0; i < SPILLED; i++)
		incoming_free(&bodies[i]);
	return code;
}

static void put_spilled(void)
{
	struct err err;
	struct mailbox *mb;
	struct uid_list uids = {0};
	struct arena *arena = arena_new(ARENA_BYTES);
	uint32_t uidvalidity;
	for (uint32_t i = 0; i < SPILLED; i++) {
		must(is_appended(SPILLED_FIRST + i * SPILLED_STEP) && SPILLED_FIRST + i * SPILLED_STEP >= bench.end_id);
		mark(MARK_TRIED, SPILLED_FIRST + i * SPILLED_STEP, SPILLED_BYTES);
	}
	enum err_code code = open_mailbox(SPILLED_FIRST % MAILBOXES, &mb, &err);
	if (code == ERR_OK) {
		code = append_spilled(mb, arena, &uidvalidity, &uids, &err);
		mailbox_close(&mb);
	}
	for (uint32_t i = 0; i < SPILLED; i++)
		mark(code ? MARK_REFUSED : MARK_APPENDED, SPILLED_FIRST + i * SPILLED_STEP,
			code ? 0 : (uint64_t)uidvalidity << 32 | uids.p[i]);
	arena_free(&arena);
}

static void flag(struct mailbox *mb, uint32_t folder, uint32_t id, uint32_t uid, struct arena *arena)
{
	struct err err;
	struct flag_result result;
	struct flag_request request = {.change = FLAG_ADD, .flags = {.system = FLAG_FLAGGED}, .unchanged_since = UINT64_MAX};
	mark(MARK_FLAGGING, id, 0);
	if (message_flag(mb, folder, &uid, 1, &request, arena, &result, &err) == ERR_OK && result.n == 1)
		mark(MARK_FLAGGED, id, result.modseq);
}

static void remove_one(struct mailbox *mb, uint32_t folder, uint32_t id, uint32_t uid, struct arena *arena)
{
	struct err err;
	struct uid_list gone;
	mark(MARK_REMOVING, id, 0);
	if (message_remove(mb, folder, &uid, 1, arena, &gone, &err) == ERR_OK && gone.n == 1)
		mark(MARK_REMOVED, id, 0);
}

static void move(struct mailbox *mb, uint32_t folder, uint32_t id, uint32_t uid, struct arena *arena)
{
	struct err err;
	char text[24];
	bool missing;
	struct copy_result result;
	struct mailbox_name to = name_of(arena, folder_of(id, text));
	mark(MARK_MOVING, id, 0);
	if (folder_create(mb, &to, FOLDER_USE_NONE, &err) == ERR_OK &&
		message_copy(mb, folder, &uid, 1, &to, true, arena, &result, &missing, &err) == ERR_OK && result.to.n == 1)
		mark(MARK_MOVED, id, 0);
}

static void change(struct mailbox *mb, uint32_t id, uint32_t uid)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct mailbox_name name = name_of(arena, is_appended(id) ? "Sent" : "INBOX");
	struct folder_info info;
	struct err err;
	if (folder_status(mb, &name, arena, &info, &err) == ERR_OK) {
		if (is_flagged(id))
			flag(mb, info.id, id, uid, arena);
		if (is_removed(id))
			remove_one(mb, info.id, id, uid, arena);
		if (is_moved(id))
			move(mb, info.id, id, uid, arena);
	}
	arena_free(&arena);
}

static void put(uint32_t id)
{
	struct err err;
	struct mailbox *mb = NULL;
	uint32_t uid = 0, uidvalidity;
	mark(MARK_TRIED, id, size_of(id));
	if (is_appended(id)) {
		enum err_code code = open_mailbox(id % MAILBOXES, &mb, &err);
		if (code == ERR_OK)
			code = append(mb, "Sent", id, size_of(id), &uidvalidity, &uid, &err);
		mark(code ? MARK_REFUSED : MARK_APPENDED, id, code ? 0 : (uint64_t)uidvalidity << 32 | uid);
	} else {
		struct delivery d = deliver(id, size_of(id));
		uid = d.code ? 0 : d.uid;
		if (d.code == ERR_OK)
			mark(MARK_DELIVERED, id, uid);
	}
	if (uid && (mb || open_mailbox(id % MAILBOXES, &mb, &err) == ERR_OK))
		change(mb, id, uid);
	if (mb)
		mailbox_close(&mb);
}

static void *put_some(void *arg)
{
	(void)arg;
	for (uint32_t id; (id = atomic_fetch_add(&bench.next_id, 1)) < bench.end_id;)
		put(id);
	return NULL;
}

static void put_all(uint32_t n)
{
	pthread_t threads[THREADS];
	must(bench.end_id + n <= IDS_MAX);
	atomic_store(&bench.next_id, bench.end_id);
	bench.end_id += n;
	for (size_t i = 0; i < THREADS; i++)
		must(pthread_create(&threads[i], NULL, put_some, NULL) == 0);
	for (size_t i = 0; i < THREADS; i++)
		must(pthread_join(threads[i], NULL) == 0);
}

static void work(const char *dir, struct disk_trace *trace, uint64_t seed, bool is_small)
{
	bench = (struct bench){.dir = dir, .trace = trace, .seed = seed, .is_small = is_small};
	open_store(100);
	put_all(is_small ? 6 : 11);
	put_spilled();
	store_close(&bench.store);
	open_store(2); // databases come and go
	put_all(is_small ? 1 : 7);
	store_close(&bench.store);
}

static void restart(const char *dir)
{
	bench = (struct bench){.dir = dir};
	open_store(100);
	for (uint32_t mailbox = 0; mailbox < MAILBOXES; mailbox++) {
		struct mailbox *mb;
		struct err err;
		must(open_mailbox(mailbox, &mb, &err) == ERR_OK);
		mailbox_close(&mb);
	}
	store_close(&bench.store);
}

// --- The check ---

struct promise {
	bool tried, acked, refused, flagging, flagged, removing, removed, moving, moved;
	size_t bytes;
	uint64_t uid, uidvalidity, modseq; // as told
	unsigned found;
	bool has_flag, in_own_folder;
	uint32_t found_uid;
};

struct checking {
	struct crash_verdict *verdict;
	struct promise promise[IDS_MAX + 1];
	size_t big;
	uint64_t uid_told[MAILBOXES][2]; // the highest, in INBOX and Sent
};

static void read_marks(struct checking *c, const struct disk_trace *trace, size_t position)
{
	for (size_t i = 0; i < position; i++) {
		const struct disk_op *op = disk_trace_op(trace, i);
		if (op->kind != DISK_MARK)
			continue;
		uint32_t id = op->mark.id;
		struct promise *p = &c->promise[id];
		uint64_t *told = &c->uid_told[id % MAILBOXES][is_appended(id)];
		switch ((enum mark)op->mark.kind) {
		case MARK_TRIED:
			p->tried = true;
			p->bytes = (size_t)op->mark.value;
			break;
		case MARK_DELIVERED:
		case MARK_APPENDED:
			p->acked = true;
			p->uid = op->mark.value & UINT32_MAX;
			p->uidvalidity = op->mark.value >> 32;
			*told = p->uid > *told ? p->uid : *told;
			break;
		case MARK_REFUSED:
			p->refused = true;
			break;
		case MARK_FLAGGING:
			p->flagging = true;
			break;
		case MARK_FLAGGED:
			p->flagged = true;
			p->modseq = op->mark.value;
			break;
		case MARK_REMOVING:
			p->removing = true;
			break;
		case MARK_REMOVED:
			p->removed = true;
			break;
		case MARK_MOVING:
			p->moving = true;
			break;
		case MARK_MOVED:
			p->moved = true;
			break;
		}
	}
}

static void check_text(struct checking *c, struct str text, const struct folder_info *info, const struct message *m)
{
	uint32_t id;
	size_t bytes, at;
	char own[24];
	if (!crash_text_id(text.p, text.n, &id, &bytes, &at) || id > PROBE) {
		crash_lost(c->verdict, "there is a message that nobody sent, of %zu bytes", text.n);
		return;
	}
	size_t before = id == PROBE || is_appended(id) ? 0 : prefix.n;
	char *want = malloc(bytes);
	must(want != NULL);
	if (text.n != before + bytes || !str_starts(text, str_upto(prefix, before)) ||
		memcmp(crash_text(id, bytes, want), text.p + before, bytes) != 0)
		crash_lost(c->verdict, "message %u has other octets, %zu", id, text.n);
	free(want);
	struct promise *p = &c->promise[id];
	p->found++;
	p->found_uid = m->uid;
	p->has_flag = m->flags & FLAG_FLAGGED;
	p->in_own_folder = str_eq(info->name.path, str_of_c(folder_of(id, own)));
	if (p->uidvalidity && !p->in_own_folder && info->uidvalidity != p->uidvalidity)
		crash_lost(c->verdict, "message %u: UIDVALIDITY is %u, was %llu", id, info->uidvalidity,
			(unsigned long long)p->uidvalidity);
	if (p->modseq && !p->in_own_folder && info->modseq < p->modseq)
		crash_lost(c->verdict, "message %u: HIGHESTMODSEQ is %llu, was %llu", id, (unsigned long long)info->modseq,
			(unsigned long long)p->modseq);
}

static void check_message(struct checking *c, struct mailbox *mb, const struct folder_info *info, uint32_t uid,
	struct arena *arena)
{
	struct message *m;
	size_t n;
	struct err err = {0};
	struct buf text;
	buf_init(&text, TEXT_BYTES_MAX);
	enum err_code code = message_fetch(mb, info->id, &uid, 1, FETCH_CACHE | FETCH_IDS, arena, &m, &n, &err);
	for (uint64_t at = 0; code == ERR_OK && at < m->bytes; at += MESSAGE_READ_BYTES_MAX)
		code = message_read(mb, info->id, uid, at, MESSAGE_READ_BYTES_MAX, &text, &err);
	if (code || text.n != m->bytes)
		crash_lost(c->verdict, "uid %u of %.*s cannot be read: %s", uid, STR_FMT(info->name.path), err.text);
	else
		check_text(c, buf_str(&text), info, m);
	c->big += code == ERR_OK && m->bytes > STORE_INLINE_BYTES_MAX + prefix.n;
	buf_fini(&text);
}

static void check_folder(struct checking *c, struct mailbox *mb, const struct folder_info *info)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct folder_view view;
	struct err err = {0};
	if (folder_select(mb, &info->name, FOLDER_READ_ONLY, arena, &view, &err) == ERR_OK) {
		if (view.uids.n != view.info.messages)
			crash_lost(c->verdict, "%.*s says %u messages and has %zu", STR_FMT(info->name.path), view.info.messages,
				view.uids.n);
		for (size_t i = 0; i < view.uids.n; i++)
			check_message(c, mb, &view.info, view.uids.p[i], arena);
	} else {
		crash_lost(c->verdict, "%.*s cannot be selected: %s", STR_FMT(info->name.path), err.text);
	}
	arena_free(&arena);
}

// All that is there, anew.
static void look(struct checking *c)
{
	c->big = 0;
	for (uint32_t id = 0; id <= PROBE; id++)
		c->promise[id].found = 0;
	for (uint32_t mailbox = 0; mailbox < MAILBOXES; mailbox++) {
		struct mailbox *mb;
		struct arena *arena = arena_new(ARENA_BYTES);
		struct folder_info *folders;
		size_t n;
		struct err err = {0};
		if (open_mailbox(mailbox, &mb, &err) != ERR_OK) {
			crash_lost(c->verdict, "mailbox %u: %s", mailbox, err.text);
		} else {
			must(folder_list(mb, arena, &folders, &n, &err) == ERR_OK);
			for (size_t i = 0; i < n; i++)
				if (folders[i].id && folders[i].selectable)
					check_folder(c, mb, &folders[i]);
			mailbox_close(&mb);
		}
		arena_free(&arena);
	}
}

static void check_promise(struct checking *c, uint32_t id)
{
	const struct promise *p = &c->promise[id];
	struct crash_verdict *v = c->verdict;
	if (p->found > 1)
		crash_duplicated(v, "message %u is there %u times", id, p->found);
	if (p->found && !p->tried)
		crash_lost(v, "message %u is there before it was sent", id);
	if (p->found && p->refused)
		crash_duplicated(v, "message %u was refused and is there", id);
	if (p->found && p->removed)
		crash_duplicated(v, "message %u was expunged and is back", id);
	if (p->acked && !p->removing && p->found == 0)
		crash_lost(v, "message %u", id);
	if (p->found && p->acked && !p->moving && p->found_uid != p->uid)
		crash_lost(v, "message %u has uid %u, was told %llu", id, p->found_uid, (unsigned long long)p->uid);
	if (p->found && p->flagged && !p->has_flag)
		crash_lost(v, "the flag of message %u", id);
	if (p->found && p->has_flag && !p->flagging)
		crash_lost(v, "message %u has a flag that nobody set", id);
	if (p->found && p->in_own_folder != p->moved && !p->moving)
		crash_lost(v, "message %u is in the wrong folder", id);
	if (p->found && p->moved && !p->in_own_folder)
		crash_lost(v, "message %u is not where it was moved to", id);
}

// As the front-end does when it heard nothing.
static void deliver_again(struct checking *c)
{
	for (uint32_t id = 0; id < IDS_MAX; id++) {
		struct promise *p = &c->promise[id];
		if (!p->tried || is_appended(id))
			continue;
		struct delivery d = deliver(id, p->bytes);
		if (d.code)
			crash_lost(c->verdict, "message %u is not taken again: %s", id, d.err.text);
		else if (p->acked && !d.known)
			crash_duplicated(c->verdict, "message %u was delivered and its key is not known", id);
		else if (p->acked && d.uid != p->uid)
			crash_lost(c->verdict, "message %u had uid %llu, now it is %u", id, (unsigned long long)p->uid, d.uid);
		p->acked = true; // now it is promised
		p->uid = d.uid;
		p->removing |= p->found == 0 && d.known;
	}
	look(c);
	for (uint32_t id = 0; id < IDS_MAX; id++)
		check_promise(c, id);
}

// New mail gets a uid that nobody was told before.
static void check_uids(struct checking *c)
{
	static const char *const folders[] = {"INBOX", "Sent"};
	for (uint32_t mailbox = 0; mailbox < MAILBOXES; mailbox++) {
		struct mailbox *mb;
		struct err err = {0};
		must(open_mailbox(mailbox, &mb, &err) == ERR_OK);
		for (size_t i = 0; i < 2; i++) {
			uint32_t uidvalidity, uid = 0;
			if (append(mb, folders[i], PROBE, 200, &uidvalidity, &uid, &err) != ERR_OK)
				crash_lost(c->verdict, "no new mail is taken: %s", err.text);
			else if (uid <= c->uid_told[mailbox][i])
				crash_lost(c->verdict, "uid %u is given again", uid);
		}
		mailbox_close(&mb);
	}
}

static bool count_file(void *arg, struct str name)
{
	(void)name;
	(*(size_t *)arg)++;
	return true;
}

static size_t files_of(uint32_t mailbox)
{
	struct guid id = id_of("mailbox", mailbox);
	char text[GUID_TEXT_BYTES], path[256];
	size_t n = 0;
	int fd;
	guid_text(&id, text);
	snprintf(path, sizeof path, "%s/%.2s/%s/big", bench.dir, text, text);
	if (file_dir_open(str_of_c(path), &fd, NULL) != ERR_OK)
		return 0;
	must(file_dir_each(fd, count_file, &n, NULL) == ERR_OK);
	file_close(fd);
	return n;
}

// A file without a message is swept, once a day, and the trash ends.
static void check_files(struct checking *c)
{
	struct guid cursor = {0};
	struct err err = {0};
	size_t files = 0;
	if (store_tidy(bench.store, clock_wall_ms() + 2 * INT64_C(86400000), 100, &cursor, &err) != ERR_OK)
		crash_lost(c->verdict, "no tidying: %s", err.text);
	for (uint32_t mailbox = 0; mailbox < MAILBOXES; mailbox++)
		files += files_of(mailbox);
	if (files != c->big)
		crash_lost(c->verdict, "%zu files of bodies, %zu messages have one", files, c->big);
}

static void check(const char *dir, const struct disk_trace *trace, size_t position, struct crash_verdict *verdict)
{
	static struct checking c;
	bench = (struct bench){.dir = dir};
	c.verdict = verdict;
	read_marks(&c, trace, position);
	open_store(100);
	look(&c);
	for (uint32_t id = 0; id < IDS_MAX; id++)
		check_promise(&c, id);
	deliver_again(&c);
	check_files(&c);
	check_uids(&c);
	store_close(&bench.store);
}

static bool is_ack(const struct disk_mark *m)
{
	return m->kind == MARK_DELIVERED || m->kind == MARK_APPENDED || m->kind == MARK_FLAGGED || m->kind == MARK_REMOVED ||
	       m->kind == MARK_MOVED;
}

int main(int argc, char **argv)
{
	static const struct crash_test test = {
		.name = "store", .work = work, .restart = restart, .check = check, .is_ack = is_ack};
	return crash_main(argc, argv, &test);
}
