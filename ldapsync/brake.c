// SPDX-License-Identifier: Apache-2.0
// The brake: shares of what a load takes away.
#include "brake.h"

static bool is_too_much(const struct brake_limits *limits, uint64_t n, uint64_t of, bool has_floor)
{
	return n > (has_floor ? limits->at_least : 0) && (double)n * 100 > (double)of * (double)limits->percent;
}

bool brake_holds(const struct brake_limits *limits, const struct image_counters *counters, struct brake_held *held_out)
{
	const struct {
		struct brake_held held;
		bool has_floor;
	} rows[] = {
		{{"domains", counters->domains.gone, counters->domains.before}, false},
		{{"hosts", counters->hosts.gone, counters->hosts.before}, false},
		{{"recipients", counters->recipients.gone, counters->recipients.before}, true},
		{{"entries", counters->deleted, counters->changed + counters->unchanged + counters->deleted}, true},
		{{"users moved to another host", counters->moved, counters->changed + counters->unchanged + counters->deleted}, true},
		{{"mailboxes", counters->mailboxes.gone, counters->mailboxes.before}, true}, // users with another id see an empty one
		{{"log-ins", counters->logins.gone, counters->logins.before}, true},
		{{"passwords of entries", counters->disarmed, counters->changed + counters->unchanged + counters->deleted}, true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (is_too_much(limits, rows[i].held.n, rows[i].held.of, rows[i].has_floor)) {
			*held_out = rows[i].held;
			return true;
		}
	return false;
}
