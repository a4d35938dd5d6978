// SPDX-License-Identifier: Apache-2.0
// Files that must survive a power cut, through one table of system calls, so that crash tests can record, fail and reorder them.
//
//     file_write_new(spool_fd, "5f…", parts, n, err)      // O_EXCL, written, fdatasync, directory fsync: it is there after a cut
//     file_remove(spool_fd, "5f…", err)
//
// Every call blocks on the disk: worker, writer and store threads only, never a scheduler thread. Names are single components
// below an open directory; a '/' in one, "." and ".." are refused (ERR_INVALID) and symbolic links are never followed (threat
// fs-race). ENOSPC is ERR_NOSPACE; anything else from the device is ERR_IO, after which the caller must not trust the file (fsync
// errors are reported once: the process ends, see ARCHITECTURE's "After EIO").
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/err.h"

// What reaches the kernel. Tests replace the table (file_ops_set) before any thread starts.
struct file_ops {
	int (*openat)(int dir, const char *name, int flags, mode_t mode);
	ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
	ssize_t (*pread)(int fd, void *p, size_t n, off_t at);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*renameat)(int dir_from, const char *from, int dir_to, const char *to);
	int (*unlinkat)(int dir, const char *name, int flags);
	int (*mkdirat)(int dir, const char *name, mode_t mode);
	int (*close)(int fd);
	int (*linkat)(int dir_from, const char *from, int dir_to, const char *to);
};
void file_ops_set(const struct file_ops *ops); // NULL: the kernel's; the table must live as long as it is set

// Opens a directory that must exist; O_NOFOLLOW on its last component. The descriptor is the caller's, closed with file_close.
enum err_code file_dir_open(struct str path, int *fd_out, struct err *err) ERR_CHECKED;
enum err_code file_dir_open_at(int dir, struct str name, int *fd_out, struct err *err) ERR_CHECKED;

// Makes `name` below dir unless it is there, and syncs dir: after it returns, the directory survives a cut. made_out may be NULL.
enum err_code file_dir_make(int dir, struct str name, mode_t mode, bool *made_out, struct err *err) ERR_CHECKED;

enum err_code file_dir_sync(int dir, struct err *err) ERR_CHECKED;

// A new file for writing: O_CREAT|O_EXCL, mode 0600. ERR_EXISTS when the name is taken.
enum err_code file_create(int dir, struct str name, int *fd_out, struct err *err) ERR_CHECKED;

// A new file without a name, for writing and reading, mode 0600: gone when it is closed. On a file system that knows none (NFS)
// it has one for a moment, so one process at a time in a folder.
enum err_code file_create_unnamed(int dir, int *fd_out, struct err *err) ERR_CHECKED;

// An existing regular file of ours for reading; anything else (link, fifo, device, a file of another user, which may be here
// under one of its names: threat fs-race) is an error.
enum err_code file_open(int dir, struct str name, int *fd_out, off_t *bytes_out, struct err *err) ERR_CHECKED;

enum err_code file_write_at(int fd, struct str data, off_t at, struct err *err) ERR_CHECKED;

// Exactly n bytes; a shorter file is ERR_CORRUPT.
enum err_code file_read_at(int fd, char *p, size_t n, off_t at, struct err *err) ERR_CHECKED;

// The whole of a regular file, whoever owns it, at most the buffer's cap (ERR_LIMIT over it).
enum err_code file_read(int dir, struct str name, struct buf *out, struct err *err) ERR_CHECKED;

enum err_code file_sync(int fd, struct err *err) ERR_CHECKED; // fdatasync
void file_close(int fd);

// create, write all parts, fdatasync, close, fsync of the directory. A half-written file is removed again on failure.
enum err_code file_write_new(int dir, struct str name, const struct str *parts, size_t n_parts, struct err *err) ERR_CHECKED;

// The same by way of "<name>.tmp" and rename: the old contents or the new, never a mix.
enum err_code file_replace(int dir, struct str name, struct str data, mode_t mode, struct err *err) ERR_CHECKED;

// A second name for a regular file, on the same file system; ERR_EXISTS when the name is taken. The directory is not synced.
enum err_code file_link(int dir_from, struct str from, int dir_to, struct str to, struct err *err) ERR_CHECKED;

// Removes a file; one that is not there is fine. The directory is not synced: a name that comes back is swept again.
enum err_code file_remove(int dir, struct str name, struct err *err) ERR_CHECKED;

// Calls each(ctx, name) for all names in dir except "." and "..", in no order, until it returns false.
enum err_code file_dir_each(int dir, bool (*each)(void *ctx, struct str name), void *ctx, struct err *err) ERR_CHECKED;

// Bytes that an unprivileged process may still write on dir's file system.
enum err_code file_space(int dir, uint64_t *bytes_out, struct err *err) ERR_CHECKED;

#endif
