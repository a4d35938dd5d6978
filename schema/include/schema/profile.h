// SPDX-License-Identifier: Apache-2.0
// What the attributes of a directory mean natively: a profile is a list of lines, and ldap_map adds lines of the administrator's
// in the same words. Parsed here; ldapsync/profile_map.h applies them to entries.
//
//     struct profile *profile = profile_new(settings->ldap_profile, &settings->ldap_map);
//     profile_map_entry(profile, ...);
//     profile_free(&profile);
//
// A line:
//
//     [CONDITION]… SOURCE = TARGET             values of SOURCE are values of TARGET
//     [CONDITION]… SOURCE = TARGET: a=b c=d    by a table of words, or by a function (PROFILE_FUNCTIONS)
//     [CONDITION]… TARGET := VALUE             where an entry has no TARGET after all that
//     [CONDITION]… objectClass := CLASS        makes it an entry of that native class
//
// CONDITION is [attribute] (there is a value), [attribute=value], [!attribute], [!attribute=value]; it speaks of the entry as the
// directory has it, and of native classes that lines before have given it. All of a line must hold.
//
// SOURCE and the attributes of conditions are names of the directory, in any case, never OIDs; TARGET is a native attribute
// (schema/attr.def), entryUUID (what the entry is known by), or "-": left out.
//
// Table of words: what a value is, in any case, and what comes of it; *: any other value. What comes of it may be several values,
// separated by commas; nothing; or *: the value itself. "disabled=suspended gone= *=*". A value without a word is refused with a
// complaint. Of phService, -imap takes imap away from what the entry may use.
//
// A line of the administrator's for a SOURCE stands in the place of the profile's lines for the same SOURCE and TARGET; with - in
// the place of all for it.
//
// What counts: values of native attributes that no line names as its SOURCE (first), the administrator's lines, those of the
// profile, := last. A TARGET that may have one value takes the first of these; phStatus the most restrictive, a word that is none
// before all. One that may have several takes all.
//
// Profiles are schema/profiles/NAME.def. Pure; strings of a parsed line live in the arena.
#ifndef SCHEMA_PROFILE_H
#define SCHEMA_PROFILE_H

#include "base/guid.h"
#include "schema/attr.h"
#include "schema/settings.h"

enum {
	PROFILE_LINE_BYTES_MAX = 1024,
	PROFILE_CONDITIONS_MAX = 4,
	PROFILE_WORDS_MAX = 64,
	PROFILE_LINES_MAX = 256, // of the administrator's
};

// function, name, what follows the name: nothing, TEXT, a NUMBER, a number and a word (BIT)
#define PROFILE_FUNCTIONS(X)                                                                                          \
	X(PROFILE_PREFIX, "prefix", TEXT)      /* values that begin so, case counts; what comes after it */           \
	X(PROFILE_BEFORE, "before", TEXT)      /* "@" before a value that does not begin so */                        \
	X(PROFILE_URL_DN, "url-dn", NONE)      /* the DN of an LDAP URL that has nothing behind it; nothing of others */ \
	X(PROFILE_URL_SEARCH, "url-search", NONE) /* an LDAP URL with a scope or a filter, as it is; nothing of others */ \
	X(PROFILE_SUFFIX, "suffix", TEXT)      /* "@uni.example" after a value without @ */                           \
	X(PROFILE_CATCHALL, "catchall", TEXT)  /* "@uni.example" of TEXT@uni.example; nothing of others */            \
	X(PROFILE_SPLIT, "split", TEXT)        /* one value holds several, with this character between */             \
	X(PROFILE_BIT, "bit", BIT)             /* a number with this bit (2 is the second): the word; else nothing */ \
	X(PROFILE_TIMES, "times", NUMBER)      /* a number times this one; -1 stays */                                \
	X(PROFILE_OVER, "over", NUMBER)        /* a number through this one, rounded up; -1 stays */                  \
	X(PROFILE_QUOTA_BYTES, "quota-bytes", NONE)       /* the S of a Maildir++ quota "10485760S,1000C" */          \
	X(PROFILE_QUOTA_MESSAGES, "quota-messages", NONE) /* the C of it */                                           \
	X(PROFILE_FILETIME, "filetime", NONE)  /* 100 ns since 1601; 0 and 9223372036854775807 are never: nothing */  \
	X(PROFILE_DAYS, "days", NONE)          /* days since 1970, as a time; -1 is never: nothing */                 \
	X(PROFILE_SECONDS, "seconds", NONE)    /* seconds since 1970, as a time; 0 is nothing */                      \
	X(PROFILE_GUID, "guid", NONE)          /* 16 bytes as Active Directory stores them, as a UUID */

enum profile_how {
	PROFILE_COPY,
	PROFILE_WORDS,
#define PROFILE_HOW(id, name, argument) id,
	PROFILE_FUNCTIONS(PROFILE_HOW)
#undef PROFILE_HOW
};

struct profile_condition {
	struct str name, value; // value.p is NULL: any
	bool negated;
};

struct profile_word {
	struct str from, to;
};

enum profile_target { PROFILE_TO_ATTR, PROFILE_TO_CLASS, PROFILE_TO_UUID, PROFILE_TO_NOTHING };

struct profile_line {
	struct str text;                    // as it was written
	bool own;                           // of ldap_map
	struct profile_condition conditions[PROFILE_CONDITIONS_MAX];
	size_t n_conditions;
	struct str source;                  // empty: a constant (:=)
	enum profile_target target;
	const struct attr_info *attr;       // TO_ATTR
	struct str name;                    // of the target, as our schema writes it
	enum profile_how how;
	struct str argument;                // of functions; the constant of :=
	uint64_t number;                    // of BIT, TIMES
	const struct profile_word *words;   // WORDS
	size_t n_words;
};

struct profile {
	struct str name;                    // "laser"
	struct profile_line *lines;         // the administrator's, then the profile's
	size_t n;
	struct guid hash;                   // of all lines; zero when there is none
	struct arena *arena;                // owned
};

// NULL when the line is fine, else a sentence about *at_out, a part of text. The arena is a cap of its own: a line needs a few
// KiB.
const char *profile_line_parse(struct arena *arena, struct str text, struct profile_line *line_out, struct str *at_out);

// family: an enum settings_ldap_profile. map was checked (settings_ldap_check); NULL: none.
struct profile *profile_new(int family, const struct settings_list *map);
void profile_free(struct profile **profile);

// Does it change anything? Of NULL: no.
bool profile_is_native(const struct profile *profile);

// Do its lines speak of this attribute, the directory's or ours?
bool profile_names(const struct profile *profile, struct str attribute);

// Does a condition ask for this class of the directory?
bool profile_asks_class(const struct profile *profile, struct str class);

// The name of a family ("laser"), NULL behind the last, and its lines.
const char *profile_name(int family);
const char *const *profile_lines(int family); // NULL ends them

#endif
