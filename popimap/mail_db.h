// SPDX-License-Identifier: Apache-2.0
// Opening and closing the database of a mailbox, and what every change of one needs: the owner row, \Recent, change_seq. Private
// to the store.
//
// All functions run on a store thread that has the strand (or on the thread that closes the store).
#ifndef POPIMAP_MAIL_DB_H
#define POPIMAP_MAIL_DB_H

#include "mail_sql.h"
#include "schema/ddl_mail.h"
#include "strand.h"

// Where a mailbox is below the store's directory: ab/<id>/, by the first byte of its id.
enum { MAIL_LEVEL_DIGITS = 2 };
struct mail_place {
	struct str level, id; // borrowed from text
	unsigned level_number;
	char text[GUID_TEXT_BYTES];
};
void mail_db_place(const struct guid *id, struct mail_place *place_out); // stays where it is: it borrows from itself

// Opens strand->db. A mailbox that is not there is ERR_NOTFOUND; with make its files are made, and it is strand->ownerless until
// a transaction has called mail_make_owner().
enum err_code mail_db_open(struct strand *strand, bool make, struct err *err) ERR_CHECKED;

// Writes what is only in memory, and a long WAL back; has node.db told, closes. Failures are logged: the WAL has all that
// matters.
void mail_db_close(struct strand *strand);

// Closes without a word.
void mail_db_abandon(struct strand *strand);

// The row that says whose mailbox this is.
struct mail_owner {
	struct guid mailbox;
	enum ddl_mail_owner_state state;
	uint64_t epoch; // phMoveEpoch
	int64_t made_ms;
	uint64_t change_seq;
	uint32_t uidvalidity, folder; // the last that were given, folder for an id
	struct str host, moved_to;    // the mailHost it was made for; empty until it is moved
};
enum { MAIL_OWNER_BYTES_MAX = 4 << 10 };
void mail_db_put_owner(struct buf *value, const struct mail_owner *owner);

// The owner row and \Recent, before a commit.
enum err_code mail_db_flush(struct strand *strand, struct err *err) ERR_CHECKED;

// The mailbox's directory, and big/ in it (made when missing); file_close() them.
enum err_code mail_db_dir(struct strand *strand, int *fd_out, struct err *err) ERR_CHECKED;
enum err_code mail_db_big_dir(struct strand *strand, bool make, int *fd_out, struct err *err) ERR_CHECKED;

// \Recent: uids from here on were given to nobody; and giving those below uid away.
uint32_t mail_db_recent(const struct strand *strand, uint32_t folder, uint32_t recent_uid);
void mail_db_take_recent(struct strand *strand, uint32_t folder, uint32_t uid);

// node.db.
enum err_code node_db_open(struct strand *strand, struct err *err) ERR_CHECKED;
void node_db_close(struct strand *strand);

// Submits what closed mailboxes have to tell and nobody waited for, so that who asks next knows it. Any thread.
void node_db_tell(struct store *store);

// Calls each(arg, id) for every directory of a mailbox, to make node.db anew.
enum err_code node_db_walk(struct store *store, void (*each)(void *arg, const struct guid *id), void *arg,
	struct err *err) ERR_CHECKED;

#endif
