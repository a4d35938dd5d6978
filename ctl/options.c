// SPDX-License-Identifier: Apache-2.0
// Reading arguments by the table. What is wrong is said once, with the name that was probably meant; then how the command is
// used.
#include "options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

// --- The table ---

const struct ctl_row *options_next(const struct ctl_row *command, const struct ctl_row *option)
{
	const struct ctl_row *next = option ? option + 1 : command ? command + 1 : ctl_rows;
	return next < ctl_rows + ctl_rows_n && next->run == NULL ? next : NULL;
}

static const struct ctl_row *find_option(const struct ctl_row *command, struct str name)
{
	for (const struct ctl_row *row = NULL; (row = options_next(command, row)) != NULL;)
		if (str_eq(str_of_c(row->name), name))
			return row;
	return NULL;
}

static const struct ctl_row *find_command(struct str name)
{
	for (size_t i = 0; i < ctl_rows_n; i++)
		if (ctl_rows[i].run && str_eq(str_of_c(ctl_rows[i].name), name))
			return &ctl_rows[i];
	return NULL;
}

// Do commands begin with this word, and go on?
static bool is_first_word(struct str word)
{
	for (size_t i = 0; i < ctl_rows_n; i++)
		if (ctl_rows[i].run && str_starts(str_of_c(ctl_rows[i].name), word) && ctl_rows[i].name[word.n] == ' ')
			return true;
	return false;
}

// --- How a command is used ---

static void add_option(const struct ctl_row *option, struct buf *b)
{
	buf_printf(b, "%s%s%s", option->name, *option->arguments ? " " : "", option->arguments);
}

void options_usage(const struct ctl_row *command, struct buf *b)
{
	buf_add_c(b, command->name);
	for (const struct ctl_row *row = NULL; (row = options_next(command, row)) != NULL;) {
		if (row->how == CTL_INSTEAD || row->how == CTL_WHICH)
			continue;
		buf_add_c(b, row->how == CTL_MUST ? " " : " [");
		add_option(row, b);
		buf_add_c(b, row->how == CTL_MUST ? "" : "]");
	}
	char before = ' ';
	for (const struct ctl_row *row = NULL; (row = options_next(command, row)) != NULL;) {
		if (row->how != CTL_INSTEAD && row->how != CTL_WHICH)
			continue;
		buf_add_byte(b, before);
		add_option(row, b);
		before = '|';
	}
	if (*command->arguments)
		buf_printf(b, "%c%s", before, command->arguments);
}

// Text in lines of a terminal's width, behind so many spaces.
static void add_lines(struct buf *b, const char *prose, int indent)
{
	enum { COLUMNS = 100 };
	struct str rest = str_of_c(prose), word;
	size_t column = 0; // nothing is written yet
	while (rest.n) {
		struct str all = rest;
		if (!str_cut(all, ' ', &word, &rest)) {
			word = all;
			rest = STR_NONE;
		}
		bool fits = column > 0 && column + 1 + word.n <= COLUMNS;
		if (fits)
			buf_add_byte(b, ' ');
		else
			buf_printf(b, "%s%*s", column ? "\n" : "", indent, "");
		column = fits ? column + 1 + word.n : (size_t)indent + word.n;
		buf_add(b, word);
	}
	buf_add_byte(b, '\n');
}

void options_help(const struct ctl_row *command, FILE *out)
{
	struct buf b;
	buf_init(&b, 1 << 16);
	options_usage(command, &b);
	buf_add_byte(&b, '\n');
	add_lines(&b, command->prose, 4);
	fputs(buf_c(&b), out);
	buf_fini(&b);
	options_help_options(command, out);
}

void options_help_options(const struct ctl_row *command, FILE *out)
{
	struct buf b;
	buf_init(&b, 1 << 16);
	for (const struct ctl_row *row = NULL; (row = options_next(command, row)) != NULL;) {
		buf_add_c(&b, "    ");
		add_option(row, &b);
		buf_add_byte(&b, '\n');
		add_lines(&b, row->prose, 8);
	}
	fputs(buf_c(&b), out);
	buf_fini(&b);
}

int ctl_usage(const struct ctl *ctl)
{
	struct buf b;
	buf_init(&b, 4096);
	options_usage(ctl->command, &b);
	fprintf(stderr, "usage: posthouse [-c FILE] [--json] %s\n", buf_c(&b));
	buf_fini(&b);
	return CTL_USAGE;
}

// --- Reading ---

