// SPDX-License-Identifier: Apache-2.0
// The brake: shares of what a load takes away.
#include "brake.h"

#include <string.h>

enum { KINDS = BRAKE_COUNTS };

struct row {
	struct brake_count count;
	bool has_floor;
};

static void fill_rows(const struct image_counters *counters, struct row rows_out[KINDS])
{
	const struct row rows[KINDS] = {
		{{"domains", counters->domains.gone, counters->domains.before, 0}, false},
		{{"hosts", counters->hosts.gone, counters->hosts.before, 0}, false},
		{{"recipients", counters->recipients.gone, counters->recipients.before, 0}, true},
		{{"entries", counters->deleted, counters->entries, 0}, true},
		{{"users moved to another host or gone", counters->moved, counters->entries, 0}, true},
		{{"mailboxes", counters->mailboxes.gone, counters->mailboxes.before, 0}, true}, // users with another id see an empty one
		{{"log-ins", counters->logins.gone, counters->logins.before, 0}, true},
		{{"passwords of entries", counters->disarmed, counters->entries, 0}, true},
	};
	memcpy(rows_out, rows, sizeof rows);
}

void brake_counts(const struct brake_limits *limits, const struct image_counters *counters,
	struct brake_count counts_out[BRAKE_COUNTS])
{
	struct row rows[KINDS];
	fill_rows(counters, rows);
	for (size_t i = 0; i < KINDS; i++) {
		counts_out[i] = rows[i].count;
		uint64_t share = limits->percent >= 100 ? counts_out[i].of : counts_out[i].of / 100 * limits->percent +
			counts_out[i].of % 100 * limits->percent / 100;
		counts_out[i].allowed = rows[i].has_floor && share < limits->at_least ? limits->at_least : share;
	}
}

bool brake_holds(const struct brake_limits *limits, const struct image_counters *counters, struct brake_held *held_out)
{
	struct brake_count counts[BRAKE_COUNTS];
	brake_counts(limits, counters, counts);
	for (size_t i = 0; i < BRAKE_COUNTS; i++)
		if (counts[i].n > counts[i].allowed) {
			*held_out = (struct brake_held){
				.what = counts[i].what, .n = counts[i].n, .of = counts[i].of,
				.limits = *limits, .counters = *counters};
			return true;
		}
	return false;
}

bool brake_is_released(const struct brake_limits *limits, const struct image_counters *released,
	const struct image_counters *counters)
{
	struct row before[KINDS], now[KINDS];
	fill_rows(released, before);
	fill_rows(counters, now);
	for (size_t i = 0; i < KINDS; i++)
		if (now[i].count.n > before[i].count.n + (now[i].has_floor ? limits->at_least : 0))
			return false;
	return true;
}

// --- Windows ---

// The shadow has no passwords, and all else is in both.
enum { OF_CREDENTIALS = 1 << BALANCE_PASSWORDS, OF_SHADOW = (1 << BALANCE_KINDS) - 1 - OF_CREDENTIALS };

void brake_window_init(struct brake_window *window, size_t keys_max)
{
	*window = (struct brake_window){0};
	balance_init(&window->balance, keys_max);
}

void brake_window_fini(struct brake_window *window)
{
	balance_fini(&window->balance);
}

void brake_window_clear(struct brake_window *window)
{
	size_t keys_max = window->balance.keys_max;
	brake_window_fini(window);
	brake_window_init(window, keys_max);
}

static bool is_over(const struct brake_window *window, int64_t now_ms, int64_t window_ms)
{
	return window->began_ms == 0 || now_ms - window->began_ms >= window_ms;
}

static uint64_t before(const struct image_counters *counters, enum balance_kind kind)
{
	switch (kind) {
	case BALANCE_RECIPIENTS:
		return counters->recipients.before;
	case BALANCE_DOMAINS:
		return counters->domains.before;
	case BALANCE_HOSTS:
		return counters->hosts.before;
	case BALANCE_MAILBOXES:
		return counters->mailboxes.before;
	case BALANCE_LOGINS:
		return counters->logins.before;
	case BALANCE_ENTRIES:
	case BALANCE_PLACES:
	case BALANCE_PASSWORDS:
	case BALANCE_KINDS:
		break;
	}
	return 0;
}

