// SPDX-License-Identifier: Apache-2.0
// posthouse: the operator's program. Finds the command's row and runs it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "ctl.h"

enum { ARENA_BYTES = 16 << 20 };

static const char default_path[] = "/etc/posthouse/posthouse.conf";

// Takes -c FILE and --json out of argv, wherever they stand; "--" ends that. Returns the new argc, or -1 when -c has no file.
static int take_options(struct ctl *ctl, int argc, char **argv)
{
	int kept = 0;
	bool options = true;
	for (int i = 0; i < argc; i++) {
		options = options && strcmp(argv[i], "--") != 0;
		if (options && strcmp(argv[i], "--json") == 0) {
			ctl->json = true;
		} else if (options && strcmp(argv[i], "-c") == 0) {
			if (++i == argc)
				return -1;
			ctl->path = argv[i];
		} else {
			argv[kept++] = argv[i];
		}
	}
	argv[kept] = NULL;
	return kept;
}

// The row whose words begin argv; the longest. *words_out is how many words.
static const struct ctl_command *find(int argc, char **argv, int *words_out)
{
	for (int words = argc < 2 ? argc : 2; words > 0; words--) {
		char name[64];
		snprintf(name, sizeof name, "%s%s%s", argv[0], words == 2 ? " " : "", words == 2 ? argv[1] : "");
		for (size_t i = 0; i < ctl_commands_n; i++)
			if (strcmp(ctl_commands[i].name, name) == 0) {
				*words_out = words;
				return &ctl_commands[i];
			}
	}
	return NULL;
}

// Says how commands are used: those that begin with the same word when there are any, else that there is none.
static int no_command(int argc, char **argv)
{
	bool found = false;
	for (size_t i = 0; i < ctl_commands_n && argc > 0; i++) {
		size_t n = strlen(argv[0]);
		if (strncmp(ctl_commands[i].name, argv[0], n) != 0 || ctl_commands[i].name[n] != ' ')
			continue;
		ctl_usage(&(struct ctl){.command = &ctl_commands[i]});
		found = true;
	}
	if (!found && argc > 0)
		fprintf(stderr, "posthouse: there is no command %s; `posthouse help` lists them\n", argv[0]);
	else if (!found)
		fprintf(stderr, "usage: posthouse [-c FILE] [--json] COMMAND ...; `posthouse help` lists the commands\n");
	return CTL_USAGE;
}

int main(int argc, char **argv)
{
	const char *set = getenv("POSTHOUSE_CONF");
	struct ctl ctl = {.path = set != NULL && *set ? set : default_path};
	argc = take_options(&ctl, argc - 1, ++argv);
	int words = 0;
	ctl.command = argc > 0 ? find(argc, argv, &words) : NULL;
	if (ctl.command == NULL)
		return no_command(argc, argv);
	ctl.arena = arena_new(ARENA_BYTES);
	int code = ctl.command->run(&ctl, argc - words + 1, argv + words - 1);
	settings_unref(&ctl.snapshot);
	arena_free(&ctl.arena);
	// A full disk or a closed pipe must not look like success.
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == CTL_YES)
		code = CTL_TEMPORARY;
	return code;
}
