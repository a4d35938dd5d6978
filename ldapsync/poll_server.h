// SPDX-License-Identifier: Apache-2.0
// What a directory server without RFC 4533 offers to find changes by: judged from its root DSE and the base entry. Pure.
//
//     struct poll_server server;
//     poll_server_begin(&server, uri);
//     poll_server_root(&server, &root_dse);
//     poll_server_base(&server, &base_entry, id_attribute, mark_attribute);
//     poll_server_id(&server, &entry, &uuid)             // which entry is it, whatever it is called now
//     poll_server_mark(&server, &entry, &mark)           // when was it changed
//     poll_server_since(&server, mark, &filter)          // "(modifyTimestamp>=20261122010203Z)"
//
// Identity: nsUniqueId (389-ds, Sun, Oracle DSEE; syncrepl of 389-ds has the same), entryUUID (RFC 4530: OpenLDAP, OpenDJ),
// objectGUID (Active Directory, Samba), ibm-entryUUID, orclGUID, GUID; else the DN, and then a renamed entry is one that went and
// another that came. Change: uSNChanged where the server counts (root DSE: highestCommittedUSN), entryCSN, modifyTimestamp,
// whenChanged; else nothing, and everything is read each time.
#ifndef LDAPSYNC_POLL_SERVER_H
#define LDAPSYNC_POLL_SERVER_H

#include "csn.h"
#include "raw_entry.h"

enum { POLL_NAME_BYTES = 64, POLL_DN_BYTES = 1024 }; // of an attribute, of a DN, with the NUL

enum poll_ids {
	POLL_IDS_DN,
	POLL_IDS_HEX,  // 128 bits in hexadecimal, with hyphens wherever
	POLL_IDS_GUID, // 16 octets, the first eight of them in Microsoft's order
	POLL_IDS_TEXT, // of any form: an id is derived from it
};

enum poll_marks {
	POLL_MARKS_NONE,
	POLL_MARKS_TIME, // GeneralizedTime; a mark is milliseconds since 1970
	POLL_MARKS_CSN,  // OpenLDAP's change number; the same
	POLL_MARKS_USN,  // a number that the server counts up
};

struct poll_server {
	// of the server, what it was restored from, and id and mark: values of others mean nothing beside its own
	struct guid identity;
	struct guid directory; // of the base entry: replicas of one directory have it in common
	struct guid invocation; // of a domain controller, as it is on the wire; zero: not shown
	bool tells_setback;   // a server that was set back to an older state is another then, or shows it
	bool has_controls;    // supportedControl is shown
	bool offers_sync, offers_pages, offers_domain_scope;
	bool counts;          // highestCommittedUSN is shown
	int64_t usn;
	char service[POLL_DN_BYTES]; // DN of the entry of a domain controller; "": it names none
	char naming_context[POLL_DN_BYTES]; // of a domain controller, the top of its domain
	enum poll_ids ids;
	enum poll_marks marks;
	char id_name[POLL_NAME_BYTES], mark_name[POLL_NAME_BYTES]; // "" for POLL_IDS_DN, POLL_MARKS_NONE
};

// By which its changes are counted, for csn.h: "invocation#number". False where none is shown.
bool poll_server_usn(const struct poll_server *server, int64_t usn, struct csns *csns);

// What to ask the root DSE and the base for; NULL ends them.
extern const char *const poll_server_root_attributes[];
extern const char *const poll_server_service_attributes[]; // of the entry that the root DSE names as its service

void poll_server_begin(struct poll_server *server, struct str uri);
void poll_server_root(struct poll_server *server, const struct raw_entry *root);
void poll_server_service(struct poll_server *server, const struct raw_entry *service);

// The attributes to ask the base for, into names (borrowed; NULL ends them): all that may serve, or what the administrator names.
enum { POLL_BASE_ATTRIBUTES_MAX = 16 };
void poll_server_base_attributes(const char *id_attribute, const char *mark_attribute,
	const char *names[POLL_BASE_ATTRIBUTES_MAX]);

// Chooses, and makes identity whole. What is named ("" is not) is taken whether the base has it or not.
void poll_server_base(struct poll_server *server, const struct raw_entry *base, struct str id_attribute,
	struct str mark_attribute);

// True when the entry's own id was found; else, and for POLL_IDS_DN, *uuid_out is derived from the DN.
bool poll_server_id(const struct poll_server *server, const struct raw_entry *entry, struct guid *uuid_out);

// Appends a filter that finds the entry with this id, "(entryUUID=…)". False where the id does not say what the server has:
// POLL_IDS_DN, POLL_IDS_TEXT.
bool poll_server_id_filter(const struct poll_server *server, const struct guid *uuid, struct buf *filter);
bool poll_server_mark(const struct poll_server *server, const struct raw_entry *entry, int64_t *mark_out);

// Appends a filter for entries whose mark is this or later; a negative one is 0.
void poll_server_since(const struct poll_server *server, int64_t mark, struct buf *filter);

// What is compared of an entry to see that it is as it was: its DN and mark; for poll_table.h.
uint64_t poll_server_digest(const struct poll_server *server, const struct raw_entry *entry);

#endif
