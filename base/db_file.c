// SPDX-License-Identifier: Apache-2.0
// Files of databases that one connection has for itself: mailboxes by the thousand, the queue.
//
// SQLite's own VFS for Unix keeps all open files of the process in one list under one mutex and walks it twice for each database
// it opens, as locks of POSIX are the process's and end when any descriptor of the file is closed. With four thousand mailboxes
// open that is most of an opening. Locks of a descriptor (F_OFD_SETLK) need no list; to other processes they are the same:
// sqlite3 on the command line finds the database locked. It also looks for links with one lstat for each part of the path, and
// syncs the directory again whenever it has opened a log; here openat2() does the first, and only a log that was made now is
// synced with its directory.
//
// One lock, over all bytes that SQLite's levels of locks lie in, is taken with the first and kept until the last: who is alone
// needs no more. There is no shared memory, so a log is only for a connection in exclusive mode.
//
// Database, log and journal are here; whatever else SQLite may want (temporary files) is the lower VFS's.
#include "db_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/must.h"

enum { PATH_BYTES = 1024, FILE_MODE = 0600, SECTOR_BYTES = 4096, LOWEST_FD = 3 };
enum { LOCK_AT = 0x40000000, LOCK_BYTES = 512 }; // SQLite file format, section 1: PENDING_BYTE, and the two locks behind it

struct file {
	sqlite3_file head; // first: SQLite sees this
	int fd, level, errnum;
	short lock;        // F_WRLCK, F_RDLCK for a file that is only read
	bool made;         // with the next sync its directory is synced too
	const char *path;  // borrowed from SQLite, until xClose
	const _Atomic bool *stop; // borrowed, see db_stop_when(); NULL: none
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *lower;
} file_vfs;

static struct file *file_of(sqlite3_file *file)
{
	return (struct file *)file;
}

static int failed(struct file *file, int rc)
{
	file->errnum = errno;
	return rc;
}

static int close_file(sqlite3_file *head)
{
	close(file_of(head)->fd);
	return SQLITE_OK;
}

static int read_file(sqlite3_file *head, void *p, int n, sqlite3_int64 at)
{
	struct file *file = file_of(head);
	int done = 0;
	if (file->stop && atomic_load_explicit(file->stop, memory_order_relaxed))
		return SQLITE_IOERR_READ;
	while (done < n) {
		ssize_t got = pread(file->fd, (char *)p + done, (size_t)(n - done), at + done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return failed(file, SQLITE_IOERR_READ);
		if (got == 0) { // what is behind the end reads as zeroes
			memset((char *)p + done, 0, (size_t)(n - done));
			file->errnum = 0;
			return SQLITE_IOERR_SHORT_READ;
		}
		done += (int)got;
	}
	return SQLITE_OK;
}

static int write_file(sqlite3_file *head, const void *p, int n, sqlite3_int64 at)
{
	struct file *file = file_of(head);
	int done = 0;
	while (done < n) {
		ssize_t put = pwrite(file->fd, (const char *)p + done, (size_t)(n - done), at + done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return failed(file, put == 0 || errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_IOERR_WRITE);
		done += (int)put;
	}
	return SQLITE_OK;
}

static int truncate_file(sqlite3_file *head, sqlite3_int64 n)
{
	int rc;
	do
		rc = ftruncate(file_of(head)->fd, n);
	while (rc < 0 && errno == EINTR);
	return rc == 0 ? SQLITE_OK : failed(file_of(head), SQLITE_IOERR_TRUNCATE);
}

static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_BYTES];
	snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fsync(fd);
	close(fd);
	return rc;
}

static int sync_file(sqlite3_file *head, int flags)
{
	(void)flags; // fdatasync() is all of them: it writes the size too
	struct file *file = file_of(head);
	if (fdatasync(file->fd) != 0)
		return failed(file, SQLITE_IOERR_FSYNC);
	if (file->made && sync_parent(file->path) != 0)
		return failed(file, SQLITE_IOERR_DIR_FSYNC);
	file->made = false;
	return SQLITE_OK;
}

static int size_of_file(sqlite3_file *head, sqlite3_int64 *n_out)
{
	struct stat st;
	if (fstat(file_of(head)->fd, &st) != 0)
		return failed(file_of(head), SQLITE_IOERR_FSTAT);
	*n_out = st.st_size;
	return SQLITE_OK;
}

static int set_lock(struct file *file, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = LOCK_AT, .l_len = LOCK_BYTES};
	return fcntl(file->fd, F_OFD_SETLK, &lock);
}

static int lock_file(sqlite3_file *head, int level)
{
	struct file *file = file_of(head);
	if (level <= file->level)
		return SQLITE_OK;
	if (file->level == SQLITE_LOCK_NONE && set_lock(file, file->lock) != 0)
		return errno == EAGAIN || errno == EACCES ? SQLITE_BUSY : failed(file, SQLITE_IOERR_LOCK);
	file->level = level;
	return SQLITE_OK;
}

static int unlock_file(sqlite3_file *head, int level)
{
	struct file *file = file_of(head);
	if (level >= file->level)
		return SQLITE_OK;
	if (level == SQLITE_LOCK_NONE && set_lock(file, F_UNLCK) != 0)
		return failed(file, SQLITE_IOERR_UNLOCK);
	file->level = level;
	return SQLITE_OK;
}

