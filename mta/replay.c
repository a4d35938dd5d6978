// SPDX-License-Identifier: Apache-2.0
// The thread that keeps what was delivered; replay_cursor.c reads it.
//
// Happy path: entries come in a list, are put together in a buffer, written behind each other into the segment of the hour,
// synced once a second; a segment goes when it is older than replay_hours or the oldest one while there is too much. Failure: a
// write that fails ends the segment: its readers stop at the torn record, the next entry begins a new part. Crash story: a start
// never appends to a segment it finds, so what a cut tore stays at an end, where readers stop. Nothing refers to segments, so
// none is ever missed. With the first sync of a segment its directory is synced, and none ends without a sync.
#include "replay_core.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "queue_metrics.h"
#include "replay_segment.h"

enum {
	OUT_BYTES = 1 << 20,
	WAITING_BYTES_MAX = 32 << 20, // bodies in line
	WAITING_FILES_MAX = 64,
	PARTS = 8,                    // a segment is at most this part of all
	PART_BYTES_MIN = 4096,
	SYNC_MS = 1000,
	GATHER_MS = 20,               // nobody waits for what is written here: under load many entries go out together
	LOOK_MS = 60000,              // for segments that got too old, while nothing comes
};

struct replay_entry {
	struct replay_entry *next;
	struct buf head; // and envelope
	struct item_message *message; // a reference, for its body; NULL: body or fd
	struct buf body;
	int fd;
	uint64_t body_bytes;
};

struct str replay_part_name(const struct replay_part *s, char name_out[REPLAY_NAME_BYTES])
{
	int n = snprintf(name_out, REPLAY_NAME_BYTES, "%010llu-%05u.seg", (unsigned long long)s->hour, s->part);
	return str_of(name_out, (size_t)n);
}

static bool parse_name(struct str name, struct replay_part *out)
{
	struct str hour, rest;
	uint64_t part;
	if (!str_ends(name, STR(".seg")) || !str_cut(str_upto(name, name.n - 4), '-', &hour, &rest) ||
	    !str_to_u64(hour, UINT32_MAX, &out->hour) || !str_to_u64(rest, UINT32_MAX - 1, &part))
		return false;
	out->part = (uint32_t)part;
	out->bytes = 0;
	return true;
}

static void add_segment(struct replay *r, struct replay_part s)
{
	if (r->n == r->size) {
		r->size = r->size ? 2 * r->size : 64;
		r->segments = reallocarray(r->segments, r->size, sizeof *r->segments);
		must(r->segments != NULL);
	}
	r->segments[r->n++] = s;
	r->bytes += s.bytes;
}

// --- Entries ---

void replay_entry_free(struct replay_entry **entry)
{
	struct replay_entry *e = *entry;
	if (e == NULL)
		return;
	if (e->fd >= 0)
		file_close(e->fd);
	if (e->message)
		item_message_drop(&e->message);
	buf_fini(&e->head);
	buf_fini(&e->body);
	free(e);
	*entry = NULL;
}

struct replay_entry *replay_entry_new(struct item_message *m, const struct record_recipient *to, size_t n, struct str body,
	int fd)
{
	struct replay_entry *e = calloc(1, sizeof *e);
	struct record_recipient *copies = calloc(n, sizeof *copies);
	must(e != NULL && copies != NULL);
	memcpy(copies, to, n * sizeof *copies);
	for (size_t i = 0; i < n; i++)
		copies[i].number = (uint32_t)(i + 1);
	*e = (struct replay_entry){.fd = fd, .body_bytes = m->body_bytes};
	buf_init(&e->head, REPLAY_HEAD_BYTES + RECORD_BYTES_MAX);
	buf_init(&e->body, body.n + 1);
	struct record_enter envelope = {.guid = m->guid, .root = m->root, .kind = m->kind, .flags = m->flags, .sender = m->sender,
		.received_ms = m->received_ms, .body_bytes = m->body_bytes,
		.digest = str_of((const char *)m->digest, sizeof m->digest),
		.recipients = {copies, n}};
	bool whole = fd >= 0 || body.n == m->body_bytes;
	bool fits = whole && replay_segment_encode(&envelope, clock_wall_ms(), &e->head);
	if (fits && fd < 0 && body.n > 0 && body.p == m->body.p)
		e->message = item_message_ref(m);
	else if (fits && fd < 0)
		must(buf_add(&e->body, body));
	free(copies);
	if (!fits) {
		metric_add(&metric_mta_replay_skipped, 1);
		replay_entry_free(&e);
	}
	return e;
}

