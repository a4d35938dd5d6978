// SPDX-License-Identifier: Apache-2.0
// Both files of a connection, the database and its WAL, are wrapped: beneath lies a file of db_wal_vfs(), which is exchanged.
//
// The lock. SQLite locks and unlocks the database for each transaction; that is answered here, because the file beneath is locked
// exclusively from its opening to its closing. The index of the WAL, in a file that processes share otherwise, is memory.
//
// The WAL. SQLite chooses new salts for a WAL that it begins when it has counted no checkpoints in it, and it counts them in memory; a
// connection that comes from another database to an empty WAL would go on with a foreign count and no salts at all. So a WAL without a
// valid header, which is empty to SQLite, is given one here as a restart would write it: no frames, no checkpoints, random salts. It needs no sync: without it the WAL is
// empty as well. SQLite writes the header anew, and syncs it, before the first frame.
//
// Crash story: nothing is written but that header, and only where SQLite would find no frame.
#include "db_seat.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "base/random.h"
#include "db_wal.h"

enum {
	INDEX_MAX = 64, // pieces of the WAL's index: each for some 4,000 frames
	LOCK_WAIT_MS = 10000,
	LOCK_TRY_MS = 20,
	PATH_BYTES = 512,
	WAL_HEAD_BYTES = 32,
	SECTOR_BYTES = 4096,
};

struct seat_file {
	sqlite3_file head;   // first: SQLite sees this
	const char *name;    // owned (sqlite3_free_filename), of a database that was taken; the first one's is SQLite's
	int flags;           // of opening
	void *index[INDEX_MAX]; // of the database: owned, all of index_bytes
	size_t index_n, index_bytes;
	sqlite3_file *lower; // behind us, in the same memory; without methods: closed
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *lower;
} seat_vfs;

static struct seat_file *seat_of(sqlite3_file *file)
{
	return (struct seat_file *)file;
}

// --- The files beneath ---

static int close_lower(struct seat_file *file)
{
	int rc = file->lower->pMethods ? file->lower->pMethods->xClose(file->lower) : SQLITE_OK;
	file->lower->pMethods = NULL;
	return rc;
}

static int lock_lower(struct seat_file *file)
{
	sqlite3_file *lower = file->lower;
	for (int waited_ms = 0;; waited_ms += LOCK_TRY_MS) {
		int rc = lower->pMethods->xLock(lower, SQLITE_LOCK_SHARED);
		if (rc == SQLITE_OK)
			rc = lower->pMethods->xLock(lower, SQLITE_LOCK_EXCLUSIVE);
		if (rc != SQLITE_BUSY || waited_ms >= LOCK_WAIT_MS)
			return rc;
		lower->pMethods->xUnlock(lower, SQLITE_LOCK_NONE);
		usleep(LOCK_TRY_MS * 1000);
	}
}

static int open_lower(struct seat_file *file, const char *name, int flags, int *flags_out)
{
	int rc = seat_vfs.lower->xOpen(seat_vfs.lower, name, file->lower, flags, flags_out);
	if (rc == SQLITE_OK && flags & SQLITE_OPEN_MAIN_DB)
		rc = lock_lower(file);
	if (rc != SQLITE_OK)
		close_lower(file);
	return rc;
}

// --- What both have ---

static int seat_close(sqlite3_file *head)
{
	struct seat_file *file = seat_of(head);
	int rc = close_lower(file);
	for (size_t i = 0; i < file->index_n; i++)
		free(file->index[i]);
	if (file->name)
		sqlite3_free_filename((char *)(uintptr_t)file->name);
	return rc;
}

static int seat_read(sqlite3_file *head, void *p, int n, sqlite3_int64 at)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods->xRead(lower, p, n, at);
}

static int seat_write(sqlite3_file *head, const void *p, int n, sqlite3_int64 at)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods->xWrite(lower, p, n, at);
}

static int seat_truncate(sqlite3_file *head, sqlite3_int64 size)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods->xTruncate(lower, size);
}

static int seat_sync(sqlite3_file *head, int flags)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods->xSync(lower, flags);
}

static int seat_size(sqlite3_file *head, sqlite3_int64 *size_out)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods->xFileSize(lower, size_out);
}

static int seat_control(sqlite3_file *head, int op, void *arg)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods ? lower->pMethods->xFileControl(lower, op, arg) : SQLITE_NOTFOUND;
}

// These two are asked at the end of a connection too, when nothing is beneath.
static int seat_sector_size(sqlite3_file *head)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods ? lower->pMethods->xSectorSize(lower) : SECTOR_BYTES;
}

static int seat_device(sqlite3_file *head)
{
	sqlite3_file *lower = seat_of(head)->lower;
	return lower->pMethods ? lower->pMethods->xDeviceCharacteristics(lower) : 0;
}

// --- Locks, and the index of the WAL ---

