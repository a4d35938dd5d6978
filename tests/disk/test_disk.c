// SPDX-License-Identifier: Apache-2.0
// The layer below SQLite and base/file.h that fails, stalls, lies and records.
//
// A file is known by its inode number on the real disk, and gets a number of its own in the record when it is made: the real one
// comes back for another file later. What lies outside of the recorded directory has no number and is not recorded.
#include "test_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/file.h"
#include "base/must.h"
#include "db_file.h"
#include "db_wal.h"

enum { PATH_BYTES = 512, NOT_OURS = UINT32_MAX };

struct known {
	ino_t real;
	uint32_t inode;
};

static struct {
	_Atomic long operations;
	_Atomic long fail_from, fail_until; // operation numbers; 0: never
	_Atomic int fail_code;
	_Atomic enum test_disk_part part;
	_Atomic enum test_disk_sort sort;
	_Atomic enum test_disk_lie lie;

	pthread_mutex_t mutex; // guards the stall
	pthread_cond_t changed;
	const char *stall;
	bool stalled;

	pthread_mutex_t record_mutex; // held over an operation and its record
	struct disk_trace *trace;     // NULL: none is kept
	dev_t device;
	struct known *known;
	size_t known_n, known_size;
	uint32_t next_inode;

	sqlite3_vfs *real;
	sqlite3_vfs vfs;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .record_mutex = PTHREAD_MUTEX_INITIALIZER};

// --- Failing ---

enum does { DOES_WRITE, DOES_SYNC, DOES_FREE };

// Counts an operation that changes something; true with errno set when it is to fail. A full disk lets go of what it has.
static bool fails_in(const char *function, enum test_disk_part part, enum does does)
{
	if ((disk.part != TEST_DISK_BOTH && disk.part != part) || (disk.sort == TEST_DISK_SYNCS && does != DOES_SYNC) ||
		(disk.sort == TEST_DISK_WRITES && does == DOES_SYNC) || (does == DOES_FREE && disk.fail_code == ENOSPC))
		return false;
	long now = atomic_fetch_add(&disk.operations, 1) + 1, from = atomic_load(&disk.fail_from);
	if (from == 0 || now < from || now >= atomic_load(&disk.fail_until))
		return false;
	if (now == from)
		fprintf(stderr, "disk: operation %ld fails, %s: %s\n", now, function, strerror(disk.fail_code));
	errno = disk.fail_code;
	return true;
}

#define fails(part, does) fails_in(__func__, part, does)

long test_disk_operations(void)
{
	return atomic_load(&disk.operations);
}

void test_disk_fail(long nth, long times, int code)
{
	long from = nth ? atomic_load(&disk.operations) + nth : 0;
	disk.fail_code = code;
	atomic_store(&disk.fail_until, from + times);
	atomic_store(&disk.fail_from, from);
}

void test_disk_fail_part(enum test_disk_part part)
{
	disk.part = part;
}

void test_disk_fail_sort(enum test_disk_sort sort)
{
	disk.sort = sort;
}

void test_disk_lie(enum test_disk_lie lie)
{
	disk.lie = lie;
}

void test_disk_stall(const char *part_of_path)
{
	pthread_mutex_lock(&disk.mutex);
	disk.stall = part_of_path;
	disk.stalled = false;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.mutex);
}

void test_disk_await_stall(void)
{
	pthread_mutex_lock(&disk.mutex);
	while (!disk.stalled)
		pthread_cond_wait(&disk.changed, &disk.mutex);
	pthread_mutex_unlock(&disk.mutex);
}

static void stall_if_told(const char *path)
{
	pthread_mutex_lock(&disk.mutex);
	while (disk.stall && strstr(path, disk.stall)) {
		disk.stalled = true;
		pthread_cond_broadcast(&disk.changed);
		pthread_cond_wait(&disk.changed, &disk.mutex);
	}
	pthread_mutex_unlock(&disk.mutex);
}

