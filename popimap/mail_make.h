// SPDX-License-Identifier: Apache-2.0
// Making a mailbox, in two steps: its files, and later its first rows. Private to the store; on a store thread that has the
// strand.
#ifndef POPIMAP_MAIL_MAKE_H
#define POPIMAP_MAIL_MAKE_H

#include "mail_db.h"

// What every new mail.db holds before it has an owner; kept in store->empty_mail_db.
enum err_code mail_make_image(struct store *store, struct err *err) ERR_CHECKED;

// The mailbox's directory with a database that has no owner yet; what is there already stays. On the disk when it returns ERR_OK.
enum err_code mail_make_files(struct strand *strand, struct err *err) ERR_CHECKED;

// Inside a transaction on such a database: the owner row, and what is each mailbox's own in its default folders.
enum err_code mail_make_owner(struct strand *strand, const struct store_home *home, struct err *err) ERR_CHECKED;

#endif
