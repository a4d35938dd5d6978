// SPDX-License-Identifier: Apache-2.0
// A request to another thread with a reply: two references, a flag, and a way to wake whoever waits.
//
// call_done publishes the payload with the flag (release) that call_wait reads (acquire), and wakes the caller under the mutex
// under which call_drop says that the caller has left: a fiber that is woken has not dropped its call yet, so its scheduler
// exists. A plain thread sleeps on the condition variable.
#include "base/call.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"

struct call {
	_Atomic unsigned refs;
	_Atomic bool done, abandoned;
	struct fiber_ref caller; // fiber NULL: a plain thread
	void (*fini)(void *payload);
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	alignas(max_align_t) char payload[];
};

struct call *call_new(size_t payload_bytes, void (*fini)(void *payload))
{
	must(payload_bytes < SIZE_MAX - sizeof(struct call));
	struct call *call = calloc(1, sizeof *call + payload_bytes);
	must(call != NULL);
	atomic_init(&call->refs, 2);
	call->caller = fiber_ref_self();
	call->fini = fini;
	must(pthread_mutex_init(&call->mutex, NULL) == 0 && pthread_cond_init(&call->changed, NULL) == 0);
	return call;
}

void *call_payload(struct call *call)
{
	return call->payload;
}

static void unref(struct call *call)
{
	if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (call->fini)
		call->fini(call->payload);
	pthread_cond_destroy(&call->changed);
	pthread_mutex_destroy(&call->mutex);
	free(call);
}

void call_done(struct call **call_taken)
{
	struct call *call = *call_taken;
	*call_taken = NULL;
	must(!call_is_done(call));
	pthread_mutex_lock(&call->mutex);
	atomic_store_explicit(&call->done, true, memory_order_release);
	if (call->caller.fiber == NULL)
		pthread_cond_signal(&call->changed);
	else if (!call_is_abandoned(call))
		fiber_ref_wake_with(call->caller, FIBER_SIGNAL);
	pthread_mutex_unlock(&call->mutex);
	unref(call);
}

static enum err_code wait_on_fiber(struct call *call, int64_t deadline_ms)
{
	must(fiber_self() == call->caller.fiber);
	while (!call_is_done(call)) {
		unsigned got = fiber_wait(NULL, FIBER_SIGNAL, deadline_ms);
		if (call_is_done(call))
			break;
		if (got & FIBER_CANCELLED)
			return ERR_CANCELLED;
		if (got & FIBER_TIMEOUT)
			return ERR_TIMEOUT;
	}
	return ERR_OK;
}

// The deadline is CLOCK_BOOTTIME's, on which no condition variable waits: what is left of it is waited for on CLOCK_MONOTONIC.
static struct timespec on_monotonic(int64_t deadline_ms)
{
	struct timespec at;
	must(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
	int64_t left_ms = deadline_ms - clock_mono_exact_ms(), day_ms = 86400000;
	if (left_ms > day_ms)
		left_ms = day_ms;
	if (left_ms > 0) {
		at.tv_sec += left_ms / 1000;
		at.tv_nsec += left_ms % 1000 * 1000000;
		if (at.tv_nsec >= 1000000000) {
			at.tv_sec++;
			at.tv_nsec -= 1000000000;
		}
	}
	return at;
}

static enum err_code wait_on_thread(struct call *call, int64_t deadline_ms)
{
	must(fiber_self() == NULL);
	pthread_mutex_lock(&call->mutex);
	while (!call_is_done(call) && clock_mono_exact_ms() < deadline_ms) {
		struct timespec at = on_monotonic(deadline_ms);
		int failure = pthread_cond_clockwait(&call->changed, &call->mutex, CLOCK_MONOTONIC, &at);
		must(failure == 0 || failure == ETIMEDOUT);
	}
	bool done = call_is_done(call);
	pthread_mutex_unlock(&call->mutex);
	return done ? ERR_OK : ERR_TIMEOUT;
}

enum err_code call_wait(struct call *call, int64_t deadline_ms)
{
	return call->caller.fiber ? wait_on_fiber(call, deadline_ms) : wait_on_thread(call, deadline_ms);
}

bool call_is_done(const struct call *call)
{
	return atomic_load_explicit(&call->done, memory_order_acquire);
}

void call_drop(struct call **call_taken)
{
	struct call *call = *call_taken;
	*call_taken = NULL;
	if (call == NULL)
		return;
	pthread_mutex_lock(&call->mutex);
	atomic_store_explicit(&call->abandoned, true, memory_order_relaxed);
	pthread_mutex_unlock(&call->mutex);
	unref(call);
}

bool call_is_abandoned(const struct call *call)
{
	return atomic_load_explicit(&call->abandoned, memory_order_relaxed);
}
