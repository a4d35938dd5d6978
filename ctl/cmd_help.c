// SPDX-License-Identifier: Apache-2.0
// posthouse help: the table of commands, for people.
#include <stdio.h>
#include <string.h>

#include "ctl.h"

int cmd_help(struct ctl *ctl, int argc, char **argv)
{
	char wanted[64] = "";
	if (argc > 3)
		return ctl_usage(ctl);
	if (argc > 1)
		snprintf(wanted, sizeof wanted, "%s%s%s", argv[1], argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
	size_t n = strlen(wanted); // the first word alone stands for all commands that begin with it
	bool found = false;
	for (size_t i = 0; i < ctl_commands_n; i++) {
		const struct ctl_command *row = &ctl_commands[i];
		if (*wanted && strcmp(wanted, row->name) != 0 && !(strncmp(wanted, row->name, n) == 0 && row->name[n] == ' '))
			continue;
		found = true;
		printf("%s%s%s\n    %s\n", row->name, *row->arguments ? " " : "", row->arguments, row->prose);
	}
	if (!found) {
		fprintf(stderr, "posthouse: there is no command %s; `posthouse help` lists them\n", wanted);
		return CTL_NO;
	}
	if (!*wanted)
		printf("\nBefore any of them: -c FILE (else $POSTHOUSE_CONF, else /etc/posthouse/posthouse.conf), --json.\n"
			"Exit: 0 yes, 1 no, 2 usage, 75 temporary or cannot know.\n");
	return CTL_YES;
}
