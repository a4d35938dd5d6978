// SPDX-License-Identifier: Apache-2.0
// Tables in files that stand beside the directory's: routes (routes_file) and access (access_file).
//
//     struct rules *rules = rules_new();
//     bool good = rules_add(rules, RULES_ROUTES, STR("/etc/mail/mailertable"), text, complain, context);
//     ... recipient_query.rules = rules ...
//     rules_drop(&rules);
//
// File and directory are one table: for each key the file is asked first, so its row counts where both have one, and a more
// special key counts before a less special one, wherever it stands.
//
// Filled by one thread, then read by any; a snapshot is replaced as a whole, and who works with it holds a reference. Pure: who
// has the text read the file. Memory: some 100 bytes a row.
#ifndef ROUTER_RULES_H
#define ROUTER_RULES_H

#include "base/arena.h"
#include "ldapsync/directory.h"

enum rules_kind {
	RULES_ROUTES, // mail/route_rule.h
	RULES_ACCESS, // mail/access_rule.h
};

enum { RULES_FILE_BYTES_MAX = 64 << 20 };

struct rules;

struct rules *rules_new(void);
struct rules *rules_ref(struct rules *rules);
void rules_drop(struct rules **rules); // NULL is fine

// A row that is wrong. key is as it stands there.
typedef void rules_complain_fn(void *context, struct str file, size_t line, struct str key, const char *what);

// Reads the rows of a file, called name in reasons. Once for each kind. False when some are wrong: each is complained of, and the
// table is damaged.
bool rules_add(struct rules *rules, enum rules_kind kind, struct str name, struct str text, rules_complain_fn *complain,
	void *context);

// A file that cannot be used. What it would say is not guessed: whoever asks the table hears RULES_UNAVAILABLE, whatever the key,
// so that mail waits that the file may have a row for.
void rules_damage(struct rules *rules, enum rules_kind kind, struct str name);
bool rules_is_damaged(const struct rules *rules, enum rules_kind kind); // rules may be NULL
struct str rules_name(const struct rules *rules, enum rules_kind kind); // of the file

// Calls each for every row of the file whose key (as stored, such as "certname:") begins with prefix. key is as it stands there.
// RULES_IDLE: rows of sendmail's that say nothing here (ACCESS_RULE_TAG_IDLE).
#define RULES_IDLE "idle:"
typedef void rules_each_fn(void *context, struct str file, size_t line, struct str key);
void rules_each(const struct rules *rules, enum rules_kind kind, struct str prefix, rules_each_fn *each, void *context);

// A row of either table; where it stands, for reasons: a DN and an attribute, or FILE:LINE and "".
struct rules_row {
	struct str entry;
	const char *attribute;
	struct str value;
	const struct entry *of_directory; // NULL: the file's
};

enum rules_answer {
	RULES_FOUND,
	RULES_NONE,
	RULES_TWICE,       // two entries have the key; row_out->entry is one of them
	RULES_UNAVAILABLE, // the directory cannot say now, or the file is damaged
};

// attr is what a row of the directory says it in. rules may be NULL: no files. Results live in the arena or with rules.
enum rules_answer rules_find(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct str key,
	enum attr attr, struct arena *arena, struct rules_row *row_out);

// The first key of either table that is not below `from` (directory_next_key()); {NULL, 0}: none.
struct str rules_next_key(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct str from,
	struct arena *arena);

// Does any key begin so? Of a damaged table: yes.
bool rules_have(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct str prefix,
	struct arena *arena);

#endif
