// SPDX-License-Identifier: Apache-2.0
// The DDL of queue.db, version by version.
#include "schema/ddl_queue.h"

// message and recipient are WITHOUT ROWID: keyed by guid, one B-tree each. body is not: a blob in an index tree costs overflow
// pages at every split. body.id is the index of the ENTER, so bodies are appended at one end and freed near the other.
static const char version_2[] =
	// One row. disk and grp are the identity of CLUSTER 16; features has one line "type version" each once FEATURES says so.
	"CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one=1), applied INTEGER NOT NULL, term INTEGER NOT NULL, disk BLOB NOT NULL,"
	" grp BLOB NOT NULL, features TEXT NOT NULL, copies INTEGER NOT NULL);"
	"CREATE TABLE log(idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, record BLOB NOT NULL);"
	// last is the highest number given to a recipient, so that a late RESULT never finds another one; ended counts rows in
	// that table, and in also.
	"CREATE TABLE message(guid BLOB PRIMARY KEY, root BLOB NOT NULL, parent BLOB, kind INTEGER NOT NULL, flags INTEGER NOT NULL,"
	" sender TEXT NOT NULL, envid TEXT NOT NULL, source TEXT NOT NULL, received INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	" digest BLOB NOT NULL, body INTEGER NOT NULL, open INTEGER NOT NULL, last INTEGER NOT NULL, ended INTEGER NOT NULL) WITHOUT ROWID;"
	// waited is in seconds, times are in milliseconds; attempt is the index of the ATTEMPT that has it, 0 without.
	"CREATE TABLE recipient(guid BLOB NOT NULL, number INTEGER NOT NULL, state INTEGER NOT NULL, next_try INTEGER NOT NULL,"
	" tries INTEGER NOT NULL, waited INTEGER NOT NULL, warned INTEGER NOT NULL, attempt INTEGER NOT NULL, target INTEGER NOT NULL,"
	" notify INTEGER NOT NULL, destination TEXT NOT NULL, address TEXT NOT NULL, akey TEXT NOT NULL, original TEXT, orcpt TEXT,"
	" mailbox TEXT, detail TEXT, list TEXT, reply TEXT, stands_for TEXT, PRIMARY KEY(guid, number)) WITHOUT ROWID;"
	"CREATE INDEX due ON recipient(destination, next_try) WHERE state=0;"
	"CREATE TABLE body(id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
	"CREATE TABLE attempt(idx INTEGER PRIMARY KEY, destination TEXT NOT NULL, at INTEGER NOT NULL, validity INTEGER NOT NULL,"
	" open INTEGER NOT NULL);"
	// Guids of which an ENTER must not count any more; idx is that of the CANCEL, pruned with the log.
	"CREATE TABLE tombstone(guid BLOB PRIMARY KEY, idx INTEGER NOT NULL) WITHOUT ROWID;"
	// Of a message with open recipients: who is not to be tried again by a REQUEUE, mailbox id or addr_key, and the detail.
	// Rows of those that went into a mailbox are not needed, it has their delivery key.
	"CREATE TABLE ended(guid BLOB NOT NULL, who TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY(guid, who, detail)) WITHOUT ROWID;"
	// One row a counter, ARCHITECTURE 4: name and value since the queue was made.
	"CREATE TABLE ledger(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;";

static const char version_3[] =
	// Of a message with open recipients: for which addresses a copy is besides the one that its row names (struct
	// record_also).
	"CREATE TABLE also(guid BLOB NOT NULL, number INTEGER NOT NULL, akey TEXT NOT NULL, address TEXT NOT NULL, notify INTEGER NOT NULL,"
	" orcpt TEXT, PRIMARY KEY(guid, number, akey)) WITHOUT ROWID;";

// Version 1 was never released.
enum { OLDEST = 2 };

static const char *const steps[] = {version_2, version_3};

const struct db_schema ddl_queue = {
	.name = "queue.db",
	.application_id = 0x50487175,
	.version = OLDEST + sizeof steps / sizeof *steps - 1,
	.steps = steps,
	.oldest = OLDEST,
};
