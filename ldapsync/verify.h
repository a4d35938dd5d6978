// SPDX-License-Identifier: Apache-2.0
// Is what readers have whole? A thread of its own reads shadow.db and credentials.db from the disk from time to time, as a reader
// does, and says when one is damaged: pages that are none, entries that do not decode or are not what was written (their seal),
// keys that lead to no entry or are missing.
//
//     verify_file(path, &ddl_shadow, NULL, NULL, &err)    // ERR_OK, or what is wrong
//
//     verify_start(&config, &verify, err);                 // looks at once, then every so often
//     verify_set(verify, every_ms);
//     verify_stop(&verify);
//
// Nobody else would notice: a reader that meets damage can only answer "not now", and the writer touches what changes. A file of
// 200,000 people takes about a second of one core. While it is read its log cannot be folded in.
#ifndef LDAPSYNC_VERIFY_H
#define LDAPSYNC_VERIFY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/db.h"
#include "classes.h"

// Reads the whole file in one transaction. *stop ends it early, ERR_CANCELLED; NULL: nothing does. ERR_CORRUPT: damaged; ERR_IO:
// the disk does not give it; ERR_NOTFOUND: there is none. A file that was never loaded completely is whole. Blocks on the disk.
// classes: is told of all entries, where it is not NULL.
enum err_code verify_file(const char *path, const struct db_schema *schema, struct classes *classes, atomic_bool *stop,
	struct err *err) ERR_CHECKED;

struct verify;

struct verify_config {
	const char *shadow_path, *credentials_path; // copied
	int64_t every_ms;
	// called from the thread, for each look that finds damage, twice in a row
	void (*damaged)(void *arg, const struct err *err);
	void *arg;
	struct classes *classes; // borrowed; NULL: not wanted. What each look at shadow.db has found
};
enum err_code verify_start(const struct verify_config *config, struct verify **verify_out, struct err *err) ERR_CHECKED;
void verify_set(struct verify *verify, int64_t every_ms);
void verify_stop(struct verify **verify); // waits for the thread, not for its look

#endif
