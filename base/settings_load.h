// SPDX-License-Identifier: Apache-2.0
// What the three files of the settings engine share: settings.c (tables, snapshots, printing), settings_file.c (libconfuse),
// settings_value.c (texts to values). Private to base/.
#ifndef BASE_SETTINGS_LOAD_H
#define BASE_SETTINGS_LOAD_H

#include "base/settings.h"

enum { SETTINGS_FILES_MAX = 17, SETTINGS_WORDS_MAX = 1024 };

// What the files say about one row: words, not yet values.
struct settings_given {
	bool is_set;
	const char *file; // in the arena
	int line;
	int again_line; // where it was set once more and that was complained of; 0: nowhere
	struct str *words; // in the arena
	size_t n, size;
};

// One loading.
struct settings_load {
	const struct settings_table *table;
	struct arena *arena; // of the snapshot
	struct settings_report *report;
	struct settings_given *given; // one a row
	const char *files[SETTINGS_FILES_MAX];
	size_t files_n, file_now;
};

// Reads load->files, which grow by their includes; complains about syntax, unknown settings and second places. False when the
// first file cannot be opened (with err).
bool settings_file_read(struct settings_load *load, struct err *err);

// Puts words into the field of row; arrays and strings in the arena. On failure false and, in what, "what; what to do".
bool settings_value_parse(const struct settings_row *row, const struct str *words, size_t n, struct arena *arena, void *values,
	char *what, size_t what_bytes);

// Splits a row's default ("x" or {"a", "b"}) into words; returns their number.
size_t settings_value_default(const struct settings_row *row, struct arena *arena, struct str **words_out);

bool settings_type_is_list(enum settings_type type);

#endif
