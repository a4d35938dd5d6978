// SPDX-License-Identifier: Apache-2.0
// The folders of a node with their owners and modes, as FORMATS.md section 3 has them.
#ifndef CTL_LAYOUT_H
#define CTL_LAYOUT_H

#include "base/err.h"
#include "schema/settings.h"

// ERR_DENIED: the settings name users that whoever calls cannot become.
enum err_code layout_may(const struct settings *settings, struct err *err) ERR_CHECKED;

// Makes what is missing and sets owners and modes. As root for settings with users; without users everything is ours. Blocks.
enum err_code layout_make(const struct settings *settings, struct err *err) ERR_CHECKED;

#endif
