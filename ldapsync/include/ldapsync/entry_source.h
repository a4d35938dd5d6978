// SPDX-License-Identifier: Apache-2.0
// Entries as the directory itself has them, in its own words and complete: what a change is applied to where the shadow does not
// hold enough (ldapsync/directory_overlay.h). An LDIF file is read here; servers are asked by ldapsync alone, through its control
// socket (directory.entries).
//
//     struct entry_file file = {.path = settings->shadow_ldif.p};
//     const struct entry_source source = {.fetch = entry_file_fetch, .context = &file};
#ifndef LDAPSYNC_ENTRY_SOURCE_H
#define LDAPSYNC_ENTRY_SOURCE_H

#include "base/err.h"
#include "base/str.h"

// One value of the entry dns[which]; hashes (userPassword, phScram, phAppPassword) may be missing. An empty name says that of an
// attribute only a part was given. Everything is borrowed for the call.
typedef void entry_source_value_fn(void *taker, size_t which, struct str name, struct str value);

struct entry_source {
	// Calls each for all values of the entries of these names; of a name without an entry for none. All or nothing: an error
	// says that the directory could not be asked. May block.
	enum err_code (*fetch)(void *context, const struct str *dns, size_t n, entry_source_value_fn *each, void *taker,
		struct err *err);
	void *context;
};

// context: a struct entry_file. Reads the file once, in bounded memory; of two entries with one name, both.
struct entry_file {
	const char *path;
};
enum err_code entry_file_fetch(void *file, const struct str *dns, size_t n, entry_source_value_fn *each, void *taker,
	struct err *err) ERR_CHECKED;

#endif
