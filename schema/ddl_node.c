// SPDX-License-Identifier: Apache-2.0
// The tables of node.db, the list of a node's mailboxes. All of it can be made anew from the mailboxes.
#include "schema/ddl_mail.h"

static const char version_1[] =
	// The path follows from the id. format, wal_bytes, bytes, messages, change_seq: as of changed_ms, the last close of the
	// database; indexed: how far fts.db has come, as a change_seq.
	"CREATE TABLE mailbox("
	" id BLOB PRIMARY KEY, made_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, format INTEGER NOT NULL, wal_bytes INTEGER "
	"NOT NULL, bytes INTEGER NOT NULL, messages INTEGER NOT NULL, change_seq INTEGER NOT NULL, indexed INTEGER NOT NULL,"
	" tidied_ms INTEGER NOT NULL) WITHOUT ROWID;"
	// Who was given rights in whose mailbox: the reverse of what the mailboxes hold.
	"CREATE TABLE acl("
	" actor BLOB NOT NULL, mailbox BLOB NOT NULL, PRIMARY KEY(actor, mailbox)) WITHOUT ROWID;";

static const char version_2[] =
	// Mailboxes whose outbox may hold something that is not sent yet: all that do, and some that do not.
	"CREATE TABLE outbox(mailbox BLOB PRIMARY KEY) WITHOUT ROWID;";

static const char *const steps[] = {version_1, version_2};

const struct db_schema ddl_node = {
	.name = "node.db", .application_id = 0x50486e6f, .version = sizeof steps / sizeof *steps, .steps = steps};
