// SPDX-License-Identifier: Apache-2.0
// A SQLite VFS for databases that one connection has for itself. For base/db.c.
#ifndef BASE_DB_FILE_H
#define BASE_DB_FILE_H

#include <sqlite3.h>

// A file control: from when the const _Atomic bool at its argument is true reads of the database fail. NULL: no more.
enum { DB_FILE_STOP = 0x50480001 };

// Registered at the first call, not as the default. Any thread.
sqlite3_vfs *db_file_vfs(void);

#endif
