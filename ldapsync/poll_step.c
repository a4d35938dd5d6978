// SPDX-License-Identifier: Apache-2.0
// When to ask what.
#include "poll_step.h"

#include "base/clock.h"
#include "base/must.h"

void poll_step_init(struct poll_step *step, const struct poll_config *config)
{
	*step = (struct poll_step){.config = *config};
}

void poll_step_forget(struct poll_step *step)
{
	step->loaded = step->has_mark = false;
	step->asked = POLL_WAIT;
}

bool poll_step_server(struct poll_step *step, const struct poll_server *server, const struct guid *scope)
{
	bool same = step->loaded && guid_eq(&step->identity, &server->identity) && guid_eq(&step->scope, scope) &&
		    step->marks == server->marks;
	// A domain controller that was restored counts from where it was then.
	if (same && server->marks == POLL_MARKS_USN && step->has_mark && server->counts && server->usn < step->mark)
		same = false;
	if (!same)
		poll_step_forget(step);
	step->identity = server->identity;
	step->scope = *scope;
	step->directory = server->directory;
	step->marks = server->marks;
	step->asked = POLL_WAIT;
	step->next_poll_ms = 0;
	if (!same || !server->tells_setback)
		step->next_compare_ms = 0;
	return same;
}

// How far the server's clock was behind the latest news, at least, when the last complete question was asked.
static int64_t behind_ms(const struct poll_step *step)
{
	return step->mark_mono_ms > step->since_mono_ms ? step->mark_mono_ms - step->since_mono_ms : 0;
}

bool poll_step_is_another(const struct poll_step *step, const struct poll_server *server)
{
	return step->holds && guid_eq(&step->held_directory, &server->directory) && !guid_eq(&step->held, &server->identity);
}

bool poll_step_is_sparing(struct poll_step *step, int64_t wall_ms, int64_t lag_ms)
{
	step->spare_until_wall_ms = clock_earlier(step->spare_until_wall_ms, wall_ms + lag_ms);
	step->held_spare_until_wall_ms = clock_earlier(step->held_spare_until_wall_ms, wall_ms + lag_ms);
	return wall_ms < step->spare_until_wall_ms;
}

// "identity scope directory witness marks has_mark mark behind mark_before compared has_witness witness_mark spare_until n"
enum { IDS = 4, NUMBERS = 10 };

void poll_step_store(const struct poll_step *step, size_t n, struct buf *text)
{
	const struct guid *ids[IDS] = {&step->identity, &step->scope, &step->directory, &step->witness};
	char id[GUID_TEXT_BYTES];
	if (!step->loaded)
		return;
	for (size_t i = 0; i < IDS; i++) {
		buf_add(text, guid_text(ids[i], id));
		buf_add_byte(text, ' ');
	}
	buf_printf(text, "%d %d %lld %lld %lld %lld ", (int)step->marks, step->has_mark, (long long)step->mark,
		(long long)behind_ms(step), (long long)step->mark_before, (long long)step->compared_wall_ms);
	buf_printf(text, "%d %lld %lld %zu", step->has_witness, (long long)step->witness_mark,
		(long long)step->spare_until_wall_ms, n);
}

static bool read_numbers(struct str text, uint64_t numbers[NUMBERS])
{
	struct str field;
	for (size_t i = 0; i < NUMBERS; i++) {
		if (!str_cut(text, ' ', &field, &text)) {
			field = text;
			text = STR_NONE;
		}
		if (!str_to_u64(field, INT64_MAX, &numbers[i]))
			return false;
	}
	return text.n == 0;
}

