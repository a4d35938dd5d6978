// SPDX-License-Identifier: Apache-2.0
// Applying what a server tells.
#include "apply.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "keys.h"
#include "schema/entry.h"

enum { CHANGED_KEYS_BYTES_MAX = 256 << 10, CONFLICTS_BYTES_MAX = 64 << 10 };

struct apply {
	struct images *images; // borrowed
	struct complaints complaints;
	struct intake *intake;
	struct buf changed;    // keys of entries that this transaction wrote, to look for second owners; overflow: too many
	struct buf conflicts;  // keys that had several owners when it was last looked; overflow: too many to look at each again
	struct buf domain;     // an entry's data
	bool realms_changed;
	bool has_looked;       // at all keys, for second owners
	struct brake_window window;
	struct image_counters counters; // of the last commit
	struct brake_held held;
};

struct apply *apply_new(struct images *images, const char *source)
{
	struct apply *apply = calloc(1, sizeof *apply);
	must(apply != NULL);
	apply->images = images;
	apply->complaints.source = source;
	apply->intake = intake_new(complaints_refuse, &apply->complaints);
	if (images->without_secrets)
		intake_without_secrets(apply->intake);
	intake_use_profile(apply->intake, images->profile);
	buf_init(&apply->changed, CHANGED_KEYS_BYTES_MAX);
	buf_init(&apply->conflicts, CONFLICTS_BYTES_MAX);
	buf_init(&apply->domain, ENTRY_BYTES_MAX);
	brake_window_init(&apply->window, BALANCE_KEYS_MAX);
	return apply;
}

void apply_free(struct apply **apply_in)
{
	struct apply *apply = *apply_in;
	if (apply == NULL)
		return;
	intake_free(&apply->intake);
	buf_fini(&apply->changed);
	buf_fini(&apply->conflicts);
	buf_fini(&apply->domain);
	brake_window_fini(&apply->window);
	free(apply);
	*apply_in = NULL;
}

struct intake *apply_intake(struct apply *apply)
{
	return apply->intake;
}

bool apply_has_begun(const struct apply *apply)
{
	return image_has_begun(apply->images->shadow);
}

void apply_abort(struct apply *apply)
{
	image_abort(apply->images->credentials);
	image_abort(apply->images->shadow);
	buf_clear(&apply->changed);
}

bool apply_realms_changed(const struct apply *apply)
{
	return apply->realms_changed;
}

void apply_forget_realms(struct apply *apply)
{
	intake_forget(apply->intake);
	apply->realms_changed = false;
}

static enum err_code begin(struct apply *apply, struct err *err)
{
	if (apply_has_begun(apply))
		return ERR_OK;
	buf_clear(&apply->changed);
	enum err_code code = image_begin(apply->images->credentials, IMAGE_CHANGE, err);
	return code ? code : image_begin(apply->images->shadow, IMAGE_CHANGE, err);
}

static enum err_code put_both(struct apply *apply, const struct guid *uuid, const struct intake_made *made, struct err *err)
{
	enum image_put ignored;
	struct images *images = apply->images;
	enum err_code code = image_put(images->shadow, uuid, made->keys, made->data, &ignored, err);
	if (code)
		return code;
	buf_add(&apply->changed, made->keys);
	if (made->secret_data.n == 0)
		return image_drop(images->credentials, uuid, err);
	return image_put(images->credentials, uuid, made->secret_keys, made->secret_data, &ignored, err);
}

static enum err_code drop_both(struct apply *apply, const struct guid *uuid, struct err *err)
{
	struct entry entry;
	buf_clear(&apply->domain);
	enum err_code code = image_get(apply->images->shadow, uuid, &apply->domain, err);
	if (code)
		return code;
	if (apply->domain.n && entry_decode(buf_str(&apply->domain), &entry) && (entry.classes & ENTRY_DOMAIN) &&
		entry_has(&entry, ATTR_PH_AUTH_REALM))
		apply->realms_changed = true;
	code = image_drop(apply->images->shadow, uuid, err);
	return code ? code : image_drop(apply->images->credentials, uuid, err);
}

enum err_code apply_put(struct apply *apply, const struct raw_entry *entry, struct err *err)
{
	struct intake_made made;
	enum err_code code = begin(apply, err);
	if (code)
		return code;
	if (intake_realms_differ(apply->intake, entry))
		apply->realms_changed = true;
	switch (intake_make(apply->intake, entry, 0, &made)) {
	case INTAKE_TAKEN:
		return put_both(apply, entry->uuid, &made, err);
	case INTAKE_SKIPPED:
	case INTAKE_REFUSED:
		return drop_both(apply, entry->uuid, err);
	}
	unreachable("intake_result");
}

