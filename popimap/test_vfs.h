// SPDX-License-Identifier: Apache-2.0
// For the tests of the store: a layer below SQLite through which a disk fails, stalls, or loses what was not synced.
//
//     test_vfs_install();                         // before the first database is opened
//     test_vfs.fail_at = 7;                       // the seventh write or sync from now on fails, and all after it
//     test_vfs.stall = "0a1b2c…";                 // syncs of files with this in their path wait until test_vfs_release()
//     test_vfs.mirror_from, mirror_to             // each synced file is copied there: what a power cut leaves
#ifndef POPIMAP_TEST_VFS_H
#define POPIMAP_TEST_VFS_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sqlite3.h>

static struct {
	_Atomic long fail_at; // 0: never
	int fail_code;        // SQLITE_FULL, SQLITE_IOERR_FSYNC
	_Atomic long calls;   // writes and syncs so far
	const char *stall;    // under the mutex
	bool stalled;
	const char *mirror_from, *mirror_to;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	sqlite3_vfs *real;
	sqlite3_vfs vfs;
} test_vfs = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct test_file {
	sqlite3_file base;
	char path[256];
	sqlite3_file *real; // behind this struct
};

static sqlite3_file *test_real(sqlite3_file *file)
{
	return ((struct test_file *)file)->real;
}

static inline bool test_vfs_fails(void)
{
	long call = atomic_fetch_add(&test_vfs.calls, 1) + 1, at = atomic_load(&test_vfs.fail_at);
	return at && call >= at;
}

static inline void test_copy_file(const char *from, const char *to)
{
	static _Thread_local char buffer[16384];
	char parent[512];
	for (const char *slash = strchr(to + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(parent, sizeof parent, "%.*s", (int)(slash - to), to);
		mkdir(parent, 0700);
	}
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	for (ssize_t n; in >= 0 && out >= 0 && (n = read(in, buffer, sizeof buffer)) > 0;)
		if (write(out, buffer, (size_t)n) != n)
			abort();
	close(in);
	close(out);
}

static inline void test_mirror(const char *path)
{
	if (test_vfs.mirror_to == NULL || strncmp(path, test_vfs.mirror_from, strlen(test_vfs.mirror_from)) != 0)
		return;
	char to[512];
	snprintf(to, sizeof to, "%s%s", test_vfs.mirror_to, path + strlen(test_vfs.mirror_from));
	test_copy_file(path, to);
}

static inline void test_vfs_release(void)
{
	pthread_mutex_lock(&test_vfs.mutex);
	test_vfs.stall = NULL;
	pthread_cond_broadcast(&test_vfs.changed);
	pthread_mutex_unlock(&test_vfs.mutex);
}

static inline void test_vfs_await_stall(void)
{
	pthread_mutex_lock(&test_vfs.mutex);
	while (!test_vfs.stalled)
		pthread_cond_wait(&test_vfs.changed, &test_vfs.mutex);
	pthread_mutex_unlock(&test_vfs.mutex);
}

static int test_x_close(sqlite3_file *file)
{
	return test_real(file)->pMethods->xClose(test_real(file));
}

static int test_x_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	return test_real(file)->pMethods->xRead(test_real(file), p, n, at);
}

static int test_x_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	return test_vfs_fails() ? test_vfs.fail_code : test_real(file)->pMethods->xWrite(test_real(file), p, n, at);
}

static int test_x_truncate(sqlite3_file *file, sqlite3_int64 n)
{
	return test_real(file)->pMethods->xTruncate(test_real(file), n);
}

static int test_x_sync(sqlite3_file *file, int flags)
{
	const char *path = ((struct test_file *)file)->path;
	pthread_mutex_lock(&test_vfs.mutex);
	while (test_vfs.stall && strstr(path, test_vfs.stall)) {
		test_vfs.stalled = true;
		pthread_cond_broadcast(&test_vfs.changed);
		pthread_cond_wait(&test_vfs.changed, &test_vfs.mutex);
	}
	pthread_mutex_unlock(&test_vfs.mutex);
	if (test_vfs_fails())
		return test_vfs.fail_code;
	int rc = test_real(file)->pMethods->xSync(test_real(file), flags);
	if (rc == SQLITE_OK)
		test_mirror(path);
	return rc;
}

