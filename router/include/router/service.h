// SPDX-License-Identifier: Apache-2.0
// What an account is granted: quota and limits of its entry, else of its class of service (phClassOfService names a phClassOfServiceEntry).
//
//     struct service_grant grant;
//     switch (service_number(directory, entry, ATTR_PH_QUOTA_BYTES, arena, &grant)) {
//     case SERVICE_SET:         ... grant.value, or SERVICE_UNLIMITED ...
//     case SERVICE_UNSET:       ... neither says anything: the setting, or no limit ...
//     case SERVICE_UNAVAILABLE: ... cannot know now: no refusal for good may rest on it ...
//     }
//
// A class that is named and does not exist grants nothing: SERVICE_UNSET, like no class. Pure; results live in the arena.
#ifndef ROUTER_SERVICE_H
#define ROUTER_SERVICE_H

#include "base/arena.h"
#include "ldapsync/directory.h"

#define SERVICE_UNLIMITED (-1)

enum service_answer { SERVICE_SET, SERVICE_UNSET, SERVICE_UNAVAILABLE };

struct service_grant {
	int64_t value;     // SERVICE_UNLIMITED: none
	struct str entry;  // DN of the entry that says so: the account's, or its class's
	const char *attribute;
};

// attr: phQuotaBytes, phQuotaMessages, phMaxMessageBytes, phMaxRecipients, phSubmitRate (all integers, -1: unlimited).
enum service_answer service_number(struct directory *directory, const struct entry *entry, enum attr attr, struct arena *arena,
	struct service_grant *grant_out);

// What a log-in may send, of its entry and class. A limit that is not set is SERVICE_UNLIMITED; an explicit 0 lets nothing through.
struct service_submission {
	int64_t message_bytes_max; // phMaxMessageBytes
	int64_t recipients_max;    // phMaxRecipients: of one message
	int64_t hour_max;          // phSubmitRate: recipients an hour, else hour_default
};

// account: as credentials_lookup() named it. False: cannot know now, or the account is gone.
bool service_submission(struct directory *directory, struct str account, int64_t hour_default, struct arena *arena,
	struct service_submission *submission_out);

// The class of service that the entry names. UNSET: it names none, or one that nobody has. Who may log in to which service by it says
// ldapsync/credentials.h.
enum service_answer service_class(struct directory *directory, const struct entry *entry, struct arena *arena, const struct entry **class_out);

#endif
