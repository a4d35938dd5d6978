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
// "INTEGER NOT NULL" 1,000. So what is small and belongs to a row is in it (keywords of a folder); a message has one number,
// folder << 32 | uid, for a key; and columns have no types: only the store writes here, and binds whole numbers, texts (names,
// detail, list, kind, key, host, moved_to, keywords) and blobs (guids of 16 bytes: mailbox, guid, root; prefix, data). None is
// NULL but where it says so.
#include "schema/ddl_mail.h"

static const char version_3[] =
	// Whose mailbox this is, whether this node may still write, and counters; one row. The last change_seq that was given is
	// the larger one of change_seq here and the highest modseq in folder, where it is written anyhow with almost every
	// change. host: the mailHost it was made for. epoch: phMoveEpoch. state: enum ddl_mail_owner_state. moved_to: NULL until
	// then. uidvalidity, folder: the last that were given, folder for an id.
	"CREATE TABLE owner(id INTEGER PRIMARY KEY,mailbox,host,epoch,state,moved_to,made_ms,change_seq,uidvalidity,folder);"
	// An id is never used again (owner.folder). name: NFC, levels divided by '/'. use: enum folder_use. recent_uid: uids
	// below it were \Recent to somebody. flags_modseq: the last change of flags of a message that was there: who has seen
	// that finds all news from the uidnext it has seen on. keywords: the bits of a message's flags above the system flags, in
	// their order, each name ended by a space; a bit is never given to another name.
	"CREATE TABLE folder(id INTEGER PRIMARY KEY,name "
	"UNIQUE,guid,uidvalidity,uidnext,modseq,flags_modseq,use,selectable,made_ms,recent_uid,"
	"messages,unseen,deleted,bytes,keywords);"
	// id: folder << 32 | uid. bytes: RFC822.SIZE. received: INTERNALDATE.
	"CREATE TABLE msg(id INTEGER PRIMARY KEY,body,bytes,received_s,zone_min,saved_ms);"
	// id: folder << 32 | first uid, a multiple of 128. data: a byte uid - first, then modseq and flags as varints, for each
	// row of msg among these 128 uids, ascending. flags: bits 0-4 \Seen \Answered \Flagged \Deleted \Draft, 5 no final line
	// end, 8-62 keywords. modseq: not below the highest in data.
	"CREATE TABLE flags(id INTEGER PRIMARY KEY,modseq,data);"
	// The bytes of a message: prefix (lines of this recipient) and then data; data NULL: the file big/<guid>. guid is the
	// EMAILID. refs: rows of msg and trash. bytes: of data alone. Last column, so that the others are read without it.
	"CREATE TABLE body(id INTEGER PRIMARY KEY,guid,refs,bytes,thread,prefix,data);"
	"CREATE INDEX body_big ON body(guid)WHERE data IS NULL;" // which files have a row
	// mail/cache.h, of prefix and data together.
	"CREATE TABLE cache(body INTEGER PRIMARY KEY,data);"
	// hash: of a message id, the first 63 bits of its guid_derive(). A message whose references nobody knows is in the thread
	// that has the hash of the first one as its number, its own when it has none; rows are only for what does not follow from
	// that.
	"CREATE TABLE thread(hash INTEGER PRIMARY KEY,thread);"
	// Tombstones of messages; uid 0: of the folder.
	"CREATE TABLE expunged(modseq,folder,uid,PRIMARY KEY(modseq,folder,uid))WITHOUT ROWID;"
	// Expunged rows of msg until their bytes go; modseq is still the message's own.
	"CREATE TABLE trash(id INTEGER PRIMARY KEY,body,bytes,received_s,zone_min,saved_ms,flags,modseq,gone_ms);"
	// A removed subscription stays as subscribed=0: its own tombstone.
	"CREATE TABLE subscription(name PRIMARY KEY,subscribed,modseq)WITHOUT ROWID;"
	// Delivery keys, FORMATS.md section 7. msg: its id.
	"CREATE TABLE delivered(root,detail,list,time_ms,msg,modseq,PRIMARY KEY(root,detail,list))WITHOUT ROWID;"
	// What a delivery sends (vacation, Sieve), in the commit of the delivery, and the memory that it was sent. kind: what
	// sends. key: to whom, as that kind tells them apart. guid: of the message. data: envelope and message
	// (popimap/outbox_data.h), NULL once a queue has taken it; the row stays until until_ms, so that the same correspondent
	// is not answered again so soon.
	"CREATE TABLE outbox(kind TEXT,key TEXT,made_ms,until_ms,guid,modseq,data BLOB,PRIMARY KEY(kind,key))WITHOUT ROWID;";

// Versions 1 and 2 had more tables, and flags and MODSEQ in msg (1, in several forms); no release ever wrote them.
enum { OLDEST = 3 };
static const char *const steps[] = {version_3};

const struct db_schema ddl_mail = {.name = "mail.db",
	.application_id = 0x50486d61,
	.version = OLDEST + sizeof steps / sizeof *steps - 1,
	.steps = steps,
	.oldest = OLDEST};
