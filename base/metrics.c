// SPDX-License-Identifier: Apache-2.0
// Metrics: the registered tables, updates on per-thread shards, and the OpenMetrics text.
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>

#include "base/must.h"
#include "metrics_base.h"

METRICS_DEFINE(base_metrics, BASE_METRICS)

enum { TABLES_MAX = 32, COLLECTORS_MAX = 32, MICROSECONDS = 1000000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // over the tables and one rendering; never over an update
static struct metric *const *tables[TABLES_MAX];
static size_t tables_n;
static struct {
	void (*collect)(void *arg);
	void *arg;
} collectors[COLLECTORS_MAX];
static size_t collectors_n;

static unsigned my_shard(void)
{
	static _Atomic unsigned next;
	static _Thread_local unsigned mine; // 0: none yet
	if (mine == 0)
		mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % METRIC_SHARDS + 1;
	return mine - 1;
}

void metric_add(struct metric *metric, int64_t n)
{
	atomic_fetch_add_explicit(&metric->shard[my_shard()].value, n, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value)
{
	must(metric->kind == METRIC_GAUGE);
	for (size_t i = 1; i < METRIC_SHARDS; i++)
		atomic_store_explicit(&metric->shard[i].value, 0, memory_order_relaxed);
	atomic_store_explicit(&metric->shard[0].value, value, memory_order_relaxed);
}

// Bucket i holds values up to 4^i; the last one the rest.
static size_t bucket_of(uint64_t value)
{
	size_t i = 0;
	for (uint64_t bound = 1; i < METRIC_BUCKETS - 1 && value > bound; bound *= 4)
		i++;
	return i;
}

void metric_observe(struct metric *metric, uint64_t value)
{
	must(metric->kind == METRIC_HISTOGRAM);
	atomic_fetch_add_explicit(&metric->buckets[bucket_of(value)], 1, memory_order_relaxed);
	metric_add(metric, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static int64_t shards_sum(const struct metric *metric)
{
	int64_t sum = 0;
	for (size_t i = 0; i < METRIC_SHARDS; i++)
		sum += atomic_load_explicit(&metric->shard[i].value, memory_order_relaxed);
	return sum;
}

int64_t metric_read(const struct metric *metric)
{
	if (metric->kind != METRIC_HISTOGRAM)
		return shards_sum(metric);
	uint64_t count = 0;
	for (size_t i = 0; i < METRIC_BUCKETS; i++)
		count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
	return (int64_t)count;
}

void metrics_register(struct metric *const *table)
{
	pthread_mutex_lock(&lock);
	bool known = false;
	for (size_t i = 0; i < tables_n; i++)
		known = known || tables[i] == table;
	must(known || tables_n < TABLES_MAX);
	if (!known)
		tables[tables_n++] = table;
	pthread_mutex_unlock(&lock);
}

void metrics_register_base(void)
{
	metrics_register(base_metrics);
}

void metrics_on_render(void (*collect)(void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	must(collectors_n < COLLECTORS_MAX);
	collectors[collectors_n].collect = collect;
	collectors[collectors_n++].arg = arg;
	pthread_mutex_unlock(&lock);
}

static void add_number(struct buf *b, const struct metric *metric, int64_t value)
{
	if (str_eq(str_of_c(metric->unit), STR("seconds")) && metric->kind == METRIC_HISTOGRAM)
		buf_printf(b, "%lld.%06lld", (long long)(value / MICROSECONDS), (long long)(value % MICROSECONDS));
	else
		buf_printf(b, "%lld", (long long)value);
}

static void render_histogram(struct buf *b, const struct metric *metric, const char *name)
{
	uint64_t count = 0;
	int64_t bound = 1;
	for (size_t i = 0; i < METRIC_BUCKETS; i++, bound *= 4) {
		count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
		buf_printf(b, "%s_bucket{le=\"", name);
		if (i == METRIC_BUCKETS - 1)
			buf_add(b, STR("+Inf"));
		else
			add_number(b, metric, bound);
		buf_printf(b, "\"} %llu\n", (unsigned long long)count);
	}
	buf_printf(b, "%s_count %llu\n%s_sum ", name, (unsigned long long)count, name);
	add_number(b, metric, shards_sum(metric));
	buf_add_byte(b, '\n');
}

static void render(struct buf *b, const struct metric *metric)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};
	char name[128];
	snprintf(name, sizeof name, "posthouse_%s%s%s", metric->name, *metric->unit ? "_" : "", metric->unit);
	buf_printf(b, "# TYPE %s %s\n", name, kinds[metric->kind]);
	if (*metric->unit)
		buf_printf(b, "# UNIT %s %s\n", name, metric->unit);
	buf_printf(b, "# HELP %s %s\n", name, metric->help);
	if (metric->kind == METRIC_HISTOGRAM) {
		render_histogram(b, metric, name);
		return;
	}
	buf_printf(b, "%s%s ", name, metric->kind == METRIC_COUNTER ? "_total" : "");
	add_number(b, metric, shards_sum(metric));
	buf_add_byte(b, '\n');
}

void metrics_visit(void (*visit)(const struct metric *metric, void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < collectors_n; i++)
		collectors[i].collect(collectors[i].arg);
	for (size_t i = 0; i < tables_n; i++)
		for (struct metric *const *metric = tables[i]; *metric != NULL; metric++)
			visit(*metric, arg);
	pthread_mutex_unlock(&lock);
}

static void render_into(const struct metric *metric, void *arg)
{
	render(arg, metric);
}

void metrics_render(struct buf *b)
{
	metrics_visit(render_into, b);
	buf_add(b, STR("# EOF\n"));
}
