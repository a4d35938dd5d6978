// SPDX-License-Identifier: Apache-2.0
// posthouse manual: posthouse(1) and posthouse.conf(5) in troff, from the tables of commands and of settings, so that they cannot
// lie.
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "options.h"

// Text that troff takes literally: backslashes and hyphens escaped, no control characters at a line's start.
static void put_text(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	}
}

static void put_heading(const char *name, const char *section, const char *what)
{
	printf(".\\\" made by `posthouse manual %s.%s`\n.TH %s %s \"\" \"Posthouse " POSTHOUSE_VERSION "\"\n.SH NAME\n%s \\- ",
		name, section, name, section, name);
	put_text(what);
	putchar('\n');
}

// A literal without the macros' own quotes.
static void put_quoted(const char *text)
{
	putchar('"');
	put_text(text);
	putchar('"');
}

static void put_option(const struct ctl_row *option)
{
	printf(".TP\n.BI ");
	put_quoted(option->name);
	putchar(' ');
	putchar('"');
	if (*option->arguments)
		putchar(' ');
	put_text(option->arguments);
	printf("\"\n");
	put_text(option->prose);
	putchar('\n');
}

static void put_command(const struct ctl_row *command)
{
	struct buf usage;
	buf_init(&usage, 4096);
	options_usage(command, &usage);
	printf(".TP\n.BI \"%s\" \"", command->name);
	put_text(buf_c(&usage) + strlen(command->name));
	printf("\"\n");
	buf_fini(&usage);
	put_text(command->prose);
	putchar('\n');
	if (options_next(command, NULL) == NULL)
		return;
	printf(".RS\n");
	for (const struct ctl_row *row = NULL; (row = options_next(command, row)) != NULL;)
		put_option(row);
	printf(".RE\n");
}

static void put_commands(void)
{
	put_heading("posthouse", "1", "run, ask and explain the Posthouse mail platform");
	printf(".SH SYNOPSIS\n.B posthouse\n[\\-c FILE] [\\-\\-json] COMMAND ...\n.SH DESCRIPTION\n"
	       "Options stand anywhere behind the first word; \\-\\- ends them. \\-\\-option VALUE and \\-\\-option=VALUE are "
	       "the same.\n.SH COMMANDS\n");
	for (size_t i = 0; i < ctl_rows_n; i++)
		if (ctl_rows[i].run)
			put_command(&ctl_rows[i]);
	printf(".SH OPTIONS\n");
	for (const struct ctl_row *row = NULL; (row = options_next(NULL, row)) != NULL;)
		put_option(row);
	printf(".SH EXIT STATUS\n");
#define MANUAL_EXIT(id, code, prose) \
	printf(".TP\n%d\n", code); \
	put_text(prose);             \
	putchar('\n');
	CTL_EXITS(MANUAL_EXIT)
#undef MANUAL_EXIT
	printf(".SH SEE ALSO\nposthouse.conf(5), posthouse\\-mta(8), posthouse\\-popimap(8), posthouse\\-ldapsync(8)\n");
}

// --- Completion ---

// The words that may follow the first word of two; all first words for none. Each once: commands with one first word stand
// together.
static void put_words(struct str first)
{
	struct str last = STR_NONE;
	for (size_t i = 0; i < ctl_rows_n; i++) {
		struct str name = str_of_c(ctl_rows[i].name), word = name, rest = STR_NONE;
		bool two = str_cut(name, ' ', &word, &rest);
		if (ctl_rows[i].run == NULL || (first.n && !(two && str_eq(word, first))))
			continue;
		word = first.n ? rest : word;
		if (!str_eq(word, last))
			printf("%.*s ", STR_FMT(word));
		last = word;
	}
}

// The options of all commands of two words, or of all others.
static void put_options(bool two_words)
{
	for (size_t i = 0; i < ctl_rows_n; i++) {
		if (ctl_rows[i].run == NULL || (strchr(ctl_rows[i].name, ' ') != NULL) != two_words)
			continue;
		printf("\t*\" %s \"*) list=\"", ctl_rows[i].name);
		for (const struct ctl_row *row = NULL; (row = options_next(&ctl_rows[i], row)) != NULL;)
			printf("%s ", row->name);
		for (const struct ctl_row *row = NULL; (row = options_next(NULL, row)) != NULL;)
			printf("%s ", row->name);
		printf("\" ;;\n");
	}
}