enum err_code apply_keep(struct apply *apply, const struct guid *uuid, struct err *err)
{
	enum err_code code = begin(apply, err);
	if (code == ERR_OK)
		code = image_keep(apply->images->shadow, uuid, err);
	return code ? code : image_keep(apply->images->credentials, uuid, err);
}

enum err_code apply_drop(struct apply *apply, const struct guid *uuid, struct err *err)
{
	enum err_code code = begin(apply, err);
	return code ? code : drop_both(apply, uuid, err);
}

enum err_code apply_unseen_each(struct apply *apply, image_unseen_fn *each, void *context, struct err *err)
{
	enum err_code code = begin(apply, err);
	return code ? code : image_unseen_each(apply->images->shadow, each, context, err);
}

enum err_code apply_polled_set(struct apply *apply, const struct guid *uuid, uint64_t digest, struct err *err)
{
	enum err_code code = begin(apply, err);
	return code ? code : image_polled_set(apply->images->shadow, uuid, digest, err);
}

enum err_code apply_polled_clear(struct apply *apply, struct err *err)
{
	enum err_code code = begin(apply, err);
	return code ? code : image_polled_clear(apply->images->shadow, err);
}

static void see_rival(void *context, int kind, struct str key, struct str dns)
{
	bool *rivals = context;
	(void)key;
	(void)dns;
	*rivals |= kind != DIRECTORY_PIN; // as complaints.c has it
}

enum err_code apply_has_rivals(struct apply *apply, bool *rivals_out, struct err *err)
{
	bool rivals = apply->changed.overflow;
	enum err_code code =
		rivals ? ERR_OK : image_conflicts_of(apply->images->shadow, buf_str(&apply->changed), see_rival, &rivals, err);
	if (code == ERR_OK)
		*rivals_out = rivals;
	return code;
}

// --- Commit ---

static bool is_held(struct apply *apply, const struct apply_commit *commit, const struct image_counters *sum,
	uint64_t entries_after, int64_t now_ms)
{
	if (brake_holds(&commit->limits, sum, &apply->held)) {
		// said above what
	} else if (commit->refresh && entries_after == 0 && commit->limits.percent < 100) {
		// a directory without an entry of ours is never loaded
		apply->held = (struct brake_held){
			.what = "entries", .n = sum->entries, .of = sum->entries, .limits = commit->limits, .counters = *sum};
	} else {
		return false;
	}
	brake_window_before(&apply->window, sum, now_ms, commit->brake_window_ms, &apply->held.before);
	apply->held.window_ms = commit->brake_window_ms;
	apply->held.window_left_ms = brake_window_left_ms(&apply->window, now_ms, commit->brake_window_ms);
	return commit->released == NULL || !brake_is_released(&commit->limits, commit->released, sum);
}

static enum err_code write_both(struct apply *apply, const struct apply_commit *commit, struct err *err)
{
	struct buf cookie;
	buf_init(&cookie, IMAGE_COOKIE_BYTES_MAX);
	if (!sync_cookie_write(commit->cookie, &cookie))
		buf_clear(&cookie); // then the next search loads everything
	struct image_state state = {.complete = true, .source_ok = true, .source = STR("ldap"), .cookie = buf_str(&cookie),
		.confirmed_ms = commit->confirmed_ms};
	enum err_code code = image_commit(apply->images->credentials, &state, err);
	if (code == ERR_OK)
		code = image_commit(apply->images->shadow, &state, err);
	buf_fini(&cookie);
	return code;
}

struct look {
	struct apply *apply;
	struct buf found; // keys
	bool all;         // of all that is stored
};

// What was known already is not said once more, but after a look at all of it.
static void see_conflict(void *context, int kind, struct str key, struct str dns)
{
	struct look *look = context;
	bool is_known = !look->all && keys_has(buf_str(&look->apply->conflicts), (enum directory_key)kind, key);
	if (kind == DIRECTORY_PIN || (!look->all && keys_has(buf_str(&look->found), (enum directory_key)kind, key)))
		return;
	if (!look->found.overflow)
		keys_add(&look->found, (enum directory_key)kind, key);
	if (!is_known)
		complaints_conflict(&look->apply->complaints, kind, key, dns);
}

static uint64_t count_keys(struct str keys)
{
	enum directory_key kind;
	struct str key;
	uint64_t n = 0;
	while (keys_next(&keys, &kind, &key))
		n++;
	return n;
}

