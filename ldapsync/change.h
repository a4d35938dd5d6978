// SPDX-License-Identifier: Apache-2.0
// Records of an LDIF file as ldapmodify reads them (RFC 2849), applied to entries as the shadow has them: what an entry would be. The rules are
// in ldapsync/directory_overlay.h, whose half this is.
#ifndef LDAPSYNC_CHANGE_H
#define LDAPSYNC_CHANGE_H

#include "ldif.h"
#include "ldapsync/directory_overlay.h"

struct change_entry {
	struct str dn;
	struct guid dn_key;
	size_t line;          // of the last record about it
	bool alive;           // is there after the change
	bool hides;           // the shadow has an entry in whose place this one stands
	struct guid hidden;   // its uuid
	struct str hidden_dn;
	bool has_uuid;
	struct guid uuid;
	bool native;          // from the shadow, so it is native whatever the directory has; else as the change says it
	bool class_unknown;   // phMailRecipient may be there by name or only because another class implies it
	struct raw_value *values; // owned
	size_t n, room;
};

struct change {
	struct directory *base;   // borrowed
	const char *name;         // borrowed
	const struct profile *profile; // what attributes of the change mean; borrowed; NULL: native
	directory_overlay_complain_fn *complain;
	void *context;
	bool is_ldif;             // the shadow's source gives no entryUUID of its own
	struct arena *arena;      // of what entries hold
	struct arena *scratch;    // of one modification
	struct change_entry *entries; // owned
	size_t n, room;
};

void change_init(struct change *change, struct directory *base, const struct profile *profile, const char *name, directory_overlay_complain_fn *complain, void *context);
void change_fini(struct change *change);

// Applies one record. ERR_NOTFOUND when the shadow cannot say what it would do; ERR_BUSY when it cannot be read.
enum err_code change_apply(struct change *change, const struct raw_entry *record, struct err *err) ERR_CHECKED;

#endif