bool replay_wants(const struct replay *r, const struct item_message *message)
{
	return r && atomic_load_explicit(&r->on, memory_order_relaxed) && !(message->flags & RECORD_FLAG_REPLAY);
}

void replay_add(struct replay *r, struct replay_entry **entry)
{
	struct replay_entry *e = *entry;
	if (e == NULL)
		return;
	*entry = NULL;
	size_t bytes = e->head.n + (e->fd < 0 ? (size_t)e->body_bytes : 0);
	pthread_mutex_lock(&r->mutex);
	bool room = r->waiting_bytes + bytes <= WAITING_BYTES_MAX && (e->fd < 0 || r->waiting_files < WAITING_FILES_MAX);
	if (room) {
		bool idle = r->first == NULL;
		*r->tail = e;
		r->tail = &e->next;
		r->waiting_bytes += bytes;
		r->waiting_files += e->fd >= 0;
		if (idle)
			pthread_cond_signal(&r->wake);
	}
	pthread_mutex_unlock(&r->mutex);
	if (!room) {
		metric_add(&metric_mta_replay_skipped, 1);
		replay_entry_free(&e);
	}
}

// --- Writing ---

static void end_segment(struct replay *r)
{
	if (r->fd >= 0)
		file_close(r->fd);
	r->fd = -1;
	r->dirty = r->named = false;
	buf_clear(&r->out);
}

static enum err_code sync_segment(struct replay *r, struct err *err)
{
	enum err_code code = r->dirty ? file_sync(r->fd, err) : ERR_OK;
	if (code == ERR_OK && r->dirty && !r->named)
		code = file_dir_sync(r->dir, err);
	if (code)
		return code;
	r->named |= r->dirty;
	r->dirty = false;
	return ERR_OK;
}

static void give_up(struct replay *r, const struct err *err)
{
	int64_t now_ms = clock_mono_exact_ms();
	if (r->complained_ms == 0 || now_ms - r->complained_ms >= LOOK_MS) { // the metric has them all
		log_warning(NULL, "queue: delivered messages cannot be kept for replay", log_err(err),
			log_u64("messages", r->unpublished));
		r->complained_ms = now_ms;
	}
	metric_add(&metric_mta_replay_skipped, (int64_t)r->unpublished);
	r->unpublished = 0;
	end_segment(r);
}

static enum err_code write_out(struct replay *r, struct str bytes, struct err *err)
{
	enum err_code code = bytes.n ? file_write_at(r->fd, bytes, (off_t)r->at, err) : ERR_OK;
	if (code)
		return code;
	r->at += bytes.n;
	r->dirty = true;
	return ERR_OK;
}

static enum err_code flush_out(struct replay *r, struct err *err)
{
	enum err_code code = write_out(r, buf_str(&r->out), err);
	buf_clear(&r->out);
	return code;
}

static enum err_code put(struct replay *r, struct str bytes, struct err *err)
{
	enum err_code code = r->out.n + bytes.n > OUT_BYTES ? flush_out(r, err) : ERR_OK;
	if (code)
		return code;
	return buf_add(&r->out, bytes) ? ERR_OK : write_out(r, bytes, err);
}

static enum err_code put_file(struct replay *r, const struct replay_entry *e, struct err *err)
{
	enum err_code code = flush_out(r, err);
	for (uint64_t at = 0; at < e->body_bytes && code == ERR_OK;) {
		size_t n = e->body_bytes - at < OUT_BYTES ? (size_t)(e->body_bytes - at) : OUT_BYTES;
		code = file_read_at(e->fd, buf_reserve(&r->out, n), n, (off_t)at, err);
		if (code == ERR_OK) {
			buf_grew(&r->out, n);
			code = flush_out(r, err);
		}
		at += n;
	}
	return code;
}

