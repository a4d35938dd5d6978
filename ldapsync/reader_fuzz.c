// SPDX-License-Identifier: Apache-2.0
// What readers find in a shadow: lines with rows of shadow.db (tests/fuzz/fuzz_rows.h), and lines "?KIND KEY" that look a key up,
// KEY in the form of a value. A damaged row is "cannot know now", never "nobody"; what is found is in the arena and may be
// walked.
// Covers: ldapsync/reader.c ldapsync/directory_shadow.c
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/must.h"
#include "fuzz_rows.h"
#include "ldapsync/directory.h"
#include "schema/ddl_shadow.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 1 << 20, KEY_BYTES_MAX = 4096, FRESH_S = 30, LATER_MS = 2000, ROUNDS = 2 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

static struct db *write_rows(const char *path, struct str in)
{
	const struct db_options options = {.path = path, .mode = DB_CREATE, .schema = &ddl_shadow, .keep_wal = true};
	struct db *db;
	struct str line;
	must(db_open(&options, &db, NULL) == ERR_OK && db_begin(db, NULL) == ERR_OK);
	while (str_cut(in, '\n', &line, &in))
		(void)!fuzz_rows_put(db, line);
	must(db_commit(db, NULL) == ERR_OK);
	return db;
}

static void walk(const struct entry *entry)
{
	struct entry_cursor cursor = {0};
	enum attr attr;
	struct str value;
	size_t bytes = 0;
	while (entry_each(entry, &cursor, &attr, &value))
		bytes += value.n;
	must(bytes <= entry->values.n);
}

static void find(struct directory *directory, enum directory_key kind, struct str key)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct directory_match match = {NULL, NULL};
	struct directory_status status = directory_status(directory);
	enum directory_answer answer = directory_find(directory, kind, key, arena, &match);
	switch (answer) {
	case DIRECTORY_FOUND:
	case DIRECTORY_AMBIGUOUS:
		must(match.entry && (match.other != NULL) == (answer == DIRECTORY_AMBIGUOUS));
		walk(match.entry);
		if (match.other)
			walk(match.other);
		break;
	case DIRECTORY_NONE:
	case DIRECTORY_UNAVAILABLE:
		must(match.entry == NULL && (answer == DIRECTORY_NONE || directory_trouble(directory)[0]));
		break;
	}
	must(answer == DIRECTORY_UNAVAILABLE || status.complete ||
		directory_trouble(directory)[0]); // an entry before it was unreadable: all is in doubt
	if (kind != DIRECTORY_DN && kind != DIRECTORY_UUID) {
		struct str next = directory_next_key(directory, kind, key, arena);
		must(next.p == NULL || str_cmp(next, key) >= 0);
	}
	arena_free(&arena);
}

static void find_line(struct directory *directory, struct str line)
{
	struct str number, key;
	struct buf bytes;
	uint64_t kind;
	if (!str_starts(line, STR("?")) || !str_cut(str_from(line, 1), ' ', &number, &key) ||
		!str_to_u64(number, DIRECTORY_ROUTE, &kind) || kind == 0)
		return;
	buf_init(&bytes, KEY_BYTES_MAX);
	if (str_starts(key, STR("b")) && codec_hex_decode(str_from(key, 1), &bytes))
		find(directory, (enum directory_key)kind, buf_str(&bytes));
	else
		find(directory, (enum directory_key)kind, str_from(key, 1));
	buf_fini(&bytes);
}

// Twice in one snapshot, as domains and hosts are remembered, and again after the path was looked at.
static void find_all(struct directory *directory, struct str in)
{
	struct str line;
	directory_begin(directory);
	for (int round = 0; round < ROUNDS; round++)
		for (struct str rest = in; str_cut(rest, '\n', &line, &rest);)
			find_line(directory, line);
	directory_end(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clock_fake now = {.mono_ms = 1000000, .wall_ms = 1795286655000};
	struct str in = str_of((const char *)data, size);
	char path[128];
	clock_inject(&now);
	snprintf(path, sizeof path, "%s/shadow.db", fuzz_rows_dir());
	struct directory *directory = directory_open(path, FRESH_S);
	find_all(directory, in); // there is no file yet
	struct db *writer = write_rows(path, in);
	now.mono_ms += LATER_MS;
	find_all(directory, in);
	db_close(&writer);
	remove(path);
	now.mono_ms += LATER_MS;
	find_all(directory, in); // it was taken away
	directory_close(&directory);
	clock_inject(NULL);
	return 0;
}
