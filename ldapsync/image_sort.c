// SPDX-License-Identifier: Apache-2.0
// Runs in memory and in a file, and their merge.
//
// Happy path: keys gather in memory; when that is full they are sorted and appended to the file as a run. At the end the rest
// becomes the last run, and a heap of the runs, each with a buffer of what comes next, gives the smallest key again and again.
// When all fits in memory there is no file.
//
// Failure modes: no room, or a read that fails: an error, and the load begins anew. Crash story: the file has no name, so nothing
// of it stays. What it holds is of this process alone and of this machine: numbers as they lie in memory.
#include "image_sort.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/file.h"
#include "base/must.h"
#include "keys.h"

enum {
	RUN_BYTES_MAX = 4 << 20, // of keys, in memory
	RUN_KEYS_MAX = 128 << 10,
	PREFIX_BYTES = 8,
	HEAD_BYTES = 20, // of a key in the file: prefix, id, length
	BUFFERS_BYTES = 4 << 20, // of all runs that are merged
	BUFFER_BYTES_MAX = 64 << 10,
	BUFFER_BYTES_MIN = 4 << 10, // more than a key
};

struct waiting {
	uint64_t prefix; // kind and the first bytes of the key, in the order of the table
	uint32_t at, n;  // in bytes: the key
	int64_t id;
};

struct run {
	off_t at, end; // in the file: what is not in the buffer yet
	char *buffer;  // owned, while it is merged
	size_t used, n;
	uint64_t prefix; // of the next key
	struct str key;  // borrowed from buffer
	int64_t id;
};

struct image_sort {
	char *folder; // owned
	struct waiting *v; // owned; RUN_KEYS_MAX of them, NULL: none yet
	size_t n;
	struct buf bytes; // the keys of v
	int fd; // -1: there is no file
	off_t end; // of the file
	struct run *runs; // owned
	size_t n_runs, room_runs;
};

// Pages of their own, which go back to the system: in the heap they would stay, with pages of the database's cache between
// them.
static struct waiting *room_new(void)
{
	const size_t bytes = RUN_KEYS_MAX * sizeof(struct waiting);
	void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(room != MAP_FAILED);
	return room;
}

static void room_free(struct waiting **room)
{
	if (*room)
		munmap(*room, RUN_KEYS_MAX * sizeof **room);
	*room = NULL;
}

struct image_sort *image_sort_new(struct str folder)
{
	struct image_sort *sort = calloc(1, sizeof *sort);
	must(sort != NULL);
	sort->folder = strndup(folder.p, folder.n);
	must(sort->folder != NULL);
	sort->fd = -1;
	buf_init(&sort->bytes, RUN_BYTES_MAX);
	return sort;
}

static void clear(struct image_sort *sort)
{
	for (size_t i = 0; i < sort->n_runs; i++)
		free(sort->runs[i].buffer);
	if (sort->fd >= 0)
		file_close(sort->fd);
	sort->fd = -1;
	sort->end = 0;
	sort->n_runs = 0;
	sort->n = 0;
	buf_clear(&sort->bytes);
}

void image_sort_free(struct image_sort **sort_in)
{
	struct image_sort *sort = *sort_in;
	if (sort == NULL)
		return;
	clear(sort);
	buf_fini(&sort->bytes);
	room_free(&sort->v);
	free(sort->runs);
	free(sort->folder);
	free(sort);
	*sort_in = NULL;
}

// --- Memory ---

static struct str key_of(const struct image_sort *sort, const struct waiting *one)
{
	return str_of(sort->bytes.p + one->at, one->n);
}

static enum directory_key kind_of(uint64_t prefix)
{
	return (enum directory_key)(prefix >> 56);
}

static int compare_waiting(const void *a_in, const void *b_in, void *sort)
{
	const struct waiting *a = a_in, *b = b_in;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	int order = str_cmp(key_of(sort, a), key_of(sort, b));
	return order ? order : a->id < b->id ? -1 : a->id > b->id;
}

