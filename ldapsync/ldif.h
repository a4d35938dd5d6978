// SPDX-License-Identifier: Apache-2.0
// LDIF (RFC 2849), content records unless others are asked for, read one record at a time: memory is bounded by the largest
// record, not by the file.
//
//     struct ldif *ldif = ldif_open_fd(fd, "people.ldif");
//     while ((got = ldif_next(ldif, &record, &err)) == LDIF_RECORD)
//         ... record.dn, record.values ... borrowed until the next call
//     if (got == LDIF_BAD)
//         ... err.text is "people.ldif:17: what" ...
//     ldif_close(&ldif);
//
// Where change records are wanted too (ldif_allow_changes), "changetype" and what follows it are values like any other, and the
// line that ends a modification is one with the name "-". What they mean is change.c's matter.
//
// Folded lines, comments, base64 values and attribute options are understood; change records and values from URLs ("attr:<
// file:///…") are refused: whoever can write the directory must not make us read other files. Blocks on the file.
#ifndef LDAPSYNC_LDIF_H
#define LDAPSYNC_LDIF_H

#include "base/arena.h"
#include "base/err.h"
#include "raw_entry.h"

enum {
	LDIF_RECORD_BYTES_MAX = 48 << 20, // decoded, with its bookkeeping
	LDIF_LINE_BYTES_MAX = 2 << 20,    // unfolded
};

struct ldif;

enum ldif_result { LDIF_RECORD, LDIF_END, LDIF_BAD };

// name is for messages (copied). fd stays the caller's and is read from its position on; text is borrowed until the close.
struct ldif *ldif_open_fd(int fd, const char *name);
struct ldif *ldif_open_text(struct str text, const char *name);
void ldif_allow_changes(struct ldif *ldif);
void ldif_close(struct ldif **ldif);

// LDIF_BAD ends the reading: ERR_INVALID for what is not LDIF, ERR_LIMIT over the bounds above, else what reading the file gave.
enum ldif_result ldif_next(struct ldif *ldif, struct raw_entry *record_out, struct err *err) ERR_CHECKED;

#endif
