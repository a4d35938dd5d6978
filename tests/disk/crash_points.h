// SPDX-License-Identifier: Apache-2.0
// A program of tests/crash/run: some work on a recorded disk, then every point of it at which the machine could have stopped.
//
//     int main(int argc, char **argv)
//     {
//             static const struct crash_test test = {.name = "queue", .work = work, .check = check, .is_ack = is_ack};
//             return crash_main(argc, argv, &test);
//     }
//
// Points, all enumerated from the record:
//   kill     after each operation: everything done so far is there
//   torn     the same, the last write only in part
//   power    before each sync, and after each mark: nothing that was not synced; every subset of it where there are few, some by
//            the seed where there are many; and one subset after each operation
//   again    the start after a cut is recorded too and cut likewise, for some cuts by the seed
//   faults   the work, smaller, once for each of its operations, which fails with EIO or ENOSPC; then a kill and a power cut at
//            its end
//
// At each point check() opens the folder as a start of the daemon does. A check that crashes or hangs has lost all that was
// acknowledged.
//
//     PROGRAM [--seed N] [--all] [--lie sqlite|files|dirs] [--only WORD] [--shard I/N] [--keep]
//
// --all: more subsets and cuts; --lie: a disk that swallows such syncs, which must be seen: ends with the first loss; --only: one
// of the words above; --shard: of the faults every Nth, from the Ith, for several processes at once; --keep: ends at the first
// failure and leaves its folder. The last line on stdout is {"points","acknowledged","lost","duplicated"}; the exit status 0 when
// nothing was lost or doubled, else 1, with the first failures on stderr.
#ifndef CRASH_POINTS_H
#define CRASH_POINTS_H

#include "test_disk.h"

struct crash_verdict {
	uint64_t lost, duplicated;
	char text[2048]; // the first of them, in words
};

struct crash_test {
	const char *name;
	// In a child with the disk of test_disk.h, in an empty folder. Marks what it tries and what it is told. Does not return
	// early because of a failing disk, except by _exit(CRASH_DIED), as the daemon would.
	void (*work)(const char *dir, struct disk_trace *trace, uint64_t seed, bool is_small);
	// Opens and closes; in a child, for cuts during a start.
	void (*restart)(const char *dir);
	// In a child with a healthy disk: opens what a cut left and compares it with the marks before position. It may go on
	// working there.
	void (*check)(const char *dir, const struct disk_trace *trace, size_t position, struct crash_verdict *verdict);
	bool (*is_ack)(const struct disk_mark *mark);
};

enum { CRASH_DIED = 74 };

int crash_main(int argc, char **argv, const struct crash_test *test);

// For checks: counts one and says the first in words.
void crash_lost(struct crash_verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));
void crash_duplicated(struct crash_verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The same message for the same id, whose first line names it: CRLF lines, `bytes` of them in all, 64 at least. Returns p.
char *crash_text(uint32_t id, size_t bytes, char *p);
// The id and size of the message that begins so, or anywhere in p; false without one.
bool crash_text_id(const char *p, size_t n, uint32_t *id_out, size_t *bytes_out, size_t *at_out);

#endif
