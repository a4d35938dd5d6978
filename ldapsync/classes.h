// SPDX-License-Identifier: Apache-2.0
// Classes of service that entries name (phClassOfService) and that nobody has: a slip of the pen, or a class that was deleted.
//
//     struct classes *classes = classes_new();
//     classes_begin(classes); classes_note(classes, &entry); ... classes_end(classes);     // verify.c, each entry of the shadow
//     classes_missing(classes, each, context);                                             // whoever asks for the status
//
// Each is logged once, and again after it was gone. Names beyond CLASSES_MAX are not looked after. One thread notes; any may ask.
#ifndef LDAPSYNC_CLASSES_H
#define LDAPSYNC_CLASSES_H

#include "schema/entry.h"

enum { CLASSES_MAX = 256 };

struct classes;

struct classes *classes_new(void);
void classes_free(struct classes **classes);

void classes_begin(struct classes *classes);
void classes_note(struct classes *classes, const struct entry *entry);
void classes_end(struct classes *classes);   // what was noted since classes_begin counts from now on
void classes_abort(struct classes *classes); // it was not all: what counted before goes on

// name as an entry writes it, dn of one of the n entries; both borrowed for the call.
typedef void classes_missing_fn(void *context, struct str name, uint64_t n, struct str dn);
void classes_missing(struct classes *classes, classes_missing_fn *each, void *context);

#endif
