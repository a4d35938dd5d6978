// SPDX-License-Identifier: Apache-2.0
// posthouse help: the table of commands, for people.
#include <string.h>

#include "base/buf.h"
#include "options.h"

int cmd_help(struct ctl *ctl)
{
	struct buf b;
	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < ctl->n_args; i++)
		buf_printf(&b, "%s%s", i ? " " : "", ctl->args[i]);
	struct str wanted = buf_str(&b);
	bool found = false;
	for (size_t i = 0; i < ctl_rows_n; i++) {
		struct str name = str_of_c(ctl_rows[i].name);
		// The first word alone stands for all commands that begin with it.
		if (ctl_rows[i].run == NULL ||
			(wanted.n && !str_eq(name, wanted) && !(str_starts(name, wanted) && name.p[wanted.n] == ' ')))
			continue;
		found = true;
		options_help(&ctl_rows[i], stdout);
	}
	if (!found)
		fprintf(stderr, "posthouse: there is no command %.*s; `posthouse help` lists them\n", STR_FMT(wanted));
	if (wanted.n == 0) {
		printf("\nWith any of them:\n");
		options_help_options(NULL, stdout);
		printf("\nExit:\n");
#define HELP_EXIT(id, code, prose) printf("    %-3d %s\n", code, prose);
		CTL_EXITS(HELP_EXIT)
#undef HELP_EXIT
	}
	buf_fini(&b);
	return found ? CTL_YES : CTL_USAGE;
}
