// SPDX-License-Identifier: Apache-2.0
// Tables of shadow.db and credentials.db. The columns are explained in FORMATS section 9.
#include "schema/ddl_shadow.h"

static const char *const steps[] = {
	"CREATE TABLE state("
	" id INTEGER PRIMARY KEY CHECK(id = 1),"
	" version INTEGER NOT NULL,"      // + 1 with every commit that changed something
	" complete INTEGER NOT NULL,"     // a whole load was committed
	" source TEXT NOT NULL,"          // 'ldif'
	" source_ok INTEGER NOT NULL,"    // ldif: the last parse succeeded
	" cookie BLOB NOT NULL,"          // what of the source this is: commits with its data
	" confirmed_ms INTEGER NOT NULL," // wall clock: the source was last seen equal to this
	" entries INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE entry("
	" id INTEGER PRIMARY KEY,"
	" uuid BLOB NOT NULL UNIQUE,"
	" keys BLOB NOT NULL,"            // the rows of `key` that point here, so that they are found again
	" data BLOB NOT NULL"             // schema/entry.h
	") STRICT;"
	"CREATE TABLE key("               // several entries may claim one key: it then resolves to a temporary failure
	" kind INTEGER NOT NULL,"
	" key BLOB NOT NULL,"
	" id INTEGER NOT NULL,"
	" PRIMARY KEY(kind, key, id)"
	") STRICT, WITHOUT ROWID;",
	"CREATE TABLE polled("            // the entries that a server had which is polled; in shadow.db
	" uuid BLOB PRIMARY KEY,"
	" digest INTEGER NOT NULL"        // of its name and when it was changed
	") STRICT, WITHOUT ROWID;",
};

const struct db_schema ddl_shadow = {.name = "shadow.db", .application_id = 0x50487368, .version = 2, .steps = steps};
const struct db_schema ddl_credentials = {.name = "credentials.db", .application_id = 0x50486372, .version = 2, .steps = steps};
