// SPDX-License-Identifier: Apache-2.0
// What is counted during a run, and the line in which it is told:
//
//     RESULT cmd=smtp ok=5000 err=0 secs=1.234 rate=4051.9 p50_ms=3.10 ... client_cpu_s=0.41 timed_out=0 conns=20 ...
//
// One thread; nothing here blocks but writing to stdout.
#ifndef MAILLOAD_STATS_H
#define MAILLOAD_STATS_H

#include <stdbool.h>
#include <stdint.h>

// Latencies: 64 steps for each power of two, so a value is within 1.6 % of what is told.
enum { STATS_STEP_BITS = 6 };
struct histogram {
	uint64_t n, max_us;
	uint32_t count[(64 - STATS_STEP_BITS) << STATS_STEP_BITS];
};

struct totals {
	long ok, err;
	long rejected, tempfail; // RCPT answered 5xx, 4xx
	long mismatch;           // answered, but not as it is in the directory
	long dropped;            // the server hung up on us with 421
	long reconnects;
	uint64_t body_bytes;
	bool timed_out;
	uint64_t start_us, end_us; // end: of the last operation that was done
};

extern struct totals totals;
extern struct histogram latency;

uint64_t stats_now_us(void);

// 0 when b is not after a.
double stats_seconds(uint64_t a_us, uint64_t b_us);

void stats_add(struct histogram *h, uint64_t us);

// The upper edge of the step in which the share q (0 to 1) of the values ends, in milliseconds; 0 without values.
double stats_quantile_ms(const struct histogram *h, double q);

// One operation that began at start_us has succeeded.
void stats_operation_done(uint64_t start_us);

// Nanoseconds of CPU that the control groups in opt.usage_files have used so far.
uint64_t stats_server_cpu_ns(void);

// Prints the RESULT line; extra is more "key=value" text.
void stats_result(const char *name, long ok, double seconds, const struct histogram *h, const char *extra);

#endif
