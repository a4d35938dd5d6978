// SPDX-License-Identifier: Apache-2.0
// The arguments of `posthouse`, read by the rows of commands.def: one parser for all commands.
//
//     -c FILE, --json and --help stand anywhere; options of a command stand behind its name, among its arguments; "--" ends
//     options. --name VALUE and --name=VALUE are the same. An option is given once, those of all commands as often
//     as one likes: the last counts.
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include "base/buf.h"
#include "ctl.h"

// Fills ctl->command, arguments and options in; argv is put in order for that. False when that is not how it is used: said on
// stderr.
bool options_read(struct ctl *ctl, int argc, char **argv);

// "queue hold [--why TEXT] --all|QUEUE_ID..."
void options_usage(const struct ctl_row *command, struct buf *out);

// What help says of a command, with its options.
void options_help(const struct ctl_row *command, FILE *out);

// Its options alone; command NULL: those of all commands.
void options_help_options(const struct ctl_row *command, FILE *out);

// The options of a command, one after the other: NULL first, then what came last; NULL behind the last. command NULL: those of
// all commands.
const struct ctl_row *options_next(const struct ctl_row *command, const struct ctl_row *option);

#endif
