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
	X(COUNTER, settings_reload_errors, "", "Settings that were read again, had errors, and changed nothing.")
METRICS_DECLARE(BASE_METRICS)

#endif
