// SPDX-License-Identifier: Apache-2.0
// The file of starts and the unlinking of bodies, on a thread of their own.
//
// starts is an array of slots of 32 bytes: guid, deaths u32, state u32 (0 rests, 1 under way, 2 under way alone), and the first 8
// bytes of SHA-256 over these 24. A slot whose check does not fit counts as empty: a torn write is a start that was never
// answered. The file has its full size from the beginning, so a sync writes data blocks only. One message may be tried by several
// deliveries at once (several destinations): the slot counts them.
//
// Failure: a write or sync that fails ends the process as any other fault of the disk does; ENOSPC cannot happen in a file that
// is there.
#include "keeper.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/completion.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"

enum { SLOT_BYTES = 32, BODY_BYTES = 24, BUCKETS = 2 * KEEPER_SLOTS, FILE_BYTES = KEEPER_SLOTS * SLOT_BYTES, PAGE_BYTES = 4096 };

static const struct str FILE_NAME = STR("starts");

struct slot {
	struct guid guid;
	uint32_t deaths;
	uint32_t running; // deliveries under way
	bool alone;       // and nothing else is
	bool used, dirty;
};

struct request {
	const struct guid *guids;
	size_t n;
	bool alone;
	int64_t give_up_ms; // alone: from then on in company
	struct completion completion;
	enum err_code code;
	struct request *next;
};

struct keeper {
	int fd, spool;
	uint8_t *image; // FILE_BYTES: what the file has, or is about to get; who writes it alone looks at it
	void (*died)(const struct err *err);
	pthread_t thread;
	pthread_mutex_t mutex; // guards all below
	pthread_cond_t wake;
	bool stopping;
	struct slot *slots;     // KEEPER_SLOTS
	int *table;             // BUCKETS: slot number by guid, open addressing, -1 empty
	int *free;              // stack of free slots
	size_t free_n;
	int *dirty;             // slots to write; each once
	size_t dirty_n;
	size_t running;         // deliveries under way, of all messages
	int64_t alone_until_ms; // one is tried alone, the others wait; 0: none is
	int alone_slot;         // valid with alone_until_ms
	struct request *requests, **requests_tail;
	struct guid *unlinks;
	size_t unlinks_n, unlinks_size;
};

// --- Slots by guid ---

static size_t bucket_of(const struct guid *guid)
{
	uint64_t h;
	memcpy(&h, guid->b, sizeof h); // random already
	return h % BUCKETS;
}

static size_t find_bucket(const struct keeper *k, const struct guid *guid)
{
	size_t i = bucket_of(guid);
	while (k->table[i] >= 0 && !guid_eq(&k->slots[k->table[i]].guid, guid))
		i = (i + 1) % BUCKETS;
	return i;
}

// Closes the gap, so that no search ends early.
static void remove_bucket(struct keeper *k, size_t gap)
{
	for (size_t i = (gap + 1) % BUCKETS; k->table[i] >= 0; i = (i + 1) % BUCKETS) {
		size_t home = bucket_of(&k->slots[k->table[i]].guid);
		if ((i - home + BUCKETS) % BUCKETS >= (i - gap + BUCKETS) % BUCKETS) {
			k->table[gap] = k->table[i];
			gap = i;
		}
	}
	k->table[gap] = -1;
}

static void touch(struct keeper *k, int slot)
{
	if (!k->slots[slot].dirty) {
		k->slots[slot].dirty = true;
		k->dirty[k->dirty_n++] = slot;
	}
}

static struct slot *take_slot(struct keeper *k, const struct guid *guid)
{
	size_t bucket = find_bucket(k, guid);
	if (k->table[bucket] < 0) {
		if (k->free_n == 0)
			return NULL;
		int fresh = k->free[--k->free_n];
		k->slots[fresh] = (struct slot){.guid = *guid, .used = true, .dirty = k->slots[fresh].dirty};
		k->table[bucket] = fresh;
	}
	return &k->slots[k->table[bucket]];
}

static void free_slot(struct keeper *k, const struct guid *guid)
{
	size_t bucket = find_bucket(k, guid);
	int slot = k->table[bucket];
	remove_bucket(k, bucket);
	k->slots[slot].used = k->slots[slot].alone = false;
	k->slots[slot].running = 0;
	k->free[k->free_n++] = slot;
	touch(k, slot);
}

