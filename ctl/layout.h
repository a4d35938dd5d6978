// SPDX-License-Identifier: Apache-2.0
// The folders of a node with their owners and modes, as FORMATS.md section 3 has them.
#ifndef CTL_LAYOUT_H
#define CTL_LAYOUT_H

#include "base/err.h"
#include "schema/settings.h"

// Makes what is missing and sets owners and modes. As root for settings with users; without users everything is ours. Blocks.
enum err_code layout_make(const struct settings *settings, struct err *err) ERR_CHECKED;

#endif
