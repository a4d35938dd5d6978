// SPDX-License-Identifier: Apache-2.0
// The tables in files that the settings name, read: the one part of the router that opens files.
//
//     struct rules *rules;
//     if (rules_load(settings, complain, context, &rules, err)) ...     // a table of rules is damaged; or keep the old ones
//
// Blocks on the disk: at start, on reload and in `posthouse`, never on a fiber.
#ifndef ROUTER_RULES_LOAD_H
#define ROUTER_RULES_LOAD_H

#include "base/err.h"
#include "router/rules.h"
#include "schema/settings.h"

// rules_out: NULL when no file is named. ERR_INVALID when rows are wrong, each of which is complained of; else what reading gave:
// that table is damaged then (rules_damage), the other one is good.
enum err_code rules_load(const struct settings *settings, rules_complain_fn *complain, void *context, struct rules **rules_out,
	struct err *err) ERR_CHECKED;

#endif