bool poll_step_restore(struct poll_step *step, struct str text, int64_t now_ms, int64_t wall_ms, size_t *n_out)
{
	struct str field;
	uint64_t numbers[NUMBERS];
	struct poll_step read = {.config = step->config, .loaded = true, .mark_mono_ms = now_ms, .holds = true};
	struct guid *ids[IDS] = {&read.identity, &read.scope, &read.directory, &read.witness};
	for (size_t i = 0; i < IDS; i++)
		if (!str_cut(text, ' ', &field, &text) || !guid_parse(field, ids[i]))
			return false;
	if (!read_numbers(text, numbers) || numbers[0] > POLL_MARKS_USN || numbers[1] > 1 || numbers[6] > 1)
		return false;
	read.held = read.identity;
	read.held_directory = read.directory;
	read.marks = (enum poll_marks)numbers[0];
	read.has_mark = numbers[1] == 1;
	read.mark = (int64_t)numbers[2];
	read.since_mono_ms = now_ms - (int64_t)numbers[3];
	read.mark_before = (int64_t)numbers[4];
	read.compared_wall_ms = (int64_t)numbers[5];
	int64_t ago_ms = wall_ms - read.compared_wall_ms;
	if (ago_ms >= 0 && ago_ms < step->config.compare_ms) // else a clock was set, and it is due
		read.next_compare_ms = now_ms + step->config.compare_ms - ago_ms;
	read.has_witness = numbers[6] == 1;
	read.witness_mark = (int64_t)numbers[7];
	read.spare_until_wall_ms = read.held_spare_until_wall_ms = (int64_t)numbers[8];
	*n_out = numbers[9];
	*step = read;
	return true;
}

static int64_t since(const struct poll_step *step)
{
	if (!step->has_mark)
		return 0;
	if (step->marks == POLL_MARKS_USN)
		return step->mark_before;
	return step->mark + (step->since_mono_ms - step->mark_mono_ms) - step->config.overlap_ms;
}

struct poll_ask poll_step_next(const struct poll_step *step, int64_t now_ms)
{
	if (!step->loaded)
		return (struct poll_ask){.what = POLL_LOAD};
	if (now_ms >= step->next_poll_ms) // a server that dates nothing is read as a whole
		return (struct poll_ask){.what = step->marks == POLL_MARKS_NONE ? POLL_LOAD : POLL_CHANGES, .since = since(step)};
	if (now_ms >= step->next_compare_ms && step->marks != POLL_MARKS_NONE)
		return (struct poll_ask){.what = POLL_COMPARE};
	int64_t next_ms =
		step->marks == POLL_MARKS_NONE ? step->next_poll_ms : clock_earlier(step->next_poll_ms, step->next_compare_ms);
	return (struct poll_ask){.what = POLL_WAIT, .wait_ms = next_ms - now_ms};
}

void poll_step_asks(struct poll_step *step, enum poll_what what, int64_t now_ms)
{
	must(what != POLL_WAIT);
	step->asked = what;
	step->asked_mono_ms = now_ms;
	step->has_news = false;
	step->news = 0;
}

void poll_step_compares_too(struct poll_step *step)
{
	must(step->asked == POLL_CHANGES);
	step->asked = POLL_COMPARE;
}

void poll_step_saw(struct poll_step *step, const struct guid *uuid, int64_t mark, bool is_news)
{
	if (!is_news || (step->has_news && mark <= step->news))
		return;
	step->news = mark;
	step->news_id = *uuid;
	step->has_news = true;
}

void poll_step_done(struct poll_step *step, int64_t now_ms, int64_t wall_ms)
{
	must(step->asked != POLL_WAIT);
	step->mark_before = step->mark;
	if (step->has_news) {
		bool is_ahead = step->marks != POLL_MARKS_USN && step->news > wall_ms;
		step->mark = is_ahead ? wall_ms : step->news;
		step->mark_mono_ms = now_ms;
		if (!step->has_mark || step->mark < step->mark_before)
			step->mark_before = step->mark;
		step->has_mark = step->has_witness = true;
		step->witness = step->news_id;
		step->witness_mark = step->news;
	}
	step->since_mono_ms = step->asked_mono_ms;
	step->next_poll_ms = now_ms + step->config.poll_ms;
	if (step->asked != POLL_CHANGES) {
		step->next_compare_ms = now_ms + step->config.compare_ms;
		step->compared_wall_ms = wall_ms;
	}
	step->loaded = true;
	step->asked = POLL_WAIT;
}

void poll_step_committed(struct poll_step *step)
{
	step->holds = true;
	step->held = step->identity;
	step->held_directory = step->directory;
	step->held_spare_until_wall_ms = step->spare_until_wall_ms;
}