static void end_locked(struct keeper *k, const struct guid *guid)
{
	int slot = k->table[find_bucket(k, guid)];
	if (slot < 0)
		return;
	must(k->slots[slot].running > 0 && k->running > 0);
	if (--k->running == 0)
		k->alone_until_ms = 0;
	if (--k->slots[slot].running == 0)
		free_slot(k, guid);
	if (k->requests)
		pthread_cond_signal(&k->wake);
}

// --- The file ---

static void put_u32(uint8_t *p, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void check_of(const uint8_t *body, uint8_t check_out[8])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	must(EVP_Digest(body, BODY_BYTES, digest, NULL, EVP_sha256(), NULL) == 1);
	memcpy(check_out, digest, 8);
}

static void encode_slot(const struct slot *slot, uint8_t out[SLOT_BYTES])
{
	memset(out, 0, SLOT_BYTES);
	if (!slot->used)
		return;
	memcpy(out, slot->guid.b, sizeof slot->guid.b);
	put_u32(out + 16, slot->deaths);
	put_u32(out + 20, slot->running == 0 ? 0 : slot->alone ? 2 : 1);
	check_of(out, out + BODY_BYTES);
}

static bool decode_slot(const uint8_t in[SLOT_BYTES], struct slot *slot)
{
	static const struct guid none;
	uint8_t check[8];
	if (memcmp(in, none.b, sizeof none.b) == 0)
		return false; // most are: no hash for them
	check_of(in, check);
	if (memcmp(check, in + BODY_BYTES, sizeof check) != 0)
		return false;
	*slot = (struct slot){
		.deaths = get_u32(in + 16), .running = get_u32(in + 20) > 0, .alone = get_u32(in + 20) == 2, .used = true};
	memcpy(slot->guid.b, in, sizeof slot->guid.b);
	return true;
}

// Dirty slots into the image, some at a time, so that nobody waits long for the lock; true in changed_out for each page that has
// one.
static void encode_dirty(struct keeper *k, bool changed_out[FILE_BYTES / PAGE_BYTES])
{
	enum { AT_ONCE = 64 };
	bool more = true;
	while (more) {
		pthread_mutex_lock(&k->mutex);
		for (size_t n = 0; k->dirty_n > 0 && n < AT_ONCE; n++) {
			size_t slot = (size_t)k->dirty[--k->dirty_n], at = slot * SLOT_BYTES;
			k->slots[slot].dirty = false;
			encode_slot(&k->slots[slot], k->image + at);
			changed_out[at / PAGE_BYTES] = true;
		}
		more = k->dirty_n > 0;
		pthread_mutex_unlock(&k->mutex);
	}
}

// Slots that are under way together are near each other: one write for all that have changed in a page, which the disk gets as a
// whole anyway.
static enum err_code write_dirty(struct keeper *k, struct err *err)
{
	bool changed[FILE_BYTES / PAGE_BYTES] = {false};
	enum err_code code = ERR_OK;
	encode_dirty(k, changed);
	for (size_t i = 0; i < FILE_BYTES / PAGE_BYTES && code == ERR_OK; i++)
		if (changed[i])
			code = file_write_at(k->fd, str_of((char *)k->image + i * PAGE_BYTES, PAGE_BYTES),
				(off_t)(i * PAGE_BYTES), err);
	return code ? code : file_sync(k->fd, err);
}

// --- The thread ---

static void answer(struct request *list)
{
	while (list) {
		struct request *r = list;
		list = r->next;
		completion_finish(&r->completion);
	}
}

static void unlink_all(struct keeper *k, struct guid *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[GUID_TEXT_BYTES];
		struct err err;
		if (file_remove(k->spool, guid_text(&list[i], text), &err))
			log_warning(NULL, "queue: cannot remove a body that is done with", log_c("guid", text), log_err(&err));
	}
	free(list);
}

static bool take_slots(struct keeper *k, const struct guid *guids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct slot *slot = take_slot(k, &guids[i]);
		if (slot == NULL) {
			while (i-- > 0)
				end_locked(k, &guids[i]);
			return false;
		}
		if (slot->running++ == 0)
			touch(k, (int)(slot - k->slots));
		k->running++;
	}
	return true;
}

static bool may_start(struct keeper *k, struct request *r, int64_t now_ms)
{
	if (k->alone_until_ms > now_ms)
		return false;
	return !r->alone || k->running == 0 || now_ms >= r->give_up_ms;
}

