// SPDX-License-Identifier: Apache-2.0
// decide SHADOW DOMAIN USERS SECONDS: recipient decisions on one thread, as a front-end makes them at RCPT: an address as text
// in, a verdict out, on a view that keeps its snapshot. Known people (u00001@DOMAIN to USERS) at random, every tenth with a
// detail. Prints a RESULT line as mailload does; fails when one is not delivered.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/str.h"
#include "ldapsync/directory.h"
#include "mail/addr.h"
#include "router/recipient.h"

enum {
	FRESH_S = 86400,      // the figure is the same for a shadow whose source is stopped
	SLOT_NS = 100,        // of the histogram
	SLOTS = 100000,       // up to 10 ms; the last holds what took longer
	WARM = 20000,         // decisions before the clock: pages of the file
	TEXT_BYTES = 300,
	ARENA_BYTES = 1 << 20,
};

struct run {
	struct directory *directory;
	struct arena *arena, *sender_arena;
	struct addr sender; // of all: a front-end has read it at MAIL
	struct str domain; // under 200 bytes
	unsigned long users;
	uint64_t state; // of the pseudo-random numbers: the same people each time
	uint64_t decided;
	uint32_t slots[SLOTS];
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(uint64_t *state) // xorshift64
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

// "u00001@DOMAIN", every tenth "u00001+lists@DOMAIN": by hand, for printf took a twentieth of what is measured here.
static struct str somebody(struct run *run, char text[TEXT_BYTES])
{
	static const char detail[] = "+lists";
	char digits[24];
	size_t n = sizeof digits, at = 0;
	for (unsigned long number = 1 + next_random(&run->state) % run->users; number > 0 || n > sizeof digits - 5; number /= 10)
		digits[--n] = (char)('0' + number % 10);
	text[at++] = 'u';
	memcpy(text + at, digits + n, sizeof digits - n);
	at += sizeof digits - n;
	if (run->decided % 10 == 0) {
		memcpy(text + at, detail, sizeof detail - 1);
		at += sizeof detail - 1;
	}
	text[at++] = '@';
	memcpy(text + at, run->domain.p, run->domain.n);
	return str_of(text, at + run->domain.n);
}

static bool decide(struct run *run)
{
	char room[TEXT_BYTES];
	struct str text = somebody(run, room);
	struct addr addr;
	struct recipient_verdict verdict;
	arena_reset(run->arena);
	if (addr_parse(run->arena, text, 0, &addr) != ADDR_OK)
		return false;
	const struct relay_client client = {.address = {.family = NETADDR_IPV4, .ip = {192, 0, 2, 7}}};
	const struct recipient_query query = {.recipient = &addr, .sender = &run->sender, .client = &client, .delimiters = STR("+"),
		.default_domain = run->domain};
	recipient_decide(run->directory, &query, run->arena, &verdict);
	run->decided++;
	if (verdict.outcome != RECIPIENT_DELIVER)
		fprintf(stderr, "decide: %.*s: %s, not delivered: %.*s\n", STR_FMT(text), recipient_outcome_name(verdict.outcome),
			(int)verdict.text.n, verdict.text.p);
	return verdict.outcome == RECIPIENT_DELIVER;
}

// Each decision is timed by itself; the rate is of the whole time, the clock's own cost in it.
static bool decide_for(struct run *run, uint64_t duration_ns)
{
	const uint64_t start = now_ns(CLOCK_MONOTONIC);
	for (uint64_t before = start, after; before - start < duration_ns; before = after) {
		if (!decide(run))
			return false;
		after = now_ns(CLOCK_MONOTONIC);
		const uint64_t slot = (after - before) / SLOT_NS;
		run->slots[slot < SLOTS ? slot : SLOTS - 1]++;
	}
	return true;
}

static double percentile_us(const struct run *run, uint64_t n, double share)
{
	uint64_t seen = 0;
	size_t slot = 0;
	while (slot < SLOTS && (seen += run->slots[slot]) < (uint64_t)ceil((double)n * share))
		slot++;
	return (double)(slot + 1) * SLOT_NS / 1000;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fputs("usage: decide SHADOW DOMAIN USERS SECONDS\n", stderr);
		return 2;
	}
	struct run *run = calloc(1, sizeof *run);
	if (!run)
		abort();
	*run = (struct run){.directory = directory_open(argv[1], FRESH_S), .arena = arena_new(ARENA_BYTES),
		.domain = str_of_c(argv[2]), .users = strtoul(argv[3], NULL, 10), .state = 88172645463325252u};
	const double seconds = strtod(argv[4], NULL);
	run->sender_arena = arena_new(ARENA_BYTES);
	directory_keep(run->directory, true);
	bool fine = run->users > 0 && seconds > 0 && run->domain.n < 200 &&
		    addr_parse(run->sender_arena, STR("friend@elsewhere.example"), 0, &run->sender) == ADDR_OK;
	for (int i = 0; fine && i < WARM; i++)
		fine = decide(run);
	run->decided = 0;
	const uint64_t wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	fine = fine && decide_for(run, (uint64_t)(seconds * 1e9));
	const double wall_s = (double)(now_ns(CLOCK_MONOTONIC) - wall) / 1e9;
	const double cpu_s = (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) / 1e9;
	if (fine)
		printf("RESULT cmd=decide ok=%" PRIu64
		       " rate=%.0f cpu_rate=%.0f p50_us=%.1f p99_us=%.1f p999_us=%.1f client_cpu_s=%.3f\n",
			run->decided, (double)run->decided / wall_s, (double)run->decided / cpu_s,
			percentile_us(run, run->decided, 0.5), percentile_us(run, run->decided, 0.99),
			percentile_us(run, run->decided, 0.999), cpu_s);
	directory_close(&run->directory);
	arena_free(&run->arena);
	arena_free(&run->sender_arena);
	free(run);
	return fine ? 0 : 1;
}
