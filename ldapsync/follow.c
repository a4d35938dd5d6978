// SPDX-License-Identifier: Apache-2.0
// Following an LDIF file.
//
// One turn of the thread: look at the file; if it is not the one that was tried last and has come to rest, load it. Then wait for
// the folder to change, for follow_set, or for check_ms. Crash story: a load is one transaction per database (load.c), so this
// thread may die anywhere; readers keep what was committed.
#include "follow.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "ldapsync_metrics.h"

struct follow {
	pthread_t thread;
	struct images images;
	int wake_fd;    // eventfd: stop or set
	int inotify_fd; // -1: none
	int watch;      // of the folder; -1: none
	struct stat tried; // the file of the last load, good or not; of the thread
	bool has_tried;
	char held_cookie[LOAD_COOKIE_BYTES]; // the file that the brake holds, for follow_release; of the thread

	pthread_mutex_t mutex; // guards the rest
	char *ldif_path;       // owned
	int64_t check_ms;
	struct brake_limits brake;
	bool was_set, released, damaged, stopping;
	struct follow_status status;
};

const char *follow_state_name(enum follow_state state)
{
	switch (state) {
	case FOLLOW_EMPTY:
		return "EMPTY";
	case FOLLOW_REFRESH:
		return "REFRESH";
	case FOLLOW_PERSIST:
		return "PERSIST";
	case FOLLOW_STALE:
		return "STALE";
	case FOLLOW_BRAKED:
		return "BRAKED";
	}
	unreachable("follow_state");
}

// --- Status ---

static void set_state(struct follow *follow, enum follow_state state, const char *trouble)
{
	pthread_mutex_lock(&follow->mutex);
	follow->status.state = state;
	snprintf(follow->status.trouble, sizeof follow->status.trouble, "%s", trouble);
	pthread_mutex_unlock(&follow->mutex);
}

static void read_state(struct follow *follow)
{
	struct image_state state;
	struct err err;
	if (image_state(follow->images.shadow, &state, &err) != ERR_OK)
		return;
	pthread_mutex_lock(&follow->mutex);
	if (!follow->images.beside) { // else readers have what was there before
		follow->status.version = state.version;
		follow->status.entries = state.entries;
	}
	follow->status.state = follow->images.beside ? FOLLOW_STALE
			       : !state.complete     ? FOLLOW_EMPTY
			       : state.source_ok     ? FOLLOW_PERSIST
						     : FOLLOW_STALE;
	pthread_mutex_unlock(&follow->mutex);
	metric_set(&metric_ldapsync_entries, (int64_t)state.entries);
	metric_set(&metric_ldapsync_version, (int64_t)state.version);
}

void follow_status(struct follow *follow, struct follow_status *status_out)
{
	pthread_mutex_lock(&follow->mutex);
	*status_out = follow->status;
	pthread_mutex_unlock(&follow->mutex);
}

// --- Loading ---

static void loaded(struct follow *follow, const char *path, const struct load_report *report, int64_t took_ms)
{
	const struct image_counters *c = &report->counters;
	read_state(follow);
	pthread_mutex_lock(&follow->mutex);
	follow->status.last = *report;
	follow->status.loads++;
	follow->status.trouble[0] = '\0';
	pthread_mutex_unlock(&follow->mutex);
	metric_add(&metric_ldapsync_loads, 1);
	metric_set(&metric_ldapsync_refused, (int64_t)report->complaints.refused);
	metric_set(&metric_ldapsync_conflicts, (int64_t)report->complaints.conflicts);
	log_info(NULL, "directory loaded", log_c("source", path), log_u64("entries", report->entries), log_u64("added", c->added),
		log_u64("changed", c->changed), log_u64("deleted", c->deleted), log_u64("moved", c->moved),
		log_u64("refused", report->complaints.refused), log_u64("conflicts", report->complaints.conflicts),
		log_i64("ms", took_ms));
}

// The last good view serves on, and says 4xx where it would say "unknown": who is new in the file is not.
static void held(struct follow *follow, const struct load_report *report, const struct err *err)
{
	must(str_to_c(str_of_c(report->cookie), follow->held_cookie, sizeof follow->held_cookie));
	read_state(follow);
	pthread_mutex_lock(&follow->mutex);
	follow->status.state = FOLLOW_BRAKED;
	follow->status.held = report->held;
	follow->status.held.since_ms = clock_wall_ms();
	snprintf(follow->status.trouble, sizeof follow->status.trouble, "%s", err->text);
	pthread_mutex_unlock(&follow->mutex);
	metric_add(&metric_ldapsync_holds, 1);
	metric_set(&metric_ldapsync_held, (int64_t)report->held.n);
	log_error(NULL, "directory file is held by the brake; the last good view serves, and nobody is unknown for good",
		log_c("what", report->held.what), log_u64("gone", report->held.n), log_u64("of", report->held.of), log_err(err));
}

