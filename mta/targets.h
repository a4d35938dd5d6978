// SPDX-License-Identifier: Apache-2.0
// Between the router and the queue: what was decided at RCPT becomes what is recorded.
#ifndef MTA_TARGETS_H
#define MTA_TARGETS_H

#include "mail/smtp.h"
#include "router/recipient.h"
#include "schema/record.h"

// One target of the recipient that a client named with rcpt, as the record has it. Strings are borrowed from both, or live in the
// arena.
void target_to_record(struct arena *arena, const struct smtp_rcpt *rcpt, const struct recipient_target *target,
	struct record_recipient *record_out);

// All targets of a verdict. False when the arena's cap is reached: nothing of it may be used.
bool targets_to_records(struct arena *arena, const struct smtp_rcpt *rcpt, const struct recipient_verdict *verdict,
	struct record_recipients *records_out);

#endif