static int granted(sqlite3_file *head, int lock)
{
	(void)head;
	(void)lock;
	return SQLITE_OK;
}

static int not_reserved(sqlite3_file *head, int *reserved_out)
{
	(void)head;
	*reserved_out = 0;
	return SQLITE_OK;
}

static int index_map(sqlite3_file *head, int number, int bytes, int extend, void volatile **p_out)
{
	struct seat_file *file = seat_of(head);
	(void)extend;
	if (number >= INDEX_MAX)
		return SQLITE_FULL;
	file->index_bytes = (size_t)bytes; // always the same
	while (file->index_n <= (size_t)number) {
		file->index[file->index_n] = calloc(1, (size_t)bytes);
		must(file->index[file->index_n] != NULL);
		file->index_n++;
	}
	*p_out = file->index[number];
	return SQLITE_OK;
}

static int index_lock(sqlite3_file *head, int offset, int n, int flags)
{
	(void)offset;
	(void)n;
	return granted(head, flags);
}

static void index_barrier(sqlite3_file *head)
{
	(void)head; // one thread at a time
}

static int index_unmap(sqlite3_file *head, int also_delete)
{
	return granted(head, also_delete); // freed when the file is closed
}

static const sqlite3_io_methods main_methods = {
	.iVersion = 2,
	.xClose = seat_close,
	.xRead = seat_read,
	.xWrite = seat_write,
	.xTruncate = seat_truncate,
	.xSync = seat_sync,
	.xFileSize = seat_size,
	.xLock = granted,
	.xUnlock = granted,
	.xCheckReservedLock = not_reserved,
	.xFileControl = seat_control,
	.xSectorSize = seat_sector_size,
	.xDeviceCharacteristics = seat_device,
	.xShmMap = index_map,
	.xShmLock = index_lock,
	.xShmBarrier = index_barrier,
	.xShmUnmap = index_unmap,
};

static const sqlite3_io_methods wal_methods = {
	.iVersion = 1,
	.xClose = seat_close,
	.xRead = seat_read,
	.xWrite = seat_write,
	.xTruncate = seat_truncate,
	.xSync = seat_sync,
	.xFileSize = seat_size,
	.xFileControl = seat_control,
	.xSectorSize = seat_sector_size,
	.xDeviceCharacteristics = seat_device,
};

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *head, int flags, int *flags_out)
{
	(void)vfs;
	if (!(flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)))
		return seat_vfs.lower->xOpen(seat_vfs.lower, name, head, flags, flags_out);
	struct seat_file *file = seat_of(head);
	*file = (struct seat_file){.flags = flags, .lower = (sqlite3_file *)(file + 1)};
	file->lower->pMethods = NULL;
	int rc = open_lower(file, name, flags, flags_out);
	if (rc == SQLITE_OK) // else it is not to be closed
		file->head.pMethods = flags & SQLITE_OPEN_WAL ? &wal_methods : &main_methods;
	return rc;
}

static void register_vfs(void)
{
	seat_vfs.lower = sqlite3_vfs_find(db_wal_vfs());
	must(seat_vfs.lower != NULL);
	seat_vfs.vfs = *seat_vfs.lower; // its other methods need nothing of their own
	seat_vfs.vfs.zName = "posthouse-seat";
	seat_vfs.vfs.szOsFile = (int)sizeof(struct seat_file) + seat_vfs.lower->szOsFile;
	seat_vfs.vfs.xOpen = open_file;
	must(sqlite3_vfs_register(&seat_vfs.vfs, 0) == SQLITE_OK);
}

const char *db_seat_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	must(pthread_once(&once, register_vfs) == 0);
	return seat_vfs.vfs.zName;
}

// --- From one database to another ---

static struct seat_file *file_of(sqlite3 *handle, int which, const sqlite3_io_methods *methods)
{
	sqlite3_file *file = NULL;
	sqlite3_file_control(handle, "main", which, &file);
	return file && file->pMethods == methods ? seat_of(file) : NULL;
}

static struct seat_file *main_of(sqlite3 *handle)
{
	return file_of(handle, SQLITE_FCNTL_FILE_POINTER, &main_methods);
}

static struct seat_file *wal_of(sqlite3 *handle)
{
	return file_of(handle, SQLITE_FCNTL_JOURNAL_POINTER, &wal_methods);
}

bool db_seat_can_leave(sqlite3 *handle)
{
	return main_of(handle) && wal_of(handle) && sqlite3_txn_state(handle, NULL) == SQLITE_TXN_NONE;
}

void db_seat_leave(sqlite3 *handle)
{
	struct seat_file *main = main_of(handle), *wal = wal_of(handle);
	close_lower(wal);
	close_lower(main);
}