static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("posthouse: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

// The option of this command, or of all, that is most like a name; NULL: none is near.
static const struct ctl_row *nearest(const struct ctl_row *command, struct str name)
{
	const struct ctl_row *lists[] = {command, NULL}, *best = NULL;
	size_t best_distance = STR_NEAR + 1;
	for (size_t i = command ? 0 : 1; i < 2; i++)
		for (const struct ctl_row *row = NULL; (row = options_next(lists[i], row)) != NULL;) {
			struct str known = str_of_c(row->name);
			size_t distance = str_distance(known, name);
			if (distance < best_distance && (known.n == 2) == (name.n == 2)) { // of two letters all are near
				best = row;
				best_distance = distance;
			}
		}
	return best;
}

static bool unknown_option(const struct ctl_row *command, struct str name)
{
	const struct ctl_row *near = nearest(command, name);
	if (near)
		wrong("%.*s is no option here; did you mean %s?", STR_FMT(name), near->name);
	else if (command && command->most)
		wrong("%.*s is no option here; an argument that begins with - stands behind --", STR_FMT(name));
	else
		wrong("%.*s is no option here", STR_FMT(name));
	return false;
}

// Takes the option at argv[*at], and its value.
static bool take_option(struct ctl *ctl, int argc, char **argv, int *at)
{
	struct str name, value, whole = str_of_c(argv[*at]);
	bool has_value = str_starts(whole, STR("--")) && str_cut(whole, '=', &name, &value);
	if (!has_value)
		name = whole;
	const struct ctl_row *row = ctl->command ? find_option(ctl->command, name) : NULL;
	row = row ? row : find_option(NULL, name);
	if (row == NULL)
		return unknown_option(ctl->command, name);
	if (has_value && !*row->arguments) {
		wrong("%s takes no value", row->name);
		return false;
	}
	if (ctl->given[row - ctl_rows] && row != find_option(NULL, name)) { // -c may be in somebody's alias already
		wrong("%s is given twice", row->name);
		return false;
	}
	if (*row->arguments && !has_value && ++*at == argc) {
		wrong("%s wants a value: %s", row->name, row->arguments);
		return false;
	}
	ctl->given[row - ctl_rows] = !*row->arguments ? "" : has_value ? value.p : argv[*at];
	return true;
}

// A word of the command's name; true when it is whole. ctl->command stays NULL when there is none.
static bool take_word(struct ctl *ctl, struct buf *name, const char *word)
{
	if (name->n)
		buf_add_byte(name, ' ');
	buf_add_c(name, word);
	ctl->command = find_command(buf_str(name));
	return ctl->command || !is_first_word(buf_str(name));
}

// How the commands are used that begin with the first word; else that there is none.
static void no_command(struct str name)
{
	struct str first = name, rest;
	(void)str_cut(name, ' ', &first, &rest);
	if (name.n == 0)
		fputs("usage: posthouse [-c FILE] [--json] COMMAND ...; `posthouse help` lists the commands\n", stderr);
	else if (!is_first_word(first))
		wrong("there is no command %.*s; `posthouse help` lists them", STR_FMT(first));
	for (size_t i = 0; first.n && i < ctl_rows_n; i++)
		if (ctl_rows[i].run && str_starts(str_of_c(ctl_rows[i].name), first) && ctl_rows[i].name[first.n] == ' ')
			ctl_usage(&(struct ctl){.command = &ctl_rows[i]});
}

// Are they all there, and not too many?
static bool check(struct ctl *ctl)
{
	const struct ctl_row *command = ctl->command;
	size_t instead = 0, ways = 0;
	bool which = ctl->n_args > 0;
	for (const struct ctl_row *row = NULL; (row = options_next(command, row)) != NULL;) {
		bool given = ctl->given[row - ctl_rows] != NULL;
		ways += row->how == CTL_INSTEAD;
		instead += row->how == CTL_INSTEAD && given;
		which |= row->how == CTL_WHICH && given;
		if (row->how == CTL_MUST && !given) {
			wrong("%s %s is missing", row->name, row->arguments);
			return false;
		}
	}
	bool good =
		ctl->n_args >= command->least && ctl->n_args <= command->most && (ways == 0 || instead + which == 1);
	if (!good && ctl->n_args > command->most)
		wrong("what is %s to be?", ctl->args[command->most]);
	return good;
}

static bool read_all(struct ctl *ctl, int argc, char **argv, struct buf *name)
{
	bool options = true, whole = false;
	ctl->args = argv;
	for (int at = 0; at < argc; at++) {
		const char *word = argv[at];
		if (options && strcmp(word, "--") == 0) {
			options = false;
		} else if (options && word[0] == '-' && word[1]) {
			if (!take_option(ctl, argc, argv, &at))
				return false;
		} else if (whole) {
			ctl->args[ctl->n_args++] = argv[at];
		} else {
			whole = take_word(ctl, name, word);
			if (whole && ctl->command == NULL)
				return false;
		}
	}
	return true;
}

bool options_read(struct ctl *ctl, int argc, char **argv)
{
	struct buf name;
	buf_init(&name, 1 << 16);
	ctl->given = calloc(ctl_rows_n, sizeof *ctl->given);
	must(ctl->given != NULL);
	bool read = read_all(ctl, argc, argv, &name);
	if (read && name.n == 0 && ctl_option(ctl, "--help"))
		ctl->command = find_command(STR("help"));
	bool good = read && ctl->command && (ctl_option(ctl, "--help") || check(ctl));
	if (!good && ctl->command)
		ctl_usage(ctl);
	else if (!good && (read || name.n))
		no_command(buf_str(&name));
	buf_fini(&name);
	return good;
}

const char *ctl_option(const struct ctl *ctl, const char *name)
{
	const struct ctl_row *row = ctl->command ? find_option(ctl->command, str_of_c(name)) : NULL;
	row = row ? row : find_option(NULL, str_of_c(name));
	return row ? ctl->given[row - ctl_rows] : NULL; // directory diff shares functions with why, and has less options
}

int ctl_wrong(const struct ctl *ctl, const char *option, const char *what)
{
	const char *value = ctl_option(ctl, option);
	wrong("%s %s%s%s", option, value && *value ? value : "", value && *value ? ": " : "", what);
	return CTL_USAGE;
}
