// SPDX-License-Identifier: Apache-2.0
// Metrics: counted over threads, rendered as OpenMetrics.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/metrics.h"

#define TEST_METRICS(X)                                       \
	X(COUNTER, test_sessions, "", "Sessions begun.")      \
	X(GAUGE, test_open, "", "Sessions now open.")         \
	X(HISTOGRAM, test_commit, "seconds", "Commit times.") \
	X(HISTOGRAM, test_size, "bytes", "Sizes.")
METRICS_DECLARE(TEST_METRICS)
METRICS_DEFINE(test_metrics, TEST_METRICS)

static void *count_up(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10000; i++) {
		metric_add(&metric_test_sessions, 1);
		metric_add(&metric_test_open, i % 2 ? -1 : 1);
	}
	return NULL;
}

static void threads_lose_no_counts(void **state)
{
	(void)state;
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count_up, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_read(&metric_test_sessions), 40000);
	assert_int_equal(metric_read(&metric_test_open), 0);
}

static void set_open(void *arg)
{
	metric_set(&metric_test_open, *(int *)arg);
}

static void has(struct buf *b, const char *line)
{
	if (str_find(buf_str(b), str_of_c(line)) < 0)
		fail_msg("no %s in %s", line, buf_c(b));
}

static void the_text_is_openmetrics(void **state)
{
	(void)state;
	static int open = 7;
	metrics_register(test_metrics);
	metrics_register(test_metrics);
	metrics_register_base();
	metrics_on_render(set_open, &open);
	metric_observe(&metric_test_commit, 0);
	metric_observe(&metric_test_commit, 1);
	metric_observe(&metric_test_commit, 1500000);
	metric_observe(&metric_test_size, UINT64_MAX);
	struct buf b;
	buf_init(&b, 1 << 20);
	metrics_render(&b);
	has(&b, "# TYPE posthouse_test_sessions counter\n# HELP posthouse_test_sessions Sessions begun.\nposthouse_test_sessions_total 40000\n");
	has(&b, "posthouse_test_open 7\n");
	has(&b, "# UNIT posthouse_test_commit_seconds seconds\n");
	has(&b, "posthouse_test_commit_seconds_bucket{le=\"0.000001\"} 2\n");
	has(&b, "posthouse_test_commit_seconds_bucket{le=\"4.194304\"} 3\n");
	has(&b, "posthouse_test_commit_seconds_bucket{le=\"+Inf\"} 3\n");
	has(&b, "posthouse_test_commit_seconds_sum 1.500001\n");
	has(&b, "posthouse_test_size_bytes_bucket{le=\"65536\"} 0\n");
	has(&b, "posthouse_test_size_bytes_count 1\n");
	has(&b, "posthouse_log_dropped_total 0\n");
	assert_true(str_ends(buf_str(&b), STR("# EOF\n")));
	assert_int_equal(str_find(str_from(buf_str(&b), (size_t)str_find(buf_str(&b), STR("# TYPE posthouse_test_open")) + 1),
		STR("# TYPE posthouse_test_open")), -1);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_lose_no_counts),
		cmocka_unit_test(the_text_is_openmetrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