// Takes those off the line that may start, in order: one that wants to be alone holds up those behind it.
static struct request *grant(struct keeper *k)
{
	struct request *granted = NULL, **tail = &granted;
	int64_t now_ms = clock_mono_exact_ms();
	if (k->requests && k->alone_until_ms > 0 && k->alone_until_ms <= now_ms) { // it takes too long: it gets company
		k->slots[k->alone_slot].alone = false;
		touch(k, k->alone_slot);
		k->alone_until_ms = 0;
	}
	while (k->requests && may_start(k, k->requests, now_ms)) {
		struct request *r = k->requests;
		k->requests = r->next;
		r->next = NULL;
		*tail = r;
		tail = &r->next;
		bool alone = r->alone && k->running == 0;
		r->code = take_slots(k, r->guids, r->n) ? ERR_OK : ERR_BUSY;
		if (alone && r->code == ERR_OK) {
			struct slot *slot = take_slot(k, r->guids);
			slot->alone = true;
			k->alone_slot = (int)(slot - k->slots);
			touch(k, k->alone_slot);
			k->alone_until_ms = now_ms + KEEPER_ALONE_MS;
		}
	}
	if (k->requests == NULL)
		k->requests_tail = &k->requests;
	return granted;
}

static void wait_for_work(struct keeper *k)
{
	enum { LOOK_MS = 100 }; // for the end of patience
	(void)thread_wait_until(&k->wake, &k->mutex, k->requests ? clock_mono_exact_ms() + LOOK_MS : CLOCK_NEVER);
}

static void *run(void *arg)
{
	struct keeper *k = arg;
	struct err err;
	pthread_mutex_lock(&k->mutex);
	for (;;) {
		struct request *granted;
		while ((granted = grant(k)) == NULL && k->unlinks_n == 0 && !(k->stopping && k->requests == NULL))
			wait_for_work(k);
		struct guid *unlinks = k->unlinks;
		size_t unlinks_n = k->unlinks_n;
		bool last = k->stopping && !granted && !unlinks_n;
		k->unlinks = NULL;
		k->unlinks_n = k->unlinks_size = 0;
		pthread_mutex_unlock(&k->mutex);
		if ((granted || last) && write_dirty(k, &err)) {
			log_error(NULL, "queue: cannot write the count of starts", log_err(&err));
			k->died(&err);
			abort();
		}
		answer(granted);
		unlink_all(k, unlinks, unlinks_n);
		if (last)
			return NULL;
		pthread_mutex_lock(&k->mutex);
	}
}

// --- Calls ---

static enum err_code start(struct keeper *k, const struct guid *guids, size_t n, bool alone, struct err *err)
{
	struct request r = {.guids = guids, .n = n, .alone = alone};
	r.give_up_ms = clock_mono_exact_ms() + KEEPER_ALONE_WAIT_MS;
	completion_init(&r.completion);
	pthread_mutex_lock(&k->mutex);
	*k->requests_tail = &r;
	k->requests_tail = &r.next;
	pthread_mutex_unlock(&k->mutex);
	pthread_cond_signal(&k->wake); // not before: who wakes up wants the mutex
	completion_await(&r.completion);
	return r.code == ERR_OK ? ERR_OK : err_set(err, ERR_BUSY, "%d messages are being tried", KEEPER_SLOTS);
}

enum err_code keeper_start(struct keeper *k, const struct guid *guids, size_t n, struct err *err)
{
	return start(k, guids, n, false, err);
}

enum err_code keeper_start_alone(struct keeper *k, const struct guid *guid, struct err *err)
{
	return start(k, guid, 1, true, err);
}

bool keeper_is_suspect(struct keeper *k, const struct guid *guid)
{
	pthread_mutex_lock(&k->mutex);
	int slot = k->table[find_bucket(k, guid)];
	bool suspect = slot >= 0 && k->slots[slot].deaths >= KEEPER_DEATHS_MAX - 1;
	pthread_mutex_unlock(&k->mutex);
	return suspect;
}

void keeper_end(struct keeper *k, const struct guid *guid)
{
	pthread_mutex_lock(&k->mutex);
	end_locked(k, guid);
	pthread_mutex_unlock(&k->mutex);
}

void keeper_forget(struct keeper *k, const struct guid *guid)
{
	pthread_mutex_lock(&k->mutex);
	int slot = k->table[find_bucket(k, guid)];
	if (slot >= 0 && k->slots[slot].running == 0)
		free_slot(k, guid);
	pthread_mutex_unlock(&k->mutex);
}

