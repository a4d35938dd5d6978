// SPDX-License-Identifier: Apache-2.0
// From a recipient that is a list to the message that the list sends: on the fiber of an agent of RECORD_EXPAND_DESTINATION.
#ifndef MTA_EXPAND_H
#define MTA_EXPAND_H

#include "dispatch.h"

enum { EXPAND_PART_MAX = 2000 }; // members of one record: what one transaction adds to the rows

// Expands recipients of one message, a list of the agent's items, which it takes: each becomes an EXPAND record, or, when the
// directory cannot say now or knows nobody, a RESULT like that of a delivery. May wait.
void expand_message(struct dispatch_agent *slot, struct item *list);

#endif
