// SPDX-License-Identifier: Apache-2.0
// A SQLite VFS that writes a transaction's frames into the WAL at once. For base/db.c.
#ifndef BASE_DB_WAL_H
#define BASE_DB_WAL_H

// A VFS of this name, if there is one, comes between this and the files (db_file.h): a disk for tests.
#define DB_WAL_TEST_VFS "test"

// Registers it; returns its name for sqlite3_open_v2(). Any thread. For a connection that is exclusive: another one would look
// into the WAL for what is still gathered here.
const char *db_wal_vfs(void);

#endif
