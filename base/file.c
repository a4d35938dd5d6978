// SPDX-License-Identifier: Apache-2.0
// Durable files below an open directory, through one replaceable table of system calls.
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int sys_openat(int dir, const char *name, int flags, mode_t mode)
{
	return openat(dir, name, flags, mode);
}

static int sys_linkat(int dir_from, const char *from, int dir_to, const char *to)
{
	return linkat(dir_from, from, dir_to, to, 0); // a symbolic link is not followed
}

static const struct file_ops kernel = {
	.openat = sys_openat,
	.pwrite = pwrite,
	.pread = pread,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.renameat = renameat,
	.unlinkat = unlinkat,
	.mkdirat = mkdirat,
	.close = close,
	.linkat = sys_linkat,
};
static const struct file_ops *ops = &kernel;

void file_ops_set(const struct file_ops *table)
{
	ops = table ? table : &kernel;
}

// A single path component as a C string.
static enum err_code component(struct str name, char c[NAME_MAX + 1], struct err *err)
{
	if (name.n == 0 || !str_to_c(name, c, NAME_MAX + 1) || str_index(name, '/') >= 0 || str_eq(name, STR(".")) ||
		str_eq(name, STR("..")))
		return err_set(err, ERR_INVALID, "file name \"%.*s\" is not a single component", STR_FMT(str_upto(name, 64)));
	return ERR_OK;
}

static enum err_code open_at(int dir, const char *name, int flags, int *fd_out, struct err *err)
{
	int fd;
	do
		fd = ops->openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return err_errno(err, "open %s", name);
	*fd_out = fd;
	return ERR_OK;
}

enum err_code file_dir_open(struct str path, int *fd_out, struct err *err)
{
	char c[2048]; // a path of ours is short; the frame limit is 4096
	if (!str_to_c(path, c, sizeof c))
		return err_set(err, ERR_INVALID, "path of %zu bytes holds a NUL or is too long", path.n);
	return open_at(AT_FDCWD, c, O_RDONLY | O_DIRECTORY, fd_out, err);
}

enum err_code file_dir_open_at(int dir, struct str name, int *fd_out, struct err *err)
{
	char c[NAME_MAX + 1];
	enum err_code code = component(name, c, err);
	return code ? code : open_at(dir, c, O_RDONLY | O_DIRECTORY, fd_out, err);
}

enum err_code file_dir_make(int dir, struct str name, mode_t mode, bool *made_out, struct err *err)
{
	char c[NAME_MAX + 1];
	enum err_code code = component(name, c, err);
	if (code)
		return code;
	bool made = ops->mkdirat(dir, c, mode) == 0;
	if (!made && errno != EEXIST)
		return err_errno(err, "make directory %s", c);
	// Also when it was there: whoever made it may have died before its sync.
	code = file_dir_sync(dir, err);
	if (code == ERR_OK && made_out)
		*made_out = made;
	return code;
}

enum err_code file_dir_sync(int dir, struct err *err)
{
	return ops->fsync(dir) == 0 ? ERR_OK : err_errno(err, "sync directory");
}

enum err_code file_create_unnamed(int dir, int *fd_out, struct err *err)
{
	static const char name[] = ".unnamed";
	enum err_code code = open_at(dir, ".", O_RDWR | O_TMPFILE, fd_out, err);
	if (code == ERR_OK || (errno != EOPNOTSUPP && errno != EISDIR))
		return code;
	(void)ops->unlinkat(dir, name, 0); // of somebody who was killed right here
	code = open_at(dir, name, O_RDWR | O_CREAT | O_EXCL, fd_out, err);
	if (code == ERR_OK)
		(void)ops->unlinkat(dir, name, 0);
	return code;
}

enum err_code file_create(int dir, struct str name, int *fd_out, struct err *err)
{
	char c[NAME_MAX + 1];
	enum err_code code = component(name, c, err);
	return code ? code : open_at(dir, c, O_WRONLY | O_CREAT | O_EXCL, fd_out, err);
}

// A regular file, with what fstat says of it.
static enum err_code open_regular(int dir, struct str name, int *fd_out, struct stat *st_out, struct err *err)
{
	char c[NAME_MAX + 1];
	int fd;
	enum err_code code = component(name, c, err);
	if (code == ERR_OK)
		code = open_at(dir, c, O_RDONLY | O_NONBLOCK, &fd, err); // O_NONBLOCK: a fifo put there must not stop us
	if (code)
		return code;
	if (fstat(fd, st_out) != 0)
		code = err_errno(err, "stat %s", c);
	else if (!S_ISREG(st_out->st_mode))
		code = err_set(err, ERR_INVALID, "%s is not a regular file", c);
	if (code)
		file_close(fd);
	else
		*fd_out = fd;
	return code;
}

enum err_code file_open(int dir, struct str name, int *fd_out, off_t *bytes_out, struct err *err)
{
	int fd;
	struct stat st;
	enum err_code code = open_regular(dir, name, &fd, &st, err);
	if (code)
		return code;
	if (st.st_uid != geteuid()) {
		file_close(fd);
		return err_set(err, ERR_INVALID, "%.*s is a file of another user", STR_FMT(name));
	}
	*fd_out = fd;
	if (bytes_out)
		*bytes_out = st.st_size;
	return ERR_OK;
}

