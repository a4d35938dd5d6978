// SPDX-License-Identifier: Apache-2.0
// In front of the hash: a short memory of passwords that matched, and a throttle on those that do not.
//
//     if (password_throttle_wait_ms(throttle, login, address, now_ms) > 0)
//         return refuse();                                              // before any hash
//     if (!password_cache_has(cache, login, stored, given, now_ms)) {
//         if (password_verify(stored, given) != PASSWORD_MATCH) {
//             switch (password_throttle_failed(throttle, login, address, now_ms)) ...   // tell an operator what is used up now
//             return refuse();
//         }
//         password_cache_add(cache, login, stored, given, now_ms);
//     }
//
// A mail client logs in every few minutes, and each time the same hash would be computed anew. The cache holds
// HMAC-SHA-256(random key of this process; login, stored value, password) with an expiry: never a password, worthless in a core
// file without the key beside it, and void as soon as the stored value changes. Failures are never cached.
//
// Both are bounded: a full set of slots drops its oldest. Both may be used by several threads at once (a mutex for the few
// hundred nanoseconds of a look-up, never held over a hash). Nothing blocks otherwise.
#ifndef MAIL_PASSWORD_CACHE_H
#define MAIL_PASSWORD_CACHE_H

#include "base/str.h"

struct password_cache;

// entries: the most, rounded up to a power of two, 8 at least; 40 bytes each, as they come. ttl_ms: how long a match is
// remembered.
struct password_cache *password_cache_new(size_t entries, uint64_t ttl_ms);
void password_cache_free(struct password_cache **cache);
bool password_cache_has(struct password_cache *cache, struct str login, struct str stored, struct str password, uint64_t now_ms);
void password_cache_add(struct password_cache *cache, struct str login, struct str stored, struct str password, uint64_t now_ms);

struct password_throttle;

// Failed log-ins in a window that slides: each is forgiven after window_ms / max, one after the other.
struct password_throttle_limits {
	uint32_t user_max;    // of one login from one address
	uint32_t address_max; // from one address (the caller cuts IPv6 to /64), whatever the logins
	uint32_t login_alarm; // of one login from all addresses together: only said, because a stop would lock its owner out
	uint32_t window_ms;
	size_t entries;       // of each kind, remembered; rounded up to a power of two
};

struct password_throttle *password_throttle_new(const struct password_throttle_limits *limits);
void password_throttle_free(struct password_throttle **throttle);

// The same in memory that processes share, of password_throttle_bytes(entries), all of it there: prepared by one of them while it
// is zeroed and nobody else has it; then each makes one at it, with the same entries. They count together, and what is counted
// outlives them. There is no lock and no pointer in it: a process that dies in the middle of a count disturbs nobody, and one
// that an attacker has can forgive and refuse, no more. is_prepared: false for what another version prepared, or for other
// entries.
size_t password_throttle_bytes(size_t entries);
void password_throttle_prepare(void *memory, size_t entries);
bool password_throttle_is_prepared(const void *memory, size_t entries);
struct password_throttle *password_throttle_at(const struct password_throttle_limits *limits, void *memory);

// What a failure has used up, just now.
enum password_throttle_used {
	PASSWORD_THROTTLE_NOTHING,
	PASSWORD_THROTTLE_USER,    // this login from this address
	PASSWORD_THROTTLE_ADDRESS,
	PASSWORD_THROTTLE_ALARM,   // login_alarm: the login is guessed at from many places
};

// 0 when an attempt may be made now, else how long until one may. What strangers fail with at their addresses never counts for a
// login that comes from another one: nobody is locked out by somebody else's guesses, but by those from his own network.
uint64_t password_throttle_wait_ms(struct password_throttle *throttle, struct str login, struct str address, uint64_t now_ms);
enum password_throttle_used password_throttle_failed(struct password_throttle *throttle, struct str login, struct str address,
	uint64_t now_ms);

// A success: what this login failed with from this address is forgiven. What the address did to other logins stays.
void password_throttle_succeeded(struct password_throttle *throttle, struct str login, struct str address, uint64_t now_ms);

#endif
