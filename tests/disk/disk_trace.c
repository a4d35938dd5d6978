// SPDX-License-Identifier: Apache-2.0
// The record of a disk, and the states that a cut may leave.
//
// A replay keeps what is certain: contents and names as synced. What was done since waits in order; a sync moves what it covers
// to the certain side (of one file its writes, of one directory its names). A cut takes the certain side and puts on it what its
// choice says. An operation on a name says which file it meant, so it can be there although an earlier one of the same name is
// not.
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "test_disk.h"

enum { OPS_MAX = 1 << 18, SECTOR_BYTES = 512, PAGE_BYTES = 4096 };
static const size_t data_max = (size_t)512 << 20; // address space; used as it is needed

struct disk_trace {
	_Atomic size_t n;
	size_t begin, used;
	struct disk_op ops[OPS_MAX];
	char data[];
};

struct disk_trace *disk_trace_new(void)
{
	void *p = mmap(NULL, sizeof(struct disk_trace) + data_max, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(p != MAP_FAILED);
	return p;
}

void disk_trace_free(struct disk_trace **trace)
{
	must(munmap(*trace, sizeof **trace + data_max) == 0);
	*trace = NULL;
}

void disk_trace_clear(struct disk_trace *trace)
{
	must(madvise(trace, sizeof *trace + data_max, MADV_REMOVE) == 0); // all zero again
}

size_t disk_trace_n(const struct disk_trace *trace)
{
	return atomic_load(&trace->n);
}

size_t disk_trace_begin(const struct disk_trace *trace)
{
	return trace->begin;
}

void disk_trace_began(struct disk_trace *trace)
{
	trace->begin = atomic_load(&trace->n);
}

const struct disk_op *disk_trace_op(const struct disk_trace *trace, size_t i)
{
	must(i < disk_trace_n(trace));
	return &trace->ops[i];
}

const char *disk_trace_keep(struct disk_trace *trace, const void *p, size_t n)
{
	must(n + 1 <= data_max - trace->used);
	char *to = trace->data + trace->used;
	if (n)
		memcpy(to, p, n);
	to[n] = '\0';
	trace->used += n + 1;
	return to;
}

// The operation counts when its fields are filled, with the next call of disk_trace_add or a reader's patience: readers come
// after writers.
struct disk_op *disk_trace_add(struct disk_trace *trace, enum disk_kind kind)
{
	size_t n = atomic_load(&trace->n);
	must(n < OPS_MAX);
	trace->ops[n] = (struct disk_op){.kind = kind};
	atomic_store(&trace->n, n + 1);
	return &trace->ops[n];
}

// --- What is certain, and what is not ---

struct file {
	char *p;
	size_t n, size;
	bool dir;
};

struct name {
	uint32_t dir, inode;
	const char *name;
};

struct names {
	struct name *v;
	size_t n, size;
};

struct disk_replay {
	const struct disk_trace *trace;
	size_t position;
	struct file *files; // by inode
	size_t files_n;
	struct names names;
	size_t *open; // operations that are not synced, ascending
	size_t open_n, open_size;
};

static struct file *file_of(struct disk_replay *r, uint32_t inode)
{
	if (inode >= r->files_n) {
		r->files = reallocarray(r->files, inode + 64, sizeof *r->files);
		must(r->files != NULL);
		memset(r->files + r->files_n, 0, (inode + 64 - r->files_n) * sizeof *r->files);
		r->files_n = inode + 64;
	}
	return &r->files[inode];
}

static void resize(struct file *f, size_t n)
{
	if (n > f->size) {
		f->size = n > 2 * f->size ? n : 2 * f->size;
		f->p = realloc(f->p, f->size);
		must(f->p != NULL);
	}
	if (n > f->n)
		memset(f->p + f->n, 0, n - f->n);
	f->n = n;
}

static void put_name(struct names *names, uint32_t dir, const char *name, uint32_t inode)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->v[i].dir == dir && strcmp(names->v[i].name, name) == 0) {
			names->v[i].inode = inode;
			return;
		}
	if (names->n == names->size) {
		names->size = names->size ? 2 * names->size : 64;
		names->v = reallocarray(names->v, names->size, sizeof *names->v);
		must(names->v != NULL);
	}
	names->v[names->n++] = (struct name){dir, inode, name};
}

static void drop_name(struct names *names, uint32_t dir, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->v[i].dir == dir && strcmp(names->v[i].name, name) == 0) {
			names->v[i] = names->v[--names->n];
			return;
		}
}

