// SPDX-License-Identifier: Apache-2.0
// Reading a password from a file that nobody else may read.
#include "ldapsync/password_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err_code read_from(int fd, const char *path, struct buf *password, struct err *err)
{
	char text[PASSWORD_FILE_BYTES_MAX + 1];
	struct stat st;
	if (fstat(fd, &st) != 0)
		return err_errno(err, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: not a regular file", path);
	if (st.st_mode & 0027)
		return err_set(err, ERR_INVALID, "%s: mode %03o lets others read or write it; make it 0600 or 0640", path,
			(unsigned)st.st_mode & 0777);
	ssize_t got = read(fd, text, sizeof text);
	if (got < 0)
		return err_errno(err, "%s", path);
	struct str rest = str_of(text, (size_t)got), line;
	enum err_code code = ERR_OK;
	if (got > PASSWORD_FILE_BYTES_MAX)
		code = err_set(err, ERR_INVALID, "%s: longer than %d bytes", path, PASSWORD_FILE_BYTES_MAX);
	else if (!str_next_line(&rest, &line) || line.n == 0 || rest.n > 0 || memchr(line.p, '\0', line.n))
		code = err_set(err, ERR_INVALID, "%s: does not hold one line with a password", path);
	else
		buf_add(password, line);
	explicit_bzero(text, sizeof text);
	return code;
}

enum err_code password_file_read(const char *path, struct buf *password, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_errno(err, "%s", path);
	enum err_code code = read_from(fd, path, password, err);
	close(fd);
	return code;
}
