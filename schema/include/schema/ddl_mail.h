// SPDX-License-Identifier: Apache-2.0
// The tables of mail.db (one mailbox) and node.db (the list of a node's mailboxes); FORMATS.md section 6 says what they mean.
#ifndef SCHEMA_DDL_MAIL_H
#define SCHEMA_DDL_MAIL_H

#include "base/db.h"

extern const struct db_schema ddl_mail;
extern const struct db_schema ddl_node;

enum ddl_mail_owner_state {
	DDL_MAIL_ACTIVE = 0,
	DDL_MAIL_MOVED = 1, // every write is refused; moved_to names the host
};

#endif