static void apply_name(struct names *names, const struct disk_op *op)
{
	switch (op->kind) {
	case DISK_CREATE:
	case DISK_MKDIR:
	case DISK_LINK:
		put_name(names, op->dir, op->name, op->inode);
		return;
	case DISK_RENAME:
		drop_name(names, op->dir, op->name);
		put_name(names, op->dir_to, op->name_to, op->inode);
		return;
	case DISK_UNLINK:
		drop_name(names, op->dir, op->name);
		return;
	case DISK_WRITE:
	case DISK_TRUNCATE:
	case DISK_SYNC:
	case DISK_DIRSYNC:
	case DISK_MARK:
		return;
	}
}

static bool is_of_file(const struct disk_op *op)
{
	return op->kind == DISK_WRITE || op->kind == DISK_TRUNCATE;
}

static void make_certain(struct disk_replay *r, const struct disk_op *op)
{
	if (!is_of_file(op)) {
		apply_name(&r->names, op);
		return;
	}
	struct file *f = file_of(r, op->inode);
	if (op->kind == DISK_TRUNCATE) {
		resize(f, op->n);
		return;
	}
	if (op->at + op->n > f->n)
		resize(f, op->at + op->n);
	memcpy(f->p + op->at, op->data, op->n);
}

static bool covers(const struct disk_op *sync, const struct disk_op *op)
{
	if (sync->kind == DISK_SYNC)
		return is_of_file(op) && op->inode == sync->inode;
	return !is_of_file(op) && op->dir == sync->dir; // a rename from one directory to another is not among what we do
}

static void step(struct disk_replay *r, size_t i)
{
	const struct disk_op *op = disk_trace_op(r->trace, i);
	if (op->kind == DISK_MKDIR)
		file_of(r, op->inode)->dir = true;
	if (op->kind == DISK_MARK)
		return;
	if (op->kind != DISK_SYNC && op->kind != DISK_DIRSYNC) {
		must(op->kind != DISK_RENAME || op->dir == op->dir_to);
		if (r->open_n == r->open_size) {
			r->open_size = r->open_size ? 2 * r->open_size : 64;
			r->open = reallocarray(r->open, r->open_size, sizeof *r->open);
			must(r->open != NULL);
		}
		r->open[r->open_n++] = i;
		return;
	}
	size_t kept = 0;
	for (size_t k = 0; k < r->open_n; k++) {
		const struct disk_op *before = disk_trace_op(r->trace, r->open[k]);
		if (covers(op, before))
			make_certain(r, before);
		else
			r->open[kept++] = r->open[k];
	}
	r->open_n = kept;
}

struct disk_replay *disk_replay_new(const struct disk_trace *trace)
{
	struct disk_replay *r = calloc(1, sizeof *r);
	must(r != NULL);
	r->trace = trace;
	file_of(r, DISK_ROOT)->dir = true;
	return r;
}

void disk_replay_free(struct disk_replay **replay)
{
	struct disk_replay *r = *replay;
	for (size_t i = 0; i < r->files_n; i++)
		free(r->files[i].p);
	free(r->files);
	free(r->names.v);
	free(r->open);
	free(r);
	*replay = NULL;
}

void disk_replay_to(struct disk_replay *r, size_t position)
{
	must(position >= r->position && position <= disk_trace_n(r->trace));
	while (r->position < position)
		step(r, r->position++);
}

size_t disk_replay_unsynced(const struct disk_replay *r)
{
	return r->open_n;
}

// --- Making it ---

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	return ftw->level == 0 ? 0 : remove(path);
}