// How many there were when the window began: what is there now, less what it has gained since.
static uint64_t keys_when_it_began(const struct brake_window *window, const struct image_counters *counters,
	enum balance_kind kind)
{
	if (window->known[kind])
		return window->keys[kind];
	return before(counters, kind) ? before(counters, kind) - (uint64_t)window->balance.net[kind] : 0; // 0: none was ever lost
}

void brake_window_sum(const struct brake_window *window_in, const struct brake_change *change, int64_t now_ms, int64_t window_ms,
	struct image_counters *sum_out)
{
	const struct image_counters *counters = change->counters;
	const struct brake_window anew = {.entries = counters->entries};
	const struct brake_window *window = is_over(window_in, now_ms, window_ms) ? &anew : window_in;
	uint64_t gone[BALANCE_KINDS], secret[BALANCE_KINDS] = {0};
	balance_gone_with(&window->balance, change->shadow, OF_SHADOW, gone);
	if (change->credentials)
		balance_gone_with(&window->balance, change->credentials, OF_CREDENTIALS, secret);
#define GONE(kind) {.before = keys_when_it_began(window, counters, kind), .gone = gone[kind]}
	*sum_out = (struct image_counters){
		.entries = window->entries,
		.deleted = gone[BALANCE_ENTRIES] + (counters->is_first ? counters->deleted : 0), // images_count_replaced
		.moved = gone[BALANCE_PLACES],
		.disarmed = secret[BALANCE_PASSWORDS],
		.recipients = GONE(BALANCE_RECIPIENTS),
		.domains = GONE(BALANCE_DOMAINS),
		.hosts = GONE(BALANCE_HOSTS),
		.mailboxes = GONE(BALANCE_MAILBOXES),
		.logins = GONE(BALANCE_LOGINS),
	};
#undef GONE
}

void brake_window_before(const struct brake_window *window_in, const struct image_counters *sum, int64_t now_ms,
	int64_t window_ms, struct image_counters *before_out)
{
	const struct brake_window anew = {0};
	const uint64_t *gone = (is_over(window_in, now_ms, window_ms) ? &anew : window_in)->balance.gone;
#define GONE(field, kind) {.before = sum->field.before, .gone = gone[kind]}
	*before_out = (struct image_counters){
		.entries = sum->entries,
		.deleted = gone[BALANCE_ENTRIES],
		.moved = gone[BALANCE_PLACES],
		.disarmed = gone[BALANCE_PASSWORDS],
		.recipients = GONE(recipients, BALANCE_RECIPIENTS),
		.domains = GONE(domains, BALANCE_DOMAINS),
		.hosts = GONE(hosts, BALANCE_HOSTS),
		.mailboxes = GONE(mailboxes, BALANCE_MAILBOXES),
		.logins = GONE(logins, BALANCE_LOGINS),
	};
#undef GONE
}

int64_t brake_window_left_ms(const struct brake_window *window, int64_t now_ms, int64_t window_ms)
{
	return is_over(window, now_ms, window_ms) ? 0 : window->began_ms + window_ms - now_ms;
}

// Files that were filled for the first time: nobody has noted what came. What was lost before stays lost.
static void take_first(struct brake_window *window, const struct image_counters *counters)
{
	balance_forget_net(&window->balance);
	balance_lost_unseen(&window->balance, BALANCE_ENTRIES, counters->deleted);
}

void brake_window_take(struct brake_window *window, const struct brake_change *change, int64_t now_ms, int64_t window_ms)
{
	const struct image_counters *counters = change->counters;
	if (is_over(window, now_ms, window_ms)) {
		brake_window_clear(window);
		if (counters->entries == 0)
			return; // nothing could be lost
		window->began_ms = now_ms;
		window->entries = counters->entries;
	}
	if (counters->is_first)
		take_first(window, counters);
	for (enum balance_kind kind = 0; kind < BALANCE_KINDS; kind++)
		if (!window->known[kind] && before(counters, kind) > 0) {
			window->keys[kind] = keys_when_it_began(window, counters, kind);
			window->known[kind] = true;
		}
	balance_add(&window->balance, change->shadow, OF_SHADOW);
	if (change->credentials)
		balance_add(&window->balance, change->credentials, OF_CREDENTIALS);
}
