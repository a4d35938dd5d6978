// SPDX-License-Identifier: Apache-2.0
// The two ways in which most workloads run: so many operations, or so many connections held.
#include "stats.h"
#include "workloads.h"

#include <stdio.h>

static uint64_t hold_until_us;

void workload_run(client_step *step)
{
	static struct sockaddr_storage to;
	client_resolve(opt.server, &to);
	if (opt.connections > opt.operations)
		opt.connections = opt.operations;
	opt.opening = opt.connections;
	client_add(opt.connections, step, &to, opt.tls, false);
	client_run(NULL);
	double seconds = stats_seconds(totals.start_us, totals.end_us);
	double mb_s = seconds > 0 ? (double)totals.body_bytes / 1e6 / seconds : 0;
	char extra[256];
	snprintf(extra, sizeof extra, "conns=%ld size=%ld mb_s=%.2f rejected=%ld tempfail=%ld mismatch=%ld dropped=%ld",
		opt.connections, opt.message_bytes, mb_s, totals.rejected, totals.tempfail, totals.mismatch, totals.dropped);
	stats_result(opt.workload, totals.ok, seconds, &latency, extra);
}

static bool held_long_enough(void)
{
	uint64_t now_us = stats_now_us();
	if (!hold_until_us && client_opened + totals.err >= opt.connections) {
		hold_until_us = now_us + (uint64_t)(opt.hold_s * 1e6);
		printf("READY opened=%ld secs=%.3f\n", client_opened, stats_seconds(totals.start_us, now_us));
		fflush(stdout);
	}
	return hold_until_us && now_us >= hold_until_us;
}

void workload_hold(client_step *step)
{
	static struct sockaddr_storage to;
	client_resolve(opt.server, &to);
	opt.operations = opt.connections;
	opt.seconds_max += opt.hold_s;
	client_add(opt.connections, step, &to, opt.tls, false);
	client_run(held_long_enough);
	char extra[64];
	snprintf(extra, sizeof extra, "conns=%ld opened=%ld", opt.connections, client_opened);
	stats_result(opt.workload, totals.ok, stats_seconds(totals.start_us, totals.end_us), &latency, extra);
}