// The segment's records up to here can be read.
static enum err_code publish(struct replay *r, struct err *err)
{
	enum err_code code = r->fd >= 0 ? flush_out(r, err) : ERR_OK;
	if (code || r->fd < 0)
		return code;
	pthread_mutex_lock(&r->mutex);
	struct replay_part *last = &r->segments[r->n - 1];
	r->bytes += r->at - last->bytes;
	last->bytes = r->at;
	pthread_mutex_unlock(&r->mutex);
	metric_add(&metric_mta_replay_kept, (int64_t)r->unpublished);
	r->unpublished = 0;
	return ERR_OK;
}

// The clock may jump back: names only go forward.
static enum err_code begin_segment(struct replay *r, uint64_t hour, struct err *err)
{
	char name[REPLAY_NAME_BYTES];
	struct replay_part s = {.hour = hour};
	pthread_mutex_lock(&r->mutex);
	if (r->n > 0 && r->segments[r->n - 1].hour >= hour) {
		s.hour = r->segments[r->n - 1].hour;
		s.part = r->segments[r->n - 1].part + 1;
	}
	pthread_mutex_unlock(&r->mutex);
	enum err_code code = file_create(r->dir, replay_part_name(&s, name), &r->fd, err);
	if (code)
		return code;
	r->at = 0;
	pthread_mutex_lock(&r->mutex);
	add_segment(r, s);
	pthread_mutex_unlock(&r->mutex);
	return ERR_OK;
}

static bool is_full(struct replay *r, uint64_t hour, uint64_t part_bytes)
{
	return r->at + r->out.n >= part_bytes || r->segments[r->n - 1].hour < hour;
}

static void write_entry(struct replay *r, const struct replay_entry *e, uint64_t part_bytes)
{
	struct err err;
	uint64_t hour = (uint64_t)clock_wall_ms() / REPLAY_HOUR_MS;
	enum err_code code = ERR_OK;
	if (r->fd >= 0 && is_full(r, hour, part_bytes)) {
		code = publish(r, &err);
		if (code == ERR_OK)
			code = sync_segment(r, &err);
		if (code == ERR_OK)
			end_segment(r);
	}
	r->unpublished++;
	if (code == ERR_OK && r->fd < 0)
		code = begin_segment(r, hour, &err);
	if (code == ERR_OK)
		code = put(r, buf_str(&e->head), &err);
	if (code == ERR_OK)
		code = e->fd >= 0 ? put_file(r, e, &err) : put(r, e->message ? e->message->body : buf_str(&e->body), &err);
	if (code)
		give_up(r, &err);
}

static void write_entries(struct replay *r, struct replay_entry *list, const struct replay_limits *limits)
{
	struct err err;
	uint64_t part_bytes = limits->bytes / PARTS < PART_BYTES_MIN ? PART_BYTES_MIN : limits->bytes / PARTS;
	while (list) {
		struct replay_entry *next = list->next;
		if (atomic_load(&r->on))
			write_entry(r, list, part_bytes);
		replay_entry_free(&list);
		list = next;
	}
	if (publish(r, &err))
		give_up(r, &err);
}

// --- Keeping house ---

static bool is_short_of_space(struct replay *r, const struct replay_limits *limits)
{
	uint64_t bytes;
	struct err err;
	return limits->reserve_bytes > 0 && file_space(r->dir, &bytes, &err) == ERR_OK && bytes < 2 * limits->reserve_bytes;
}

static bool is_old(const struct replay_part *s, const struct replay_limits *limits)
{
	return (int64_t)(s->hour + 1) * REPLAY_HOUR_MS + limits->hours * REPLAY_HOUR_MS <= clock_wall_ms();
}

static void purge(struct replay *r, const struct replay_limits *limits)
{
	char name[REPLAY_NAME_BYTES];
	struct err err;
	while (r->n > 0 && (!atomic_load(&r->on) || is_old(&r->segments[0], limits) || r->bytes > limits->bytes ||
				   is_short_of_space(r, limits))) {
		if (r->n == 1)
			end_segment(r);
		if (file_remove(r->dir, replay_part_name(&r->segments[0], name), &err)) {
			log_warning(NULL, "queue: a replay segment cannot be removed", log_c("name", name), log_err(&err));
			return;
		}
		pthread_mutex_lock(&r->mutex);
		r->bytes -= r->segments[0].bytes;
		memmove(r->segments, r->segments + 1, --r->n * sizeof *r->segments);
		pthread_mutex_unlock(&r->mutex);
	}
}

