// SPDX-License-Identifier: Apache-2.0
// Random bytes that an opponent cannot guess, from the kernel; in tests and fuzzers, per thread, a sequence fixed by a seed.
//
//     uint8_t guid[16];
//     random_bytes(guid, sizeof guid);
//     delay_ms += random_below(1000);
//
// Bytes are fetched in blocks and wiped as they are handed out; a child of fork() never repeats its parent's. Does not block once
// the machine has started; a kernel that cannot give randomness ends the process.
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t n);

uint64_t random_u64(void);

// Each of 0 … bound-1 with the same chance; bound is above 0.
uint32_t random_below(uint32_t bound);

// From now on this thread gets the sequence that follows from seed, the same on every run and machine. Tests and fuzzers only.
void random_inject(uint64_t seed);

// This thread gets the kernel's bytes again.
void random_inject_end(void);

#endif
