// SPDX-License-Identifier: Apache-2.0
// What the brake holds, as JSON.
#include "held.h"

json_t *held_json(const struct brake_held *held, int64_t now_wall_ms)
{
	struct brake_count all[BRAKE_COUNTS], before[BRAKE_COUNTS];
	json_t *counts = json_array();
	if (held->n == 0) {
		json_decref(counts);
		return NULL;
	}
	brake_counts(&held->limits, &held->counters, all);
	brake_counts(&held->limits, &held->before, before);
	for (size_t i = 0; i < BRAKE_COUNTS; i++)
		if (all[i].n)
			json_array_append_new(counts,
				json_pack("{s:s, s:I, s:I, s:I, s:I}", "what", all[i].what, "gone", (json_int_t)all[i].n, "of",
					(json_int_t)all[i].of, "already", (json_int_t)before[i].n, "allowed",
					(json_int_t)all[i].allowed));
	const int64_t held_ms = now_wall_ms - held->since_ms;
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "what", held->what, "gone", (json_int_t)held->n, "of",
		(json_int_t)held->of, "since_ms", (json_int_t)held->since_ms, "held_s",
		(json_int_t)(held_ms > 0 ? held_ms / 1000 : 0), "percent", (json_int_t)held->limits.percent, "min",
		(json_int_t)held->limits.at_least, "window_s", (json_int_t)(held->window_ms / 1000), "window_left_s",
		(json_int_t)((held->window_left_ms + 999) / 1000), "counts", counts);
}
