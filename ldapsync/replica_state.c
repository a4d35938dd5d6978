// SPDX-License-Identifier: Apache-2.0
// The states of the replica and what is shown of them.
#include "replica_parts.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/must.h"
#include "ldapsync_metrics.h"

static const char *const state_names[] = {
	[REPLICA_INIT] = "INIT",
	[REPLICA_CONNECT] = "CONNECT",
	[REPLICA_VERIFY] = "VERIFY",
	[REPLICA_REFRESH] = "REFRESH",
	[REPLICA_PERSIST] = "PERSIST",
	[REPLICA_BACKOFF] = "BACKOFF",
	[REPLICA_BRAKED] = "BRAKED",
	[REPLICA_STALE] = "STALE",
	[REPLICA_EMPTY] = "EMPTY",
};

// Bits of the states that may follow.
static const unsigned successors[] = {
	[REPLICA_INIT] = 1u << REPLICA_CONNECT,
	[REPLICA_CONNECT] = 1u << REPLICA_VERIFY | 1u << REPLICA_BACKOFF,
	[REPLICA_VERIFY] = 1u << REPLICA_REFRESH | 1u << REPLICA_BACKOFF,
	[REPLICA_REFRESH] = 1u << REPLICA_PERSIST | 1u << REPLICA_BRAKED | 1u << REPLICA_BACKOFF | 1u << REPLICA_CONNECT,
	[REPLICA_PERSIST] = 1u << REPLICA_BRAKED | 1u << REPLICA_BACKOFF | 1u << REPLICA_CONNECT,
	[REPLICA_BACKOFF] = 1u << REPLICA_CONNECT,
	[REPLICA_BRAKED] = 1u << REPLICA_CONNECT,
};

const char *replica_state_name(enum replica_state state)
{
	return state_names[state];
}

// --- Status ---

void replica_enter(struct replica *replica, enum replica_state state)
{
	pthread_mutex_lock(&replica->mutex);
	must(successors[replica->status.state] & 1u << state);
	replica->status.state = state;
	if (state == REPLICA_CONNECT)
		snprintf(replica->status.provider, sizeof replica->status.provider, "%s", replica->uri);
	if (state == REPLICA_VERIFY)
		replica->status.driver = replica->polling ? "poll" : "syncrepl";
	if (state == REPLICA_PERSIST)
		replica->status.trouble[0] = '\0';
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_connected, state == REPLICA_REFRESH || state == REPLICA_PERSIST);
}

void replica_set_trouble(struct replica *replica, const char *text)
{
	pthread_mutex_lock(&replica->mutex);
	snprintf(replica->status.trouble, sizeof replica->status.trouble, "%s", text);
	pthread_mutex_unlock(&replica->mutex);
}

void replica_set_lag(struct replica *replica)
{
	bool served = replica->link && !replica->polling && !replica->step.refreshing && replica->heartbeat.answer_of_ms;
	int64_t lag_ms = served ? heartbeat_lag_ms(&replica->heartbeat, clock_mono_ms()) :
				  replica->confirmed_ms ? heartbeat_age_ms(replica->confirmed_ms, clock_wall_ms()) : 0;
	pthread_mutex_lock(&replica->mutex);
	replica->status.lag_ms = lag_ms > 0 ? lag_ms : 0;
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_lag_ms, lag_ms > 0 ? lag_ms : 0);
}

void replica_set_spared(struct replica *replica, size_t n)
{
	pthread_mutex_lock(&replica->mutex);
	replica->status.spared = n;
	pthread_mutex_unlock(&replica->mutex);
}

// What is committed, for the status.
void replica_read_state(struct replica *replica)
{
	struct image_state state;
	struct err err;
	if (image_state(replica->images.shadow, &state, &err) != ERR_OK)
		return;
	const struct complaints *complaints = apply_complaints(replica->apply);
	replica->complete = state.complete;
	if (replica->images.beside)
		return; // readers have what was there before
	pthread_mutex_lock(&replica->mutex);
	replica->status.version = state.version;
	replica->status.entries = state.entries;
	replica->status.refused = complaints->refused;
	replica->status.conflicts = complaints->conflicts;
	pthread_mutex_unlock(&replica->mutex);
	metric_set(&metric_ldapsync_entries, (int64_t)state.entries);
	metric_set(&metric_ldapsync_version, (int64_t)state.version);
	metric_set(&metric_ldapsync_refused, (int64_t)complaints->refused);
	metric_set(&metric_ldapsync_conflicts, (int64_t)complaints->conflicts);
}

// The states of a machine without a server are shown as what they mean for readers.
void replica_status(struct replica *replica, struct replica_status *status_out)
{
	pthread_mutex_lock(&replica->mutex);
	*status_out = replica->status;
	status_out->driver = status_out->driver ? status_out->driver : "";
	pthread_mutex_unlock(&replica->mutex);
	bool served = status_out->state == REPLICA_REFRESH || status_out->state == REPLICA_PERSIST;
	if (status_out->held.n)
		status_out->state = REPLICA_BRAKED;
	else if (!served && status_out->version == 0)
		status_out->state = REPLICA_EMPTY;
	else if (!served && status_out->lag_ms > replica->settings->fresh_s * 1000)
		status_out->state = REPLICA_STALE;
}

uint64_t replica_entries(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	uint64_t entries = replica->status.entries;
	pthread_mutex_unlock(&replica->mutex);
	return entries;
}

bool replica_is_stopping(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	bool stopping = replica->stopping;
	pthread_mutex_unlock(&replica->mutex);
	return stopping;
}

struct replica_set replica_set_now(struct replica *replica)
{
	pthread_mutex_lock(&replica->mutex);
	struct replica_set set = replica->set;
	pthread_mutex_unlock(&replica->mutex);
	return set;
}
