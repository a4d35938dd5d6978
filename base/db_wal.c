// SPDX-License-Identifier: Apache-2.0
// SQLite writes each frame of the WAL in two parts, 24 bytes and a page: a message in a mailbox is some twenty calls. Here what
// follows one another is gathered and goes out as one write, at the latest with the sync.
//
// Durability is as before: SQLite answers a commit after xSync of the WAL (synchronous=FULL), and xSync writes first. What a
// process that dies leaves unwritten was not synced, so nobody was told of it.
//
// A write that fails loses frames that SQLite counts as written. It may undo one statement or one savepoint only and go on behind
// them, to a commit that no recovery would find. So from then on nothing is written behind what was lost, until SQLite appends
// there again or before it: after the whole transaction, or all since those frames, was undone.
//
// A checkpoint syncs the WAL first, which the last commit has done: what was not written since is not synced again.
//
// Reading, truncating, asking for the size: what is gathered goes out first. All files but WALs are the lower VFS's own.
#include "db_wal.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "db_file.h"

enum { FRAME_HEAD_BYTES = 24, WAL_HEAD_BYTES = 32 }; // what appending begins with; a page alone is written over an older one

enum { GATHERED_BYTES = 64 << 10 }; // SQLite's VFS for Unix writes less than 128 KiB at a time, by a mask

struct wal {
	sqlite3_file head; // first: SQLite sees this
	char *gathered;    // owned, GATHERED_BYTES; NULL: nothing
	size_t n;
	sqlite3_int64 at;  // of the first gathered byte
	bool synced;       // nothing was written since the last sync
	int lost;          // why what began at lost_at was not written; SQLITE_OK: nothing is lost
	sqlite3_int64 lost_at;
	sqlite3_file *lower; // behind us, in the same memory
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *lower;
} wal_vfs;

static struct wal *wal_of(sqlite3_file *file)
{
	return (struct wal *)file;
}

static void drop_gathered(struct wal *wal)
{
	free(wal->gathered); // there are thousands of open mailboxes, and few that write
	wal->gathered = NULL;
	wal->n = 0;
}

static int put_out(struct wal *wal)
{
	if (wal->n == 0)
		return SQLITE_OK;
	int rc = wal->lower->pMethods->xWrite(wal->lower, wal->gathered, (int)wal->n, wal->at);
	drop_gathered(wal);
	if (rc != SQLITE_OK && (wal->lost == SQLITE_OK || wal->at < wal->lost_at)) {
		wal->lost = rc;
		wal->lost_at = wal->at;
	}
	return rc;
}

static bool appends_again(const struct wal *wal, int n, sqlite3_int64 at)
{
	return at <= wal->lost_at && (n == FRAME_HEAD_BYTES || n == WAL_HEAD_BYTES);
}

static int wal_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	struct wal *wal = wal_of(file);
	int rc = SQLITE_OK;
	if (wal->lost != SQLITE_OK && !appends_again(wal, n, at))
		return wal->lost;
	wal->lost = SQLITE_OK;
	wal->synced = false;
	if (at != wal->at + (sqlite3_int64)wal->n || wal->n + (size_t)n > GATHERED_BYTES)
		rc = put_out(wal);
	if (rc != SQLITE_OK)
		return rc;
	if (n > GATHERED_BYTES) // more than any page
		return wal->lower->pMethods->xWrite(wal->lower, p, n, at);
	if (wal->n == 0) {
		wal->gathered = malloc(GATHERED_BYTES);
		must(wal->gathered != NULL);
		wal->at = at;
	}
	memcpy(wal->gathered + wal->n, p, (size_t)n);
	wal->n += (size_t)n;
	return SQLITE_OK;
}

static int wal_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	struct wal *wal = wal_of(file);
	int rc = put_out(wal);
	if (rc == SQLITE_OK && wal->lost != SQLITE_OK && at + n > wal->lost_at)
		rc = wal->lost;
	return rc == SQLITE_OK ? wal->lower->pMethods->xRead(wal->lower, p, n, at) : rc;
}

static int wal_sync(sqlite3_file *file, int flags)
{
	struct wal *wal = wal_of(file);
	int rc = wal->synced ? SQLITE_OK : put_out(wal);
	if (rc == SQLITE_OK && !wal->synced)
		rc = wal->lower->pMethods->xSync(wal->lower, flags);
	wal->synced = rc == SQLITE_OK;
	return rc;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct wal *wal = wal_of(file);
	int rc = put_out(wal);
	wal->synced = false;
	return rc == SQLITE_OK ? wal->lower->pMethods->xTruncate(wal->lower, size) : rc;
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *size_out)
{
	struct wal *wal = wal_of(file);
	int rc = put_out(wal);
	return rc == SQLITE_OK ? wal->lower->pMethods->xFileSize(wal->lower, size_out) : rc;
}

static int wal_close(sqlite3_file *file)
{
	struct wal *wal = wal_of(file);
	int rc = put_out(wal);
	int close_rc = wal->lower->pMethods->xClose(wal->lower);
	return rc == SQLITE_OK ? close_rc : rc;
}

static int wal_control(sqlite3_file *file, int op, void *arg)
{
	struct wal *wal = wal_of(file);
	return wal->lower->pMethods->xFileControl(wal->lower, op, arg);
}

static int wal_sector_size(sqlite3_file *file)
{
	struct wal *wal = wal_of(file);
	return wal->lower->pMethods->xSectorSize(wal->lower);
}

static int wal_device(sqlite3_file *file)
{
	struct wal *wal = wal_of(file);
	return wal->lower->pMethods->xDeviceCharacteristics(wal->lower);
}

// A WAL is never locked itself.
static const sqlite3_io_methods wal_methods = {
	.iVersion = 1,
	.xClose = wal_close,
	.xRead = wal_read,
	.xWrite = wal_write,
	.xTruncate = wal_truncate,
	.xSync = wal_sync,
	.xFileSize = wal_size,
	.xFileControl = wal_control,
	.xSectorSize = wal_sector_size,
	.xDeviceCharacteristics = wal_device,
};

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	(void)vfs;
	if ((flags & SQLITE_OPEN_WAL) == 0)
		return wal_vfs.lower->xOpen(wal_vfs.lower, name, file, flags, flags_out);
	struct wal *wal = wal_of(file);
	*wal = (struct wal){.lower = (sqlite3_file *)(wal + 1)};
	int rc = wal_vfs.lower->xOpen(wal_vfs.lower, name, wal->lower, flags, flags_out);
	wal->head.pMethods = rc == SQLITE_OK ? &wal_methods : NULL; // NULL: not to be closed
	return rc;
}

static void register_vfs(void)
{
	sqlite3_vfs *test = sqlite3_vfs_find(DB_WAL_TEST_VFS);
	wal_vfs.lower = test ? test : db_file_vfs();
	wal_vfs.vfs = *wal_vfs.lower; // its other methods need nothing of their own
	wal_vfs.vfs.zName = "posthouse";
	wal_vfs.vfs.szOsFile = (int)sizeof(struct wal) + wal_vfs.lower->szOsFile;
	wal_vfs.vfs.xOpen = open_file;
	must(sqlite3_vfs_register(&wal_vfs.vfs, 0) == SQLITE_OK);
}

const char *db_wal_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	must(pthread_once(&once, register_vfs) == 0);
	return wal_vfs.vfs.zName;
}