// --- Recording; all with the record's mutex ---

static bool recording(void)
{
	if (disk.trace == NULL)
		return false;
	pthread_mutex_lock(&disk.record_mutex);
	return true;
}

// Keeps errno for the operation's caller.
static void recorded(bool locked)
{
	int kept = errno;
	if (locked)
		pthread_mutex_unlock(&disk.record_mutex);
	errno = kept;
}

static uint32_t number_of(const struct stat *st)
{
	for (size_t i = 0; i < disk.known_n && st->st_dev == disk.device; i++)
		if (disk.known[i].real == st->st_ino)
			return disk.known[i].inode;
	return NOT_OURS;
}

static uint32_t number_of_fd(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? number_of(&st) : NOT_OURS;
}

static uint32_t number_of_name(int dir, const char *name)
{
	struct stat st;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? number_of(&st) : NOT_OURS;
}

static uint32_t number_new(ino_t real)
{
	for (size_t i = 0; i < disk.known_n; i++)
		if (disk.known[i].real == real)
			return disk.known[i].inode = disk.next_inode++;
	if (disk.known_n == disk.known_size) {
		disk.known_size = disk.known_size ? 2 * disk.known_size : 64;
		disk.known = reallocarray(disk.known, disk.known_size, sizeof *disk.known);
		must(disk.known != NULL);
	}
	disk.known[disk.known_n++] = (struct known){real, disk.next_inode};
	return disk.next_inode++;
}

static const char *keep_name(const char *name)
{
	return disk_trace_keep(disk.trace, name, strlen(name));
}

static struct disk_op *note_name(enum disk_kind kind, uint32_t dir, const char *name, uint32_t inode)
{
	const char *kept = keep_name(name);
	struct disk_op *op = disk_trace_add(disk.trace, kind);
	op->dir = dir;
	op->name = kept;
	op->inode = inode;
	return op;
}

static void note_made(enum disk_kind kind, int dir_fd, const char *name)
{
	uint32_t dir = dir_fd == AT_FDCWD ? NOT_OURS : number_of_fd(dir_fd);
	struct stat st;
	if (dir != NOT_OURS && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		note_name(kind, dir, name, number_new(st.st_ino));
}

static void note_write(uint32_t inode, const void *p, size_t n, uint64_t at)
{
	const char *data = disk_trace_keep(disk.trace, p, n);
	struct disk_op *op = disk_trace_add(disk.trace, DISK_WRITE);
	op->inode = inode;
	op->data = data;
	op->n = n;
	op->at = at;
}

static void note_sync(uint32_t inode)
{
	disk_trace_add(disk.trace, DISK_SYNC)->inode = inode;
}

static void note_dirsync(uint32_t dir)
{
	disk_trace_add(disk.trace, DISK_DIRSYNC)->dir = dir;
}

// What is there when a record begins.
static void note_file(uint32_t inode, int fd)
{
	static char bytes[1 << 16];
	uint64_t at = 0;
	for (ssize_t n; (n = pread(fd, bytes, sizeof bytes, (off_t)at)) > 0; at += (uint64_t)n)
		note_write(inode, bytes, (size_t)n, at);
	note_sync(inode);
}

static void note_tree(int dir_fd, uint32_t dir)
{
	DIR *stream = fdopendir(dir_fd);
	must(stream != NULL);
	for (struct dirent *e; (e = readdir(stream)) != NULL;) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int fd = openat(dirfd(stream), e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		must(fd >= 0 && fstat(fd, &st) == 0);
		uint32_t had = number_of(&st);
		uint32_t inode = had == NOT_OURS ? number_new(st.st_ino) : had;
		note_name(S_ISDIR(st.st_mode) ? DISK_MKDIR : had == NOT_OURS ? DISK_CREATE : DISK_LINK, dir, e->d_name, inode);
		if (S_ISDIR(st.st_mode)) {
			note_tree(fd, inode);
			continue;
		}
		if (had == NOT_OURS)
			note_file(inode, fd);
		close(fd);
	}
	note_dirsync(dir);
	closedir(stream);
}

void test_disk_record(struct disk_trace *trace, const char *dir)
{
	struct stat st;
	disk.known_n = 0;
	disk.next_inode = DISK_ROOT;
	disk.trace = trace;
	if (trace == NULL)
		return;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0 && fstat(fd, &st) == 0);
	disk.device = st.st_dev;
	must(number_new(st.st_ino) == DISK_ROOT);
	note_tree(fd, DISK_ROOT);
	disk_trace_began(trace);
}

