// SPDX-License-Identifier: Apache-2.0
// Counters, latencies and the RESULT line.
#include "stats.h"

#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct totals totals;
struct histogram latency;

uint64_t stats_now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

double stats_seconds(uint64_t a_us, uint64_t b_us)
{
	return b_us > a_us ? (double)(b_us - a_us) / 1e6 : 0;
}

void stats_add(struct histogram *h, uint64_t us)
{
	unsigned step = (unsigned)us;
	if (us >= 1u << STATS_STEP_BITS) {
		unsigned shift = 63u - (unsigned)__builtin_clzll(us) - STATS_STEP_BITS;
		step = ((shift + 1) << STATS_STEP_BITS) + (unsigned)((us >> shift) - (1u << STATS_STEP_BITS));
	}
	h->count[step]++;
	h->n++;
	if (us > h->max_us)
		h->max_us = us;
}

static uint64_t upper_edge_us(unsigned step)
{
	if (step < 1u << STATS_STEP_BITS)
		return step;
	unsigned shift = (step >> STATS_STEP_BITS) - 1;
	unsigned low = (step & ((1u << STATS_STEP_BITS) - 1)) + (1u << STATS_STEP_BITS);
	return ((uint64_t)(low + 1) << shift) - 1;
}

double stats_quantile_ms(const struct histogram *h, double q)
{
	uint64_t wanted = (uint64_t)(q * (double)h->n), sum = 0;
	if (h->n && wanted >= h->n)
		wanted = h->n - 1;
	for (unsigned i = 0; i < sizeof h->count / sizeof *h->count; i++) {
		sum += h->count[i];
		if (sum > wanted) {
			uint64_t us = upper_edge_us(i);
			return (double)(us < h->max_us ? us : h->max_us) / 1000.0;
		}
	}
	return 0;
}

void stats_operation_done(uint64_t start_us)
{
	totals.end_us = stats_now_us();
	totals.ok++;
	stats_add(&latency, totals.end_us - start_us);
}

// cpuacct.usage is one number, nanoseconds; cpu.stat begins with "usage_usec" and microseconds.
static uint64_t usage_ns(const char *path)
{
	char text[64] = "";
	FILE *file = fopen(path, "re");
	if (file) {
		if (!fgets(text, sizeof text, file))
			text[0] = 0;
		fclose(file);
	}
	static const char unified[] = "usage_usec ";
	size_t skip = strncmp(text, unified, sizeof unified - 1) ? 0 : sizeof unified - 1;
	return strtoull(text + skip, NULL, 10) * (skip ? 1000 : 1);
}

uint64_t stats_server_cpu_ns(void)
{
	uint64_t sum = 0;
	char path[512];
	for (const char *p = opt.usage_files; *p;) {
		size_t n = strcspn(p, ",");
		if (snprintf(path, sizeof path, "%.*s", (int)n, p) < (int)sizeof path)
			sum += usage_ns(path);
		p += n + (p[n] == ',');
	}
	return sum;
}

static double own_cpu_s(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

void stats_result(const char *name, long ok, double seconds, const struct histogram *h, const char *extra)
{
	printf("RESULT cmd=%s ok=%ld err=%ld secs=%.4f rate=%.1f p50_ms=%.2f p99_ms=%.2f p999_ms=%.2f max_ms=%.2f reconnects=%ld "
	       "client_cpu_s=%.3f timed_out=%d %s\n",
	       name, ok, totals.err, seconds, seconds > 0 ? (double)ok / seconds : 0.0, stats_quantile_ms(h, .50),
	       stats_quantile_ms(h, .99), stats_quantile_ms(h, .999), (double)h->max_us / 1000.0, totals.reconnects, own_cpu_s(),
	       totals.timed_out, extra);
	fflush(stdout);
}
