// SPDX-License-Identifier: Apache-2.0
// The file that holds a password of ours (ldap_password_file): for ldapsync, and for `posthouse check`.
#ifndef LDAPSYNC_PASSWORD_FILE_H
#define LDAPSYNC_PASSWORD_FILE_H

#include "base/buf.h"
#include "base/err.h"

enum { PASSWORD_FILE_BYTES_MAX = 1024 };

// Appends the first line, without its end. ERR_INVALID when others than owner and group may read the file or others than its
// owner may write it, when it is no regular file, is empty (an empty password would be an anonymous bind: RFC 4513, 5.1.2), has a
// NUL or more than one line. Blocks on the disk.
enum err_code password_file_read(const char *path, struct buf *password, struct err *err) ERR_CHECKED;

#endif