// Who claims what others have: all of it after a refresh that changed something and after the first one, which may find those of
// the process before; else what was written, and what had several owners before.
static void look_for_conflicts(struct apply *apply, bool all)
{
	struct image *shadow = apply->images->shadow;
	struct look look = {.apply = apply, .all = all || apply->changed.overflow};
	struct err err;
	enum err_code code;
	buf_init(&look.found, CONFLICTS_BYTES_MAX);
	if (look.all) {
		apply->has_looked = true;
		apply->complaints.conflicts = 0;
		code = image_conflicts(shadow, see_conflict, &look, &err);
	} else {
		code = image_conflicts_of(shadow, buf_str(&apply->conflicts), see_conflict, &look, &err);
		if (code == ERR_OK)
			code = image_conflicts_of(shadow, buf_str(&apply->changed), see_conflict, &look, &err);
		look.found.overflow |= apply->conflicts.overflow;
	}
	if (code) {
		log_error(NULL, "cannot look for conflicts", log_err(&err));
	} else {
		if (!look.found.overflow)
			apply->complaints.conflicts = count_keys(buf_str(&look.found));
		struct buf before = apply->conflicts;
		apply->conflicts = look.found;
		look.found = before;
	}
	buf_fini(&look.found);
}

static enum err_code settle(struct apply *apply, const struct apply_commit *commit, struct image_counters *counters,
	struct err *err)
{
	struct image_counters secret;
	enum err_code code = begin(apply, err); // a refresh that brought nothing
	if (code == ERR_OK)
		code = image_settle(apply->images->credentials, commit->purge, &secret, err);
	if (code == ERR_OK)
		code = image_settle(apply->images->shadow, commit->purge, counters, err);
	if (code == ERR_OK)
		counters->disarmed = apply->images->without_secrets ? 0 : secret.disarmed;
	if (code == ERR_OK)
		images_count_replaced(apply->images, counters);
	return code;
}

enum apply_result apply_commit(struct apply *apply, const struct apply_commit *commit, struct err *err)
{
	struct image_counters counters, sum;
	const int64_t now_ms = clock_mono_ms();
	enum err_code code = settle(apply, commit, &counters, err);
	if (code) {
		apply_abort(apply);
		return APPLY_FAILED;
	}
	const struct brake_change change = {&counters, image_balance(apply->images->shadow),
		apply->images->without_secrets ? NULL : image_balance(apply->images->credentials)};
	brake_window_sum(&apply->window, &change, now_ms, commit->brake_window_ms, &sum);
	if (is_held(apply, commit, &sum, counters.entries + counters.added - counters.deleted, now_ms)) {
		err_set(err, ERR_BUSY, "%llu of %llu %s would go at once; `posthouse directory release` lets them go",
			(unsigned long long)apply->held.n, (unsigned long long)apply->held.of, apply->held.what);
		apply_abort(apply);
		return APPLY_HELD;
	}
	code = write_both(apply, commit, err);
	if (code) {
		apply_abort(apply);
		return APPLY_FAILED;
	}
	if (commit->released)
		brake_window_clear(&apply->window); // what was let through is not counted against what follows
	else
		brake_window_take(&apply->window, &change, now_ms, commit->brake_window_ms);
	apply->counters = counters;
	if (counters.added || counters.changed || counters.deleted || (commit->refresh && !apply->has_looked))
		look_for_conflicts(apply, commit->refresh);
	buf_clear(&apply->changed);
	return APPLY_DONE;
}

const struct image_counters *apply_counters(const struct apply *apply)
{
	return &apply->counters;
}

const struct brake_held *apply_held(const struct apply *apply)
{
	return &apply->held;
}

const struct complaints *apply_complaints(const struct apply *apply)
{
	return &apply->complaints;
}

// --- State ---

enum err_code apply_read_cookie(struct apply *apply, struct sync_cookie *cookie_out, struct err *err)
{
	struct image_state state;
	struct sync_cookie *secret = malloc(sizeof *secret);
	must(secret != NULL);
	enum err_code code = image_state(apply->images->credentials, &state, err);
	bool has_secret = code == ERR_OK && sync_cookie_read(state.complete ? state.cookie : STR_NONE, secret);
	if (code == ERR_OK)
		code = image_state(apply->images->shadow, &state, err);
	if (code == ERR_OK) {
		(void)sync_cookie_read(state.complete ? state.cookie : STR_NONE, cookie_out);
		bool same_opaque = has_secret && secret->opaque_n == cookie_out->opaque_n &&
				   memcmp(secret->opaque, cookie_out->opaque, secret->opaque_n) == 0;
		// The credentials may be a commit ahead, never behind: then they are of another time.
		if (!same_opaque || !secret->usable || !guid_eq(&secret->scope, &cookie_out->scope) ||
			!csns_dominate(&secret->csns, &cookie_out->csns))
			cookie_out->usable = false;
		if (!has_secret || strcmp(secret->polled, cookie_out->polled) != 0 ||
			!guid_eq(&secret->scope, &cookie_out->scope))
			cookie_out->polled[0] = '\0';
	}
	free(secret);
	return code;
}

enum err_code apply_confirm(struct apply *apply, bool source_ok, int64_t confirmed_ms, struct err *err)
{
	return image_confirm(apply->images->shadow, source_ok, confirmed_ms, err);
}
