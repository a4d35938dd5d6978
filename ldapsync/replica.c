// SPDX-License-Identifier: Apache-2.0
// Following a directory on LDAP servers.
//
// The thread: pick a server, connect and bind (CONNECT), ask for its contextCSN and the realms of domains (VERIFY), begin the
// persistent search with the stored cookie, take messages until the search or the connection ends. Nothing is committed in
// REFRESH before refreshDone; in PERSIST whatever waits is one transaction, committed when nothing more is there to be read. A
// server that owes us an answer and says nothing for ldap_timeout_s is left.
//
// Crash story: every commit leaves data and cookie of one moment (apply.c); a start goes on from there, on whichever server
// dominates it. What is held or half applied was rolled back and comes again.
#include "replica_parts.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "base/thread.h"
#include "ldapsync_metrics.h"

enum {
	BACKOFF_MIN_MS = 250,
	BACKOFF_MAX_MS = 8000,
	BACKOFF_LIMIT_MS = 64000,
	BRAKED_RETRY_MS = 60000,
	BRAKED_COUNT_MS = 2000, // of what came one by one the first is held: a refresh says how much follows
	AGAINS_TOLD = 4, // loads in a row before it is said
};

// --- The servers in turn ---

// Waits; true when something was asked for meanwhile.
static bool rest(struct replica *replica, int64_t ms)
{
	struct pollfd fd = {.fd = replica->wake_fd, .events = POLLIN};
	uint64_t count;
	replica_set_lag(replica);
	if (poll(&fd, 1, (int)ms) <= 0)
		return false;
	(void)!read(replica->wake_fd, &count, sizeof count);
	return true;
}

// An administrator's release, if there is one.
static void take_release(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	bool release = replica->release;
	replica->release = false;
	if (release && replica->status.held.n) {
		replica->released = replica->status.held.counters;
		replica->has_released = true;
	} else if (release) {
		replica->taking_older = true;
	}
	pthread_mutex_unlock(&replica->mutex);
}

static void stay_braked(struct replica *replica)
{
	int64_t until_ms = clock_mono_exact_ms() + (replica->held_refresh ? BRAKED_RETRY_MS : BRAKED_COUNT_MS), now_ms;
	replica_enter(replica, REPLICA_BRAKED);
	while (!replica_is_stopping(replica) && (now_ms = clock_mono_exact_ms()) < until_ms) {
		take_release(replica);
		if (replica->has_released)
			return;
		rest(replica, clock_earlier(until_ms - now_ms, 1000)); // each second, for the lag
	}
}

// One try is enough to know that a server is down; all of them are tried before we wait.
static void back_off(struct replica *replica, const struct err *err)
{
	bool all = replica->fails % replica->settings->ldap_uri.n == replica->settings->ldap_uri.n - 1;
	unsigned rounds = replica->fails / (unsigned)replica->settings->ldap_uri.n;
	// What is too large is so the next time too, after all that comes before it.
	int64_t wait_ms = BACKOFF_MIN_MS, wait_ms_max = err->code == ERR_LIMIT ? BACKOFF_LIMIT_MS : BACKOFF_MAX_MS;
	replica_enter(replica, REPLICA_BACKOFF);
	replica_set_trouble(replica, err->text);
	pthread_mutex_lock(&replica->mutex);
	replica->status.failures++;
	pthread_mutex_unlock(&replica->mutex);
	metric_add(&metric_ldapsync_failures, 1);
	if (rounds == 0 || (rounds & (rounds - 1)) == 0) // each time that the wait has doubled
		log_warning(NULL, "directory server is left; the last good view serves", log_c("server", replica->uri),
			log_err(err));
	failback_watch(replica->failback, 0);
	replica->fails++;
	replica->server = (replica->server + 1) % replica->settings->ldap_uri.n;
	for (unsigned i = 0; i < rounds && wait_ms < wait_ms_max; i++)
		wait_ms *= 2;
	int64_t until_ms = clock_mono_exact_ms() + (all ? wait_ms - random_below((uint32_t)wait_ms / 4) : 0), now_ms;
	while (!replica_is_stopping(replica) && (now_ms = clock_mono_exact_ms()) < until_ms)
		rest(replica, clock_earlier(until_ms - now_ms, 1000));
}

// What domains say of their realms when asked for them, and what their entries say, may differ for ever (who may search an
// attribute is not who may read it), and a server may want a refresh after each one: every time costs a load.
static void pause_before_again(struct replica *replica)
{
	bool soon = clock_mono_exact_ms() - replica->refresh_began_ms < 2 * BACKOFF_MAX_MS;
	replica->agains = soon ? replica->agains + 1 : 0;
	if (replica->agains < 2)
		return;
	int64_t wait_ms = BACKOFF_MIN_MS;
	for (unsigned i = 2; i < replica->agains && wait_ms < BACKOFF_MAX_MS; i++)
		wait_ms *= 2;
	if (replica->agains == AGAINS_TOLD)
		log_warning(NULL,
			"one load follows the other: is phAuthRealm ours to search as well as to read, and the same in all "
			"entries of a domain?",
			log_c("server", replica->uri));
	int64_t until_ms = clock_mono_exact_ms() + wait_ms, now_ms;
	replica_enter(replica, REPLICA_BACKOFF);
	while (!replica_is_stopping(replica) && (now_ms = clock_mono_exact_ms()) < until_ms)
		rest(replica, clock_earlier(until_ms - now_ms, 1000));
}

