// SPDX-License-Identifier: Apache-2.0
// What an account is granted: quota and limits of its entry, else of its class of service (phClassOfService names a
// phClassOfServiceEntry).
//
//     struct service_grant grant;
//     switch (service_number(directory, entry, ATTR_PH_QUOTA_BYTES, arena, &grant)) {
//     case SERVICE_SET:         ... grant.value, or SERVICE_UNLIMITED ...
//     case SERVICE_UNSET:       ... neither says anything: the setting, or no limit ...
//     case SERVICE_MISSING:     ... the class that would say it does not exist: the setting ...
//     case SERVICE_UNAVAILABLE: ... cannot know now: no refusal for good may rest on it ...
//     }
//
// What a number means, whichever of these attributes it is, of an entry or of its class:
//
//     -1   no limit, also where the class or the settings have one
//     0    nothing: phQuotaBytes, phQuotaMessages: nothing is put into the mailbox (452 4.2.2); phMaxMessageBytes: of a
//          recipient or a list, none takes mail (552 5.2.3); phMaxMessageBytes, phMaxRecipients, phSubmitRate: who has logged in
//          may not send (550 5.7.1)
//     n    so many
//     none the class of service, then the settings (quota_bytes, quota_messages, submission_recipients_hour_max;
//          message_size_max and recipients_max hold in any case)
//
// A class that is named and that nobody has, a slip of the pen or a class that was deleted. The class "default" stands in, where
// there is one, as in Zimbra; an entry that names "default" itself, which nobody has, is in none. Otherwise what the class would
// limit or grant is not known, and a typo must neither open what was closed nor lose mail: mail comes in, under the limits of the
// settings; nobody logs in to services that only a class could grant, for now (454, UNAVAILABLE), and who has logged in sends
// nothing (451). What the entry says itself counts as ever. `posthouse why`, `posthouse directory status` and the log name the
// class.
//
// Pure; results live in the arena.
#ifndef ROUTER_SERVICE_H
#define ROUTER_SERVICE_H

#include "base/arena.h"
#include "ldapsync/directory.h"

#define SERVICE_UNLIMITED (-1)

enum service_answer { SERVICE_SET, SERVICE_UNSET, SERVICE_MISSING, SERVICE_UNAVAILABLE };

struct service_grant {
	int64_t value;     // SERVICE_UNLIMITED: none
	struct str entry;  // DN of the entry that says so: the account's, or its class's
	const char *attribute;
};

// attr: phQuotaBytes, phQuotaMessages, phMaxMessageBytes, phMaxRecipients, phSubmitRate (all integers, -1: unlimited).
enum service_answer service_number(struct directory *directory, const struct entry *entry, enum attr attr, struct arena *arena,
	struct service_grant *grant_out);

// What a log-in may send, of its entry and class. A limit that is not set is SERVICE_UNLIMITED.
struct service_submission {
	int64_t message_bytes_max; // phMaxMessageBytes
	int64_t recipients_max;    // phMaxRecipients: of one message
	int64_t hour_max;          // phSubmitRate: recipients an hour, else hour_default
};

enum service_sending {
	SERVICE_MAY_SEND,
	// one of its limits is 0, or its status or phExpires forbids it since it has logged in; from a complete and fresh shadow
	SERVICE_MAY_NOT_SEND,
	SERVICE_CANNOT_KNOW,  // not now, or the account is gone
};

// account: as credentials_lookup() named it. submission_out is set when it may send.
enum service_sending service_submission(struct directory *directory, struct str account, int64_t hour_default,
	struct arena *arena, struct service_submission *submission_out);

struct service_class {
	const struct entry *entry; // SET: the class that counts
	// the name that phClassOfService has and nobody else: SET, where "default" stands in, and MISSING
	struct str missing;
};

// The class of service that the entry names. UNSET: it names none. Who may log in to which service by it says
// ldapsync/credentials.h.
enum service_answer service_class(struct directory *directory, const struct entry *entry, struct arena *arena,
	struct service_class *class_out);

#endif
