// SPDX-License-Identifier: Apache-2.0
// What ldapsync would complain about in an LDIF file, without a shadow: for `posthouse check`.
#ifndef LDAPSYNC_CHECK_LDIF_H
#define LDAPSYNC_CHECK_LDIF_H

#include "base/err.h"
#include "schema/entry.h"
#include "schema/profile.h"

// attribute is "" when the entry as a whole is meant; what says what is wrong and what becomes of it.
typedef void check_ldif_complain_fn(void *context, size_t line, struct str dn, struct str attribute, const char *what);

// An entry that would be stored, and the line that it begins at; it lasts for the call.
typedef void check_ldif_entry_fn(void *context, size_t line, const struct entry *entry);

// Reads the whole file and calls complain for each entry and value that would be refused. Errors: the file cannot be opened, or
// is no LDIF; the text is then "FILE:LINE: what". ERR_INVALID also when it holds no entry of ours. Two entries that claim one
// address are found by ldapsync only. taken: NULL, or called for each entry that is right. profile: what its attributes mean;
// NULL: native. Blocks.
enum err_code check_ldif(const char *path, const struct profile *profile, check_ldif_complain_fn *complain,
	check_ldif_entry_fn *taken, void *context, struct err *err) ERR_CHECKED;

#endif