void disk_empty(const char *dir)
{
	must(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

// The same numbers for the same seed, whatever else is asked: splitmix64.
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

struct making {
	struct disk_replay *replay;
	enum disk_cut cut;
	uint64_t choice;
	struct names names;
	int *fds; // by inode; -1: not reached
};

enum part { PART_NONE, PART_SECTORS, PART_ALL };

static enum part part_of(const struct making *m, size_t k, const struct disk_op *op)
{
	switch (m->cut) {
	case DISK_CUT_KILL:
		return PART_ALL;
	case DISK_CUT_POWER:
		return PART_NONE;
	case DISK_CUT_SUBSET:
		return m->choice >> k & 1 ? PART_ALL : PART_NONE;
	case DISK_CUT_RANDOM: {
		uint64_t bits = mix(m->choice + k * 7919);
		return bits % 8 == 0 && op->kind == DISK_WRITE ? PART_SECTORS : bits & 8 ? PART_ALL : PART_NONE;
	}
	case DISK_CUT_TORN:
		return m->replay->open[k] == m->replay->position - 1 && op->kind == DISK_WRITE ? PART_SECTORS : PART_ALL;
	}
	return PART_ALL;
}

static void write_at(int fd, const char *p, size_t n, uint64_t at)
{
	must(pwrite(fd, p, n, (off_t)at) == (ssize_t)n);
}

// Each sector of the write for itself, or the first few of them, or each page.
static void write_sectors(const struct making *m, size_t k, const struct disk_op *op, int fd)
{
	uint64_t bits = mix(m->choice * 31 + k);
	size_t unit = bits & 1 ? SECTOR_BYTES : PAGE_BYTES;
	bool prefix = bits & 2;
	uint64_t first = op->at / unit, last = (op->at + op->n - 1) / unit, upto = first + mix(bits) % (last - first + 1);
	for (uint64_t sector = first; sector <= last; sector++) {
		if (prefix ? sector >= upto : mix(bits + sector) & 1)
			continue;
		uint64_t from = sector * unit < op->at ? op->at : sector * unit, end = (sector + 1) * unit;
		end = end > op->at + op->n ? op->at + op->n : end;
		write_at(fd, op->data + (from - op->at), end - from, from);
	}
}

static void apply_open(struct making *m)
{
	const struct disk_replay *r = m->replay;
	for (size_t k = 0; k < r->open_n; k++) {
		const struct disk_op *op = disk_trace_op(r->trace, r->open[k]);
		if (!is_of_file(op) || m->fds[op->inode] < 0)
			continue;
		enum part part = part_of(m, k, op);
		if (part == PART_NONE)
			continue;
		int fd = m->fds[op->inode];
		if (op->kind == DISK_TRUNCATE)
			must(ftruncate(fd, (off_t)op->n) == 0);
		else if (part == PART_ALL)
			write_at(fd, op->data, op->n, op->at);
		else if (op->n > 0)
			write_sectors(m, k, op, fd);
	}
}

static void make_names(struct making *m, uint32_t dir, const char *path)
{
	char below[512];
	for (size_t i = 0; i < m->names.n; i++) {
		const struct name *name = &m->names.v[i];
		if (name->dir != dir)
			continue;
		must(snprintf(below, sizeof below, "%s/%s", path, name->name) < (int)sizeof below);
		const struct file *f = file_of(m->replay, name->inode);
		if (f->dir) {
			must(mkdir(below, 0700) == 0);
			make_names(m, name->inode, below);
		} else if (m->fds[name->inode] >= 0) { // has a name already
			char link_of[64];
			snprintf(link_of, sizeof link_of, "/proc/self/fd/%d", m->fds[name->inode]);
			must(linkat(AT_FDCWD, link_of, AT_FDCWD, below, AT_SYMLINK_FOLLOW) == 0);
		} else {
			int fd = open(below, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
			must(fd >= 0);
			write_at(fd, f->p, f->n, 0);
			m->fds[name->inode] = fd;
		}
	}
}

void disk_replay_cut(struct disk_replay *r, enum disk_cut cut, uint64_t choice, const char *dir)
{
	struct making m = {.replay = r, .cut = cut, .choice = choice};
	for (size_t i = 0; i < r->names.n; i++)
		put_name(&m.names, r->names.v[i].dir, r->names.v[i].name, r->names.v[i].inode);
	for (size_t k = 0; k < r->open_n; k++) {
		const struct disk_op *op = disk_trace_op(r->trace, r->open[k]);
		if (part_of(&m, k, op) != PART_NONE)
			apply_name(&m.names, op);
		if (is_of_file(op))
			file_of(r, op->inode); // it has a place in the table
	}
	for (size_t i = 0; i < m.names.n; i++)
		file_of(r, m.names.v[i].inode);
	m.fds = malloc(r->files_n * sizeof *m.fds);
	must(m.fds != NULL);
	for (size_t i = 0; i < r->files_n; i++)
		m.fds[i] = -1;
	disk_empty(dir);
	make_names(&m, DISK_ROOT, dir);
	apply_open(&m);
	for (size_t i = 0; i < r->files_n; i++)
		if (m.fds[i] >= 0)
			close(m.fds[i]);
	free(m.fds);
	free(m.names.v);
}

void disk_cut(const struct disk_trace *trace, size_t position, enum disk_cut cut, uint64_t choice, const char *dir)
{
	struct disk_replay *replay = disk_replay_new(trace);
	disk_replay_to(replay, position);
	disk_replay_cut(replay, cut, choice, dir);
	disk_replay_free(&replay);
}