static void put_completion(void)
{
	struct str last = STR_NONE;
	printf("# made by `posthouse manual posthouse.bash`\n_posthouse() {\n\tlocal list\n\tcase \" "
	       "${COMP_WORDS[*]:1:COMP_CWORD-1} \" in\n");
	put_options(true); // "directory status" before "status"
	put_options(false);
	for (size_t i = 0; i < ctl_rows_n; i++) {
		struct str first, rest;
		if (ctl_rows[i].run == NULL || !str_cut(str_of_c(ctl_rows[i].name), ' ', &first, &rest) || str_eq(first, last))
			continue;
		printf("\t*\" %.*s \"*) list=\"", STR_FMT(first));
		put_words(first);
		printf("\" ;;\n");
		last = first;
	}
	printf("\t*) list=\"");
	put_words(STR_NONE);
	printf("\" ;;\n\tesac\n\tCOMPREPLY=($(compgen -W \"$list\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
		"complete -o default -F _posthouse posthouse\n");
}

static const char *type_text(const struct settings_row *row)
{
	switch (row->type) {
	case SETTINGS_STR:
		return "text";
	case SETTINGS_PATH:
		return "absolute path";
	case SETTINGS_INT:
		return "number";
	case SETTINGS_DURATION:
		return "duration";
	case SETTINGS_BYTES:
		return "size";
	case SETTINGS_BOOL:
		return "yes or no";
	case SETTINGS_ENUM:
		return "choice";
	case SETTINGS_LIST:
		return "list of texts";
	case SETTINGS_PATHS:
		return "list of absolute paths";
	case SETTINGS_ADDRESS:
		return "host:port";
	case SETTINGS_ADDRESSES:
		return "list of address:port";
	case SETTINGS_NETWORKS:
		return "list of networks";
	}
	unreachable("settings type");
}

static void put_limits(const struct settings_row *row)
{
	if (row->type == SETTINGS_ENUM) {
		fputs(": ", stdout);
		for (const char *c = row->unit + 1; *c; c++)
			fputs(*c == '|' ? ", " : (char[]){*c, 0}, stdout);
	} else if (row->type == SETTINGS_INT || row->type == SETTINGS_DURATION || row->type == SETTINGS_BYTES) {
		printf(", %lld to %lld%s%s", (long long)row->min, (long long)row->max, *row->unit ? " " : "", row->unit);
	}
}

static void put_setting(const struct settings_row *row)
{
	printf(".TP\n.B %s\n", row->name);
	put_text(row->prose);
	printf("\n.br\nType: %s", type_text(row));
	put_limits(row);
	if (row->flags & SETTINGS_NEEDED && *row->def == 0) {
		printf("; must be set");
	} else {
		printf("; default ");
		put_text(*row->def ? row->def : "\"\"");
	}
	printf("; %s.\n", row->flags & SETTINGS_RELOAD ? "a reload takes it over" : "read at start");
}

static void put_settings(void)
{
	put_heading("posthouse.conf", "5", "settings of the Posthouse mail platform");
	printf(".SH DESCRIPTION\nOne setting a line, name = value; a list is {\"a\", \"b\"}; # begins a comment; "
	       "include(\"FILE\") reads another "
	       "file, relative to the one it stands in. A setting that begins with the name of its group may stand in a section: "
	       "tls { certificate = x } is tls_certificate = x. A setting is set once.\n.PP\n"
	       "Durations are numbers in the unit that the name ends with, or have a unit of their own: 90s, 5d (ms, s, m, h, "
	       "d). Sizes are bytes, or "
	       "have K, M or G. `posthouse check` finds every error at once; `posthouse reload` takes changes over, a file with "
	       "errors changes nothing.\n.SH THE NODE\n");
	for (size_t i = 0; i < settings_table.n; i++) {
		const struct settings_row *row = &settings_table.rows[i];
		if (row->section == NULL) {
			put_setting(row);
			continue;
		}
		printf(".SH ");
		for (const char *c = row->section; *c; c++)
			putchar(chr_upper(*c));
		putchar('\n');
		put_text(row->prose);
		putchar('\n');
	}
	printf(".SH FILES\n/etc/posthouse/posthouse.conf\n.SH SEE ALSO\nposthouse(1)\n");
}

int cmd_manual(struct ctl *ctl)
{
	static const struct {
		const char *name;
		void (*put)(void);
	} pages[] = {{"posthouse.1", put_commands}, {"posthouse.conf.5", put_settings}, {"posthouse.bash", put_completion}};
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (strcmp(ctl->args[0], pages[i].name) == 0) {
			pages[i].put();
			return CTL_YES;
		}
	return ctl_usage(ctl);
}