enum err_code file_write_at(int fd, struct str data, off_t at, struct err *err)
{
	while (data.n) {
		ssize_t n = ops->pwrite(fd, data.p, data.n, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "write");
		data = str_from(data, (size_t)n);
		at += n;
	}
	return ERR_OK;
}

enum err_code file_read_at(int fd, char *p, size_t n, off_t at, struct err *err)
{
	while (n) {
		ssize_t got = ops->pread(fd, p, n, at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, "read");
		if (got == 0)
			return err_set(err, ERR_CORRUPT, "file ends %zu bytes early", n);
		p += got;
		n -= (size_t)got;
		at += got;
	}
	return ERR_OK;
}

enum err_code file_read(int dir, struct str name, struct buf *out, struct err *err)
{
	int fd;
	struct stat st;
	enum err_code code = open_regular(dir, name, &fd, &st, err);
	if (code)
		return code;
	off_t bytes = st.st_size;
	char *room = bytes >= 0 ? buf_reserve(out, (size_t)bytes) : NULL;
	if (room == NULL)
		code = err_set(err, ERR_LIMIT, "file %.*s has %lld bytes, over the limit of %zu", STR_FMT(name), (long long)bytes,
			out->max);
	else
		code = file_read_at(fd, room, (size_t)bytes, 0, err);
	if (code == ERR_OK)
		buf_grew(out, (size_t)bytes);
	file_close(fd);
	return code;
}

enum err_code file_sync(int fd, struct err *err)
{
	return ops->fdatasync(fd) == 0 ? ERR_OK : err_errno(err, "sync file");
}

void file_close(int fd)
{
	ops->close(fd); // data is synced before by whoever needs it; close reports nothing that can be acted on
}

static enum err_code write_and_sync(int fd, const struct str *parts, size_t n_parts, struct err *err)
{
	off_t at = 0;
	for (size_t i = 0; i < n_parts; i++) {
		enum err_code code = file_write_at(fd, parts[i], at, err);
		if (code)
			return code;
		at += (off_t)parts[i].n;
	}
	return file_sync(fd, err);
}

enum err_code file_write_new(int dir, struct str name, const struct str *parts, size_t n_parts, struct err *err)
{
	int fd;
	enum err_code code = file_create(dir, name, &fd, err);
	if (code)
		return code;
	code = write_and_sync(fd, parts, n_parts, err);
	file_close(fd);
	if (code == ERR_OK)
		code = file_dir_sync(dir, err);
	if (code && file_remove(dir, name, NULL) != ERR_OK && err)
		return err_wrap(err, "and the half-written file stays");
	return code;
}

enum err_code file_replace(int dir, struct str name, struct str data, mode_t mode, struct err *err)
{
	char target[NAME_MAX + 1], tmp[NAME_MAX + 8];
	enum err_code code = component(name, target, err);
	if (code)
		return code;
	int length = snprintf(tmp, sizeof tmp, "%s.tmp", target);
	struct str tmp_name = str_of(tmp, (size_t)length);
	int fd;
	code = file_remove(dir, tmp_name, err); // left by a process that died between create and rename
	if (code == ERR_OK)
		code = file_create(dir, tmp_name, &fd, err);
	if (code)
		return code;
	if (fchmod(fd, mode) != 0)
		code = err_errno(err, "chmod %s", tmp);
	if (code == ERR_OK)
		code = write_and_sync(fd, &data, 1, err);
	file_close(fd);
	if (code == ERR_OK && ops->renameat(dir, tmp, dir, target) != 0)
		code = err_errno(err, "rename %s to %s", tmp, target);
	return code ? code : file_dir_sync(dir, err);
}

enum err_code file_link(int dir_from, struct str from, int dir_to, struct str to, struct err *err)
{
	char a[NAME_MAX + 1], b[NAME_MAX + 1];
	enum err_code code = component(from, a, err);
	if (code == ERR_OK)
		code = component(to, b, err);
	if (code)
		return code;
	return ops->linkat(dir_from, a, dir_to, b) == 0 ? ERR_OK : err_errno(err, "link %s to %s", a, b);
}

enum err_code file_remove(int dir, struct str name, struct err *err)
{
	char c[NAME_MAX + 1];
	enum err_code code = component(name, c, err);
	if (code)
		return code;
	return ops->unlinkat(dir, c, 0) == 0 || errno == ENOENT ? ERR_OK : err_errno(err, "remove %s", c);
}

enum err_code file_dir_each(int dir, bool (*each)(void *ctx, struct str name), void *ctx, struct err *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (stream == NULL) {
		enum err_code code = err_errno(err, "list directory");
		if (fd >= 0)
			close(fd);
		return code;
	}
	const struct dirent *entry;
	while (errno = 0, (entry = readdir(stream)) != NULL) {
		struct str name = str_of_c(entry->d_name);
		if (!str_eq(name, STR(".")) && !str_eq(name, STR("..")) && !each(ctx, name)) {
			errno = 0;
			break;
		}
	}
	enum err_code code = errno ? err_errno(err, "list directory") : ERR_OK;
	closedir(stream);
	return code;
}

enum err_code file_space(int dir, uint64_t *bytes_out, struct err *err)
{
	struct statvfs vfs;
	if (fstatvfs(dir, &vfs) != 0)
		return err_errno(err, "free space");
	*bytes_out = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return ERR_OK;
}
