// SPDX-License-Identifier: Apache-2.0
// Rows of tables in files.
#include "mail/rule_file.h"

#include "base/buf.h"
#include "base/must.h"

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

// Is the next line that is neither empty nor a comment more of the row?
static bool goes_on(struct str rest)
{
	struct str line;
	while (str_next_line(&rest, &line))
		if (!is_blank(line))
			return is_space(line.p[0]);
	return false;
}

// The continuation lines behind a row's first, put together with it; linear in their length.
static struct str join(struct rule_file *file, struct arena *arena, struct str line)
{
	struct str more;
	struct buf joined;
	buf_init(&joined, line.n + file->rest.n + 1);
	buf_add(&joined, line);
	while (goes_on(file->rest)) {
		do
			must(next_line(file, &more));
		while (is_blank(more));
		buf_add_byte(&joined, ' ');
		buf_add(&joined, str_trim(more));
	}
	must(!joined.overflow); // each space stands where a line end was
	line = arena_dup(arena, buf_str(&joined));
	buf_fini(&joined);
	return line;
}

bool rule_file_next_text(struct rule_file *file, struct arena *arena, struct str *text_out, size_t *line_out)
{
	struct str line;
	do {
		if (!next_line(file, &line))
			return false;
	} while (is_blank(line));
	*line_out = file->line;
	*text_out = goes_on(file->rest) ? join(file, arena, str_trim(line)) : str_trim(line);
	return true;
}

// Where the key ends: at the first white space that is not in quotes ("\"John Doe\"@uni.example").
static size_t key_bytes(struct str text)
{
	size_t n = 0;
	bool quoted = false;
	for (; n < text.n && (quoted || !is_space(text.p[n])); n++) {
		if (text.p[n] == '"')
			quoted = !quoted;
		else if (text.p[n] == '\\' && n + 1 < text.n && quoted)
			n++;
	}
	return n;
}

bool rule_file_next(struct rule_file *file, struct arena *arena, struct rule_file_row *row_out)
{
	struct str text;
	size_t line;
	if (!rule_file_next_text(file, arena, &text, &line))
		return false;
	size_t key = key_bytes(text);
	*row_out = (struct rule_file_row){.key = str_upto(text, key), .value = str_trim(str_from(text, key)), .line = line};
	return true;
}
