// SPDX-License-Identifier: Apache-2.0
// The brake: shares of what a load takes away.
#include "brake.h"

#include <string.h>

static bool is_too_much(const struct brake_limits *limits, uint64_t n, uint64_t of, bool has_floor)
{
	return n > (has_floor ? limits->at_least : 0) && (double)n * 100 > (double)of * (double)limits->percent;
}

enum { ROWS = 8 };

struct row {
	struct brake_held held;
	bool has_floor;
};

static void fill_rows(const struct image_counters *counters, struct row rows_out[ROWS])
{
	const struct row rows[ROWS] = {
		{{"domains", counters->domains.gone, counters->domains.before}, false},
		{{"hosts", counters->hosts.gone, counters->hosts.before}, false},
		{{"recipients", counters->recipients.gone, counters->recipients.before}, true},
		{{"entries", counters->deleted, counters->entries}, true},
		{{"users moved to another host", counters->moved, counters->entries}, true},
		{{"mailboxes", counters->mailboxes.gone, counters->mailboxes.before}, true}, // users with another id see an empty one
		{{"log-ins", counters->logins.gone, counters->logins.before}, true},
		{{"passwords of entries", counters->disarmed, counters->entries}, true},
	};
	memcpy(rows_out, rows, sizeof rows);
}

bool brake_holds(const struct brake_limits *limits, const struct image_counters *counters, struct brake_held *held_out)
{
	struct row rows[ROWS];
	fill_rows(counters, rows);
	for (size_t i = 0; i < ROWS; i++)
		if (is_too_much(limits, rows[i].held.n, rows[i].held.of, rows[i].has_floor)) {
			*held_out = rows[i].held;
			return true;
		}
	return false;
}

bool brake_is_released(const struct brake_limits *limits, const struct image_counters *released, const struct image_counters *counters)
{
	struct row before[ROWS], now[ROWS];
	fill_rows(released, before);
	fill_rows(counters, now);
	for (size_t i = 0; i < ROWS; i++)
		if (now[i].held.n > before[i].held.n + (now[i].has_floor ? limits->at_least : 0))
			return false;
	return true;
}

static bool is_over(const struct brake_window *window, int64_t now_ms, int64_t window_ms)
{
	return window->began_ms == 0 || now_ms - window->began_ms >= window_ms;
}

static void add_gone(struct image_gone *sum, const struct image_gone *more)
{
	sum->gone += more->gone;
	if (sum->before < more->before)
		sum->before = more->before;
}

void brake_window_sum(const struct brake_window *window, const struct image_counters *counters, int64_t now_ms, int64_t window_ms,
	struct image_counters *sum_out)
{
	if (is_over(window, now_ms, window_ms)) {
		*sum_out = *counters;
		return;
	}
	struct image_counters sum = window->sum;
	sum.entries = sum.entries > counters->entries ? sum.entries : counters->entries;
	sum.deleted += counters->deleted;
	sum.moved += counters->moved;
	sum.disarmed += counters->disarmed;
	add_gone(&sum.recipients, &counters->recipients);
	add_gone(&sum.domains, &counters->domains);
	add_gone(&sum.hosts, &counters->hosts);
	add_gone(&sum.mailboxes, &counters->mailboxes);
	add_gone(&sum.logins, &counters->logins);
	*sum_out = sum;
}

void brake_window_take(struct brake_window *window, const struct image_counters *sum, int64_t now_ms, int64_t window_ms)
{
	if (is_over(window, now_ms, window_ms))
		window->began_ms = now_ms;
	window->sum = *sum;
}