static void failed(struct follow *follow, const struct err *err)
{
	read_state(follow);
	pthread_mutex_lock(&follow->mutex);
	follow->status.failures++;
	snprintf(follow->status.trouble, sizeof follow->status.trouble, "%s", err->text);
	pthread_mutex_unlock(&follow->mutex);
	metric_add(&metric_ldapsync_failures, 1);
	log_error(NULL, "directory file cannot be loaded; the last good view serves, and nobody is unknown for good",
		log_err(err));
}

// What the brake allows now. A release is for the file that was held, once.
static struct load_brake take_brake(struct follow *follow)
{
	pthread_mutex_lock(&follow->mutex);
	struct load_brake brake = {
		.limits = follow->brake, .released = follow->released ? str_of_c(follow->held_cookie) : STR_NONE};
	follow->released = false;
	follow->status.held = (struct brake_held){0};
	pthread_mutex_unlock(&follow->mutex);
	return brake;
}

// What readers have serves on until the file is loaded once more.
static void make_anew(struct follow *follow, const char *why)
{
	if (!follow->images.beside)
		log_error(NULL,
			"the shadow is damaged; it is made anew beside the old one, which serves as far as it can be read",
			log_c("error", why));
	images_remake(&follow->images);
	follow->has_tried = false;
	read_state(follow);
}

static void look_at_images(struct follow *follow, bool damaged)
{
	if (damaged)
		make_anew(follow, "found by a look at all of it");
	else if (!images_are_in_place(&follow->images))
		make_anew(follow, "a file of it was removed, replaced or cut");
}

static void load(struct follow *follow, const char *path)
{
	struct load_report report;
	struct err err = {0};
	int64_t began_ms = clock_mono_ms();
	const struct load_brake brake = take_brake(follow);
	set_state(follow, FOLLOW_REFRESH, "");
	metric_set(&metric_ldapsync_held, 0);
	switch (load_ldif(&follow->images, path, &brake, &report, &err)) {
	case LOAD_DONE:
		images_take_place(&follow->images);
		loaded(follow, path, &report, clock_mono_ms() - began_ms);
		return;
	case LOAD_UNCHANGED:
		read_state(follow);
		return;
	case LOAD_HELD:
		held(follow, &report, &err);
		return;
	case LOAD_FAILED:
		break;
	}
	if (err.code == ERR_BUSY) { // written while it was read: not a failure yet
		follow->tried = (struct stat){0};
		read_state(follow);
	} else if (images_are_damaged(err.code)) { // what the file says wrong is ERR_INVALID
		failed(follow, &err);
		make_anew(follow, err.text);
	} else {
		failed(follow, &err);
	}
}

// --- Looking ---

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

