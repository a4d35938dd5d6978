// SPDX-License-Identifier: Apache-2.0
// The metrics of base/ itself. Rows: base/metrics.h. For base/ only; others register them with metrics_register_base().
#ifndef BASE_METRICS_BASE_H
#define BASE_METRICS_BASE_H

#include "base/metrics.h"

#define BASE_METRICS(X)                                                                                                       \
	X(COUNTER, log_dropped, "",                                                                                           \
		"Log lines that were dropped because whoever reads the log was slower than we wrote. Each is an event that "  \
		"nobody will see.")                                                                                           \
	X(COUNTER, control_requests, "", "Requests on the control socket.")                                                   \
	X(COUNTER, control_refused, "", "Connections to the control socket from users who may not use it.")                   \
	X(COUNTER, settings_reloads, "", "Settings that were read again and taken over.")                                     \
	X(COUNTER, settings_reload_errors, "", "Settings that were read again, had errors, and changed nothing.")             \
	X(GAUGE, fibers, "", "Fibers alive on all schedulers: sessions, deliveries and their helpers.")                       \
	X(GAUGE, fibers_refused, "", "Fibers that were not made since the start because there were too many.")                \
	X(GAUGE, fiber_stack_high_water, "bytes", "The most stack that any fiber has used since the start, of 64 KiB.")       \
	X(GAUGE, worker_jobs_waiting, "", "Jobs that wait for a worker thread now.")                                          \
	X(GAUGE, worker_jobs_running, "", "Jobs that worker threads do now.")                                                 \
	X(GAUGE, worker_jobs_done, "", "Jobs that worker threads did since the start.")                                       \
	X(GAUGE, worker_jobs_refused, "", "Jobs refused since the start because too many waited.")                            \
	X(GAUGE, connections, "", "Connections accepted and open now.")
METRICS_DECLARE(BASE_METRICS)

#endif