// SQLite file format, section 4.1: numbers are big-endian; two sums over 32-bit words in turn, big-endian too if the magic is odd.
static void put_u32(unsigned char *p, uint32_t value)
{
	for (size_t i = 0; i < sizeof value; i++)
		p[i] = (unsigned char)(value >> 8 * (sizeof value - 1 - i));
}

static uint32_t word_at(const unsigned char *p, bool big)
{
	return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3]
		   : (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

enum { MAGIC = 0x377f0682, FORMAT = 3007000, CHECKPOINTS_AT = 12, SALTS_AT = 16, SALTS_BYTES = 8, SUMS_AT = 24 };
enum { PAGE_BYTES_AT = 16, PAGE_BYTES_N = 2, FRAME_HEAD_BYTES = 24 };

static void sum_wal_head(const unsigned char head[WAL_HEAD_BYTES], bool words_are_big, unsigned char sums_out[WAL_HEAD_BYTES - SUMS_AT])
{
	uint32_t a = 0, b = 0;
	for (size_t at = 0; at < SUMS_AT; at += 8) {
		a += word_at(head + at, words_are_big) + b;
		b += word_at(head + at + 4, words_are_big) + a;
	}
	put_u32(sums_out, a);
	put_u32(sums_out + 4, b);
}

// One that SQLite believes; else it takes the WAL for empty.
static bool is_wal_head(const unsigned char head[WAL_HEAD_BYTES])
{
	unsigned char sums[WAL_HEAD_BYTES - SUMS_AT];
	uint32_t magic = word_at(head, true);
	sum_wal_head(head, magic & 1, sums);
	return (magic & ~UINT32_C(1)) == MAGIC && memcmp(sums, head + SUMS_AT, sizeof sums) == 0;
}

static void make_wal_head(uint32_t page_bytes, unsigned char head_out[WAL_HEAD_BYTES])
{
	put_u32(head_out, MAGIC);
	put_u32(head_out + 4, FORMAT);
	put_u32(head_out + 8, page_bytes);
	put_u32(head_out + CHECKPOINTS_AT, 0);
	random_bytes(head_out + SALTS_AT, SALTS_BYTES);
	sum_wal_head(head_out, false, head_out + SUMS_AT);
}

// SQLite looks at a WAL that is longer than its header: one frame's head of zeros follows, which no salts fit.
static int begin_wal(struct seat_file *main, struct seat_file *wal)
{
	unsigned char page[PAGE_BYTES_N] = {0}, head[WAL_HEAD_BYTES + FRAME_HEAD_BYTES] = {0};
	sqlite3_int64 bytes;
	int rc = seat_size(&wal->head, &bytes);
	if (rc == SQLITE_OK && bytes > WAL_HEAD_BYTES)
		rc = seat_read(&wal->head, head, WAL_HEAD_BYTES, 0);
	if (rc != SQLITE_OK || (bytes > WAL_HEAD_BYTES && is_wal_head(head)))
		return rc;
	rc = seat_read(&main->head, page, sizeof page, PAGE_BYTES_AT);
	if (rc != SQLITE_OK)
		return rc;
	uint32_t page_bytes = (uint32_t)page[0] << 8 | page[1];
	make_wal_head(page_bytes == 1 ? 1 << 16 : page_bytes, head);
	return seat_write(&wal->head, head, sizeof head, 0);
}

static int open_wal(struct seat_file *wal, const char *name)
{
	int rc = open_lower(wal, name, wal->flags & ~SQLITE_OPEN_CREATE, NULL);
	return rc == SQLITE_CANTOPEN ? open_lower(wal, name, wal->flags, NULL) : rc; // SQLite syncs the directory of one that it may have made
}

int db_seat_take(sqlite3 *handle, const char *path)
{
	struct seat_file *main = main_of(handle), *wal = wal_of(handle);
	char whole[PATH_BYTES], beside[2][PATH_BYTES];
	if (seat_vfs.lower->xFullPathname(seat_vfs.lower, path, sizeof whole, whole) != SQLITE_OK) // SQLITE_OK_SYMLINK: through a link
		return SQLITE_CANTOPEN;
	sqlite3_snprintf(sizeof beside[0], beside[0], "%s-journal", whole);
	sqlite3_snprintf(sizeof beside[1], beside[1], "%s-wal", whole);
	if (main->name)
		sqlite3_free_filename((char *)(uintptr_t)main->name);
	main->name = sqlite3_create_filename(whole, beside[0], beside[1], 0, NULL);
	must(main->name != NULL);
	for (size_t i = 0; i < main->index_n; i++)
		memset(main->index[i], 0, main->index_bytes);
	int rc = open_lower(main, main->name, main->flags & ~SQLITE_OPEN_CREATE, NULL);
	if (rc == SQLITE_OK)
		rc = open_wal(wal, sqlite3_filename_wal(main->name));
	return rc == SQLITE_OK ? begin_wal(main, wal) : rc;
}
