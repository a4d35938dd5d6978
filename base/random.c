// SPDX-License-Identifier: Apache-2.0
// Random bytes: the kernel's, fetched in blocks per thread, or a sequence fixed by a seed (splitmix64).
#include "base/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "base/must.h"

enum { BLOCK_BYTES = 256 }; // getrandom never returns short for this much

struct source {
	uint8_t block[BLOCK_BYTES];
	size_t left;   // the last `left` bytes of block are unused
	unsigned forks; // of the process, when block was filled
	bool seeded;
	uint64_t seed;
};

static _Thread_local struct source source;
static unsigned forks; // counted in the child, which has one thread
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
	forks++;
}

static void watch_forks(void)
{
	must(pthread_atfork(NULL, NULL, count_fork) == 0);
}

static void kernel_bytes(void *out, size_t n)
{
	for (uint8_t *p = out; n;) {
		ssize_t got = getrandom(p, n < BLOCK_BYTES ? n : BLOCK_BYTES, 0);
		must(got > 0 || errno == EINTR);
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}

static uint64_t seeded_u64(void)
{
	uint64_t z = source.seed += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void seeded_bytes(uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t value = seeded_u64();
		for (size_t k = 0; k < 8 && i + k < n; k++)
			out[i + k] = (uint8_t)(value >> (8 * k));
	}
}

void random_bytes(void *out, size_t n)
{
	if (source.seeded) {
		seeded_bytes(out, n);
		return;
	}
	if (n > BLOCK_BYTES / 2) {
		kernel_bytes(out, n);
		return;
	}
	pthread_once(&once, watch_forks);
	if (source.left < n || source.forks != forks) {
		kernel_bytes(source.block, BLOCK_BYTES);
		source.left = BLOCK_BYTES;
		source.forks = forks;
	}
	uint8_t *from = source.block + BLOCK_BYTES - source.left;
	memcpy(out, from, n);
	explicit_bzero(from, n);
	source.left -= n;
}

uint64_t random_u64(void)
{
	uint64_t value;
	random_bytes(&value, sizeof value);
	return value;
}

uint32_t random_below(uint32_t bound)
{
	must(bound > 0);
	// Values in the incomplete last run of `bound` would make the small ones likelier.
	uint32_t limit = UINT32_MAX - UINT32_MAX % bound;
	uint32_t value;
	do
		random_bytes(&value, sizeof value);
	while (value >= limit);
	return value % bound;
}

void random_inject(uint64_t seed)
{
	source.seeded = true;
	source.seed = seed;
}

void random_inject_end(void)
{
	source.seeded = false;
}
