// SPDX-License-Identifier: Apache-2.0
// What the commands of `posthouse` share. One file a command (cmd_NAME.c), one row a command (commands.def).
//
// To add one: a row in commands.def, and in cmd_why.c
//
//     int cmd_why(struct ctl *ctl, int argc, char **argv)        // argv[0] is the command's last word, then its arguments
//     {
//             if (argc != 2)
//                     return ctl_usage(ctl);
//             if (ctl_settings(ctl) == NULL)
//                     return CTL_NO;                              // the complaint was printed
//             ...
//             return ctl_fail(&err);                              // prints it; CTL_NO or CTL_TEMPORARY
//     }
//
// --json and -c FILE are taken out of argv before, wherever they stand. Answers go to stdout, complaints to stderr.
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>

#include "base/err.h"
#include "schema/daemons.h"
#include "schema/settings.h"

// Exit codes; a contract with others' scripts.
enum {
	CTL_YES = 0,
	CTL_NO = 1,         // refused, not found, errors
	CTL_USAGE = 2,
	CTL_TEMPORARY = 75, // temporary, or cannot know (EX_TEMPFAIL)
};

struct ctl_command;

struct ctl {
	const char *path; // of the settings
	bool json;
	const struct ctl_command *command;
	struct settings_snapshot *snapshot; // after ctl_settings()
	struct arena *arena;
};

struct ctl_command {
	const char *name; // one or two words: "check", "queue list"
	int (*run)(struct ctl *ctl, int argc, char **argv);
	const char *arguments; // as the manual shows them
	const char *prose;
};

extern const struct ctl_command ctl_commands[];
extern const size_t ctl_commands_n;

#define COMMAND(name, run, arguments, prose) int run(struct ctl *ctl, int argc, char **argv);
#include "commands.def"
#undef COMMAND

// The settings, read once; NULL when they have errors, which were printed.
const struct settings *ctl_settings(struct ctl *ctl);

// Reads the tables that the settings name (routes_file, access_file); false when they have errors, which were printed as `check` does.
bool ctl_tables_are_good(struct ctl *ctl);

// Prints how the command is used; CTL_USAGE.
int ctl_usage(const struct ctl *ctl);

// Prints the error; the exit code that fits it.
int ctl_fail(const struct err *err);
int ctl_exit_of(enum err_code code);

// Prints an object as one line of JSON; takes it.
void ctl_print_json(json_t *object);

// Asks a daemon, with args (taken; may be NULL) and item called for each line of a long answer. The result is a new reference.
enum err_code ctl_ask(struct ctl *ctl, enum daemons_id daemon, const char *command, json_t *args,
	void (*item)(const json_t *item, void *arg), void *arg, json_t **result_out, struct err *err) ERR_CHECKED;

#endif
