// SPDX-License-Identifier: Apache-2.0
// Tables of sendmail and Postfix as entries of the native schema.
//
//     const struct import_options options = {.base = STR("dc=uni,dc=example"), .domain = STR("uni.example")};
//     const struct import_io io = {.read = read_file, .say = print_complaint, .context = ctl};
//     bool whole = import_file(IMPORT_ALIASES, &options, STR("/etc/aliases"), text, &io, &ldif);
//
// What becomes of what:
//     mailertable, transport    phMailRoute; keys and targets as mail/route_rule.h has them. In transport, what follows local:
//                               is no user, virtual: is local:, and ports may be named
//     access                    phMailAccess; of Postfix's actions also DUNNO (SKIP), PERMIT (OK), REJECT and DEFER with a text,
//                               HOLD (QUARANTINE:), DEFER_IF_PERMIT (for now); WARN and INFO are SKIP. The tag option says what
//                               keys without a tag are about (Postfix has one table for each); digits that are no reply code are
//                               OK then
//     virtusertable, virtual    phMailAlias. "@dom %1@other" (Postfix: "@dom @other") is phCatchAll of a phMailDomain, and keeps
//                               a detail; error: is phMailAccess To:, or for a whole domain its phUnknownUser, reject or
//                               tempfail. %1, %2, %3 of other rows are filled in. A row that leads to itself alone (so that a
//                               catch-all does not take it) needs no entry: mailboxes come before catch-alls. "dom anything" of
//                               Postfix is a phMailDomain, where the table has addresses in dom or a manual has the word
//     genericstable             phMailAlias, from the outer address to the inner one, so that answers arrive. Headers are not
//                               rewritten: what senders show is the mail attribute of their entries
//     aliases                   phMailAlias; with an owner-NAME, or with more than 100 members, phMailGroup and phMailList,
//                               which the queue expands; phListErrorsTo is owner-NAME
//
// Left out and complained of, each with its line and what can be done instead: what has no counterpart (commands, files, patterns
// of details, names of clients), what is wrong, what is there twice, what leads back to itself, and a user that gets a copy of
// his own mail by an alias (two entries must not have one address: phForwardKeepCopy of his entry does it); and what would give
// an address, domain or key that the directory has already a second owner, for then nobody's mail is delivered. Nothing is
// guessed.
//
// The same bytes give the same LDIF, rows in their order. DNs are escaped (RFC 4514), values base64 where RFC 2849 wants it; no
// "version:" line, so that the text may stand behind other LDIF. Files, clock and directory are not touched: includes come by
// io->read. Blocks only there.
#ifndef CTL_IMPORT_H
#define CTL_IMPORT_H

#include "base/arena.h"
#include "base/buf.h"

enum {
	IMPORT_BYTES_MAX = 64 << 20, // of a file with all that it includes
	IMPORT_ITEMS_MAX = 2000000,  // rows and members
	IMPORT_INCLUDES_MAX = 8,     // deep
	IMPORT_LIST_MEMBERS = 100,   // more than so many: a list
};

// id, name
#define IMPORT_KINDS(X)                                   \
	X(IMPORT_MAILERTABLE, "mailertable")              \
	X(IMPORT_TRANSPORT, "transport")                  \
	X(IMPORT_ACCESS, "access")                        \
	X(IMPORT_VIRTUSERTABLE, "virtusertable")          \
	X(IMPORT_VIRTUAL, "virtual")                      \
	X(IMPORT_GENERICSTABLE, "genericstable")          \
	X(IMPORT_ALIASES, "aliases")

enum import_kind {
#define IMPORT_ENUM(id, name) id,
	IMPORT_KINDS(IMPORT_ENUM)
#undef IMPORT_ENUM
};

// Also "virtual_alias_maps" and "generic", as Postfix calls them. False: no such kind.
bool import_kind_parse(struct str name, enum import_kind *kind_out);
const char *import_kind_name(enum import_kind kind);

struct import_options {
	struct str base;   // the entries stand below ou=import-KIND below this DN, and that unit is written too
	bool below_base;   // the entries stand right below base, which is there already
	struct str domain; // of names without one
	bool domains;      // write a phMailDomain (local) for each domain of left-hand sides but this one
	struct str tag;    // access: "Connect:", "From:", "To:" for keys without one; empty: sendmail's meaning
	struct str skip;   // access: tags that are none here, with commas between them: rows that are left out with a note
};

enum import_say {
	IMPORT_LEFT_OUT,
	IMPORT_NOTE, // is written, and somebody should know something about it
};

// What the directory has for an address, as it is without this import.
enum import_reach {
	IMPORT_REACH_SOMEBODY,
	IMPORT_REACH_NOBODY,
	IMPORT_REACH_OUTSIDE, // its domain is not ours
	IMPORT_REACH_UNKNOWN, // that cannot be known now
};

enum import_owned { IMPORT_OWNED_ADDRESS, IMPORT_OWNED_DOMAIN, IMPORT_OWNED_ROUTE, IMPORT_OWNED_ACCESS };

struct import_io {
	// The text of an included file, living in the arena. NULL, else why it cannot be read.
	const char *(*read)(void *context, struct str path, struct arena *arena, struct str *text_out);
	// Has an entry of the directory this key (ldapsync/directory.h), other than the one that this import writes, dn? NULL:
	// not known.
	bool (*owner)(void *context, enum import_owned owned, struct str key, struct str dn, struct arena *arena,
		struct str *owner_out);
	// Whom an address reaches. *hint_out may be set to what can be done, in the arena. NULL: not known.
	enum import_reach (*reach)(void *context, struct str address, struct arena *arena, struct str *hint_out);
	void (*say)(void *context, enum import_say say, struct str file, size_t line, struct str key, const char *what);
	void *context;
};

// Adds LDIF to out. True: nothing was left out. name is the file's, for messages.
bool import_file(enum import_kind kind, const struct import_options *options, struct str name, struct str text,
	const struct import_io *io, struct buf *out);

// Adds one line of LDIF (RFC 2849), in base64 where value is not safe as it is.
void import_put(struct buf *out, const char *attr, struct str value);

#endif
