// SPDX-License-Identifier: Apache-2.0
// A time of the day, in local time.
#include "nightly.h"

#include <time.h>

enum { DAY_S_MAX = 26 * 3600 }; // one on which summer time ends, and an hour for a minute that there is not

int64_t nightly_next_ms(int64_t wall_ms, int hour, int minute)
{
	time_t now = (time_t)(wall_ms / 1000);
	struct tm tm;
	localtime_r(&now, &tm);
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	struct tm tomorrow = tm;
	tomorrow.tm_mday++;
	time_t at = mktime(&tm);
	return (int64_t)(at > now ? at : mktime(&tomorrow)) * 1000;
}

bool nightly_is_due(int64_t next_ms, int64_t wall_ms)
{
	return next_ms && (wall_ms >= next_ms || next_ms - wall_ms > (int64_t)DAY_S_MAX * 1000);
}