static int test_x_size(sqlite3_file *file, sqlite3_int64 *n)
{
	return test_real(file)->pMethods->xFileSize(test_real(file), n);
}

static int test_x_lock(sqlite3_file *file, int lock)
{
	return test_real(file)->pMethods->xLock(test_real(file), lock);
}

static int test_x_unlock(sqlite3_file *file, int lock)
{
	return test_real(file)->pMethods->xUnlock(test_real(file), lock);
}

static int test_x_reserved(sqlite3_file *file, int *out)
{
	return test_real(file)->pMethods->xCheckReservedLock(test_real(file), out);
}

static int test_x_control(sqlite3_file *file, int op, void *arg)
{
	return test_real(file)->pMethods->xFileControl(test_real(file), op, arg);
}

static int test_x_sector(sqlite3_file *file)
{
	return test_real(file)->pMethods->xSectorSize(test_real(file));
}

static int test_x_device(sqlite3_file *file)
{
	return test_real(file)->pMethods->xDeviceCharacteristics(test_real(file));
}

// Version 1: without shared memory, which an exclusive connection does not need.
static const sqlite3_io_methods test_methods = {1, test_x_close, test_x_read, test_x_write, test_x_truncate, test_x_sync, test_x_size,
	test_x_lock, test_x_unlock, test_x_reserved, test_x_control, test_x_sector, test_x_device, NULL, NULL, NULL, NULL, NULL, NULL};

static int test_x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	(void)vfs;
	struct test_file *own = (struct test_file *)file;
	snprintf(own->path, sizeof own->path, "%s", name ? name : "");
	own->real = (sqlite3_file *)(own + 1);
	int rc = test_vfs.real->xOpen(test_vfs.real, name, own->real, flags, out);
	own->base.pMethods = rc == SQLITE_OK ? &test_methods : NULL;
	return rc;
}

// What was deleted comes back after a cut unless its directory was synced (test_vfs_dir_synced).
enum { TEST_DELETED_MAX = 64 };
static char test_deleted[TEST_DELETED_MAX][256];
static size_t test_deleted_n;

static inline void test_vfs_dir_synced(const char *dir)
{
	size_t n = strlen(dir);
	char to[512];
	pthread_mutex_lock(&test_vfs.mutex);
	for (size_t i = 0; i < test_deleted_n;) {
		const char *slash = strrchr(test_deleted[i], '/');
		if ((size_t)(slash - test_deleted[i]) != n || strncmp(test_deleted[i], dir, n) != 0) {
			i++;
			continue;
		}
		if (test_vfs.mirror_to) {
			snprintf(to, sizeof to, "%s%s", test_vfs.mirror_to, test_deleted[i] + strlen(test_vfs.mirror_from));
			unlink(to);
		}
		memmove(test_deleted[i], test_deleted[i + 1], (--test_deleted_n - i) * sizeof test_deleted[0]);
	}
	pthread_mutex_unlock(&test_vfs.mutex);
}

static int test_x_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	(void)vfs;
	int rc = test_vfs.real->xDelete(test_vfs.real, name, sync_dir);
	if (rc != SQLITE_OK || test_vfs.mirror_to == NULL || strncmp(name, test_vfs.mirror_from, strlen(test_vfs.mirror_from)) != 0)
		return rc;
	pthread_mutex_lock(&test_vfs.mutex);
	if (test_deleted_n == TEST_DELETED_MAX)
		abort();
	snprintf(test_deleted[test_deleted_n++], sizeof test_deleted[0], "%s", name);
	pthread_mutex_unlock(&test_vfs.mutex);
	if (sync_dir) {
		char dir[256];
		snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(name, '/') - name), name);
		test_vfs_dir_synced(dir);
	}
	return rc;
}

static inline void test_vfs_install(void)
{
	sqlite3_initialize();
	test_vfs.real = sqlite3_vfs_find(NULL);
	test_vfs.vfs = *test_vfs.real;
	test_vfs.vfs.zName = "test";
	test_vfs.vfs.szOsFile = (int)sizeof(struct test_file) + test_vfs.real->szOsFile;
	test_vfs.vfs.xOpen = test_x_open;
	test_vfs.vfs.xDelete = test_x_delete;
	test_vfs.vfs.pNext = NULL;
	if (sqlite3_vfs_register(&test_vfs.vfs, 1) != SQLITE_OK)
		abort();
}

#endif
