// SPDX-License-Identifier: Apache-2.0
// posthouse manual: posthouse(1) and posthouse.conf(5) in troff, from the tables of commands and of settings, so that they cannot lie.
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "ctl.h"

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
	printf(".\\\" made by `posthouse manual %s.%s`\n.TH %s %s \"\" \"Posthouse " POSTHOUSE_VERSION "\"\n.SH NAME\n%s \\- ", name, section, name,
		section, name);
	put_text(what);
	putchar('\n');
}

static void put_commands(void)
{
	put_heading("posthouse", "1", "run, ask and explain the Posthouse mail platform");
	printf(".SH SYNOPSIS\n.B posthouse\n[\\-c FILE] [\\-\\-json] COMMAND ...\n.SH COMMANDS\n");
	for (size_t i = 0; i < ctl_commands_n; i++) {
		printf(".TP\n.BI \"%s\" \" %s\"\n", ctl_commands[i].name, ctl_commands[i].arguments);
		put_text(ctl_commands[i].prose);
		putchar('\n');
	}
	printf(".SH OPTIONS\n.TP\n.B \\-c FILE\nThe settings. Without it $POSTHOUSE_CONF, else /etc/posthouse/posthouse.conf.\n"
		".TP\n.B \\-\\-json\nAnswers as JSON, one object a line.\n"
		".SH EXIT STATUS\n0 yes; 1 no: refused, not found, errors; 2 wrong usage; 75 temporary, or cannot know.\n"
		".SH SEE ALSO\nposthouse.conf(5), posthouse\\-mta(8), posthouse\\-popimap(8), posthouse\\-ldapsync(8)\n");
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
	printf(".SH DESCRIPTION\nOne setting a line, name = value; a list is {\"a\", \"b\"}; # begins a comment; include(\"FILE\") reads another "
		"file, relative to the one it stands in. A setting that begins with the name of its group may stand in a section: "
		"tls { certificate = x } is tls_certificate = x. A setting is set once.\n.PP\n"
		"Durations are numbers in the unit that the name ends with, or have a unit of their own: 90s, 5d (ms, s, m, h, d). Sizes are bytes, or "
		"have K, M or G. `posthouse check` finds every error at once; `posthouse reload` takes changes over, a file with errors changes "
		"nothing.\n.SH THE NODE\n");
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

int cmd_manual(struct ctl *ctl, int argc, char **argv)
{
	if (argc != 2)
		return ctl_usage(ctl);
	if (strcmp(argv[1], "posthouse.1") == 0)
		put_commands();
	else if (strcmp(argv[1], "posthouse.conf.5") == 0)
		put_settings();
	else
		return ctl_usage(ctl);
	return CTL_YES;
}
