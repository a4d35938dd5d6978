// SPDX-License-Identifier: Apache-2.0
// Rows of a database as a fuzzer writes them: what lies on a disk need not be what we put there.
//
//     while (str_cut(in, '\n', &line, &in))
//             if (!fuzz_rows_put(db, line)) ... a line of another kind ...
//
// A line "table value|value|…" is a row of so many columns: n is NULL, iDIGITS a whole number, bHEX a blob, tTEXT a text,
// whatever the column wants. A row that SQLite will not have (no such table, NOT NULL, a type in a strict table) is left out.
#ifndef FUZZ_ROWS_H
#define FUZZ_ROWS_H

#include "base/db.h"

// False when the line does not begin with the name of a table, lower-case letters and "_", and a space.
bool fuzz_rows_put(struct db *db, struct str line);

// A folder for databases, in memory where there is such a disk, emptied by each call; removed when the process ends. One in a
// process.
const char *fuzz_rows_dir(void);

#endif
