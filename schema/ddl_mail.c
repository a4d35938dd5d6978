// SPDX-License-Identifier: Apache-2.0
// The tables of mail.db, one mailbox.
//
// What of a message changes is in flags, 128 messages a row; what does not is in msg, whose rows are about 25 bytes; its bytes are in body,
// what FETCH wants of them in cache. modseq is the one change counter of a mailbox (owner.change_seq when it changed last), so that sessions,
// moves, backups and replicas ask for changes the same way: rows above a number, and tombstones (expunged, folder_gone) above it.
// "BLOB(16)" are guids.
#include "schema/ddl_mail.h"

static const char version_2[] =
	// Whose mailbox this is, whether this node may still write, and counters; one row. The last change_seq that was given is
	// the larger one of change_seq here and the highest modseq in folder, where it is written anyhow with almost every
	// change.
	"CREATE TABLE owner("
	" id INTEGER PRIMARY KEY CHECK(id=1),"
	" mailbox BLOB NOT NULL,"        // BLOB(16)
	" host TEXT NOT NULL,"           // the mailHost it was made for
	" epoch INTEGER NOT NULL,"       // phMoveEpoch
	" state INTEGER NOT NULL,"       // enum ddl_mail_owner_state
	" moved_to TEXT,"
	" made_ms INTEGER NOT NULL,"
	" change_seq INTEGER NOT NULL,"
	" uidvalidity INTEGER NOT NULL);" // the last that was given
	// An id is never used again. name: NFC, levels divided by '/'. use: enum folder_use. recent_uid: uids below it were
	// \Recent to somebody. flags_modseq: the last change of flags of a message that was there: who has seen that finds all news from the
	// uidnext it has seen on.
	"CREATE TABLE folder("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" name TEXT NOT NULL UNIQUE,"
	" guid BLOB NOT NULL,"
	" uidvalidity INTEGER NOT NULL,"
	" uidnext INTEGER NOT NULL,"
	" modseq INTEGER NOT NULL,"
	" flags_modseq INTEGER NOT NULL,"
	" use INTEGER NOT NULL,"
	" selectable INTEGER NOT NULL,"
	" made_ms INTEGER NOT NULL,"
	" recent_uid INTEGER NOT NULL,"
	" messages INTEGER NOT NULL, unseen INTEGER NOT NULL, deleted INTEGER NOT NULL, bytes INTEGER NOT NULL);"
	"CREATE TABLE folder_gone("
	" modseq INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL, guid BLOB NOT NULL,"
	" PRIMARY KEY(modseq, id)) WITHOUT ROWID;"
	// The bits of a message's flags above the system flags; a bit is never given to another name.
	"CREATE TABLE keyword("
	" folder INTEGER NOT NULL, bit INTEGER NOT NULL, name TEXT NOT NULL, modseq INTEGER NOT NULL,"
	" PRIMARY KEY(folder, bit)) WITHOUT ROWID;"
	// bytes: RFC822.SIZE. received: INTERNALDATE.
	"CREATE TABLE msg("
	" folder INTEGER NOT NULL, uid INTEGER NOT NULL, body INTEGER NOT NULL, bytes INTEGER NOT NULL, received_s INTEGER NOT NULL,"
	" zone_min INTEGER NOT NULL, saved_ms INTEGER NOT NULL, PRIMARY KEY(folder, uid)) WITHOUT ROWID;"
	// id: folder << 32 | first uid, a multiple of 128. data: a byte uid - first, then modseq and flags as varints, for each row of msg among
	// these 128 uids, ascending. flags: bits 0-4 \Seen \Answered \Flagged \Deleted \Draft, 5 no final line end, 8-62 keywords. modseq:
	// not below the highest in data.
	"CREATE TABLE flags(id INTEGER PRIMARY KEY, modseq INTEGER NOT NULL, data BLOB NOT NULL);"
	// The bytes of a message: prefix (lines of this recipient) and then data; data NULL: the file big/<guid>. guid is the
	// EMAILID. refs: rows of msg and trash. bytes: of data alone. Last column, so that the others are read without it.
	"CREATE TABLE body("
	" id INTEGER PRIMARY KEY, guid BLOB NOT NULL, refs INTEGER NOT NULL, bytes INTEGER NOT NULL, thread INTEGER NOT NULL,"
	" prefix BLOB NOT NULL, data BLOB);"
	"CREATE INDEX body_big ON body(guid) WHERE data IS NULL;" // which files have a row
	// mail/cache.h, of prefix and data together.
	"CREATE TABLE cache(body INTEGER PRIMARY KEY, data BLOB NOT NULL);"
	// hash: of a message id, the first 63 bits of its guid_derive(). A message whose references nobody knows is in the thread
	// that has the hash of the first one as its number, its own when it has none; rows are only for what does not follow from
	// that.
	"CREATE TABLE thread(hash INTEGER PRIMARY KEY, thread INTEGER NOT NULL);"
	"CREATE TABLE expunged("
	" modseq INTEGER NOT NULL, folder INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" PRIMARY KEY(modseq, folder, uid)) WITHOUT ROWID;"
	// Expunged rows of msg until their bytes go; modseq is still the message's own.
	"CREATE TABLE trash("
	" folder INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL, flags INTEGER NOT NULL, body INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, received_s INTEGER NOT NULL, zone_min INTEGER NOT NULL, saved_ms INTEGER NOT NULL, gone_ms INTEGER NOT NULL,"
	" PRIMARY KEY(folder, uid)) WITHOUT ROWID;"
	// A removed subscription stays as subscribed=0: its own tombstone.
	"CREATE TABLE subscription("
	" name TEXT PRIMARY KEY, subscribed INTEGER NOT NULL, modseq INTEGER NOT NULL) WITHOUT ROWID;"
	// Delivery keys, FORMATS.md section 7.
	"CREATE TABLE delivered("
	" root BLOB NOT NULL, detail TEXT NOT NULL, list TEXT NOT NULL, time_ms INTEGER NOT NULL, folder INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" modseq INTEGER NOT NULL, PRIMARY KEY(root, detail, list)) WITHOUT ROWID;"
	// What a delivery sends (vacation, Sieve), in the commit of the delivery, until a queue has it.
	"CREATE TABLE outbox("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, modseq INTEGER NOT NULL, made_ms INTEGER NOT NULL, guid BLOB NOT NULL, kind TEXT NOT NULL,"
	" data BLOB NOT NULL);";

// Version 1 had flags and MODSEQ in msg, with an index, and came in several forms; no release ever wrote it.
enum { OLDEST = 2 };
static const char *const steps[] = {version_2};

const struct db_schema ddl_mail = {
	.name = "mail.db", .application_id = 0x50486d61, .version = OLDEST + sizeof steps / sizeof *steps - 1, .steps = steps, .oldest = OLDEST};
