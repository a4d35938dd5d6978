// SPDX-License-Identifier: Apache-2.0
// Metrics: one row per counter, gauge or histogram; the variable, the registration and the text for the operator come from it.
//
// A folder has one list of rows (kind, name, unit, help), in a private header <folder>/metrics.h:
//
//     #define MTA_METRICS(X)              (with a backslash at the end of each line)
//             X(COUNTER, mta_sessions, "", "SMTP sessions begun. Refused connections are in mta_refused.")
//             X(GAUGE, mta_sessions_open, "", "SMTP sessions now open.")
//             X(HISTOGRAM, mta_commit, "seconds", "From the final dot to the commit. Observed in microseconds.")
//     METRICS_DECLARE(MTA_METRICS)
//
// defined once, in <folder>/metrics.c, and registered when the daemon starts:
//
//     METRICS_DEFINE(mta_metrics, MTA_METRICS)                  // at file level
//     metrics_register(mta_metrics);                            // in the daemon's start
//
// and used anywhere: a row NAME is the variable metric_NAME.
//
//     metric_add(&metric_mta_sessions, 1);
//     metric_add(&metric_mta_sessions_open, -1);
//     metric_observe(&metric_mta_commit, elapsed_us);
//
// Updates are relaxed atomics on a cache line that the thread mostly has to itself; any thread, never block. Names are unique in
// the tree and begin with their folder. Rendered as OpenMetrics 1.0 with the prefix posthouse_: counters get _total, units their
// suffix.
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

enum metric_kind {
	METRIC_COUNTER,   // only grows
	METRIC_GAUGE,     // goes up and down
	METRIC_HISTOGRAM, // observed values: whole numbers, in microseconds for the unit "seconds", else in the unit itself
};

enum {
	METRIC_SHARDS = 4,
	METRIC_BUCKETS = 20, // bounds 1, 4, 16, ... 4^18, +Inf: microseconds to days, bytes to 64 GiB
};

struct metric_shard {
	_Alignas(64) _Atomic int64_t value; // counters and gauges; a histogram's sum
};

struct metric {
	enum metric_kind kind;
	const char *name, *unit, *help;
	struct metric_shard shard[METRIC_SHARDS];
	_Atomic uint64_t *buckets; // METRIC_BUCKETS of them, or NULL
};

// A counter's n must not be negative.
void metric_add(struct metric *metric, int64_t n);

// Gauges that one place computes. Not together with metric_add on the same gauge from several threads.
void metric_set(struct metric *metric, int64_t value);

void metric_observe(struct metric *metric, uint64_t value);

// The value now (counters, gauges), or how many values were observed. For tests and for `stats`.
int64_t metric_read(const struct metric *metric);

// Adds a table to what metrics_render() shows; twice is once. table ends with NULL and lives for ever.
void metrics_register(struct metric *const *table);

// Called at the start of each rendering, to metric_set() what is computed rather than counted. Must not block. At most 32.
void metrics_on_render(void (*collect)(void *arg), void *arg);

// Appends all registered metrics as OpenMetrics text, "# EOF" included. Any thread.
void metrics_render(struct buf *b);

// Calls visit for each registered metric, after the collectors. Any thread; visit must not register.
void metrics_visit(void (*visit)(const struct metric *metric, void *arg), void *arg);

// base/'s own table: log, fibers, connections.
void metrics_register_base(void);

#define METRICS_DECLARE(ROWS) ROWS(METRIC_DECLARE_)
#define METRIC_DECLARE_(kind_, name_, unit_, help_) extern struct metric metric_##name_;
#define METRICS_DEFINE(table, ROWS)                                                                                           \
	ROWS(METRIC_DEFINE_)                                                                                                  \
	struct metric *const table[] = {ROWS(METRIC_LIST_) NULL};
#define METRIC_DEFINE_(kind_, name_, unit_, help_)                                                                            \
	static _Atomic uint64_t metric_buckets_##name_[METRIC_##kind_ == METRIC_HISTOGRAM ? METRIC_BUCKETS : 1];              \
	struct metric metric_##name_ = {.kind = METRIC_##kind_, .name = #name_, .unit = unit_, .help = help_,                 \
		.buckets = metric_buckets_##name_};
#define METRIC_LIST_(kind_, name_, unit_, help_) &metric_##name_,

#endif
