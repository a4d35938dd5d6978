// SPDX-License-Identifier: Apache-2.0
// decide SHADOW_DB USERS [SECONDS]: how many recipient decisions a second one thread makes from a shadow with u0@uni.example … in it.
//
// As a front-end does: a view that keeps its snapshot, an arena a transaction, known users in no order (every tenth by another of its
// addresses with a detail). Prints one line of JSON.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ldapsync/directory.h"
#include "router/recipient.h"

enum { SAMPLES = 1 << 16, ARENA_BYTES = 1 << 20 };

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static bool decide(struct directory *directory, struct arena *arena, uint64_t i, uint64_t user)
{
	struct addr addr, sender;
	struct recipient_verdict verdict;
	char text[64];
	int n = i % 10 ? snprintf(text, sizeof text, "u%llu@uni.example", (unsigned long long)user)
		       : snprintf(text, sizeof text, "First.Last%llu+box@uni.example", (unsigned long long)user);
	arena_reset(arena);
	if (addr_parse(arena, str_of(text, (size_t)n), 0, &addr) != ADDR_OK || addr_parse(arena, STR("a@else.example"), 0, &sender) != ADDR_OK)
		return false;
	const struct recipient_query query = {.recipient = &addr, .sender = &sender, .delimiters = STR("+"), .default_domain = STR("uni.example")};
	recipient_decide(directory, &query, arena, &verdict);
	return verdict.outcome == RECIPIENT_DELIVER;
}

int main(int argc, char **argv)
{
	static uint32_t samples[SAMPLES];
	if (argc < 3)
		return fprintf(stderr, "usage: decide SHADOW_DB USERS [SECONDS]\n"), 2;
	uint64_t users = strtoull(argv[2], NULL, 10), user = 1, n = 0;
	int64_t seconds = argc > 3 ? strtoll(argv[3], NULL, 10) : 5;
	struct directory *directory = directory_open(argv[1], 30);
	struct arena *arena = arena_new(ARENA_BYTES);
	directory_keep(directory, true);
	for (uint64_t i = 0; i < users; i += 50) // pages in memory, as after a minute of service
		if (!decide(directory, arena, 1, i))
			return fprintf(stderr, "u%llu is not delivered\n", (unsigned long long)i), 1;
	int64_t began = now_ns(), last = began;
	while (last - began < seconds * 1000000000) {
		user = user * 6364136223846793005u + 1442695040888963407u;
		if (!decide(directory, arena, n, (user >> 20) % users))
			return fprintf(stderr, "a user is not delivered\n"), 1;
		int64_t now = now_ns();
		samples[n++ % SAMPLES] = (uint32_t)(now - last);
		last = now;
	}
	size_t kept = n < SAMPLES ? (size_t)n : SAMPLES;
	qsort(samples, kept, sizeof *samples, by_value);
	printf("{\"decisions\": %llu, \"per_s\": %.0f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", (unsigned long long)n,
		(double)n * 1e9 / (double)(last - began), samples[kept / 2] / 1000.0, samples[kept * 99 / 100] / 1000.0);
	directory_close(&directory);
	arena_free(&arena);
	return 0;
}