static void sync_now(struct replay *r)
{
	struct err err;
	if (sync_segment(r, &err))
		give_up(r, &err);
	r->synced_ms = clock_mono_exact_ms();
}

static void wait_for_work(struct replay *r)
{
	(void)thread_wait_until(&r->wake, &r->mutex, clock_mono_exact_ms() + (r->dirty ? SYNC_MS : LOOK_MS));
}

static void *run(void *arg)
{
	struct replay *r = arg;
	bool stopping;
	do {
		pthread_mutex_lock(&r->mutex);
		if (r->first == NULL && !r->stopping)
			wait_for_work(r);
		struct replay_entry *list = r->first;
		struct replay_limits limits = r->limits;
		r->first = NULL;
		r->tail = &r->first;
		r->waiting_bytes = r->waiting_files = 0;
		stopping = r->stopping;
		pthread_mutex_unlock(&r->mutex);
		bool some = list != NULL;
		write_entries(r, list, &limits);
		if (clock_mono_exact_ms() - r->synced_ms >= SYNC_MS || stopping) {
			sync_now(r);
			purge(r, &limits);
		} else if (r->bytes > limits.bytes) {
			purge(r, &limits);
		}
		if (some && !stopping)
			nanosleep(&(struct timespec){.tv_nsec = GATHER_MS * 1000000}, NULL);
	} while (!stopping);
	return NULL;
}

// --- Opening and closing ---

static bool find_segment(void *arg, struct str name)
{
	struct replay *r = arg;
	struct replay_part s;
	struct err err;
	int fd;
	off_t bytes;
	if (!parse_name(name, &s) || file_open(r->dir, name, &fd, &bytes, &err))
		return true; // not ours: left alone
	file_close(fd);
	s.bytes = (uint64_t)bytes;
	add_segment(r, s);
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct replay_part *x = a, *y = b;
	if (x->hour != y->hour)
		return x->hour < y->hour ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

static void free_all(struct replay *r)
{
	end_segment(r);
	if (r->dir >= 0)
		file_close(r->dir);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->mutex);
	buf_fini(&r->out);
	free(r->segments);
	free(r);
}

enum err_code replay_open(int dir, const struct replay_limits *limits, struct replay **replay_out, struct err *err)
{
	struct replay *r = calloc(1, sizeof *r);
	must(r != NULL);
	r->dir = r->fd = -1;
	r->tail = &r->first;
	pthread_mutex_init(&r->mutex, NULL);
	pthread_cond_init(&r->wake, NULL);
	buf_init(&r->out, OUT_BYTES);
	replay_set_limits(r, limits);
	enum err_code code = file_dir_make(dir, STR("replay"), 0700, NULL, err);
	if (code == ERR_OK)
		code = file_dir_open_at(dir, STR("replay"), &r->dir, err);
	if (code == ERR_OK)
		code = file_dir_each(r->dir, find_segment, r, err);
	if (code == ERR_OK && r->n > 1)
		qsort(r->segments, r->n, sizeof *r->segments, compare);
	if (code == ERR_OK)
		code = thread_start(&r->thread, "queue-replay", run, r, err);
	if (code) {
		free_all(r);
		return code;
	}
	*replay_out = r;
	return ERR_OK;
}

void replay_set_limits(struct replay *r, const struct replay_limits *limits)
{
	pthread_mutex_lock(&r->mutex);
	r->limits = *limits;
	atomic_store(&r->on, limits->hours > 0 && limits->bytes > 0);
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->mutex);
}

void replay_close(struct replay **replay)
{
	struct replay *r = *replay;
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->mutex);
	r->stopping = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->mutex);
	pthread_join(r->thread, NULL);
	free_all(r);
	*replay = NULL;
}

void replay_stats(struct replay *r, struct replay_stats *out)
{
	pthread_mutex_lock(&r->mutex);
	*out = (struct replay_stats){.bytes = r->bytes, .segments = r->n,
		.oldest_s = r->n ? (int64_t)r->segments[0].hour * (REPLAY_HOUR_MS / 1000) : 0};
	pthread_mutex_unlock(&r->mutex);
}
