// SPDX-License-Identifier: Apache-2.0
// In front of the hash: a short memory of passwords that matched, and a throttle on those that do not.
//
//     if (password_throttle_wait_ms(throttle, login, address, now_ms) > 0)
//         return refuse();                                              // before any hash
//     if (!password_cache_has(cache, login, stored, given, now_ms)) {
//         if (password_verify(stored, given) != PASSWORD_MATCH) {
//             password_throttle_failed(throttle, login, address, now_ms);
//             return refuse();
//         }
//         password_cache_add(cache, login, stored, given, now_ms);
//     }
//
// A mail client logs in every few minutes, and each time the same hash would be computed anew. The cache holds HMAC-SHA-256(random key
// of this process; login, stored value, password) with an expiry: never a password, worthless in a core file without the key beside it,
// and void as soon as the stored value changes. Failures are never cached.
//
// Both have a fixed size: a full set of slots drops its oldest. Both may be used by several threads at once (a mutex for the few
// hundred nanoseconds of a look-up, never held over a hash). Nothing blocks otherwise.
#ifndef MAIL_PASSWORD_CACHE_H
#define MAIL_PASSWORD_CACHE_H

#include "base/str.h"

struct password_cache;

// entries: rounded up to a power of two; 40 bytes each. ttl_ms: how long a match is remembered.
struct password_cache *password_cache_new(size_t entries, uint64_t ttl_ms);
void password_cache_free(struct password_cache **cache);
bool password_cache_has(struct password_cache *cache, struct str login, struct str stored, struct str password, uint64_t now_ms);
void password_cache_add(struct password_cache *cache, struct str login, struct str stored, struct str password, uint64_t now_ms);

struct password_throttle;

struct password_throttle_limits {
	uint32_t login_failures;   // failures of one login that are free
	uint32_t address_failures; // failures from one address (the caller cuts IPv6 to /64) that are free
	uint32_t refill_ms;        // one failure is forgiven after this long
	size_t entries;            // logins and addresses remembered, rounded up to a power of two
};

struct password_throttle *password_throttle_new(const struct password_throttle_limits *limits);
void password_throttle_free(struct password_throttle **throttle);

// 0 when an attempt may be made now, else how long until one may. A login is throttled for addresses it has not logged in from
// lately, so that a stranger's guesses do not lock out the owner at home.
uint64_t password_throttle_wait_ms(struct password_throttle *throttle, struct str login, struct str address, uint64_t now_ms);
void password_throttle_failed(struct password_throttle *throttle, struct str login, struct str address, uint64_t now_ms);

// A success: remembers address as one of the places where login is at home, with its failures there forgiven. What the address did
// to other logins, and strangers to this one, stays.
void password_throttle_succeeded(struct password_throttle *throttle, struct str login, struct str address, uint64_t now_ms);

#endif
