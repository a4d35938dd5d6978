// SPDX-License-Identifier: Apache-2.0
// What column data of an outbox row holds: an envelope with one recipient, and a message.
//
//     FROM:<>                          as behind MAIL, RFC 5321 section 4.1.1.2; SMTPUTF8 where it is needed
//     TO:<pat@else.example>            as behind RCPT
//
//     From: …                          from behind the empty line on the message, as it goes out
//
// Each line ends with CRLF. Pure.
#ifndef POPIMAP_OUTBOX_DATA_H
#define POPIMAP_OUTBOX_DATA_H

#include "mail/smtp.h"

struct outbox_data {
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	struct str message;
};

// False when out is full.
bool outbox_data_write(const struct outbox_data *data, struct buf *out);

// False: it is damaged. Addresses are in the arena, the message borrows.
bool outbox_data_read(struct arena *arena, struct str bytes, struct outbox_data *data_out);

#endif
