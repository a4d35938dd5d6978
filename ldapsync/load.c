// SPDX-License-Identifier: Apache-2.0
// Loading an LDIF file: stat, survey, store, sweep, the brake, commit. Crash story: credentials commit first, then the shadow,
// each with the cookie that names the file; a crash between the two leaves different cookies, and the next start loads again,
// which changes nothing twice.
#include "load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "intake.h"
#include "ldif.h"

struct load {
	const struct images *target;
	const char *path;
	const struct load_brake *brake; // NULL: none
	int fd;
	struct stat stat; // when it was opened
	struct buf cookie;
	struct intake *intake;
	struct load_report report;
};

// Which file, and by which rules it was taken in.
static void make_cookie(struct load *load)
{
	const struct stat *st = &load->stat;
	const struct profile *profile = load->target->profile;
	char hash[GUID_TEXT_BYTES];
	buf_printf(&load->cookie, "ldif%s %d %ju %ju %jd %jd.%09ld %jd.%09ld",
		load->target->without_secrets ? "-without-secrets" : "", INTAKE_VERSION, (uintmax_t)st->st_dev,
		(uintmax_t)st->st_ino, (intmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		(intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	if (!profile_is_native(profile))
		buf_printf(&load->cookie, " %.*s", STR_FMT(guid_text(&profile->hash, hash)));
	must(str_to_c(buf_str(&load->cookie), load->report.cookie, sizeof load->report.cookie)); // eight numbers and a hash
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum err_code open_file(struct load *load, struct err *err)
{
	load->fd = open(load->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (load->fd < 0 || fstat(load->fd, &load->stat) != 0)
		return err_errno(err, "%s", load->path);
	if (!S_ISREG(load->stat.st_mode))
		return err_set(err, ERR_INVALID, "%s: not a regular file", load->path);
	make_cookie(load);
	return ERR_OK;
}

static enum err_code check_still_same(const struct load *load, struct err *err)
{
	struct stat now;
	if (fstat(load->fd, &now) != 0)
		return err_errno(err, "%s", load->path);
	return is_same_file(&now, &load->stat) ? ERR_OK : err_set(err, ERR_BUSY, "%s: written while it was read", load->path);
}

static bool has_cookie(struct image *image, struct str cookie)
{
	struct image_state state;
	struct err ignored;
	return image_state(image, &state, &ignored) == ERR_OK && state.complete && state.source_ok &&
	       str_eq(state.cookie, cookie);
}

// Calls each for every record; stops at its first failure.
static enum err_code each_record(struct load *load, enum err_code (*each)(struct load *load, const struct raw_entry *,
	struct err *), struct err *err)
{
	if (lseek(load->fd, 0, SEEK_SET) != 0)
		return err_errno(err, "%s", load->path);
	struct ldif *ldif = ldif_open_fd(load->fd, load->path);
	struct raw_entry record;
	enum ldif_result got;
	enum err_code code = ERR_OK;
	while (code == ERR_OK && (got = ldif_next(ldif, &record, err)) != LDIF_END)
		code = got == LDIF_BAD ? err->code : each(load, &record, err);
	ldif_close(&ldif);
	return code;
}

static enum err_code survey(struct load *load, const struct raw_entry *record, struct err *err)
{
	(void)err;
	intake_survey(load->intake, record);
	return ERR_OK;
}

static enum err_code put(struct load *load, const struct intake_made *made, enum image_put *put_out, struct err *err)
{
	enum err_code code = image_put(load->target->shadow, &made->uuid, made->keys, made->data, put_out, err);
	if (code == ERR_OK && *put_out == IMAGE_STORED && made->secret_data.n) {
		enum image_put ignored;
		code = image_put(load->target->credentials, &made->uuid, made->secret_keys, made->secret_data, &ignored, err);
	}
	return code;
}

static enum err_code store(struct load *load, const struct raw_entry *record, struct err *err)
{
	struct intake_made made;
	enum image_put stored = IMAGE_DUPLICATE;
	for (unsigned flags = 0; stored == IMAGE_DUPLICATE; flags = INTAKE_OWN_UUID) {
		switch (intake_make(load->intake, record, flags, &made)) {
		case INTAKE_SKIPPED:
			load->report.skipped++;
			return ERR_OK;
		case INTAKE_REFUSED:
			return ERR_OK;
		case INTAKE_TAKEN:
			break;
		}
		enum err_code code = put(load, &made, &stored, err);
		if (code)
			return code;
		if (stored == IMAGE_DUPLICATE)
			complaints_refuse(&load->report.complaints, record->line, record->dn, STR("entryUUID"),
				flags ? "a second entry of this name: left out"
				      : "another entry has the same: this one gets its own");
		if (stored == IMAGE_DUPLICATE && flags)
			return ERR_OK;
	}
	load->report.entries++;
	return ERR_OK;
}

// Both images as they would be. The credentials follow the shadow: who is a recipient decides.
static enum err_code sweep(struct load *load, struct err *err)
{
	struct image_counters secret;
	enum err_code code = image_settle(load->target->credentials, true, &secret, err);
	if (code == ERR_OK)
		code = image_settle(load->target->shadow, true, &load->report.counters, err);
	if (code == ERR_OK)
		load->report.counters.disarmed = load->target->without_secrets ? 0 : secret.disarmed;
	images_count_replaced(load->target, &load->report.counters);
	return code;
}

static bool is_held(struct load *load)
{
	return load->brake && !str_eq(load->brake->released, buf_str(&load->cookie)) &&
	       brake_holds(&load->brake->limits, &load->report.counters, &load->report.held);
}

static enum err_code commit(struct load *load, struct err *err)
{
	struct image_state state = {.complete = true, .source_ok = true, .source = STR("ldif"), .cookie = buf_str(&load->cookie),
		.confirmed_ms = clock_wall_ms()};
	enum err_code code = check_still_same(load, err);
	if (code == ERR_OK && load->report.entries == 0)
		code = err_set(err, ERR_INVALID, "%s: holds no entry of ours", load->path);
	if (code == ERR_OK)
		code = sweep(load, err);
	if (code == ERR_OK && is_held(load))
		return err_set(err, ERR_BUSY,
			"%s: %llu of %llu %s would go at once; `posthouse directory release` lets this file through", load->path,
			(unsigned long long)load->report.held.n, (unsigned long long)load->report.held.of,
			load->report.held.what);
	if (code == ERR_OK)
		code = image_commit(load->target->credentials, &state, err);
	if (code == ERR_OK)
		code = image_commit(load->target->shadow, &state, err);
	return code;
}

static enum err_code run(struct load *load, struct err *err)
{
	enum err_code code = each_record(load, survey, err);
	if (code)
		return code;
	intake_surveyed(load->intake);
	code = image_begin(load->target->credentials, IMAGE_LOAD, err);
	if (code == ERR_OK)
		code = image_begin(load->target->shadow, IMAGE_LOAD, err);
	if (code == ERR_OK)
		code = each_record(load, store, err);
	if (code == ERR_OK)
		code = commit(load, err);
	image_abort(load->target->credentials);
	image_abort(load->target->shadow);
	return code;
}

// The old image serves on, but what it does not know may be in the file that we cannot read: no 5xx from it (I8).
static void note_failure(const struct images *target)
{
	struct image_state state;
	struct err err;
	enum err_code code = image_state(target->shadow, &state, &err);
	if (code == ERR_OK && state.source_ok)
		code = image_confirm(target->shadow, false, state.confirmed_ms, &err);
	if (code)
		log_error(NULL, "cannot write to the shadow", log_err(&err));
}

enum load_result load_ldif(const struct images *target, const char *path, const struct load_brake *brake,
	struct load_report *report_out, struct err *err)
{
	struct load load = {.target = target, .path = path, .brake = brake, .fd = -1, .report.complaints.source = path};
	enum load_result result = LOAD_DONE;
	buf_init(&load.cookie, IMAGE_COOKIE_BYTES_MAX);
	load.intake = intake_new(complaints_refuse, &load.report.complaints);
	if (target->without_secrets)
		intake_without_secrets(load.intake);
	intake_use_profile(load.intake, target->profile);
	enum err_code code = open_file(&load, err);
	if (code == ERR_OK && has_cookie(target->shadow, buf_str(&load.cookie)) &&
		has_cookie(target->credentials, buf_str(&load.cookie)))
		result = LOAD_UNCHANGED;
	else if (code == ERR_OK)
		code = run(&load, err);
	if (code) {
		result = load.report.held.what ? LOAD_HELD : LOAD_FAILED;
		note_failure(target);
	} else if (result == LOAD_DONE) {
		struct err ignored;
		if (image_conflicts(target->shadow, complaints_conflict, &load.report.complaints,
			    &ignored)) // the keys of log-ins are in the shadow too
			log_error(NULL, "cannot look for conflicts", log_err(&ignored));
	}
	if (load.fd >= 0)
		close(load.fd);
	intake_free(&load.intake);
	buf_fini(&load.cookie);
	*report_out = load.report;
	return result;
}
