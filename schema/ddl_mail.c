// SPDX-License-Identifier: Apache-2.0
// The tables of mail.db, one mailbox.
//
// What of a message changes is in flags, 128 messages a row; what does not is in msg, whose rows are about 20 bytes; its bytes
// are in body, what FETCH wants of them in cache. modseq is the one change counter of a mailbox (owner.change_seq when it changed
// last), so that sessions, moves, backups and replicas ask for changes the same way: rows above a number, and tombstones
// (expunged) above it.
//
// The tables are few and their texts short, because SQLite reads all of them whenever a mailbox is opened, which a delivery to
// one that is closed waits for: a table costs some 20,000 instructions, a UNIQUE or a key of several columns 8,000 of them,
// "INTEGER NOT NULL" 1,000; a statement on it as much again. So what is small is a row under a key of bytes (row), what is
// asked for by a number shares a table (block), a message has one number, folder << 32 | uid, for a key, and columns have no
// types: only the store writes here, and binds whole numbers and blobs. None is NULL but where it says so.
#include "schema/ddl_mail.h"

static const char version_4[] =
	// Whatever else a mailbox has, by kind, the first byte of the key (popimap/mail_row.h; FORMATS.md section 6): whose
	// it is, folders, names, subscriptions, threads, tombstones, the trash, delivery keys, what it sends.
	"CREATE TABLE row(k PRIMARY KEY,v)WITHOUT ROWID;"
	// id: folder << 32 | uid. bytes: RFC822.SIZE. received: INTERNALDATE.
	"CREATE TABLE msg(id INTEGER PRIMARY KEY,body,bytes,received_s,zone_min,saved_ms);"
	// Flags, id: folder << 32 | first uid, a multiple of 128. data: a byte uid - first, then modseq and flags as varints, for
	// each row of msg among these 128 uids, ascending. flags: bits 0-4 \Seen \Answered \Flagged \Deleted \Draft, 5 no final
	// line end, 8-62 keywords. modseq: not below the highest in data.
	// The cache of a body, id: 1 << 62 | body. data: mail/cache.h, of prefix and data together. modseq: 0.
	"CREATE TABLE block(id INTEGER PRIMARY KEY,modseq,data);"
	// The bytes of a message: prefix (lines of this recipient) and then data; data NULL: the file big/<guid>. guid is the
	// EMAILID. refs: rows of msg and of the trash. bytes: of data alone. Last column, so that the others are read without it.
	"CREATE TABLE body(id INTEGER PRIMARY KEY,guid,refs,bytes,thread,prefix,data);";

// Versions 1 to 3 had more tables, 1 in several forms; no release ever wrote them.
enum { OLDEST = 4 };
static const char *const steps[] = {version_4};

const struct db_schema ddl_mail = {.name = "mail.db",
	.application_id = 0x50486d61,
	.version = OLDEST + sizeof steps / sizeof *steps - 1,
	.steps = steps,
	.oldest = OLDEST};
