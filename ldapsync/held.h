// SPDX-License-Identifier: Apache-2.0
// What the brake holds, in numbers that add up: for `posthouse directory status`, which asks over the control socket.
//
//     {"what", "gone", "of", "since_ms", "held_s", "percent", "min", "window_s", "window_left_s",
//      "counts": [{"what", "gone", "of", "already", "allowed"}, …]}
//
// what, gone and of are what was found too much first, and one of counts. counts has every kind of which something would be gone:
// gone of `of` that were there when the window began, `already` of them before anything was held, so the difference waits; up to
// `allowed` may go. window_s is 0 where all of it came at once, from a file.
#ifndef LDAPSYNC_HELD_H
#define LDAPSYNC_HELD_H

#include <jansson.h>

#include "brake.h"

// NULL: nothing is held.
json_t *held_json(const struct brake_held *held, int64_t now_wall_ms);

#endif
