// SPDX-License-Identifier: Apache-2.0
// What the two halves of change.h share: records and entries (change.c), modifications of their values (change_modify.c).
#ifndef LDAPSYNC_CHANGE_PARTS_H
#define LDAPSYNC_CHANGE_PARTS_H

#include "change.h"

enum change_op { CHANGE_ADD, CHANGE_DELETE, CHANGE_REPLACE };

struct change_modification {
	enum change_op op;
	struct str name;                // of the attribute, with its options
	struct str lang;                // of the option lang-de, for attributes that have texts in several languages; else empty
	const struct raw_value *values; // borrowed
	size_t n, line;
};

// entry is NULL when the shadow does not know it: then what makes it ours is missing in the shadow's view of it.
enum err_code change_modify_one(struct change *change, struct change_entry *entry, const struct change_modification *m,
	struct err *err) ERR_CHECKED;

// What the attributes of an RDN lose (gone) or get in a rename.
enum err_code change_rename_values(struct change *change, struct change_entry *entry, struct str rdn, bool gone, size_t line,
	struct err *err) ERR_CHECKED;

// "FILE:LINE: name: what"; returns code. The second: of what only the source would know, with the reason why it cannot be asked;
// ERR_NOTFOUND.
enum err_code change_bad(const struct change *change, size_t line, enum err_code code, const char *what, struct str name,
	struct err *err);
enum err_code change_unknown(const struct change *change, size_t line, const char *what, struct str name, struct err *err);

// One more value; copied into change->arena.
void change_copy_value(struct change *change, struct change_entry *entry, struct str name, struct str value, size_t line);

#endif
