// SPDX-License-Identifier: Apache-2.0
// Recipients of LMTP who are away (router/vacation.h): who is answered is decided here, before the delivery, and put into the
// outbox by it (outbox.h). Where nobody is away none of this does anything.
//
//     lmtp_away_look(s, recipient, &home);                      // RCPT
//     lmtp_away_take(s, bytes);                                 // the message, as it comes
//     struct lmtp_answers *answers = lmtp_away_decide(s, deliveries);      // delivery.sends of those that are answered
//     store_deliver(...);
//     lmtp_away_end(s, &answers);                               // the log, the sender
#ifndef POPIMAP_LMTP_AWAY_H
#define POPIMAP_LMTP_AWAY_H

#include "lmtp_session.h"
#include "router/home.h"

struct lmtp_answers;

// At RCPT, for a mailbox that is here: recipient->away.
void lmtp_away_look(struct lmtp_session *s, struct lmtp_recipient *recipient, const struct home *home);

// The header is kept where it will be needed; up to so much of it is looked at.
enum { LMTP_AWAY_HEADER_BYTES_MAX = 64 << 10 };
void lmtp_away_begin(struct lmtp_session *s);
void lmtp_away_take(struct lmtp_session *s, struct str bytes);
void lmtp_away_forget(struct lmtp_session *s);

// NULL: nobody of them is away. deliveries are those of the transaction's recipients.
struct lmtp_answers *lmtp_away_decide(struct lmtp_session *s, struct delivery *deliveries);
void lmtp_away_end(struct lmtp_session *s, const struct delivery *deliveries, struct lmtp_answers **answers);

#endif