// By prefix, from its last byte to its first: a tenth of what comparisons cost. Bytes that are the same in all are passed over.
static void sort_prefixes(struct image_sort *sort)
{
	size_t(*ends)[256] = calloc(PREFIX_BYTES, sizeof *ends);
	struct waiting *from = sort->v, *to = room_new();
	must(ends != NULL);
	for (size_t i = 0; i < sort->n; i++)
		for (unsigned byte = 0; byte < PREFIX_BYTES; byte++)
			ends[byte][from[i].prefix >> 8 * byte & 0xff]++;
	for (unsigned byte = 0; byte < PREFIX_BYTES; byte++) {
		size_t *at = ends[byte], sum = 0;
		if (at[from[0].prefix >> 8 * byte & 0xff] == sort->n)
			continue;
		for (size_t i = 0; i < 256; i++) {
			size_t n = at[i];
			at[i] = sum;
			sum += n;
		}
		for (size_t i = 0; i < sort->n; i++)
			to[at[from[i].prefix >> 8 * byte & 0xff]++] = from[i];
		struct waiting *both = from;
		from = to;
		to = both;
	}
	sort->v = from;
	room_free(&to);
	free(ends);
}

static void put_in_order(struct image_sort *sort)
{
	if (sort->n == 0)
		return;
	sort_prefixes(sort);
	for (size_t i = 0, n; i < sort->n; i += n) {
		for (n = 1; i + n < sort->n && sort->v[i + n].prefix == sort->v[i].prefix; n++)
			;
		if (n > 1)
			qsort_r(sort->v + i, n, sizeof *sort->v, compare_waiting, sort);
	}
}

static uint64_t prefix_of(enum directory_key kind, struct str key)
{
	uint64_t prefix = (uint8_t)kind;
	for (size_t i = 0; i < PREFIX_BYTES - 1; i++)
		prefix = prefix << 8 | (i < key.n ? (uint8_t)key.p[i] : 0);
	return prefix;
}

// --- Runs in the file ---

static enum err_code make_file(struct image_sort *sort, struct err *err)
{
	int folder;
	enum err_code code = file_dir_open(str_of_c(sort->folder), &folder, err);
	if (code)
		return code;
	code = file_create_unnamed(folder, &sort->fd, err);
	file_close(folder);
	return code;
}

static enum err_code flush(struct image_sort *sort, struct buf *out, struct err *err)
{
	enum err_code code = file_write_at(sort->fd, buf_str(out), sort->end, err);
	sort->end += (off_t)out->n;
	buf_clear(out);
	return code;
}

static enum err_code write_keys(struct image_sort *sort, struct err *err)
{
	struct buf out;
	enum err_code code = ERR_OK;
	buf_init(&out, BUFFER_BYTES_MAX + HEAD_BYTES + KEYS_KEY_BYTES_MAX);
	for (size_t i = 0; code == ERR_OK && i < sort->n; i++) {
		const struct waiting *one = &sort->v[i];
		char head[HEAD_BYTES];
		memcpy(head, &one->prefix, 8);
		memcpy(head + 8, &one->id, 8);
		memcpy(head + 16, &one->n, 4);
		buf_add(&out, str_of(head, sizeof head));
		buf_add(&out, key_of(sort, one));
		if (out.n >= BUFFER_BYTES_MAX)
			code = flush(sort, &out, err);
	}
	if (code == ERR_OK)
		code = flush(sort, &out, err);
	buf_fini(&out);
	return code;
}

// What is in memory, as a run of the file.
static enum err_code write_run(struct image_sort *sort, struct err *err)
{
	enum err_code code = sort->fd < 0 ? make_file(sort, err) : ERR_OK;
	off_t at = sort->end;
	if (code)
		return code;
	put_in_order(sort);
	code = write_keys(sort, err);
	if (code)
		return code;
	if (sort->n_runs == sort->room_runs) {
		sort->room_runs = sort->room_runs ? 2 * sort->room_runs : 16;
		sort->runs = reallocarray(sort->runs, sort->room_runs, sizeof *sort->runs);
		must(sort->runs != NULL);
	}
	sort->runs[sort->n_runs++] = (struct run){.at = at, .end = sort->end};
	sort->n = 0;
	buf_clear(&sort->bytes);
	return ERR_OK;
}

