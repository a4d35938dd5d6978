// SPDX-License-Identifier: Apache-2.0
// What the files of the importer share: entries before they are written, and where we are in which file.
#ifndef CTL_IMPORT_PRIVATE_H
#define CTL_IMPORT_PRIVATE_H

#include "import.h"
#include "mail/addr.h"

enum { IMPORT_DN_BYTES_MAX = 8192 };

struct import_place {
	struct str file;
	size_t line;
	struct str key; // as it stands there
};

struct import_value {
	struct import_value *next;
	const char *attr;
	struct str text;
	struct str key;   // members: addr.key
	struct import_place place;
	bool dropped;
};

enum import_type { IMPORT_TYPE_ALIAS, IMPORT_TYPE_LIST, IMPORT_TYPE_DOMAIN, IMPORT_TYPE_ROUTE, IMPORT_TYPE_ACCESS };

struct import_entry {
	enum import_type type;
	struct str name;            // of its DN
	struct str keys[2];         // what no other entry may have
	size_t keys_n, number;      // number: its place among all
	struct import_place place;
	struct import_value *values, **end;
	size_t members;
	bool dropped;
	enum { IMPORT_NEW, IMPORT_OPEN, IMPORT_SEEN } state; // of the search for loops
	struct import_entry *from;
	struct import_value *at;
};

// Rows of access that say nothing here, by their tag.
struct import_skipped {
	struct import_skipped *next;
	struct str tag;
	const char *why;
	struct import_place place; // of the first
	size_t n;
};

struct import {
	enum import_kind kind;
	const struct import_options *options;
	const struct import_io *io;
	struct arena *arena;   // owned; entries
	struct arena *scratch; // owned; of a row or a member
	struct import_entry **entries; // owned
	size_t n, room, items, bytes;
	struct import_place place;
	bool whole;
	struct import_skipped *skipped;
	struct str *domains; // owned; of a virtual table, those that its addresses are in; sorted
	size_t domains_n;
};

// Has the virtual table addresses in this domain?
bool import_has_domain(const struct import *im, struct str key);

// UTF-8 without control characters but tabs: what may be shown and written.
bool import_is_plain(struct str text);

// Says so about the row that is being read.
void import_leave_out(struct import *im, const char *what);
void import_note(struct import *im, const char *what);

// The row that is being read says nothing here, as others with its tag: import_finish says so once.
void import_skip(struct import *im, struct str tag, const char *why);

// An entry for the row that is being read; one key, the DN's name. Strings are copied.
struct import_entry *import_add(struct import *im, enum import_type type, struct str name, struct str key);

// A value; text that an IA5 attribute cannot hold is left out. False then.
bool import_add_value(struct import *im, struct import_entry *entry, const char *attr, struct str text, struct str key);

// An address, or a name in the default domain. NULL when it is fine, with strings in scratch.
const char *import_address(struct import *im, struct str text, struct addr *addr_out);

// The addresses of a right-hand side, with includes, as members of entry.
void import_members(struct import *im, struct import_entry *entry, struct str list);

// The rows of each kind.
void import_route(struct import *im, struct str key, struct str value);
void import_access(struct import *im, struct str key, struct str value);
void import_virtual(struct import *im, struct str key, struct str value);
void import_generic(struct import *im, struct str key, struct str value);
void import_alias(struct import *im, struct str row);

// A phMailAccess that says so of one recipient, or domain.
void import_refusal(struct import *im, struct str pattern, struct str action);

// The DN that an entry gets; out is for it alone.
void import_dn(const struct import *im, const struct import_entry *entry, struct buf *out);

// Duplicates, owners, loops, lists; then the text.
void import_finish(struct import *im);
void import_write(const struct import *im, struct buf *out);

#endif
