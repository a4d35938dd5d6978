// SPDX-License-Identifier: Apache-2.0
// The rows of a table in a file, as makemap and postmap read them: mailertable, transport, access and the like.
//
//     struct rule_file file = rule_file_of(text);
//     struct rule_file_row row;
//     while (rule_file_next(&file, arena, &row))
//         take(row.key, row.value, row.line);
//
// A row is a key, white space, and a value; white space in quotes is part of the key ("John Doe"@uni.example). A line that begins
// with white space goes on with the row before. Empty lines and lines that begin with "#" are left out, inside a row too. Line
// ends are LF or CRLF. Pure; rows borrow from the text, or, of several lines, live in the arena.
#ifndef MAIL_RULE_FILE_H
#define MAIL_RULE_FILE_H

#include "base/arena.h"

struct rule_file {
	struct str rest;
	size_t line; // the last one that was read
};

struct rule_file_row {
	struct str key, value; // trimmed; value may be empty
	size_t line;           // where it begins, from 1
};

static inline struct rule_file rule_file_of(struct str text)
{
	return (struct rule_file){.rest = text};
}

// The next row as it stands, its lines put together: for tables whose keys end otherwise. False at the end.
bool rule_file_next_text(struct rule_file *file, struct arena *arena, struct str *text_out, size_t *line_out);

// The next row; false at the end.
bool rule_file_next(struct rule_file *file, struct arena *arena, struct rule_file_row *row_out);

#endif
