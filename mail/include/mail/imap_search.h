// SPDX-License-Identifier: Apache-2.0
// What a SEARCH asks for (RFC 3501 section 6.4.4): a bounded tree of keys, and its strings made ready for comparison.
//
//     struct imap_search search;
//     if (!imap_search_parse(&p, &search))
//         bad(p.error);
//     if (!imap_search_prepare(&search, arena))
//         no("BADCHARSET");                                   // RFC 3501: NO [BADCHARSET (US-ASCII UTF-8)]
//     matches(search.key, message) ...
//
// Nothing here blocks (mail/charset.h: after charset_preload).
#ifndef MAIL_IMAP_SEARCH_H
#define MAIL_IMAP_SEARCH_H

#include "mail/imap_parse.h"
#include "mail/imap_seqset.h"

enum { IMAP_SEARCH_KEYS_MAX = 5000 };

enum imap_search_argument {
	IMAP_SEARCH_NOTHING,
	IMAP_SEARCH_STRING,   // key.text
	IMAP_SEARCH_DATE,     // key.day
	IMAP_SEARCH_NUMBER,   // key.number
	IMAP_SEARCH_FLAG,     // key.field: the keyword
	IMAP_SEARCH_FIELD,    // key.field, a header's name, then key.text
	IMAP_SEARCH_SET,      // key.set
	IMAP_SEARCH_CHILDREN, // key.child …
};

// kind, name on the wire, argument, costs: 0 the message's row, 1 its header, 2 its body
#define IMAP_SEARCH_KEYS(X)                                            \
	X(IMAP_SEARCH_ALL, "ALL", IMAP_SEARCH_NOTHING, 0)              \
	X(IMAP_SEARCH_ANSWERED, "ANSWERED", IMAP_SEARCH_NOTHING, 0)    \
	X(IMAP_SEARCH_BCC, "BCC", IMAP_SEARCH_STRING, 1)               \
	X(IMAP_SEARCH_BEFORE, "BEFORE", IMAP_SEARCH_DATE, 0)           \
	X(IMAP_SEARCH_BODY, "BODY", IMAP_SEARCH_STRING, 2)             \
	X(IMAP_SEARCH_CC, "CC", IMAP_SEARCH_STRING, 1)                 \
	X(IMAP_SEARCH_DELETED, "DELETED", IMAP_SEARCH_NOTHING, 0)      \
	X(IMAP_SEARCH_DRAFT, "DRAFT", IMAP_SEARCH_NOTHING, 0)          \
	X(IMAP_SEARCH_FLAGGED, "FLAGGED", IMAP_SEARCH_NOTHING, 0)      \
	X(IMAP_SEARCH_FROM, "FROM", IMAP_SEARCH_STRING, 1)             \
	X(IMAP_SEARCH_HEADER, "HEADER", IMAP_SEARCH_FIELD, 1)          \
	X(IMAP_SEARCH_KEYWORD, "KEYWORD", IMAP_SEARCH_FLAG, 0)         \
	X(IMAP_SEARCH_LARGER, "LARGER", IMAP_SEARCH_NUMBER, 0)         \
	X(IMAP_SEARCH_NEW, "NEW", IMAP_SEARCH_NOTHING, 0)              \
	X(IMAP_SEARCH_OLD, "OLD", IMAP_SEARCH_NOTHING, 0)              \
	X(IMAP_SEARCH_ON, "ON", IMAP_SEARCH_DATE, 0)                   \
	X(IMAP_SEARCH_RECENT, "RECENT", IMAP_SEARCH_NOTHING, 0)        \
	X(IMAP_SEARCH_SEEN, "SEEN", IMAP_SEARCH_NOTHING, 0)            \
	X(IMAP_SEARCH_SENTBEFORE, "SENTBEFORE", IMAP_SEARCH_DATE, 1)   \
	X(IMAP_SEARCH_SENTON, "SENTON", IMAP_SEARCH_DATE, 1)           \
	X(IMAP_SEARCH_SENTSINCE, "SENTSINCE", IMAP_SEARCH_DATE, 1)     \
	X(IMAP_SEARCH_SINCE, "SINCE", IMAP_SEARCH_DATE, 0)             \
	X(IMAP_SEARCH_SMALLER, "SMALLER", IMAP_SEARCH_NUMBER, 0)       \
	X(IMAP_SEARCH_SUBJECT, "SUBJECT", IMAP_SEARCH_STRING, 1)       \
	X(IMAP_SEARCH_TEXT, "TEXT", IMAP_SEARCH_STRING, 2)             \
	X(IMAP_SEARCH_TO, "TO", IMAP_SEARCH_STRING, 1)                 \
	X(IMAP_SEARCH_UID, "UID", IMAP_SEARCH_SET, 0)                  \
	X(IMAP_SEARCH_UNANSWERED, "UNANSWERED", IMAP_SEARCH_NOTHING, 0) \
	X(IMAP_SEARCH_UNDELETED, "UNDELETED", IMAP_SEARCH_NOTHING, 0)  \
	X(IMAP_SEARCH_UNDRAFT, "UNDRAFT", IMAP_SEARCH_NOTHING, 0)      \
	X(IMAP_SEARCH_UNFLAGGED, "UNFLAGGED", IMAP_SEARCH_NOTHING, 0)  \
	X(IMAP_SEARCH_UNKEYWORD, "UNKEYWORD", IMAP_SEARCH_FLAG, 0)     \
	X(IMAP_SEARCH_UNSEEN, "UNSEEN", IMAP_SEARCH_NOTHING, 0)        \
	/* without a name of their own: a sequence set, parentheses */ \
	X(IMAP_SEARCH_SEQUENCE, "", IMAP_SEARCH_SET, 0)                \
	X(IMAP_SEARCH_AND, "", IMAP_SEARCH_CHILDREN, 0)                \
	X(IMAP_SEARCH_OR, "OR", IMAP_SEARCH_CHILDREN, 0)               \
	X(IMAP_SEARCH_NOT, "NOT", IMAP_SEARCH_CHILDREN, 0)

enum imap_search_kind {
#define IMAP_SEARCH_ENUM(kind, name, argument, cost) kind,
	IMAP_SEARCH_KEYS(IMAP_SEARCH_ENUM)
#undef IMAP_SEARCH_ENUM
};

struct imap_search_key {
	enum imap_search_kind kind;
	struct str text;        // after prepare: UTF-8 folded by charset_casemap
	struct str field;       // name of a header or keyword, as written
	struct imap_seqset set; // not resolved
	int32_t day;            // since 1970-01-01
	uint32_t number;
	struct imap_search_key *child; // AND: any number; OR: two; NOT: one
	struct imap_search_key *next;  // sibling
};

struct imap_search {
	struct str charset; // empty: none was named
	struct imap_search_key *key; // an AND of all
	unsigned cost;      // the highest of its keys: 0, 1, 2
};

// "[CHARSET x] key key …", to the end of the text.
bool imap_search_parse(struct imap_parse *p, struct imap_search *search_out);

// Decodes the strings from the charset and folds them. False when the charset is unknown, or the arena full (arena_overflowed).
bool imap_search_prepare(struct imap_search *search, struct arena *arena);

// Calls each for every set of the tree (sequence sets and UIDs), to resolve them.
void imap_search_each_set(struct imap_search_key *key, void (*each)(struct imap_search_key *key, void *arg), void *arg);

#endif
