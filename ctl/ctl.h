// SPDX-License-Identifier: Apache-2.0
// What the commands of `posthouse` share. One file a command (cmd_NAME.c), one row a command and a row for each of its options
// (commands.def).
//
// To add one: rows in commands.def, and in cmd_why.c
//
//     int cmd_why(struct ctl *ctl)
//     {
//             const struct settings *settings = ctl_settings(ctl);  // were read, where the row needs SETTINGS
//             const char *client = ctl_option(ctl, "--client");     // NULL: not given
//             for (size_t i = 0; i < ctl->n_args; i++)
//                     ... ctl->args[i] ...
//             return ctl_fail(&err);                                // prints it; the exit code that fits
//     }
//
// Answers go to stdout, complaints to stderr.
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "schema/daemons.h"
#include "schema/settings.h"

// Exit codes; a contract with others' scripts. id, code, what the manual says
#define CTL_EXITS(X) \
	X(CTL_YES, 0, "Yes; done.") \
	X(CTL_NO, 1, "No: refused, not found, something is wrong or would change. The command says what its 1 is.") \
	X(CTL_USAGE, 2, \
		"It cannot be done like this: a wrong option or argument, a file or settings that are missing or have errors.") \
	X(CTL_TEMPORARY, 75, \
		"Temporary, or it cannot be known: a daemon does not run, the shadow is not complete or not fresh.") \
	X(CTL_DENIED, 77, "Whoever calls may not: settings, shadow, a file or a daemon's socket are closed to this user.")

enum {
#define CTL_EXIT(id, code, prose) id = code,
	CTL_EXITS(CTL_EXIT)
#undef CTL_EXIT
};

// A row of commands.def: a command, or an option of the command above it.
struct ctl;
struct ctl_row {
	const char *name; // "check", "queue list"; "--why"
	int (*run)(struct ctl *ctl); // NULL: an option
	const char *arguments; // as the manual shows them; of an option: what its value is called, "" without one
	uint8_t least, most;   // how many arguments
	enum {
		CTL_NEEDS_NOTHING,  // reads the settings where it wants to
		CTL_NEEDS_FILE,     // their file may be read; it says what is wrong with them
		CTL_NEEDS_SETTINGS, // they are good
		CTL_NEEDS_SHADOW,   // and the shadow, if there is one, may be read
	} needs;
	enum { CTL_MAY, CTL_MUST, CTL_INSTEAD, CTL_WHICH } how; // of an option
	const char *prose;
};

extern const struct ctl_row ctl_rows[];
extern const size_t ctl_rows_n;

struct ctl {
	const char *path; // of the settings
	bool json;
	const struct ctl_row *command;
	char **args; // of the command, without options
	size_t n_args;
	const char **given; // owned; of each row the value of the option, "" for one without, NULL when it is not given
	struct settings_snapshot *snapshot; // after ctl_settings()
	struct arena *arena;
};

#define COMMAND(name, run, arguments, least, most, needs, prose) int run(struct ctl *ctl);
#define OPTION(name, value, how, prose)
#include "commands.def"
#undef COMMAND
#undef OPTION

// The value of an option; "" when it is one without; NULL when it is not given.
const char *ctl_option(const struct ctl *ctl, const char *name);

// Says that the value of an option is no good; CTL_USAGE.
int ctl_wrong(const struct ctl *ctl, const char *option, const char *what);

// The settings, read once; NULL when they have errors, which were printed: the exit code is then
// ctl_without_settings(). Never NULL for a command that needs them.
const struct settings *ctl_settings(struct ctl *ctl);
int ctl_without_settings(const struct ctl *ctl);

// The exit code of a command whose answer it is that the settings have errors: CTL_NO; CTL_USAGE where there is no such file.
int ctl_settings_wrong(const struct ctl *ctl);

// False when the file is closed to this user, which was said. What is not there is another matter.
bool ctl_may_read(const char *path);

// Reads the tables that the settings name (routes_file, access_file); false when they have errors, which were printed as `check`
// does.
bool ctl_tables_are_good(struct ctl *ctl);

// Prints how the command is used; CTL_USAGE.
int ctl_usage(const struct ctl *ctl);

// Prints the error; the exit code that fits it.
int ctl_fail(const struct err *err);
int ctl_exit_of(enum err_code code);

// Prints what went wrong with a file that the user named; CTL_USAGE, or CTL_DENIED.
int ctl_file_fail(const struct err *err);

// Prints an object as one line of JSON; takes it.
void ctl_print_json(json_t *object);

// Asks a daemon, with args (taken; may be NULL) and item called for each line of a long answer. The result is a new reference.
enum err_code ctl_ask(struct ctl *ctl, enum daemons_id daemon, const char *command, json_t *args,
	void (*item)(const json_t *item, void *arg), void *arg, json_t **result_out, struct err *err) ERR_CHECKED;

#endif
