// SPDX-License-Identifier: Apache-2.0
// Making and mapping a shared file.
#include "base/shared_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/must.h"

enum { LOCK_TRIES_MAX = 100 };

static bool is_ours(int fd, int dir, const char *name, struct stat *st_out)
{
	struct stat named;
	return fstat(fd, st_out) == 0 && S_ISREG(st_out->st_mode) && st_out->st_uid == geteuid() && st_out->st_nlink == 1 &&
	       fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_dev == st_out->st_dev &&
	       named.st_ino == st_out->st_ino;
}

static void *map_whole(int fd, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

// NULL when it is not what we would have made: of another version, cut off, or somebody else's.
static void *map_there(int dir, const struct shared_file *what)
{
	struct stat st;
	void *memory = NULL;
	int fd = openat(dir, what->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (is_ours(fd, dir, what->name, &st) && st.st_size == (off_t)what->bytes)
		memory = map_whole(fd, what->bytes);
	if (memory && !what->is_prepared(memory)) {
		munmap(memory, what->bytes);
		memory = NULL;
	}
	close(fd);
	return memory;
}

// The file that becomes the shared one, which only one at a time has. -1: there is none to be had.
static int lock_new(int dir, const char *name_new)
{
	struct stat st;
	for (unsigned tries = 0; tries < LOCK_TRIES_MAX; tries++) {
		int fd = openat(dir, name_new, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
		if (fd < 0 || flock(fd, LOCK_EX) < 0) {
			if (fd >= 0)
				close(fd);
			return -1;
		}
		if (is_ours(fd, dir, name_new, &st))
			return fd;
		close(fd); // it has its place now, and the next one is another
	}
	return -1;
}

// Takes the name of the old one, which those that have it keep: it must not become shorter under them. Its blocks are taken
// before: a write to a hole of a full disk would be SIGBUS.
static void *map_new(int dir, int fd, const char *name_new, const struct shared_file *what)
{
	void *memory = NULL;
	if (ftruncate(fd, 0) == 0 && posix_fallocate(fd, 0, (off_t)what->bytes) == 0)
		memory = map_whole(fd, what->bytes);
	if (memory == NULL)
		return NULL;
	what->prepare(memory);
	if (renameat(dir, name_new, dir, what->name) == 0)
		return memory;
	munmap(memory, what->bytes);
	return NULL;
}

static void *map_shared(int dir, const struct shared_file *what)
{
	char name_new[SHARED_FILE_NAME_BYTES_MAX + sizeof ".new"];
	struct stat st;
	must(strlen(what->name) <= SHARED_FILE_NAME_BYTES_MAX);
	snprintf(name_new, sizeof name_new, "%s.new", what->name);
	int fd = lock_new(dir, name_new);
	if (fd < 0)
		return NULL;
	void *memory = map_there(dir, what);
	if (memory == NULL)
		memory = map_new(dir, fd, name_new, what);
	if (is_ours(fd, dir, name_new, &st))
		unlinkat(dir, name_new, 0);
	flock(fd, LOCK_UN); // the mapping would keep it
	close(fd);
	return memory;
}

void *shared_file_map(struct str folder, const struct shared_file *what)
{
	void *memory = NULL;
	int dir;
	if (file_dir_open(folder, &dir, NULL) == ERR_OK) {
		memory = map_shared(dir, what);
		file_close(dir);
	}
	return memory;
}
