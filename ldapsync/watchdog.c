// SPDX-License-Identifier: Apache-2.0
// The thread that shuts a descriptor down.
//
// It sleeps until the deadline that it saw last; arming a later one need not wake it, so a call that answers in time costs no
// switch of threads. A descriptor is shut down under the mutex, and given back under it: never one that libldap has closed.
#include "watchdog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/thread.h"

struct watchdog {
	pthread_t thread;
	atomic_llong deadline_ms; // 0: not armed
	atomic_bool bit;          // since it was armed
	pthread_mutex_t mutex;    // guards the rest
	pthread_cond_t changed;
	int64_t wakes_ms; // when the thread looks next; CLOCK_NEVER: when it is told
	int fd;           // -1: none
	bool ending, stopping;
};

// Until then, or until told.
static void sleep_until(struct watchdog *watchdog, int64_t mono_ms)
{
	watchdog->wakes_ms = mono_ms;
	(void)thread_wait_until(&watchdog->changed, &watchdog->mutex, mono_ms);
}

static void bite(struct watchdog *watchdog)
{
	atomic_store(&watchdog->bit, true);
	atomic_store(&watchdog->deadline_ms, 0);
	if (watchdog->fd >= 0)
		shutdown(watchdog->fd, SHUT_RDWR);
}

static void *watchdog_thread(void *arg)
{
	struct watchdog *watchdog = arg;
	pthread_mutex_lock(&watchdog->mutex);
	while (!watchdog->stopping) {
		int64_t deadline_ms = atomic_load(&watchdog->deadline_ms);
		if (deadline_ms == 0) {
			sleep_until(watchdog, CLOCK_NEVER);
		} else if (clock_mono_exact_ms() < deadline_ms) {
			sleep_until(watchdog, deadline_ms);
		} else {
			bite(watchdog);
		}
	}
	pthread_mutex_unlock(&watchdog->mutex);
	return NULL;
}

enum err_code watchdog_start(struct watchdog **watchdog_out, struct err *err)
{
	struct watchdog *watchdog = calloc(1, sizeof *watchdog);
	must(watchdog != NULL);
	must(pthread_mutex_init(&watchdog->mutex, NULL) == 0 && pthread_cond_init(&watchdog->changed, NULL) == 0);
	watchdog->fd = -1;
	watchdog->wakes_ms = CLOCK_NEVER;
	enum err_code code = thread_start(&watchdog->thread, "watchdog", watchdog_thread, watchdog, err);
	if (code) {
		pthread_cond_destroy(&watchdog->changed);
		pthread_mutex_destroy(&watchdog->mutex);
		free(watchdog);
		return code;
	}
	*watchdog_out = watchdog;
	return ERR_OK;
}

void watchdog_stop(struct watchdog **watchdog_in)
{
	struct watchdog *watchdog = *watchdog_in;
	if (watchdog == NULL)
		return;
	pthread_mutex_lock(&watchdog->mutex);
	watchdog->stopping = true;
	pthread_cond_signal(&watchdog->changed);
	pthread_mutex_unlock(&watchdog->mutex);
	pthread_join(watchdog->thread, NULL);
	pthread_cond_destroy(&watchdog->changed);
	pthread_mutex_destroy(&watchdog->mutex);
	free(watchdog);
	*watchdog_in = NULL;
}

void watchdog_watch(struct watchdog *watchdog, int fd)
{
	pthread_mutex_lock(&watchdog->mutex);
	watchdog->fd = fd;
	if (fd >= 0 && (watchdog->ending || atomic_load(&watchdog->bit)))
		shutdown(fd, SHUT_RDWR); // it bit before there was something to bite
	pthread_mutex_unlock(&watchdog->mutex);
}

void watchdog_arm(struct watchdog *watchdog, int64_t timeout_ms)
{
	int64_t deadline_ms = clock_mono_exact_ms() + timeout_ms;
	atomic_store(&watchdog->bit, false);
	long long before_ms = atomic_exchange(&watchdog->deadline_ms, deadline_ms);
	if (before_ms != 0)
		return; // the thread wakes at the earlier one and looks again
	pthread_mutex_lock(&watchdog->mutex);
	if (watchdog->wakes_ms > deadline_ms)
		pthread_cond_signal(&watchdog->changed);
	pthread_mutex_unlock(&watchdog->mutex);
}

bool watchdog_disarm(struct watchdog *watchdog)
{
	atomic_store(&watchdog->deadline_ms, 0);
	return atomic_exchange(&watchdog->bit, false);
}

void watchdog_end_waits(struct watchdog *watchdog)
{
	pthread_mutex_lock(&watchdog->mutex);
	watchdog->ending = true;
	if (watchdog->fd >= 0)
		shutdown(watchdog->fd, SHUT_RDWR);
	pthread_mutex_unlock(&watchdog->mutex);
}
