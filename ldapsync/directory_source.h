// SPDX-License-Identifier: Apache-2.0
// The sources behind ldapsync/directory.h, and what they share with credentials.c: the reading side of one image file.
#ifndef LDAPSYNC_DIRECTORY_SOURCE_H
#define LDAPSYNC_DIRECTORY_SOURCE_H

#include "base/db.h"
#include "ldapsync/directory.h"

// --- A reader of shadow.db or credentials.db that outlives its file: missing, replaced and damaged files are tried again. ---

struct reader;

// path and what it should be; opens nothing yet.
struct reader *reader_new(const char *path, const struct db_schema *schema);
void reader_free(struct reader **reader);

// A read transaction; false when there is no usable file now (reader_trouble says why). Always paired with reader_end.
bool reader_begin(struct reader *reader);
void reader_end(struct reader *reader);

// Inside a transaction. Not complete any more once something in it could not be read.
struct reader_state {
	uint64_t version;
	bool complete, source_ok, is_ldif;
	int64_t confirmed_ms;
	uint64_t entries;
};
struct reader_state reader_state(const struct reader *reader);
enum directory_answer reader_find(struct reader *reader, enum directory_key kind, struct str key, size_t skip,
	struct arena *arena, struct directory_match *match_out);
struct str reader_next_key(struct reader *reader, enum directory_key kind, struct str from, struct arena *arena);
enum directory_answer reader_each(struct reader *reader, bool (*each)(void *arg, const struct entry *entry), void *arg);
const char *reader_trouble(const struct reader *reader);

// What is looked up for a key as a caller gives it: DNs become their hash, the rest stays. The result lives in the arena.
struct str reader_key(enum directory_key kind, struct str key, struct arena *arena);

// Copies a blob into the arena and decodes it there; NULL when it does not fit or is damaged.
const struct entry *reader_entry(struct str blob, struct arena *arena);

// --- The shadow as a source ---
extern const struct directory_ops directory_shadow_ops;
void *directory_shadow_new(const char *path, int64_t fresh_s);

#endif
