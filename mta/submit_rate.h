// SPDX-License-Identifier: Apache-2.0
// How many recipients a login has sent to in the last hour: a stolen password shall not empty a spammer's list through us.
//
//     if (!submit_rate_take(rate, account, 1, limit, now_ms)) reply 452 4.7.1
//
// Counts in sixty buckets of a minute, so a budget comes back little by little. Bounded: over SUBMIT_RATE_LOGINS_MAX logins the one
// that was quiet longest is forgotten. Shared by all schedulers of a process (a mutex held for nanoseconds); does not block.
#ifndef MTA_SUBMIT_RATE_H
#define MTA_SUBMIT_RATE_H

#include "base/str.h"

enum { SUBMIT_RATE_LOGINS_MAX = 20000, SUBMIT_RATE_WINDOW_MIN = 60 };

struct submit_rate;

struct submit_rate *submit_rate_new(void);
void submit_rate_free(struct submit_rate **rate);

// Takes n recipients from the hour's budget of login; false, taking nothing, when fewer than n are left. now_ms: clock_mono_ms().
bool submit_rate_take(struct submit_rate *rate, struct str login, unsigned n, int64_t per_hour_max, int64_t now_ms);

#endif