void keeper_unlink(struct keeper *k, const struct guid *guid)
{
	pthread_mutex_lock(&k->mutex);
	if (k->unlinks_n == k->unlinks_size) {
		k->unlinks_size = k->unlinks_size ? 2 * k->unlinks_size : 64;
		k->unlinks = reallocarray(k->unlinks, k->unlinks_size, sizeof *k->unlinks);
		must(k->unlinks != NULL);
	}
	k->unlinks[k->unlinks_n++] = *guid;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->mutex);
}

// --- Opening and closing ---

static enum err_code open_file(int dir, struct keeper *k, struct buf *bytes, struct err *err)
{
	enum err_code code = file_read(dir, FILE_NAME, bytes, err);
	if (code == ERR_NOTFOUND || code == ERR_LIMIT || (code == ERR_OK && bytes->n != FILE_BYTES)) {
		buf_clear(bytes);
		memset(buf_reserve(bytes, FILE_BYTES), 0, FILE_BYTES);
		buf_grew(bytes, FILE_BYTES);
		code = file_replace(dir, FILE_NAME, buf_str(bytes), 0600, err);
	}
	if (code)
		return code;
	k->fd = openat(dir, FILE_NAME.p, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return k->fd < 0 ? err_errno(err, "open %s", FILE_NAME.p) : ERR_OK;
}

// A message that was under way when we died keeps its slot, with one death more, until it is tried again and survives.
static void load(struct keeper *k, struct str bytes, void (*suspect)(void *arg, const struct guid *guid, unsigned deaths),
	void *arg)
{
	memcpy(k->image, bytes.p, FILE_BYTES);
	for (int i = KEEPER_SLOTS; i-- > 0;)
		k->free[k->free_n++] = i;
	for (size_t i = 0; i < KEEPER_SLOTS; i++) {
		struct slot was;
		if (!decode_slot((const uint8_t *)bytes.p + i * SLOT_BYTES, &was))
			continue;
		touch(k, (int)i);
		if (k->table[find_bucket(k, &was.guid)] >= 0)
			continue;
		unsigned deaths = was.deaths + (was.running > 0);
		if (deaths >= KEEPER_DEATHS_MAX && !(was.running && was.alone) && was.deaths < KEEPER_DEATHS_MAX)
			deaths = KEEPER_DEATHS_MAX - 1; // in company: it may have been another
		suspect(arg, &was.guid, deaths);
		struct slot *slot = take_slot(k, &was.guid);
		slot->deaths = deaths;
		touch(k, (int)(slot - k->slots));
	}
}

static void free_all(struct keeper *k)
{
	if (k->fd >= 0)
		file_close(k->fd);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->mutex);
	free(k->slots);
	free(k->table);
	free(k->free);
	free(k->dirty);
	free(k->image);
	free(k->unlinks);
	free(k);
}

enum err_code keeper_open(int dir, int spool, void (*suspect)(void *arg, const struct guid *guid, unsigned deaths), void *arg,
	void (*died)(const struct err *err), struct keeper **keeper_out, struct err *err)
{
	struct keeper *k = calloc(1, sizeof *k);
	must(k != NULL);
	k->slots = calloc(KEEPER_SLOTS, sizeof *k->slots);
	k->table = malloc(BUCKETS * sizeof *k->table);
	k->free = malloc(KEEPER_SLOTS * sizeof *k->free);
	k->dirty = malloc(KEEPER_SLOTS * sizeof *k->dirty);
	k->image = malloc(FILE_BYTES);
	must(k->slots && k->table && k->free && k->dirty && k->image);
	memset(k->table, 0xff, BUCKETS * sizeof *k->table);
	k->spool = spool;
	k->fd = -1;
	k->died = died;
	k->requests_tail = &k->requests;
	pthread_mutex_init(&k->mutex, NULL);
	pthread_cond_init(&k->wake, NULL);
	struct buf bytes;
	buf_init(&bytes, FILE_BYTES);
	enum err_code code = open_file(dir, k, &bytes, err);
	if (code == ERR_OK) {
		load(k, buf_str(&bytes), suspect, arg);
		code = write_dirty(k, err);
	}
	buf_fini(&bytes);
	if (code == ERR_OK)
		code = thread_start(&k->thread, "queue-files", run, k, err);
	if (code) {
		free_all(k);
		return code;
	}
	*keeper_out = k;
	return ERR_OK;
}

void keeper_close(struct keeper **keeper)
{
	struct keeper *k = *keeper;
	if (k == NULL)
		return;
	pthread_mutex_lock(&k->mutex);
	k->stopping = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->mutex);
	pthread_join(k->thread, NULL);
	free_all(k);
	*keeper = NULL;
}