void disk_mark(struct disk_trace *trace, uint32_t kind, uint32_t id, uint64_t value)
{
	if (trace == NULL)
		return;
	pthread_mutex_lock(&disk.record_mutex);
	disk_trace_add(trace, DISK_MARK)->mark = (struct disk_mark){kind, id, value};
	pthread_mutex_unlock(&disk.record_mutex);
}

// --- base/file.h ---

static int file_openat(int dir, const char *name, int flags, mode_t mode)
{
	if (!(flags & O_CREAT))
		return openat(dir, name, flags, mode);
	if (fails(TEST_DISK_FILES, DOES_WRITE))
		return -1;
	bool locked = recording();
	bool there = locked && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	int fd = openat(dir, name, flags, mode);
	if (locked && fd >= 0 && !there)
		note_made(DISK_CREATE, dir, name);
	recorded(locked);
	return fd;
}

static ssize_t file_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (fails(TEST_DISK_FILES, DOES_WRITE))
		return -1;
	bool locked = recording();
	uint32_t inode = locked ? number_of_fd(fd) : NOT_OURS;
	ssize_t done = pwrite(fd, p, n, at);
	if (inode != NOT_OURS && done > 0)
		note_write(inode, p, (size_t)done, (uint64_t)at);
	recorded(locked);
	return done;
}

static int file_fdatasync(int fd)
{
	if (fails(TEST_DISK_FILES, DOES_SYNC))
		return -1;
	if (disk.lie == TEST_DISK_LIES_FILES)
		return 0;
	bool locked = recording();
	uint32_t inode = locked ? number_of_fd(fd) : NOT_OURS;
	int rc = fdatasync(fd);
	if (inode != NOT_OURS && rc == 0)
		note_sync(inode);
	recorded(locked);
	return rc;
}

// base/file.h has it for directories only.
static int file_fsync(int fd)
{
	if (fails(TEST_DISK_FILES, DOES_SYNC))
		return -1;
	if (disk.lie == TEST_DISK_LIES_DIRS)
		return 0;
	bool locked = recording();
	uint32_t dir = locked ? number_of_fd(fd) : NOT_OURS;
	int rc = fsync(fd);
	if (dir != NOT_OURS && rc == 0)
		note_dirsync(dir);
	recorded(locked);
	return rc;
}

static int file_renameat(int dir_from, const char *from, int dir_to, const char *to)
{
	if (fails(TEST_DISK_FILES, DOES_WRITE))
		return -1;
	bool locked = recording();
	uint32_t inode = locked ? number_of_name(dir_from, from) : NOT_OURS;
	int rc = renameat(dir_from, from, dir_to, to);
	if (inode != NOT_OURS && rc == 0) {
		struct disk_op *op = note_name(DISK_RENAME, number_of_fd(dir_from), from, inode);
		op->dir_to = number_of_fd(dir_to);
		op->name_to = keep_name(to);
	}
	recorded(locked);
	return rc;
}

static int file_unlinkat(int dir, const char *name, int flags)
{
	if (fails(TEST_DISK_FILES, DOES_FREE))
		return -1;
	bool locked = recording();
	uint32_t inode = locked ? number_of_name(dir, name) : NOT_OURS;
	int rc = unlinkat(dir, name, flags);
	if (inode != NOT_OURS && rc == 0)
		note_name(DISK_UNLINK, number_of_fd(dir), name, inode);
	recorded(locked);
	return rc;
}