static void *replica_thread(void *arg)
{
	struct replica *replica = arg;
	bool reload = false;
	replica_plan_reconcile(replica);
	while (!replica_is_stopping(replica)) {
		struct err err = {0};
		take_release(replica);
		replica_heal(replica);
		replica->uri = replica->settings->ldap_uri.v[replica->server].p;
		enum outcome outcome = replica_serve(replica, reload, &err);
		apply_abort(replica->apply);
		replica->batch_ms = 0;
		ldap_link_close(&replica->link);
		bool was_reload = reload;
		reload = false;
		if (replica_is_stopping(replica))
			break;
		switch (outcome) {
		case ENDED_FAILED:
			reload = was_reload && replica->step.refreshing; // what was asked for is still to be done
			back_off(replica, &err);
			break;
		case ENDED_RELOAD:
			reload = true;
			if (replica->step.refreshing && replica->full) // it refuses a search without a cookie
				back_off(replica, &err);
			else
				pause_before_again(replica);
			break;
		case ENDED_AGAIN:
			pause_before_again(replica);
			break;
		case ENDED_BRAKED:
			stay_braked(replica);
			break;
		case ENDED_STOPPED:
			break;
		}
	}
	return NULL;
}

// --- Start and stop ---

static void wake(struct replica *replica)
{
	uint64_t one = 1;
	(void)!write(replica->wake_fd, &one, sizeof one); // full means awake
}

void replica_set(struct replica *replica, const struct replica_set *set)
{
	pthread_mutex_lock(&replica->mutex);
	replica->set = *set;
	pthread_mutex_unlock(&replica->mutex);
	wake(replica);
}

enum err_code replica_release(struct replica *replica, struct err *err)
{
	pthread_mutex_lock(&replica->mutex);
	bool is_held = replica->status.held.n > 0 || replica->status.lagging;
	replica->release = is_held;
	pthread_mutex_unlock(&replica->mutex);
	if (!is_held)
		return err_set(err, ERR_NOTFOUND, "no version of the directory is held");
	wake(replica);
	return ERR_OK;
}

void replica_reconcile(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	replica->reconcile = true;
	pthread_mutex_unlock(&replica->mutex);
	wake(replica);
}

void replica_damaged(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	replica->damaged = true;
	pthread_mutex_unlock(&replica->mutex);
	wake(replica);
}

static void make_search(struct replica *replica)
{
	profile_search_all(replica->images.profile, !replica->images.without_secrets, replica->arena, &replica->search);
	profile_search_realms(replica->images.profile, replica->arena, &replica->realms_search);
	if (replica->settings->ldap_filter.n)
		replica->search.filter = replica->settings->ldap_filter.p;
}

// Another source's shadow serves until the first refresh is whole, and nobody is unknown for good by it.
static enum err_code read_stored(struct replica *replica, struct err *err)
{
	struct image_state state;
	enum err_code code = apply_read_cookie(replica->apply, &replica->stored, err);
	if (code == ERR_OK)
		code = image_state(replica->images.shadow, &state, err);
	if (code)
		return code;
	replica_read_state(replica);
	bool is_ours = str_eq(state.source, STR("ldap"));
	replica->confirmed_ms = state.complete && is_ours ? state.confirmed_ms : 0;
	return state.complete && !is_ours && state.source_ok ? apply_confirm(replica->apply, false, state.confirmed_ms, err)
							     : ERR_OK;
}

static void let_go(struct replica **replica_in)
{
	struct replica *replica = *replica_in;
	replica_poll_free(replica);
	failback_stop(&replica->failback);
	apply_free(&replica->apply);
	images_close(&replica->images);
	watchdog_stop(&replica->watchdog);
	if (replica->wake_fd >= 0)
		close(replica->wake_fd);
	pthread_mutex_destroy(&replica->mutex);
	arena_free(&replica->arena);
	settings_unref(&replica->snapshot);
	free(replica);
	*replica_in = NULL;
}

static enum err_code start(struct replica *replica, const struct replica_config *config, struct err *err)
{
	if (replica->wake_fd < 0)
		return err_errno(err, "eventfd");
	enum err_code code = images_open(&replica->images, &config->images, err);
	if (code)
		return code;
	replica->apply = apply_new(&replica->images, "ldap");
	make_search(replica);
	code = read_stored(replica, err);
	if (code == ERR_OK)
		code = watchdog_start(&replica->watchdog, err);
	if (code == ERR_OK)
		code = failback_start(replica->settings, &replica->failback, err);
	return code ? code : thread_start(&replica->thread, "ldap", replica_thread, replica, err);
}

enum err_code replica_start(const struct replica_config *config, struct replica **replica_out, struct err *err)
{
	struct replica *replica = calloc(1, sizeof *replica);
	must(replica != NULL && pthread_mutex_init(&replica->mutex, NULL) == 0);
	replica->snapshot = settings_ref(config->settings);
	replica->settings = settings_of(replica->snapshot);
	must(replica->settings->ldap_uri.n > 0);
	replica->set = config->set;
	replica->arena = arena_new((1 << 18) + PROFILE_SEARCH_BYTES);
	replica->lags = arena_must(replica->arena, replica->settings->ldap_uri.n * sizeof *replica->lags);
	replica_forget_lags(replica);
	replica->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	enum err_code code = start(replica, config, err);
	if (code)
		let_go(&replica);
	else
		*replica_out = replica;
	return code;
}

void replica_stop(struct replica **replica)
{
	if (*replica == NULL)
		return;
	pthread_mutex_lock(&(*replica)->mutex);
	(*replica)->stopping = true;
	pthread_mutex_unlock(&(*replica)->mutex);
	watchdog_end_waits((*replica)->watchdog);
	wake(*replica);
	pthread_join((*replica)->thread, NULL);
	let_go(replica);
}
