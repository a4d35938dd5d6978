// SPDX-License-Identifier: Apache-2.0
// How many of something a key had in the last hour: recipients of a login (a stolen password shall not empty a spammer's list
// through us), unknown recipients of an address (nobody shall learn by asking who is here).
//
//     if (!hour_rate_take(rate, account, 1, limit, now_ms)) reply 452 4.7.1
//
// Counts in sixty buckets of a minute, so a budget comes back little by little. Bounded: over HOUR_RATE_KEYS_MAX keys the one
// that was quiet longest is forgotten. Shared by all schedulers of a process (a mutex held for nanoseconds); does not block.
#ifndef MTA_HOUR_RATE_H
#define MTA_HOUR_RATE_H

#include "base/netaddr.h"
#include "base/str.h"

enum { HOUR_RATE_KEYS_MAX = 20000, HOUR_RATE_KEY_BYTES_MAX = 256, HOUR_RATE_WINDOW_MIN = 60 };

struct hour_rate;

struct hour_rate *hour_rate_new(void);
void hour_rate_free(struct hour_rate **rate);

// Takes n from the hour's budget of key; false, taking nothing, when fewer than n are left. now_ms: clock_mono_ms(). A key of
// more than HOUR_RATE_KEY_BYTES_MAX is a bug.
bool hour_rate_take(struct hour_rate *rate, struct str key, unsigned n, int64_t per_hour_max, int64_t now_ms);

// Is nothing left of it? A key that was never seen is not remembered for having been asked about.
bool hour_rate_is_used_up(struct hour_rate *rate, struct str key, int64_t per_hour_max, int64_t now_ms);

// The key of an address: an IPv4 address, an IPv6 /64. Borrows text.
struct str hour_rate_key(const struct netaddr *addr, char text[NETADDR_TEXT_BYTES]);

#endif