static int file_mkdirat(int dir, const char *name, mode_t mode)
{
	if (fails(TEST_DISK_FILES, DOES_WRITE))
		return -1;
	bool locked = recording();
	int rc = mkdirat(dir, name, mode);
	if (locked && rc == 0)
		note_made(DISK_MKDIR, dir, name);
	recorded(locked);
	return rc;
}

static int file_linkat(int dir_from, const char *from, int dir_to, const char *to)
{
	if (fails(TEST_DISK_FILES, DOES_WRITE))
		return -1;
	bool locked = recording();
	uint32_t inode = locked ? number_of_name(dir_from, from) : NOT_OURS;
	int rc = linkat(dir_from, from, dir_to, to, 0);
	if (inode != NOT_OURS && rc == 0)
		note_name(DISK_LINK, number_of_fd(dir_to), to, inode);
	recorded(locked);
	return rc;
}

static const struct file_ops files = {.openat = file_openat, .pwrite = file_pwrite, .pread = pread, .fdatasync = file_fdatasync,
	.fsync = file_fsync, .renameat = file_renameat, .unlinkat = file_unlinkat, .mkdirat = file_mkdirat, .close = close,
	.linkat = file_linkat};

// --- SQLite ---

struct vfs_file {
	sqlite3_file base;
	char path[PATH_BYTES];
	uint32_t inode;
	bool syncs_dir; // made by us: SQLite's first sync of a journal or WAL syncs the directory too
	sqlite3_file *real; // behind this struct
};

static struct vfs_file *own(sqlite3_file *file)
{
	return (struct vfs_file *)file;
}

static sqlite3_file *real(sqlite3_file *file)
{
	return own(file)->real;
}

static int full_or(int code)
{
	return errno == ENOSPC ? SQLITE_FULL : code;
}

static uint32_t parent_of(const char *path)
{
	char dir[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	return number_of_name(AT_FDCWD, dir);
}

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int vfs_close(sqlite3_file *file)
{
	return real(file)->pMethods->xClose(real(file));
}

static int vfs_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	return real(file)->pMethods->xRead(real(file), p, n, at);
}

static int vfs_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	if (fails(TEST_DISK_SQLITE, DOES_WRITE))
		return full_or(SQLITE_IOERR_WRITE);
	bool locked = recording();
	int rc = real(file)->pMethods->xWrite(real(file), p, n, at);
	if (locked && rc == SQLITE_OK && own(file)->inode != NOT_OURS)
		note_write(own(file)->inode, p, (size_t)n, (uint64_t)at);
	recorded(locked);
	return rc;
}

static int vfs_truncate(sqlite3_file *file, sqlite3_int64 n)
{
	if (fails(TEST_DISK_SQLITE, DOES_FREE))
		return SQLITE_IOERR_TRUNCATE;
	bool locked = recording();
	int rc = real(file)->pMethods->xTruncate(real(file), n);
	if (locked && rc == SQLITE_OK && own(file)->inode != NOT_OURS) {
		struct disk_op *op = disk_trace_add(disk.trace, DISK_TRUNCATE);
		op->inode = own(file)->inode;
		op->n = (uint64_t)n;
	}
	recorded(locked);
	return rc;
}

static int vfs_sync(sqlite3_file *file, int flags)
{
	stall_if_told(own(file)->path);
	if (fails(TEST_DISK_SQLITE, DOES_SYNC))
		return SQLITE_IOERR_FSYNC;
	if (disk.lie == TEST_DISK_LIES_SQLITE)
		return SQLITE_OK;
	bool locked = recording();
	int rc = real(file)->pMethods->xSync(real(file), flags);
	if (locked && rc == SQLITE_OK && own(file)->inode != NOT_OURS) {
		note_sync(own(file)->inode);
		if (own(file)->syncs_dir)
			note_dirsync(parent_of(own(file)->path));
		own(file)->syncs_dir = false;
	}
	recorded(locked);
	return rc;
}

