// SPDX-License-Identifier: Apache-2.0
// The file in which the daemons of a node count failed log-ins together (mail/password_cache.h has the count itself).
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "mail/password_cache.h"
#include "router/login.h"

#define SHARE_NAME "log-ins"
#define SHARE_NAME_NEW "log-ins.new"

enum { LOCK_TRIES_MAX = 100 };

static bool is_ours(int fd, int dir, const char *name, struct stat *st_out)
{
	struct stat named;
	return fstat(fd, st_out) == 0 && S_ISREG(st_out->st_mode) && st_out->st_uid == geteuid() && st_out->st_nlink == 1 &&
	       fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_dev == st_out->st_dev && named.st_ino == st_out->st_ino;
}

static void *map_whole(int fd, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

// NULL when it is not what we would have made: of another version, cut off, or somebody else's.
static void *map_there(int dir, size_t bytes)
{
	struct stat st;
	void *memory = NULL;
	int fd = openat(dir, SHARE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (is_ours(fd, dir, SHARE_NAME, &st) && st.st_size == (off_t)bytes)
		memory = map_whole(fd, bytes);
	if (memory && !password_throttle_is_prepared(memory, LOGIN_THROTTLE_ENTRIES)) {
		munmap(memory, bytes);
		memory = NULL;
	}
	close(fd);
	return memory;
}

// The file that becomes the shared one, which only one at a time has. -1: there is none to be had.
static int lock_new(int dir)
{
	struct stat st;
	for (unsigned tries = 0; tries < LOCK_TRIES_MAX; tries++) {
		int fd = openat(dir, SHARE_NAME_NEW, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
		if (fd < 0 || flock(fd, LOCK_EX) < 0) {
			if (fd >= 0)
				close(fd);
			return -1;
		}
		if (is_ours(fd, dir, SHARE_NAME_NEW, &st))
			return fd;
		close(fd); // it has its place now, and the next one is another
	}
	return -1;
}

// Takes the name of the old one, which those that have it keep: it must not become shorter under them. Its blocks are taken
// before: a write to a hole of a full disk would be SIGBUS.
static void *map_new(int dir, int fd, size_t bytes)
{
	void *memory = NULL;
	if (ftruncate(fd, 0) == 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0)
		memory = map_whole(fd, bytes);
	if (memory == NULL)
		return NULL;
	password_throttle_prepare(memory, LOGIN_THROTTLE_ENTRIES);
	if (renameat(dir, SHARE_NAME_NEW, dir, SHARE_NAME) == 0)
		return memory;
	munmap(memory, bytes);
	return NULL;
}

static void *map_shared(int dir)
{
	const size_t bytes = password_throttle_bytes(LOGIN_THROTTLE_ENTRIES);
	struct stat st;
	int fd = lock_new(dir);
	if (fd < 0)
		return NULL;
	void *memory = map_there(dir, bytes);
	if (memory == NULL)
		memory = map_new(dir, fd, bytes);
	if (is_ours(fd, dir, SHARE_NAME_NEW, &st))
		unlinkat(dir, SHARE_NAME_NEW, 0);
	flock(fd, LOCK_UN); // the mapping would keep it
	close(fd);
	return memory;
}

void *login_share(struct str run_dir)
{
	void *memory = NULL;
	int dir;
	if (file_dir_open(run_dir, &dir, NULL) == ERR_OK) {
		memory = map_shared(dir);
		file_close(dir);
	}
	if (memory == NULL)
		log_warning(NULL, "no common count of failed log-ins: this daemon counts for itself", log_str("run_dir", run_dir));
	return memory;
}
