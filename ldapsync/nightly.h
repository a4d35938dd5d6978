// SPDX-License-Identifier: Apache-2.0
// When to compare the whole directory: once a day at an hour and minute of local time (I12). Pure, but for the time zone.
//
//     next_ms = nightly_next_ms(clock_wall_ms(), 3, 17);
//     if (nightly_is_due(next_ms, clock_wall_ms())) ...
#ifndef LDAPSYNC_NIGHTLY_H
#define LDAPSYNC_NIGHTLY_H

#include <stdbool.h>
#include <stdint.h>

// The next time that is later than wall_ms: today's or tomorrow's. Where summer time has no such minute, an hour before or after.
int64_t nightly_next_ms(int64_t wall_ms, int hour, int minute);

// Is it time? Also when it is further away than a day: the clock was set back since. next_ms 0: never.
bool nightly_is_due(int64_t next_ms, int64_t wall_ms);

#endif