static int vfs_size(sqlite3_file *file, sqlite3_int64 *n)
{
	return real(file)->pMethods->xFileSize(real(file), n);
}

static int vfs_lock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xLock(real(file), level);
}

static int vfs_unlock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xUnlock(real(file), level);
}

static int vfs_reserved(sqlite3_file *file, int *out)
{
	return real(file)->pMethods->xCheckReservedLock(real(file), out);
}

static int vfs_control(sqlite3_file *file, int op, void *arg)
{
	return real(file)->pMethods->xFileControl(real(file), op, arg);
}

static int vfs_sector(sqlite3_file *file)
{
	return real(file)->pMethods->xSectorSize(real(file));
}

static int vfs_device(sqlite3_file *file)
{
	return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static const sqlite3_io_methods methods = {.iVersion = 1, .xClose = vfs_close, .xRead = vfs_read, .xWrite = vfs_write,
	.xTruncate = vfs_truncate, .xSync = vfs_sync, .xFileSize = vfs_size, .xLock = vfs_lock, .xUnlock = vfs_unlock,
	.xCheckReservedLock = vfs_reserved, .xFileControl = vfs_control, .xSectorSize = vfs_sector,
	.xDeviceCharacteristics = vfs_device};

static void note_opened(struct vfs_file *file, bool there, int flags)
{
	struct stat st;
	uint32_t dir = parent_of(file->path);
	if (dir == NOT_OURS || stat(file->path, &st) != 0)
		return;
	if (there) {
		file->inode = number_of(&st);
		return;
	}
	file->inode = number_new(st.st_ino);
	file->syncs_dir = flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL);
	note_name(DISK_CREATE, dir, last_of(file->path), file->inode);
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	(void)vfs;
	struct vfs_file *f = own(file);
	f->base.pMethods = NULL;
	f->inode = NOT_OURS;
	f->syncs_dir = false;
	snprintf(f->path, sizeof f->path, "%s", name ? name : "");
	f->real = (sqlite3_file *)(f + 1);
	bool there = name && access(name, F_OK) == 0;
	if (!there && fails(TEST_DISK_SQLITE, DOES_WRITE))
		return full_or(SQLITE_CANTOPEN);
	bool locked = recording();
	int rc = disk.real->xOpen(disk.real, name, f->real, flags, flags_out);
	if (rc == SQLITE_OK && locked && name)
		note_opened(f, there, flags);
	recorded(locked);
	if (rc == SQLITE_OK)
		f->base.pMethods = &methods;
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	(void)vfs;
	if (fails(TEST_DISK_SQLITE, DOES_FREE))
		return SQLITE_IOERR_DELETE;
	bool locked = recording();
	uint32_t inode = locked ? number_of_name(AT_FDCWD, name) : NOT_OURS;
	int rc = disk.real->xDelete(disk.real, name, sync_dir);
	if (inode != NOT_OURS && rc == SQLITE_OK) {
		uint32_t dir = parent_of(name);
		note_name(DISK_UNLINK, dir, last_of(name), inode);
		if (sync_dir && disk.lie != TEST_DISK_LIES_SQLITE)
			note_dirsync(dir);
	}
	recorded(locked);
	return rc;
}

void test_disk_install(void)
{
	file_ops_set(&files);
	if (disk.real)
		return;
	must(sqlite3_initialize() == SQLITE_OK);
	disk.real = db_file_vfs();
	disk.vfs = *disk.real;
	disk.vfs.zName = DB_WAL_TEST_VFS;
	disk.vfs.szOsFile = (int)sizeof(struct vfs_file) + disk.real->szOsFile;
	disk.vfs.xOpen = vfs_open;
	disk.vfs.xDelete = vfs_delete;
	disk.vfs.pNext = NULL;
	must(sqlite3_vfs_register(&disk.vfs, 1) == SQLITE_OK);
}
