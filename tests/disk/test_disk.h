// SPDX-License-Identifier: Apache-2.0
// A disk for tests: what we do to files, through SQLite and through base/file.h, can be made to fail, stall, and be recorded;
// from a record every state is made that a cut may leave.
//
//     test_disk_install();                  // before the first database or file is opened: SQLite's default VFS, file_ops_set()
//     test_disk_fail(7, 1, ENOSPC);         // the seventh operation from now on fails, once
//     test_disk_stall("0a1b2c…");           // SQLite's syncs of files with this in their path wait until test_disk_stall(NULL)
//
//     struct disk_trace *trace = disk_trace_new();     // shared with children: a child works and dies, its parent looks
//     test_disk_record(trace, dir);                    // every operation below dir from now on
//     …; disk_mark(trace, MARK_ACKED, id, 0); …        // what a caller was told, at its place among the operations
//     disk_cut(trace, disk_trace_n(trace), DISK_CUT_POWER, 0, dir_after);    // power went: only what was synced is there
//
// What a cut may leave (disk_trace.c makes it): of what was not synced any subset; of a write any subset of its sectors of 512 or
// 4,096 bytes; a new, renamed or removed name only for certain when its directory was synced. SQLite's own sync of a directory,
// at the first sync of a journal or WAL that it made, is seen as one.
//
// The VFS has no shared memory (version 1): databases of queue and mailboxes are exclusive and keep the WAL's index on the heap;
// a connection that is not exclusive cannot switch to WAL here and fails aloud.
//
// Threads: operations, marks and reads of counters from any; everything else before threads begin or after they ended. While a
// record is kept, operations go one at a time.
#ifndef TEST_DISK_H
#define TEST_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// --- Failing ---

// Once in a process; again is fine.
void test_disk_install(void);

// How many operations that change something (create, write, truncate, sync, link, rename, remove, make a directory) there were.
long test_disk_operations(void);

// The first that fails is said on stderr. From the nth operation on (1: the next one) `times` fail with errno code; 0: none any
// more. Large times: for ever.
void test_disk_fail(long nth, long times, int code);

// Only operations of SQLite, or only those of base/file.h, count and fail; both at first.
enum test_disk_part { TEST_DISK_BOTH, TEST_DISK_SQLITE, TEST_DISK_FILES };
void test_disk_fail_part(enum test_disk_part part);

// Only syncs fail, only other operations, or all; all at first. Those that do not count go through.
enum test_disk_sort { TEST_DISK_ANY, TEST_DISK_SYNCS, TEST_DISK_WRITES };
void test_disk_fail_sort(enum test_disk_sort sort);

void test_disk_stall(const char *part_of_path); // borrowed until the next call
void test_disk_await_stall(void);               // until a sync waits

// A disk that lies, to see that a harness sees it: these syncs are done to nothing and not recorded.
enum test_disk_lie { TEST_DISK_HONEST, TEST_DISK_LIES_SQLITE, TEST_DISK_LIES_FILES, TEST_DISK_LIES_DIRS };
void test_disk_lie(enum test_disk_lie lie);

// --- Recording ---

enum disk_kind {
	DISK_CREATE,   // name in dir is inode, a new file
	DISK_MKDIR,    // the same, a directory
	DISK_LINK,     // the same, a file that has a name already
	DISK_RENAME,   // name in dir goes, name_to in dir_to is inode
	DISK_UNLINK,   // name in dir goes
	DISK_WRITE,    // n bytes of inode at `at`
	DISK_TRUNCATE, // inode has n bytes
	DISK_SYNC,     // of inode
	DISK_DIRSYNC,  // of dir
	DISK_MARK,     // mark
};

struct disk_mark {
	uint32_t kind, id; // the test's
	uint64_t value;
};

struct disk_op {
	enum disk_kind kind;
	uint32_t inode, dir, dir_to;
	uint64_t at, n;
	const char *name, *name_to; // in the record
	const char *data;           // the same
	struct disk_mark mark;
};

struct disk_trace;

enum { DISK_ROOT = 0 }; // the directory that is recorded

// Memory that children share; aborts when it cannot be had.
struct disk_trace *disk_trace_new(void);
void disk_trace_free(struct disk_trace **trace);
void disk_trace_clear(struct disk_trace *trace);

size_t disk_trace_n(const struct disk_trace *trace);
const struct disk_op *disk_trace_op(const struct disk_trace *trace, size_t i);

// NULL ends it. What is in dir already becomes the beginning of the record, synced. Names and files that are made past
// base/file.h and SQLite are not seen. disk_trace_begin() is the first operation after that beginning.
void test_disk_record(struct disk_trace *trace, const char *dir);
size_t disk_trace_begin(const struct disk_trace *trace);

// Any thread; NULL trace: nothing.
void disk_mark(struct disk_trace *trace, uint32_t kind, uint32_t id, uint64_t value);

// --- Cuts ---

enum disk_cut {
	DISK_CUT_KILL,   // the process died: everything is there
	DISK_CUT_POWER,  // nothing is there that was not synced
	DISK_CUT_SUBSET, // choice's bits say which of what was not synced is there, the first bit for the oldest
	DISK_CUT_RANDOM, // some of what was not synced, and of writes some sectors: follows from choice
	DISK_CUT_TORN,   // everything but of the last operation, a write, some sectors: follows from choice
};

// Walks along a record; positions only ascend. At a position the operations before it have been done.
struct disk_replay;
struct disk_replay *disk_replay_new(const struct disk_trace *trace);
void disk_replay_free(struct disk_replay **replay);
void disk_replay_to(struct disk_replay *replay, size_t position);
size_t disk_replay_unsynced(const struct disk_replay *replay); // operations

// Empties dir and makes in it what the cut left. Blocks.
void disk_replay_cut(struct disk_replay *replay, enum disk_cut cut, uint64_t choice, const char *dir);

// All of that at once.
void disk_cut(const struct disk_trace *trace, size_t position, enum disk_cut cut, uint64_t choice, const char *dir);

// Removes everything in dir.
void disk_empty(const char *dir);

// --- For disk_trace.c's and test_disk.c's own ---

struct disk_op *disk_trace_add(struct disk_trace *trace, enum disk_kind kind); // one at a time
const char *disk_trace_keep(struct disk_trace *trace, const void *p, size_t n);
void disk_trace_began(struct disk_trace *trace);

#endif
