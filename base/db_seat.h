// SPDX-License-Identifier: Apache-2.0
// A SQLite VFS whose connections can go from one database to another of the same form. For base/db_pool.c.
//
// Opening a connection is dear: SQLite reads the schema, each statement is prepared, and all of it is thrown away at the end. Where there are
// many databases of one form, all but the file can stay.
//
//     sqlite3_open_v2(path, &handle, flags, db_seat_vfs());   // locking_mode NORMAL, a database in WAL mode
//     ... db_seat_leave(handle);                              // both files are closed, the lock is given up
//     ... db_seat_take(handle, other_path);
//
// To SQLite it is as if another process had changed the whole database between two transactions, and had died while it held the lock: the
// index of the WAL, which is in memory of the connection, is not valid; so SQLite reads the WAL as after a crash, drops its pages, and finds
// the schema by its cookie. It must be the same schema: the caller compares.
#ifndef BASE_DB_SEAT_H
#define BASE_DB_SEAT_H

#include <sqlite3.h>
#include <stdbool.h>

// Registers it, on top of db_wal_vfs(); returns its name. Any thread. From opening to leaving, the database is locked exclusively; whoever
// meets the lock of another process waits for ten seconds, then SQLITE_BUSY.
const char *db_seat_vfs(void);

// True when the connection may leave: opened with this VFS, its WAL open, no transaction and no statement under way.
bool db_seat_can_leave(sqlite3 *handle);

// Closes its files. Only db_seat_take() and sqlite3_close() may follow.
void db_seat_leave(sqlite3 *handle);

// Opens another database's files. On failure only sqlite3_close() may follow.
int db_seat_take(sqlite3 *handle, const char *path);

#endif
