// SPDX-License-Identifier: Apache-2.0
// Records of an LDIF file as ldapmodify reads them (RFC 2849), applied to entries as the shadow has them: what an entry would be.
// The rules are in ldapsync/directory_overlay.h, whose half this is.
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
	bool was;             // there was an entry before, whether the shadow has it or not
	struct str was_dn;
	bool has_uuid;
	struct guid uuid;
	// from the shadow, so it is native whatever the directory has; else as the directory or the change says it
	bool native;
	bool class_unknown;   // phMailRecipient may be there by name or only because another class implies it
	struct raw_value *values; // owned
	size_t n, room;
};

// An entry that the source was asked for.
struct change_given {
	struct guid dn_key;
	struct raw_value *values; // owned; none: it has no such entry
	size_t n, room;
	bool partial; // of an attribute a part is missing
	bool taken;   // a change_entry was made of it
};

struct change {
	struct directory *base;   // borrowed
	const struct directory_overlay_change *spec; // borrowed
	struct change_given *given; // owned; sorted by dn_key
	size_t n_given;
	char trouble[ERR_TEXT_BYTES]; // why the source cannot be asked; ""
	bool is_ldif;             // the shadow's source gives no entryUUID of its own
	struct arena *arena;      // of what entries hold
	struct arena *scratch;    // of one modification
	struct change_entry *entries; // owned
	size_t n, room;
};

void change_init(struct change *change, struct directory *base, const struct directory_overlay_change *spec);
void change_fini(struct change *change);

// Asks the source for the entries that the records of text need, if there is one: once, before any is applied. That it cannot be
// asked is no failure, until a record needs it.
void change_ask(struct change *change, struct str text);

// What it said; NULL: it was not asked for this entry.
struct change_given *change_given(struct change *change, struct str dn);

// Applies one record. ERR_NOTFOUND when the shadow cannot say what it would do; ERR_BUSY when it cannot be read.
enum err_code change_apply(struct change *change, const struct raw_entry *record, struct err *err) ERR_CHECKED;

#endif
