// SPDX-License-Identifier: Apache-2.0
// Rows of tables in files.
#include "mail/rule_file.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool next_line(struct rule_file *file, struct str *line_out)
{
	if (!str_next_line(&file->rest, line_out))
		return false;
	file->line++;
	return true;
}

static bool is_blank(struct str line)
{
	struct str trimmed = str_trim(line);
	return trimmed.n == 0 || trimmed.p[0] == '#';
}

// Is the next line more of the row?
static bool goes_on(struct str rest)
{
	return rest.n && is_space(rest.p[0]);
}

bool rule_file_next(struct rule_file *file, struct arena *arena, struct rule_file_row *row_out)
{
	struct str line, more;
	do {
		if (!next_line(file, &line))
			return false;
	} while (is_blank(line));
	size_t began = file->line;
	line = str_trim(line);
	while (goes_on(file->rest) && next_line(file, &more)) {
		if (!is_blank(more))
			line = arena_printf(arena, "%.*s %.*s", STR_FMT(line), STR_FMT(str_trim(more)));
	}
	size_t key = 0;
	while (key < line.n && !is_space(line.p[key]))
		key++;
	*row_out = (struct rule_file_row){.key = str_upto(line, key), .value = str_trim(str_from(line, key)), .line = began};
	return true;
}