enum err_code image_sort_add(struct image_sort *sort, enum directory_key kind, struct str key, int64_t id, struct err *err)
{
	must(key.n <= KEYS_KEY_BYTES_MAX);
	if (sort->n == RUN_KEYS_MAX || key.n > RUN_BYTES_MAX - sort->bytes.n) {
		enum err_code code = write_run(sort, err);
		if (code)
			return code;
	}
	if (sort->v == NULL)
		sort->v = room_new();
	sort->v[sort->n++] = (struct waiting){prefix_of(kind, key), (uint32_t)sort->bytes.n, (uint32_t)key.n, id};
	must(buf_add(&sort->bytes, key));
	return ERR_OK;
}

// --- Merge ---

// Makes the next key of a run the one at hand; *more_out is false at its end.
static enum err_code next(struct image_sort *sort, struct run *run, size_t room, bool *more_out, struct err *err)
{
	uint32_t n;
	size_t left = run->n - run->used;
	*more_out = left > 0 || run->at < run->end;
	if (left < HEAD_BYTES + KEYS_KEY_BYTES_MAX && run->at < run->end) {
		size_t more = room - left < (size_t)(run->end - run->at) ? room - left : (size_t)(run->end - run->at);
		memmove(run->buffer, run->buffer + run->used, left);
		enum err_code code = file_read_at(sort->fd, run->buffer + left, more, run->at, err);
		if (code)
			return code;
		run->at += (off_t)more;
		run->used = 0;
		run->n = left + more;
	}
	if (!*more_out)
		return ERR_OK;
	const char *head = run->buffer + run->used;
	memcpy(&run->prefix, head, 8);
	memcpy(&run->id, head + 8, 8);
	memcpy(&n, head + 16, 4);
	must(n <= KEYS_KEY_BYTES_MAX && n <= run->n - run->used - HEAD_BYTES); // as write_keys wrote it
	run->key = str_of(head + HEAD_BYTES, n);
	run->used += HEAD_BYTES + n;
	return ERR_OK;
}

static bool is_before(const struct run *a, const struct run *b)
{
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix;
	int order = str_cmp(a->key, b->key);
	return order ? order < 0 : a->id < b->id;
}

static void sink(struct run **heap, size_t n, size_t at)
{
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && is_before(heap[child + 1], heap[child]))
			child++;
		if (!is_before(heap[child], heap[at]))
			return;
		struct run *lower = heap[at];
		heap[at] = heap[child];
		heap[child] = lower;
	}
}

static enum err_code merge(struct image_sort *sort, struct run **heap, image_sort_fn *each, void *context, struct err *err)
{
	size_t room = BUFFERS_BYTES / sort->n_runs, n = 0;
	enum err_code code = ERR_OK;
	bool more;
	room = room > BUFFER_BYTES_MAX ? BUFFER_BYTES_MAX : room < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : room;
	for (size_t i = 0; code == ERR_OK && i < sort->n_runs; i++) {
		struct run *run = &sort->runs[i];
		run->buffer = malloc(room);
		must(run->buffer != NULL);
		code = next(sort, run, room, &more, err);
		if (code == ERR_OK && more)
			heap[n++] = run;
	}
	for (size_t i = n / 2; i-- > 0;)
		sink(heap, n, i);
	while (code == ERR_OK && n > 0) {
		code = each(context, kind_of(heap[0]->prefix), heap[0]->key, heap[0]->id, err);
		if (code == ERR_OK)
			code = next(sort, heap[0], room, &more, err);
		if (code == ERR_OK && !more)
			heap[0] = heap[--n];
		sink(heap, n, 0);
	}
	return code;
}

enum err_code image_sort_drain(struct image_sort *sort, image_sort_fn *each, void *context, struct err *err)
{
	enum err_code code = ERR_OK;
	if (sort->n_runs == 0) {
		put_in_order(sort);
		for (size_t i = 0; code == ERR_OK && i < sort->n; i++)
			code = each(context, kind_of(sort->v[i].prefix), key_of(sort, &sort->v[i]), sort->v[i].id, err);
	} else {
		code = write_run(sort, err);
		room_free(&sort->v); // for the table's pages
		buf_release(&sort->bytes);
		struct run **heap = reallocarray(NULL, sort->n_runs, sizeof *heap);
		must(heap != NULL);
		if (code == ERR_OK)
			code = merge(sort, heap, each, context, err);
		free(heap);
	}
	clear(sort);
	return code;
}