// A lock that writes: nobody else has one while we have any.
static int is_reserved(sqlite3_file *head, int *reserved_out)
{
	*reserved_out = file_of(head)->level >= SQLITE_LOCK_RESERVED;
	return SQLITE_OK;
}

static int control_file(sqlite3_file *head, int op, void *arg)
{
	struct file *file = file_of(head);
	switch (op) {
	case SQLITE_FCNTL_LAST_ERRNO:
		*(int *)arg = file->errnum;
		return SQLITE_OK;
	case SQLITE_FCNTL_LOCKSTATE:
		*(int *)arg = file->level;
		return SQLITE_OK;
	case DB_FILE_STOP:
		file->stop = arg;
		return SQLITE_OK;
	default:
		return SQLITE_NOTFOUND;
	}
}

static int sector_of_file(sqlite3_file *head)
{
	(void)head;
	return SECTOR_BYTES;
}

// As SQLite's own VFS has it: a write changes nothing but the bytes that it writes, even if power goes.
static int device_of_file(sqlite3_file *head)
{
	(void)head;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
	.iVersion = 1,
	.xClose = close_file,
	.xRead = read_file,
	.xWrite = write_file,
	.xTruncate = truncate_file,
	.xSync = sync_file,
	.xFileSize = size_of_file,
	.xLock = lock_file,
	.xUnlock = unlock_file,
	.xCheckReservedLock = is_reserved,
	.xFileControl = control_file,
	.xSectorSize = sector_of_file,
	.xDeviceCharacteristics = device_of_file,
};

// --- By name ---

// Where the kernel has no openat2(), or a filter does not let us: one part of the path after the other.
static int open_by_parts(const char *path, int flags)
{
	int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	while (dir >= 0) {
		char part[PATH_BYTES];
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");
		bool last = path[n] == '\0';
		snprintf(part, sizeof part, "%.*s", (int)n, path);
		fd = openat(dir, part, O_CLOEXEC | O_NOFOLLOW | (last ? flags : O_PATH | O_DIRECTORY), FILE_MODE);
		int errnum = errno;
		close(dir);
		errno = errnum;
		if (last)
			return fd;
		dir = fd;
		path += n;
	}
	return -1;
}

// A path in which a link is followed nowhere (threat fs-race).
static int open_path(const char *path, int flags)
{
	const struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = flags & O_CREAT ? FILE_MODE : 0,
		.resolve = RESOLVE_NO_SYMLINKS};
	int fd;
	do
		fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 && (errno == ENOSYS || errno == EPERM) ? open_by_parts(path, flags) : fd;
}

static int open_or_make(struct file *file, const char *path, int flags)
{
	int mode = flags & SQLITE_OPEN_READWRITE ? O_RDWR : O_RDONLY;
	int fd = flags & SQLITE_OPEN_EXCLUSIVE ? -1 : open_path(path, mode);
	if (fd >= 0 || (flags & SQLITE_OPEN_CREATE) == 0 || (errno != ENOENT && (flags & SQLITE_OPEN_EXCLUSIVE) == 0))
		return fd;
	file->made = true; // the directory of a database that was made now is synced by db_open()
	return open_path(path, mode | O_CREAT | (flags & SQLITE_OPEN_EXCLUSIVE ? O_EXCL : 0));
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *head, int flags, int *flags_out)
{
	(void)vfs;
	if (path == NULL || (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) == 0)
		return file_vfs.lower->xOpen(file_vfs.lower, path, head, flags, flags_out);
	struct file *file = file_of(head);
	*file = (struct file){.path = path, .lock = flags & SQLITE_OPEN_READWRITE ? F_WRLCK : F_RDLCK};
	file->fd = open_or_make(file, path, flags);
	if (file->fd < 0)
		return errno == ELOOP ? SQLITE_CANTOPEN_SYMLINK : SQLITE_CANTOPEN;
	must(file->fd >= LOWEST_FD); // else what is written to stderr goes into a database
	file->head.pMethods = &file_methods;
	if (flags_out)
		*flags_out = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	(void)vfs;
	if (unlink(path) != 0)
		return errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
	return sync_dir && sync_parent(path) != 0 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int n, char *out)
{
	(void)vfs;
	if (path[0] != '/')
		return file_vfs.lower->xFullPathname(file_vfs.lower, path, n, out);
	return snprintf(out, (size_t)n, "%s", path) < n ? SQLITE_OK : SQLITE_CANTOPEN_FULLPATH;
}

static void register_vfs(void)
{
	file_vfs.lower = sqlite3_vfs_find("unix");
	must(file_vfs.lower != NULL);
	file_vfs.vfs = *file_vfs.lower; // its other methods need nothing of their own
	file_vfs.vfs.zName = "posthouse-file";
	if (file_vfs.vfs.szOsFile < (int)sizeof(struct file))
		file_vfs.vfs.szOsFile = (int)sizeof(struct file);
	file_vfs.vfs.mxPathname = PATH_BYTES - 1;
	file_vfs.vfs.xOpen = vfs_open;
	file_vfs.vfs.xDelete = vfs_delete;
	file_vfs.vfs.xFullPathname = vfs_full_path;
	must(sqlite3_vfs_register(&file_vfs.vfs, 0) == SQLITE_OK);
}

sqlite3_vfs *db_file_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	must(sqlite3_initialize() == SQLITE_OK);
	must(pthread_once(&once, register_vfs) == 0);
	return &file_vfs.vfs;
}
