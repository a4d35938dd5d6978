// SPDX-License-Identifier: Apache-2.0
// Asking servers that were left.
#include "failback.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/thread.h"
#include "ldap_link.h"

enum { ASKS_PER_WAIT = 4, ASK_MS_MIN = 250, ASK_MS_MAX = 15000 };

struct asked {
	int64_t since_ms; // it answers; monotonic; 0: it did not the last time, or was not asked
	int64_t last_ms;
	struct csns csns;
};

struct failback {
	pthread_t thread;
	const struct settings *settings; // borrowed
	struct watchdog *watchdog;
	pthread_mutex_t mutex;           // guards the rest
	pthread_cond_t changed;
	size_t n;                        // servers to ask
	uint64_t turn;                   // grows with every change of n
	bool stopping;
	struct asked *servers;           // owned; one for each of ldap_uri
};

static int64_t ask_ms(const struct failback *failback)
{
	int64_t ms = failback->settings->ldap_failback_s * 1000 / ASKS_PER_WAIT;
	return ms < ASK_MS_MIN ? ASK_MS_MIN : ms > ASK_MS_MAX ? ASK_MS_MAX : ms;
}

static bool take_base(void *context, const struct raw_entry *entry)
{
	bool *has_base = context;
	(void)entry;
	*has_base = true;
	return true;
}

static bool has_base(const struct settings *settings, struct ldap_link *link)
{
	static const char *const none[] = {"1.1", NULL}; // no attribute (RFC 4511, 4.5.1.8)
	const struct ldap_link_search search = {
		.base = settings->ldap_base.p, .filter = "(objectClass=*)", .base_only = true, .attributes = none};
	struct err ignored;
	bool found = false;
	return ldap_link_search(link, &search, take_base, &found, &ignored) == ERR_OK && found;
}

// Its contextCSN, if it shows one; false when it is of no use.
static bool ask(struct failback *failback, size_t server, struct csns *csns_out)
{
	struct ldap_link *link = NULL;
	struct err ignored;
	const struct settings *settings = failback->settings;
	bool good = ldap_link_open(settings, settings->ldap_uri.v[server].p, failback->watchdog, &link, &ignored) == ERR_OK &&
		    ldap_link_csns(link, settings->ldap_base, csns_out, &ignored) == ERR_OK &&
		    (csns_out->n > 0 || has_base(settings, link));
	ldap_link_close(&link);
	return good;
}

static void take_answer(struct failback *failback, size_t server, bool good, const struct csns *csns)
{
	struct asked *asked = &failback->servers[server];
	int64_t now_ms = clock_mono_exact_ms();
	asked->last_ms = now_ms;
	if (!good)
		asked->since_ms = 0;
	else if (asked->since_ms == 0)
		asked->since_ms = now_ms;
	if (good)
		asked->csns = *csns;
}

static void *failback_thread(void *arg)
{
	struct failback *failback = arg;
	pthread_mutex_lock(&failback->mutex);
	while (!failback->stopping) {
		uint64_t turn = failback->turn;
		if (failback->n == 0) {
			pthread_cond_wait(&failback->changed, &failback->mutex);
			continue;
		}
		for (size_t i = 0; i < failback->n && turn == failback->turn && !failback->stopping; i++) {
			struct csns csns;
			pthread_mutex_unlock(&failback->mutex);
			bool good = ask(failback, i, &csns);
			pthread_mutex_lock(&failback->mutex);
			if (turn == failback->turn)
				take_answer(failback, i, good, &csns);
		}
		if (turn == failback->turn && !failback->stopping)
			(void)thread_wait_until(&failback->changed, &failback->mutex, clock_mono_exact_ms() + ask_ms(failback));
	}
	pthread_mutex_unlock(&failback->mutex);
	return NULL;
}

void failback_watch(struct failback *failback, size_t n)
{
	if (failback == NULL)
		return;
	pthread_mutex_lock(&failback->mutex);
	if (n != failback->n) {
		memset(failback->servers, 0, failback->settings->ldap_uri.n * sizeof *failback->servers);
		failback->n = n;
		failback->turn++;
		pthread_cond_signal(&failback->changed);
	}
	pthread_mutex_unlock(&failback->mutex);
}

bool failback_find(struct failback *failback, size_t n, const struct csns *ours, size_t *server_out)
{
	bool found = false;
	if (failback == NULL)
		return false;
	pthread_mutex_lock(&failback->mutex);
	for (size_t i = 0; i < n && i < failback->n && !found; i++) {
		const struct asked *asked = &failback->servers[i];
		found = asked->since_ms && asked->last_ms - asked->since_ms >= failback->settings->ldap_failback_s * 1000 &&
			csns_dominate(&asked->csns, ours);
		if (found)
			*server_out = i;
	}
	pthread_mutex_unlock(&failback->mutex);
	return found;
}

static void let_go(struct failback *failback)
{
	watchdog_stop(&failback->watchdog);
	pthread_cond_destroy(&failback->changed);
	pthread_mutex_destroy(&failback->mutex);
	free(failback->servers);
	free(failback);
}

enum err_code failback_start(const struct settings *settings, struct failback **failback_out, struct err *err)
{
	*failback_out = NULL;
	if (settings->ldap_failback_s == 0 || settings->ldap_uri.n < 2)
		return ERR_OK;
	struct failback *failback = calloc(1, sizeof *failback);
	must(failback != NULL);
	must(pthread_mutex_init(&failback->mutex, NULL) == 0 && pthread_cond_init(&failback->changed, NULL) == 0);
	failback->settings = settings;
	failback->servers = calloc(settings->ldap_uri.n, sizeof *failback->servers);
	must(failback->servers != NULL);
	enum err_code code = watchdog_start(&failback->watchdog, err);
	if (code == ERR_OK)
		code = thread_start(&failback->thread, "failback", failback_thread, failback, err);
	if (code)
		let_go(failback);
	else
		*failback_out = failback;
	return code;
}

void failback_stop(struct failback **failback_in)
{
	struct failback *failback = *failback_in;
	if (failback == NULL)
		return;
	pthread_mutex_lock(&failback->mutex);
	failback->stopping = true;
	pthread_cond_signal(&failback->changed);
	pthread_mutex_unlock(&failback->mutex);
	watchdog_end_waits(failback->watchdog);
	pthread_join(failback->thread, NULL);
	let_go(failback);
	*failback_in = NULL;
}