// Nobody wrote to it lately. A clock that jumped back only costs the wait of one turn: the file is then taken as it is.
static bool is_at_rest(const struct stat *st, int64_t check_ms)
{
	int64_t age_ms = clock_wall_ms() - ((int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000);
	return age_ms >= check_ms || age_ms < 0;
}

static void look(struct follow *follow, const char *path, int64_t check_ms, bool in_any_case)
{
	struct stat st = {0};
	bool is_there = stat(path, &st) == 0;
	bool is_first = !follow->has_tried;
	if (!in_any_case && follow->has_tried && is_same(&st, &follow->tried))
		return;
	if (is_there && !is_first && !is_at_rest(&st, check_ms))
		return;
	follow->tried = st; // all zero while the file is missing: said once
	follow->has_tried = true;
	load(follow, path);
}

// Watches the folder, because a rename replaces the file itself.
static void watch_folder(struct follow *follow, const char *path)
{
	char *folder = strdup(path);
	must(folder != NULL);
	char *slash = strrchr(folder, '/');
	if (follow->watch >= 0)
		inotify_rm_watch(follow->inotify_fd, follow->watch);
	follow->watch = -1;
	if (slash && follow->inotify_fd >= 0) {
		slash[slash == folder] = '\0';
		follow->watch =
			inotify_add_watch(follow->inotify_fd, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
	}
	free(folder);
}

static void drain(int fd)
{
	char buffer[1024];
	while (fd >= 0 && read(fd, buffer, sizeof buffer) > 0)
		;
}

static void wait_for_change(struct follow *follow, int64_t check_ms)
{
	struct pollfd fds[] = {{.fd = follow->wake_fd, .events = POLLIN}, {.fd = follow->inotify_fd, .events = POLLIN}};
	poll(fds, 2, (int)check_ms);
	drain(follow->wake_fd);
	drain(follow->inotify_fd);
}

static void *follow_thread(void *arg)
{
	struct follow *follow = arg;
	char *path = NULL;
	for (;;) {
		pthread_mutex_lock(&follow->mutex);
		bool stopping = follow->stopping, was_set = follow->was_set, released = follow->released,
		     damaged = follow->damaged;
		int64_t check_ms = follow->check_ms;
		if (was_set) {
			free(path);
			path = strdup(follow->ldif_path);
			must(path != NULL);
		}
		follow->was_set = follow->damaged = false;
		pthread_mutex_unlock(&follow->mutex);
		if (stopping)
			break;
		if (was_set)
			watch_folder(follow, path);
		look_at_images(follow, damaged);
		if (path && path[0])
			look(follow, path, check_ms, was_set || released);
		images_checkpoint(&follow->images);
		wait_for_change(follow, check_ms);
	}
	free(path);
	return NULL;
}

// --- Start and stop ---

static void wake(struct follow *follow)
{
	uint64_t one = 1;
	(void)!write(follow->wake_fd, &one, sizeof one); // full means awake
}

void follow_set(struct follow *follow, const struct follow_set *set)
{
	char *path = strndup(set->ldif_path.n ? set->ldif_path.p : "", set->ldif_path.n);
	must(path != NULL);
	pthread_mutex_lock(&follow->mutex);
	free(follow->ldif_path);
	follow->ldif_path = path;
	follow->check_ms = set->check_ms;
	follow->brake = set->brake;
	follow->was_set = true;
	pthread_mutex_unlock(&follow->mutex);
	wake(follow);
}

enum err_code follow_release(struct follow *follow, struct err *err)
{
	pthread_mutex_lock(&follow->mutex);
	bool is_held = follow->status.state == FOLLOW_BRAKED;
	follow->released = is_held;
	if (is_held)
		follow->status.state = FOLLOW_REFRESH;
	pthread_mutex_unlock(&follow->mutex);
	if (!is_held)
		return err_set(err, ERR_NOTFOUND, "no version of the directory is held");
	wake(follow);
	return ERR_OK;
}

void follow_damaged(struct follow *follow)
{
	pthread_mutex_lock(&follow->mutex);
	follow->damaged = true;
	pthread_mutex_unlock(&follow->mutex);
	wake(follow);
}

static void let_go(struct follow **follow_in)
{
	struct follow *follow = *follow_in;
	images_close(&follow->images);
	if (follow->wake_fd >= 0)
		close(follow->wake_fd);
	if (follow->inotify_fd >= 0)
		close(follow->inotify_fd);
	pthread_mutex_destroy(&follow->mutex);
	free(follow->ldif_path);
	free(follow);
	*follow_in = NULL;
}

// All signals stay with the main thread.
enum err_code follow_start(const struct follow_config *config, struct follow **follow_out, struct err *err)
{
	struct follow *follow = calloc(1, sizeof *follow);
	must(follow != NULL && pthread_mutex_init(&follow->mutex, NULL) == 0);
	follow->watch = -1;
	follow->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC); // without it there is check_ms
	follow->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	enum err_code code = follow->wake_fd < 0 ? err_errno(err, "eventfd") : images_open(&follow->images, &config->images, err);
	if (code == ERR_OK) {
		follow_set(follow, &config->set);
		read_state(follow);
		code = thread_start(&follow->thread, "ldif", follow_thread, follow, err);
	}
	if (code) {
		let_go(&follow);
		return code;
	}
	*follow_out = follow;
	return ERR_OK;
}

void follow_stop(struct follow **follow)
{
	if (*follow == NULL)
		return;
	pthread_mutex_lock(&(*follow)->mutex);
	(*follow)->stopping = true;
	pthread_mutex_unlock(&(*follow)->mutex);
	wake(*follow);
	pthread_join((*follow)->thread, NULL);
	let_go(follow);
}
