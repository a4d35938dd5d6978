// SPDX-License-Identifier: Apache-2.0
// The words of attributes that have a few: phVacation is off, on or scheduled. (phStatus: schema/entry_status.h.)
//
//     const char *wrong = attr_words_wrong(ATTR_PH_VACATION, STR("TRUE"));   // "is none of off, on, scheduled"
//
// What posthouse.schema says of the attribute, for servers take any text. Another word is complained about when it is read, and
// kept: the router defers what hangs on it, or does without. To add an attribute: a row.
#ifndef SCHEMA_ATTR_WORDS_H
#define SCHEMA_ATTR_WORDS_H

#include "schema/attr.h"

// attribute, words, apart by ", "; what else may stand there: "" or ", an address"
#define ATTR_WORDS(X)                                                                              \
	X(ATTR_PH_SERVICE, "imap, pop3, submission, sieve, none", "")                                  \
	X(ATTR_PH_VACATION, "off, on, scheduled", "")                                                  \
	X(ATTR_PH_LIST_POST_POLICY, "anyone, internal, members, listed, moderated, nobody", "")        \
	X(ATTR_PH_LIST_REPLY_TO, "sender, list", ", an address")                                   \
	X(ATTR_PH_DOMAIN_TYPE, "local, relay, alias, backup", "")                                      \
	X(ATTR_PH_UNKNOWN_USER, "reject, tempfail, catchall, relay", "")                               \
	X(ATTR_PH_HOST_ROLE, "mx, submission, store, proxy, copy", "")                                 \
	X(ATTR_PH_HOST_STATE, "up, drain, readonly, down", "")                                         \
	X(ATTR_PH_MOVE_STATE, "none, prepare, copying, cutover, cleanup", "")

// NULL: it is one of them, in any case, or the address that may stand there too, or the attribute has no row. Else what is wrong,
// to stand behind the value; a literal.
const char *attr_words_wrong(enum attr attr, struct str value);

#endif
