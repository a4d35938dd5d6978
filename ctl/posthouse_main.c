// SPDX-License-Identifier: Apache-2.0
// posthouse: the operator's program. Finds the command's row and runs it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "options.h"

enum { ARENA_BYTES = 16 << 20 };

static const char default_path[] = "/etc/posthouse/posthouse.conf";

// What the row needs is there; else the exit code, after it was said what is missing.
static int prepare(struct ctl *ctl)
{
	if (ctl->command->needs >= CTL_NEEDS_FILE && !ctl_may_read(ctl->path))
		return CTL_DENIED;
	if (ctl->command->needs < CTL_NEEDS_SETTINGS)
		return CTL_YES;
	const struct settings *settings = ctl_settings(ctl);
	if (settings == NULL)
		return CTL_USAGE; // a file that is closed to us was found above
	return ctl->command->needs == CTL_NEEDS_SHADOW &&
			       !ctl_may_read(settings_data_path(settings, ctl->arena, "shadow/shadow.db").p)
		       ? CTL_DENIED
		       : CTL_YES;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	if (!options_read(ctl, argc, argv))
		return CTL_USAGE;
	if (ctl_option(ctl, "--help") && ctl->command->run != cmd_help) {
		options_help(ctl->command, stdout);
		return CTL_YES;
	}
	ctl->json = ctl_option(ctl, "--json") != NULL;
	ctl->path = ctl_option(ctl, "-c") ? ctl_option(ctl, "-c") : ctl->path;
	int code = prepare(ctl);
	return code ? code : ctl->command->run(ctl);
}

int main(int argc, char **argv)
{
	const char *set = getenv("POSTHOUSE_CONF");
	struct ctl ctl = {.path = set != NULL && *set ? set : default_path};
	ctl.arena = arena_new(ARENA_BYTES);
	int code = run(&ctl, argc > 0 ? argc - 1 : 0, argv + 1);
	settings_unref(&ctl.snapshot);
	arena_free(&ctl.arena);
	free(ctl.given);
	// A full disk or a closed pipe must not look like success.
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == CTL_YES)
		code = CTL_TEMPORARY;
	return code;
}
